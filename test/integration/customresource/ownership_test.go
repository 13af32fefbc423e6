package customresource_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	// sequencesVariable runs so many random sequences. Without it there are usualSequences, the
	// same in every run.
	sequencesVariable = "KOINON_TEST_SEQUENCES"
	usualSequences    = 10
	writesOfSequence  = 40
)

// TestFieldsAreOwnedAsInACustomResource lets three managers write one object by every verb and
// in random order, the same in Koinon and in a kube-apiserver that has FederatedDeployments as
// custom resources of the same schema, and compares what the servers answer and have after
// each write. In every second sequence Koinon is told in v1beta1 what v1beta1 can say.
func TestFieldsAreOwnedAsInACustomResource(t *testing.T) {
	stock, koinon := twins(t)
	if fixed := os.Getenv(seedVariable); fixed != "" {
		newSequence(t, stock, koinon, seedFrom(t)).run()
		return
	}
	sequences, seedOf := usualSequences, func(i int) uint64 { return uint64(i + 1) }
	if text := os.Getenv(sequencesVariable); text != "" {
		var err error
		if sequences, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		seedOf = func(int) uint64 { return rand.Uint64() }
	}
	for i := range sequences {
		seed := seedOf(i)
		passed := t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
			newSequence(t, stock, koinon, seed).run()
			if t.Failed() {
				t.Logf("repeat this sequence with %s=%d", seedVariable, seed)
			}
		})
		if !passed {
			return
		}
	}
}

// twins starts both servers with the kind.
func twins(t *testing.T) (stock, koinon *twin) {
	t.Helper()
	k, cluster := sharedKoinon.Get(t), sharedCluster.Get(t)
	koinon, stock = newTwin(t, k.RESTConfig(t)), newTwin(t, cluster.RESTConfig(t))
	testbed.KubectlStdin(t, k.Kubeconfig(), deploymentConfig, "apply", "-f", "-")
	waitServed(t, client(t, k.RESTConfig(t)), federatedDeployments)
	document := testbed.Kubectl(t, k.Kubeconfig(), "get", "--raw", "/openapi/v3/apis/types.kubefed.io/v1beta2")
	testbed.KubectlStdin(t, cluster.Kubeconfig(), definitionOf(t, []byte(document)), "create", "--validate=strict", "-f", "-")
	waitServed(t, client(t, cluster.RESTConfig(t)), federatedDeployments)
	return stock, koinon
}

// sequence is one object in both servers, and the writes to it.
type sequence struct {
	*rand.Rand
	t             *testing.T
	stock, koinon *twin
	name          string
	topology      string
	// mixed sequences speak v1beta1 to Koinon now and then.
	mixed bool
	// have are the objects as they were read after the last write, nil if there is none.
	have struct{ stock, koinon object }
	// stale are resourceVersions from before.
	stale struct{ stock, koinon string }
	// otherWords is true after a write of the scale in a mixed sequence: an entry is in the words
	// of the version that its manager scaled in last, and is stored for that alone.
	otherWords bool
	log        []string
	// writes are those that the kube-apiserver stored.
	writes int
}

func newSequence(t *testing.T, stock, koinon *twin, seed uint64) *sequence {
	s := &sequence{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, stock: stock, koinon: koinon, name: "o" + strconv.FormatUint(seed, 10)}
	s.mixed = s.IntN(2) == 0
	s.topology = "cluster"
	if !s.mixed {
		s.topology = pick(s, "cluster", "cell")
	}
	return s
}

func pick[T any](s *sequence, from ...T) T { return from[s.IntN(len(from))] }

func (s *sequence) manager() string    { return pick(s, "alice", "bob", "carol") }
func (s *sequence) chance(of int) bool { return s.IntN(of) == 0 }

// version is what Koinon is spoken to in. The kube-apiserver has v1beta2 only.
func (s *sequence) version() string {
	if s.mixed {
		return pick(s, "v1beta1", "v1beta2")
	}
	return "v1beta2"
}

func (s *sequence) run() {
	for range writesOfSequence {
		if s.have.stock == nil {
			pick(s, s.create, s.apply)()
		} else {
			pick(s, s.apply, s.apply, s.apply, s.apply, s.put, s.put, s.merge, s.merge, s.patch, s.patch, s.putBack, s.status, s.scale, s.scale, s.remove)()
		}
		if s.compare(); s.t.Failed() {
			s.t.Logf("after:\n%s", strings.Join(s.log[max(0, len(s.log)-12):], "\n"))
			return
		}
	}
	if s.writes < writesOfSequence/4 {
		s.t.Errorf("only %d of %d requests wrote something: next to nothing was compared", s.writes, writesOfSequence)
	}
}

