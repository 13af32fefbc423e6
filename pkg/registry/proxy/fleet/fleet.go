package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Member is one cluster of a caller's scope.
type Member struct {
	Name string
	// Transport sends a request as the caller, with credentials and bounds on headers. The URL
	// of a request has a path as the member sees it, and no host. It must end a request, and
	// the reading of its answer, with the request's context.
	Transport http.RoundTripper
}

// Members is a caller's scope.
type Members interface {
	// List returns the members that the caller may ask now.
	List(ctx context.Context) ([]Member, error)
	// Watch returns what says that List may say something else now. It ends with ctx.
	Watch(ctx context.Context) <-chan struct{}
}

// Config is what a Handler needs. Zero values are replaced by the defaults below.
type Config struct {
	// Members returns the scope of the caller of a request.
	Members func(*http.Request) (Members, error)
	// Via says in errors how one member is asked. "%s" is its name. Default: "clusters/%s/proxy".
	Via string

	// FirstAnswer is how long a member may take to begin with an answer. Default: 5 s.
	FirstAnswer time.Duration
	// PageBody is how long it may take from there to the end of a page. Default: 15 s.
	PageBody time.Duration
	// List is how long an answer to a list may take in all. Default: 5 min.
	List time.Duration
	// InFlight is how many members are asked at once. One that has not answered for Slow does not
	// count any more, so that many dead members hold up nobody. Defaults: 64, 500 ms.
	InFlight int
	Slow     time.Duration

	// Page is how many objects a member is asked for at once. Default: 500.
	Page int
	// PagesBytes is what pages of all members together should have, which makes pages smaller
	// if objects are large or members many. Default: 64 MiB.
	PagesBytes int
	// PageBytes bounds one answer of a member, EventBytes one event. Defaults: 16 MiB, 8 MiB.
	PageBytes, EventBytes int64

	// Bookmarks is the least time between two bookmarks of a watch. Default: 10 s.
	Bookmarks time.Duration
	// Retry is how long a watch waits before it asks a member again that failed. It doubles
	// with each failure, up to RetryAtMost. Defaults: 1 s, 30 s.
	Retry, RetryAtMost time.Duration
	// Watch is how long a watch lasts whose client does not say. Default: 30 min.
	Watch time.Duration
}

func (c *Config) setDefaults() {
	c.Via = cmp.Or(c.Via, "clusters/%s/proxy")
	c.FirstAnswer = cmp.Or(c.FirstAnswer, 5*time.Second)
	c.PageBody = cmp.Or(c.PageBody, 15*time.Second)
	c.List = cmp.Or(c.List, 5*time.Minute)
	c.InFlight = cmp.Or(c.InFlight, 64)
	c.Slow = cmp.Or(c.Slow, 500*time.Millisecond)
	c.Page = cmp.Or(c.Page, 500)
	c.PagesBytes = cmp.Or(c.PagesBytes, 64<<20)
	c.PageBytes = cmp.Or(c.PageBytes, 16<<20)
	c.EventBytes = cmp.Or(c.EventBytes, 8<<20)
	c.Bookmarks = cmp.Or(c.Bookmarks, 10*time.Second)
	c.Retry = cmp.Or(c.Retry, time.Second)
	c.RetryAtMost = cmp.Or(c.RetryAtMost, 30*time.Second)
	c.Watch = cmp.Or(c.Watch, 30*time.Minute)
}

// Handler answers requests over all members.
type Handler struct {
	config Config
	types  *typesCache
	broken broken
	// rooms are buffers of pages.
	rooms sync.Pool
}

// New returns a Handler.
func New(config Config) (*Handler, error) {
	if config.Members == nil {
		return nil, errors.New("fleet: Config.Members is missing")
	}
	config.setDefaults()
	if strings.Count(config.Via, "%s") != 1 {
		return nil, fmt.Errorf("fleet: Config.Via %q must have one %%s", config.Via)
	}
	return &Handler{config: config, types: newTypesCache()}, nil
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler if it cannot go on with an
// answer that it has begun, so that no client takes it for a whole one.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := parse(r, h.config.Via)
	if err != nil {
		refuse(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // ends all that was begun
	scope, err := h.config.Members(r)
	if err != nil {
		refuse(w, err)
		return
	}
	members, alike, err := sorted(ctx, scope)
	if err != nil {
		refuse(w, err)
		return
	}
	c := &call{Handler: h, query: q, members: members, alike: alike, gate: make(chan struct{}, h.config.InFlight)}
	if err := c.serve(ctx, w, scope); err != nil {
		refuse(w, err)
	}
}

// sorted returns the members of a scope by name. Those whose name cannot be told apart from that of
// one before, in versions, are failures: their objects could not be watched.
func sorted(ctx context.Context, scope Members) ([]Member, failures, error) {
	members, err := scope.List(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list the members: %w", err)
	}
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	var alike failures
	names := map[uint64]string{}
	members = slices.DeleteFunc(members, func(m Member) bool {
		other, known := names[hash(m.Name)]
		if known {
			alike = append(alike, failed(m.Name, http.StatusServiceUnavailable, "its name has the same checksum as %s; give one of them another", other))
			return true
		}
		names[hash(m.Name)] = m.Name
		return false
	})
	return members, alike, nil
}

// call is one request that is being answered.
type call struct {
	*Handler
	*query
	members []Member
	// alike are members that cannot be told apart from others.
	alike failures
	// gate holds a place for each member that is being asked.
	gate chan struct{}
}

// serve answers, or returns an error if it has answered nothing.
func (c *call) serve(ctx context.Context, w http.ResponseWriter, scope Members) error {
	if len(c.members) == 0 && c.verb != verbWatch && c.verb != verbDiscovery {
		return status(http.StatusNotFound, "there is no cluster that you may ask: the fleet is empty")
	}
	switch c.verb {
	case verbGet:
		return c.get(ctx, w)
	case verbList:
		return c.list(ctx, w)
	case verbWatch:
		return c.watch(ctx, w, scope)
	case verbDiscovery:
		return c.discover(ctx, w)
	default:
		return c.first(ctx, w)
	}
}

// resource is what is asked for, for messages of API machinery.
func (q *query) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: q.group, Resource: q.resource}
}
