package serving_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
)

// customResources is the field manager that an API server has for custom resources, with the
// schema that federated kinds have in v1beta2, and the objects that it makes.
type customResources struct {
	manager *managedfields.FieldManager
	live    *unstructured.Unstructured
}

var customKind = schema.GroupVersionKind{Group: "types.kubefed.io", Version: "v1beta2", Kind: "FederatedDeployment"}

func newCustomResources(t *testing.T) *customResources {
	t.Helper()
	of := func(kind string, properties map[string]spec.Schema) spec.Schema {
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{kind}, Properties: properties}}
	}
	anything := of("object", nil)
	anything.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	atomic := of("array", nil)
	atomic.Items = &spec.SchemaOrArray{Schema: &anything}
	atomic.AddExtension("x-kubernetes-list-type", "atomic")
	selector := of("object", map[string]spec.Schema{"matchLabels": anything})
	selector.AddExtension("x-kubernetes-map-type", "atomic")
	placement := of("object", map[string]spec.Schema{"topologies": atomic, "topologySelector": selector})
	labels := of("object", nil)
	text := of("string", nil)
	labels.AdditionalProperties = &spec.SchemaOrBool{Allows: true, Schema: &text}
	metadata := of("object", map[string]spec.Schema{"labels": labels})
	metadata.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	root := of("object", map[string]spec.Schema{
		"apiVersion": text, "kind": text,
		"metadata": metadata,
		"spec": of("object", map[string]spec.Schema{"topologyType": text, "template": anything, "placement": placement, "placementMask": placement,
			"overrides": atomic, "retainReplicas": of("boolean", nil)}),
	})
	root.AddExtension("x-kubernetes-group-version-kind", []any{map[string]any{"group": customKind.Group, "version": customKind.Version, "kind": customKind.Kind}})
	converter, err := managedfields.NewTypeConverter(map[string]*spec.Schema{"mirror": &root}, false)
	if err != nil {
		t.Fatal(err)
	}
	manager, err := managedfields.NewDefaultCRDFieldManager(converter, customConverter{}, customConverter{}, customConverter{}, customKind, customKind.GroupVersion(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &customResources{manager: manager}
}

// customConverter is what custom resources of one version need: nothing but a default.
type customConverter struct{ runtime.ObjectConvertor }

func (customConverter) ConvertToVersion(obj runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return obj, nil
}

func (customConverter) New(schema.GroupVersionKind) (runtime.Object, error) {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(customKind)
	return out, nil
}

func (customConverter) Default(obj runtime.Object) {
	fields := obj.(*unstructured.Unstructured).Object
	if spec, ok := fields["spec"].(object); ok && spec["topologyType"] == nil {
		spec["topologyType"] = "cluster"
	}
}

// update is a PUT or a POST of an object with a spec.
func (c *customResources) update(t *testing.T, who string, obj object) {
	t.Helper()
	next := &unstructured.Unstructured{Object: normal(obj).(object)}
	customConverter{}.Default(next)
	live := c.live
	if live == nil {
		empty, _ := customConverter{}.New(customKind)
		live = empty.(*unstructured.Unstructured)
	} else {
		next.SetUID(live.GetUID())
	}
	updated, err := c.manager.Update(live, next, who)
	if err != nil {
		t.Fatal(err)
	}
	c.live = updated.(*unstructured.Unstructured)
	c.live.SetUID(types.UID("uid"))
}

func (c *customResources) apply(who string, force bool, obj object) error {
	applied, err := c.manager.Apply(c.live, &unstructured.Unstructured{Object: normal(obj).(object)}, who, force)
	if err == nil {
		c.live = applied.(*unstructured.Unstructured)
		dropNulls(c.live.Object)
	}
	return err
}

// dropNulls takes out what the field manager leaves of objects that have lost all fields.
func dropNulls(fields object) {
	for name, value := range fields {
		if value == nil {
			delete(fields, name)
		} else if inner, ok := value.(object); ok {
			dropNulls(inner)
		}
	}
}

// Whoever speaks v1beta2 alone finds what a custom resource of the same schema has: in the
// object, in its owners and in conflicts.
func TestOwnershipInV1beta2IsThatOfACustomResource(t *testing.T) {
	a := newAPI(t, nil)
	for range 40 {
		seed := rand.Uint64()
		if !t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) { compareWithCustomResource(a, t, seed) }) {
			return
		}
	}
}