func (s *sequence) note(version string, r request) {
	body, _ := json.Marshal(r.body)
	how := ""
	if r.force {
		how += " forced"
	}
	if r.dryRun {
		how += " dry-run"
	}
	s.log = append(s.log, fmt.Sprintf("%s %s %s %s%s by %s: %.1500s", version, r.method, r.contentType, r.subresource, how, r.manager, body))
}

// do sends a request to both servers: to Koinon in a version. toStock has the body for the
// kube-apiserver, if it is another.
func (s *sequence) do(version string, r request, toStock any) {
	s.t.Helper()
	r.name = s.name
	r.dryRun = s.chance(6)
	s.note(version, r)
	s.otherWords = s.mixed && r.subresource == "scale"
	theirs := r
	if toStock != nil {
		theirs.body = toStock
	}
	want := s.stock.do(s.t, "v1beta2", theirs)
	s.log = append(s.log, fmt.Sprintf("  -> %d %v", want.code, want.body["message"]))
	if leftNull(want) {
		return
	}
	got := s.koinon.do(s.t, version, r)
	compareAnswers(s.t, want, got)
	if want.code < 400 && r.dryRun && version == "v1beta2" && got.body["kind"] == "FederatedDeployment" && !s.t.Failed() {
		compareObjects(s.t, s.comparable(want.body), s.comparable(got.body))
	}
}

// leftNull reports whether a kube-apiserver refused an apply since it makes null of a list or a
// map that has lost its last item, and a custom resource may not have that. Kubernetes' own
// kinds do not have the field then, and neither do templates: that is
// TestAnApplyThatRemovesTheLastItemRemovesTheField.
func leftNull(a answered) bool {
	return a.code == http.StatusUnprocessableEntity && strings.Contains(fmt.Sprint(a.body["message"]), `: "null"`)
}

// compare reads the objects and compares them, and whether the write wrote.
func (s *sequence) compare() {
	s.t.Helper()
	before := s.have
	s.have.stock, s.have.koinon = s.stock.get(s.t, "v1beta2", s.name), s.koinon.get(s.t, "v1beta2", s.name)
	compareObjects(s.t, s.comparable(s.have.stock), s.comparable(s.have.koinon))
	wrote := resourceVersion(s.have.stock) != resourceVersion(before.stock)
	if wrote {
		s.writes++
	}
	if got := resourceVersion(s.have.koinon) != resourceVersion(before.koinon); got != wrote && !s.otherWords {
		s.t.Errorf("the kube-apiserver stored something: %v, Koinon: %v\nkube-apiserver (-before +after):\n%s\nKoinon (-before +after):\n%s", wrote, got,
			cmp.Diff(before.stock, s.have.stock), cmp.Diff(before.koinon, s.have.koinon))
	}
	switch {
	case s.otherWords: // of one server it may be the current one still
		s.stale.stock, s.stale.koinon = "", ""
	case s.chance(3):
		s.stale.stock, s.stale.koinon = resourceVersion(before.stock), resourceVersion(before.koinon)
	}
}

// comparable is an object as it is to be compared. Who writes it in v1beta1 does not say that
// its targets are clusters, and does not own that; and owns the overrides by name, which are
// all of them here.
func (s *sequence) comparable(obj object) object {
	if obj = plain(s.t, obj); obj != nil && s.mixed {
		managed, _, _ := unstructured.NestedMap(obj, "metadata", "managedFields")
		for who, fields := range managed {
			list := slices.DeleteFunc(fields.([]any), func(field any) bool { return field == ".spec.topologyType" })
			if i := slices.Index(list, any(".spec.overrides.topologyName")); i >= 0 {
				list[i] = ".spec.overrides"
			}
			managed[who] = list
		}
		change{[]string{"metadata", "managedFields"}, managed}.set(obj)
	}
	return obj
}

