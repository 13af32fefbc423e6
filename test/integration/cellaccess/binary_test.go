package cellaccess_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/test/testbed"
)

// TestTheStockBinaryTakesCellsForClusters has KubeFed's own controller-manager, which make test-kubefed
// builds, do what the double in stock_test.go does elsewhere.
func TestTheStockBinaryTakesCellsForClusters(t *testing.T) {
	program := os.Getenv("KOINON_KUBEFED")
	if program == "" {
		t.Skip("KOINON_KUBEFED names no controller-manager of KubeFed: make test-kubefed builds one")
	}
	koinon := testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{"--components=apiserver,hostcontrollers", "--connection-drain-timeout=0s"}})
	p := newPlace(t, koinon.RESTConfig(t))
	ctx := p.Context()
	if _, err := p.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, cell := range []string{"rz00a", "rz00b"} {
		p.apply(fmt.Sprintf(`{"apiVersion":"federation.koinon.io/v1alpha1","kind":"Cell","metadata":{"name":%q,"namespace":"shop"},"spec":{"clusterName":"m1"}}`, cell))
		p.cluster(cell)
	}
	// The endings of KubeFed's own waits are minutes; what a user sets, a test does.
	p.eventually("KubeFed's settings", func(ctx context.Context) error {
		_, err := p.host.Resource(kubefed.WithResource("kubefedconfigs")).Namespace(system).Patch(ctx, "kubefed", "application/merge-patch+json",
			[]byte(`{"spec":{"controllerDuration":{"availableDelay":"1s","unavailableDelay":"1s"},"clusterHealthCheck":{"period":"2s"},"syncController":{"maxConcurrentReconciles":8}}}`), metav1.PatchOptions{})
		return err
	})
	p.apply(`{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedNamespace","metadata":{"name":"shop","namespace":"shop"},"spec":{` + placedEverywhere + `}}`)
	p.apply(fmt.Sprintf(configMap, "v1beta1", "whole", "", `"placement":{"clusters":[{"name":"m1"}]}`))
	p.apply(fmt.Sprintf(configMap, "v1beta2", "cells", `"topologyType":"cell",`, `"placement":{"topologies":[{"name":"rz00a"},{"name":"rz00b"}]},"overrides":[{"topologyName":"rz00b","topologyOverrides":[{"path":"/data/a","op":"replace","value":"b"}]}]`))
	p.apply(fmt.Sprintf(configMap, "v1beta1", "all", "", `"placement":{"clusterSelector":{}},"overrides":[{"clusterName":"m1","clusterOverrides":[{"path":"/data/a","value":"m"}]}]`))
	p.apply(`{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedClusterRole","metadata":{"name":"of-test"},"spec":{"template":{"rules":[]},"placement":{"clusterSelector":{}}}}`)
	ended := runProgram(t, program, koinon.Kubeconfig())

	holds := func(want ...string) (found map[string]string) {
		t.Helper()
		p.eventually("the member has "+fmt.Sprint(want), func(ctx context.Context) (err error) {
			select {
			case err := <-ended:
				t.Fatalf("the controller-manager ended: %v", err)
			default:
			}
			if found, err = p.uids(ctx); err != nil {
				return err
			}
			if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				return fmt.Errorf("got %v", got)
			}
			return nil
		})
		return found
	}
	held := holds("shop/whole=1", "shop/all=m", "shop-rz00a/cells=1", "shop-rz00a/all=1", "shop-rz00b/cells=b", "shop-rz00b/all=1")
	// Before cells had endpoints, objects were made anew about once a second.
	for until := time.Now().Add(steadyFor(t)); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		if got, err := p.uids(ctx); err != nil || !maps.Equal(got, held) {
			t.Fatalf("got %v, %v; want %v", got, err, held)
		}
	}
	for _, name := range []string{"whole", "cells", "all"} {
		p.eventually("the status of "+name, func(ctx context.Context) error {
			object, err := p.host.Resource(federated("v1beta1").WithResource("federatedconfigmaps")).Namespace("shop").Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
			if len(conditions) != 1 || conditions[0].(map[string]any)["status"] != "True" {
				return fmt.Errorf("%v", object.Object["status"])
			}
			return nil
		})
	}
	p.apply(fmt.Sprintf(configMap, "v1beta2", "cells", `"topologyType":"cell",`, `"placement":{"topologies":[{"name":"rz00a"}]}`))
	holds("shop/whole=1", "shop/all=m", "shop-rz00a/cells=1", "shop-rz00a/all=1", "shop-rz00b/all=1")
	for _, name := range []string{"cells", "all"} {
		if err := p.host.Resource(federated("v1beta1").WithResource("federatedconfigmaps")).Namespace("shop").Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	holds("shop/whole=1")
	p.eventually("what was deleted is gone here too", func(ctx context.Context) error {
		_, err := p.host.Resource(federated("v1beta1").WithResource("federatedconfigmaps")).Namespace("shop").Get(ctx, "all", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is there"), err)
	})
}

// steadyFor is how long objects are looked at: KOINON_STEADY, or a minute.
func steadyFor(t *testing.T) time.Duration {
	text := os.Getenv("KOINON_STEADY")
	if text == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("KOINON_STEADY: %v", err)
	}
	return d
}

// runProgram runs the controller-manager until the test ends. What it returns tells if it ends before.
func runProgram(t *testing.T, program, kubeconfig string) <-chan error {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "kubefed.log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "--kubeconfig="+kubeconfig, "--kubefed-namespace="+system, "--healthz-addr="+fmt.Sprintf("127.0.0.1:%d", testbed.FreePort(t)), "--metrics-addr="+fmt.Sprintf("127.0.0.1:%d", testbed.FreePort(t)), "--v=2")
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ended <- command.Wait()
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-gone
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("the controller-manager says\n%s", said[max(0, len(said)-20_000):])
		}
	})
	return ended
}
