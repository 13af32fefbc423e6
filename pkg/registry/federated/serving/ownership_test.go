package serving_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/admission"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

const stashAnnotation = "federation.koinon.io/topology"

// owned lists who owns which fields of an object: "<manager> <operation> [<subresource>]
// <version>" to paths.
func owned(t *testing.T, obj object) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, e := range entries(t, obj) {
		set := &fieldpath.Set{}
		if err := set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
			t.Fatal(err)
		}
		who := strings.Join(slices.DeleteFunc([]string{e.Manager, string(e.Operation), e.Subresource, strings.TrimPrefix(e.APIVersion, "types.kubefed.io/")},
			func(s string) bool { return s == "" }), " ")
		for path := range set.All() {
			out[who] = append(out[who], path.String())
		}
		sort.Strings(out[who])
	}
	return out
}

func list(names ...string) []any {
	out := []any{}
	for _, name := range names {
		out = append(out, object{"name": name})
	}
	return out
}

func replicasTo(n int) []any {
	return []any{object{"path": "/spec/replicas", "op": "replace", "value": n}}
}

var (
	maskOfRz00a = object{"topologies": list("rz00a")}
	forGray     = object{"topologySelector": object{"matchLabels": object{"gray": "yes"}}, "topologyOverrides": replicasTo(9)}
	forRz00a    = object{"topologyName": "rz00a", "topologyOverrides": replicasTo(2)}
)

// cells is a spec in v1beta2 with all that v1beta1 has no words for.
func cells() object {
	return object{
		"topologyType":  "cell",
		"template":      object{"spec": object{"replicas": 2}},
		"placement":     object{"topologies": list("rz00a", "rz01a")},
		"placementMask": maskOfRz00a,
		"overrides":     []any{forRz00a, forGray},
	}
}

func specOf(obj object) object { return obj["spec"].(object) }