// some returns random changes: in a field v1beta1 cannot say only in v1beta2.
func (s *sequence) some(version string, of int, removes bool) []change {
	var out []change
	for _, f := range fields {
		if f.hidden && version == "v1beta1" || !s.chance(of) {
			continue
		}
		c := change{path: f.path}
		if !removes || !s.chance(3) {
			c.value = f.value(s)
		}
		out = append(out, c)
	}
	return out
}

func (s *sequence) in(version string, changes []change) []change {
	out := make([]change, len(changes))
	for i, c := range changes {
		out[i] = c.in(version)
	}
	return out
}

// manifest is what a client writes of an object. It never has an empty template, and an
// annotation, as objects of Koinon's always have one.
func (s *sequence) manifest(version string, changes []change) object {
	obj := object{"apiVersion": "types.kubefed.io/" + version, "kind": "FederatedDeployment", "metadata": object{"name": s.name}, "spec": object{}}
	setAll(obj, s.in(version, changes))
	change{[]string{"spec", "template", "spec", "minReadySeconds"}, 1}.set(obj)
	change{[]string{"metadata", "annotations", "always"}, "there"}.set(obj)
	if version == "v1beta2" && s.topology != "cluster" {
		obj["spec"].(object)["topologyType"] = s.topology
	}
	return obj
}

func (s *sequence) create() {
	version := s.version()
	changes := s.some(version, 2, false)
	s.do(version, request{method: http.MethodPost, manager: s.manager(), contentType: jsonBody, body: s.manifest(version, changes)}, s.manifest("v1beta2", changes))
}

func (s *sequence) apply() {
	version, who := s.version(), s.manager()
	changes := s.some(version, 2, false)
	toStock := s.manifest("v1beta2", changes)
	if version == "v1beta1" {
		s.addUnsaid(who, toStock)
	}
	s.do(version, request{method: http.MethodPatch, manager: who, contentType: applyPatch, force: s.chance(2), body: s.manifest(version, changes)}, toStock)
}

// addUnsaid adds to what a manager applies the fields that it has applied before, and cannot
// say in v1beta1: it neither takes nor loses them.
func (s *sequence) addUnsaid(who string, manifest object) {
	set := owners(s.t, s.have.stock)[who+" Apply"]
	if set == nil {
		return
	}
	for path := range set.All() {
		for _, f := range fields {
			if f.hidden && path.String() == "."+strings.Join(f.path, ".") {
				value, _, _ := unstructured.NestedFieldCopy(s.have.stock, f.path...)
				change{f.path, value}.set(manifest)
			}
		}
	}
}

// put is a PUT of what was read, with changes.
func (s *sequence) put() {
	version := s.version()
	changes := s.some(version, 4, true)
	edit := func(*string, object) {}
	unconditional := false
	switch s.IntN(6) {
	case 0:
		edit = func(_ *string, metadata object) { delete(metadata, "managedFields") }
	case 1:
		if s.mixed {
			break // whose the fields are that v1beta1 cannot say is another question then
		}
		edit = func(_ *string, metadata object) { metadata["managedFields"] = []any{object{}} }
	case 2:
		unconditional = true
	case 3:
		edit = func(stale *string, metadata object) { metadata["resourceVersion"] = *stale }
		if s.stale.stock == "" || s.stale.koinon == "" {
			return
		}
	}
	current := s.koinon.get(s.t, version, s.name)
	ours, theirs := setAll(current, s.in(version, changes)), setAll(deepCopy(s.have.stock), changes)
	edit(&s.stale.koinon, ours["metadata"].(object))
	edit(&s.stale.stock, theirs["metadata"].(object))
	if unconditional { // custom resources do not allow that, Kubernetes' own kinds do
		delete(ours["metadata"].(object), "resourceVersion")
	}
	s.do(version, request{method: http.MethodPut, manager: s.manager(), contentType: jsonBody, body: ours}, theirs)
}

// putBack writes the object as it was read.
func (s *sequence) putBack() {
	version := s.version()
	s.do(version, request{method: http.MethodPut, manager: s.manager(), contentType: jsonBody, body: s.koinon.get(s.t, version, s.name)}, s.have.stock)
}

func (s *sequence) merge() {
	version := s.version()
	changes := s.some(version, 4, true)
	s.do(version, request{method: http.MethodPatch, manager: s.manager(), contentType: mergePatch, body: asMergePatch(s.in(version, changes))}, asMergePatch(changes))
}

