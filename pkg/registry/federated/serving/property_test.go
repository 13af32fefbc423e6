package serving_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// seedVariable runs one sequence again; sequencesVariable runs more of them than usual.
const (
	seedVariable      = "OWNERSHIP_SEED"
	sequencesVariable = "OWNERSHIP_SEQUENCES"
)

// seedsThatFailed are of sequences that once found a fault, by what they have in them. They are
// for the generator as it is: each has a test of its own, too.
var seedsThatFailed = map[string]uint64{
	// TestWhoMadeAMapOwnsItAfterAnApplyRemovedItsLastField
	"an apply of labels after another removed the last": 6567475394619576956,
}

// TestOwnershipFollowsTheFieldThroughBothVersions lets three managers write one object in both
// versions, by every verb and in random order, and compares it after each write with a model
// of who owns what and what the spec has to be.
func TestOwnershipFollowsTheFieldThroughBothVersions(t *testing.T) {
	a := newAPI(t, nil)
	if text := os.Getenv(seedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		newSequence(a, t, seed).run(30)
		return
	}
	for sentence, seed := range seedsThatFailed {
		t.Run(sentence, func(t *testing.T) { newSequence(a, t, seed).run(30) })
	}
	sequences := 40
	if text := os.Getenv(sequencesVariable); text != "" {
		var err error
		if sequences, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for range sequences {
		seed := rand.Uint64()
		passed := t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
			newSequence(a, t, seed).run(30)
			if t.Failed() {
				t.Logf("run it again with %s=%d", seedVariable, seed)
			}
		})
		if !passed {
			return
		}
	}
}

// sequence is one object, and the writes to it.
type sequence struct {
	*api
	*rand.Rand
	t        *testing.T
	name     string
	topology string
	model    *model
	log      []string
}

func newSequence(a *api, t *testing.T, seed uint64) *sequence {
	mine := *a
	mine.t = t
	s := &sequence{api: &mine, Rand: rand.New(rand.NewPCG(seed, 0)), t: t, name: "o" + strconv.FormatUint(seed, 10), model: newModel()}
	s.topology = pick(s, "cluster", "cell")
	return s
}

func pick[T any](s *sequence, from ...T) T { return from[s.IntN(len(from))] }

func (s *sequence) manager() string { return pick(s, "alice", "bob", "carol") }
func (s *sequence) version() string { return pick(s, "v1beta1", "v1beta2") }

func (s *sequence) run(writes int) {
	s.createIt()
	for range writes {
		before := s.log
		pick(s, s.applyIt, s.applyIt, s.applyIt, s.putIt, s.putIt, s.mergePatchIt, s.jsonPatchIt, s.statusIt, s.scaleIt, s.applyScale)()
		s.check()
		if s.IntN(4) == 0 {
			s.putBack()
		}
		if s.t.Failed() {
			s.t.Logf("after:\n%s", strings.Join(append(before[max(0, len(before)-8):], s.log[len(before):]...), "\n"))
			return
		}
	}
}

func (s *sequence) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

// targets are the names that the object's type has.
func (s *sequence) targets() []string {
	if s.topology == "cell" {
		return []string{"rz00a", "rz01a"}
	}
	return []string{"m1", "m2"}
}

// value is a random one for a field; values repeat, so that managers come to agree.
func (s *sequence) value(field string) any {
	switch field {
	case fieldReplicas:
		return 1 + s.IntN(3)
	case fieldPaused, fieldRetain:
		return pick(s, true, false)
	case fieldPlace, fieldMask:
		return pick(s, s.targets()[:1], s.targets(), s.targets()[1:])
	}
	return pick(s, "a", "b")
}

// overrideList is a random list, at most two of each sort.
func (s *sequence) overrideList(selects bool) []override {
	var out []override
	for _, target := range s.targets() {
		if s.IntN(2) == 0 {
			out = append(out, override{target: target, replicas: 1 + s.IntN(2)})
		}
	}
	for _, label := range []string{"gray", "dark"} {
		if selects && s.IntN(2) == 0 {
			at := s.IntN(len(out) + 1)
			out = slices.Insert(out, at, override{label: label, replicas: 1 + s.IntN(2)})
		}
	}
	return out
}

