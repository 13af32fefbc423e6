package replicas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// replicasPath is where a template has its replicas.
const replicasPath = "/spec/replicas"

// Record is what was written into a federated object. It is an annotation of the object,
// v1alpha1.ReplicaSchedulingAnnotation, and is taken off together with the overrides.
type Record struct {
	// Replicas that the override of each target says.
	Replicas map[string]int64 `json:"replicas,omitempty"`
	// Placed are the targets in the placement, sorted. They are not written if they are those of Replicas.
	Placed []string `json:"placed,omitzero"`
	// Own is the list of targets that the object had before; nil: it had none.
	Own []string `json:"own,omitempty"`
	// Before are overrides of spec.replicas that the object had before, by target.
	Before map[string]v1beta2.OverridePatch `json:"before,omitempty"`
	// Away are targets whose replicas are somewhere else since their member is not ready, sorted.
	Away []string `json:"away,omitempty"`
	// Missed are targets that got nothing since their member was not ready, sorted.
	Missed []string `json:"missed,omitempty"`
	// For stands for what was decided on: the preference, and which targets there were.
	For string `json:"for,omitempty"`
}

// RecordOf returns the record in a federated object, nil if there is none. One that does not parse,
// since somebody wrote there, is an empty one: what is in the overrides is then the object's own.
func RecordOf(federated *v1beta2.FederatedObject) *Record {
	text, ok := federated.Annotations[v1alpha1.ReplicaSchedulingAnnotation]
	if !ok {
		return nil
	}
	record := &Record{}
	if err := json.Unmarshal([]byte(text), record); err != nil {
		return &Record{}
	}
	if record.Placed == nil {
		record.Placed = placedBy(record.Replicas)
	}
	return record
}

// placedBy are the targets that have replicas, sorted.
func placedBy(replicas map[string]int64) []string {
	return append([]string{}, slices.Sorted(maps.Keys(replicas))...)
}

// text is the value of the annotation.
func (r Record) text() (string, error) {
	if slices.Equal(r.Placed, placedBy(r.Replicas)) {
		r.Placed = nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode the record of replicas: %w", err)
	}
	if len(text) > maxRecord {
		return "", &TooLargeError{Bytes: len(text)}
	}
	return string(text), nil
}

// maxRecord is how long a record may be: all annotations of an object together may be twice as long.
const maxRecord = 128 << 10

// TooLargeError occurs if an object has so many targets that what was written into it cannot be recorded, and so not be
// taken back. Nothing is written then.
type TooLargeError struct{ Bytes int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("metadata.annotations[%s]: the record of what is written takes %d bytes, and at most %d are allowed: "+
		"divide the replicas among fewer targets", v1alpha1.ReplicaSchedulingAnnotation, e.Bytes, maxRecord)
}

// Change is what to write into a federated object.
type Change struct {
	// Placement is the list of targets; nil leaves it as it is.
	Placement []v1beta2.TopologyReference
	// Overrides are all of the object, those of others as they were; empty: none.
	Overrides []v1beta2.Override
	// Record is the value of the annotation; empty takes it off.
	Record string
}

// Write returns what makes an object have the placement and the replicas of an outcome, and nil if
// it has them. old is the object's record, nil if it has none.
func Write(federated *v1beta2.FederatedObject, old *Record, outcome Outcome) (*Change, error) {
	spec := &federated.Spec
	if old != nil && old.says(outcome) && old.isIn(spec) {
		return nil, nil
	}
	record := Record{
		Replicas: outcome.Replicas, Placed: outcome.Placed, Away: outcome.Away, Missed: outcome.Missed, For: outcome.For,
		Own: OwnList(spec, old), Before: map[string]v1beta2.OverridePatch{},
	}
	if old == nil {
		old = &Record{}
	}
	overrides := withdrawn(spec.Overrides, old, func(target string) bool { _, stays := outcome.Replicas[target]; return stays })
	at := indexOf(overrides)
	for _, target := range slices.Sorted(maps.Keys(outcome.Replicas)) {
		i, ok := at[target]
		if !ok {
			i = len(overrides)
			overrides = append(overrides, v1beta2.Override{TopologyName: target})
		}
		own, patches := replace(overrides[i].TopologyOverrides, old.wrote(target), ours(outcome.Replicas[target]))
		if own == nil && patchOf(overrides[i].TopologyOverrides) >= 0 {
			own = before(old, target) // what is there is ours
		}
		overrides[i].TopologyOverrides = patches
		if own != nil {
			record.Before[target] = *own
		}
	}
	text, err := record.text()
	if err != nil {
		return nil, err
	}
	change := &Change{Overrides: overrides, Record: text, Placement: []v1beta2.TopologyReference{}}
	for _, target := range outcome.Placed {
		change.Placement = append(change.Placement, v1beta2.TopologyReference{Name: target})
	}
	if change.Record == federated.Annotations[v1alpha1.ReplicaSchedulingAnnotation] && sameList(Listed(spec), outcome.Placed) && sameOverrides(spec.Overrides, overrides) {
		return nil, nil
	}
	return change, nil
}

// says reports whether an outcome is the recorded one.
func (r *Record) says(o Outcome) bool {
	return r.For == o.For && maps.Equal(r.Replicas, o.Replicas) && slices.Equal(r.Placed, o.Placed) &&
		slices.Equal(r.Away, o.Away) && slices.Equal(r.Missed, o.Missed)
}