func (s *sequence) patch() {
	version := s.version()
	changes := s.some(version, 4, true)
	current := s.koinon.get(s.t, version, s.name)
	ours, theirs := asJSONPatch(current, s.in(version, changes)), asJSONPatch(s.have.stock, changes)
	if s.chance(8) {
		failing := object{"op": "test", "path": "/metadata/name", "value": "another"}
		ours, theirs = append(ours, failing), append(theirs, failing)
	}
	s.do(version, request{method: http.MethodPatch, manager: s.manager(), contentType: jsonPatch, body: ours}, theirs)
}

// status writes targets: of conditions, ours always say the status, even if an apply removes it. None
// of them was written to: what holds copies has a finalizer here that a custom resource has not.
func (s *sequence) status() {
	status := object{"targets": []any{object{"name": pick(s, "m1", "m2"), "state": pick(s, "Pending", "ClusterNotReady")}}}
	r := request{subresource: "status", manager: s.manager()}
	switch s.IntN(3) {
	case 0:
		ours, theirs := deepCopy(s.have.koinon), deepCopy(s.have.stock)
		ours["status"], theirs["status"] = status, status
		r.method, r.contentType, r.body = http.MethodPut, jsonBody, ours
		s.do("v1beta2", r, theirs)
	case 1:
		r.method, r.contentType, r.body = http.MethodPatch, mergePatch, object{"status": status, "metadata": object{"labels": object{"app": "status"}}}
		s.do("v1beta2", r, nil)
	default:
		obj := object{"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedDeployment", "metadata": object{"name": s.name}, "status": status}
		r.method, r.contentType, r.force, r.body = http.MethodPatch, applyPatch, s.chance(2), obj
		s.do("v1beta2", r, nil)
	}
}

// replicas are what scales.
var replicas = []string{"spec", "template", "spec", "replicas"}

// scale writes the subresource of an object that has replicas: without, a custom resource has
// no scale, and a federated object that of its target kind. The scale of a custom resource
// cannot be applied: a kube-apiserver answers 500. And if somebody has updated the replicas, it
// makes two entries of his and loses one by the next write; replicas of nobody get no owner there.
// See ADR 13.
func (s *sequence) scale() {
	if _, ok, _ := unstructured.NestedFieldNoCopy(s.have.stock, replicas...); !ok {
		return
	}
	owned := false
	for who, set := range owners(s.t, s.have.stock) {
		if set.Has(fieldpath.MakePathOrDie("spec", "template", "spec", "replicas")) {
			if owned = true; strings.HasSuffix(who, " Update") {
				return
			}
		}
	}
	if !owned {
		return
	}
	version := s.version()
	r := request{subresource: "scale", manager: s.manager()}
	spec := object{"replicas": 1 + s.IntN(3)}
	if s.chance(2) {
		get := request{method: http.MethodGet, name: s.name, subresource: "scale"}
		ours, theirs := s.koinon.do(s.t, version, get), s.stock.do(s.t, "v1beta2", get)
		compareAnswers(s.t, theirs, ours)
		compareObjects(s.t, plain(s.t, theirs.body), plain(s.t, ours.body))
		ours.body["spec"], theirs.body["spec"] = spec, spec
		r.method, r.contentType, r.body = http.MethodPut, jsonBody, ours.body
		s.do(version, r, theirs.body)
		return
	}
	r.method, r.contentType, r.body = http.MethodPatch, mergePatch, object{"spec": spec}
	s.do(version, r, nil)
}

// remove deletes the object: one with finalizers stays until they are gone.
func (s *sequence) remove() {
	s.do(s.version(), request{method: http.MethodDelete, contentType: jsonBody, body: object{"kind": "DeleteOptions", "apiVersion": "v1"}}, nil)
}

// targets are the names that the object's type has.
func (s *sequence) targets() []any {
	if s.topology == "cell" {
		return []any{object{"name": "rz00a"}, object{"name": "rz01a"}}
	}
	return []any{object{"name": "m1"}, object{"name": "m2"}}
}

func (s *sequence) names() any {
	all := s.targets()
	return pick(s, all[:1], all, all[1:], []any{})
}

func selector(s *sequence) any {
	return pick(s, object{}, object{"matchLabels": object{"zone": pick(s, "a", "b")}},
		object{"matchExpressions": []any{object{"key": "zone", "operator": "In", "values": []any{pick(s, "a", "b")}}}})
}

