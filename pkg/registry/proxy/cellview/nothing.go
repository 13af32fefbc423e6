package cellview

import (
	"net/url"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"

	kubefed "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Nothing reports whether a request of the cell's controller lists or watches what it can have none of,
// so that the member need not be asked: objects of a type without a namespace that are marked as
// the controller's own. None can be made through the view, and such that have the mark in the member
// are those of who manages the member as a whole.
//
// The answer that is right is empty. A KubeFed controller waits for such a list in every cluster, for
// every type that is federated, and ends as a whole after some minutes without.
func (v View) Nothing(r Request, scopes Scopes) (resource schema.GroupVersionResource, watch, ok bool) {
	if !v.Controller || !isRead(r.Method) {
		return resource, false, false
	}
	t, err := v.parse(r.URL.EscapedPath())
	if err != nil || t.plain != "" || t.namespace != "" || t.name != "" || t.isNamespaces() {
		return resource, false, false
	}
	query, err := v.query(r.URL.RawQuery, t)
	if err != nil || !selectsManaged(query) {
		return resource, false, false
	}
	resource = schema.GroupVersionResource{Group: t.group, Version: t.version, Resource: t.resource}
	return resource, t.watch || query.Has("watch"), scopes.Scope(resource) == ClusterScoped
}

// selectsManaged reports whether a query is for objects with the mark of a controller only.
func selectsManaged(query url.Values) bool {
	selector, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		return false
	}
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		if r.Key() != kubefed.ManagedLabel {
			continue
		}
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In, selection.Exists:
			return true
		}
	}
	return false
}
