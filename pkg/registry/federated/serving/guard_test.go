package serving_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"k8s.io/apiserver/pkg/admission"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// guarded makes an object that was written to a target. The manager tool applies the finalizers.
func guarded(a *api, name string, finalizers ...string) {
	a.t.Helper()
	made := a.applyRequest("v1beta2", name, "tool", true, object{"template": object{}, "placement": object{"topologies": []any{object{"name": "m1"}}}})
	if len(finalizers) > 0 {
		made.body.(object)["metadata"].(object)["finalizers"] = finalizers
	}
	a.must(made)
	a.must(request{method: http.MethodPatch, version: "v1beta2", name: name, subresource: "status", manager: "engine", contentType: mergePatch,
		body: object{"status": object{"targets": []any{object{"name": "m1", "state": "Pending", "hash": "abc"}}}}})
}

func finalizersOf(a *api, name string) []string {
	a.t.Helper()
	var out []string
	finalizers, _ := a.get("v1beta2", name)["metadata"].(object)["finalizers"].([]any)
	for _, f := range finalizers {
		out = append(out, f.(string))
	}
	return out
}

func TestNobodyTakesTheFinalizerOfAnObjectThatMembersHold(t *testing.T) {
	const other, ours = "example.com/other", v1beta1.SyncFinalizer
	a := newAPI(t, nil)
	for i, version := range []string{"v1beta1", "v1beta2"} {
		spec := object{"template": object{}, "placement": object{"topologies": []any{object{"name": "m1"}}}}
		if version == "v1beta1" {
			spec = object{"template": object{}, "placement": object{"clusters": []any{object{"name": "m1"}}}}
		}
		for way, write := range map[string]func(name string) request{
			"a replace": func(name string) request {
				return request{method: http.MethodPut, version: version, name: name, body: federatedDeployment(version, name, spec)}
			},
			"a merge patch": func(name string) request {
				return request{method: http.MethodPatch, version: version, name: name, contentType: mergePatch, body: object{"metadata": object{"finalizers": nil}}}
			},
			"a JSON patch": func(name string) request {
				return request{method: http.MethodPatch, version: version, name: name, contentType: jsonPatch, body: []any{object{"op": "remove", "path": "/metadata/finalizers"}}}
			},
			"an apply": func(name string) request {
				return a.applyRequest(version, name, "tool", true, spec)
			},
			"a patch of the metadata": func(name string) request {
				return request{method: http.MethodPatch, version: version, name: name, contentType: mergePatch,
					accept: "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", body: object{"metadata": object{"finalizers": []any{}}}}
			},
		} {
			t.Run(fmt.Sprintf("%s in %s", way, version), func(t *testing.T) {
				a := &api{t: t, server: a.server, handler: a.handler}
				name := fmt.Sprintf("web-%d-%d", i, len(way))
				guarded(a, name, ours, other)
				a.must(write(name))
				if got := finalizersOf(a, name); !slices.Contains(got, ours) {
					t.Errorf("got finalizers %v", got)
				}
				a.must(request{method: http.MethodDelete, version: version, name: name})
				if a.get("v1beta2", name)["metadata"].(object)["deletionTimestamp"] == nil {
					t.Error("the object does not wait for its copies")
				}
				// Now whoever clears up takes it away.
				a.do(request{method: http.MethodPatch, version: version, name: name, contentType: mergePatch, body: object{"metadata": object{"finalizers": nil}}})
				if code, _ := a.do(request{method: http.MethodGet, version: version, name: name}); code != http.StatusNotFound {
					t.Errorf("got %d, want it to be gone", code)
				}
			})
		}
	}
}

