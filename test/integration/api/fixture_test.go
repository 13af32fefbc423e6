// Package api_test uses a standalone server through its API, with the real kubectl and
// with client-go: kinds that come and go, schemas, writes and reads in every form, and
// what is refused.
package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	// patience is how long anything may take before a test gives up. It is no assertion
	// about speed: the machine may be busy.
	patience        = time.Minute
	systemNamespace = "kube-federation-system"
)

var shared = testbed.SharedKoinon(func() (testbed.KoinonOptions, error) { return testbed.KoinonOptions{}, nil })

func TestMain(m *testing.M) { testbed.Main(m) }

var (
	typesV1beta1 = schema.GroupVersion{Group: "types.kubefed.io", Version: "v1beta1"}
	typesV1beta2 = schema.GroupVersion{Group: "types.kubefed.io", Version: "v1beta2"}

	deployments = typesV1beta2.WithResource("federateddeployments")
	configMaps  = typesV1beta2.WithResource("federatedconfigmaps")
	typeConfigs = schema.GroupVersionResource{Group: "core.kubefed.io", Version: "v1beta1", Resource: "federatedtypeconfigs"}
	clusters    = schema.GroupVersionResource{Group: "core.kubefed.io", Version: "v1beta1", Resource: "kubefedclusters"}
)

// fixture is the shared server, and the clients of one test.
type fixture struct {
	t       *testing.T
	server  *testbed.Koinon
	config  *rest.Config
	dynamic dynamic.Interface
	kube    kubernetes.Interface
	// warnings that the server sent to the dynamic client.
	warnings *warnings
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, server: shared.Get(t), warnings: &warnings{}}
	f.config = f.server.RESTConfig(t)
	f.config.Timeout = patience
	config := rest.CopyConfig(f.config)
	config.WarningHandler = f.warnings
	f.dynamic = ready(t, config, dynamic.NewForConfig)
	f.kube = ready(t, f.config, kubernetes.NewForConfig)
	// The default types are made by a controller, a moment after the API is ready.
	f.served("deployments.apps", metav1.ConditionTrue)
	f.served("configmaps", metav1.ConditionTrue)
	return f
}

func ready[T any](t *testing.T, config *rest.Config, make func(*rest.Config) (T, error)) T {
	t.Helper()
	client, err := make(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// warnings collects Warning headers. A test uses its client one call at a time.
type warnings struct{ texts []string }

func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }

// take returns the warnings since the last call.
func (w *warnings) take() []string {
	texts := w.texts
	w.texts = nil
	return texts
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// namespace makes a namespace for one test, and removes it afterwards. If it is still
// being removed after the last run, it waits.
func (f *fixture) namespace(name string, labels ...string) string {
	f.t.Helper()
	manifest := "{apiVersion: v1, kind: Namespace, metadata: {name: " + name + ", labels: {" + strings.Join(labels, ", ") + "}}}"
	f.gone(namespaces, "", name)
	f.create(namespaces, "", manifest)
	return name
}

// create makes an object that must be taken, and drops it after the test.
func (f *fixture) create(resource schema.GroupVersionResource, namespace, manifest string) *unstructured.Unstructured {
	f.t.Helper()
	created, err := f.dynamic.Resource(resource).Namespace(namespace).Create(f.t.Context(), f.parse(manifest), metav1.CreateOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx := context.WithoutCancel(f.t.Context())
		err := f.dynamic.Resource(resource).Namespace(namespace).Delete(ctx, created.GetName(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			f.t.Errorf("delete %s %s: %v", resource.Resource, created.GetName(), err)
		}
	})
	return created
}

func (f *fixture) parse(manifest string) *unstructured.Unstructured {
	f.t.Helper()
	data, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		f.t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(data, &o.Object); err != nil {
		f.t.Fatal(err)
	}
	return o
}

func (f *fixture) get(resource schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	f.t.Helper()
	o, err := f.dynamic.Resource(resource).Namespace(namespace).Get(f.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// kubectl must succeed.
func (f *fixture) kubectl(args ...string) string {
	f.t.Helper()
	return testbed.Kubectl(f.t, f.server.Kubeconfig(), args...)
}

// apply runs kubectl with a manifest, and returns what it says: to standard error first.
func (f *fixture) apply(manifest string, args ...string) (said string, err error) {
	f.t.Helper()
	result := testbed.RunKubectl(f.t, f.server.Kubeconfig(), manifest, append(args, "-f", "-")...)
	return strings.TrimSpace(result.Stderr + result.Stdout), result.Err
}

// raw gets a path with the given Accept header.
func (f *fixture) raw(path, accept string) []byte {
	f.t.Helper()
	data, err := f.kube.Discovery().RESTClient().Get().RequestURI(path).SetHeader("Accept", accept).DoRaw(f.t.Context())
	if err != nil {
		f.t.Fatalf("get %s: %v: %s", path, err, data)
	}
	return data
}

// eventually polls until check returns no error.
func (f *fixture) eventually(what string, check func(context.Context) error) {
	f.t.Helper()
	last := errors.New("not checked")
	err := wait.PollUntilContextTimeout(f.t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		f.t.Fatalf("%s: %v: %v", what, err, last)
	}
}

// served waits for the condition Served of a FederatedTypeConfig, and returns it.
func (f *fixture) served(name string, status metav1.ConditionStatus) (condition map[string]any) {
	f.t.Helper()
	f.eventually("FederatedTypeConfig "+name+" is served: "+string(status), func(ctx context.Context) error {
		config, err := f.dynamic.Resource(typeConfigs).Namespace(systemNamespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(config.Object, "status", "conditions")
		for _, c := range conditions {
			condition = c.(map[string]any)
			if condition["type"] == "Served" && condition["status"] == string(status) {
				return nil
			}
		}
		return fmt.Errorf("conditions are %v", conditions)
	})
	return condition
}

// typeConfig is a FederatedTypeConfig of a namespaced kind.
func typeConfig(name, group, version, kind, plural, federatedKind, federatedPlural string) string {
	return fmt.Sprintf(`
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: %s, namespace: %s}
spec:
  targetType: {group: %q, version: %s, kind: %s, pluralName: %s, scope: Namespaced}
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: %s, pluralName: %s, scope: Namespaced}
  propagation: Enabled
`, name, systemNamespace, group, version, kind, plural, federatedKind, federatedPlural)
}

// deployment is a FederatedDeployment with the given further lines of its spec.
func deployment(namespace, name string, spec ...string) string {
	lines := ""
	for _, line := range spec {
		lines += "\n  " + line
	}
	return fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedDeployment
metadata: {name: %s, namespace: %s}
spec:
  template:
    spec:
      replicas: 2
      selector: {matchLabels: {app: %s}}
      template:
        metadata: {labels: {app: %s}}
        spec: {containers: [{name: main, image: "main:1"}]}%s
`, name, namespace, name, name, lines)
}

// configMap is a FederatedConfigMap.
func configMap(namespace, name string) string {
	return fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: %s, namespace: %s, labels: {made-by: test}}, spec: {template: {data: {a: b}}}}`, name, namespace)
}
