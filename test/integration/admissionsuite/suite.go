// Package admissionsuite is what admission has to do for the kinds that koinon serves, whoever
// the host is: webhooks and admission policies see an object in the version that they match,
// are asked for every verb, and what they change is stored without a loss.
//
//	admissionsuite.Run(t, config)
//
// config is that of an administrator. Everything that is not in a namespace of the suite is
// restricted by label to what the suite makes, and is removed at the end.
package admissionsuite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// patience is how long anything may take before a test gives up. It is no assertion about
// speed: the machine may be busy, and a host looks for new schemas now and then.
const patience = 90 * time.Second

// label of namespaces, and of objects in shared ones: which policies and webhooks hold there.
const label = "admissionsuite"

var (
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	clusters    = schema.GroupVersionResource{Group: "core.kubefed.io", Version: "v1beta1", Resource: "kubefedclusters"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

func deployments(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "types.kubefed.io", Version: version, Resource: "federateddeployments"}
}

func federatedConfigMaps(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "types.kubefed.io", Version: version, Resource: "federatedconfigmaps"}
}

func admissionRegistration(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: resource}
}

// Run runs the suite.
func Run(t *testing.T, config *rest.Config) {
	config = rest.CopyConfig(config)
	config.Timeout = patience
	t.Run("what is to be denied is denied", func(t *testing.T) { denials(newSuite(t, config)) })
	t.Run("what is changed is stored", func(t *testing.T) { changes(newSuite(t, config)) })
	t.Run("params", func(t *testing.T) { params(newSuite(t, config)) })
	t.Run("warnings", func(t *testing.T) { saysMore(newSuite(t, config)) })
	t.Run("static kinds", func(t *testing.T) { staticKinds(newSuite(t, config)) })
}

// suite is the clients of one test.
type suite struct {
	*testing.T
	client   dynamic.Interface
	warnings *warnings
}

func newSuite(t *testing.T, config *rest.Config) *suite {
	t.Helper()
	s := &suite{T: t, warnings: &warnings{}}
	config = rest.CopyConfig(config)
	config.WarningHandler = s.warnings
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	return s
}

// sub is the suite in a subtest.
func (s *suite) sub(t *testing.T) *suite { return &suite{T: t, client: s.client, warnings: s.warnings} }

// warnings collects Warning headers; requests are made one at a time.
type warnings struct{ texts []string }

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }

// parse reads YAML.
func (s *suite) parse(manifest string) *unstructured.Unstructured {
	s.Helper()
	data, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		s.Fatalf("%v in\n%s", err, manifest)
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		s.Fatalf("%v in\n%s", err, manifest)
	}
	return o
}

// create makes an object that goes with the test.
func (s *suite) create(resource schema.GroupVersionResource, namespace, manifest string) *unstructured.Unstructured {
	s.Helper()
	created, err := s.client.Resource(resource).Namespace(namespace).Create(s.Context(), s.parse(manifest), metav1.CreateOptions{})
	if err != nil {
		s.Fatalf("create\n%s\n%v", manifest, err)
	}
	s.Cleanup(func() {
		_ = s.client.Resource(resource).Namespace(namespace).Delete(context.WithoutCancel(s.Context()), created.GetName(), metav1.DeleteOptions{})
	})
	return created
}

// namespace makes one in which the policies and webhooks of a label hold.
func (s *suite) namespace(name, labelled string) string {
	s.Helper()
	s.create(namespaces, "", fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {%s: %q}}}", name, label, labelled))
	return name
}

// guard has the policies and webhooks of a label hold in a namespace from now on.
func (s *suite) guard(namespace, labelled string) {
	s.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, label, labelled)
	if _, err := s.client.Resource(namespaces).Patch(s.Context(), namespace, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{}); err != nil {
		s.Fatal(err)
	}
}

// eventually polls until check returns no error.
func (s *suite) eventually(what string, check func(context.Context) error) {
	s.Helper()
	last := errors.New("not checked")
	err := wait.PollUntilContextTimeout(s.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		s.Fatalf("%s: %v: %v", what, err, last)
	}
}

// cellObject is a FederatedDeployment that is placed in cells, with all that v1beta1 cannot
// say, in either version.
func (s *suite) cellObject(version, namespace, name string) *unstructured.Unstructured {
	s.Helper()
	spec := `
  topologyType: cell
  placement: {topologies: [{name: rz00a}, {name: rz01a}]}
  placementMask: {topologies: [{name: rz00a}]}
  overrides:
  - {topologySelector: {matchLabels: {tier: gold}}, topologyOverrides: [{path: /spec/replicas, op: replace, value: 5}]}
  - {topologyName: rz00a, topologyOverrides: [{path: /spec/replicas, op: replace, value: 2}]}`
	annotation := ""
	if version == "v1beta1" {
		stash, err := json.Marshal(`{"topologyType":"cell","placementMask":{"topologies":[{"name":"rz00a"}]},"selectorOverrides":[{"index":0,"override":` +
			`{"topologySelector":{"matchLabels":{"tier":"gold"}},"topologyOverrides":[{"path":"/spec/replicas","op":"replace","value":5}]}}]}`)
		if err != nil {
			s.Fatal(err)
		}
		annotation = ", annotations: {federation.koinon.io/topology: " + string(stash) + "}"
		spec = strings.ReplaceAll(`
  placement: {clusters: [{name: rz00a.NS}, {name: rz01a.NS}]}
  overrides:
  - {clusterName: rz00a.NS, clusterOverrides: [{path: /spec/replicas, op: replace, value: 2}]}`, "NS", namespace)
	}
	return s.parse(fmt.Sprintf(`
apiVersion: types.kubefed.io/%s
kind: FederatedDeployment
metadata: {name: %s, namespace: %s%s}
spec:%s
  template:
    spec:
      replicas: 1
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: main, image: "main:1"}]}
`, version, name, namespace, annotation, spec))
}

// inWords is how targets are called in a version.
func inWords(version, namespace string, cells ...string) string {
	if version == "v1beta2" {
		return "topologies " + strings.Join(cells, ",")
	}
	names := make([]string, len(cells))
	for i, cell := range cells {
		names[i] = cell + "." + namespace
	}
	return "clusters " + strings.Join(names, ",")
}
