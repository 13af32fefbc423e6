package closure

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/edgehub/topology"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

const (
	// patience is how long it is waited for what is to be known before something is shown.
	patience = 5 * time.Second
	// look is how often it is looked for it.
	look = 20 * time.Millisecond
	// sweepEvery is how often it is looked for what nobody reads, and idle how long nobody has asked for it: longer than a watch lasts that does not say so.
	sweepEvery, idle = time.Minute, 90 * time.Minute
)

// What the hub reads by itself.
var (
	servicesKey = view.Key{Version: "v1", Resource: "services"}
	nodesKey    = view.Key{Version: "v1", Resource: "nodes"}
	unitsKey    = view.Key{Group: "edge.koinon.io", Version: "v1alpha1", Resource: "edgeunits"}
)

// slicesKind is that of what is filtered.
var slicesKind = view.Key{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}.Kind()

// Views are those of package serving.
type Views interface {
	Find(key view.Key) (*view.View, *view.Filter, bool)
	Want(key view.Key, path string, r *http.Request) (state func() (settled bool, err error), done func())
}

// Config says how a Closure works. All but Correct and Logger is required.
type Config struct {
	// Node is the name of the node.
	Node  string
	Views Views
	// View returns the view of a key, whether it is complete or not.
	View func(view.Key) *view.View
	// Want has a view filled for the node itself: see Views.
	Want func(ctx context.Context, key view.Key, path string) (state func() (settled bool, err error), done func())
	// Refused reports whether what hinders a view is that the API server does not give it to who asks, or has no such thing.
	Refused func(error) bool
	// Correct returns an EndpointSlice as it is to be seen otherwise than upstream has it; itself, if that is so. When it has come to do so otherwise, Moved is to be called. Nil corrects nothing.
	Correct func(slice []byte) []byte
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Closure has EndpointSlices be seen as the node sees them. It implements package serving's Views.
type Closure struct {
	config Config
	places *places

	mu sync.Mutex
	// What follows is guarded by mu.

	// ctx is that of Run, nil before and after; seers end with it.
	ctx      context.Context
	seers    sync.WaitGroup
	topology *topology.Topology
	seen     map[*view.View]*seer
	// rules are of all Services, NAMESPACE/NAME. known: they are, or nobody may know them. listed: they are. late: it was waited for them for long enough.
	rules               map[string]rule
	known, listed, late bool
	// affected are EndpointSlices that are to be seen anew.
	affected []string
	// problems are what the API server does not let the node read.
	problems map[string]string
}

// rule is that of a Service, by its annotations, which are nil if it has none.
type rule struct {
	annotations map[string]string
	needsUnits  bool
	// gone: there is no such Service.
	gone bool
}

// New returns a closure that has not begun.
func New(config Config) (*Closure, error) {
	if config.Node == "" || config.Views == nil || config.View == nil || config.Want == nil || config.Refused == nil {
		return nil, errors.New("everything about a closure is required, but what it corrects and its log")
	}
	if config.Correct == nil {
		config.Correct = func(slice []byte) []byte { return slice }
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	c := &Closure{config: config, topology: topology.New(config.Node), seen: map[*view.View]*seer{}, rules: map[string]rule{}, problems: map[string]string{}}
	c.places = &places{Closure: c, edge: map[string]*v1alpha1.EdgeUnit{}, units: map[string]string{}, warned: map[string]string{}}
	return c, nil
}

// Problems are why it cannot do all that it should, in sentences.
func (c *Closure) Problems() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, text := range c.problems {
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// problem notes one, or with an empty text that there is none of it any more.
func (c *Closure) problem(of, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case text == "":
		delete(c.problems, of)
	case c.problems[of] == "":
		c.config.Logger.Warn("Read less than is needed for closed Services", "problem", text)
		c.problems[of] = text
	}
}

// Run reads what is needed until ctx ends.
func (c *Closure) Run(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	services := &reader{Closure: c, key: servicesKey}
	var reading sync.WaitGroup
	reading.Go(func() { c.readServices(ctx, services) }) // ends with ctx
	c.await(ctx, services)
	c.sweep(ctx, services)
	reading.Wait()
	c.places.end()
	c.mu.Lock()
	c.ctx = nil // nobody is added after this
	c.mu.Unlock()
	c.seers.Wait()
}

// await waits for the rules, for a while.
func (c *Closure) await(ctx context.Context, services *reader) {
	late := time.NewTimer(patience)
	defer late.Stop()
	again := time.NewTicker(look)
	defer again.Stop()
	for !c.hasRules() {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			c.mu.Lock()
			c.late = true
			c.mu.Unlock()
			return
		case <-again.C:
			c.checkServices(services)
		}
	}
}

// checkServices looks whether the node may read Services.
func (c *Closure) checkServices(services *reader) {
	switch err := services.hindered(); {
	case err == nil:
		c.problem("services", "")
		c.hideUnknown(true)
	case isForbidden(err):
		c.hideUnknown(false)
		c.problem("services", "the node may not read Services, and those that are closed are seen as they were when it could, or as if they were not: "+err.Error())
		if _, complete := c.config.View(servicesKey).Version(); complete {
			return // what is known of before counts, as soon as it is read
		}
		c.mu.Lock()
		c.known = true
		c.mu.Unlock()
	}
}

// hideUnknown has nobody see endpoints of a Service that is not known, once others are, or has them be seen: while the node may not read Services it will not hear of new ones.
func (c *Closure) hideUnknown(hide bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.affect(c.topology.KnowsAll(hide && c.listed))
	c.again()
}

// isForbidden reports whether what hinders a view is that the API server knows the node, and does not let it read that. Any other refusal says nothing of what may be read: a certificate that has ended is none that is known (401).
func isForbidden(err error) bool {
	var refused interface {
		Refusal() (code int, body []byte)
	}
	if !errors.As(err, &refused) {
		return false
	}
	code, _ := refused.Refusal()
	return code == http.StatusForbidden
}

func (c *Closure) hasRules() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// sweep ends what nobody reads, until ctx ends.
func (c *Closure) sweep(ctx context.Context, services *reader) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.checkServices(services)
			c.endIdle()
		}
	}
}

// endIdle ends those that nobody has asked for for long. Who watches one for longer lists.
func (c *Closure) endIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seen {
		if time.Since(s.used) > idle {
			s.end()
		}
	}
}

// errRules is why nobody is shown an EndpointSlice.
var errRules = errors.New("the Services have not been read from the API server yet, which say whose endpoints are seen")

// Want implements package serving's Views. An EndpointSlice is waited for while it is for the rules.
func (c *Closure) Want(key view.Key, path string, r *http.Request) (state func() (settled bool, err error), done func()) {
	of, done := c.config.Views.Want(key, path, r)
	if key.Kind() != slicesKind {
		return of, done
	}
	return func() (bool, error) {
		c.mu.Lock()
		known, late := c.known, c.late
		c.mu.Unlock()
		switch {
		case known:
			return of()
		case late:
			return true, errRules
		}
		return false, nil
	}, done
}

// Find implements package serving's Views.
func (c *Closure) Find(key view.Key) (*view.View, *view.Filter, bool) {
	v, filter, ok := c.config.Views.Find(key)
	if !ok || key.Kind() != slicesKind {
		return v, filter, ok
	}
	if v = c.see(v); v == nil {
		return nil, nil, false
	}
	return v, filter, true
}
