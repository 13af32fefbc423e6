package propagation_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

// described waits until kubectl describe shows all these Events, given as patterns.
func (f *fixture) described(namespace, resource, name string, events ...string) {
	f.Helper()
	f.eventually(fmt.Sprintf("describe %s %s shows %q", resource, name, events), func() error {
		result := testbed.RunKubectl(f.T, f.kubeconfig, "", "describe", "-n", namespace, resource, name)
		if result.Err != nil {
			return errors.Join(result.Err, errors.New(result.Stderr))
		}
		_, shown, _ := strings.Cut(result.Stdout, "\nEvents:")
		for _, event := range events {
			if !regexp.MustCompile(event).MatchString(shown) {
				return fmt.Errorf("got %s", shown)
			}
		}
		return nil
	})
}

// told counts the Events about objects of a name in the test's namespace, each as often as it came.
func (f *fixture) told(name string) (count int32) {
	f.Helper()
	list, err := f.kube.CoreV1().Events(f.namespace).List(f.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil {
		f.Fatal(err)
	}
	for _, event := range list.Items {
		if event.InvolvedObject.APIVersion != "types.kubefed.io/v1beta2" {
			f.Errorf("an Event is about a %s of %s", event.InvolvedObject.Kind, event.InvolvedObject.APIVersion)
		}
		count += event.Count
	}
	return count
}

func TestDescribeShowsWhatHappenedToAFederatedObject(t *testing.T) {
	f := start(t)
	f.exists("m2", "cm", map[string]string{v1beta1.ManagedLabel: "false"})
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "ManagedLabelFalse")
	f.described(f.namespace, "federatedconfigmap", "cm",
		`Warning +ManagedLabelFalse +\S+ +koinon-controllers +m2: the object there has the label kubefed.io/managed=false`)
	f.patch("m2", "cm", `{"metadata":{"labels":{"kubefed.io/managed":null}}}`)
	f.configMap("cm", "ours too", everywhere) // another manifest is sent at once
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.described(f.namespace, "federatedconfigmap", "cm", `Normal +PropagationComplete +\S+ +koinon-controllers +2 targets run generation 2`)

	before := f.told("cm")
	f.stop()
	f.run() // a restart tells nothing of what is as it was
	f.configMap("other", "x", everywhere)
	f.states("federatedconfigmaps", "other", "m1", "", "m2", "")
	f.described(f.namespace, "federatedconfigmap", "other", `2 targets run generation 1`)
	if after := f.told("cm"); after != before {
		t.Errorf("a restart made %d Events", after-before)
	}
	f.configMap("cm", "ours too", `  placement: {topologies: [{name: m1}]}`)
	f.states("federatedconfigmaps", "cm", "m1", "")
	f.described(f.namespace, "federatedconfigmap", "cm", `Normal +RemovedFromTargets +\S+ +koinon-controllers +m2: no target any more`)
}

func TestDescribeShowsWhatHappenedToACluster(t *testing.T) {
	f := start(t)
	f.apply(fmt.Sprintf(`
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: told, namespace: %s}
spec: {apiEndpoint: "https://127.0.0.1:1", secretRef: {name: told}}`, system))
	t.Cleanup(func() {
		if err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Delete(context.WithoutCancel(t.Context()), "told", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	f.described(system, "kubefedcluster", "told", `Warning +ClusterConfigMalformed +\S+ +koinon-controllers +.*Secret`)
	f.described(system, "kubefedcluster", "m1", `Normal +ClusterReady +\S+ +koinon-controllers +/healthz responded with ok`)
}