func compareWithCustomResource(a *api, t *testing.T, seed uint64) {
	s := newSequence(a, t, seed)
	custom := newCustomResources(t)
	wished := func() wish {
		w := s.wish("v1beta2", false)
		if s.topology == "cell" || s.IntN(2) == 0 {
			w.values[fieldType] = s.topology
		}
		return w
	}
	first := wished()
	first.values[fieldType] = s.topology
	obj := anchored(render("v1beta2", s.name, first))
	s.must(request{method: http.MethodPost, version: "v1beta2", manager: "creator", contentType: jsonBody, body: obj})
	custom.update(t, "creator", obj)
	for range 30 {
		who, force, w := s.manager(), s.IntN(2) == 0, wished()
		obj := render("v1beta2", s.name, w)
		if s.IntN(2) == 0 {
			s.note("PUT %s %s", who, compact(obj))
			s.must(request{method: http.MethodPut, version: "v1beta2", name: s.name, manager: who, contentType: jsonBody, body: anchored(obj)})
			custom.update(t, who, obj)
		} else {
			s.note("apply %s force=%v %s", who, force, compact(obj))
			code, answer := s.do(request{method: http.MethodPatch, version: "v1beta2", name: s.name, manager: who, force: force, contentType: applyPatch, body: obj})
			message := ""
			if code != http.StatusOK {
				message = fmt.Sprint(answer["message"])
			}
			want := ""
			if err := custom.apply(who, force, obj); err != nil {
				want = err.Error()
			}
			// The parts of a list are further down in a set of fields than a list is.
			same(t, "refusal", sortedLines(want), sortedLines(message))
		}
		got := &unstructured.Unstructured{Object: s.current("v1beta2")}
		if diff := cmp.Diff(outline(custom.live), outline(got)); diff != "" || t.Failed() {
			t.Fatalf("-custom resource +federated:\n%s\nafter:\n%v", diff, s.log[max(0, len(s.log)-4):])
		}
	}
}

func sortedLines(text string) []string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return lines
}

// outline is the spec and the owners of an object, without times, and without that somebody
// made the spec: as with built-in kinds, there always is one.
func outline(o *unstructured.Unstructured) any {
	owners := []string{}
	for _, e := range o.GetManagedFields() {
		fields := normal(e.FieldsV1).(object)
		if spec, ok := fields["f:spec"].(object); ok {
			delete(spec, ".")
		}
		owners = append(owners, fmt.Sprintf("%s %s %s %s", e.Manager, e.Operation, e.APIVersion, compact(fields)))
	}
	slices.Sort(owners)
	return normal(object{"spec": o.Object["spec"], "labels": o.GetLabels(), "owners": owners})
}

