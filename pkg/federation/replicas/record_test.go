package replicas_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
)

func patch(op, path, value string) v1beta2.OverridePatch {
	return v1beta2.OverridePatch{Op: op, Path: path, Value: rawjson.Value(value)}
}

func override(name string, patches ...v1beta2.OverridePatch) v1beta2.Override {
	return v1beta2.Override{TopologyName: name, TopologyOverrides: patches}
}

func object(placed []string, overrides ...v1beta2.Override) *v1beta2.FederatedObject {
	o := &v1beta2.FederatedObject{}
	o.Spec.Overrides = overrides
	if placed != nil {
		o.Spec.Placement = &v1beta2.Placement{Topologies: []v1beta2.TopologyReference{}}
		for _, name := range placed {
			o.Spec.Placement.Topologies = append(o.Spec.Placement.Topologies, v1beta2.TopologyReference{Name: name})
		}
	}
	return o
}

// apply does what a change says.
func apply(t *testing.T, o *v1beta2.FederatedObject, change *replicas.Change) *v1beta2.FederatedObject {
	t.Helper()
	if change == nil {
		return o
	}
	o = o.DeepCopy()
	o.Spec.Overrides = change.Overrides
	if change.Placement != nil {
		if o.Spec.Placement == nil {
			o.Spec.Placement = &v1beta2.Placement{}
		}
		o.Spec.Placement.Topologies = change.Placement
	}
	o.Annotations = map[string]string{v1alpha1.ReplicaSchedulingAnnotation: change.Record}
	if change.Record == "" {
		o.Annotations = nil
	}
	return o
}

func write(t *testing.T, o *v1beta2.FederatedObject, replicasByTarget counts) *v1beta2.FederatedObject {
	t.Helper()
	outcome := replicas.Outcome{Replicas: replicasByTarget, Placed: []string{}}
	for _, name := range []string{"m1", "m2", "m3"} {
		if _, ok := replicasByTarget[name]; ok {
			outcome.Placed = append(outcome.Placed, name)
		}
	}
	change, err := replicas.Write(o, replicas.RecordOf(o), outcome)
	if err != nil {
		t.Fatal(err)
	}
	return apply(t, o, change)
}

func overridesOf(o *v1beta2.FederatedObject) string {
	var lines []string
	for _, entry := range o.Spec.Overrides {
		text, _ := json.Marshal(entry)
		lines = append(lines, string(text))
	}
	return strings.Join(lines, "\n")
}

