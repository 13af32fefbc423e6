package frontends_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

// servesKubeFed has a client connect to a member as KubeFed does: with what a KubeFedCluster and its Secret say, and no certificate. A
// "koinon-agent proxy" beside it has one. Koinon itself goes by the agent, and not by that proxy.
func (w *world) servesKubeFed(t *testing.T) {
	binary, err := testbed.Binary("koinon-agent")
	if err != nil {
		t.Fatal(err)
	}
	w.grants("kubefed", "koinon:tunnel")
	_, certificates := w.koinon.User(t, "kubefed")
	port := testbed.FreePort(t)
	w.runs(binary, "proxy", fmt.Sprintf("--server=127.0.0.1:%d", w.proxy), "--certificate-dir="+certificates, fmt.Sprintf("--listen=127.0.0.1:%d", port))
	authority, err := os.ReadFile(w.member.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	clusters := w.ours.KubeFedCoreV1beta1().KubeFedClusters(system)
	change := func(what string, how func(*v1beta1.KubeFedClusterSpec)) {
		t.Helper()
		w.eventually(what, func(ctx context.Context) error {
			cluster, err := clusters.Get(ctx, "m1", metav1.GetOptions{})
			if err != nil {
				return err
			}
			how(&cluster.Spec)
			_, err = clusters.Update(ctx, cluster, metav1.UpdateOptions{})
			return err
		})
	}
	change("m1 has a proxyURL", func(spec *v1beta1.KubeFedClusterSpec) {
		spec.APIEndpoint, spec.CABundle, spec.ProxyURL = "https://kubernetes.default.svc", authority, fmt.Sprintf("http://m1@127.0.0.1:%d", port)
	})
	if _, err := w.host.CoreV1().Secrets(system).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "m1", Annotations: map[string]string{
			v1beta1.CredentialsForAnnotation: "m1", v1beta1.APIEndpointAnnotation: "https://kubernetes.default.svc",
		}},
		Data: map[string][]byte{v1beta1.TokenKey: []byte(w.token()), v1beta1.CAKey: authority},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reads := func(ctx context.Context) error {
		client, err := w.asKubeFed(ctx)
		if err != nil {
			return err
		}
		_, err = client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		return err
	}
	w.eventually("it reads the member", reads)
	t.Run("a watch", func(t *testing.T) {
		client, err := w.asKubeFed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		watch, err := client.CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=default"})
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Stop()
		if event := <-watch.ResultChan(); event.Object == nil {
			t.Error("it has ended")
		}
	})
	w.eventually("Koinon reaches the member by its agent", func(ctx context.Context) error {
		cluster, err := clusters.Get(ctx, "m1", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range cluster.Status.Conditions {
			if condition.Type == v1beta1.ClusterReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("%+v", cluster.Status.Conditions)
	})
	if err := w.host.RbacV1().RoleBindings(system).Delete(t.Context(), "kubefed", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("who lends it has lost the right", func(ctx context.Context) error {
		err := reads(ctx)
		if err == nil {
			return errors.New("it still reads")
		}
		if !strings.Contains(err.Error(), "may not be reached by user:kubefed") {
			return err
		}
		return nil
	})
}

// asKubeFed returns a client that has its configuration as KubeFed v0.10 makes it: BuildClusterConfig of its pkg/controller/util.
func (w *world) asKubeFed(ctx context.Context) (kubernetes.Interface, error) {
	cluster, err := w.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Get(ctx, "m1", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	secret, err := w.host.CoreV1().Secrets(system).Get(ctx, cluster.Spec.SecretRef.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	proxy, err := url.Parse(cluster.Spec.ProxyURL)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(&rest.Config{
		Host: cluster.Spec.APIEndpoint, BearerToken: string(secret.Data["token"]), Proxy: http.ProxyURL(proxy), Timeout: patience,
		TLSClientConfig: rest.TLSClientConfig{CAData: cluster.Spec.CABundle},
	})
}

// runs runs a program until the test ends.
func (w *world) runs(binary string, args ...string) {
	w.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "HTTPS_PROXY=", "https_proxy=")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if w.Failed() {
			w.Logf("%s said:\n%s", filepath.Base(binary), said.String())
		}
	})
}
