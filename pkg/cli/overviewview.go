package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// overview is how the fleet is. It is what -o json prints; what is bad is first everywhere.
type overview struct {
	Members []memberView `json:"members"`
	// Ready is how many of the members are, and MembersLeftOut how many are not in the list.
	Ready          int `json:"membersReady"`
	MembersLeftOut int `json:"membersLeftOut"`
	// Cells and EdgeUnits are how many there are; nil if that could not be looked at. NotReady are those that are not.
	Cells           *int       `json:"cells,omitempty"`
	EdgeUnits       *int       `json:"edgeUnits,omitempty"`
	NotReady        []unitView `json:"notReady"`
	NotReadyLeftOut int        `json:"notReadyLeftOut"`
	// Types are the federated types that are enabled.
	Types []typeView `json:"types"`
	// Unwell are the objects that are out of date or not healthy.
	Unwell        []objectView `json:"unwell"`
	UnwellLeftOut int          `json:"unwellLeftOut"`
	// NotSeen is what could not be looked at: nothing is known of it.
	NotSeen []notSeen `json:"notSeen"`
}

// notSeen is something that could not be looked at.
type notSeen struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// States of members, the worst first.
const (
	memberMalformed = "ConfigMalformed"
	memberOffline   = "Offline"
	memberNotReady  = "NotReady"
	memberUnknown   = "Unknown"
	memberReady     = "Ready"
)

var memberStates = []string{memberMalformed, memberOffline, memberNotReady, memberUnknown, memberReady}

// memberView is one member.
type memberView struct {
	Name  string `json:"name"`
	State string `json:"state"`
	// Since is when it came into the state, RFC 3339; empty if that is not told.
	Since   string `json:"since,omitempty"`
	Version string `json:"version,omitempty"`
	Message string `json:"message,omitempty"`
}

// viewOfMember says how a member is by its conditions.
func viewOfMember(c *v1beta1.KubeFedCluster) memberView {
	view := memberView{Name: c.Name, State: memberUnknown, Version: c.Status.KubernetesVersion, Message: "it was not checked yet"}
	worst := len(memberStates)
	for _, condition := range c.Status.Conditions {
		state := string(condition.Type)
		switch {
		case condition.Status == corev1.ConditionTrue:
		case condition.Type == v1beta1.ClusterReady && condition.Status == corev1.ConditionFalse:
			state = memberNotReady
		case condition.Type == v1beta1.ClusterReady:
			state = memberUnknown
		default:
			continue
		}
		if at := slices.Index(memberStates, state); at < 0 || at >= worst {
			continue
		} else {
			worst = at
		}
		view.State, view.Since, view.Message = state, "", ""
		if t := condition.LastTransitionTime; t != nil && !t.IsZero() {
			view.Since = t.UTC().Format(time.RFC3339)
		}
		if state != memberReady {
			view.Message = cmp.Or(deref(condition.Message), deref(condition.Reason))
		}
	}
	return view
}

func (m memberView) compare(other memberView) int {
	return cmp.Or(
		cmp.Compare(slices.Index(memberStates, m.State), slices.Index(memberStates, other.State)),
		strings.Compare(m.Name, other.Name),
	)
}

func (o *overview) addMember(m memberView) {
	o.Members = append(o.Members, m)
	if m.State == memberReady {
		o.Ready++
	}
}

// unitView is a cell or an edge unit that is not ready.
type unitView struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Cluster   string `json:"cluster"`
	Reason    string `json:"reason"`
	Message   string `json:"message,omitempty"`
}

func (u unitView) key() string { return u.Kind + " " + u.Namespace + "/" + u.Name }

// appendNotReady appends a cell or an edge unit if it is not ready.
func appendNotReady(to []unitView, kind, namespace, name, cluster string, conditions []metav1.Condition) []unitView {
	ready := meta.FindStatusCondition(conditions, v1alpha1.CellReady) // edge units have the same word
	unit := unitView{Kind: kind, Namespace: namespace, Name: name, Cluster: cluster, Reason: "Unknown", Message: "the controllers have not looked at it yet"}
	switch {
	case ready == nil:
	case ready.Status == metav1.ConditionTrue:
		return to
	default:
		unit.Reason, unit.Message = ready.Reason, ready.Message
	}
	return append(to, unit)
}

// appendStranded appends a cell that cannot leave the place where it was, since not all objects are known.
func appendStranded(to []unitView, c *v1alpha1.Cell) []unitView {
	moving := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.CellMoving)
	if moving == nil || moving.Status != metav1.ConditionTrue || moving.Reason != v1alpha1.ReasonObjectsUnknown {
		return to
	}
	return append(to, unitView{"Cell", c.Namespace, c.Name, c.Spec.ClusterName, moving.Reason, moving.Message})
}

// typeView counts the objects of a federated type.
type typeView struct {
	// Type is its plural with its group.
	Type     string `json:"type"`
	Objects  int    `json:"objects"`
	UpToDate int    `json:"upToDate"`
	Healthy  int    `json:"healthy"`
	// Waiting are objects of which the mask holds back a newer generation somewhere.
	Waiting int `json:"waiting"`
	// Targets are those of all objects; Behind those of them that do not run what the spec says, and are not masked.
	Targets int `json:"targets"`
	Behind  int `json:"behind"`
}

