package simulated_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// model is what a history has done to the host, and what members may hold by it.
type model struct {
	// members that are joined, with the labels of their KubeFedClusters.
	joined map[string]map[string]string
	cells  map[string]cell
	wishes map[wishKey]*wish
	places map[place]*copies
	// gone are members and cells that are gone since all was quiet: the controllers may not know
	// yet.
	gone map[former]bool
}

// former is a target that is gone: a member, or a cell in one.
type former struct{ member, cell string }

func (f former) isMember() bool { return f.cell == "" }

type cell struct {
	member string
	labels map[string]string
}

type wishKey struct{ config, name string }

// wish is a federated object as it was written last.
type wish struct {
	*subject
	name, topology  string
	value           string
	placement, mask *choice // a nil mask allows everything
	// overrides are values by target; broken are targets whose overrides fail.
	overrides map[string]string
	broken    map[string]bool
}

func (w *wish) key() wishKey { return wishKey{w.config, w.name} }

// in is the value that a target is to have.
func (w *wish) in(target string) string {
	if value, ok := w.overrides[target]; ok {
		return value
	}
	return w.value
}

// choice is a placement or a mask. names decide unless they are nil.
type choice struct {
	names  []string
	labels map[string]string
}

// picks says whether a target is chosen; candidate is false of one that there is not.
func (c *choice) picks(name string, labels map[string]string, candidate bool) bool {
	if c.names != nil {
		return slices.Contains(c.names, name)
	}
	for key, value := range c.labels {
		if labels[key] != value {
			return false
		}
	}
	return candidate
}

// tree is the choice as it is written.
func (c *choice) tree() map[string]any {
	if c.names != nil {
		list := []any{}
		for _, name := range c.names {
			list = append(list, map[string]any{"name": name})
		}
		return map[string]any{"topologies": list}
	}
	labels := map[string]any{}
	for key, value := range c.labels {
		labels[key] = value
	}
	return map[string]any{"topologySelector": map[string]any{"matchLabels": labels}}
}

// spec is the wish as it is written.
func (w *wish) spec() map[string]any {
	spec := map[string]any{"topologyType": w.topology, "template": w.template(w.value), "placement": w.placement.tree()}
	if w.mask != nil {
		spec["placementMask"] = w.mask.tree()
	}
	overrides := []any{}
	add := func(target string, patch map[string]any) {
		overrides = append(overrides, map[string]any{"topologyName": target, "topologyOverrides": []any{patch}})
	}
	for _, target := range slices.Sorted(maps.Keys(w.overrides)) {
		add(target, map[string]any{"op": "replace", "path": w.pointer, "value": w.overrides[target]})
	}
	for _, target := range slices.Sorted(maps.Keys(w.broken)) {
		add(target, map[string]any{"op": "remove", "path": "/there/is/no/such/field"})
	}
	if len(overrides) > 0 {
		spec["overrides"] = overrides
	}
	return spec
}

// place is where an object may be.
type place struct{ config, member, namespace, name string }

// copies is what may be in a place.
type copies struct {
	// possible values, of those that were to be there since it was last known; "" is none.
	possible map[string]bool
	// wanted is the value that was to be there last; empty if nothing was.
	wanted string
	// unseen: the member left since it was last known what is here, so that nobody needs to
	// know of it.
	unseen bool
	// hands is how often somebody in the member has changed or removed the wanted value.
	hands int
	// removed: somebody in the member has removed a Job of the wanted value. ended: it had run to
	// its end by when all was quiet.
	removed, ended bool
}

func (m *model) at(p place) *copies {
	if m.places[p] == nil {
		m.places[p] = &copies{possible: map[string]bool{"": true}}
	}
	return m.places[p]
}

// fate is what becomes of an object in a place.
type fate int

const (
	// goes: there is none once all is quiet.
	goes fate = iota
	// runs: it is there, and is what the wish says.
	runs
	// stays: it is there or not, as it was.
	stays
	// lingers: it goes once all that move with its cell are where they should be, and some may never be.
	lingers
)

// target is one target of a wish, with the states that its status may have.
type target struct {
	fate   fate
	place  place // zero if the target does not exist
	states []v1beta2.TargetState
	// silent: the status may say nothing of it.
	silent bool
}

// inMember is the place of a wish in a member, or in a cell that lies there.
func (w *wish) inMember(member, cell string) place {
	p := place{w.config, member, "shop", w.name}
	switch {
	case w.clusterScoped:
		p.namespace = ""
	case cell != "":
		p.namespace = "shop-" + cell
	}
	return p
}

// targets are those that there are, and those that the placement names.
func (m *model) targets(w *wish) map[string]target {
	all := map[string]target{}
	if w.topology == v1beta2.TopologyCluster {
		for name, labels := range m.joined {
			all[name] = m.judge(w, name, labels, w.inMember(name, ""))
		}
	} else {
		for name, cell := range m.cells {
			all[name] = m.judge(w, name, cell.labels, w.inMember(cell.member, name))
		}
	}
	for _, name := range w.placement.names {
		if _, exists := all[name]; !exists {
			all[name] = target{fate: stays, states: []v1beta2.TargetState{v1beta2.TargetNotFound}}
		}
	}
	return all
}