func TestWhatV1beta1CannotSayKeepsItsOwners(t *testing.T) {
	a := newAPI(t, nil)
	withAnnotation := func(obj object) {}
	withoutAnnotation := func(obj object) {
		delete(obj["metadata"].(object), "annotations")
	}
	put := func(subresource, manager string, prepare func(object), change func(object)) func(name string) {
		return func(name string) {
			obj := a.get("v1beta1", name)
			prepare(obj)
			change(obj)
			a.must(request{method: http.MethodPut, version: "v1beta1", name: name, subresource: subresource, manager: manager, contentType: jsonBody, body: obj})
		}
	}
	patch := func(subresource, contentType string, body any) func(string) {
		return func(name string) {
			a.must(request{method: http.MethodPatch, version: "v1beta1", name: name, subresource: subresource, manager: "other", contentType: contentType, body: body})
		}
	}
	scaleTo7 := func(obj object) { specOf(obj)["template"].(object)["spec"].(object)["replicas"] = 7 }
	setStatus := func(obj object) { obj["status"] = object{"clusters": []any{object{"name": "rz00a.shop"}}} }
	for sentence, write := range map[string]func(name string){
		"PUT with the annotation":                         put("", "other", withAnnotation, scaleTo7),
		"PUT without the annotation":                      put("", "other", withoutAnnotation, scaleTo7),
		"PUT by the same manager, without the annotation": put("", "owner", withoutAnnotation, scaleTo7),
		"PUT without annotation and managedFields": put("", "other", withoutAnnotation, func(obj object) {
			delete(obj["metadata"].(object), "managedFields")
			scaleTo7(obj)
		}),
		"PUT of nothing but the rest": put("", "other", withoutAnnotation, func(obj object) {
			obj["metadata"] = object{"name": obj["metadata"].(object)["name"]}
			obj["spec"] = object{"template": object{"spec": object{"replicas": 7}}}
		}),
		"a status PUT with the annotation":             put("status", "other", withAnnotation, setStatus),
		"a status PUT without the annotation":          put("status", "other", withoutAnnotation, setStatus),
		"a merge patch":                                patch("", mergePatch, object{"spec": object{"template": object{"spec": object{"replicas": 7}}}}),
		"a merge patch that takes the annotation away": patch("", mergePatch, object{"metadata": object{"annotations": nil}}),
		"a JSON patch":                                 patch("", jsonPatch, []any{object{"op": "replace", "path": "/spec/template/spec/replicas", "value": 7}}),
		"a status merge patch":                         patch("status", mergePatch, object{"status": object{"clusters": []any{object{"name": "rz00a.shop"}}}}),
		"a merge patch of the scale":                   patch("scale", mergePatch, object{"spec": object{"replicas": 7}}),
		"an apply by another manager": func(name string) {
			a.apply("v1beta1", name, "other", true, object{"template": object{"spec": object{"replicas": 7}}})
		},
		"an apply by the same manager": func(name string) {
			a.apply("v1beta1", name, "owner", true, object{"template": object{"spec": object{"replicas": 7}}})
		},
		"an apply of nothing else by the same": func(name string) {
			a.apply("v1beta1", name, "owner", true, object{"template": object{"spec": object{"paused": true}}})
		},
		"an apply that takes the overrides by name": func(name string) {
			a.apply("v1beta1", name, "other", true, object{"overrides": []any{object{"clusterName": "rz01a.shop", "clusterOverrides": replicasTo(4)}}})
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			a.t = t
			name := strings.ReplaceAll(strings.ToLower(sentence), " ", "-")
			name = strings.ReplaceAll(name, ",", "")
			a.apply("v1beta2", name, "owner", false, cells())
			write(name)
			after := a.get("v1beta2", name)
			same(t, "type", any("cell"), specOf(after)["topologyType"])
			same(t, "mask", any(maskOfRz00a), specOf(after)["placementMask"])
			if overrides := fmt.Sprint(specOf(after)["overrides"]); !strings.Contains(overrides, "gray:yes") {
				t.Errorf("the override by selector is gone: %s", overrides)
			}
			for who, paths := range owned(t, after) {
				for _, path := range paths {
					if strings.Contains(path, stashAnnotation) {
						t.Errorf("%s owns the annotation", who)
					}
					if hidden := strings.HasPrefix(path, ".spec.topologyType") || strings.HasPrefix(path, ".spec.placementMask"); hidden && !strings.HasPrefix(who, "owner Apply") {
						t.Errorf("%s owns %s", who, path)
					}
				}
			}
			// What the owner no longer applies in a version that can say it is removed.
			a.apply("v1beta2", name, "owner", true, object{"topologyType": "cell", "template": object{"spec": object{"paused": true}}})
			after = a.get("v1beta2", name)
			same(t, "mask afterwards", any(nil), specOf(after)["placementMask"])
			if overrides := fmt.Sprint(specOf(after)["overrides"]); strings.Contains(overrides, "gray:yes") {
				t.Errorf("the override by selector is still there: %s", overrides)
			}
		})
	}
}

func TestEntriesAreInTheWordsOfTheVersionThatWasSpoken(t *testing.T) {
	a := newAPI(t, nil)
	inV1beta1 := object{"template": object{"spec": object{"replicas": 1}}, "placement": object{"clusters": list("m1")},
		"overrides": []any{object{"clusterName": "m1", "clusterOverrides": replicasTo(2)}}}
	inV1beta2 := object{"template": object{"spec": object{"replicas": 1}}, "placement": object{"topologies": list("m1")},
		"overrides": []any{object{"topologyName": "m1", "topologyOverrides": replicasTo(2)}}}
	for i, step := range []struct {
		version string
		spec    object
		want    map[string][]string
	}{
		{"v1beta1", inV1beta1, map[string][]string{"alice Apply v1beta1": {".spec.overrides", ".spec.placement.clusters"}}},
		{"v1beta2", inV1beta2, map[string][]string{"alice Apply v1beta2": {".spec.overrides", ".spec.placement.topologies"}}},
		{"v1beta1", inV1beta1, map[string][]string{"alice Apply v1beta2": {".spec.overrides", ".spec.placement.topologies"}}},
	} {
		got := owned(t, a.apply(step.version, "web", "alice", false, step.spec))
		for who := range got {
			got[who] = slices.DeleteFunc(got[who], func(path string) bool { return strings.HasPrefix(path, ".spec.template") })
		}
		same(t, fmt.Sprintf("owners after step %d", i), step.want, got)
	}
}