// overrides are for targets by name, and by selector where both servers are spoken to in v1beta2.
func (s *sequence) overrides() any {
	list := []any{}
	for _, target := range s.targets() {
		if s.chance(2) {
			list = append(list, object{"topologyName": target.(object)["name"], "topologyOverrides": []any{
				object{"path": "/spec/replicas", "op": pick(s, "add", "replace"), "value": s.IntN(2)}}})
		}
	}
	if s.mixed && len(list) == 0 {
		return []any{object{"topologyName": "m1", "topologyOverrides": []any{object{"path": "/spec/paused", "value": true}}}}
	}
	if !s.mixed && s.chance(2) {
		list = append(list, object{"topologySelector": object{"matchLabels": object{"tier": "gray"}}, "topologyOverrides": []any{
			object{"path": "/spec/replicas", "op": "remove"}}})
	}
	return list
}

func (s *sequence) containers() any {
	list := []any{}
	for _, name := range []string{"app", "sidecar"} {
		if s.chance(3) {
			continue
		}
		c := object{"name": name}
		if !s.chance(3) {
			c["image"] = pick(s, "i:1", "i:2")
		}
		if s.chance(2) {
			ports := []any{object{"containerPort": 80, "protocol": "TCP"}}
			if s.chance(2) {
				ports = append(ports, object{"containerPort": 80, "protocol": "UDP", "name": pick(s, "a", "b")})
			}
			c["ports"] = ports
		}
		if s.chance(2) {
			c["env"] = []any{object{"name": pick(s, "A", "B"), "value": pick(s, "1", "2")}}
		}
		if s.chance(3) {
			c["args"] = []any{pick(s, "x", "y")}
		}
		if s.chance(3) {
			c["resources"] = object{"limits": object{"cpu": pick(s, "1", "2")}}
		}
		list = append(list, c)
	}
	if s.chance(2) {
		slices.Reverse(list)
	}
	return list
}

func letters(s *sequence) any { return pick(s, "a", "b") }

// fieldOf is one that the sequences write.
type fieldOf struct {
	path  []string
	value func(*sequence) any
	// hidden fields are those that v1beta1 has no words for.
	hidden bool
}

var fields = []fieldOf{
	{path: []string{"metadata", "labels", "app"}, value: letters},
	{path: []string{"metadata", "labels", "tier"}, value: letters},
	{path: []string{"metadata", "annotations", "note"}, value: letters},
	{path: []string{"metadata", "finalizers"}, value: func(s *sequence) any {
		return pick(s, []any{"example.com/a"}, []any{"example.com/a", "example.com/b"})
	}},
	{path: []string{"spec", "retainReplicas"}, value: func(s *sequence) any { return s.chance(2) }},
	{path: []string{"spec", "placement", "topologies"}, value: (*sequence).names},
	{path: []string{"spec", "placement", "topologySelector"}, value: selector},
	{path: []string{"spec", "placementMask", "topologies"}, value: (*sequence).names, hidden: true},
	{path: []string{"spec", "placementMask", "topologySelector"}, value: selector, hidden: true},
	{path: []string{"spec", "overrides"}, value: (*sequence).overrides},
	{path: []string{"spec", "template", "metadata", "labels", "app"}, value: letters},
	{path: replicas, value: func(s *sequence) any { return s.IntN(3) }},
	{path: []string{"spec", "template", "spec", "paused"}, value: func(s *sequence) any { return s.chance(2) }},
	{path: []string{"spec", "template", "spec", "selector"}, value: selector},
	{path: []string{"spec", "template", "spec", "strategy"}, value: func(s *sequence) any {
		return pick(s, object{"type": "Recreate"}, object{"type": "RollingUpdate", "rollingUpdate": object{"maxSurge": pick[any](s, 1, "25%")}})
	}},
	{path: []string{"spec", "template", "spec", "template", "metadata", "labels", "app"}, value: letters},
	{path: []string{"spec", "template", "spec", "template", "spec", "containers"}, value: (*sequence).containers},
	{path: []string{"spec", "template", "spec", "template", "spec", "nodeSelector"}, value: func(s *sequence) any { return object{"zone": pick(s, "a", "b")} }},
	{path: []string{"spec", "template", "spec", "template", "spec", "volumes"}, value: func(s *sequence) any {
		return []any{object{"name": pick(s, "v", "w"), "emptyDir": pick(s, object{}, object{"medium": "Memory"})}}
	}},
}
