package cellview

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	federation "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// action is what is done with a string at a known place.
type action int

const (
	none action = iota
	// own names the namespace of the object itself. Another one is refused in a request, and
	// ends an answer.
	own
	// reference names the namespace of another object. Another one is refused in a request,
	// and shown in an answer: somebody with rights in the member wrote it into this object.
	reference
	// choice names a namespace that is chosen among all: by a selector, or as a parent that itself says whom it
	// lets in. It makes nothing visible or writable, so every name is taken.
	choice
	// early is a choice that came before what says whether it is one.
	early
	// account is the name of a user or group, which for service accounts has a namespace in it.
	account
	// words is a text for people.
	words
	// qualified is a list, in a table, of namespace/name.
	qualified
	// kind tells which of the switches of its object is right.
	kind
	// mark is the annotation on a namespace that names its owner.
	mark
	// made is a name that the member would make.
	made
)

// node is a place in a document, and what is known below it. Nodes are never changed once
// their rules are made.
type node struct {
	// path is for messages: spec.subjects[].namespace.
	path string
	// fields of an object, elem of an array: whatever is in neither is copied.
	fields map[string]*node
	elem   *node
	act    action
	// labels: the keys of the object are those of labels. owned: they are those of managedFields.
	labels, owned bool
	// switches are what a node becomes once the field that is its kind has been read.
	switches map[string]*node
	// verify: nothing of the object is shown before its namespace is known.
	verify bool
}

// at returns the place that a path leads to: fields with dots between, [] behind those that are arrays.
func (n *node) at(path string) *node {
	for step := range strings.SplitSeq(path, ".") {
		name, array := strings.CutSuffix(step, "[]")
		n = n.key(name)
		if array {
			n = n.item()
		}
	}
	return n
}

func (n *node) key(name string) *node {
	if n.fields == nil {
		n.fields = map[string]*node{}
	}
	if n.fields[name] == nil {
		n.fields[name] = &node{path: strings.TrimPrefix(n.path+"."+name, ".")}
	}
	return n.fields[name]
}

func (n *node) item() *node {
	if n.elem == nil {
		n.elem = &node{path: n.path + "[]"}
	}
	return n.elem
}

// selector is a label selector of namespaces.
func (n *node) selector() {
	n.key("matchLabels").key(namespaceLabel).act = choice
	expression := n.at("matchExpressions[]")
	expression.key("key").act = kind
	expression.at("values[]").act = early
	named := &node{path: expression.path}
	named.key("key").act = kind
	named.at("values[]").act = choice
	expression.switches = map[string]*node{namespaceLabel: named}
}

// attributes are those of a review of access: the name in them is that of a namespace if the
// resource is namespaces.
func (n *node) attributes() {
	n.key("namespace").act = reference
	n.key("resource").act = kind
	n.key("name").act = early
	named := &node{path: n.path}
	named.key("namespace").act = reference
	named.key("resource").act = kind
	named.key("name").act = choice
	n.switches = map[string]*node{"namespaces": named}
}

func (n *node) podSpec() {
	for _, affinity := range []string{"affinity.podAffinity.", "affinity.podAntiAffinity."} {
		for _, term := range []string{"requiredDuringSchedulingIgnoredDuringExecution[]", "preferredDuringSchedulingIgnoredDuringExecution[].podAffinityTerm"} {
			n.at(affinity + term + ".namespaces[]").act = reference
			n.at(affinity + term + ".namespaceSelector").selector()
		}
	}
	n.at("volumes[].ephemeral.volumeClaimTemplate.spec.dataSourceRef.namespace").act = reference
}

// metadata is what all objects have.
func (n *node) metadata() {
	n.at("metadata.namespace").act = own
	n.at("metadata.labels").labels = true
	n.at("metadata.managedFields[].fieldsV1.f:metadata.f:labels").owned = true
}