// wish is random. In v1beta1 it holds hidden fields only if it says the annotation.
func (s *sequence) wish(version string, said bool) wish {
	w := wish{values: map[string]any{}, said: said}
	for _, field := range simpleFields {
		if (version == "v1beta2" || !hidden[field] || said) && s.IntN(3) > 0 {
			w.values[field] = s.value(field)
		}
	}
	if s.IntN(2) == 0 {
		w.overrides = s.overrideList(version == "v1beta2" || said)
	}
	return w
}

// anchored adds to a manifest a field of nobody here, so that the template is never empty.
func anchored(obj object) object {
	spec := specOf(obj)
	template, ok := spec["template"].(object)
	if !ok {
		template = object{"spec": object{}}
		spec["template"] = template
	}
	template["spec"].(object)["minReadySeconds"] = 1
	return obj
}

func (s *sequence) createIt() {
	version, who := s.version(), s.manager()
	said := version == "v1beta1" && (s.topology == "cell" || s.IntN(2) == 0)
	w := s.wish(version, said)
	w.values[fieldType] = s.topology
	s.note("%s POST %s %v", version, who, w)
	s.must(request{method: http.MethodPost, version: version, manager: who, contentType: jsonBody, body: anchored(render(version, s.name, w))})
	s.model.create(version, who+" Update", w)
	s.check()
}

func (s *sequence) applyIt() {
	version, who, force := s.version(), s.manager(), s.IntN(2) == 0
	said := version == "v1beta1" && s.IntN(4) == 0
	w := s.wish(version, said)
	if s.topology == "cell" && (said || version == "v1beta2") || version == "v1beta2" && s.IntN(2) == 0 {
		w.values[fieldType] = s.topology
	}
	manifest := w.clone()
	manifest.values[fieldType] = s.topology
	body := render(version, s.name, manifest)
	if _, ok := w.values[fieldType]; !ok {
		delete(specOf(body), "topologyType")
	}
	if version == "v1beta1" {
		_, w.said = body["metadata"].(object)["annotations"]
	}
	s.note("%s apply %s force=%v %s", version, who, force, compact(body))
	conflict := s.model.conflicts(version, who+" Apply", w)
	code, answer := s.do(request{method: http.MethodPatch, version: version, name: s.name, manager: who, force: force, contentType: applyPatch, body: body})
	if conflict && !force {
		s.checkConflict(version, code, answer)
		return
	}
	if code != http.StatusOK {
		s.t.Errorf("got %d: %v", code, answer["message"])
		return
	}
	s.model.apply(version, who+" Apply", w)
}

// checkConflict looks for the words of the other version.
func (s *sequence) checkConflict(version string, code int, answer object) {
	if code != http.StatusConflict {
		s.t.Errorf("got %d %v, want a conflict", code, answer["message"])
		return
	}
	foreign := map[string][]string{
		"v1beta1": {".spec.topologyType", ".spec.placementMask", "topologies", "topologySelector", ".spec.overrides."},
		"v1beta2": {".clusters", "clusterSelector", "annotations", ".spec.overrides."},
	}[version]
	text := compact(answer)
	for _, word := range foreign {
		if strings.Contains(text, word) {
			s.t.Errorf("a conflict in %s speaks of %s: %s", version, word, text)
		}
	}
}

