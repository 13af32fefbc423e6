package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// Bounds of what a member may say about its types: it is somebody else's server.
const (
	// discoveryTimeout bounds all of it.
	discoveryTimeout = 10 * time.Second
	// discoveryBytes bounds one answer, and discoveryAllBytes all together.
	discoveryBytes, discoveryAllBytes = 8 << 20, 32 << 20
	// discoveryVersions are asked for one by one, so many at once, of a member that does not say all at
	// once.
	discoveryVersions, discoveryAtOnce = 1000, 16
)

// served is what a member serves.
type served struct {
	types map[schema.GroupVersionResource]cellview.Scope
	// kinds are what objects of them are called.
	kinds map[schema.GroupVersionResource]string
	// failed are versions of groups whose types are not known, as of a server behind the member that
	// is away.
	failed map[schema.GroupVersion]error
}

// scope finds a type; an empty version is any.
func (s served) scope(resource schema.GroupVersionResource) cellview.Scope {
	if resource.Version != "" {
		return s.types[resource]
	}
	for known, scope := range s.types {
		if known.GroupResource() == resource.GroupResource() {
			return scope
		}
	}
	return cellview.Unknown
}

// away says that it is not known whether there is a type; nil if it is.
func (s served) away(resource schema.GroupVersionResource) error {
	for gv, err := range s.failed {
		if gv.Group == resource.Group && (gv.Version == resource.Version || resource.Version == "") {
			return apierrors.NewServiceUnavailable(fmt.Sprintf("the types of %s are not known now: %.256s", gv, err))
		}
	}
	return nil
}

// orAsBefore takes from what was known before the types of groups that are not known now.
func (s served) orAsBefore(before served) served {
	if len(s.failed) == 0 {
		return s
	}
	for resource, scope := range before.types {
		if s.failed[resource.GroupVersion()] != nil {
			s.types[resource] = scope
			if kind := before.kinds[resource]; kind != "" {
				s.kinds[resource] = kind
			}
		}
	}
	return s
}

func (s served) add(list *metav1.APIResourceList, gv schema.GroupVersion) {
	for i := range list.APIResources {
		scope := cellview.ClusterScoped
		if list.APIResources[i].Namespaced {
			scope = cellview.Namespaced
		}
		resource := gv.WithResource(list.APIResources[i].Name)
		s.types[resource] = scope
		s.kinds[resource] = list.APIResources[i].Kind
	}
}

// discover asks a member what it serves, as the caller. The error is Forbidden if it does not tell
// him.
func discover(ctx context.Context, link *links.Link, caller user.Info) (served, error) {
	member := relay.NewTransport(link.Member, link, caller)
	member.Reticent = true
	transport := &boundedTransport{ctx: ctx, next: member}
	transport.left.Store(discoveryAllBytes)
	// Requests are few, and wait for nothing.
	config := &rest.Config{Host: "https://member", QPS: -1}
	client, err := discovery.NewDiscoveryClientForConfigAndClient(config, &http.Client{Transport: transport, Timeout: discoveryTimeout})
	if err != nil {
		return served{}, err
	}
	all, err := everything(client)
	switch {
	case err == nil:
		return all, nil
	case apierrors.IsForbidden(err):
		return served{}, apierrors.NewForbidden(schema.GroupResource{}, "", fmt.Errorf("cluster %q does not tell you what it serves: %w", link.Member, err))
	}
	return served{}, apierrors.NewServiceUnavailable(fmt.Sprintf("cluster %q does not say what it serves: %v", link.Member, err))
}

// everything asks for all types; at once, if the member can.
func everything(client *discovery.DiscoveryClient) (served, error) {
	groups, lists, failed, err := client.GroupsAndMaybeResources()
	if err != nil {
		return served{}, err
	}
	all := served{types: map[schema.GroupVersionResource]cellview.Scope{}, kinds: map[schema.GroupVersionResource]string{}, failed: failed}
	if lists == nil {
		return all, oneByOne(client, groups, all)
	}
	for gv, list := range lists {
		all.add(list, gv)
	}
	return all, nil
}

// oneByOne asks for the types of each version of each group.
func oneByOne(client *discovery.DiscoveryClient, groups *metav1.APIGroupList, all served) error {
	var versions []schema.GroupVersion
	for _, group := range groups.Groups {
		for _, version := range group.Versions {
			versions = append(versions, schema.GroupVersion{Group: group.Name, Version: version.Version})
		}
	}
	if len(versions) > discoveryVersions {
		return fmt.Errorf("it has more than %d versions of groups", discoveryVersions)
	}
	var mu sync.Mutex // guards all
	var asking errgroup.Group
	asking.SetLimit(discoveryAtOnce)
	for _, gv := range versions {
		asking.Go(func() error {
			list, err := client.ServerResourcesForGroupVersion(gv.String())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				all.failed[gv] = err
				return nil
			}
			all.add(list, gv)
			return nil
		})
	}
	_ = asking.Wait()
	if len(versions) > 0 && len(all.failed) == len(versions) {
		return all.failed[versions[0]]
	}
	return nil
}

// errTooMuch is what a member gets that says too much about its types.
var errTooMuch = errors.New("it says more about its types than is read")

// boundedTransport bounds time and answers of a client that knows no contexts.
type boundedTransport struct {
	ctx  context.Context
	next http.RoundTripper
	left atomic.Int64 // bytes of all answers together
}

// RoundTrip implements http.RoundTripper.
func (t *boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.left.Load() < 0 {
		return nil, errTooMuch
	}
	answer, err := t.next.RoundTrip(r.WithContext(t.ctx))
	if err != nil {
		return nil, err
	}
	answer.Header.Del("Retry-After") // the client would wait as long as the member wants it to
	answer.Body = &boundedBody{answer.Body, discoveryBytes, &t.left}
	return answer, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64         // bytes of this answer
	all  *atomic.Int64 // bytes of all
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 || b.all.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}
