package replicas

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
)

// ReadEvery is how often a target is read again, at most.
const ReadEvery = 30 * time.Second

// Delays of a KubeFedConfig's controllerDuration.
type Delays struct {
	// Unavailable is how long a member is not ready before its replicas go elsewhere, Available how
	// long it is ready again before it gets some.
	Unavailable, Available time.Duration
}

// Observation is what was seen of one federated object.
type Observation struct {
	Spec    v1alpha1.ReplicaSchedulingPreferenceSpec
	Record  *Record // nil: nothing was written yet
	Targets []Seen  // those that the object may be in, each name once
	// Listed are the names in the object's placement; nil: it has no list. Those that are not among Targets
	// are gone: their cell or cluster was deleted, or is about to be restored.
	Listed []string
	// GoneSince is since when a target is gone that was so before; any other is since Now.
	GoneSince map[string]time.Time
	// Unfederated says why nothing new is placed, since the namespace of the object is not federated.
	Unfederated string
	Delays      Delays
	Now         time.Time
}

// Seen is what was seen of one target.
type Seen struct {
	Name string
	// Allowed: the object may be there. Wanted: the preference has a wish for it.
	Allowed, Wanted bool
	// Known: whether the member is ready is known, and Since when it is so.
	Known, Ready bool
	Since        time.Time
	// Placed: the object's placement has the target, and Masked: the mask keeps it as it is.
	// Unfederated: so does its namespace, which is not federated.
	Placed, Masked, Unfederated bool
	// Held: the object is in the target, or may be, in the Version that the engine wrote last.
	Held    bool
	Version string
	// Reading is what runs there, nil if it was not read yet; Stale if something else runs since.
	Reading *Reading
	Stale   bool
}

// Reading is what a member says of the object in it.
type Reading struct {
	// Replicas of the spec, Ready ones, and Unschedulable pods. All are 0 if there is no object.
	Replicas, Ready, Unschedulable int64
	// Failed: the member did not say it when it was asked last.
	Failed bool
}

// stays reports whether a target stays as it is.
func (t *Seen) stays() bool { return t.Masked || t.Unfederated }

// Settled reports whether everything that is wanted there runs.
func (r *Reading) Settled() bool { return !r.Failed && r.Replicas == r.Ready && r.Unschedulable == 0 }

// Outcome is what to write.
type Outcome struct {
	// Replicas by target, Placed targets, those that are Away and those that Missed it, sorted, and what it is For: see Record.
	Replicas map[string]int64
	Placed   []string
	Away     []string
	Missed   []string
	For      string
}

// Decision is what to do now.
type Decision struct {
	// Write is nil if nothing may be changed now.
	Write *Outcome
	// Read has the targets that have to be read before anything is decided, and Refresh those of
	// which there may be news; both sorted.
	Read, Refresh []string
	// After is when to decide again at the latest; 0: when something changes.
	After time.Duration
	// Gone are targets that are gone: see Observation.Listed.
	Gone []string
	// Reason and Message are of the condition Scheduled, which is Unknown if Write is nil.
	Reason, Message string
	// Complete: all replicas have a target.
	Complete bool
}

// standing is what becomes of a target.
type standing int

const (
	// out: it is not placed, and is taken out of the placement.
	out standing = iota
	// open: it takes part.
	open
	// pinned: it keeps what it has, since its member may be back in a moment.
	pinned
	// frozen: it keeps what it runs, since the mask says so.
	frozen
	// away: it keeps its place and its override, and others have its replicas.
	away
	// idle: it has nothing, and gets nothing while its member is not ready.
	idle
)

// decider decides on one observation.
type decider struct {
	Observation
	standings map[string]standing
	seen      map[string]*Seen
	names     []string // of what was seen, sorted
	gone      []string // in the placement, and not seen, sorted
	wasAway   map[string]bool
	d         Decision
}