// change returns the object with a few fields changed, as a client that reads and writes it
// does. In v1beta1 hidden fields change only if the client edits the annotation.
func (s *sequence) change(version string, edits bool) wish {
	w := s.model.clone()
	w.said = true
	for _, field := range simpleFields {
		if (hidden[field] && version == "v1beta1" && !edits) || s.IntN(4) > 0 {
			continue
		}
		if delete(w.values, field); s.IntN(3) > 0 {
			w.values[field] = s.value(field)
		}
	}
	if s.IntN(3) == 0 {
		list := s.overrideList(true)
		if version == "v1beta1" {
			order := w.overrides
			if edits {
				order = list
			}
			list = merged(part(list, false), order)
		}
		w.overrides = list
	}
	// An annotation that says nothing is like none.
	if version == "v1beta1" && s.topology == "cluster" && renderStash(w, object{}) == "" && !has(w, fieldMask) && !has(w, fieldMaskBy) {
		for _, field := range []string{fieldMask, fieldMaskBy} {
			if value, ok := s.model.values[field]; ok {
				w.values[field] = value
			}
		}
		w.overrides = merged(part(w.overrides, false), s.model.overrides)
	}
	return w
}

func has(w wish, field string) bool { _, ok := w.values[field]; return ok }

// current is the object as a client reads it.
func (s *sequence) current(version string) object { return s.get(version, s.name) }

// changed is the current object with what a wish says.
func (s *sequence) changed(version string, w wish) object {
	obj, want := s.current(version), anchored(render(version, s.name, w))
	obj["spec"] = want["spec"]
	metadata, wanted := obj["metadata"].(object), want["metadata"].(object)
	for _, key := range []string{"labels", "annotations"} {
		if delete(metadata, key); wanted[key] != nil {
			metadata[key] = wanted[key]
		}
	}
	return obj
}

func (s *sequence) putIt() {
	version, who := s.version(), s.manager()
	edits := version == "v1beta1" && s.IntN(4) == 0
	w := s.change(version, edits)
	obj := s.changed(version, w)
	metadata := obj["metadata"].(object)
	how := ""
	if !edits && version == "v1beta1" && s.IntN(2) == 0 {
		how += " without annotation"
		delete(metadata, "annotations")
	}
	if s.IntN(2) == 0 {
		how += " without managedFields"
		delete(metadata, "managedFields")
	}
	if s.IntN(2) == 0 {
		delete(metadata, "resourceVersion")
	}
	s.note("%s PUT%s %s edits=%v %v", version, how, who, edits, w)
	s.must(request{method: http.MethodPut, version: version, name: s.name, manager: who, contentType: jsonBody, body: obj})
	s.model.update(version, who+" Update", w)
}

func (s *sequence) mergePatchIt() {
	version, who := s.version(), s.manager()
	w := s.change(version, version == "v1beta1" && s.IntN(4) == 0)
	from, to := s.current(version), s.changed(version, w)
	patch := difference(from, to)
	if version == "v1beta1" && s.IntN(4) == 0 && reflect.DeepEqual(annotationOf(from), annotationOf(to)) {
		metadata, _ := patch["metadata"].(object)
		if metadata == nil {
			metadata = object{}
			patch["metadata"] = metadata
		}
		metadata["annotations"] = nil
	}
	s.note("%s merge patch %s %s", version, who, compact(patch))
	s.must(request{method: http.MethodPatch, version: version, name: s.name, manager: who, contentType: mergePatch, body: patch})
	s.model.update(version, who+" Update", w)
}

func annotationOf(obj object) any {
	annotations, _ := obj["metadata"].(object)["annotations"].(object)
	return annotations[stashAnnotation]
}

// difference is a JSON merge patch.
func difference(from, to object) object {
	patch := object{}
	for key, was := range from {
		is, ok := to[key]
		if !ok {
			patch[key] = nil
			continue
		}
		a, fromObject := was.(object)
		b, toObject := is.(object)
		if fromObject && toObject {
			if inner := difference(a, b); len(inner) > 0 {
				patch[key] = inner
			}
		} else if compact(was) != compact(is) {
			patch[key] = is
		}
	}
	for key, is := range to {
		if _, ok := from[key]; !ok {
			patch[key] = is
		}
	}
	return patch
}

