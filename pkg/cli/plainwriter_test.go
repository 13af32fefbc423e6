package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestNothingThatIsPrintedIsACommandOfTheTerminal(t *testing.T) {
	const said = "the member makes none: \x1b]0;title\x07\u009b2J\u202e\rno"
	hostile := func(out string, err error) {
		t.Helper()
		if strings.ContainsAny(out+errorText(err), "\x1b\x07\u009b\u202e\r") {
			t.Errorf("it printed %q", out)
		}
	}
	var out bytes.Buffer
	err := (&diagnosis{Findings: []finding{{severityWarning, "member m1", said, "kubectl koinon join m1"}}}).print(&out)
	hostile(out.String(), err)
	if !strings.Contains(out.String(), "the member makes none: ?]0;title??2J??no") {
		t.Errorf("it printed %q", out.String())
	}
	out.Reset()
	(&explanation{Problem: said, Targets: []explainedTarget{{Name: "m1", Verdict: "ärgerlich ├ " + said}}}).print(&out)
	hostile(out.String(), nil)
	if !strings.Contains(out.String(), "ärgerlich ├ the member makes none: ") {
		t.Errorf("it printed %q", out.String())
	}
	out.Reset()
	o := &abandonOptions{}
	o.Out = &out
	o.say(masked{}, "is left behind", []leftBehind{{member: said}})
	hostile(out.String(), nil)
}
