package kubefed_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kinds whose versions the stock controller keeps are read with one list, without a
// resourceVersion: it must hold everything that was written before.
func TestPropagatedVersions(t *testing.T) {
	h := newHost(t, patience)
	namespace := h.namespace(t, "versions")
	for _, tc := range []struct{ kind, list, path, metadata string }{
		{"PropagatedVersion", "propagatedversions", "namespaces/" + namespace + "/propagatedversions",
			`{"name":"deployment-web","namespace":"` + namespace + `","ownerReferences":[{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedDeployment","name":"web","uid":"a-b-c"}]}`},
		{"ClusterPropagatedVersion", "clusterpropagatedversions", "clusterpropagatedversions", `{"name":"clusterrole-reader"}`},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			const group = "/apis/core.kubefed.io/v1alpha1/"
			created := h.must(t, http.StatusCreated, http.MethodPost, group+tc.path,
				fmt.Sprintf(`{"kind":%q,"apiVersion":"core.kubefed.io/v1alpha1","metadata":%s,"status":{"templateVersion":"","overridesVersion":""}}`, tc.kind, tc.metadata), acceptJSON, jsonBody)
			name := created.text("metadata", "name")
			h.remove(t, group+tc.path+"/"+name)
			if got := h.get(t, group+tc.list).names(); !slices.ContainsFunc(got, func(n string) bool { return strings.HasSuffix(n, name) }) {
				t.Errorf("the list after the create: got %v, want %s among them", got, name)
			}
			stale := created.encode(t)
			created["status"] = map[string]any{"templateVersion": "f6f4", "overridesVersion": "99aa",
				"clusterVersions": []any{map[string]any{"clusterName": "m1", "version": "gen:1"}, map[string]any{"clusterName": "m2", "version": "rv:77"}}}
			object := group + tc.path + "/" + name
			put := h.must(t, http.StatusOK, http.MethodPut, object+"/status", created.encode(t), acceptJSON, jsonBody)
			h.refused(t, http.StatusConflict, metav1.StatusReasonConflict, http.MethodPut, object+"/status", stale, acceptJSON, jsonBody)
			fresh := h.get(t, object)
			if diff := cmp.Diff(created["status"], fresh["status"]); diff != "" {
				t.Errorf("status (-put +got):\n%s", diff)
			}
			if fresh.version() != put.version() {
				t.Errorf("resourceVersion after the conflict: got %s, want %s", fresh.version(), put.version())
			}
			h.must(t, http.StatusOK, http.MethodPut, object+"/status", fresh.encode(t), acceptJSON, jsonBody)
			h.refused(t, http.StatusConflict, metav1.StatusReasonAlreadyExists, http.MethodPost, group+tc.path,
				fmt.Sprintf(`{"kind":%q,"apiVersion":"core.kubefed.io/v1alpha1","metadata":%s}`, tc.kind, tc.metadata), acceptJSON, jsonBody)
		})
	}
}

func TestReplicaSchedulingPreferencesAreListedAndWatched(t *testing.T) {
	h := newHost(t, patience)
	namespace := h.namespace(t, "preferences")
	const all = "/apis/scheduling.kubefed.io/v1alpha1/replicaschedulingpreferences"
	list := h.list(t, all)
	added := h.watch(t, all, list.version(), func() {
		h.must(t, http.StatusCreated, http.MethodPost, "/apis/scheduling.kubefed.io/v1alpha1/namespaces/"+namespace+"/replicaschedulingpreferences",
			`{"kind":"ReplicaSchedulingPreference","apiVersion":"scheduling.kubefed.io/v1alpha1","metadata":{"name":"web"},"spec":{"targetKind":"FederatedDeployment","totalReplicas":9,"clusters":{"*":{"weight":1}}}}`, jsonBody)
	}, func(e event) bool { return e.Type == "ADDED" })
	if got := added.Object.at("spec", "totalReplicas"); got != 9.0 {
		t.Errorf("spec.totalReplicas: got %v, want 9", got)
	}
}

