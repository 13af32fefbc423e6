package cellview

import (
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	kubefed "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// namespaceFields are fields that select by the name of a namespace.
var namespaceFields = map[string]bool{
	"metadata.namespace": true, "involvedObject.namespace": true, "regarding.namespace": true, "related.namespace": true,
	"reference.namespace": true,
}

// once are parameters that change which objects are meant. API servers take the first of two;
// whoever sends two wants something else.
var once = []string{
	"continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "shardSelector", "watch",
}

// query maps the parameters of a request for objects. They are written anew, so that the member
// reads what was read here.
func (v View) query(raw string, t target) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, v.bad("cannot read the query: %v", err)
	}
	for _, key := range once {
		if len(query[key]) > 1 {
			return nil, v.bad("takes the parameter %s once only", key)
		}
	}
	if query.Has("watch") {
		// As API servers read it: all is true but these two.
		if value := strings.ToLower(query.Get("watch")); value == "false" || value == "0" {
			query.Del("watch")
		} else {
			query.Set("watch", "true")
		}
	}
	if t.namespace == "" && !t.isNamespaces() {
		// Types without a namespace are shown as they are.
		return query, nil
	}
	if err := v.labelSelector(query, t); err != nil {
		return nil, err
	}
	return query, v.fieldSelector(query, t)
}

func (v View) labelSelector(query url.Values, t target) error {
	text := query.Get("labelSelector")
	// A query that cannot be read is authorized by the member as one for everything.
	selector, err := labels.Parse(text)
	if err != nil {
		return v.bad("cannot read the labelSelector %q: %v", text, err)
	}
	if !strings.Contains(text, kubefed.ManagedLabel) && !strings.Contains(text, KeptLabel) && !strings.Contains(text, namespaceLabel) {
		return nil
	}
	requirements, _ := selector.Requirements()
	mapped := labels.NewSelector()
	for _, r := range requirements {
		values := r.Values().List()
		if r.Key() == namespaceLabel && t.isNamespaces() {
			for i := range values {
				values[i] = v.exchange(values[i])
			}
		}
		requirement, err := labels.NewRequirement(label(r.Key()), r.Operator(), values)
		if err != nil {
			return v.bad("cannot map the labelSelector %q: %v", text, err)
		}
		mapped = mapped.Add(*requirement)
	}
	query.Set("labelSelector", mapped.String())
	return nil
}

// fieldSelector maps names of namespaces; lists of namespaces are narrowed to the one.
func (v View) fieldSelector(query url.Values, t target) error {
	text := query.Get("fieldSelector")
	selector, err := fields.ParseSelector(text)
	if err != nil {
		return v.bad("cannot read the fieldSelector %q: %v", text, err)
	}
	var terms []string
	if t.isNamespaces() && t.name == "" {
		terms = append(terms, fields.OneTermEqualSelector("metadata.name", v.MemberNamespace).String())
	}
	for _, r := range selector.Requirements() {
		terms = append(terms, v.term(r, t).String())
	}
	// Terms without a field select everything, and are no requirements.
	if query.Del("fieldSelector"); len(terms) > 0 {
		query.Set("fieldSelector", strings.Join(terms, ","))
	}
	return nil
}

// term maps one term of a selector.
func (v View) term(r fields.Requirement, t target) fields.Selector {
	isName := t.isNamespaces() && r.Field == "metadata.name"
	if namespaceFields[r.Field] || isName {
		r.Value = v.exchange(r.Value)
	}
	if r.Operator == selection.NotEquals || isName && r.Value != v.MemberNamespace {
		// A list of another namespace is empty. It must not be asked for by name: who is
		// asked would be authorized for that one.
		if r.Operator != selection.NotEquals {
			r.Value = v.MemberNamespace
		}
		return fields.OneTermNotEqualSelector(r.Field, r.Value)
	}
	return fields.OneTermEqualSelector(r.Field, r.Value)
}
