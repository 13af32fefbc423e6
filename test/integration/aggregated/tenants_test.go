package aggregated_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/hostreg"
	"github.com/koinon-io/koinon/test/testbed"
)

var (
	federatedConfigMaps = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federatedconfigmaps"}
	kubeFedClusters     = schema.GroupVersionResource{Group: "core.kubefed.io", Version: "v1beta1", Resource: "kubefedclusters"}
)

// A namespace is the host's, and what its labels say is asked of the server, as long as there is one.
func TestANamespaceOfTheHostIsNotTakenFromItsTenant(t *testing.T) {
	f := setup(t)
	f.ofTenant("a")
	tenantB := v1alpha1.TenantLabel + "=b"
	stranded := fmt.Sprintf("1 federated object would keep a copy in members that nobody may change or delete through this federation any more (FederatedConfigMap %s/settings in c1)", f.namespace)
	refused := func(args ...string) error {
		result := testbed.RunKubectl(t, f.kubeconfig, "", append(args, requestTimeout)...)
		if result.Err == nil || !strings.Contains(result.Stderr, stranded) {
			return fmt.Errorf("%q: got %v, %s%s, want a refusal with %q", args, result.Err, result.Stdout, result.Stderr, stranded)
		}
		return nil
	}
	f.eventually("the host asks before it takes the namespace from its tenant", func(context.Context) error {
		return refused("label", "namespace", f.namespace, tenantB, "--overwrite", "--dry-run=server")
	})
	for _, err := range []error{
		refused("label", "namespace", f.namespace, tenantB, "--overwrite"),
		refused("label", "namespace", f.namespace, v1alpha1.TenantLabel+"-"),
		refused("patch", "namespace", f.namespace, "--subresource=status", "--type=merge", "-p", labelPatch("b")),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	f.kubectl("label", "namespace", f.namespace, "tier=front")
	f.kubectl("patch", "namespace", f.namespace, "--type=merge", "--dry-run=server", "-p",
		fmt.Sprintf(`{"metadata":{"labels":{%q:"b"},"annotations":{%q:"tenant=b"}}}`, v1alpha1.TenantLabel, v1alpha1.LeaveCopiesAnnotation))
	f.answersOnlyTheHost()

	f.kubectl("delete", "validatingwebhookconfiguration", hostreg.NamespacesWebhook)
	f.eventually("the webhook is made again", func(context.Context) error {
		return refused("label", "namespace", f.namespace, tenantB, "--overwrite", "--dry-run=server")
	})

	f.server.Stop(t)
	defer func() { // the other tests need it
		f.server.Start(t)
		f.awaitServed("federatedconfigmaps")
		f.eventually("the host reaches it again", func(context.Context) error {
			return testbed.RunKubectl(t, f.kubeconfig, "", "delete", "-n", f.namespace, "federatedconfigmaps", "settings", "--ignore-not-found", requestTimeout).Err
		})
		f.kubectl("delete", "-n", f.namespace, "cells", "c1")
	}()
	f.kubectl("label", "namespace", f.namespace, tenantB, "--overwrite") // the host does not wait for us
	f.kubectl("label", "namespace", f.namespace, v1alpha1.TenantLabel+"=a", "--overwrite")
}

func labelPatch(tenant string) string {
	return fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, v1alpha1.TenantLabel, tenant)
}

// ofTenant gives the namespace and a member to a tenant, and puts an object into a cell there. The member is the host.
func (f *fixture) ofTenant(tenant string) {
	f.Helper()
	f.kubectl("label", "namespace", f.namespace, v1alpha1.TenantLabel+"="+tenant)
	kubeconfig, err := os.ReadFile(f.kubeconfig)
	if err != nil {
		f.Fatal(err)
	}
	secret, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata":   map[string]any{"name": "self", "namespace": system, "annotations": map[string]string{v1beta1.CredentialsForAnnotation: "self"}},
		"stringData": map[string]string{v1beta1.KubeconfigKey: string(kubeconfig)},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.kubectlApply(string(secret))
	f.kubectlApply(fmt.Sprintf(`{apiVersion: core.kubefed.io/v1beta1, kind: KubeFedCluster, metadata: {name: self, namespace: %s, labels: {%s: %s}}, spec: {apiEndpoint: %q, secretRef: {name: self}}}`,
		system, v1alpha1.TenantLabel, tenant, f.config.Host))
	f.Cleanup(func() {
		ctx := context.WithoutCancel(f.Context())
		_ = f.dynamic.Resource(kubeFedClusters).Namespace(system).Delete(ctx, "self", metav1.DeleteOptions{})
		_ = f.kube.CoreV1().Secrets(system).Delete(ctx, "self", metav1.DeleteOptions{})
	})
	f.kubectl("wait", "-n", system, "kubefedclusters/self", "--for=condition=Ready", "--timeout=60s")
	f.apply(`{apiVersion: federation.koinon.io/v1alpha1, kind: Cell, metadata: {name: c1}, spec: {clusterName: self}}`)
	f.apply(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: settings},
		spec: {topologyType: cell, template: {data: {a: b}}, placement: {topologies: [{name: c1}]}}}`)
	f.kubectl("wait", "-n", f.namespace, "cells/c1", "--for=condition=Ready", "--timeout=60s")
	f.eventually("the object is in the cell", func(ctx context.Context) error {
		object, err := f.dynamic.Resource(federatedConfigMaps).Namespace(f.namespace).Get(ctx, "settings", metav1.GetOptions{})
		if err != nil {
			return err
		}
		targets, _, _ := unstructured.NestedSlice(object.Object, "status", "targets")
		if len(targets) == 0 || targets[0].(map[string]any)["hash"] == nil {
			return fmt.Errorf("its status is %v", object.Object["status"])
		}
		return nil
	})
}

func (f *fixture) kubectlApply(manifest string) {
	f.Helper()
	testbed.KubectlStdin(f, f.kubeconfig, manifest, "apply", "-f", "-", requestTimeout)
}

// answersOnlyTheHost asks as somebody who reaches the port and does not know the path.
func (f *fixture) answersOnlyTheHost() {
	f.Helper()
	client, err := rest.HTTPClientFor(&rest.Config{Host: f.server.URL(), TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{"/namespaces/", "/namespaces/guess"} {
		request, err := http.NewRequestWithContext(f.Context(), http.MethodPost, f.server.URL()+path, strings.NewReader("{}"))
		if err != nil {
			f.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			err = response.Body.Close()
		}
		if err != nil {
			f.Fatal(errors.Join(errors.New(path), err))
		}
		if response.StatusCode < 401 || response.StatusCode > 404 {
			f.Errorf("%s: got %s, want a refusal", path, response.Status)
		}
	}
}