// references of kinds to objects in namespaces, beyond those in pod templates and selectors.
var references = map[schema.GroupResource][]string{
	{Resource: "bindings"}:        {"target.namespace"},
	{Resource: "endpoints"}:       {"subsets[].addresses[].targetRef.namespace", "subsets[].notReadyAddresses[].targetRef.namespace"},
	{Resource: "events"}:          {"involvedObject.namespace", "related.namespace"},
	{Resource: "serviceaccounts"}: {"secrets[].namespace"},

	{Resource: "persistentvolumeclaims"}: {"spec.dataSourceRef.namespace"},

	{Group: "apps", Resource: "statefulsets"}:               {"spec.volumeClaimTemplates[].spec.dataSourceRef.namespace"},
	{Group: "batch", Resource: "cronjobs"}:                  {"status.active[].namespace"},
	{Group: "discovery.k8s.io", Resource: "endpointslices"}: {"endpoints[].targetRef.namespace"},
	{Group: "events.k8s.io", Resource: "events"}:            {"regarding.namespace", "related.namespace"},

	{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}: {"subjects[].namespace"},

	{Group: "authorization.k8s.io", Resource: "selfsubjectrulesreviews"}: {"spec.namespace"},

	{Group: gateway, Resource: "gateways"}: {"spec.listeners[].tls.certificateRefs[].namespace", "spec.listeners[].tls.frontendValidation.caCertificateRefs[].namespace",
		"spec.tls.backend.clientCertificateRef.namespace", "spec.backendTLS.clientCertificateRef.namespace",
		"spec.tls.frontend.default.validation.caCertificateRefs[].namespace", "spec.tls.frontend.perPort[].tls.validation.caCertificateRefs[].namespace"},
	{Group: gateway, Resource: "grpcroutes"}:      backends,
	{Group: gateway, Resource: "httproutes"}:      backends,
	{Group: gateway, Resource: "listenersets"}:    {"spec.listeners[].tls.certificateRefs[].namespace"},
	{Group: gateway, Resource: "referencegrants"}: {"spec.from[].namespace"},
	{Group: gateway, Resource: "tcproutes"}:       backends,
	{Group: gateway, Resource: "tlsroutes"}:       backends,
	{Group: gateway, Resource: "udproutes"}:       backends,
}

const gateway = "gateway.networking.k8s.io"

var backends = []string{
	"spec.rules[].backendRefs[].namespace",
	"spec.rules[].filters[].requestMirror.backendRef.namespace",
	"spec.rules[].filters[].externalAuth.backendRef.namespace",
	"spec.rules[].backendRefs[].filters[].requestMirror.backendRef.namespace",
	"spec.rules[].backendRefs[].filters[].externalAuth.backendRef.namespace",
}

// choices are references of the Gateway API to a parent, which says itself whose routes it takes.
var choices = map[schema.GroupResource][]string{
	{Group: gateway, Resource: "backendtlspolicies"}: {"status.ancestors[].ancestorRef.namespace"},
	{Group: gateway, Resource: "grpcroutes"}:         parents,
	{Group: gateway, Resource: "httproutes"}:         parents,
	{Group: gateway, Resource: "listenersets"}:       {"spec.parentRef.namespace"},
	{Group: gateway, Resource: "tcproutes"}:          parents,
	{Group: gateway, Resource: "tlsroutes"}:          parents,
	{Group: gateway, Resource: "udproutes"}:          parents,
}

var parents = []string{"spec.parentRefs[].namespace", "status.parents[].parentRef.namespace"}

// selectors of namespaces.
var selectors = map[schema.GroupResource][]string{
	{Group: "networking.k8s.io", Resource: "networkpolicies"}: {"spec.ingress[].from[].namespaceSelector", "spec.egress[].to[].namespaceSelector"},
	{Group: gateway, Resource: "gateways"}:                    {"spec.listeners[].allowedRoutes.namespaces.selector", "spec.allowedListeners.namespaces.selector"},
	{Group: gateway, Resource: "listenersets"}:                {"spec.listeners[].allowedRoutes.namespaces.selector"},
}

// podSpecs are where kinds have specs of pods.
var podSpecs = map[schema.GroupResource]string{
	{Resource: "pods"}:                               "spec",
	{Resource: "podtemplates"}:                       "template.spec",
	{Resource: "replicationcontrollers"}:             "spec.template.spec",
	{Group: "apps", Resource: "controllerrevisions"}: "data.spec.template.spec",
	{Group: "apps", Resource: "daemonsets"}:          "spec.template.spec",
	{Group: "apps", Resource: "deployments"}:         "spec.template.spec",
	{Group: "apps", Resource: "replicasets"}:         "spec.template.spec",
	{Group: "apps", Resource: "statefulsets"}:        "spec.template.spec",
	{Group: "batch", Resource: "cronjobs"}:           "spec.jobTemplate.spec.template.spec",
	{Group: "batch", Resource: "jobs"}:               "spec.template.spec",
}

// accounts are names of users and groups.
var accounts = map[schema.GroupResource][]string{
	{Group: "authentication.k8s.io", Resource: "selfsubjectreviews"}:       {"status.userInfo.username", "status.userInfo.groups[]"},
	{Group: "authorization.k8s.io", Resource: "localsubjectaccessreviews"}: {"spec.user", "spec.groups[]"},
	{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}:         {"subjects[].name"},
}

