package serving_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// The fields of the model. Each has one value and any number of owners.
const (
	fieldType      = "type"
	fieldReplicas  = "replicas"
	fieldPaused    = "paused"
	fieldPlace     = "placement by name"
	fieldPlaceBy   = "placement by selector"
	fieldMask      = "mask by name"
	fieldMaskBy    = "mask by selector"
	fieldRetain    = "retainReplicas"
	fieldLabel     = "label"
	fieldNamed     = "overrides by name"
	fieldSelecting = "overrides by selector"
	fieldLabels    = "labels"
	fieldPlacement = "placement"
	fieldMasking   = "mask"
)

// simpleFields are atomic in both versions, if they can be said at all.
var simpleFields = []string{fieldReplicas, fieldPaused, fieldPlace, fieldPlaceBy, fieldMask, fieldMaskBy, fieldRetain, fieldLabel}

// holders are the fields that are there as long as one of others is. An update that makes one
// owns it, an apply does not. They have owners, and no values.
var holders = map[string][]string{
	fieldLabels:    {fieldLabel},
	fieldPlacement: {fieldPlace, fieldPlaceBy},
	fieldMasking:   {fieldMask, fieldMaskBy},
}

// hidden are the fields that v1beta1 cannot say but in its annotation.
var hidden = map[string]bool{fieldType: true, fieldMask: true, fieldMaskBy: true, fieldSelecting: true}

// override is one of the list: for a target, or for a label.
type override struct {
	target, label string
	replicas      int
}

func (o override) selects() bool { return o.label != "" }

// wish is what a client says: a whole object, or what it applies. Overrides are nil if it
// says none.
type wish struct {
	values    map[string]any
	overrides []override
	// said tells that a client of v1beta1 writes the annotation.
	said bool
}

// holds reports whether a holder is there.
func (w wish) holds(holder string) bool {
	return slices.ContainsFunc(holders[holder], func(field string) bool { _, ok := w.values[field]; return ok })
}

func (w wish) clone() wish {
	return wish{values: maps.Clone(w.values), overrides: slices.Clone(w.overrides), said: w.said}
}

func part(list []override, selects bool) []override {
	var out []override
	for _, o := range list {
		if o.selects() == selects {
			out = append(out, o)
		}
	}
	return out
}

// merged is a list of named overrides with the selecting ones of another at their indices.
func merged(named, other []override) []override {
	var out []override
	for i, o := range other {
		if !o.selects() {
			continue
		}
		for len(out) < i && len(named) > 0 {
			out, named = append(out, named[0]), named[1:]
		}
		out = append(out, o)
	}
	return append(out, named...)
}

// model knows what an object has to be, and who owns what: written from the rules of
// docs/two-shapes.md alone.
type model struct {
	wish   // of the object
	owners map[string]map[string]bool
}

func (m *model) own(field, who string)       { m.owners[field] = map[string]bool{who: true} }
func (m *model) share(field, who string)     { m.add(field); m.owners[field][who] = true }
func (m *model) leave(field, who string)     { delete(m.owners[field], who) }
func (m *model) nobody(field string)         { m.owners[field] = nil }
func (m *model) owns(field, who string) bool { return m.owners[field][who] }
func (m *model) add(field string) {
	if m.owners[field] == nil {
		m.owners[field] = map[string]bool{}
	}
}

// others reports whether anybody else owns a field.
func (m *model) others(field, who string) bool {
	for owner := range m.owners[field] {
		if owner != who {
			return true
		}
	}
	return false
}

func newModel() *model {
	return &model{wish: wish{values: map[string]any{}}, owners: map[string]map[string]bool{}}
}