// plugin keeps the last object that it was shown.
type plugin struct{ seen, old *typesv1beta2.FederatedObject }

func (*plugin) Handles(admission.Operation) bool { return true }

func (p *plugin) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	seen, _ := a.GetObject().(*typesv1beta2.FederatedObject)
	old, _ := a.GetOldObject().(*typesv1beta2.FederatedObject)
	p.seen, p.old = seen.DeepCopy(), old.DeepCopy()
	return nil
}

func TestAdmissionPluginsSeeWholeObjects(t *testing.T) {
	p := &plugin{}
	a := newAPI(t, p)
	a.apply("v1beta2", "web", "owner", false, cells())
	stored := entries(t, a.get("v1beta2", "web"))
	for sentence, write := range map[string]func(){
		"a PUT without the annotation": func() {
			obj := a.get("v1beta1", "web")
			delete(obj["metadata"].(object), "annotations")
			a.must(request{method: http.MethodPut, version: "v1beta1", name: "web", manager: "other", contentType: jsonBody, body: obj})
		},
		"an apply by the owner": func() {
			a.apply("v1beta1", "web", "owner", false, object{"template": object{"spec": object{"replicas": 2}}, "placement": object{"clusters": list("rz00a.shop", "rz01a.shop")},
				"overrides": []any{object{"clusterName": "rz00a.shop", "clusterOverrides": replicasTo(2)}}})
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			a.t = t
			write()
			if p.seen.Spec.PlacementMask == nil || p.seen.Spec.TopologyType != "cell" || len(p.seen.Spec.Overrides) != 2 || p.seen.Spec.Placement.Topologies[0].Name != "rz00a" {
				t.Errorf("the object: got %s", indented(p.seen.Spec))
			}
			same(t, "fields of the old object", string(stored[0].FieldsV1.GetRawBytes()), string(p.old.ManagedFields[0].FieldsV1.GetRawBytes()))
		})
	}
}

// Targets are one field, which belongs to who changed it last; v1beta1 has no word for most
// of it.
func TestWhoSaysNothingNewOfTargetsThroughV1beta1DoesNotOwnThem(t *testing.T) {
	a := newAPI(t, nil)
	for name, test := range map[string]struct {
		annotated bool
		state     string
		owner     string
	}{
		"same-annotated":  {true, "ClusterNotReady", "engine Update status v1beta2"},
		"same":            {false, "ClusterNotReady", "engine Update status v1beta2"},
		"other-annotated": {true, "", "stock Update status v1beta2"},
		"other":           {false, "", "stock Update status v1beta2"},
	} {
		t.Run(name, func(t *testing.T) {
			a.t = t
			a.apply("v1beta2", name, "owner", false, cells())
			obj := a.get("v1beta2", name)
			obj["status"] = object{"targets": []any{object{"name": "rz00a", "hash": "x", "state": "ClusterNotReady"}, object{"name": "rz01a", "state": "Masked"}}}
			a.must(request{method: http.MethodPut, version: "v1beta2", name: name, subresource: "status", manager: "engine", contentType: jsonBody, body: obj})
			obj = a.get("v1beta1", name)
			if !test.annotated {
				delete(obj["metadata"].(object), "annotations")
			}
			obj["status"] = object{"clusters": []any{object{"name": "rz00a.shop", "status": test.state}}}
			after := a.must(request{method: http.MethodPut, version: "v1beta1", name: name, subresource: "status", manager: "stock", contentType: jsonBody, body: obj})
			got := map[string][]string{}
			for who, paths := range owned(t, after) {
				if slices.Contains(paths, ".status.targets") {
					got[who] = slices.DeleteFunc(paths, func(path string) bool { return !strings.HasPrefix(path, ".status.targets") })
				}
			}
			same(t, "owners of the targets", map[string][]string{test.owner: {".status.targets"}}, got)
		})
	}
}

