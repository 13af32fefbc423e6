package status

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// fleet is the status of n targets, each with a message and a status of the given sizes.
func fleet(n, messageBytes, remoteBytes int) []v1beta2.TargetStatus {
	var out []v1beta2.TargetStatus
	for i := range n {
		t := v1beta2.TargetStatus{
			Name: fmt.Sprintf("rz%04d", i), Cluster: "m1", Namespace: fmt.Sprintf("shop-rz%04d", i), State: v1beta2.TargetUpdateFailed,
			Hash: strings.Repeat("a", 32), Version: "gen:7", Generation: 7, Message: strings.Repeat("m", messageBytes),
		}
		if remoteBytes > 0 {
			t.RemoteStatus = []byte(`"` + strings.Repeat("r", remoteBytes-2) + `"`)
		}
		out = append(out, t)
	}
	return out
}

func named(prefix string, targets []v1beta2.TargetStatus) []v1beta2.TargetStatus {
	for i := range targets {
		targets[i].Name = prefix + targets[i].Name
	}
	return targets
}

// A member decides what its objects' statuses hold.
func TestAHugeStatusCostsItsTargetAlone(t *testing.T) {
	huge, cut := fleet(4, 0, 1<<20), fleet(4, 0, 1<<20)
	huge[1].Message, huge[2].Message = "the member says no", strings.Repeat("m", v1beta2.MaxMessageBytes)
	cut[1].Message = huge[1].Message
	targets := slices.Concat(huge, named("small", fleet(100, 20, 1<<10)))
	got := Fold(nil, 7, targets, "", v1beta2.MaxStatusBytes, now)
	if want := "; the status of 4 objects is left out, since it does not fit"; !strings.HasSuffix(got.Conditions[0].Message, want) {
		t.Errorf("got condition %q", got.Conditions[0].Message)
	}
	const note = "the status of the object there is left out, since it is larger than 32 KiB"
	for i, target := range got.Targets {
		switch {
		case i >= len(huge):
			if target.RemoteStatus == nil || strings.Contains(target.Message, note) {
				t.Fatalf("%s: got %d bytes of status and message %q", target.Name, len(target.RemoteStatus), target.Message)
			}
		case target.RemoteStatus != nil || !strings.HasSuffix(target.Message, note) || len(target.Message) > v1beta2.MaxMessageBytes:
			t.Errorf("%s: got %d bytes of status and message %q", target.Name, len(target.RemoteStatus), target.Message)
		}
	}
	if got := got.Targets[1].Message; got != "the member says no; "+note {
		t.Errorf("got message %q", got)
	}
	// After a restart messages come from the stored status.
	stored := slices.Clone(got.Targets)
	for i := range huge {
		stored[i].RemoteStatus = huge[i].RemoteStatus
	}
	if !reflect.DeepEqual(got.Targets, Fold(got, 7, stored, "", v1beta2.MaxStatusBytes, now).Targets) {
		t.Error("the note is added to itself")
	}
	for i := range huge {
		stored[i].RemoteStatus = []byte(`{}`)
	}
	for i, target := range Fold(got, 7, stored, "", v1beta2.MaxStatusBytes, now).Targets[:2] {
		if target.RemoteStatus == nil || target.Message != cut[i].Message {
			t.Errorf("a status that is small again: got %d bytes and message %q", len(target.RemoteStatus), target.Message)
		}
	}
}

func TestAStatusIsMadeToFit(t *testing.T) {
	for sentence, test := range map[string]struct {
		targets []v1beta2.TargetStatus
		// limit is what the status may be as JSON.
		limit int
		// left is what has to be in the message of the condition; "" if nothing was left out.
		left string
		// statuses and messages are how many targets keep theirs.
		statuses, messages int
	}{
		"a thousand targets fit": {fleet(1000, 20, 0), v1beta2.MaxStatusBytes, "", 0, 1000},
		"statuses of objects are kept as far as they fit": {
			fleet(100, 20, 10<<10), v1beta2.MaxStatusBytes, "; the status of 65 objects is left out, since it does not fit", 35, 100},
		"then messages go": {
			fleet(1000, 1000, 10<<10), v1beta2.MaxStatusBytes, "; the status of 1000 objects is left out, since it does not fit; messages are left out, since they do not fit", 0, 0},
		"the smallest statuses are kept": {
			slices.Concat(fleet(20, 20, 31<<10), named("small", fleet(100, 20, 1<<10))), v1beta2.MaxStatusBytes, "; the status of 12 objects is left out, since it does not fit", 108, 120},
		"there is no room at all": {
			fleet(3, 20, 10), 0, "; the status of 3 objects is left out, since it does not fit; messages are left out, since they do not fit", 0, 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := Fold(nil, 7, test.targets, "", test.limit, now)
			data, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if test.limit > 0 && len(data) > test.limit {
				t.Errorf("got %d bytes, want at most %d", len(data), test.limit)
			}
			if message := got.Conditions[0].Message; !strings.HasSuffix(message, test.left) || test.left == "" && strings.Contains(message, "left out") {
				t.Errorf("got condition %q, want it to end with %q", message, test.left)
			}
			statuses, messages := 0, 0
			for i, target := range got.Targets {
				if target.RemoteStatus != nil {
					statuses++
				}
				if target.Message != "" {
					messages++
				}
				want := test.targets[i]
				want.Message, want.RemoteStatus = target.Message, target.RemoteStatus
				if diff := cmp.Diff(want, target); diff != "" {
					t.Fatalf("the record of a target changed (-want +got):\n%s", diff)
				}
			}
			if statuses != test.statuses || messages != test.messages {
				t.Errorf("got %d statuses and %d messages, want %d and %d", statuses, messages, test.statuses, test.messages)
			}
			again := Fold(got, 7, test.targets, "", test.limit, now.Add(1))
			if !reflect.DeepEqual(got, again) { // cmp looks at each byte
				t.Error("folding again says something new, so it would be written for ever")
			}
		})
	}
}