const (
	groupV1 = "/apis/types.kubefed.io/v1beta1/"
	groupV2 = "/apis/types.kubefed.io/v1beta2/"
)

// cellObject has everything that KubeFed's wire format has no place for.
const cellObject = `{"kind":"FederatedDeployment","apiVersion":"types.kubefed.io/v1beta2",
"metadata":{"name":"web","namespace":"%[1]s","labels":{"app":"web"},"annotations":{"note":"kept"}},
"spec":{"topologyType":"cell",
"template":{"metadata":{"labels":{"app":"web"}},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:1"}]}}}},
"placement":{"topologies":[{"name":"rz00a"},{"name":"rz01a"},{"name":"rz02a"}]},
"placementMask":{"topologies":[{"name":"rz00a"},{"name":"rz01a"}]},
"overrides":[
{"topologyName":"rz00a","topologyOverrides":[{"path":"/spec/replicas","op":"replace","value":3}]},
{"topologySelector":{"matchLabels":{"zone":"eu"}},"topologyOverrides":[{"path":"/spec/paused","op":"add","value":true}]},
{"topologyName":"rz01a","topologyOverrides":[{"path":"/metadata/labels/tier","op":"add","value":"back"}]}]}}`

const cellStatus = `{"observedGeneration":1,
"conditions":[{"type":"Propagation","status":"False","reason":"CheckClusters","message":"rz01a: the member said no","lastUpdateTime":"2026-11-22T00:00:00Z","lastTransitionTime":"2026-11-22T00:00:00Z"}],
"targets":[
{"name":"rz00a","cluster":"m1","namespace":"shop-rz00a","hash":"aaaa","version":"gen:1","generation":1},
{"name":"rz01a","state":"UpdateFailed","message":"the member said no","cluster":"m2","namespace":"shop-rz01a","hash":"bbbb","version":"gen:2","generation":1},
{"name":"rz02a","state":"Masked","message":"runs generation 1","cluster":"m2","namespace":"shop-rz02a","hash":"cccc","version":"gen:2","generation":1}]}`

// subject is a cell object, as one test writes it and reads it back.
type subject struct {
	*host
	t         *testing.T
	namespace string
	v1, v2    string // paths
}

func newSubject(t *testing.T, prefix string) subject {
	t.Helper()
	h := newHost(t, patience)
	h.enableDeployments(t)
	namespace := h.namespace(t, prefix)
	collection := "namespaces/" + namespace + "/federateddeployments"
	s := subject{h, t, namespace, groupV1 + collection + "/web", groupV2 + collection + "/web"}
	created := h.must(t, http.StatusCreated, http.MethodPost, groupV2+collection, fmt.Sprintf(cellObject, namespace), jsonBody)
	created["status"] = s.decode(cellStatus)
	h.must(t, http.StatusOK, http.MethodPut, s.v2+"/status", created.encode(t), jsonBody)
	return s
}

// decode decodes JSON, in which NS stands for the namespace.
func (s subject) decode(text string) (value any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "NS", s.namespace)), &value); err != nil {
		s.t.Fatal(err)
	}
	return value
}

// topology is the object in the topology shape, without what every write changes.
func (s subject) topology() object {
	s.t.Helper()
	o := s.get(s.t, s.v2)
	metadata := o["metadata"].(map[string]any)
	delete(metadata, "resourceVersion")
	delete(metadata, "managedFields")
	return o
}

// changes reads the object in the topology shape, calls write, and wants the object to
// have changed as change says, and in nothing else.
func (s subject) changes(write func(), change func(want object)) {
	s.t.Helper()
	want := s.topology()
	write()
	if change != nil {
		change(want)
	}
	if diff := cmp.Diff(map[string]any(want), map[string]any(s.topology())); diff != "" {
		s.t.Errorf("the object in v1beta2 (-want +got):\n%s", diff)
	}
}

