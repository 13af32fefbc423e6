package serving

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// scope is what the API server hands to plugins.
type scope struct {
	*wire.Types
	equivalents runtime.EquivalentResourceRegistry
}

func newScope() scope {
	kinds := []federated.Kind{{Kind: "FederatedDeployment", Resource: "federateddeployments", Namespaced: true}}
	s := scope{wire.NewTypes(), runtime.NewEquivalentResourceRegistry()}
	s.SetKinds(kinds)
	registerEquivalents(s.equivalents, kinds)
	return s
}

func (s scope) GetObjectCreater() runtime.ObjectCreater     { return s.Types }
func (s scope) GetObjectTyper() runtime.ObjectTyper         { return s.Types }
func (s scope) GetObjectDefaulter() runtime.ObjectDefaulter { return s.Types }
func (s scope) GetObjectConvertor() runtime.ObjectConvertor { return s.Types }
func (s scope) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper {
	return s.equivalents
}

// cellObject is placed in cells, and has everything that v1beta1 cannot say.
func cellObject(t *testing.T) *typesv1beta2.FederatedObject {
	t.Helper()
	o := &typesv1beta2.FederatedObject{}
	const manifest = `{
		"kind": "FederatedDeployment", "apiVersion": "types.kubefed.io/v1beta2",
		"metadata": {"name": "web", "namespace": "shop"},
		"spec": {
			"topologyType": "cell",
			"template": {"spec": {"replicas": 1}},
			"placement": {"topologies": [{"name": "rz00a"}, {"name": "rz01a"}]},
			"placementMask": {"topologies": [{"name": "rz00a"}]},
			"overrides": [
				{"topologySelector": {"matchLabels": {"tier": "gold"}}, "topologyOverrides": [{"path": "/spec/replicas", "value": 5}]},
				{"topologyName": "rz00a", "topologyOverrides": [{"path": "/spec/replicas", "value": 2}]}
			]
		},
		"status": {"targets": [{"name": "rz00a", "hash": "h1"}, {"name": "rz01a", "state": "Masked", "message": "as before"}]}
	}`
	if err := json.Unmarshal([]byte(manifest), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// updateIn are the attributes of an update by a client of the version.
func updateIn(version schema.GroupVersion, o, old *typesv1beta2.FederatedObject) admission.Attributes {
	return admission.NewAttributesRecord(o, old, version.WithKind("FederatedDeployment"), o.Namespace, o.Name,
		version.WithResource("federateddeployments"), "", admission.Update, &metav1.UpdateOptions{}, false, nil)
}

// plugin is admission of one function.
type plugin func(a admission.Attributes, o admission.ObjectInterfaces) error

func (plugin) Handles(admission.Operation) bool { return true }

func (p plugin) Admit(_ context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	return p(a, o)
}

// admit runs a plugin on an update of cellObject by a client of v1beta2.
func admit(t *testing.T, p plugin) (*typesv1beta2.FederatedObject, error) {
	t.Helper()
	o := cellObject(t)
	err := withWords(p).(admission.MutationInterface).Admit(t.Context(), updateIn(federated.V1beta2, o, cellObject(t)), newScope())
	return o, err
}

// webhook changes the object in v1beta1, as the library's plugin of webhooks does.
func webhook(change func(*typesv1beta1.FederatedObject)) plugin {
	return func(a admission.Attributes, o admission.ObjectInterfaces) error {
		view, err := admission.NewVersionedAttributes(a, federated.V1beta1.WithKind("FederatedDeployment"), o)
		if err != nil {
			return err
		}
		changed := view.VersionedObject.DeepCopyObject().(*typesv1beta1.FederatedObject)
		change(changed)
		return o.GetObjectConvertor().Convert(changed, a.GetObject(), nil)
	}
}

func TestWhatAPluginChangesInV1beta1ComesBackAndNothingElseIsLost(t *testing.T) {
	label := func(o *typesv1beta2.FederatedObject) { o.Labels = map[string]string{"seen": "yes"} }
	for sentence, tc := range map[string]struct {
		change func(*typesv1beta1.FederatedObject)
		want   func(*typesv1beta2.FederatedObject)
	}{
		"nothing": {func(*typesv1beta1.FederatedObject) {}, func(*typesv1beta2.FederatedObject) {}},
		"a label": {func(o *typesv1beta1.FederatedObject) { o.Labels = map[string]string{"seen": "yes"} }, label},
		"a label, and the annotation is dropped": {func(o *typesv1beta1.FederatedObject) {
			o.Labels = map[string]string{"seen": "yes"}
			o.Annotations = nil
		}, label},
		"a cluster is placed, and the annotation is dropped": {func(o *typesv1beta1.FederatedObject) {
			o.Annotations = nil
			o.Spec.Placement.Clusters = append(o.Spec.Placement.Clusters, typesv1beta1.ClusterReference{Name: "rz02a.shop"})
		}, func(o *typesv1beta2.FederatedObject) {
			o.Spec.Placement.Topologies = append(o.Spec.Placement.Topologies, typesv1beta2.TopologyReference{Name: "rz02a"})
		}},
		"overrides by name are dropped": {func(o *typesv1beta1.FederatedObject) { o.Spec.Overrides = nil }, func(o *typesv1beta2.FederatedObject) {
			o.Spec.Overrides = o.Spec.Overrides[:1]
		}},
		"the status is what KubeFed knows of it": {func(o *typesv1beta1.FederatedObject) { o.Status.Topology = nil }, func(*typesv1beta2.FederatedObject) {}},
		"the mask goes, by the annotation": {func(o *typesv1beta1.FederatedObject) {
			o.Annotations[typesv1beta1.TopologyAnnotation] = `{"topologyType":"cell"}`
		}, func(o *typesv1beta2.FederatedObject) {
			o.Spec.PlacementMask = nil
			o.Spec.Overrides = o.Spec.Overrides[1:]
		}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := admit(t, webhook(tc.change))
			if err != nil {
				t.Fatal(err)
			}
			want := cellObject(t)
			tc.want(want)
			if diff := cmp.Diff(inJSON(t, want), inJSON(t, got)); diff != "" {
				t.Errorf("admitted object (-want +got):\n%s", diff)
			}
		})
	}
}

func inJSON(t *testing.T, o any) string {
	t.Helper()
	data, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAChangeThatCannotBeIsRefusedAndNotMade(t *testing.T) {
	for sentence, tc := range map[string]struct {
		change func(*typesv1beta1.FederatedObject)
		want   string
	}{
		"a cluster that is no cell": {
			func(o *typesv1beta1.FederatedObject) { o.Spec.Placement.Clusters[0].Name = "m3" },
			`FederatedDeployment.types.kubefed.io "web" is invalid: spec.placement.clusters[0].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.shop`,
		},
		"a cluster that is no cell, without the annotation": {
			func(o *typesv1beta1.FederatedObject) {
				o.Annotations = nil
				o.Spec.Placement.Clusters[0].Name = "m3"
			},
			`FederatedDeployment.types.kubefed.io "web" is invalid: spec.placement.clusters[0].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.shop`,
		},
		"another kind": {
			func(o *typesv1beta1.FederatedObject) { o.Kind = "FederatedService" },
			"FederatedService and FederatedDeployment are two kinds",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := admit(t, webhook(tc.change))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if diff := cmp.Diff(inJSON(t, cellObject(t)), inJSON(t, got)); diff != "" {
				t.Errorf("object after a refused change (-before +after):\n%s", diff)
			}
		})
	}
}

// policies changes the object in each version in turn, as the library's plugin of mutating
// policies does: all views are made first, each change gives an unstructured object, and what
// is taken over in the end is the last.
func policies(versions ...schema.GroupVersion) plugin {
	return func(a admission.Attributes, o admission.ObjectInterfaces) error {
		views := map[schema.GroupVersion]*admission.VersionedAttributes{}
		for _, version := range versions {
			view, err := admission.NewVersionedAttributes(a, version.WithKind("FederatedDeployment"), o)
			if err != nil {
				return err
			}
			views[version] = view
		}
		var last runtime.Object
		for _, version := range versions {
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(views[version].VersionedObject)
			if err != nil {
				return err
			}
			patched := &unstructured.Unstructured{Object: content}
			labels := patched.GetLabels()
			if labels == nil {
				labels = map[string]string{}
			}
			labels["by-"+version.Version] = "yes"
			patched.SetLabels(labels)
			if views[version].VersionedObject, err = o.GetObjectConvertor().ConvertToVersion(patched, a.GetKind().GroupVersion()); err != nil {
				return err
			}
			last = views[version].VersionedObject
		}
		return o.GetObjectConvertor().Convert(last, a.GetObject(), nil)
	}
}

func TestPoliciesOfBothVersionsSeeAndKeepEachOthersChanges(t *testing.T) {
	one, two := federated.V1beta1, federated.V1beta2
	for sentence, versions := range map[string][]schema.GroupVersion{
		"v1beta1 alone":                         {one},
		"v1beta2 alone":                         {two},
		"v1beta1 first":                         {one, two},
		"v1beta2 first":                         {two, one},
		"v1beta1 before and after another does": {one, two, one},
		"v1beta2 before and after another does": {two, one, two},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := admit(t, policies(versions...))
			if err != nil {
				t.Fatal(err)
			}
			want := cellObject(t)
			want.Labels = map[string]string{}
			for _, version := range versions {
				want.Labels["by-"+version.Version] = "yes"
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(want.Labels)), slices.Sorted(maps.Keys(got.Labels))); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(inJSON(t, want.Spec), inJSON(t, got.Spec)); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(inJSON(t, want.Status), inJSON(t, got.Status)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheVersionsOfAKindAreEquivalentBeforeAnybodySpeaksThem(t *testing.T) {
	registry := newScope().equivalents
	for _, tc := range []struct {
		subresource string
		kind        schema.GroupVersionKind
	}{
		{"", federated.V1beta1.WithKind("FederatedDeployment")},
		{"status", federated.V1beta1.WithKind("FederatedDeployment")},
		{"scale", wire.ScaleKind},
	} {
		resource := federated.V1beta1.WithResource("federateddeployments")
		if !slices.Contains(registry.EquivalentResourcesFor(federated.V1beta2.WithResource("federateddeployments"), tc.subresource), resource) {
			t.Errorf("%q: v1beta1 is no equivalent of v1beta2", tc.subresource)
		}
		if got := registry.KindFor(resource, tc.subresource); got != tc.kind {
			t.Errorf("%q: kind is %v, want %v", tc.subresource, got, tc.kind)
		}
	}
}