func (s *sequence) jsonPatchIt() {
	version, who := s.version(), s.manager()
	w := s.change(version, version == "v1beta1" && s.IntN(4) == 0)
	from, to := s.current(version), s.changed(version, w)
	operations := []any{object{"op": "replace", "path": "/spec", "value": to["spec"]}}
	metadata := to["metadata"].(object)
	for _, key := range []string{"labels", "annotations"} {
		if metadata[key] != nil {
			operations = append(operations, object{"op": "add", "path": "/metadata/" + key, "value": metadata[key]})
		} else if from["metadata"].(object)[key] != nil {
			operations = append(operations, object{"op": "remove", "path": "/metadata/" + key})
		}
	}
	s.note("%s JSON patch %s %s", version, who, compact(operations))
	s.must(request{method: http.MethodPatch, version: version, name: s.name, manager: who, contentType: jsonPatch, body: operations})
	s.model.update(version, who+" Update", w)
}

func (s *sequence) statusIt() {
	version, who := s.version(), s.manager()
	obj := s.current(version)
	how := ""
	if version == "v1beta1" {
		name := s.targets()[0]
		if s.topology == "cell" {
			name += "." + namespace
		}
		obj["status"] = object{"clusters": []any{object{"name": name, "status": pick(s, "", "ClusterNotReady")}}}
		if s.IntN(2) == 0 {
			how = " without annotation"
			delete(obj["metadata"].(object), "annotations")
		}
	} else {
		obj["status"] = object{"targets": []any{object{"name": s.targets()[0], "hash": pick(s, "x", "y"), "message": "m"}}}
	}
	s.note("%s status PUT%s %s", version, how, who)
	s.must(request{method: http.MethodPut, version: version, name: s.name, subresource: "status", manager: who, contentType: jsonBody, body: obj})
}

func (s *sequence) scaleIt() {
	version, who, replicas := s.version(), s.manager(), 1+s.IntN(3)
	if s.IntN(2) == 0 {
		s.note("%s merge patch of scale %s %d", version, who, replicas)
		s.must(request{method: http.MethodPatch, version: version, name: s.name, subresource: "scale", manager: who, contentType: mergePatch,
			body: object{"spec": object{"replicas": replicas}}})
	} else {
		s.note("%s PUT of scale %s %d", version, who, replicas)
		scale := s.must(request{method: http.MethodGet, version: version, name: s.name, subresource: "scale"})
		scale["spec"] = object{"replicas": replicas}
		s.must(request{method: http.MethodPut, version: version, name: s.name, subresource: "scale", manager: who, contentType: jsonBody, body: scale})
	}
	s.model.scale(who+" Update scale", replicas)
}

func (s *sequence) applyScale() {
	version, who, replicas, force := s.version(), s.manager(), 1+s.IntN(3), s.IntN(2) == 0
	id := who + " Apply scale"
	was, had := s.model.values[fieldReplicas]
	if !had {
		was = 1
	}
	s.note("%s apply of scale %s %d force=%v", version, who, replicas, force)
	code, answer := s.do(request{method: http.MethodPatch, version: version, name: s.name, subresource: "scale", manager: who, force: force, contentType: applyPatch,
		body: object{"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": object{"name": s.name, "namespace": namespace}, "spec": object{"replicas": replicas}}})
	switch {
	case was != replicas && s.model.others(fieldReplicas, id) && !force:
		if code != http.StatusConflict {
			s.t.Errorf("got %d %v, want a conflict", code, answer["message"])
		}
		return
	case code != http.StatusOK:
		s.t.Errorf("got %d: %v", code, answer["message"])
		return
	case was != replicas:
		s.model.own(fieldReplicas, id)
	default:
		s.model.share(fieldReplicas, id)
	}
	s.model.values[fieldReplicas] = replicas
}