// isIn reports whether an object has all that is recorded: most objects have, most of the time, and
// nothing is made anew to find that out.
func (r *Record) isIn(spec *v1beta2.FederatedObjectSpec) bool {
	if !sameList(Listed(spec), r.Placed) {
		return false
	}
	at := indexOf(spec.Overrides)
	for target, replicas := range r.Replicas {
		i, ok := at[target]
		if !ok {
			return false
		}
		patches := spec.Overrides[i].TopologyOverrides
		if j := patchOf(patches); j < 0 || !same(ours(replicas), patches[j]) {
			return false
		}
	}
	return true
}

// Withdraw returns what takes everything back that was written into an object, but for its
// placement: an object must not go from members since a preference went. What the object had before
// is there again. It is nil if there is nothing.
func Withdraw(federated *v1beta2.FederatedObject) *Change {
	record := RecordOf(federated)
	if record == nil {
		return nil
	}
	return &Change{Overrides: withdrawn(federated.Spec.Overrides, record, func(string) bool { return false })}
}

// OwnList is the list of targets that an object has, or had before it was written to; nil
// if it has none. A list that is not the one that was written is the object's own.
func OwnList(spec *v1beta2.FederatedObjectSpec, record *Record) []string {
	list := Listed(spec)
	if record != nil && list != nil && sameList(list, record.Placed) {
		return record.Own
	}
	return list
}

// Listed returns the names in the placement of an object, sorted; nil if it has no list.
func Listed(spec *v1beta2.FederatedObjectSpec) []string {
	if spec.Placement == nil || spec.Placement.Topologies == nil {
		return nil
	}
	names := []string{}
	for _, t := range spec.Placement.Topologies {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}

func sameList(a, b []string) bool { return a != nil && slices.Equal(a, b) }

// ours is the override that sets replicas. Op add sets what the template has not, too.
func ours(replicas int64) v1beta2.OverridePatch {
	return v1beta2.OverridePatch{Op: "add", Path: replicasPath, Value: rawjson.Value(strconv.FormatInt(replicas, 10))}
}

// wrote returns the override that was written for a target, nil if none was.
func (r *Record) wrote(target string) *v1beta2.OverridePatch {
	replicas, ok := r.Replicas[target]
	if !ok {
		return nil
	}
	patch := ours(replicas)
	return &patch
}

func before(r *Record, target string) *v1beta2.OverridePatch {
	if patch, ok := r.Before[target]; ok {
		return &patch
	}
	return nil
}

// replace puts a patch in the place of the one that sets replicas, or at the end. It returns the
// one that was there if it is not the one that was written, and does not modify patches.
func replace(patches []v1beta2.OverridePatch, wrote *v1beta2.OverridePatch, patch v1beta2.OverridePatch) (own *v1beta2.OverridePatch, replaced []v1beta2.OverridePatch) {
	replaced = slices.Clone(patches)
	i := patchOf(patches)
	if i < 0 {
		return nil, append(replaced, patch)
	}
	if wrote == nil || !same(*wrote, patches[i]) {
		own = &patches[i]
	}
	replaced[i] = patch
	return own, replaced
}

// patchOf returns which patch sets replicas, or -1.
func patchOf(patches []v1beta2.OverridePatch) int {
	return slices.IndexFunc(patches, func(p v1beta2.OverridePatch) bool { return p.Path == replicasPath })
}

func same(a, b v1beta2.OverridePatch) bool {
	return a.Op == b.Op && a.Path == b.Path && bytes.Equal(a.Value, b.Value)
}

func sameOverrides(a, b []v1beta2.Override) bool {
	return slices.EqualFunc(a, b, func(x, y v1beta2.Override) bool {
		return x.TopologyName == y.TopologyName && x.TopologySelector == y.TopologySelector &&
			slices.EqualFunc(x.TopologyOverrides, y.TopologyOverrides, same)
	})
}

// indexOf finds the override of each target.
func indexOf(overrides []v1beta2.Override) map[string]int {
	at := make(map[string]int, len(overrides))
	for i, o := range overrides {
		if o.TopologySelector == nil {
			at[o.TopologyName] = i
		}
	}
	return at
}

// withdrawn returns the overrides without what a record says that was written, but for targets
// that stay. What somebody has changed since is that one's.
func withdrawn(overrides []v1beta2.Override, record *Record, stays func(target string) bool) []v1beta2.Override {
	left := make([]v1beta2.Override, 0, len(overrides))
	for _, o := range overrides {
		wrote := record.wrote(o.TopologyName)
		i := patchOf(o.TopologyOverrides)
		if o.TopologySelector != nil || wrote == nil || i < 0 || !same(*wrote, o.TopologyOverrides[i]) || stays(o.TopologyName) {
			left = append(left, o)
			continue
		}
		o.TopologyOverrides = slices.Clone(o.TopologyOverrides)
		if own := before(record, o.TopologyName); own != nil {
			o.TopologyOverrides[i] = *own
		} else {
			o.TopologyOverrides = slices.Delete(o.TopologyOverrides, i, i+1)
		}
		if len(o.TopologyOverrides) > 0 {
			left = append(left, o)
		}
	}
	return left
}
