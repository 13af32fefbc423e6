package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// place is an API through which objects are listed: that of all members at once, of one, or of a cell.
type place struct {
	*federation
	target target
	// cluster is the member; empty for all of them, where each object says it.
	cluster string
	// cell is that of all objects, as NAMESPACE/NAME; empty if cells are to be asked.
	cell string
	// cells are by where they are; nil if they are not known.
	cells map[home]string

	kind       schema.GroupVersionKind
	resource   schema.GroupVersionResource
	namespaced bool
	// version is that of the list, from which a watch goes on.
	version string
	// problem is why the place has no part in the answer.
	problem error
}

// home is a namespace of a member.
type home struct{ cluster, namespace string }

// places are those that are asked.
func (o *getOptions) places(ctx context.Context) (places []*place, err error) {
	host, err := o.source.newFederation(o.source.server)
	if err != nil {
		return nil, err
	}
	if o.Cell != "" {
		in := target{kind: cell, namespace: o.source.namespace, name: o.Cell}
		var found v1alpha1.Cell
		err := host.get(ctx, groupPath+"/namespaces/"+in.namespace+"/cells/"+in.name, nil).Into(&found)
		switch {
		case apierrors.IsNotFound(err):
			return nil, fmt.Errorf("there is no %s%s", in, host.others(ctx, in))
		case err != nil:
			return nil, fmt.Errorf("read %s: %s", in, sentence(err))
		}
		places = append(places, &place{target: in, cluster: found.Spec.ClusterName, cell: in.namespace + "/" + in.name})
	}
	for _, name := range o.Clusters {
		named, err := host.resolve(ctx, target{kind: cluster, name: name}, "")
		if err != nil {
			return nil, err
		}
		places = append(places, &place{target: named, cluster: name})
	}
	if len(places) == 0 {
		places = append(places, &place{target: everything})
	}
	if err := host.require(ctx, places[0].target.resource()); err != nil {
		return nil, err
	}
	for _, p := range places {
		if p.federation, err = o.source.newFederation(o.source.server + p.target.path()); err != nil {
			return nil, err
		}
	}
	return places, nil
}

// resolved finds out in each place what the type is.
func (o *getOptions) resolved(ctx context.Context, places []*place) ([]*place, error) {
	var all []func()
	for _, p := range places {
		all = append(all, func() { p.problem = o.resolve(p) })
	}
	together(asksAtOnce, all...)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return o.settle(places)
}

// noTypeError says that a place has no such type.
type noTypeError struct{ text string }

func (e *noTypeError) Error() string { return e.text }

// resolve finds the type that the word means, as kubectl does.
func (o *getOptions) resolve(p *place) error {
	config, err := o.source.restConfig(p.server)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	said := &heard{}
	config.Timeout, config.WarningHandler = p.timeout, said
	refused := &refusals{}
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return refused.of(rt) })
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", p.server, err)
	}
	once := &readOnce{DiscoveryInterface: client}
	groups, err := restmapper.GetAPIGroupResources(once)
	if err != nil {
		return fmt.Errorf("ask %s what it serves: %s", p.target, cmp.Or(refused.last(), sentence(err))) // 404 is not that the type is not there
	}
	mapper := restmapper.NewShortcutExpander(restmapper.NewDiscoveryRESTMapper(groups), once, func(text string) { o.warn(text) })
	mapping, err := mappingFor(mapper, o.typeWord)
	if meta.IsNoMatchError(err) {
		for _, text := range said.texts { // who is missing may have it
			o.warn(text)
		}
		return &noTypeError{fmt.Sprintf("%s has no type %q", p.target, o.typeWord)}
	}
	if err != nil {
		return err
	}
	p.kind, p.resource, p.namespaced = mapping.GroupVersionKind, mapping.Resource, mapping.Scope.Name() == meta.RESTScopeNameNamespace
	return nil
}

// refusals keeps what a server says when it refuses, which errors of discovery do not.
type refusals struct {
	mu   sync.Mutex
	text string // guarded by mu
}

func (r *refusals) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text
}