// create is a POST.
func (m *model) create(version, who string, w wish) {
	m.wish = w.clone()
	for field := range w.values {
		if version == "v1beta2" || !hidden[field] || w.said && !(field == fieldType && w.values[field] == "cluster") {
			m.own(field, who)
		}
	}
	for holder := range holders {
		if w.holds(holder) {
			m.own(holder, who)
		}
	}
	if version == "v1beta2" && w.overrides != nil {
		m.own(fieldNamed, who)
		m.own(fieldSelecting, who)
	}
	if version == "v1beta1" {
		if len(part(w.overrides, false)) > 0 {
			m.own(fieldNamed, who)
		}
		if len(part(w.overrides, true)) > 0 {
			m.own(fieldSelecting, who)
		}
	}
}

// update is a PUT or a patch that leaves the object as w says.
func (m *model) update(version, who string, w wish) {
	m.updateHolders(who, w)
	for _, field := range simpleFields {
		was, had := m.values[field]
		is, has := w.values[field]
		switch {
		case had && !has:
			delete(m.values, field)
			m.nobody(field)
		case has && (!had || !reflect.DeepEqual(was, is)):
			m.values[field] = is
			m.own(field, who)
		}
	}
	if version == "v1beta2" {
		m.updateList(who, w.overrides)
		return
	}
	m.updatePart(fieldNamed, who, part(m.overrides, false), part(w.overrides, false))
	m.updatePart(fieldSelecting, who, part(m.overrides, true), part(w.overrides, true))
	m.overrides = w.overrides
	m.forgetClaims()
}

// updateHolders comes before the fields change. What is made anew has one owner, even if
// others own it since it was there before.
func (m *model) updateHolders(who string, w wish) {
	for holder := range holders {
		switch had, has := m.holds(holder), w.holds(holder); {
		case had && !has:
			m.nobody(holder)
		case has && !had:
			m.own(holder, who)
		}
	}
}

func (m *model) updatePart(field, who string, was, is []override) {
	switch {
	case reflect.DeepEqual(was, is):
	case len(is) == 0:
		m.nobody(field)
	default:
		m.own(field, who)
	}
}

// updateList is a write of the list as v1beta2 has it: atomic.
func (m *model) updateList(who string, list []override) {
	if reflect.DeepEqual(m.overrides, list) {
		return
	}
	if list == nil {
		m.nobody(fieldNamed)
		m.nobody(fieldSelecting)
	} else {
		m.takeList(who, list)
		m.share(fieldNamed, who)
		m.share(fieldSelecting, who)
	}
	m.overrides = list
}

// takeList takes from all others what differs in list.
func (m *model) takeList(who string, list []override) {
	namedChanged := !reflect.DeepEqual(part(m.overrides, false), part(list, false))
	selectingChanged := !reflect.DeepEqual(part(m.overrides, true), part(list, true))
	for owner := range m.everyOwner() {
		whole := m.owns(fieldNamed, owner) && m.owns(fieldSelecting, owner)
		if owner == who {
			continue
		}
		if whole || namedChanged {
			m.leave(fieldNamed, owner)
		}
		if whole || selectingChanged {
			m.leave(fieldSelecting, owner)
		}
	}
}

func (m *model) everyOwner() map[string]bool {
	out := map[string]bool{}
	for _, owners := range m.owners {
		for owner := range owners {
			out[owner] = true
		}
	}
	return out
}

// forgetClaims: overrides by selector that are not there belong to who has the whole list.
func (m *model) forgetClaims() {
	if len(part(m.overrides, true)) > 0 {
		return
	}
	for owner := range m.owners[fieldSelecting] {
		if !m.owns(fieldNamed, owner) {
			m.leave(fieldSelecting, owner)
		}
	}
}