func (o object) set(value any, path ...string) {
	m := map[string]any(o)
	for _, key := range path[:len(path)-1] {
		m = m[key].(map[string]any)
	}
	m[path[len(path)-1]] = value
}

// rebuiltStatus is what the stock controller writes: the fields that it knows.
func rebuiltStatus(o object) object {
	status := map[string]any{"observedGeneration": o.at("metadata", "generation")}
	conditions, _ := o.at("status", "conditions").([]any)
	known := []any{}
	for _, c := range conditions {
		known = append(known, only(c, "type", "status", "reason", "lastUpdateTime", "lastTransitionTime"))
	}
	status["conditions"] = known
	clusters, _ := o.at("status", "clusters").([]any)
	known = []any{}
	for _, c := range clusters {
		known = append(known, only(c, "name", "status"))
	}
	slices.Reverse(known) // it iterates over a map
	status["clusters"] = known
	o["status"] = status
	return o
}

func only(value any, keys ...string) map[string]any {
	out := map[string]any{}
	for _, key := range keys {
		if v, ok := value.(map[string]any)[key]; ok {
			out[key] = v
		}
	}
	return out
}

func TestAFederatedObjectIsListedAndWatchedInItsClusterShape(t *testing.T) {
	s := newSubject(t, "watched")
	list := s.list(t, groupV1+"federateddeployments")
	if got := list["kind"]; got != "FederatedDeploymentList" || list["apiVersion"] != "types.kubefed.io/v1beta1" {
		t.Errorf("kind of the list: got %v in %v", got, list["apiVersion"])
	}
	patched := s.watch(t, groupV1+"federateddeployments", list.version(), func() {
		s.must(t, http.StatusOK, http.MethodPatch, s.v1, `{"metadata":{"finalizers":["kubefed.io/sync-controller"]}}`, acceptJSON, mergePatch)
	}, func(e event) bool { return e.Type == "MODIFIED" })
	want := s.decode(`{"clusters":[{"name":"rz00a.NS"},{"name":"rz01a.NS"},{"name":"rz02a.NS"}]}`)
	if diff := cmp.Diff(want, patched.Object.at("spec", "placement")); diff != "" {
		t.Errorf("spec.placement in the event (-want +got):\n%s", diff)
	}
	overrides := s.decode(`[{"clusterName":"rz00a.NS","clusterOverrides":[{"path":"/spec/replicas","op":"replace","value":3}]},
{"clusterName":"rz01a.NS","clusterOverrides":[{"path":"/metadata/labels/tier","op":"add","value":"back"}]}]`)
	if diff := cmp.Diff(overrides, patched.Object.at("spec", "overrides")); diff != "" {
		t.Errorf("spec.overrides in the event (-want +got):\n%s", diff)
	}
	if got := patched.Object["apiVersion"]; got != "types.kubefed.io/v1beta1" {
		t.Errorf("apiVersion in the event: got %v", got)
	}
}

func TestAFinalizerPatchCostsNothing(t *testing.T) {
	s := newSubject(t, "finalizers")
	patch := func(finalizers string) func() {
		return func() {
			s.must(t, http.StatusOK, http.MethodPatch, s.v1, `{"metadata":{"finalizers":`+finalizers+`}}`, acceptJSON, mergePatch)
		}
	}
	s.changes(patch(`["kubefed.io/sync-controller"]`), func(want object) {
		want.set([]any{"kubefed.io/sync-controller"}, "metadata", "finalizers")
	})
	// Members hold copies, and the object is not being deleted: the finalizer stays.
	s.changes(patch(`[]`), nil)
}

