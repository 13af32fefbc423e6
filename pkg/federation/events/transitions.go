package events

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

const (
	// maxNamed is how many targets an Event names, and maxClasses how many Events there are for
	// targets that have come into one state with different messages.
	maxNamed, maxClasses = 3, 3
	// maxMessageBytes is how long the message of a target may be in an Event. The API server takes
	// 1024 bytes, names included.
	maxMessageBytes = 512
	// maxNameBytes bounds names of targets: those of three fit beside a message.
	maxNameBytes = 100
)

// Event is something that has happened.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason is a word of v1beta2.TargetState, or a constant beside it; of a cluster, the reason
	// of a condition.
	Reason string
	// Message is a sentence for people.
	Message string
}

// Transitions returns what has happened between two statuses of a federated object that were
// stored one after the other; old is nil if there was none. orphaned are the targets that have
// left, and of which it is known that what they have of the object stays there; nil: none.
//
// Its order depends on nothing but the arguments. Told is that a target has come into a state, or
// that another spec has left it there for another reason. That a member is not ready is told by
// its KubeFedCluster, and by an object only where a changed spec has to wait for it: it happens to
// every object there at once.
func Transitions(old, current *v1beta2.FederatedObjectStatus, orphaned func(target string) bool) []Event {
	if current == nil {
		return nil
	}
	t := transition{before: map[string]v1beta2.TargetStatus{}, current: current, newSpec: true}
	if old != nil {
		t.newSpec = old.ObservedGeneration != current.ObservedGeneration
		t.problem = problemOf(old)
		for _, target := range old.Targets {
			t.before[target.Name] = target
		}
	}
	out := t.newProblem()
	out = append(out, t.newStates()...)
	out = append(out, t.departures(orphaned)...)
	return append(out, t.completion()...)
}

// transition is what is known of one.
type transition struct {
	before  map[string]v1beta2.TargetStatus
	current *v1beta2.FederatedObjectStatus
	// newSpec: current speaks of another generation.
	newSpec bool
	// problem is why no target could be computed before.
	problem string
}

// problemOf returns why targets cannot be computed; empty if they can.
func problemOf(s *v1beta2.FederatedObjectStatus) string {
	if c := propagation(s); c != nil && c.Reason == v1beta2.ReasonComputePlacementFailed {
		return c.Message
	}
	return ""
}

func propagation(s *v1beta2.FederatedObjectStatus) *v1beta2.Condition {
	at := slices.IndexFunc(s.Conditions, func(c v1beta2.Condition) bool { return c.Type == v1beta2.ConditionPropagation })
	if at < 0 {
		return nil
	}
	return &s.Conditions[at]
}

func (t *transition) newProblem() []Event {
	problem := problemOf(t.current)
	if problem == "" || t.problem != "" && (!t.newSpec || t.problem == problem) {
		return nil
	}
	return []Event{{corev1.EventTypeWarning, v1beta2.ReasonComputePlacementFailed, status.Cut(problem, maxMessageBytes)}}
}

// newStates tells of the targets that have come into a state, grouped by it and by what is said.
func (t *transition) newStates() []Event {
	byState := map[v1beta2.TargetState]map[string][]string{}
	for _, target := range t.current.Targets {
		if !t.isNews(target) {
			continue
		}
		if byState[target.State] == nil {
			byState[target.State] = map[string][]string{}
		}
		byState[target.State][target.Message] = append(byState[target.State][target.Message], target.Name)
	}
	var out []Event
	for _, state := range slices.Sorted(maps.Keys(byState)) {
		out = append(out, classes(state, byState[state])...)
	}
	return out
}

func (t *transition) isNews(target v1beta2.TargetStatus) bool {
	was := t.before[target.Name]
	switch {
	case target.State == v1beta2.TargetOK || target.State == v1beta2.TargetPending:
		return false // that is told once everything is
	case isMembers(target.State):
		return t.newSpec
	case target.State == v1beta2.TargetWaitingForRemoval && target.Message == "":
		return false // most likely it is gone in a moment
	case was.State != target.State:
		return true
	case target.State == v1beta2.TargetWaitingForRemoval:
		return was.Message == ""
	}
	return t.newSpec && was.Message != target.Message
}

// isMembers reports whether a state is a member's, and that of every object there.
func isMembers(state v1beta2.TargetState) bool {
	return state == v1beta2.TargetClusterNotReady || state == v1beta2.TargetCachedRetrievalError
}