// Decide says what each target gets. Nothing is moved while a member is not known, such as after a
// restart, or before what runs is read.
//
// A target whose member is not ready keeps what it has for Delays.Unavailable. Then others have its replicas; it
// stays in the placement, since what runs there may run on. Once its member is ready for
// Delays.Available it takes part again. One that the mask keeps as it is counts with what it runs. One
// that cannot be read keeps what it has. One that is gone keeps its place, and others have its replicas after Delays.Unavailable, too:
// only who was seen, and may not have the object, leaves the placement.
func Decide(o Observation) Decision {
	d := &decider{Observation: o, wasAway: map[string]bool{}, standings: make(map[string]standing, len(o.Targets)), seen: make(map[string]*Seen, len(o.Targets))}
	if o.Record == nil {
		d.Record = &Record{}
	}
	unknown := ""
	for i := range o.Targets {
		t := &o.Targets[i]
		d.seen[t.Name] = t
		if !t.Known && t.Allowed && (t.Wanted || t.Placed) && (unknown == "" || t.Name < unknown) {
			unknown = t.Name
		}
	}
	if unknown != "" {
		return waiting(fmt.Sprintf("the member of target %q is being set up", unknown))
	}
	for _, name := range slices.Concat(d.Record.Away, d.Record.Missed) {
		d.wasAway[name] = true
	}
	d.names = slices.Sorted(maps.Keys(d.seen))
	for _, name := range d.names {
		d.standings[name] = d.stand(d.seen[name])
	}
	d.gone = d.missing()
	d.d.Gone = d.gone
	for _, name := range d.gone {
		d.standings[name] = d.standGone(name)
	}
	outcome := &Outcome{Replicas: map[string]int64{}, For: d.digest()}
	if o.Record != nil && !o.Spec.Rebalance && outcome.For == o.Record.For && !d.isBack() {
		return d.settled(outcome)
	}
	if d.read(); len(d.d.Read) > 0 {
		waits := waiting(fmt.Sprintf("what runs in %s is being read", listed(d.d.Read)))
		waits.Read, waits.Refresh, waits.After, waits.Gone = d.d.Read, d.d.Refresh, d.d.After, d.d.Gone
		return waits
	}
	d.divide(outcome)
	return d.d
}

func waiting(message string) Decision {
	return Decision{Reason: v1alpha1.ReasonWaiting, Message: message}
}

// with returns the targets of a standing, sorted.
func (d *decider) with(s standing) (names []string) {
	for _, name := range d.names {
		if d.standings[name] == s {
			names = append(names, name)
		}
	}
	return names
}

// away are the targets whose replicas others have, sorted.
func (d *decider) away() []string {
	names := append(d.with(away), d.goneAre(away)...)
	slices.Sort(names)
	return names
}

// goneAre returns the targets of a standing that are gone, sorted.
func (d *decider) goneAre(s standing) (names []string) {
	for _, name := range d.gone {
		if d.standings[name] == s {
			names = append(names, name)
		}
	}
	return names
}

