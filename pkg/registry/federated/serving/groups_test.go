package serving_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// zones is a spec in v1beta2 that names groups wherever it may.
func zones() object {
	return object{
		"topologyType":  "cell:zone",
		"template":      object{"spec": object{"replicas": 2}},
		"placement":     object{"topologies": list("a", "b")},
		"placementMask": object{"topologies": list("a")},
		"overrides":     []any{object{"topologyName": "a", "topologyOverrides": replicasTo(2)}, forGray},
	}
}

// zonesAsSelector is how v1beta1 shows the placement in groups.
func zonesAsSelector(groups ...any) object {
	return object{"clusterSelector": object{
		"matchLabels":      object{"federation.koinon.io/topology": "cell", "federation.koinon.io/topology-namespace": "shop"},
		"matchExpressions": []any{object{"key": "zone", "operator": "In", "values": groups}},
	}}
}

func TestAStockClientSeesASelectorForGroups(t *testing.T) {
	a := newAPI(t, nil)
	a.apply("v1beta2", "web", "owner", false, zones())
	spec := specOf(a.get("v1beta1", "web"))
	same(t, "placement", any(zonesAsSelector("a", "b")), spec["placement"])
	same(t, "overrides", any([]any{object{"clusterName": "zone=a", "clusterOverrides": []any{object{"path": "/spec/replicas", "op": "replace", "value": 2.0}}}}), spec["overrides"])
}

// without takes the annotation off, as a client does that does not know it.
func without(obj object) object {
	delete(obj["metadata"].(object)["annotations"].(object), stashAnnotation)
	return obj
}

func ownersOf(t *testing.T, obj object, prefix string) (who []string) {
	for owner, paths := range owned(t, obj) {
		if slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(path, prefix) }) {
			who = append(who, owner)
		}
	}
	slices.Sort(who)
	return who
}

func TestGroupsKeepTheirOwnersThroughV1beta1(t *testing.T) {
	a := newAPI(t, nil)
	put := func(name, subresource string, obj object) {
		a.must(request{method: http.MethodPut, version: "v1beta1", name: name, subresource: subresource, manager: "other", contentType: jsonBody, body: obj})
	}
	scaled := func(obj object) object {
		specOf(obj)["template"].(object)["spec"].(object)["replicas"] = 7
		return obj
	}
	patch := func(name, subresource string, body any) {
		a.must(request{method: http.MethodPatch, version: "v1beta1", name: name, subresource: subresource, manager: "other", contentType: mergePatch, body: body})
	}
	for sentence, write := range map[string]func(name string){
		"a PUT with the annotation":         func(name string) { put(name, "", scaled(a.get("v1beta1", name))) },
		"a PUT without the annotation":      func(name string) { put(name, "", scaled(without(a.get("v1beta1", name)))) },
		"a PUT of the status, without":      func(name string) { put(name, "status", without(a.get("v1beta1", name))) },
		"a merge patch":                     func(name string) { patch(name, "", object{"spec": object{"retainReplicas": true}}) },
		"a merge patch of the scale":        func(name string) { patch(name, "scale", object{"spec": object{"replicas": 7}}) },
		"a patch that takes the annotation": func(name string) { patch(name, "", object{"metadata": object{"annotations": nil}}) },
		"an apply by another manager":       func(name string) { a.apply("v1beta1", name, "other", true, object{"retainReplicas": true}) },
		"a finalizer, as KubeFed sets it":   func(name string) { put(name, "", finalized(without(a.get("v1beta1", name)))) },
		"a PUT of a status of its own":      func(name string) { put(name, "status", reported(without(a.get("v1beta1", name)))) },
	} {
		t.Run(sentence, func(t *testing.T) {
			a.t = t
			name := strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(sentence))
			a.apply("v1beta2", name, "owner", false, zones())
			write(name)
			after := a.get("v1beta2", name)
			want := zones()
			for _, field := range []string{"topologyType", "placement", "placementMask"} {
				same(t, field, want[field], specOf(after)[field])
			}
			if n := len(specOf(after)["overrides"].([]any)); n != 2 {
				t.Errorf("there are %d overrides, want 2", n)
			}
			same(t, "owners of the placement", []string{"owner Apply v1beta2"}, ownersOf(t, after, ".spec.placement."))
			a.apply("v1beta2", name, "owner", true, object{"topologyType": "cell:zone", "template": object{"spec": object{"paused": true}}})
			same(t, "placement that nobody applies any more", any(nil), specOf(a.get("v1beta2", name))["placement"])
		})
	}
}

func finalized(obj object) object {
	obj["metadata"].(object)["finalizers"] = []any{"kubefed.io/sync-controller"}
	return obj
}

func reported(obj object) object {
	obj["status"] = object{"clusters": []any{object{"name": "rz00a.shop"}, object{"name": "zone=b", "status": "TargetNotFound"}}}
	return obj
}

