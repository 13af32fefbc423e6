package events

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// at is a status of a generation: targets are NAME or NAME=STATE or NAME=STATE:MESSAGE, and were
// written unless they are Pending. Those that are up to date run the generation, all others the
// one before, unless NAME has another behind it: NAME@2.
func at(t *testing.T, generation int64, targets ...string) *v1beta2.FederatedObjectStatus {
	t.Helper()
	return folded(generation, "", entries(t, generation, targets))
}

func entries(t *testing.T, generation int64, targets []string) []v1beta2.TargetStatus {
	t.Helper()
	var out []v1beta2.TargetStatus
	for _, text := range targets {
		name, rest, _ := strings.Cut(text, "=")
		state, message, _ := strings.Cut(rest, ":")
		entry := v1beta2.TargetStatus{State: v1beta2.TargetState(state), Message: message}
		if entry.Generation = generation; !entry.State.UpToDate() {
			entry.Generation--
		}
		name, runs, ok := strings.Cut(name, "@")
		if ok {
			if _, err := fmt.Sscan(runs, &entry.Generation); err != nil {
				t.Fatal(err)
			}
		}
		entry.Name, entry.Hash = name, fmt.Sprint("hash ", entry.Generation)
		if entry.State == v1beta2.TargetNotFound {
			entry.Hash = ""
		}
		out = append(out, entry)
	}
	return out
}

func folded(generation int64, problem string, targets []v1beta2.TargetStatus) *v1beta2.FederatedObjectStatus {
	return status.Fold(nil, generation, targets, problem, v1beta2.MaxStatusBytes, time.Now())
}

func TestTransitionsTellWhatHasHappenedToTargets(t *testing.T) {
	const normal, warning = corev1.EventTypeNormal, corev1.EventTypeWarning
	var thousand, thousandMessages []string
	for i := range 1000 {
		thousand = append(thousand, fmt.Sprintf("m%03d=CreationFailed:denied", i))
		thousandMessages = append(thousandMessages, fmt.Sprintf("m%03d=CreationFailed:denied %03d", i, i))
	}
	for sentence, test := range map[string]struct {
		old, current *v1beta2.FederatedObjectStatus
		orphaned     []string
		want         []Event
	}{
		"a first record tells nothing":        {nil, at(t, 1, "m1=Pending", "m2=Pending"), nil, nil},
		"a status that is gone tells nothing": {at(t, 1, "m1"), nil, nil, nil},
		"the same status tells nothing, though it is unwell": {
			at(t, 1, "m1=CreationFailed:denied", "m2"), at(t, 1, "m1=CreationFailed:denied", "m2"), nil, nil},
		"everything is done": {
			at(t, 7, "m1", "m2=Pending", "m3"), at(t, 7, "m1", "m2", "m3"), nil,
			[]Event{{normal, "PropagationComplete", "3 targets run generation 7"}}},
		"not before": {at(t, 7, "m1=Pending", "m2=Pending"), at(t, 7, "m1", "m2=Pending"), nil, nil},
		"everything that may change is done": {
			at(t, 7, "m1=Pending", "m2=Masked"), at(t, 7, "m1", "m2=Masked"), nil,
			[]Event{{normal, "PropagationComplete", "1 target runs generation 7, 1 masked"}}},
		"nothing is placed any more": {at(t, 2, "m1=WaitingForRemoval"), at(t, 2), nil,
			[]Event{{normal, "RemovedFromTargets", "m1: no target any more; nothing of the object is left there"}}},
		"one Event for all that failed alike": {
			at(t, 1, "m1=Pending", "m2=Pending", "m3=Pending", "m4=Pending", "m5=Pending"),
			at(t, 1, "m1=CreationFailed:denied", "m2=CreationFailed:denied", "m3=CreationFailed:denied", "m4=CreationFailed:denied", "m5=UpdateFailed:too long"), nil,
			[]Event{{warning, "CreationFailed", "m1, m2, m3 and 1 more: denied"}, {warning, "UpdateFailed", "m5: too long"}}},
		"one for a thousand": {nil, at(t, 1, thousand...), nil, []Event{{warning, "CreationFailed", "m000, m001, m002 and 997 more: denied"}}},
		"three for a thousand messages": {nil, at(t, 1, thousandMessages...), nil, []Event{
			{warning, "CreationFailed", "m000: denied 000"}, {warning, "CreationFailed", "m001: denied 001"},
			{warning, "CreationFailed", "m002: denied 002; and 997 targets with other messages, which status.targets has"}}},
		"another message of the same state is the same news": {at(t, 1, "m1=CreationFailed:denied"), at(t, 1, "m1=CreationFailed:denied for 2 reasons"), nil, nil},
		"unless it is about another spec":                    {at(t, 1, "m1=CreationFailed:denied"), at(t, 2, "m1=CreationFailed:too long"), nil, []Event{{warning, "CreationFailed", "m1: too long"}}},
		"what failed is done in the end": {at(t, 1, "m1=CreationFailed:denied", "m2"), at(t, 1, "m1", "m2"), nil,
			[]Event{{normal, "PropagationComplete", "2 targets run generation 1"}}},
		"a fight, a conflict and a forbidden namespace": {at(t, 1, "m1", "m2", "m3"), at(t, 1, "m1=Contested:a", "m2=Conflict:b", "m3=NamespaceForbidden:c"), nil,
			[]Event{{warning, "Conflict", "m2: b"}, {warning, "Contested", "m1: a"}, {warning, "NamespaceForbidden", "m3: c"}}},
		"a mask": {at(t, 1, "m1", "m2"), at(t, 2, "m1", "m2=Masked"), nil,
			[]Event{{normal, "Masked", "m2: the mask leaves what is there as it is"}, {normal, "PropagationComplete", "1 target runs generation 2, 1 masked"}}},
		"what ran to its end": {at(t, 1, "m1"), at(t, 1, "m1@1=Ended:it ran to its end"), nil, []Event{{normal, "Ended", "m1: it ran to its end"}}},
		"a member that is away is told by its cluster, and so is that it is back": {at(t, 1, "m1", "m2"), at(t, 1, "m1", "m2@1=ClusterNotReady:offline"), nil, nil},
		"it is back":                          {at(t, 1, "m1", "m2@1=ClusterNotReady:offline"), at(t, 1, "m1", "m2"), nil, nil},
		"a change waits for it":               {at(t, 1, "m1", "m2@1=ClusterNotReady:offline"), at(t, 2, "m1", "m2=ClusterNotReady:offline"), nil, []Event{{warning, "ClusterNotReady", "m2: offline"}}},
		"drift that was repaired is no news":  {at(t, 1, "m1@1=Pending"), at(t, 1, "m1"), nil, nil},
		"a target that was taken out is left": {at(t, 1, "m1", "m2"), at(t, 2, "m1", "m2=WaitingForRemoval"), nil, nil},
		"and gone": {at(t, 2, "m1", "m2=WaitingForRemoval"), at(t, 2, "m1"), nil, []Event{
			{normal, "RemovedFromTargets", "m2: no target any more; nothing of the object is left there"}, {normal, "PropagationComplete", "1 target runs generation 2"}}},
		"who holds it is told": {at(t, 2, "m1=WaitingForRemoval"), at(t, 2, "m1=WaitingForRemoval:held by a/b"), nil, []Event{{normal, "WaitingForRemoval", "m1: held by a/b"}}},
		"what stays in a target is told": {at(t, 2, "m1", "m2"), at(t, 2), []string{"m1"}, []Event{
			{warning, "OrphanedInTargets", "m1: no target any more; what is there stays"}, {normal, "RemovedFromTargets", "m2: no target any more; nothing of the object is left there"}}},
		"a target that never was one is not removed": {at(t, 2, "m1=TargetNotFound:a"), at(t, 3), nil, nil},
		"a placement that cannot be computed":        {at(t, 1, "m1"), folded(2, "placement: no", entries(t, 1, []string{"m1"})), nil, []Event{{warning, "ComputePlacementFailed", "placement: no"}}},
		"is told once":                               {folded(2, "placement: no", entries(t, 1, []string{"m1"})), folded(2, "placement: no", entries(t, 1, []string{"m1"})), nil, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			orphaned := func(target string) bool { return strings.Contains(strings.Join(test.orphaned, ","), target) }
			if diff := cmp.Diff(test.want, Transitions(test.old, test.current, orphaned)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if test.current != nil {
				if again := Transitions(test.current, test.current, nil); again != nil {
					t.Errorf("after a restart: %v", again)
				}
			}
		})
	}
}

