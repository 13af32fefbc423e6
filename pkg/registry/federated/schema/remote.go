package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const (
	// remoteInterval is how often schemas that others define are looked at again.
	remoteInterval = 30 * time.Second
	// remoteTimeout bounds one request.
	remoteTimeout = 10 * time.Second
)

// APIServers returns clients of the API servers to ask for schemas, best first: the
// host, then the members that are ready.
type APIServers func(ctx context.Context) []rest.Interface

// Remote knows the kinds that the host or a member serves, custom resources
// above all. What it was asked for and does not know it looks for in the background.
type Remote struct {
	servers APIServers
	changed func()
	kick    chan struct{}

	mu     sync.Mutex // guards wanted and known
	wanted map[schema.GroupVersionKind]bool
	known  map[schema.GroupVersionKind]*Target
}

// NewRemote returns a source that calls changed when it has learnt of a schema,
// or of a change of one. It learns only while Run runs.
func NewRemote(servers APIServers, changed func()) *Remote {
	return &Remote{servers: servers, changed: changed, kick: make(chan struct{}, 1),
		wanted: map[schema.GroupVersionKind]bool{}, known: map[schema.GroupVersionKind]*Target{}}
}

// TargetSchemas returns what is known now.
func (r *Remote) TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[schema.GroupVersionKind]*Target{}
	for _, gvk := range kinds {
		if s := r.known[gvk]; s != nil {
			out[gvk] = s
		}
		if !r.wanted[gvk] {
			r.wanted[gvk] = true
			select {
			case r.kick <- struct{}{}:
			default: // it is about to look anyway
			}
		}
	}
	return out
}

// Run looks for schemas until ctx is done.
func (r *Remote) Run(ctx context.Context) {
	ticker := time.NewTicker(remoteInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		case <-ticker.C:
		}
		if r.update(ctx) {
			r.changed()
		}
	}
}

// update asks for every kind that is wanted and reports whether anything is new.
func (r *Remote) update(ctx context.Context) bool {
	r.mu.Lock()
	byVersion := map[schema.GroupVersion][]schema.GroupVersionKind{}
	for gvk := range r.wanted {
		byVersion[gvk.GroupVersion()] = append(byVersion[gvk.GroupVersion()], gvk)
	}
	r.mu.Unlock()
	if len(byVersion) == 0 {
		return false
	}
	found := map[schema.GroupVersionKind]*Target{}
	for _, server := range r.servers(ctx) {
		for gv, kinds := range byVersion {
			r.ask(ctx, server, gv, kinds, found)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	news := false
	for gvk, s := range found {
		if !r.known[gvk].saysAs(s) {
			r.known[gvk], news = s, true
		}
	}
	return news
}

// ask adds to found what the server knows of the kinds and none before it did.
func (r *Remote) ask(ctx context.Context, server rest.Interface, gv schema.GroupVersion, kinds []schema.GroupVersionKind, found map[schema.GroupVersionKind]*Target) {
	var missing []schema.GroupVersionKind
	for _, gvk := range kinds {
		if found[gvk] == nil {
			missing = append(missing, gvk)
		}
	}
	if len(missing) == 0 {
		return
	}
	doc, err := fetch(ctx, server, gv)
	if err != nil {
		klog.FromContext(ctx).V(4).Info("Fetched no schema", "groupVersion", gv, "err", err)
		return
	}
	for _, gvk := range missing {
		if s := extract(doc, gvk); s != nil {
			found[gvk] = s
		}
	}
}

func fetch(ctx context.Context, server rest.Interface, gv schema.GroupVersion) (*spec3.OpenAPI, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	path := "/openapi/v3/apis/" + gv.String()
	if gv.Group == "" {
		path = "/openapi/v3/api/" + gv.Version
	}
	data, err := server.Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%s is not served", gv)
		}
		return nil, err
	}
	doc := &spec3.OpenAPI{}
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, fmt.Errorf("read OpenAPI of %s: %w", gv, err)
	}
	return doc, nil
}

// extract returns the schema of a kind and all it refers to, nil if doc has none.
func extract(doc *spec3.OpenAPI, gvk schema.GroupVersionKind) *Target {
	if doc.Components == nil {
		return nil
	}
	for name, s := range doc.Components.Schemas {
		if isOfKind(s, gvk) {
			t := &Target{GVK: gvk, Root: name, Schemas: map[string]*spec.Schema{}}
			collect(t.Schemas, doc.Components.Schemas, name)
			return t
		}
	}
	return nil
}

func collect(into, from map[string]*spec.Schema, name string) {
	s, ok := from[name]
	if !ok || into[name] != nil {
		return
	}
	into[name] = s
	for _, reference := range References(s) {
		collect(into, from, reference)
	}
}

func isOfKind(s *spec.Schema, gvk schema.GroupVersionKind) bool {
	kinds, _ := s.Extensions["x-kubernetes-group-version-kind"].([]any)
	for _, k := range kinds {
		m, _ := k.(map[string]any)
		if m["group"] == gvk.Group && m["version"] == gvk.Version && strings.EqualFold(fmt.Sprint(m["kind"]), gvk.Kind) {
			return true
		}
	}
	return false
}