// TestOverridesGoAwayWithThePreference is kubefed#1066: its overrides go away with it, and nothing else.
func TestOverridesGoAwayWithThePreference(t *testing.T) {
	image := patch("", "/spec/template/spec/containers/0/image", `"a&b<c>"`)
	four := patch("replace", "/spec/replicas", "4")
	selecting := v1beta2.Override{TopologyOverrides: []v1beta2.OverridePatch{patch("", "/spec/paused", "true")}}
	for name, test := range map[string]struct {
		before  []v1beta2.Override
		written string
	}{
		"none before": {nil, `{"topologyName":"m1","topologyOverrides":[{"op":"add","path":"/spec/replicas","value":3}]}
{"topologyName":"m2","topologyOverrides":[{"op":"add","path":"/spec/replicas","value":6}]}`},
		"others stay byte for byte": {[]v1beta2.Override{override("m9", image), override("m1", image), selecting},
			`{"topologyName":"m9","topologyOverrides":[{"path":"/spec/template/spec/containers/0/image","value":"a\u0026b\u003cc\u003e"}]}
{"topologyName":"m1","topologyOverrides":[{"path":"/spec/template/spec/containers/0/image","value":"a\u0026b\u003cc\u003e"},{"op":"add","path":"/spec/replicas","value":3}]}
{"topologyOverrides":[{"path":"/spec/paused","value":true}]}
{"topologyName":"m2","topologyOverrides":[{"op":"add","path":"/spec/replicas","value":6}]}`},
		"one for replicas is back in its place": {[]v1beta2.Override{override("m2", four, image)},
			`{"topologyName":"m2","topologyOverrides":[{"op":"add","path":"/spec/replicas","value":6},{"path":"/spec/template/spec/containers/0/image","value":"a\u0026b\u003cc\u003e"}]}
{"topologyName":"m1","topologyOverrides":[{"op":"add","path":"/spec/replicas","value":3}]}`},
		"that of a target that is not placed is left": {[]v1beta2.Override{override("m3", four)},
			`{"topologyName":"m3","topologyOverrides":[{"op":"replace","path":"/spec/replicas","value":4}]}
{"topologyName":"m1","topologyOverrides":[{"op":"add","path":"/spec/replicas","value":3}]}
{"topologyName":"m2","topologyOverrides":[{"op":"add","path":"/spec/replicas","value":6}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			before := object([]string{"m1"}, test.before...)
			written := write(t, before, counts{"m1": 3, "m2": 6})
			if diff := cmp.Diff(test.written, overridesOf(written)); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			if again := write(t, written, counts{"m1": 3, "m2": 6}); again != written {
				t.Error("the same is written twice")
			}
			grown := write(t, written, counts{"m1": 5, "m2": 6, "m3": 1})
			for name, state := range map[string]*v1beta2.FederatedObject{"at once": written, "after another division": grown} {
				after := apply(t, state, replicas.Withdraw(state))
				if diff := cmp.Diff(overridesOf(before), overridesOf(after)); diff != "" {
					t.Errorf("%s: overrides (-before +after):\n%s", name, diff)
				}
				if len(after.Spec.Placement.Topologies) < 2 || after.Annotations != nil {
					t.Errorf("%s: got placement %v and annotations %v, want what was placed last and none", name, after.Spec.Placement, after.Annotations)
				}
			}
		})
	}
}

func TestWhatSomebodyWritesMeanwhileIsHis(t *testing.T) {
	written := write(t, object(nil), counts{"m1": 3, "m2": 6})
	changed := written.DeepCopy()
	changed.Spec.Overrides[0].TopologyOverrides[0] = patch("", "/spec/replicas", "9")
	after := apply(t, changed, replicas.Withdraw(changed))
	if want := `{"topologyName":"m1","topologyOverrides":[{"path":"/spec/replicas","value":9}]}`; overridesOf(after) != want {
		t.Errorf("got %s, want %s", overridesOf(after), want)
	}
	again := write(t, changed, counts{"m1": 3, "m2": 6})
	if overridesOf(again) != overridesOf(written) {
		t.Errorf("while there is a preference, got %s, want %s", overridesOf(again), overridesOf(written))
	}
	if back := apply(t, again, replicas.Withdraw(again)); overridesOf(back) != overridesOf(after) {
		t.Errorf("afterwards, got %s, want %s", overridesOf(back), overridesOf(after))
	}
	applied := written.DeepCopy()
	applied.Spec.Overrides = nil // as by a manifest that knows nothing of a preference
	if again := write(t, applied, counts{"m1": 3, "m2": 6}); overridesOf(again) != overridesOf(written) {
		t.Errorf("after an apply, got %s, want %s", overridesOf(again), overridesOf(written))
	}
}

func TestATargetThatIsNotPlacedAnyMoreHasItsOwnOverrideBack(t *testing.T) {
	four := override("m2", patch("", "/spec/replicas", "4"))
	written := write(t, object(nil, four), counts{"m1": 3, "m2": 6})
	less := write(t, written, counts{"m1": 9})
	want := `{"topologyName":"m2","topologyOverrides":[{"path":"/spec/replicas","value":4}]}
{"topologyName":"m1","topologyOverrides":[{"op":"add","path":"/spec/replicas","value":9}]}`
	if diff := cmp.Diff(want, overridesOf(less)); diff != "" {
		t.Errorf("overrides (-want +got):\n%s", diff)
	}
}

func TestTheListThatAnObjectHadIsRemembered(t *testing.T) {
	own := object([]string{"m1", "m3"})
	written := write(t, own, counts{"m1": 3, "m2": 6})
	rewritten := write(t, written, counts{"m1": 9})
	for name, o := range map[string]*v1beta2.FederatedObject{"before": own, "written": written, "written again": rewritten} {
		if diff := cmp.Diff([]string{"m1", "m3"}, replicas.OwnList(&o.Spec, replicas.RecordOf(o))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	changed := written.DeepCopy()
	changed.Spec.Placement = object([]string{"m2"}).Spec.Placement
	if diff := cmp.Diff([]string{"m2"}, replicas.OwnList(&changed.Spec, replicas.RecordOf(changed))); diff != "" {
		t.Errorf("a list that somebody wrote (-want +got):\n%s", diff)
	}
}

func TestARecordThatIsNoneHidesNothing(t *testing.T) {
	o := object([]string{"m1"}, override("m1", patch("", "/spec/replicas", "4")))
	o.Annotations = map[string]string{v1alpha1.ReplicaSchedulingAnnotation: "{"}
	after := apply(t, o, replicas.Withdraw(o))
	if overridesOf(after) != overridesOf(o) || after.Annotations != nil {
		t.Errorf("got overrides %s and annotations %v, want them as they were, and none", overridesOf(after), after.Annotations)
	}
}

// TestARecordNamesPlacedTargetsOnce: with a thousand of them it is half as long.
func TestARecordNamesPlacedTargetsOnce(t *testing.T) {
	for name, test := range map[string]struct {
		outcome replicas.Outcome
		names   bool
	}{
		"all have replicas":    {replicas.Outcome{Replicas: counts{"m1": 5, "m2": 5}, Placed: []string{"m1", "m2"}}, false},
		"nobody is placed":     {replicas.Outcome{Replicas: counts{}, Placed: []string{}}, false},
		"one has none of ours": {replicas.Outcome{Replicas: counts{"m1": 5}, Placed: []string{"m1", "m2"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			change, err := replicas.Write(object([]string{"m1"}), nil, test.outcome)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(change.Record, `"placed"`); got != test.names {
				t.Errorf("placed targets are named: %v, want %v: %s", got, test.names, change.Record)
			}
			written := apply(t, object([]string{"m1"}), change)
			record := replicas.RecordOf(written)
			if diff := cmp.Diff(test.outcome.Placed, record.Placed); diff != "" {
				t.Errorf("placed (-want +read):\n%s", diff)
			}
			if again, err := replicas.Write(written, record, test.outcome); err != nil || again != nil {
				t.Errorf("it is written again: %v, %v", again, err)
			}
		})
	}
}

func TestARecordOfAnEarlierReleaseIsRead(t *testing.T) {
	o := object([]string{"m1", "m2"}, override("m1", patch("add", "/spec/replicas", "5")), override("m2", patch("add", "/spec/replicas", "5")))
	o.Annotations = map[string]string{v1alpha1.ReplicaSchedulingAnnotation: `{"replicas":{"m1":5,"m2":5},"placed":["m1","m2"],"for":"x"}`}
	outcome := replicas.Outcome{Replicas: counts{"m1": 5, "m2": 5}, Placed: []string{"m1", "m2"}, For: "x"}
	if change, err := replicas.Write(o, replicas.RecordOf(o), outcome); err != nil || change != nil {
		t.Errorf("what is settled is written: %+v, %v", change, err)
	}
}

// TestWhatIsSettledIsGuarded: somebody has changed what was written.
func TestWhatIsSettledIsGuarded(t *testing.T) {
	outcome := replicas.Outcome{Replicas: counts{"m1": 5, "m2": 5}, Placed: []string{"m1", "m2"}}
	for name, change := range map[string]func(*v1beta2.FederatedObject){
		"an override is another": func(o *v1beta2.FederatedObject) { o.Spec.Overrides[0].TopologyOverrides[0].Value = rawjson.Value("7") },
		"an override is gone":    func(o *v1beta2.FederatedObject) { o.Spec.Overrides = o.Spec.Overrides[1:] },
		"the list is another":    func(o *v1beta2.FederatedObject) { o.Spec.Placement.Topologies = o.Spec.Placement.Topologies[1:] },
		"the list is gone":       func(o *v1beta2.FederatedObject) { o.Spec.Placement = nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := write(t, object(nil), outcome.Replicas)
			change(o)
			if got, err := replicas.Write(o, replicas.RecordOf(o), outcome); err != nil || got == nil {
				t.Errorf("got %v, %v, want it written again", got, err)
			}
		})
	}
}

func TestARecordThatIsTooLargeIsNotWritten(t *testing.T) {
	outcome := replicas.Outcome{Replicas: counts{}}
	for i := range 1000 {
		outcome.Placed = append(outcome.Placed, fmt.Sprintf("m%03d%s", i, strings.Repeat("x", 150)))
		outcome.Replicas[outcome.Placed[i]] = 1
	}
	change, err := replicas.Write(object(nil), nil, outcome)
	var tooLarge *replicas.TooLargeError
	if change != nil || !errors.As(err, &tooLarge) {
		t.Errorf("got %v, %v, want it refused", change, err)
	}
}
