package autonomy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// Originals is the annotation of pods that has what their tolerations had before.
const Originals = "edge.koinon.io/original-tolerations"

// defaultSeconds are those of the tolerations that Kubernetes gives to pods.
const defaultSeconds = 300

// taints are those by which pods of a node that is cut off are evicted.
var taints = []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable}

// original is what was changed of one toleration: one element of the annotation, which is a list.
type original struct {
	Key      string                    `json:"key"`
	Operator corev1.TolerationOperator `json:"operator,omitempty"`
	Value    string                    `json:"value,omitempty"`
	Effect   corev1.TaintEffect        `json:"effect,omitempty"`
	// Added is one that was put before the others, which stays, since nobody may remove it. It has the seconds of what decides behind it.
	Added bool `json:"added,omitempty"`
	// Was are the seconds that are put back, of one that was not added. One that tolerates without end is never changed.
	Was int64 `json:"was"`
	// Set are the seconds that were written; null is without end.
	Set *int64 `json:"set"`
}

// of reports whether it is about a toleration as it is now: if the seconds are others, somebody has changed them.
func (o *original) of(t *corev1.Toleration) bool {
	return o.Key == t.Key && o.Operator == t.Operator && o.Value == t.Value && o.Effect == t.Effect && equal(o.Set, t.TolerationSeconds)
}

func equal(a, b *int64) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// parseOriginals reads the annotation.
func parseOriginals(text string) ([]original, error) {
	if text == "" {
		return nil, nil
	}
	var record []original
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&record); err != nil {
		return nil, fmt.Errorf("the annotation %s cannot be read: %w", Originals, err)
	}
	if decoder.More() {
		return nil, fmt.Errorf("the annotation %s cannot be read: there is more behind its list", Originals)
	}
	return record, nil
}

// presumed is what was changed of tolerations if that cannot be read any more: those that are for one of the two taints alone had what Kubernetes gives.
func presumed(tolerations []corev1.Toleration) (record []original) {
	for _, key := range taints {
		if i := deciding(tolerations, key); i >= 0 && tolerations[i].Key == key && tolerations[i].Effect == corev1.TaintEffectNoExecute {
			t := tolerations[i]
			record = append(record, originalOf(&t, false, defaultSeconds, t.TolerationSeconds))
		}
	}
	return record
}

// deciding is the index of the toleration that decides about a taint: the first that tolerates it; -1 if none does.
func deciding(tolerations []corev1.Toleration, key string) int {
	taint := &corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute}
	return slices.IndexFunc(tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(klog.Logger{}, taint, false) })
}

// originalOf is what was changed of a toleration.
func originalOf(t *corev1.Toleration, added bool, was int64, set *int64) original {
	return original{t.Key, t.Operator, t.Value, t.Effect, added, was, set}
}

// tolerations is what becomes of those of a pod.
type tolerations struct {
	// before are put before those that there are.
	before []corev1.Toleration
	// seconds are of those that there are.
	seconds []*int64
	record  []original
	// raised says that some are others than they would be without autonomy.
	raised bool
}

// decideTolerations says what tolerations are to be, on a node with a policy. tainted says whether an eviction may be scheduled for a taint.
func decideTolerations(now []corev1.Toleration, record []original, policy Policy, tainted func(key string) bool) tolerations {
	was, added := undone(now, record)
	var to tolerations
	for i := range was {
		to.seconds = append(to.seconds, was[i].TolerationSeconds)
	}
	if policy.On {
		to.raise(was, policy.seconds())
	}
	for i := range was {
		// Seconds do not move what is scheduled; none do.
		if to.seconds[i] != nil && now[i].TolerationSeconds != nil && !equal(to.seconds[i], now[i].TolerationSeconds) && tainted(now[i].Key) {
			to.seconds[i] = nil
		}
		had, set := was[i].TolerationSeconds, to.seconds[i]
		switch raised := !equal(set, had); {
		case added[i]:
			to.record = append(to.record, originalOf(&now[i], true, 0, set))
			to.raised = to.raised || raised
		case raised:
			to.record = append(to.record, originalOf(&now[i], false, *had, set))
			to.raised = true
		}
	}
	return to
}

// undone are tolerations with the seconds that they would have without autonomy, and which of them were added. Each part of the record is of one of them at most.
func undone(now []corev1.Toleration, record []original) (was []corev1.Toleration, added []bool) {
	was, added, record = slices.Clone(now), make([]bool, len(now)), slices.Clone(record)
	var own []corev1.Toleration
	for i := range was {
		if j := slices.IndexFunc(record, func(o original) bool { return o.of(&was[i]) }); j >= 0 {
			added[i] = record[j].Added
			seconds := record[j].Was
			was[i].TolerationSeconds = &seconds
			record = slices.Delete(record, j, j+1)
		}
		if !added[i] {
			own = append(own, was[i])
		}
	}
	for i := range was {
		if added[i] {
			was[i].TolerationSeconds = secondsOf(own, was[i].Key)
		}
	}
	return was, added
}

// secondsOf is for how long a taint is tolerated, nil for without end.
func secondsOf(tolerations []corev1.Toleration, key string) *int64 {
	if i := deciding(tolerations, key); i >= 0 {
		return tolerations[i].TolerationSeconds
	}
	return new(int64)
}

// raise has the tolerations that decide have as many seconds as are wanted; nil is without end.
func (to *tolerations) raise(was []corev1.Toleration, wanted *int64) {
	for _, key := range taints {
		had := secondsOf(was, key)
		if had == nil || wanted != nil && *had >= *wanted {
			continue
		}
		if i := deciding(was, key); i >= 0 && was[i].Key == key {
			to.seconds[i] = wanted
			continue
		}
		// There is none, or one that is for other taints, too.
		added := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: wanted}
		to.before = append(to.before, added)
		to.record = append(to.record, originalOf(&added, true, 0, wanted))
		to.raised = true
	}
}