func TestALongMessageIsCutAtACharacter(t *testing.T) {
	targets := fleet(1, 0, 0)
	targets[0].Message = strings.Repeat("ü", 2000)
	got := Fold(nil, 1, targets, strings.Repeat("p", 5000), v1beta2.MaxStatusBytes, now)
	for _, message := range []string{got.Targets[0].Message, got.Conditions[0].Message} {
		if len(message) > v1beta2.MaxMessageBytes || !utf8.ValidString(message) || !strings.HasSuffix(message, "... (cut)") {
			t.Errorf("got %d bytes: %.20s...%s", len(message), message, message[len(message)-20:])
		}
	}
}

func TestTheReasonBehindALongQuoteStays(t *testing.T) {
	const head, tail = `Job.batch "r" is invalid: spec.template: Invalid value: `, `: field is immutable`
	for name, quote := range map[string]string{"ascii": strings.Repeat("x", 5000), "two bytes": strings.Repeat("ü", 5000), "two bytes, odd": "x" + strings.Repeat("ü", 5000)} {
		got := CutMiddle(head+quote+tail, v1beta2.MaxMessageBytes)
		if len(got) > v1beta2.MaxMessageBytes || len(got) < v1beta2.MaxMessageBytes-4 || !utf8.ValidString(got) || !strings.HasPrefix(got, head) || !strings.HasSuffix(got, tail) {
			t.Errorf("%s: got %d bytes: %.80s...%s", name, len(got), got, got[len(got)-40:])
		}
	}
	if got := CutMiddle(head, v1beta2.MaxMessageBytes); got != head {
		t.Errorf("got %q of a short message", got)
	}
}

// A thousand of them are in an object that everybody watches.
func TestTheRecordOfACellIsAtMost120Bytes(t *testing.T) {
	record := v1beta2.TargetStatus{
		Name: "rz0042", Cluster: "m1", Namespace: "shop-rz0042", Hash: strings.Repeat("a", 16), Version: "gen:7", Generation: 7,
	}
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 120 {
		t.Errorf("got %d bytes: %s", len(data), data)
	}
}

// TestAStatusThatIsNestedTooDeepCostsItsTargetAlone: an API server keeps 10,000 objects around one
// another, in a federated object some fewer, and readers of JSON give up long before.
func TestAStatusThatIsNestedTooDeepCostsItsTargetAlone(t *testing.T) {
	nested := func(depth int) []byte { return []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth)) }
	targets := fleet(4, 0, 0)
	targets[0].RemoteStatus, targets[1].RemoteStatus = nested(v1beta2.MaxDepth), nested(v1beta2.MaxDepth+1)
	targets[2].RemoteStatus, targets[2].Message = nested(9_999), "the member says no"
	targets[3].RemoteStatus = []byte(`["` + strings.Repeat("[", 1000) + `"]`)
	got := Fold(nil, 7, targets, "", v1beta2.MaxStatusBytes, now)
	const note = "the status of the object there is left out, since more than 128 objects and arrays in it are around one another"
	for i, want := range []string{"", note, "the member says no; " + note, ""} {
		if target := got.Targets[i]; target.Message != want || (target.RemoteStatus == nil) != (want != "") {
			t.Errorf("%s: got %d bytes of status and message %q", target.Name, len(target.RemoteStatus), target.Message)
		}
	}
	stored := slices.Clone(got.Targets) // as after a restart
	for i := range stored {
		stored[i].RemoteStatus = targets[i].RemoteStatus
	}
	if again := Fold(got, 7, stored, "", v1beta2.MaxStatusBytes, now); !reflect.DeepEqual(got.Targets, again.Targets) {
		t.Error("the note is added to itself")
	}
}