// compare brings what has most that is not up to date or not healthy to the top.
func (t typeView) compare(other typeView) int {
	return cmp.Or(
		cmp.Compare(other.Objects-other.UpToDate, t.Objects-t.UpToDate),
		cmp.Compare(other.Behind, t.Behind),
		cmp.Compare(other.Objects-other.Healthy, t.Objects-t.Healthy),
		strings.Compare(t.Type, other.Type),
	)
}

// overviewObject is what is read of a federated object. The template and placement are not.
type overviewObject struct {
	Metadata struct {
		Namespace, Name   string
		Generation        int64
		DeletionTimestamp *metav1.Time
	}
	Status *struct {
		ObservedGeneration int64
		Conditions         []v1beta2.Condition
		Targets            []struct {
			Name, Message, HealthMessage string
			State                        v1beta2.TargetState
			Health                       v1beta2.Health
			Generation                   int64
		}
	}
}

// badness is how bad an object is.
type badness int

// From the worst to the best.
const (
	badFailed badness = iota
	badDegraded
	badBehind
	badProgressing
	badUnknown
	notBad
)

// objectView is an object that is out of date or not healthy.
type objectView struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// State is one word, Behind and Targets how many targets are behind of how many.
	State   string `json:"state"`
	Behind  int    `json:"behind"`
	Targets int    `json:"targets"`
	// Target is the first that is so, and Message what is said of it, or of the object.
	Target  string `json:"target,omitempty"`
	Message string `json:"message,omitempty"`
	// Explain is the command that says more.
	Explain string `json:"explain"`

	bad badness
}

func (v objectView) compare(other objectView) int {
	return cmp.Or(
		cmp.Compare(v.bad, other.bad), cmp.Compare(other.Behind, v.Behind),
		strings.Compare(v.Kind, other.Kind), strings.Compare(v.Namespace, other.Namespace), strings.Compare(v.Name, other.Name),
	)
}

// set takes what is said of the object, if it is worse than what is known.
func (v *objectView) set(bad badness, state, target, message string) {
	if bad < v.bad {
		v.bad, v.State, v.Target, v.Message = bad, state, target, message
	}
}

// add counts an object. It returns the object if it is not up to date, or not healthy.
func (t *typeView) add(kind string, o *overviewObject) *objectView {
	t.Objects++
	v := &objectView{Kind: kind, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name, bad: notBad}
	t.addTargets(v, o)
	current := o.Status != nil && o.Status.ObservedGeneration >= o.Metadata.Generation
	var propagation, healthy *v1beta2.Condition
	if o.Status != nil {
		propagation = findCondition(o.Status.Conditions, v1beta2.ConditionPropagation)
		healthy = findCondition(o.Status.Conditions, v1beta2.ConditionHealthy)
	}
	switch {
	case o.Metadata.DeletionTimestamp != nil:
		v.set(badBehind, "Deleting", "", "it is being deleted")
	case !current || propagation == nil:
		v.set(badBehind, "Unobserved", "", fmt.Sprintf("the controllers have not looked at generation %d yet", o.Metadata.Generation))
	case propagation.Status == metav1.ConditionTrue:
		t.UpToDate++
	case propagation.Reason != "" && propagation.Reason != v1beta2.ReasonCheckClusters:
		v.set(badFailed, propagation.Reason, "", propagation.Message)
	default:
		v.set(badBehind, cmp.Or(propagation.Reason, "NotUpToDate"), "", propagation.Message)
	}
	if current && healthy != nil {
		t.addHealth(v, healthy)
	}
	if v.bad == notBad {
		return nil
	}
	v.Explain = "kubectl koinon explain " + strings.ToLower(kind) + "/" + v.Name
	if v.Namespace != "" {
		v.Explain += " -n " + v.Namespace
	}
	return v
}

// addTargets counts the targets of an object.
func (t *typeView) addTargets(v *objectView, o *overviewObject) {
	if o.Status == nil {
		return
	}
	waiting := false
	for i := range o.Status.Targets {
		target := &o.Status.Targets[i]
		v.Targets++
		switch {
		case target.State.UpToDate(), target.State.IsGivenUp(target.Health):
		case target.State == v1beta2.TargetMasked:
			waiting = waiting || target.Generation < o.Metadata.Generation
		case target.State == v1beta2.TargetPending:
			v.Behind++
			v.set(badBehind, string(target.State), target.Name, target.Message)
		default:
			v.Behind++
			v.set(badFailed, string(target.State), target.Name, target.Message)
		}
		switch target.Health {
		case v1beta2.HealthDegraded:
			v.set(badDegraded, string(target.Health), target.Name, target.HealthMessage)
		case v1beta2.HealthProgressing:
			v.set(badProgressing, string(target.Health), target.Name, target.HealthMessage)
		case v1beta2.HealthUnknown:
			v.set(badUnknown, "HealthUnknown", target.Name, target.HealthMessage)
		}
	}
	t.Targets += v.Targets
	t.Behind += v.Behind
	if waiting {
		t.Waiting++
	}
}