// of listens to a transport. Clients do not wait as long as Retry-After says: what the server says now is to be read.
func (r *refusals) of(rt http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := rt.RoundTrip(request)
		if err != nil || response.StatusCode < http.StatusBadRequest {
			return response, err
		}
		response.Header.Del("Retry-After")
		body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
		_ = response.Body.Close()
		response.Body = io.NopCloser(bytes.NewReader(body))
		var status metav1.Status
		if json.Unmarshal(body, &status) == nil && status.Message != "" && response.StatusCode != http.StatusNotFound {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.text = status.Message
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// readOnce keeps what a server serves. It is used by one goroutine.
type readOnce struct {
	discovery.DiscoveryInterface
	read      bool
	groups    []*metav1.APIGroup
	resources []*metav1.APIResourceList
	err       error
}

// ServerGroupsAndResources implements discovery.DiscoveryInterface.
func (r *readOnce) ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	if !r.read {
		r.groups, r.resources, r.err = r.DiscoveryInterface.ServerGroupsAndResources()
		r.read = true
	}
	return r.groups, r.resources, r.err
}

// mappingFor reads a word as kubectl does: RESOURCE, RESOURCE.GROUP, RESOURCE.VERSION.GROUP, or the same of a kind.
func mappingFor(mapper meta.RESTMapper, word string) (*meta.RESTMapping, error) {
	full, resource := schema.ParseResourceArg(word)
	var gvk schema.GroupVersionKind
	if full != nil {
		gvk, _ = mapper.KindFor(*full)
	}
	if gvk.Empty() {
		gvk, _ = mapper.KindFor(resource.WithVersion(""))
	}
	if !gvk.Empty() {
		return mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	fullKind, kind := schema.ParseKindArg(word)
	if fullKind == nil {
		without := kind.WithVersion("")
		fullKind = &without
	}
	if mapping, err := mapper.RESTMapping(fullKind.GroupKind(), fullKind.Version); err == nil {
		return mapping, nil
	}
	return mapper.RESTMapping(kind, "")
}

// heard keeps what a server warns of.
type heard struct {
	mu    sync.Mutex
	texts []string // guarded by mu
}

// HandleWarningHeader implements rest.WarningHandler.
func (h *heard) HandleWarningHeader(code int, _, text string) {
	if code != 299 || text == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts = append(h.texts, text)
}

var _ rest.WarningHandler = &heard{}

// homeOf is the namespace of a member that an object is in, or that it is.
func (p *place) homeOf(object *metav1.PartialObjectMetadata) home {
	namespace := object.Namespace
	if p.resource.GroupResource() == namespaceResource {
		namespace = object.Name
	}
	return home{object.Annotations[v1alpha1.ClusterAnnotation], namespace}
}

var namespaceResource = schema.GroupResource{Resource: "namespaces"}

// findCells reads which namespaces of members are those of cells. Who may not list cells is not told of any.
func (o *getOptions) findCells(ctx context.Context, places []*place) error {
	if places[0].cell != "" || !places[0].namespaced && places[0].resource.GroupResource() != namespaceResource {
		return nil
	}
	h, err := newHub(o.source, v1beta1.DefaultNamespace)
	if err != nil {
		return err
	}
	cells := map[home]string{}
	err = pages(ctx, h, groupPath+"/cells", func(items []v1alpha1.Cell) {
		for i := range items {
			c := &items[i]
			cells[home{c.Spec.ClusterName, ownership.MemberNamespaceOf(c.Spec.MemberNamespace, c.Namespace, c.Name)}] = c.Namespace + "/" + c.Name
		}
	})
	if err != nil {
		o.warn("the column CELL is left out: list the cells: " + sentence(err))
		return nil
	}
	for _, p := range places {
		p.cells = cells
	}
	return nil
}

// pages lists what is at a path, page by page.
func pages[T any](ctx context.Context, h *hub, path string, each func([]T)) error {
	query := map[string]string{"limit": strconv.Itoa(pageSize)}
	for {
		answer, _, err := h.do(ctx, sent{verb: http.MethodGet, path: path, query: query})
		if err != nil {
			return err
		}
		var list struct {
			Metadata metav1.ListMeta
			Items    []T
		}
		if err := json.Unmarshal(answer, &list); err != nil {
			return fmt.Errorf("read the list: %w", err)
		}
		each(list.Items)
		if query["continue"] = list.Metadata.Continue; list.Metadata.Continue == "" {
			return nil
		}
	}
}
