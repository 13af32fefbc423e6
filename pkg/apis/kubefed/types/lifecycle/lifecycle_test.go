package lifecycle

import (
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func TestWhatIsAdopted(t *testing.T) {
	for name, test := range map[string]struct {
		annotations     map[string]string
		otherwise, want bool
	}{
		"an object that says nothing does as the KubeFedConfig says": {nil, true, true},
		"also if that says no":                                            {nil, false, false},
		"an object that says yes wins":                                    {map[string]string{v1beta1.AdoptAnnotation: "true"}, false, true},
		"an object that says no wins":                                     {map[string]string{v1beta1.AdoptAnnotation: "false"}, true, false},
		"what admission would have refused says nothing":                  {map[string]string{v1beta1.AdoptAnnotation: "False"}, true, true},
		"what admission would have refused says nothing of the other way": {map[string]string{v1beta1.AdoptAnnotation: "yes"}, false, false},
	} {
		if got := Adopts(test.annotations, test.otherwise); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestWhichTargetsAreAbandoned(t *testing.T) {
	for name, test := range map[string]struct {
		value  string
		target string
		want   bool
	}{
		"one that is named":                    {"m1", "m1", true},
		"one among others, with spaces":        {"m2, m1", "m1", true},
		"one that is not named is waited for":  {"m2", "m1", false},
		"all":                                  {"*", "m1", true},
		"no part of a name":                    {"m10", "m1", false},
		"nothing if the value is no list":      {"m1,", "m1", false},
		"nothing if all and one are named":     {"*,m2", "m1", false},
		"nothing if nothing is named":          {"", "m1", false},
		"a cell that is a cluster of its own":  {"rz00a.shop", "rz00a.shop", true},
		"nothing if a name is none of targets": {"M1", "m1", false},
	} {
		if got := Abandons(map[string]string{v1beta1.AbandonAnnotation: test.value}, test.target); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	if Abandons(nil, "m1") {
		t.Error("an object that says nothing abandons a target")
	}
}

func TestFurtherTargetsAreAbandoned(t *testing.T) {
	for name, test := range map[string]struct {
		annotations map[string]string
		targets     []string
		want        string
	}{
		"the first":                           {nil, []string{"m1", "m2"}, "m1,m2"},
		"beside another":                      {map[string]string{v1beta1.AbandonAnnotation: "m2"}, []string{"m1"}, "m2,m1"},
		"one that is there":                   {map[string]string{v1beta1.AbandonAnnotation: "m2, m1"}, []string{"m1"}, "m2,m1"},
		"all are all":                         {map[string]string{v1beta1.AbandonAnnotation: "*"}, []string{"m1"}, "*"},
		"what says nothing is not carried on": {map[string]string{v1beta1.AbandonAnnotation: "m2,"}, []string{"m1"}, "m1"},
	} {
		if got := WithAbandoned(test.annotations, test.targets); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestWhatIsWrongWithTargetsToAbandon(t *testing.T) {
	for value, want := range map[string]string{
		"m1,m2": "",
		"*":     "",
		"m1,*":  "must be * alone, for all targets, or names of targets, separated by commas",
		"m1,,":  `must be names of targets, separated by commas, as status.targets has them, or * for all; "" is none`,
		"M 1":   `must be names of targets, separated by commas, as status.targets has them, or * for all; "M 1" is none`,
	} {
		if got := AbandonProblem(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

func TestWhyAnObjectCannotBeRemovedIsReadFromItsStatus(t *testing.T) {
	for name, test := range map[string]struct {
		message, why string
		ok           bool
	}{
		"one that names the way out": {"it is theirs" + WayOut("m1"), "it is theirs", true},
		"that of another target":     {"it is theirs" + WayOut("m11"), "", false},
		"one that waits":             {"the member may still hold the object", "", false},
	} {
		why, ok := Irremovable(test.message, "m1")
		if ok != test.ok || ok && why != test.why {
			t.Errorf("%s: got %q, %v", name, why, ok)
		}
	}
}