// addHealth counts what the condition Healthy says. What a target said already is more.
func (t *typeView) addHealth(v *objectView, healthy *v1beta2.Condition) {
	switch {
	case healthy.Status == metav1.ConditionTrue:
		t.Healthy++
	case healthy.Reason == v1beta2.ReasonTargetsDegraded:
		v.set(badDegraded, healthy.Reason, "", healthy.Message)
	case healthy.Status == metav1.ConditionFalse:
		v.set(badProgressing, healthy.Reason, "", healthy.Message)
	default:
		v.set(badUnknown, cmp.Or(healthy.Reason, "HealthUnknown"), "", healthy.Message)
	}
}

func findCondition(conditions []v1beta2.Condition, wanted v1beta2.ConditionType) *v1beta2.Condition {
	if i := slices.IndexFunc(conditions, func(c v1beta2.Condition) bool { return c.Type == wanted }); i >= 0 {
		return &conditions[i]
	}
	return nil
}

// shorten leaves out what is not among the worst, unless all is wanted.
func (o *overview) shorten(all bool) {
	if all {
		return
	}
	o.Members, o.MembersLeftOut = worst(o.Members)
	o.NotReady, o.NotReadyLeftOut = worst(o.NotReady)
	o.Unwell, o.UnwellLeftOut = worst(o.Unwell)
}

func worst[T any](all []T) (kept []T, leftOut int) {
	return all[:min(len(all), overviewShown)], max(0, len(all)-overviewShown)
}

// print prints it for people. given are flags that the commands need too.
func (o *overview) print(out io.Writer, given string) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	if o.sees("members") {
		fmt.Fprintf(w, "members: %d, of which %d ready\n", len(o.Members)+o.MembersLeftOut, o.Ready)
	}
	rows(w, "  MEMBER\tSTATE\tSINCE\tVERSION\tMESSAGE", o.Members, o.MembersLeftOut, func(m memberView) []string {
		return []string{m.Name, m.State, m.Since, m.Version, m.Message}
	})
	for _, units := range []struct {
		what  string
		count *int
	}{{"cells", o.Cells}, {"edge units", o.EdgeUnits}} {
		if units.count != nil {
			fmt.Fprintf(w, "%s: %d\n", units.what, *units.count)
		}
	}
	if bad := len(o.NotReady) + o.NotReadyLeftOut; bad > 0 {
		fmt.Fprintf(w, "not ready: %d\n", bad)
	}
	rows(w, "  KIND\tNAME\tMEMBER\tREASON\tMESSAGE", o.NotReady, o.NotReadyLeftOut, func(u unitView) []string {
		return []string{u.Kind, u.Namespace + "/" + u.Name, u.Cluster, u.Reason, u.Message}
	})
	if len(o.Types) > 0 {
		fmt.Fprintln(w)
	}
	rows(w, "  TYPE\tOBJECTS\tUP TO DATE\tHEALTHY\tWAITING\tTARGETS\tBEHIND", o.Types, 0, func(t typeView) []string {
		row := []string{t.Type}
		for _, n := range []int{t.Objects, t.UpToDate, t.Healthy, t.Waiting, t.Targets, t.Behind} {
			row = append(row, fmt.Sprint(n))
		}
		return row
	})
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range o.Unwell {
		o.Unwell[i].print(out, given)
	}
	if o.UnwellLeftOut > 0 {
		fmt.Fprintf(out, "\nand %d more objects; --all shows them\n", o.UnwellLeftOut)
	}
	for i, missing := range o.NotSeen {
		if i == 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "not looked at: %s: %s\n", missing.What, cellText(missing.Why))
	}
	return nil
}

// sees reports whether something could be looked at.
func (o *overview) sees(what string) bool {
	return !slices.ContainsFunc(o.NotSeen, func(n notSeen) bool { return n.What == what })
}

// rows prints a table, and how many more there are.
func rows[T any](w io.Writer, header string, all []T, leftOut int, cells func(T) []string) {
	if len(all) > 0 {
		fmt.Fprintln(w, header)
	}
	for _, one := range all {
		row := cells(one)
		for i := range row {
			row[i] = cmp.Or(cellText(row[i]), "-")
		}
		fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
	}
	if leftOut > 0 {
		fmt.Fprintf(w, "  and %d more; --all shows them\n", leftOut)
	}
}

func (v *objectView) print(out io.Writer, given string) {
	name := v.Name
	if v.Namespace != "" {
		name = v.Namespace + "/" + name
	}
	text := v.State
	if v.Target != "" {
		text = v.Target + ": " + text
	}
	if v.Message != "" {
		text += ", " + v.Message
	}
	fmt.Fprintf(out, "\n%s %s: %d of %d targets behind; %s\n  %s%s\n", v.Kind, name, v.Behind, v.Targets, cellText(text), v.Explain, given)
}