// Until v1beta2 had them as one field, each target's parts had owners.
func TestOwnersOfSingleTargetsAreReadAndForgotten(t *testing.T) {
	a := newAPI(t, nil)
	a.apply("v1beta2", "web", "owner", false, cells())
	obj := a.get("v1beta2", "web")
	obj["status"] = object{"targets": []any{object{"name": "rz00a", "hash": "x"}}}
	put := request{method: http.MethodPut, version: "v1beta2", name: "web", subresource: "status", manager: "engine", contentType: jsonBody, body: obj}
	obj = a.must(put)
	for _, entry := range obj["metadata"].(object)["managedFields"].([]any) {
		if e := entry.(object); e["subresource"] == "status" {
			e["fieldsV1"].(object)["f:status"].(object)["f:targets"] = object{`k:{"name":"rz00a"}`: object{".": object{}, "f:name": object{}, "f:hash": object{}}}
		}
	}
	put.body = obj
	a.must(put)
	obj["status"] = object{"targets": []any{object{"name": "rz00a", "hash": "y"}}}
	delete(obj["metadata"].(object), "resourceVersion")
	after := owned(t, a.must(put))["engine Update status v1beta2"]
	if !slices.Contains(after, ".status.targets") || slices.ContainsFunc(after, func(path string) bool { return strings.Contains(path, "[") }) {
		t.Errorf("the engine owns %v", after)
	}
}

// Merging leaves null there, which a custom kind in a member would be refused for.
func TestAnApplyThatRemovesTheLastItemRemovesTheField(t *testing.T) {
	for _, version := range []string{"v1beta1", "v1beta2"} {
		a := newAPI(t, nil)
		template := func(spec object) object { return object{"template": object{"spec": spec}} }
		a.apply(version, "web", "alice", false, template(object{"minReadySeconds": 1, "strategy": object{"rollingUpdate": object{"maxSurge": 1}}, "mine": nil}))
		got := a.apply(version, "web", "alice", false, template(object{"minReadySeconds": 1, "mine": nil}))
		same(t, "the template in "+version, template(object{"minReadySeconds": 1.0, "mine": nil})["template"], specOf(got)["template"])
	}
}

func TestWhoWroteBeforeTheFirstApplyLosesTheListAsAWhole(t *testing.T) {
	a := newAPI(t, nil)
	spec := func(replicas int) object {
		return object{"template": object{}, "overrides": []any{object{"topologyName": "m1", "topologyOverrides": replicasTo(replicas)}, forGray}}
	}
	a.must(request{method: http.MethodPost, version: "v1beta2", manager: "alice", contentType: jsonBody, body: federatedDeployment("v1beta2", "web", spec(1))})
	a.must(request{method: http.MethodPatch, version: "v1beta2", name: "web", manager: "alice", contentType: mergePatch,
		body: object{"metadata": object{"managedFields": []any{object{}}}}})
	got := owned(t, a.apply("v1beta2", "web", "bob", true, spec(2)))
	for who, fields := range got {
		if owns := slices.ContainsFunc(fields, func(field string) bool { return strings.HasPrefix(field, ".spec.overrides") }); owns != strings.HasPrefix(who, "bob ") {
			t.Errorf("%s owns %v", who, fields)
		}
	}
}

// The answer is in audit logs, and the library logs the same error for other writes.
func TestAnApplyOfAnotherTypeDoesNotQuoteTheValue(t *testing.T) {
	a := newAPI(t, nil)
	for _, version := range []string{"v1beta1", "v1beta2"} {
		code, answer := a.do(a.applyRequest(version, "web", "alice", false, object{"template": object{}, "overrides": "hunter2"}))
		if text := indented(answer); code < 400 || strings.Contains(text, "hunter2") || !strings.Contains(text, ".spec.overrides: expected list") {
			t.Errorf("%s: answered %d %s", version, code, text)
		}
	}
}