// check compares the object with the model.
func (s *sequence) check() {
	obj := s.current("v1beta2")
	want := anchored(render("v1beta2", s.name, s.model.wish))
	if spec := obj["spec"].(object); want["spec"].(object)["overrides"] == nil && compact(spec["overrides"]) == "[]" {
		// Whoever has the list for his own, as carol does by a POST, keeps it when an apply takes the
		// last item out: the library leaves it empty then, or away. It means the same.
		delete(spec, "overrides")
	}
	if diff := cmp.Diff(normal(want["spec"]), normal(obj["spec"])); diff != "" {
		s.t.Errorf("spec (-want +got):\n%s\nmodel:\n%s", diff, s.model)
	}
	if diff := cmp.Diff(want["metadata"].(object)["labels"], obj["metadata"].(object)["labels"]); diff != "" {
		s.t.Errorf("labels (-want +got):\n%s", diff)
	}
	owners := map[string][]string{}
	for field, who := range s.model.owners {
		if len(who) > 0 {
			owners[field] = slices.Sorted(maps.Keys(who))
		}
	}
	if diff := cmp.Diff(owners, s.owners(obj)); diff != "" {
		s.t.Errorf("owners (-want +got):\n%s\nmodel:\n%s\nmanagedFields:\n%s", diff, s.model, indented(obj["metadata"].(object)["managedFields"]))
	}
}

// putBack writes the object as it was read, which must not write anything.
func (s *sequence) putBack() {
	version := s.version()
	obj := s.current(version)
	answer := s.must(request{method: http.MethodPut, version: version, name: s.name, manager: s.manager(), contentType: jsonBody, body: obj})
	if diff := cmp.Diff(obj["metadata"], answer["metadata"]); diff != "" {
		s.t.Errorf("a PUT in %s of what was read changed metadata (-read +answered):\n%s", version, diff)
	}
}

func normal(v any) any {
	var out any
	if err := json.Unmarshal([]byte(compact(v)), &out); err != nil {
		panic(err)
	}
	return out
}

func compact(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// paths are the fields of the model, as entries in each version name them.
var paths = map[string]map[string][]string{
	"v1beta1": {
		".spec.placement.clusters": {fieldPlace}, ".spec.placement.clusterSelector": {fieldPlaceBy}, ".spec.overrides": {fieldNamed},
	},
	"v1beta2": {
		".spec.placement.topologies": {fieldPlace}, ".spec.placement.topologySelector": {fieldPlaceBy}, ".spec.topologyType": {fieldType},
		".spec.placementMask.topologies": {fieldMask}, ".spec.placementMask.topologySelector": {fieldMaskBy},
		".spec.overrides": {fieldNamed, fieldSelecting}, ".spec.overrides.topologyName": {fieldNamed}, ".spec.overrides.topologySelector": {fieldSelecting},
	},
}

var commonPaths = map[string][]string{
	".spec.template.spec.replicas": {fieldReplicas}, ".spec.template.spec.paused": {fieldPaused},
	".spec.retainReplicas": {fieldRetain}, ".metadata.labels.app": {fieldLabel},
	".metadata.labels": {fieldLabels}, ".spec.placement": {fieldPlacement}, ".spec.placementMask": {fieldMasking},
	// What is always there, and the field that keeps the template from being empty.
	".spec.template.spec.minReadySeconds": {}, ".spec": {}, ".spec.template": {}, ".spec.template.spec": {},
}

// owners reads who owns the fields of the model, by managedFields.
func (s *sequence) owners(obj object) map[string][]string {
	out := map[string][]string{}
	for _, e := range entries(s.t, obj) {
		if e.Subresource == "status" {
			continue
		}
		who := strings.TrimSpace(e.Manager + " " + string(e.Operation) + " " + e.Subresource)
		set := &fieldpath.Set{}
		if err := set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
			s.t.Fatal(err)
		}
		for path := range set.All() {
			fields, ok := paths[strings.TrimPrefix(e.APIVersion, "types.kubefed.io/")][path.String()]
			if !ok {
				fields, ok = commonPaths[path.String()]
			}
			if !ok {
				s.t.Errorf("%s owns %s in %s", who, path, e.APIVersion)
			}
			for _, field := range fields {
				if !slices.Contains(out[field], who) {
					out[field] = append(out[field], who)
				}
			}
		}
	}
	for field := range out {
		slices.Sort(out[field])
	}
	return out
}
