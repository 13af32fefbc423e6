package view

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/edgehub/jsonspan"
)

// decidable are the fields that are read of objects, of those by which API servers select. Of others nothing is known here: upstream knows them, or refuses them.
var decidable = map[string][]string{
	"/v1/pods":       {"spec.nodeName", "status.phase"},
	"/v1/services":   {"spec.clusterIP"},
	"/v1/namespaces": {"status.phase"},
}

// Filter lets through what a narrower Key selects of a wider one.
type Filter struct {
	namespace string
	labels    labels.Selector
	// required is what fields have to be: equal to something, or not.
	required fields.Requirements
}

// Narrow returns what of a complete view of wide is a complete view of narrow; false if that cannot be said.
func Narrow(wide, narrow Key) (*Filter, bool) {
	if wide.Kind() != narrow.Kind() || wide.Owner != narrow.Owner || wide.Namespace != "" && wide.Namespace != narrow.Namespace {
		return nil, false
	}
	f := &Filter{namespace: narrow.Namespace}
	var err error
	if f.labels, err = labels.Parse(narrow.Labels); err != nil {
		return nil, false
	}
	narrowFields, err := fields.ParseSelector(narrow.Fields)
	if err != nil || !decides(narrow.Kind(), narrowFields) {
		return nil, false
	}
	f.required = narrowFields.Requirements()
	wideLabels, err := labels.Parse(wide.Labels)
	if err != nil || !implied(wideLabels, f.labels) {
		return nil, false
	}
	wideFields, err := fields.ParseSelector(wide.Fields)
	if err != nil || !within(textsOf(wideFields), textsOf(narrowFields)) {
		return nil, false
	}
	return f, true
}

// everything holds nothing back.
func everything() *Filter { return &Filter{labels: labels.Everything()} }

// within reports whether all that one demands the other demands, too.
func within(of, all map[string]bool) bool {
	for one := range of {
		if !all[one] {
			return false
		}
	}
	return true
}

// implied reports whether whatever a selector selects is selected by a wider one, too.
func implied(wide, narrow labels.Selector) bool {
	demanded, _ := wide.Requirements()
	given, _ := narrow.Requirements()
	for i := range demanded {
		if !slices.ContainsFunc(given, func(g labels.Requirement) bool { return implies(&g, &demanded[i]) }) {
			return false
		}
	}
	return true
}

// implies reports whether what meets one requirement meets another.
func implies(r, other *labels.Requirement) bool {
	if r.Key() != other.Key() {
		return false
	}
	if r.String() == other.String() {
		return true
	}
	switch values := other.Values(); other.Operator() {
	case selection.Exists:
		return r.Operator() != selection.DoesNotExist && r.Operator() != selection.NotIn && r.Operator() != selection.NotEquals
	case selection.In, selection.Equals, selection.DoubleEquals:
		return isOneOf(r) && values.IsSuperset(r.Values())
	case selection.NotIn, selection.NotEquals:
		return r.Operator() == selection.DoesNotExist || isOneOf(r) && !values.HasAny(r.Values().UnsortedList()...)
	}
	return false
}

// isOneOf reports whether a requirement is that a label has one of some values.
func isOneOf(r *labels.Requirement) bool {
	return r.Operator() == selection.In || r.Operator() == selection.Equals || r.Operator() == selection.DoubleEquals
}

func textsOf(selector fields.Selector) map[string]bool {
	texts := map[string]bool{}
	for _, r := range selector.Requirements() {
		texts[r.Field+string(r.Operator)+r.Value] = true
	}
	return texts
}

// decides reports whether a selector can be decided from objects of a kind alone.
func decides(kind string, selector fields.Selector) bool {
	for _, r := range selector.Requirements() {
		known := r.Field == nameField || r.Field == namespaceField || slices.Contains(decidable[kind], r.Field)
		if !known || r.Operator != selection.Equals && r.Operator != selection.DoubleEquals && r.Operator != selection.NotEquals {
			return false
		}
	}
	return true
}