// classes are the Events of targets in one state, by what is said of them: those first that most
// targets share.
func classes(state v1beta2.TargetState, byMessage map[string][]string) []Event {
	messages := slices.SortedFunc(maps.Keys(byMessage), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byMessage[b]), len(byMessage[a])), cmp.Compare(a, b))
	})
	var out []Event
	others := 0
	for i, message := range messages {
		if i >= maxClasses {
			others += len(byMessage[message])
			continue
		}
		out = append(out, Event{typeOf(state), string(state), named(byMessage[message]) + ": " + saying(state, message)})
	}
	if others > 0 {
		out[len(out)-1].Message += fmt.Sprintf("; and %s with other messages, which status.targets has", counted(others))
	}
	return out
}

// typeOf: what somebody asked for is normal.
func typeOf(state v1beta2.TargetState) string {
	switch state {
	case v1beta2.TargetMasked, v1beta2.TargetEnded, v1beta2.TargetWaitingForRemoval:
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}

// saying is the message of a target, which may have been left out for want of room.
func saying(state v1beta2.TargetState, message string) string {
	switch {
	case message != "":
		return status.Cut(message, maxMessageBytes)
	case state == v1beta2.TargetMasked:
		return "the mask leaves what is there as it is"
	}
	return "status.targets has no message"
}

// departures tells of targets that have an entry no more, and to which something was written.
func (t *transition) departures(orphaned func(target string) bool) []Event {
	left := maps.Clone(t.before)
	for _, target := range t.current.Targets {
		delete(left, target.Name)
	}
	var gone, stay []string
	for _, name := range slices.Sorted(maps.Keys(left)) {
		switch {
		case left[name].Hash == "":
		case orphaned != nil && orphaned(name):
			stay = append(stay, name)
		default:
			gone = append(gone, name)
		}
	}
	var out []Event
	if len(stay) > 0 {
		out = append(out, Event{corev1.EventTypeWarning, v1beta2.EventOrphanedInTargets, named(stay) + ": no target any more; what is there stays"})
	}
	if len(gone) > 0 {
		out = append(out, Event{corev1.EventTypeNormal, v1beta2.EventRemovedFromTargets, named(gone) + ": no target any more; nothing of the object is left there"})
	}
	return out
}

// completion tells that everything is done, if something was to be done.
func (t *transition) completion() []Event {
	if c := propagation(t.current); c == nil || c.Status != metav1.ConditionTrue || !t.wasAtWork() {
		return nil
	}
	running, masked := 0, 0
	for _, target := range t.current.Targets {
		switch {
		case target.State.UpToDate():
			running++
		case target.State == v1beta2.TargetMasked:
			masked++
		}
	}
	if running == 0 {
		return nil
	}
	verb := "run"
	if running == 1 {
		verb = "runs"
	}
	message := fmt.Sprintf("%s %s generation %d", counted(running), verb, t.current.ObservedGeneration)
	if masked > 0 {
		message += fmt.Sprintf(", %d masked", masked)
	}
	return []Event{{corev1.EventTypeNormal, v1beta2.EventPropagationComplete, message}}
}

// wasAtWork reports whether there was anything to do that the engine, or somebody else, had to do. A
// member that was away for a while, and changed nothing, is none of that.
func (t *transition) wasAtWork() bool {
	if t.problem != "" {
		return true
	}
	for _, was := range t.before {
		if was.State != v1beta2.TargetPending && was.State != v1beta2.TargetMasked && !was.State.UpToDate() && !isMembers(was.State) {
			return true
		}
	}
	return slices.ContainsFunc(t.current.Targets, func(target v1beta2.TargetStatus) bool {
		was, known := t.before[target.Name]
		return target.State.UpToDate() && (!known || was.Generation != target.Generation || was.Hash != target.Hash)
	})
}

// named names the first of some targets, which are sorted.
func named(targets []string) string {
	var first []string
	for _, name := range targets[:min(len(targets), maxNamed)] {
		first = append(first, status.Cut(name, maxNameBytes))
	}
	text := strings.Join(first, ", ")
	if more := len(targets) - len(first); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func counted(targets int) string {
	if targets == 1 {
		return "1 target"
	}
	return fmt.Sprintf("%d targets", targets)
}