// missing returns the names in the placement, or in the record of it, that were not seen. Those are dropped
// that somebody took off the list by hand: nothing else of it is another.
func (d *decider) missing() (names []string) {
	listed := make(map[string]bool, len(d.Listed))
	for _, name := range d.Listed {
		listed[name] = true
		if d.seen[name] == nil {
			names = append(names, name)
		}
	}
	byHand := d.Listed != nil && !slices.ContainsFunc(d.Record.Placed, func(name string) bool { return d.seen[name] != nil && !listed[name] })
	for _, name := range d.Record.Placed {
		if d.seen[name] == nil && !listed[name] && !byHand {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// isBack reports whether a target is ready that was not when replicas were divided, and got nothing.
func (d *decider) isBack() bool {
	return slices.ContainsFunc(d.Record.Missed, func(name string) bool { return d.standings[name] == open })
}

// after has it decided again in that time.
func (d *decider) after(wait time.Duration) {
	if d.d.After == 0 || wait < d.d.After {
		d.d.After = wait
	}
}

func (d *decider) stand(t *Seen) standing {
	_, has := d.Record.Replicas[t.Name]
	wasAway := d.wasAway[t.Name]
	if !t.Allowed || !t.Placed && (!t.Wanted || t.stays()) {
		return out
	}
	is := d.standReady(t, has, wasAway)
	switch {
	case is == away && !t.Placed && !has:
		return idle
	case is == away:
		return away
	case t.stays():
		return frozen
	}
	return is
}

// standReady is what the readiness of the member says.
func (d *decider) standReady(t *Seen, has, wasAway bool) standing {
	since := d.Now.Sub(t.Since)
	switch {
	case t.Ready && wasAway && since < d.Delays.Available:
		d.after(d.Delays.Available - since)
		return away
	case t.Ready:
		return open
	case wasAway || !has:
		return away
	case since < d.Delays.Unavailable:
		d.after(d.Delays.Unavailable - since)
		return pinned
	}
	return away
}

// standGone is the standing of a target that is gone: a prune or a restore may have left it out for a moment.
func (d *decider) standGone(name string) standing {
	if _, has := d.Record.Replicas[name]; !has || d.wasAway[name] {
		return away
	}
	since, known := d.GoneSince[name]
	if !known {
		since = d.Now
	}
	if wait := d.Delays.Unavailable - d.Now.Sub(since); wait > 0 {
		d.after(wait)
		return pinned
	}
	return away
}

// digest stands for what is decided on, but for what runs where the mask lets it change. A
// member that is not ready for a moment changes nothing, and one that has nothing never does.
func (d *decider) digest() string {
	stays := d.with(frozen)
	for i, name := range stays {
		stays[i] += " " + d.seen[name].Version
	}
	takePart := slices.Concat(d.with(open), d.with(pinned), d.goneAre(pinned), d.with(idle))
	slices.Sort(takePart)
	content, err := json.Marshal([]any{d.Spec, takePart, stays, d.away()})
	if err != nil {
		return "" // strings and numbers
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// settled is what was decided before, on the same.
func (d *decider) settled(outcome *Outcome) Decision {
	outcome.Replicas, outcome.Placed, outcome.Away, outcome.Missed = d.Record.Replicas, d.Record.Placed, d.Record.Away, d.Record.Missed
	sum := int64(0)
	for name, replicas := range outcome.Replicas {
		if d.standings[name] != away {
			sum += replicas
		}
	}
	d.conclude(outcome, sum, Division{Unplaced: max(int64(d.Spec.TotalReplicas)-sum, 0)})
	return d.d
}

// read asks for what runs in targets. A capacity may be an older one: it is an estimate.
func (d *decider) read() {
	for _, name := range d.names {
		t, is := d.seen[name], d.standings[name]
		if !t.Held || !t.Ready || is != frozen && (is != open || !t.Wanted) {
			continue
		}
		needsNow := is == frozen || !d.Spec.Rebalance
		switch {
		case t.Reading == nil, t.Stale && needsNow:
			d.d.Read = append(d.d.Read, name)
		case t.Stale, t.Reading.Failed, d.Spec.Rebalance && !t.Reading.Settled():
			d.d.Refresh = append(d.d.Refresh, name)
			d.after(ReadEvery)
		}
	}
}

// divide gives out what is not held by targets that keep what they have.
func (d *decider) divide(outcome *Outcome) {
	in := Input{Total: int64(d.Spec.TotalReplicas), Preferences: d.Spec.Clusters, Rebalance: d.Spec.Rebalance}
	for _, name := range d.names {
		t, is := d.seen[name], d.standings[name]
		failed := t.Held && t.Reading != nil && t.Reading.Failed
		if is == open && t.Wanted && !failed {
			in.Targets = append(in.Targets, target(t, d.Spec.Rebalance))
			continue
		}
		if is == idle && !d.Spec.Rebalance { // else it is divided again anyway
			outcome.Missed = append(outcome.Missed, name)
		}
		if is == out || is == idle {
			continue
		}
		outcome.Placed = append(outcome.Placed, name)
		replicas, written := d.Record.Replicas[name]
		switch {
		case is == open && !failed:
			outcome.Replicas[name] = 0 // no wish is for it
			continue
		case is == frozen && !failed && t.Held && t.Reading != nil: // else its member is away for a moment
			replicas, written = t.Reading.Replicas, true
		case is == open:
			outcome.For = "" // so it is decided on again
		case is == away:
			outcome.Away = append(outcome.Away, name)
		}
		if written { // else what it has stays as the object says
			outcome.Replicas[name] = replicas
		}
		if is != away && t.Held {
			in.Taken += replicas
		}
	}
	for _, name := range d.gone {
		outcome.Placed = append(outcome.Placed, name)
		replicas, written := d.Record.Replicas[name]
		if written {
			outcome.Replicas[name] = replicas
		}
		if d.standings[name] == away {
			outcome.Away = append(outcome.Away, name)
		} else {
			in.Taken += replicas
		}
	}
	slices.Sort(outcome.Away)
	division := Divide(in)
	sum := in.Taken
	for _, t := range in.Targets {
		replicas := division.Replicas[t.Name]
		sum += replicas
		replicas += division.Pending[t.Name]
		if replicas == 0 && !d.seen[t.Name].Placed {
			continue // who never had the object does not get it for nothing
		}
		outcome.Replicas[t.Name] = replicas
		outcome.Placed = append(outcome.Placed, t.Name)
	}
	slices.Sort(outcome.Placed)
	d.conclude(outcome, sum, division)
}

// target is what is known of one that takes part.
func target(t *Seen, rebalance bool) Target {
	known := Target{Name: t.Name}
	if !t.Held || t.Reading == nil {
		return known
	}
	known.Running = t.Reading.Ready
	if rebalance && t.Reading.Unschedulable > 0 {
		known.Capacity = new(max(t.Reading.Replicas-t.Reading.Unschedulable, 0))
	}
	return known
}

// conclude makes the decision to write an outcome that has sum replicas.
func (d *decider) conclude(outcome *Outcome, sum int64, division Division) {
	if outcome.Placed == nil {
		outcome.Placed = []string{}
	}
	d.d.Write, d.d.Complete, d.d.Reason = outcome, division.Unplaced == 0, v1alpha1.ReasonPlaced
	rest := ""
	switch {
	case division.NoCapacity:
		d.d.Reason, rest = v1alpha1.ReasonNoCapacity, "; the rest has no capacity"
	case division.Unplaced > 0 && d.Unfederated != "":
		d.d.Reason, rest = v1alpha1.ReasonLimited, "; "+d.Unfederated
	case division.Unplaced > 0:
		d.d.Reason, rest = v1alpha1.ReasonLimited, "; maxReplicas, weights and the targets that are ready leave no place for the rest"
	}
	d.d.Message = fmt.Sprintf("placed %d of %d replicas%s", sum, d.Spec.TotalReplicas, rest)
	if away := d.with(away); len(away) > 0 {
		d.d.Message += "; without " + listed(away) + ", which cannot be reached or is not well"
	}
	if gone := d.goneAre(away); len(gone) > 0 {
		d.d.Message += "; without " + listed(gone) + ", which is gone and keeps its place"
	}
	var masked, unfederated []string
	for _, name := range d.with(frozen) {
		if d.seen[name].Masked {
			masked = append(masked, name)
		} else {
			unfederated = append(unfederated, name)
		}
	}
	if len(masked) > 0 {
		d.d.Message += "; the mask keeps " + listed(masked) + " as it is"
	}
	if len(unfederated) > 0 {
		d.d.Message += "; " + listed(unfederated) + " stays as it is"
		if rest == "" {
			d.d.Message += ", since " + d.Unfederated
		}
	}
}

// listed names some targets, and how many more there are.
func listed(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// Wanted reports whether a preference has a wish for a target of that name; selectable is not set for
// targets that no selector picks, such as the clusters that cells appear as: they must be named.
func Wanted(spec *v1alpha1.ReplicaSchedulingPreferenceSpec, name string, selectable bool) bool {
	if _, named := spec.Clusters[name]; named {
		return true
	}
	_, everybody := spec.Clusters[Everybody]
	return selectable && (everybody || len(spec.Clusters) == 0)
}
