package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// How results are printed, and when in colours.
const (
	outputText = "text"
	outputJSON = "json"

	colorAuto, colorAlways, colorNever = "auto", "always", "never"
)

// groupShown is how many targets of a group are named before the others are counted.
const groupShown = 2

// planPrinter prints what would change.
type planPrinter struct {
	out, errOut io.Writer
	json        bool
	colored     bool
	// live says that somebody looks at errOut as it is written.
	live     bool
	requests bool
	// begun says that something was printed, and list that it was a line of a list.
	begun, list bool
}

func newPlanPrinter(o *planOptions) *planPrinter {
	return &planPrinter{
		out: o.Out, errOut: o.ErrOut, json: o.Output == outputJSON, requests: o.Verbosity > 0,
		colored: o.Color == colorAlways || o.Color == colorAuto && isTerminal(o.Out) && os.Getenv("NO_COLOR") == "",
		live:    isTerminal(o.ErrOut) && o.Output != outputJSON,
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// progress says how many targets were asked, where somebody looks.
func (p *planPrinter) progress(done, all int) {
	if p.live {
		fmt.Fprintf(p.errOut, "\r\x1b[Kasked %d of %d targets", done, all)
	}
}

func (p *planPrinter) progressDone() {
	if p.live {
		fmt.Fprint(p.errOut, "\r\x1b[K")
	}
}

// group is the targets of an object of which the same is to be said.
type group struct {
	plannedTarget
	names []string
}

// groupsOf puts targets together that differ in name and place alone, in the order of what happens.
func groupsOf(targets []plannedTarget) (groups []*group) {
	type likeness struct {
		outcome                 outcome
		held                    bool
		message, warnings, diff string
	}
	byLikeness := map[likeness]*group{}
	for _, t := range targets {
		message := t.Message
		if t.Outcome.unknown() || t.Outcome == outBlocked {
			message = withoutName(message, t.Cluster)
		}
		key := likeness{t.Outcome, t.Held, message, strings.Join(t.Warnings, "\n"), t.Diff}
		g := byLikeness[key]
		if g == nil {
			g = &group{plannedTarget: t}
			byLikeness[key] = g
			groups = append(groups, g)
		}
		g.names = append(g.names, t.Name)
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(rank(a), rank(b)) })
	return groups
}

// withoutName makes sentences the same that name their member.
func withoutName(message, member string) string {
	return strings.ReplaceAll(message, fmt.Sprintf("%q", member), `"…"`)
}

// rank: what changes comes first, then what waits, then what is in doubt.
func rank(g *group) int {
	switch {
	case g.Outcome.changes() && !g.Held:
		return 0
	case g.Outcome.changes():
		return 1
	case g.Outcome == outUnchanged:
		return 2
	case !g.Outcome.unknown():
		return 3
	}
	return 4
}

// named lists the first targets, and counts the others.
func (g *group) named() string {
	switch more := len(g.names) - groupShown; {
	case len(g.names) == 1:
		return g.names[0]
	case more <= 1: // a name says more than "1 more"
		return strings.Join(g.names[:len(g.names)-1], ", ") + " and " + g.names[len(g.names)-1]
	default:
		return fmt.Sprintf("%s and %d more", strings.Join(g.names[:groupShown], ", "), more)
	}
}

// saying is what is said of one target, of several, and of those that the mask holds back.
type saying struct{ one, several, held string }

var sayings = map[outcome]saying{
	outCreated:     {"is created", "are created", "would be created"},
	outUpdated:     {"changes", "change", "would change"},
	outDeleted:     {"is deleted", "are deleted", "would be deleted"},
	outUnchanged:   {"does not change", "do not change", "would not change"},
	outNotPlaced:   {"is left alone", "are left alone", ""},
	outBlocked:     {"cannot be written", "cannot be written", "could not be written"},
	outUnreachable: {"could not be asked", "could not be asked", "could not be asked"},
	outForbidden:   {"you may not ask", "you may not ask", "you may not ask"},
	outRefused:     {"is refused", "are refused", "would be refused"},
}

// said is what happens in the targets of a group.
func (g *group) said() string {
	saying := sayings[g.Outcome]
	said := saying.one
	switch {
	case g.Held && g.Outcome.changes():
		said = "masked: " + saying.held + ", held back"
	case g.Held:
		said = "masked: " + saying.held
	case len(g.names) > 1:
		said = saying.several
	}
	if g.Message != "" {
		said += ": " + g.Message
	}
	return said
}

// separate leaves a line free before what is printed next, but between lines of a list.
func (p *planPrinter) separate(list bool) {
	if p.begun && !(list && p.list) {
		fmt.Fprintln(p.out)
	}
	p.begun, p.list = true, list
}

// object prints what becomes of one object.
func (p *planPrinter) object(o *plannedObject) {
	if p.json {
		return
	}
	p.separate(false)
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	fmt.Fprintf(p.out, "%s\n", p.color(bold, fmt.Sprintf("%s %s: %s", o.Kind, name, o.summary())))
	if o.Unchecked != "" {
		fmt.Fprintf(p.out, "  %s: the server has not checked the object, nor added to it\n", o.Unchecked)
	}
	for _, g := range groupsOf(o.Targets) {
		fmt.Fprintf(p.out, "%s\n", p.color(bold, g.named()+": "+g.said()))
		for _, warning := range g.Warnings {
			fmt.Fprintf(p.out, "  the member warns: %s\n", warning)
		}
		for line := range strings.Lines(g.Diff) {
			p.diffLine(line)
		}
	}
}

// hostObject prints what becomes of an object that is not federated.
func (p *planPrinter) hostObject(o *plannedHostObject) {
	if p.json {
		return
	}
	p.separate(true)
	line := fmt.Sprintf("%s %s %s", o.Kind, strings.TrimPrefix(o.Namespace+"/"+o.Name, "/"), sayings[o.Outcome].one)
	if o.Outcome.changes() && o.Message == "" {
		line += ", in the host alone"
	}
	fmt.Fprintln(p.out, p.color(bold, line))
	if o.Message != "" {
		fmt.Fprintf(p.out, "  %s\n", o.Message)
	}
}

// summary counts the targets of an object by what happens.
func (o *plannedObject) summary() string {
	if o.Problem != "" {
		return "its targets cannot be computed: " + o.Problem
	}
	if len(o.Targets) == 0 {
		return "no target"
	}
	var held int
	counts := map[outcome]int{}
	for _, t := range o.Targets {
		if t.Held && t.Outcome.changes() {
			held++
			continue
		}
		counts[t.Outcome]++
	}
	var parts []string
	say := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	say(counts[outCreated], "created")
	say(counts[outUpdated], "changed")
	say(counts[outDeleted], "deleted")
	say(held, "held back by the mask")
	say(counts[outUnchanged], "unchanged")
	say(counts[outNotPlaced], "left alone")
	say(counts[outBlocked], "blocked")
	say(counts[outUnreachable]+counts[outForbidden], "not asked")
	say(counts[outRefused], "refused")
	return strings.Join(parts, ", ")
}

// Colours of a terminal.
const (
	bold, red, green, cyan = "1", "31", "32", "36"
)

func (p *planPrinter) color(code, text string) string {
	if !p.colored {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *planPrinter) diffLine(line string) {
	line = strings.TrimSuffix(line, "\n")
	switch {
	case strings.HasPrefix(line, "@@"):
		line = p.color(cyan, line)
	case strings.HasPrefix(line, "+"):
		line = p.color(green, line)
	case strings.HasPrefix(line, "-"):
		line = p.color(red, line)
	}
	fmt.Fprintln(p.out, line)
}

// end prints what is said of all objects together.
func (p *planPrinter) end(result *plan) error {
	if !p.json {
		if p.requests {
			fmt.Fprintf(p.errOut, "%d requests\n", result.Requests)
		}
		return nil
	}
	if result.Objects == nil {
		result.Objects = []*plannedObject{}
	}
	encoder := json.NewEncoder(p.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}