func TestAStatusOfKnownFieldsCostsNothing(t *testing.T) {
	for sentence, headers := range map[string][]string{
		"with a content type":    {acceptJSON, jsonBody},
		"without a content type": {acceptJSON},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newSubject(t, "status-"+strings.ReplaceAll(sentence, " ", "-"))
			s.changes(func() {
				status := rebuiltStatus(s.get(t, s.v1))
				s.must(t, http.StatusOK, http.MethodPut, s.v1+"/status", status.encode(t), headers...)
			}, nil)
			s.changes(func() {
				status := rebuiltStatus(s.get(t, s.v1))
				status.set([]any{map[string]any{"name": "rz01a." + s.namespace}, map[string]any{"name": "rz00a." + s.namespace}}, "status", "clusters")
				status.set([]any{map[string]any{"type": "Propagation", "status": "True"}}, "status", "conditions")
				s.must(t, http.StatusOK, http.MethodPut, s.v1+"/status", status.encode(t), headers...)
			}, func(want object) {
				// The failure is over, and so is its message; what was applied where stays
				// known, and the masked target, of which KubeFed knows nothing, too.
				want.set([]any{map[string]any{"type": "Propagation", "status": "True"}}, "status", "conditions")
				failed := want.at("status", "targets").([]any)[1].(map[string]any)
				delete(failed, "state")
				delete(failed, "message")
			})
		})
	}
}

func TestAStaleStatusIsRefusedAndTheNextOneTaken(t *testing.T) {
	s := newSubject(t, "conflict")
	stale := rebuiltStatus(s.get(t, s.v1))
	s.must(t, http.StatusOK, http.MethodPatch, s.v1, `{"metadata":{"finalizers":["kubefed.io/sync-controller"]}}`, acceptJSON, mergePatch)
	s.changes(func() {
		status := s.refused(t, http.StatusConflict, metav1.StatusReasonConflict, http.MethodPut, s.v1+"/status", stale.encode(t), acceptJSON, jsonBody)
		want := &metav1.StatusDetails{Name: "web", Group: "types.kubefed.io", Kind: "federateddeployments"}
		if diff := cmp.Diff(want, status.Details); diff != "" {
			t.Errorf("details (-want +got):\n%s", diff)
		}
		fresh := rebuiltStatus(s.get(t, s.v1))
		s.must(t, http.StatusOK, http.MethodPut, s.v1+"/status", fresh.encode(t), acceptJSON, jsonBody)
	}, nil)
}

// The scheduler of replicas reads an object, changes placement and overrides of it, and
// puts back the whole. client-go 0.22's dynamic client sends no Content-Type with that.
func TestAWholeObjectPutWithoutContentTypeCostsNothing(t *testing.T) {
	s := newSubject(t, "replicas")
	s.changes(func() {
		s.must(t, http.StatusOK, http.MethodPut, s.v1, s.get(t, s.v1).encode(t), acceptJSON)
	}, nil)
	s.changes(func() { s.putReplicas(s.get(t, s.v1)) }, s.replicas(2))
	s.changes(func() {
		without := s.get(t, s.v1)
		delete(without.at("metadata", "annotations").(map[string]any), "federation.koinon.io/topology")
		s.must(t, http.StatusOK, http.MethodPut, s.v1, without.encode(t), acceptJSON)
	}, nil)
}

// putReplicas does what the scheduler of replicas does.
func (s subject) putReplicas(o object) {
	s.t.Helper()
	o.set(s.decode(`{"clusters":[{"name":"rz00a.NS"},{"name":"rz01a.NS"}]}`), "spec", "placement")
	o.set(s.decode(`[{"clusterName":"rz00a.NS","clusterOverrides":[{"path":"/spec/replicas","value":5}]},
{"clusterName":"rz01a.NS","clusterOverrides":[{"path":"/metadata/labels/tier","op":"add","value":"back"},{"path":"/spec/replicas","value":4}]}]`), "spec", "overrides")
	s.must(s.t, http.StatusOK, http.MethodPut, s.v1, o.encode(s.t), acceptJSON)
}