const nameField, namespaceField = "metadata.name", "metadata.namespace"

// Namespaced reports whether a key is about what has a namespace.
func (k Key) Namespaced() bool {
	if k.Namespace != "" {
		return true
	}
	selector, err := fields.ParseSelector(k.Fields)
	return err == nil && slices.ContainsFunc(selector.Requirements(), func(r fields.Requirement) bool { return r.Field == namespaceField })
}

// IsOne reports whether a key is about the one object of a name.
func (k Key) IsOne() bool {
	selector, err := fields.ParseSelector(k.Fields)
	if err != nil {
		return false
	}
	_, is := selector.RequiresExactMatch(nameField)
	return is
}

// Everything reports whether nothing is held back.
func (f *Filter) Everything() bool {
	return f.namespace == "" && f.labels.Empty() && len(f.required) == 0
}

// Match reports whether an object is let through.
func (f *Filter) Match(o *Object) bool {
	if f.Everything() {
		return true
	}
	namespace, name, namespaced := strings.Cut(o.Name, "/")
	if !namespaced {
		namespace, name = "", o.Name
	}
	if f.namespace != "" && namespace != f.namespace {
		return false
	}
	for _, r := range f.required {
		var is string
		switch r.Field {
		case nameField:
			is = name
		case namespaceField:
			is = namespace
		default:
			is = fieldOf(o.Body, r.Field)
		}
		if (is == r.Value) == (r.Operator == selection.NotEquals) {
			return false
		}
	}
	return f.labels.Empty() || f.labels.Matches(labels.Set(labelsOf(o.Body)))
}

// fieldOf is a string of an object, such as spec.nodeName; empty if there is none.
func fieldOf(body []byte, path string) string {
	of, field, _ := strings.Cut(path, ".")
	at, ok := jsonspan.Value(body, of)
	if !ok {
		return ""
	}
	body = body[at.From:at.To]
	if at, ok = jsonspan.Value(body, field); !ok {
		return ""
	}
	if body = body[at.From:at.To]; body[0] == '"' && bytes.IndexByte(body, '\\') < 0 {
		return string(body[1 : len(body)-1])
	}
	var text string
	if utiljson.Unmarshal(body, &text) != nil {
		return ""
	}
	return text
}

// labelsOf are those of an object.
func labelsOf(body []byte) (all map[string]string) {
	at, ok := jsonspan.Value(body, "metadata")
	if !ok {
		return nil
	}
	body = body[at.From:at.To]
	if at, ok = jsonspan.Value(body, "labels"); ok {
		_ = utiljson.Unmarshal(body[at.From:at.To], &all) // it was read once
	}
	return all
}

// List returns those of objects that are let through.
func (f *Filter) List(objects []*Object) []*Object {
	var matching []*Object
	for _, o := range objects {
		if f.Match(o) {
			matching = append(matching, o)
		}
	}
	return matching
}

// Event returns what an event is behind the filter; false if it is none. An object that does not match any more is Deleted, with the resourceVersion of its
// change, and one that begins to is Added, as API servers have it.
func (f *Filter) Event(e Event) (Event, bool, error) {
	if e.Type == Bookmark || f.Everything() {
		return e, true, nil
	}
	is, was := e.Type != Deleted && f.Match(e.Object), e.Before != nil && f.Match(e.Before)
	switch {
	case is && was:
		return e, true, nil
	case is:
		e.Type, e.Before = Added, nil
		return e, true, nil
	case was && e.Type == Deleted:
		return e, true, nil
	case was:
		end, err := e.Before.at(e.Version)
		if err != nil {
			return e, false, fmt.Errorf("the last of %s: %w", e.Object.Name, err)
		}
		e.Type, e.Object = Deleted, end
		return e, true, nil
	}
	return e, false, nil
}