func TestMessagesFitIntoEvents(t *testing.T) {
	long := strings.Repeat("é", 2000)
	current := at(t, 1, "a"+long+"=CreationFailed:"+long, "b"+long+"=CreationFailed:"+long, "c"+long+"=CreationFailed:"+long, "d=CreationFailed:"+long)
	for _, e := range Transitions(nil, current, nil) {
		if len(e.Message) > 1024 {
			t.Errorf("a message of %d bytes", len(e.Message))
		}
	}
}

func TestClusterTransitionsTellHowAClusterIs(t *testing.T) {
	condition := func(reason, message string) v1beta1.ClusterCondition {
		return v1beta1.ClusterCondition{Reason: &reason, Message: &message}
	}
	be := func(conditions ...v1beta1.ClusterCondition) *v1beta1.KubeFedClusterStatus {
		return &v1beta1.KubeFedClusterStatus{Conditions: conditions}
	}
	ready, offline := be(condition("ClusterReady", "ok")), be(condition("ClusterNotReachable", "no answer"))
	unwell := be(condition("ClusterNotReady", "not ok"), condition("ClusterReachable", "cluster is reachable"))
	malformed := be(condition("ClusterConfigMalformed", "no Secret"))
	for sentence, test := range map[string]struct {
		old, current *v1beta1.KubeFedClusterStatus
		want         []Event
	}{
		"a first check":                   {be(), ready, []Event{{corev1.EventTypeNormal, "ClusterReady", "ok"}}},
		"the same again":                  {ready, ready, nil},
		"gone":                            {ready, offline, []Event{{corev1.EventTypeWarning, "ClusterNotReachable", "no answer"}}},
		"gone, for another reason":        {offline, be(condition("ClusterNotReachable", "refused")), nil},
		"unwell":                          {ready, unwell, []Event{{corev1.EventTypeWarning, "ClusterNotReady", "not ok"}}},
		"refuses us":                      {unwell, malformed, []Event{{corev1.EventTypeWarning, "ClusterConfigMalformed", "no Secret"}}},
		"back":                            {malformed, ready, []Event{{corev1.EventTypeNormal, "ClusterReady", "ok"}}},
		"nothing is known of it any more": {ready, be(), nil},
	} {
		if diff := cmp.Diff(test.want, ClusterTransitions(test.old, test.current)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sentence, diff)
		}
	}
}