// The labels belong to who made the map, even after an apply of somebody else has removed the
// last one. So who then applies labels meets that owner, and takes the map by force.
func TestWhoMadeAMapOwnsItAfterAnApplyRemovedItsLastField(t *testing.T) {
	a := newAPI(t, nil)
	spec := func() object { return object{"topologyType": "cluster", "retainReplicas": true} }
	for sentence, c := range map[string]struct {
		path string
		with func(obj object, value string)
	}{
		"labels": {".metadata.labels", func(obj object, value string) {
			obj["metadata"].(object)["labels"] = object{"app": value}
		}},
		"placement": {".spec.placement", func(obj object, value string) {
			specOf(obj)["placement"] = object{"topologies": list(value)}
		}},
		"mask": {".spec.placementMask", func(obj object, value string) {
			specOf(obj)["placementMask"] = object{"topologies": list(value)}
		}},
	} {
		t.Run(sentence, func(t *testing.T) {
			mine := *a
			mine.t = t
			custom := newCustomResources(t)
			manifest := func(value string) object {
				obj := federatedDeployment("v1beta2", "map-"+sentence, spec())
				if value != "" {
					c.with(obj, value)
				}
				return obj
			}
			apply := func(force bool, value string) string {
				obj := manifest(value)
				code, answer := mine.do(request{method: http.MethodPatch, version: "v1beta2", name: "map-" + sentence, manager: "alice", force: force,
					contentType: applyPatch, body: obj})
				refusal, want := "", ""
				if code != http.StatusOK {
					refusal = fmt.Sprint(answer["message"])
				}
				if err := custom.apply("alice", force, obj); err != nil {
					want = err.Error()
				}
				same(t, "refusal", want, refusal)
				same(t, "object", outline(custom.live), outline(&unstructured.Unstructured{Object: mine.get("v1beta2", "map-"+sentence)}))
				return refusal
			}
			made := anchored(manifest("made"))
			mine.must(request{method: http.MethodPost, version: "v1beta2", manager: "carol", contentType: jsonBody, body: made})
			custom.update(t, "carol", made)
			apply(true, "taken")
			apply(true, "")
			const conflict = `Apply failed with 1 conflict: conflict with "carol" using types.kubefed.io/v1beta2: `
			same(t, "refusal", conflict+c.path, apply(false, "anew"))
			same(t, "refusal", "", apply(true, "anew"))
			if fields := owned(t, mine.get("v1beta2", "map-"+sentence))["carol Update v1beta2"]; slices.Contains(fields, c.path) {
				t.Errorf("carol still owns %s: %v", c.path, fields)
			}
		})
	}
}

// scaled knows widgets, a custom kind with replicas, and gizmos, one without: a member's OpenAPI says so.
type scaled struct{}

func (scaled) TargetSchemas(gvks []schema.GroupVersionKind) map[schema.GroupVersionKind]*targetschema.Target {
	out := map[schema.GroupVersionKind]*targetschema.Target{}
	for _, gvk := range gvks {
		field := map[string]string{"Widget": "replicas", "Gizmo": "size"}[gvk.Kind]
		if field == "" {
			continue
		}
		ofSpec := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{field: *spec.Int32Property()}}}
		root := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{"spec": ofSpec}}}
		out[gvk] = &targetschema.Target{Root: gvk.Kind, Schemas: map[string]*spec.Schema{gvk.Kind: root}}
	}
	return out
}

func TestACustomKindWithReplicasScales(t *testing.T) {
	kind := func(name string) federated.Kind {
		return federated.Kind{Kind: "Federated" + name, Resource: "federated" + strings.ToLower(name) + "s", Namespaced: true,
			Target: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: name}, TargetNamespaced: true}
	}
	a := serve(t, serving.Config{Schemas: scaled{}, Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer()}, kind("Widget"), kind("Gizmo"))
	for _, version := range []string{"v1beta1", "v1beta2"} {
		for _, name := range []string{"Widget", "Gizmo"} {
			a.must(request{method: http.MethodPost, version: version, resource: kind(name).Resource, manager: "alice", contentType: jsonBody, body: object{
				"apiVersion": "types.kubefed.io/" + version, "kind": kind(name).Kind, "metadata": object{"name": version, "namespace": namespace},
				"spec": object{"template": object{"spec": object{"replicas": 2}}}}})
		}
		scale := request{method: http.MethodPatch, version: version, resource: "federatedwidgets", name: version, subresource: "scale",
			manager: "bob", contentType: mergePatch, body: object{"spec": object{"replicas": 5}}}
		same(t, "the scale", object{"replicas": 5.0}, a.must(scale)["spec"].(object))
		widget := a.must(request{method: http.MethodGet, version: version, resource: "federatedwidgets", name: version})
		same(t, "the template", object{"spec": object{"replicas": 5.0}}, specOf(widget)["template"].(object))
		if got := owned(t, widget)["bob Update scale "+version]; !slices.Equal(got, []string{".spec.template.spec.replicas"}) {
			t.Errorf("who scaled owns %v, want the replicas; owners are %v", got, owned(t, widget))
		}
		scale.resource = "federatedgizmos"
		if code, answer := a.do(scale); code != http.StatusNotFound {
			t.Errorf("the scale of a kind without replicas: got %d %v, want 404", code, answer["message"])
		}
	}
}
