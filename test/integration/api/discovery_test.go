package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const aggregatedDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

var allVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

func TestDiscoveryKnowsFederatedKinds(t *testing.T) {
	f := newFixture(t)
	want := resource{"FederatedDeployment", "federateddeployment", []string{"fdeploy"}, []string{"federated"}, allVerbs}
	for _, version := range []string{"v1beta1", "v1beta2"} {
		t.Run(version, func(t *testing.T) {
			if diff := cmp.Diff(want, f.legacy(version)["federateddeployments"]); diff != "" {
				t.Errorf("legacy discovery (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, f.aggregated(version)["federateddeployments"]); diff != "" {
				t.Errorf("aggregated discovery (-want +got):\n%s", diff)
			}
			legacy := f.legacy(version)
			for name, kind := range map[string]string{"federateddeployments/status": "FederatedDeployment", "federateddeployments/scale": "Scale"} {
				if got := legacy[name]; got.Kind != kind || !slices.Equal(got.Verbs, []string{"get", "patch", "update"}) {
					t.Errorf("%s: got %+v, want kind %s", name, got, kind)
				}
			}
			if _, there := legacy["federatedconfigmaps/scale"]; there {
				t.Error("a kind without replicas has a scale subresource")
			}
		})
	}
}

type resource struct {
	Kind, Singular                string
	ShortNames, Categories, Verbs []string
}

func (f *fixture) legacy(version string) map[string]resource {
	f.t.Helper()
	var list metav1.APIResourceList
	if err := json.Unmarshal(f.raw("/apis/types.kubefed.io/"+version, "application/json"), &list); err != nil {
		f.t.Fatal(err)
	}
	resources := map[string]resource{}
	for _, r := range list.APIResources {
		resources[r.Name] = resource{r.Kind, r.SingularName, r.ShortNames, r.Categories, r.Verbs}
	}
	return resources
}

func (f *fixture) aggregated(version string) map[string]resource {
	f.t.Helper()
	var list apidiscoveryv2.APIGroupDiscoveryList
	if err := json.Unmarshal(f.raw("/apis", aggregatedDiscovery), &list); err != nil {
		f.t.Fatal(err)
	}
	resources := map[string]resource{}
	for _, group := range list.Items {
		for _, v := range group.Versions {
			if group.Name != typesV1beta1.Group || v.Version != version {
				continue
			}
			if v.Freshness != apidiscoveryv2.DiscoveryFreshnessCurrent {
				f.t.Errorf("%s is %s", version, v.Freshness)
			}
			for _, r := range v.Resources {
				resources[r.Resource] = resource{r.ResponseKind.Kind, r.SingularResource, r.ShortNames, r.Categories, r.Verbs}
			}
		}
	}
	return resources
}

func TestTheTopologyShapeIsPreferred(t *testing.T) {
	f := newFixture(t)
	var group metav1.APIGroup
	if err := json.Unmarshal(f.raw("/apis/types.kubefed.io", "application/json"), &group); err != nil {
		t.Fatal(err)
	}
	if got := group.PreferredVersion.Version; got != "v1beta2" {
		t.Errorf("preferred version: got %s, want v1beta2", got)
	}
}

func TestKubectlGetFederatedListsAllKinds(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("category")
	f.create(deployments, namespace, deployment(namespace, "web"))
	f.create(configMaps, namespace, configMap(namespace, "settings"))
	got := f.kubectl("get", "federated", "-A", "--no-headers")
	for _, want := range []string{"federateddeployment.types.kubefed.io/web", "federatedconfigmap.types.kubefed.io/settings"} {
		if !strings.Contains(got, want) {
			t.Errorf("kubectl get federated -A: got\n%s\nwant %s in it", got, want)
		}
	}
}

func TestTables(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("tables")
	f.createPod(namespace)
	for sentence, tc := range map[string]struct {
		args         []string
		columns, row string
	}{
		"columns":              {[]string{"get", "fpo"}, "NAME TOPOLOGY TARGETS PROPAGATED MASKED AGE", "web cell 3 False 1 "},
		"wide columns":         {[]string{"get", "fpo", "-o", "wide"}, "NAME TOPOLOGY TARGETS PROPAGATED MASKED AGE UP-TO-DATE HEALTHY NOT-READY READY", "web cell 3 False 1 "},
		"the version is asked": {[]string{"get", "federatedpods.v1beta1.types.kubefed.io"}, "NAME TOPOLOGY TARGETS PROPAGATED MASKED AGE", "web cell 3 False 1 "},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := f.kubectl(append(tc.args, "-n", namespace)...)
			header, rows, _ := strings.Cut(strings.TrimSpace(got), "\n")
			if words := strings.Join(strings.Fields(header), " "); words != tc.columns {
				t.Errorf("header: got %q, want %q", words, tc.columns)
			}
			if words := strings.Join(strings.Fields(rows), " "); !strings.HasPrefix(words, tc.row) {
				t.Errorf("row: got %q, want %s...", words, tc.row)
			}
		})
	}
	if got := f.kubectl("get", "fpo", "-n", namespace, "-o", "wide", "--no-headers"); !strings.Contains(got, "1/3") || !strings.Contains(got, "rz02a: UpdateFailed") {
		t.Errorf("wide row: got %q", got)
	}
	if got := f.kubectl("describe", "fpo", "web", "-n", namespace); !strings.Contains(got, "UpdateFailed") {
		t.Errorf("describe: got %s", got)
	}
}