// An older release, or somebody before the record was stored, took the finalizer away.
func TestADeletionWaitsForCopiesWhateverFinalizersThereWere(t *testing.T) {
	a := newAPI(t, nil)
	for way, remove := range map[string]request{
		"one":              {method: http.MethodDelete, version: "v1beta2", name: "web"},
		"one, in v1beta1":  {method: http.MethodDelete, version: "v1beta1", name: "web"},
		"one, by force":    {method: http.MethodDelete, version: "v1beta2", name: "web", body: object{"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}},
		"as an orphan":     {method: http.MethodDelete, version: "v1beta2", name: "web", body: object{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"}},
		"all of them":      {method: http.MethodDelete, version: "v1beta2"},
		"all, in v1beta1":  {method: http.MethodDelete, version: "v1beta1"},
		"with those of it": {method: http.MethodDelete, version: "v1beta2", name: "web", body: object{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}},
	} {
		t.Run(way, func(t *testing.T) {
			a := &api{t: t, server: a.server, handler: a.handler}
			guarded(a, "web")
			a.must(remove)
			if got := finalizersOf(a, "web"); !slices.Contains(got, v1beta1.SyncFinalizer) {
				t.Errorf("got finalizers %v", got)
			}
			a.must(request{method: http.MethodPatch, version: "v1beta2", name: "web", contentType: mergePatch, body: object{"metadata": object{"finalizers": nil}}})
			if code, _ := a.do(request{method: http.MethodGet, version: "v1beta2", name: "web"}); code != http.StatusNotFound {
				t.Errorf("got %d, want it to be gone", code)
			}
		})
	}
	a.must(request{method: http.MethodPost, version: "v1beta2", body: federatedDeployment("v1beta2", "web", object{"template": object{}})})
	a.must(request{method: http.MethodDelete, version: "v1beta2", name: "web"})
	if code, _ := a.do(request{method: http.MethodGet, version: "v1beta2", name: "web"}); code != http.StatusNotFound {
		t.Errorf("an object that was written nowhere: got %d, want it to be gone", code)
	}
}

// Who deletes an object so that what depends on it stays leaves what members hold where it is,
// which the annotation tells engines.
func TestADeletionThatOrphansLeavesWhatMembersHold(t *testing.T) {
	a := newAPI(t, nil)
	deletion := func(options object) request {
		options["kind"], options["apiVersion"] = "DeleteOptions", "v1"
		return request{method: http.MethodDelete, version: "v1beta2", name: "web", body: options}
	}
	for way, test := range map[string]struct {
		finalizers []string
		annotation any
		remove     request
		want       any
	}{
		"as an orphan":                       {nil, nil, deletion(object{"propagationPolicy": "Orphan"}), "true"},
		"as an orphan, as old clients do":    {nil, nil, deletion(object{"orphanDependents": true}), "true"},
		"as an orphan, whatever was said":    {nil, "false", deletion(object{"propagationPolicy": "Orphan"}), "true"},
		"all of them, as orphans":            {nil, nil, request{method: http.MethodDelete, version: "v1beta1", body: object{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"}}, "true"},
		"as the object says":                 {[]string{"orphan"}, nil, deletion(object{}), "true"},
		"not as the object says":             {[]string{"orphan"}, nil, deletion(object{"propagationPolicy": "Background"}), nil},
		"in the background":                  {nil, nil, deletion(object{"propagationPolicy": "Background"}), nil},
		"in the foreground":                  {nil, nil, deletion(object{"propagationPolicy": "Foreground"}), nil},
		"with all that depends on it":        {nil, nil, deletion(object{"orphanDependents": false}), nil},
		"as nobody said":                     {nil, nil, deletion(object{}), nil},
		"as the annotation says, and nobody": {nil, "true", deletion(object{"propagationPolicy": "Background"}), "true"},
	} {
		t.Run(way, func(t *testing.T) {
			a := &api{t: t, server: a.server, handler: a.handler}
			guarded(a, "web", test.finalizers...)
			a.must(request{method: http.MethodPatch, version: "v1beta2", name: "web", contentType: mergePatch,
				body: object{"metadata": object{"annotations": object{v1beta1.OrphanAnnotation: test.annotation}}}})
			a.must(test.remove)
			annotations, _ := a.get("v1beta1", "web")["metadata"].(object)["annotations"].(object)
			if got := annotations[v1beta1.OrphanAnnotation]; got != test.want {
				t.Errorf("got the annotation %v, want %v", got, test.want)
			}
			a.must(request{method: http.MethodPatch, version: "v1beta2", name: "web", contentType: mergePatch, body: object{"metadata": object{"finalizers": nil}}})
		})
	}
}

// meanwhile does something once, while a deletion is on its way.
type meanwhile struct {
	*admission.Handler
	once sync.Once
	do   func()
}

func (m *meanwhile) Validate(context.Context, admission.Attributes, admission.ObjectInterfaces) error {
	m.once.Do(m.do)
	return nil
}

// The engine puts its finalizer on an object, and relies on it, while the object is deleted.
func TestADeletionDoesNotPassOverAFinalizerThatCameMeanwhile(t *testing.T) {
	for way, name := range map[string]string{"one": "web", "all of them": ""} {
		t.Run(way, func(t *testing.T) {
			plugin := &meanwhile{Handler: admission.NewHandler(admission.Delete)}
			a := newAPI(t, plugin)
			a.must(request{method: http.MethodPost, version: "v1beta2", body: federatedDeployment("v1beta2", "web", object{"template": object{}})})
			plugin.do = func() {
				a.must(request{method: http.MethodPatch, version: "v1beta2", name: "web", contentType: mergePatch, body: object{"metadata": object{"finalizers": []any{v1beta1.SyncFinalizer}}}})
			}
			code, answer := a.do(request{method: http.MethodDelete, version: "v1beta2", name: name})
			if name == "" {
				if code != http.StatusConflict {
					t.Errorf("got %d %v, want a conflict, after which clients try again", code, answer["message"])
				}
				a.must(request{method: http.MethodDelete, version: "v1beta2"})
			} else if code != http.StatusOK {
				t.Errorf("got %d: %v", code, answer["message"])
			}
			if a.get("v1beta2", "web")["metadata"].(object)["deletionTimestamp"] == nil {
				t.Error("the deletion did not begin")
			}
		})
	}
}

var _ admission.ValidationInterface = &meanwhile{}