// conflicts reports whether an apply meets what others own.
func (m *model) conflicts(version, who string, w wish) bool {
	for field, is := range w.values {
		if was, had := m.values[field]; (!had || !reflect.DeepEqual(was, is)) && m.others(field, who) {
			return true
		}
	}
	for holder := range holders {
		if w.holds(holder) && !m.holds(holder) && m.others(holder, who) {
			return true
		}
	}
	if w.overrides == nil {
		return false
	}
	namedChanged := !reflect.DeepEqual(part(m.overrides, false), part(w.overrides, false))
	selectingChanged := !reflect.DeepEqual(part(m.overrides, true), part(w.overrides, true))
	if version == "v1beta1" {
		return len(part(w.overrides, false)) > 0 && namedChanged && m.others(fieldNamed, who) ||
			w.said && len(part(w.overrides, true)) > 0 && selectingChanged && m.others(fieldSelecting, who)
	}
	for owner := range m.everyOwner() {
		if owner == who {
			continue
		}
		named, selecting := m.owns(fieldNamed, owner), m.owns(fieldSelecting, owner)
		if named && selecting && !reflect.DeepEqual(m.overrides, w.overrides) || named && namedChanged || selecting && selectingChanged {
			return true
		}
	}
	return false
}

// apply is a server-side apply that is forced, or meets no conflict.
func (m *model) apply(version, who string, w wish) {
	says := func(field string) bool { return version == "v1beta2" || !hidden[field] || w.said }
	m.applyHolders(w)
	for _, field := range append([]string{fieldType}, simpleFields...) {
		is, has := w.values[field]
		was, had := m.values[field]
		switch {
		case has && (!had || !reflect.DeepEqual(was, is)):
			m.values[field] = is
			m.own(field, who)
		case has:
			m.share(field, who)
		case says(field) && m.owns(field, who):
			if m.leave(field, who); len(m.owners[field]) == 0 && field != fieldType {
				delete(m.values, field)
			}
		}
	}
	if version == "v1beta2" && w.overrides != nil {
		if !reflect.DeepEqual(m.overrides, w.overrides) {
			m.takeList(who, w.overrides)
			m.overrides = w.overrides
		}
		m.share(fieldNamed, who)
		m.share(fieldSelecting, who)
		return
	}
	m.overrides = m.applyParts(who, w, says)
	if version == "v1beta1" {
		m.forgetClaims()
	}
}

// applyHolders comes before the fields change. Who applies owns what it says, not what holds
// that; and what is made anew is taken from others. A holder whose last field is removed by an
// apply keeps its owners, as in custom resources and Deployments.
func (m *model) applyHolders(w wish) {
	for holder := range holders {
		if w.holds(holder) && !m.holds(holder) {
			m.nobody(holder)
		}
	}
}

func (m *model) applyParts(who string, w wish, says func(string) bool) []override {
	named, order := m.applyPart(fieldNamed, who, part(m.overrides, false), part(w.overrides, false), true), m.overrides
	if says(fieldSelecting) {
		was, is := part(m.overrides, true), part(w.overrides, true)
		if selecting := m.applyPart(fieldSelecting, who, was, is, true); len(is) > 0 {
			order = w.overrides
		} else if len(selecting) == 0 {
			order = nil
		}
	}
	return merged(named, order)
}

// applyPart returns what becomes of one part of the list.
func (m *model) applyPart(field, who string, was, is []override, says bool) []override {
	switch {
	case len(is) > 0 && !reflect.DeepEqual(was, is):
		m.own(field, who)
		return is
	case len(is) > 0:
		m.share(field, who)
	case says && m.owns(field, who):
		if m.leave(field, who); len(m.owners[field]) == 0 {
			return nil
		}
	}
	return was
}

// scale is a PUT or a patch of the scale.
func (m *model) scale(who string, replicas int) {
	was, had := m.values[fieldReplicas]
	if !had {
		was = 1
	}
	if was != replicas {
		m.own(fieldReplicas, who)
	}
	m.values[fieldReplicas] = replicas
}