var (
	namespaces   = schema.GroupResource{Resource: "namespaces"}
	rolebindings = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}
	selfAccess   = schema.GroupResource{Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"}

	accessReviews = []schema.GroupResource{selfAccess, {Group: "authorization.k8s.io", Resource: "localsubjectaccessreviews"}}
)

// objectOf returns where names stand in objects of a type. Of types that are not known, which
// are custom ones, it is in the metadata only.
func objectOf(resource schema.GroupResource) *node {
	n := &node{}
	n.metadata()
	for act, paths := range map[action][]string{reference: references[resource], choice: choices[resource], account: accounts[resource]} {
		for _, path := range paths {
			n.at(path).act = act
		}
	}
	for _, path := range selectors[resource] {
		n.at(path).selector()
	}
	if path, ok := podSpecs[resource]; ok {
		n.at(path).podSpec()
	}
	if slices.Contains(accessReviews, resource) {
		n.at("spec.resourceAttributes").attributes()
	}
	if resource == namespaces {
		delete(n.at("metadata").fields, "namespace")
		n.at("metadata.name").act = own
		n.at("metadata.generateName").act = made
		n.at("metadata.labels").key(namespaceLabel).act = own
		n.at("metadata.annotations").key(federation.OwnerAnnotation).act = mark
	}
	return n
}

// rules are where names stand in what belongs to one type.
type rules struct {
	// object is one as clients send it.
	object *node
	// answers are the documents that members send, by mode; tables are the same where tables
	// were asked for.
	answers, tables [events + 1]*node
}

func newRules(resource schema.GroupResource) *rules {
	r := &rules{object: objectOf(resource)}
	r.answers = answersOf(resource, r.object, false)
	r.tables = answersOf(resource, r.object, true)
	return r
}

// answersOf returns the documents that answers consist of.
func answersOf(resource schema.GroupResource, object *node, table bool) (docs [events + 1]*node) {
	item := &node{path: object.path, fields: object.fields, verify: true}
	all := map[string]*node{"Status": statusOf(resource, object), "Table": tableOf(resource, item)}
	single := &node{fields: withKind(object.fields), verify: true, switches: all}
	if !table {
		// An object may be of a kind that is called so.
		single.switches = map[string]*node{"Status": all["Status"]}
	}
	docs[objects] = single
	docs[lists] = &node{fields: map[string]*node{"kind": {act: kind}, "items": {elem: item}}, switches: all}
	docs[lists].at("metadata.namespace").act = own
	docs[events] = &node{fields: map[string]*node{"object": single}}
	return docs
}

func withKind(fields map[string]*node) map[string]*node {
	out := map[string]*node{"kind": {act: kind}}
	for name, field := range fields {
		out[name] = field
	}
	return out
}

// statusOf is a Status, or an object of a kind of that name.
func statusOf(resource schema.GroupResource, object *node) *node {
	n := &node{fields: withKind(object.fields)}
	n.fields["message"] = &node{act: words}
	if resource == namespaces {
		n.fields["details"] = &node{fields: map[string]*node{"name": {act: choice}}}
	}
	return n
}

func tableOf(resource schema.GroupResource, item *node) *node {
	row := &node{verify: true, fields: map[string]*node{"object": item}}
	switch resource {
	case namespaces:
		row.fields["cells"] = &node{elem: &node{act: choice}}
	case rolebindings:
		row.fields["cells"] = &node{elem: &node{act: qualified}}
	}
	return &node{fields: map[string]*node{"rows": {elem: row}}}
}

// known has the rules of all types with places of their own; they do not change.
var known = func() map[schema.GroupResource]*rules {
	all := map[schema.GroupResource]*rules{custom: newRules(custom), namespaces: newRules(namespaces)}
	for _, places := range []map[schema.GroupResource][]string{references, choices, selectors, accounts} {
		for resource := range places {
			all[resource] = newRules(resource)
		}
	}
	for resource := range podSpecs {
		all[resource] = newRules(resource)
	}
	for _, resource := range accessReviews {
		all[resource] = newRules(resource)
	}
	return all
}()

var (
	// custom stands for types without rules of their own.
	custom   = schema.GroupResource{}
	bindings = schema.GroupResource{Resource: "bindings"}
)

// whole are subresources that are the object itself.
var whole = []string{"", "approval", "ephemeralcontainers", "finalize", "resize", "status"}

// rulesOf returns the rules of a type, or of what a subresource of it takes and answers.
func rulesOf(resource schema.GroupResource, subresource string) *rules {
	switch {
	case subresource == "binding":
		resource = bindings
	case !slices.Contains(whole, subresource):
		resource = custom
	}
	if r, ok := known[resource]; ok {
		return r
	}
	return known[custom]
}
