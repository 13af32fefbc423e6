package cellview

import (
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

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
	if !strings.Contains(text, kubefed.ManagedLabel) && !strings.Contains(text, KeptLabel) && !strings.Contains(text, namespaceLabel) {
		return nil
	}
	selector, err := labels.Parse(text)
	if err != nil {
		return v.bad("cannot read the labelSelector %q: %v", text, err)
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
	selector, err = selector.Transform(func(field, value string) (string, string, error) {
		if namespaceFields[field] || t.isNamespaces() && field == "metadata.name" {
			value = v.exchange(value)
		}
		return field, value, nil
	})
	if err != nil {
		return v.bad("cannot map the fieldSelector %q: %v", text, err)
	}
	mapped := selector.String()
	if t.isNamespaces() && t.name == "" {
		mapped = strings.TrimSuffix(fields.OneTermEqualSelector("metadata.name", v.MemberNamespace).String()+","+mapped, ",")
	}
	// Terms without a field select everything.
	if query.Del("fieldSelector"); mapped != "" {
		query.Set("fieldSelector", mapped)
	}
	return nil
}