// replicas is what putReplicas means in the topology shape.
func (s subject) replicas(generation float64) func(object) {
	return func(want object) {
		want.set(generation, "metadata", "generation")
		want.set(s.decode(`{"topologies":[{"name":"rz00a"},{"name":"rz01a"}]}`), "spec", "placement")
		want.set(s.decode(`[{"topologyName":"rz00a","topologyOverrides":[{"path":"/spec/replicas","value":5}]},
{"topologySelector":{"matchLabels":{"zone":"eu"}},"topologyOverrides":[{"path":"/spec/paused","op":"add","value":true}]},
{"topologyName":"rz01a","topologyOverrides":[{"path":"/metadata/labels/tier","op":"add","value":"back"},{"path":"/spec/replicas","value":4}]}]`), "spec", "overrides")
	}
}

func TestUnknownFieldsOfTheStockControllerAreNoError(t *testing.T) {
	s := newSubject(t, "unknown")
	s.changes(func() {
		o := s.get(t, s.v1)
		o.set("x", "spec", "invented")
		s.must(t, http.StatusOK, http.MethodPut, s.v1, o.encode(t), acceptJSON)
	}, nil)
}

func TestAnExpiredResourceVersionIs410(t *testing.T) {
	s := newSubject(t, "expired")
	for _, path := range []string{groupV1 + "federateddeployments", typeConfigs, "/apis/core.kubefed.io/v1beta1/namespaces/" + systemNamespace + "/kubefedclusters"} {
		expired := s.watch(t, path, "1", nil, func(event) bool { return true })
		if expired.Type != "ERROR" || expired.Object["code"] != 410.0 || expired.Object["reason"] != "Expired" && expired.Object["reason"] != "Gone" {
			t.Errorf("watch %s from version 1: got %s %v, want an ERROR with code 410", path, expired.Type, expired.Object)
		}
	}
}

func TestAbsentAndPresentObjectsGetAStatus(t *testing.T) {
	s := newSubject(t, "statuses")
	absent := strings.TrimSuffix(s.v1, "web") + "absent"
	status := s.refused(t, http.StatusNotFound, metav1.StatusReasonNotFound, http.MethodGet, absent, "", acceptJSON)
	if want := `federateddeployments.types.kubefed.io "absent" not found`; status.Message != want {
		t.Errorf("message: got %q, want %q", status.Message, want)
	}
	s.refused(t, http.StatusNotFound, metav1.StatusReasonNotFound, http.MethodPatch, absent, `{"metadata":{"finalizers":[]}}`, acceptJSON, mergePatch)
	s.refused(t, http.StatusNotFound, metav1.StatusReasonNotFound, http.MethodPut, absent+"/status",
		strings.ReplaceAll(s.get(t, s.v1).encode(t), `"name":"web"`, `"name":"absent"`), acceptJSON)
	status = s.refused(t, http.StatusConflict, metav1.StatusReasonAlreadyExists, http.MethodPost, strings.TrimSuffix(s.v1, "/web"),
		`{"kind":"FederatedDeployment","apiVersion":"types.kubefed.io/v1beta1","metadata":{"name":"web"},"spec":{"template":{}}}`, acceptJSON)
	if want := `federateddeployments.types.kubefed.io "web" already exists`; status.Message != want {
		t.Errorf("message: got %q, want %q", status.Message, want)
	}
}

// Both versions of an object are one: a stock client that writes v1beta1 and one that
// reads it back gets the same bytes, whatever happens in between.
func TestTheClusterShapeIsStable(t *testing.T) {
	s := newSubject(t, "stable")
	before := s.do(t, http.MethodGet, s.v1, "", acceptJSON)
	s.changes(func() {
		s.must(t, http.StatusOK, http.MethodPut, s.v1, string(before.body), acceptJSON)
	}, nil)
	if diff := cmp.Diff(string(before.body), string(s.do(t, http.MethodGet, s.v1, "", acceptJSON).body)); diff != "" {
		t.Errorf("the bytes of v1beta1 after a PUT of them (-before +after):\n%s", diff)
	}
}
