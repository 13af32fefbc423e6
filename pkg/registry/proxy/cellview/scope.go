package cellview

import (
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Scope is where objects of a type are.
type Scope int

const (
	// Unknown is a type that the member does not serve.
	Unknown Scope = iota
	Namespaced
	ClusterScoped
)

// Scopes says where the member has the objects of a type. It is asked for every request, so
// the caller keeps what the member's discovery says. An empty version, in a review of access,
// is any. It may be asked concurrently.
type Scopes interface {
	Scope(resource schema.GroupVersionResource) Scope
}

// readable are the types without a namespace that a cell shows, to read: those that say what
// a namespace can use. Not among them is what tells of others: nodes list the images of all
// tenants and the addresses of machines, persistent volumes name claims, cluster roles and
// webhooks say how the member is kept.
var readable = []schema.GroupResource{
	{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
	{Group: "apiregistration.k8s.io", Resource: "apiservices"},
	{Group: "gateway.networking.k8s.io", Resource: "gatewayclasses"},
	{Group: "networking.k8s.io", Resource: "ingressclasses"},
	{Group: "node.k8s.io", Resource: "runtimeclasses"},
	{Group: "resource.k8s.io", Resource: "deviceclasses"},
	{Group: "scheduling.k8s.io", Resource: "priorityclasses"},
	{Group: "snapshot.storage.k8s.io", Resource: "volumesnapshotclasses"},
	{Group: "storage.k8s.io", Resource: "storageclasses"},
	{Group: "storage.k8s.io", Resource: "volumeattributesclasses"},
}

// selfReviews have no namespace of their own: they ask about the client.
var selfReviews = []schema.GroupResource{
	{Group: "authentication.k8s.io", Resource: "selfsubjectreviews"},
	{Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"},
	{Group: "authorization.k8s.io", Resource: "selfsubjectrulesreviews"},
}

// within says whether a request stays in the cell, and maps where it goes to.
func (v View) within(r Request, t target, scopes Scopes) (target, error) {
	method := r.Method
	if t.plain != "" {
		if !isRead(method) {
			return t, v.refuse(http.StatusMethodNotAllowed, "takes GET only for %s", t.plain)
		}
		return t, nil
	}
	if t.watch && !isRead(method) {
		return t, v.refuse(http.StatusMethodNotAllowed, "takes GET only for paths of watches")
	}
	if t.isNamespaces() && t.namespace == "" {
		return v.itself(r, t)
	}
	switch scope := scopes.Scope(schema.GroupVersionResource{Group: t.group, Version: t.version, Resource: t.resource}); {
	case scope == ClusterScoped && t.namespace == "":
		return t, v.clusterScoped(method, t)
	case scope != Namespaced:
		return t, notServed()
	}
	switch {
	case t.namespace != "" && t.namespace != v.Namespace:
		return t, v.forbid("shows the namespace %q only: %s of namespace %q cannot be reached through it", v.Namespace, t.groupResource(), t.namespace)
	case t.namespace == "" && t.name != "":
		return t, notServed()
	case t.namespace == "" && !isRead(method):
		return t, v.refuse(http.StatusMethodNotAllowed, "takes lists and watches over all namespaces only: name the namespace %q to change %s", v.Namespace, t.groupResource())
	case v.Controller && method == http.MethodDelete && t.name == "":
		// A mask is asked about one object by its name, and controllers of clusters delete no other way.
		return t, v.refuse(http.StatusMethodNotAllowed, "lets its account delete %s one by one only", t.groupResource())
	}
	t.namespace = v.MemberNamespace
	return t, nil
}

func (v View) clusterScoped(method string, t target) error {
	switch resource := t.groupResource(); {
	case slices.Contains(selfReviews, resource):
		if method != http.MethodPost || t.name != "" || t.watch {
			return v.refuse(http.StatusMethodNotAllowed, "takes POST only for %s", resource)
		}
	case !slices.Contains(readable, resource) && v.Controller && isRead(method) && t.name != "" && !t.watch:
		return notFound(resource, t.name) // as there is none in its lists
	case !slices.Contains(readable, resource):
		return v.forbid("does not show %s, which have no namespace: of such types it shows classes, priorities, APIServices and CustomResourceDefinitions, to read", resource)
	case !isRead(method):
		return v.forbid("shows %s to read only: they have no namespace", resource)
	}
	return nil
}

// itself maps requests for namespaces: there is just the one.
func (v View) itself(r Request, t target) (target, error) {
	method := r.Method
	switch {
	case t.name == "":
		if !isRead(method) && method != http.MethodPost {
			return t, v.refuse(http.StatusMethodNotAllowed, "does not delete namespaces")
		}
		if t.watch {
			// For old paths of watches the member reads no name in the query when it authorizes.
			t.name = v.MemberNamespace
		}
		return t, nil
	case t.name != v.Namespace && isRead(method):
		return t, notFound(t.groupResource(), t.name)
	case t.name != v.Namespace:
		return t, v.forbid("has the namespace %q only: the namespace %q cannot be changed through it", v.Namespace, t.name)
	case t.subresource != "" && !isRead(method), method == http.MethodDelete:
		return t, v.forbid("does not let its namespace be deleted, nor its status be changed: the Cell decides")
	case !v.Controller && applies(r):
		// That is how helm makes sure of a namespace, as others do by creating it: it wants to be told that it is there.
		return t, v.refuse(http.StatusConflict, "shows its namespace %q to read only: it is there already", v.Namespace)
	case !isRead(method) && !v.Controller:
		return t, v.forbid("shows its namespace %q to read only", v.Namespace)
	case !isRead(method) && method != http.MethodPut && method != http.MethodPatch:
		return t, v.refuse(http.StatusMethodNotAllowed, "takes GET, PUT and PATCH only for its namespace")
	}
	t.name = v.MemberNamespace
	return t, nil
}