func TestGroupsCanBeWrittenThroughV1beta1(t *testing.T) {
	a := newAPI(t, nil)
	put := func(obj object) func(name string) {
		return func(name string) {
			specOf(obj)["placement"] = zonesAsSelector("a", "c")
			obj["metadata"].(object)["name"] = name
			delete(obj["metadata"].(object), "resourceVersion")
			delete(obj["metadata"].(object), "uid")
			a.must(request{method: http.MethodPut, version: "v1beta1", name: name, manager: "other", contentType: jsonBody, body: obj})
		}
	}
	a.apply("v1beta2", "before", "owner", false, zones())
	annotated := func() object {
		obj := a.get("v1beta1", "before")
		return object{"kind": "FederatedDeployment", "apiVersion": "types.kubefed.io/v1beta1",
			"metadata": object{"annotations": object{stashAnnotation: `{"topologyType":"cell:zone"}`}},
			"spec":     object{"template": specOf(obj)["template"], "placement": zonesAsSelector("a", "c")}}
	}
	for sentence, write := range map[string]func(name string){
		"a PUT of the selector":                         put(a.get("v1beta1", "before")),
		"a PUT of the selector, without the annotation": put(without(a.get("v1beta1", "before"))),
		"a patch of clusters": func(name string) {
			a.must(request{method: http.MethodPatch, version: "v1beta1", name: name, manager: "other", contentType: mergePatch,
				body: object{"spec": object{"placement": object{"clusters": list("zone=a", "zone=c")}}}})
		},
		"an apply with the annotation": func(name string) {
			body := annotated()
			body["metadata"].(object)["name"] = name
			apply := a.applyRequest("v1beta1", name, "other", true, nil)
			apply.body = body
			a.must(apply)
			a.must(apply) // the second time all is there already
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			a.t = t
			name := strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(sentence))
			a.apply("v1beta2", name, "owner", false, zones())
			write(name)
			after := a.get("v1beta2", name)
			same(t, "placement", any(object{"topologies": list("a", "c")}), specOf(after)["placement"])
			same(t, "type", any("cell:zone"), specOf(after)["topologyType"])
			owners := ownersOf(t, after, ".spec.placement.topologies")
			if len(owners) != 1 || !strings.HasPrefix(owners[0], "other ") || !strings.HasSuffix(owners[0], " v1beta2") {
				t.Errorf("the names belong to %q, want the writer, in the words of v1beta2", owners)
			}
			if strays := ownersOf(t, after, ".spec.placement.topologySelector"); len(strays) > 0 {
				t.Errorf("%q own a selector that is not there", strays)
			}
		})
	}
}

func TestWhatIsNoGroupIsRefusedInTheWordsOfV1beta1(t *testing.T) {
	a := newAPI(t, nil)
	a.apply("v1beta2", "web", "owner", false, zones())
	patch := func(spec object) request {
		return request{method: http.MethodPatch, version: "v1beta1", name: "web", manager: "other", contentType: mergePatch, body: object{"spec": spec}}
	}
	for sentence, test := range map[string]struct {
		write request
		want  string
	}{
		"a cluster": {patch(object{"placement": object{"clusters": list("m1")}}),
			`spec.placement.clusters[0].name: Invalid value: "m1": topologyType is cell:zone, so the name must be zone=<value>`},
		"an override for a cell": {patch(object{"overrides": []any{object{"clusterName": "rz00a.shop", "clusterOverrides": replicasTo(4)}}}),
			`spec.overrides[0].clusterName: Invalid value: "rz00a.shop": topologyType is cell:zone, so the name must be zone=<value>`},
		"a selector of all cells": {patch(object{"placement": object{"clusterSelector": object{"matchExpressions": nil}}}),
			`topologyType is cell:zone, so matchLabels must hold federation.koinon.io/topology: cell and federation.koinon.io/topology-namespace: shop, ` +
				`and matchExpressions must begin with {key: zone, operator: Exists}, or be the same with In and values alone`},
		"an apply of other groups, without the annotation": {a.applyRequest("v1beta1", "web", "other", true, object{"placement": zonesAsSelector("c")}),
			`topologyType is cell:zone, and other groups are placed by name: write clusters, with names such as zone=c`},
		"an apply of a cluster": {a.applyRequest("v1beta1", "web", "other", true, object{"placement": object{"clusters": list("m1")}}),
			`"m1": topologyType is cell:zone, so the name must be zone=<value>`},
	} {
		t.Run(sentence, func(t *testing.T) {
			code, answer := a.do(test.write)
			if message, _ := answer["message"].(string); code != http.StatusUnprocessableEntity && code != http.StatusBadRequest || !strings.Contains(message, test.want) {
				t.Errorf("answered %d %s\nwant %s", code, message, test.want)
			}
			same(t, "placement", zones()["placement"], specOf(a.get("v1beta2", "web"))["placement"])
		})
	}
}