// createPod makes an object of a kind that is served and not propagated, so that its
// status is the test's.
func (f *fixture) createPod(namespace string) {
	f.t.Helper()
	config := typeConfig("pods", "", "v1", "Pod", "pods", "FederatedPod", "federatedpods")
	f.create(typeConfigs, systemNamespace, strings.ReplaceAll(config, "propagation: Enabled", "propagation: Disabled"))
	pods := typesV1beta2.WithResource("federatedpods")
	f.answers(pods, true)
	f.create(pods, namespace, `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedPod, metadata: {name: web}, spec: {topologyType: cell, template: {}}}`)
	const status = `{"status":{"observedGeneration":1,"conditions":[{"type":"Propagation","status":"False"}],
"targets":[{"name":"rz00a"},{"name":"rz01a","state":"Masked"},{"name":"rz02a","state":"UpdateFailed","message":"refused"}]}}`
	if _, err := f.dynamic.Resource(pods).Namespace(namespace).Patch(f.t.Context(), "web", mergePatch, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		f.t.Fatal(err)
	}
}

func TestExplainReachesIntoTheTemplate(t *testing.T) {
	f := newFixture(t)
	for sentence, tc := range map[string]struct {
		args []string
		want []string
	}{
		"the kind":                {[]string{"fdeploy"}, []string{"KIND:       FederatedDeployment", "VERSION:    v1beta2"}},
		"the spec":                {[]string{"fdeploy.spec"}, []string{"placementMask", "topologyType", "left as they are"}},
		"the template":            {[]string{"fdeploy.spec.template.spec.template.spec.containers.livenessProbe"}, []string{"Periodic probe of container liveness"}},
		"the template in v1beta1": {[]string{"fdeploy.spec.template.spec.strategy", "--api-version=types.kubefed.io/v1beta1"}, []string{"rollingUpdate", "VERSION:    v1beta1"}},
		"the cluster shape":       {[]string{"fdeploy.spec.placement", "--api-version=types.kubefed.io/v1beta1"}, []string{"clusterSelector"}},
		"a static kind":           {[]string{"cells.spec"}, []string{"memberNamespace"}},
		"by OpenAPI v2":           {[]string{"fcm.spec", "--output=plaintext-openapiv2"}, []string{"topologyType", "the ConfigMap to create in each target"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := f.kubectl(append([]string{"explain"}, tc.args...)...)
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("explain %v: want %q in\n%s", tc.args, want, got)
				}
			}
		})
	}
}

func TestOpenAPIDocumentsHoldTheKinds(t *testing.T) {
	f := newFixture(t)
	for sentence, tc := range map[string]struct{ path, definitions string }{
		"v2":          {"/openapi/v2", "definitions"},
		"v3, v1beta1": {"/openapi/v3/apis/types.kubefed.io/v1beta1", "components"},
		"v3, v1beta2": {"/openapi/v3/apis/types.kubefed.io/v1beta2", "components"},
	} {
		t.Run(sentence, func(t *testing.T) {
			f.eventually("the document", func(context.Context) error {
				var doc map[string]any
				if err := json.Unmarshal(f.raw(tc.path, "application/json"), &doc); err != nil {
					return err
				}
				definitions, _ := doc[tc.definitions].(map[string]any)
				if tc.definitions == "components" {
					definitions, _ = definitions["schemas"].(map[string]any)
				}
				return hasKind(definitions, "FederatedDeployment")
			})
		})
	}
}

// hasKind looks for a definition of the kind, by what clients look for it by.
func hasKind(definitions map[string]any, kind string) error {
	for _, d := range definitions {
		gvks, _ := d.(map[string]any)["x-kubernetes-group-version-kind"].([]any)
		for _, gvk := range gvks {
			if g := gvk.(map[string]any); g["group"] == typesV1beta1.Group && g["kind"] == kind {
				return nil
			}
		}
	}
	return fmt.Errorf("none of %d definitions is of kind %s", len(definitions), kind)
}