// render is what a client of version sends.
func render(version, name string, w wish) object {
	obj := federatedDeployment(version, name, object{})
	spec, template := obj["spec"].(object), object{}
	v2 := version == "v1beta2"
	words := map[bool][2]string{true: {"topologies", "topologySelector"}, false: {"clusters", "clusterSelector"}}
	cell := w.values[fieldType] == "cell"
	target := func(name string) string {
		if cell && !v2 {
			return name + "." + namespace
		}
		return name
	}
	placement := func(namesField, labelField string, v2 bool) object {
		out := object{}
		if names, ok := w.values[namesField].([]string); ok {
			var refs []any
			for _, name := range names {
				if v2 {
					refs = append(refs, object{"name": name})
				} else {
					refs = append(refs, object{"name": target(name)})
				}
			}
			out[words[v2][0]] = refs
		}
		if label, ok := w.values[labelField].(string); ok {
			out[words[v2][1]] = selector(label, cell && !v2)
		}
		return out
	}
	for field, key := range map[string]string{fieldReplicas: "replicas", fieldPaused: "paused"} {
		if value, ok := w.values[field]; ok {
			template[key] = value
		}
	}
	if len(template) > 0 {
		spec["template"] = object{"spec": template}
	}
	if p := placement(fieldPlace, fieldPlaceBy, v2); len(p) > 0 {
		spec["placement"] = p
	}
	if value, ok := w.values[fieldRetain]; ok {
		spec["retainReplicas"] = value
	}
	if value, ok := w.values[fieldLabel]; ok {
		obj["metadata"].(object)["labels"] = object{"app": value}
	}
	mask := placement(fieldMask, fieldMaskBy, true)
	if v2 {
		if value, ok := w.values[fieldType]; ok {
			spec["topologyType"] = value
		}
		if len(mask) > 0 {
			spec["placementMask"] = mask
		}
		if w.overrides != nil {
			spec["overrides"] = renderOverrides(w.overrides, true, target)
		}
		return obj
	}
	if named := part(w.overrides, false); len(named) > 0 {
		spec["overrides"] = renderOverrides(named, false, target)
	}
	if w.said {
		if annotation := renderStash(w, mask); annotation != "" {
			obj["metadata"].(object)["annotations"] = object{stashAnnotation: annotation}
		}
	}
	return obj
}

func selector(label string, ofCells bool) object {
	labels := object{"zone": label}
	if ofCells {
		labels["federation.koinon.io/topology"] = "cell"
		labels["federation.koinon.io/topology-namespace"] = namespace
	}
	return object{"matchLabels": labels}
}

func renderOverrides(list []override, v2 bool, target func(string) string) []any {
	out := []any{}
	for _, o := range list {
		switch {
		case o.selects():
			out = append(out, object{"topologySelector": object{"matchLabels": object{"tier": o.label}}, "topologyOverrides": replicasTo(o.replicas)})
		case v2:
			out = append(out, object{"topologyName": o.target, "topologyOverrides": replicasTo(o.replicas)})
		default:
			out = append(out, object{"clusterName": target(o.target), "clusterOverrides": replicasTo(o.replicas)})
		}
	}
	return out
}

func renderStash(w wish, mask object) string {
	stash := object{}
	if w.values[fieldType] == "cell" {
		stash["topologyType"] = "cell"
	}
	if len(mask) > 0 {
		stash["placementMask"] = mask
	}
	var selecting []any
	for i, o := range w.overrides {
		if o.selects() {
			selecting = append(selecting, object{"index": i, "override": renderOverrides([]override{o}, true, nil)[0]})
		}
	}
	if selecting != nil {
		stash["selectorOverrides"] = selecting
	}
	if len(stash) == 0 {
		return ""
	}
	data, err := json.Marshal(stash)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// String lists the model for a failure.
func (m *model) String() string {
	var lines []string
	for _, field := range append([]string{fieldType, fieldNamed, fieldSelecting, fieldLabels, fieldPlacement, fieldMasking}, simpleFields...) {
		lines = append(lines, fmt.Sprintf("%s: %v %v", field, m.values[field], slices.Sorted(maps.Keys(m.owners[field]))))
	}
	return strings.Join(append(lines, fmt.Sprintf("overrides: %v", m.overrides)), "\n")
}