// judge decides on a target that there is.
func (m *model) judge(w *wish, name string, labels map[string]string, p place) target {
	placed := w.placement.picks(name, labels, true)
	allowed := w.mask == nil || w.mask.picks(name, labels, true)
	_, joined := m.joined[p.member]
	switch {
	case placed && !allowed:
		return target{stays, p, []v1beta2.TargetState{v1beta2.TargetMasked}, false}
	case placed && !joined:
		states := []v1beta2.TargetState{v1beta2.TargetNotFound}
		if w.ends && w.topology == v1beta2.TopologyCell { // a Job waits where its cell was
			states = append(states, v1beta2.TargetWaitingForRemoval)
		}
		return target{stays, p, states, false}
	case placed && w.broken[name]:
		return target{stays, p, []v1beta2.TargetState{v1beta2.TargetOverridesFailed}, false}
	case placed:
		return target{runs, p, []v1beta2.TargetState{v1beta2.TargetOK}, false}
	case !allowed:
		return target{stays, p, []v1beta2.TargetState{v1beta2.TargetMasked}, true}
	}
	return target{fate: goes, place: p}
}

// departed is the fate of an object in a place that is none of a wish's targets any more: the
// member or the cell is gone, or the cell is another one.
func (m *model) departed(w *wish, p place) fate {
	name := p.member
	if w.topology == v1beta2.TopologyCell {
		name = p.namespace[len("shop-"):]
	}
	if now, exists := m.targets(w)[name]; exists { // named, or moved: first it leaves the old place
		switch {
		case now.fate == runs && w.topology == v1beta2.TopologyCell && m.holdsBack(name):
			return lingers
		case now.fate == runs:
			return goes
		}
		return now.fate
	}
	if w.holdsBack(name) || w.isLost() {
		return stays
	}
	return goes
}

// holdsBack says whether the mask keeps what is in a target that is gone.
func (w *wish) holdsBack(name string) bool { return w.mask != nil && !w.mask.picks(name, nil, false) }

// isLost says whether what is in cells that are gone stays there: nobody knows whether a selector would pick them.
func (w *wish) isLost() bool { return w.topology == v1beta2.TopologyCell && w.placement.names == nil }

// isCellGone reports whether a place is of a cell that there is none of. It may have been drained, or have gone at once.
func (m *model) isCellGone(w *wish, p place) bool {
	if w.topology != v1beta2.TopologyCell {
		return false
	}
	_, exists := m.cells[strings.TrimPrefix(p.namespace, "shop-")]
	return !exists
}

// holdsBack reports whether something may keep others of a cell that moved in the place that it left: it
// is masked, cannot be written, or somebody in the member writes against it.
func (m *model) holdsBack(cell string) bool {
	for _, w := range m.wishes {
		if w.topology != v1beta2.TopologyCell {
			continue
		}
		t, exists := m.targets(w)[cell]
		if exists && (t.fate == stays || t.fate == runs && m.at(t.place).hands > freeWrites) {
			return true
		}
	}
	return false
}

// note takes down what may be in places from now on. It is called after every step.
func (m *model) note() {
	for _, w := range m.wishes {
		for name, t := range m.targets(w) {
			if t.place == (place{}) {
				continue
			}
			at := m.at(t.place)
			wanted := ""
			switch t.fate {
			case stays:
				if m.gone[former{member: t.place.member}] {
					at.possible[w.in(name)] = true
				}
				continue
			case runs:
				wanted = w.in(name)
			}
			at.possible[wanted] = true
			if at.wanted != wanted {
				at.wanted, at.hands, at.removed, at.ended = wanted, 0, false, false
			}
		}
		m.noteGone(w)
		for p, at := range m.places {
			if p.config == w.config && p.name == w.name && (m.fateIn(p) == goes || m.fateIn(p) == lingers) {
				at.possible[""] = true
			}
		}
	}
	for p, at := range m.places {
		if m.wishes[wishKey{p.config, p.name}] == nil {
			at.possible[""], at.wanted, at.ended = true, "", false
		}
	}
}

// noteGone takes down what may be written to targets that are gone.
func (m *model) noteGone(w *wish) {
	for f := range m.gone {
		if f.isMember() != (w.topology == v1beta2.TopologyCluster) {
			continue
		}
		name := f.cell
		if f.isMember() {
			name = f.member
		}
		at := m.at(w.inMember(f.member, f.cell))
		at.possible[w.in(name)] = true
		at.unseen = at.unseen || f.isMember()
	}
}

// fateIn is the fate of what is in a place.
func (m *model) fateIn(p place) fate {
	w := m.wishes[wishKey{p.config, p.name}]
	switch {
	case w == nil:
		return goes
	case !w.mayBeIn(p):
		return goes // from an earlier object of that name
	}
	for _, t := range m.targets(w) {
		if t.place == p {
			return t.fate
		}
	}
	switch left := m.departed(w, p); {
	case left == stays && m.isCellGone(w, p):
		return lingers
	default:
		return left
	}
}

// mayBeIn says whether the topology of a wish has such a place.
func (w *wish) mayBeIn(p place) bool {
	return w.clusterScoped || (p.namespace == "shop") == (w.topology == v1beta2.TopologyCluster)
}

// isTarget reports whether a place is that of a target that there is.
func (m *model) isTarget(p place) bool {
	w := m.wishes[wishKey{p.config, p.name}]
	if w == nil {
		return false
	}
	for _, t := range m.targets(w) {
		if t.place == p {
			return true
		}
	}
	return false
}

// memberLeft says that nobody needs to know any more what is in a member.
func (m *model) memberLeft(member string) {
	delete(m.joined, member)
	m.gone[former{member: member}] = true
	for p, at := range m.places {
		if p.member == member {
			at.unseen = true
		}
	}
}
