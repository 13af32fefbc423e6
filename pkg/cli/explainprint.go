package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// explainWhole is how many targets are explained line by line; of more, those that are up to date and not unwell
// have one line each.
const explainWhole = 10

// printValue prints a value for a program.
func printValue(out io.Writer, output string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if output == outputYAML {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return err
		}
	}
	_, err = out.Write(data)
	return err
}

// print prints it for people, as a tree for each target.
func (e *explanation) print(out io.Writer) {
	out = NewPlainWriter(out)
	name := e.Name
	if e.Namespace != "" {
		name = e.Namespace + "/" + name
	}
	fmt.Fprintf(out, "%s %s, generation %d, in topology %s\n", e.Kind, name, e.Generation, e.TopologyType)
	if e.ObservedGeneration < e.Generation {
		fmt.Fprintf(out, "the controllers have looked at generation %d\n", e.ObservedGeneration)
	}
	for _, c := range e.Conditions {
		text := fmt.Sprintf("%s: %s", c.Type, c.Status)
		for _, more := range []string{c.Reason, c.Message} {
			if more != "" {
				text += ", " + more
			}
		}
		fmt.Fprintln(out, text)
	}
	switch {
	case e.Problem != "":
		fmt.Fprintf(out, "its targets cannot be computed: %s\n", e.Problem)
	case len(e.Targets) == 0:
		fmt.Fprintln(out, "no target")
	}
	for _, t := range e.Targets {
		t.print(out, len(e.Targets) <= explainWhole || !t.Recorded || !t.State.UpToDate() || t.isUnwell())
	}
}

// isUnwell reports whether the object there is not as it should be, as far as that is known.
func (t *explainedTarget) isUnwell() bool {
	return t.Health != "" && t.Health != v1beta2.HealthHealthy && t.Health != v1beta2.HealthSuspended
}

// healthText is how the object there is; empty if nothing was told of it.
func (t *explainedTarget) healthText() string {
	text := string(t.Health)
	if text != "" && t.Replicas > 0 {
		text += fmt.Sprintf(", %d of %d replicas ready", t.Ready, t.Replicas)
	}
	if t.HealthMessage != "" {
		text += ": " + t.HealthMessage
	}
	return text
}

// print prints one target; its reasons too if it is to be whole.
func (t *explainedTarget) print(out io.Writer, whole bool) {
	where := ""
	if t.Object != "" {
		where = fmt.Sprintf(" (%s of %s)", t.Object, t.Cluster)
	}
	if !whole {
		fmt.Fprintf(out, "%s%s: %s\n", t.Name, where, t.Verdict)
		return
	}
	fmt.Fprintf(out, "\n%s%s: %s\n", t.Name, where, t.Verdict)
	lines := t.lines()
	for i, line := range lines {
		branch := "├─ "
		if i == len(lines)-1 {
			branch = "└─ "
		}
		fmt.Fprintln(out, branch+line)
	}
}

// lines are the reasons, in the order in which they count.
func (t *explainedTarget) lines() (lines []string) {
	say := func(what string, r *reason) {
		if r == nil {
			return
		}
		sign := "yes"
		if !r.OK {
			sign = "no"
		}
		lines = append(lines, fmt.Sprintf("%-10s %-3s  %s", what, sign, r.Text))
	}
	say("placed", t.Placement)
	say("tenant", t.Tenant)
	say("namespace", t.NamespaceRule)
	if t.Mask == nil && t.Object != "" {
		lines = append(lines, fmt.Sprintf("%-10s %-3s  there is no spec.placementMask", "may change", "yes"))
	}
	say("may change", t.Mask)
	say("owner", t.Owner)
	say("member", t.Member)
	for _, o := range t.Overrides {
		lines = append(lines, fmt.Sprintf("override   spec.overrides[%d], by %s: %s", o.Index, o.By, strings.Join(o.Paths, ", ")))
	}
	if t.Recorded {
		state := string(t.State)
		if state == "" {
			state = "OK"
		}
		if t.Message != "" {
			state += ", " + t.Message
		}
		if t.Generation != 0 { // it was written to
			state += fmt.Sprintf("; it runs generation %d", t.Generation)
		}
		lines = append(lines, "state      "+state)
	}
	if health := t.healthText(); health != "" {
		say("healthy", &reason{!t.isUnwell(), health})
	}
	if t.Remote != "" {
		lines = append(lines, "there      "+t.Remote)
	}
	return lines
}
