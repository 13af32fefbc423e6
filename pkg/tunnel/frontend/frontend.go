package frontend

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// Opener opens streams to what is at the end of agents, with contexts of tunnel.Shared: *server.Server is one.
type Opener interface {
	Open(ctx context.Context, name tunnel.Name, network, address string) (*mux.Stream, error)
}

// Observer is told what happens, to count it. Its methods are called concurrently, and must not block.
type Observer interface {
	// Answered is told of each request. name is zero if it did not come to a name that is known.
	Answered(front string, name tunnel.Name, tenant string, status int, took time.Duration)
	// Ended is told when a connection that was carried has ended. sent and received are the client's.
	Ended(front string, name tunnel.Name, tenant string, lasted time.Duration, sent, received int64)
}

// Config says how a Frontend works. Opener and Policy are required.
type Config struct {
	Opener Opener
	Policy Policy
	// Suffix of hosts that name a cluster or node, without a dot in front; empty if there are none.
	Suffix string
	// NameLimits and TenantLimits return what may be carried for a name, for a tenant: see LimitsChanged. Nil, or what is zero of
	// them, is DefaultLimits.
	NameLimits   func(tunnel.Name) Limits
	TenantLimits func(tenant string) Limits
	// Timeouts returns those of a name; nil is the defaults.
	Timeouts func(tunnel.Name) Timeouts
	// Observer is told what happens, if it is not nil.
	Observer Observer
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Frontend connects clients. It may be used concurrently.
type Frontend struct {
	config  Config
	suffix  string // with a dot in front; empty if there is none
	names   tallies[tunnel.Name]
	tenants tallies[string]
	seed    maphash.Seed // of shares
	// headTimeout is that constant, but in tests.
	headTimeout time.Duration
	// ctx ends with Close.
	ctx   context.Context
	close context.CancelCauseFunc

	mu sync.Mutex
	// What follows is guarded by mu.

	closed  bool
	carried map[*Carried]struct{}
	ended   map[string]Traffic // of connections that have ended, by cluster
	all     sync.WaitGroup     // added to while not closed
}

// New returns a front end that serves nothing yet.
func New(config Config) (*Frontend, error) {
	if config.Opener == nil || config.Policy == nil {
		return nil, errors.New("tunnel front end: an opener and a policy are required: without one nobody may reach anything")
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	suffix := ""
	if config.Suffix != "" {
		if err := (tunnel.Name{Cluster: config.Suffix}).Validate(); err != nil {
			return nil, fmt.Errorf("tunnel front end: the suffix %q is no domain: lower case letters, digits, - and . are allowed", config.Suffix)
		}
		suffix = "." + config.Suffix
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Frontend{
		config: config, suffix: suffix, seed: maphash.MakeSeed(), headTimeout: headTimeout,
		ctx: ctx, close: cancel, carried: map[*Carried]struct{}{}, ended: map[string]Traffic{},
	}, nil
}

// enter notes that something is under way, unless the front end ends; leave must follow.
func (f *Frontend) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.all.Add(1)
	return true
}

func (f *Frontend) leave() { f.all.Done() }

// Carried is how many connections are carried.
func (f *Frontend) Carried() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.carried)
}

// Drain waits until nothing is carried, or ctx ends. Who serves listeners stops that before.
func (f *Frontend) Drain(ctx context.Context) {
	for f.Carried() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(drainLooks):
		}
	}
}

// drainLooks is how often Drain looks.
const drainLooks = 100 * time.Millisecond

// Close ends everything that is carried or dialed, and waits until it has.
func (f *Frontend) Close() {
	f.mu.Lock()
	f.closed = true
	carried := make([]*Carried, 0, len(f.carried))
	for c := range f.carried {
		carried = append(carried, c)
	}
	f.mu.Unlock()
	f.close(errClosing)
	for _, c := range carried {
		c.Stream.Reset(mux.Draining, errClosing.Error())
	}
	f.all.Wait()
}

// Carried is a connection that was made for a client. Who opened it has to call End.
type Carried struct {
	Name    tunnel.Name
	Address string
	Stream  *mux.Stream
	// Sent and Received count the client's bytes; who carries them adds to them.
	Sent, Received atomic.Int64

	frontend *Frontend
	front    string
	tenant   string
	// ofName and ofTenant are whose limits hold.
	ofName, ofTenant *tally
	since            time.Time
	dialed           time.Duration
	idle             *time.Timer
	quiet            int64 // what Sent and Received were together when the timer was last heard
	silent           int   // how often that was the same
	over             bool  // guarded by the frontend's mutex: the timer is stopped
}

// Open connects to what a client asks for. front is by which front end, for logs. Errors are *Error, or have ErrLeft
// if ctx was canceled with it; they are logged, and so is the end.
func (f *Frontend) Open(ctx context.Context, front string, r Request) (*Carried, error) {
	began := time.Now()
	c, name, known, err := f.connected(ctx, front, r)
	status := http.StatusOK
	if err != nil {
		status = f.refused(front, r, name, err)
	}
	if o := f.config.Observer; o != nil {
		o.Answered(front, known, r.Client.Tenant, status, time.Since(began))
	}
	return c, err
}

// connected connects within the limits of the tenant, which what is asked of the policy counts for, too. known is name if there is such a
// one: who asks chooses others, which must not become labels.
func (f *Frontend) connected(ctx context.Context, front string, r Request) (c *Carried, name, known tunnel.Name, err error) {
	if !f.enter() {
		return nil, r.Client.Within, known, errClosing
	}
	defer f.leave()
	ofTenant, err := f.tenants.dial(r.Client.Tenant, fmt.Sprintf("tenant %q", r.Client.Tenant), f.tenantLimits(r.Client.Tenant))
	if err != nil {
		return nil, r.Client.Within, known, err
	}
	defer f.tenants.add(r.Client.Tenant, 0, -1)
	to, absent, err := f.permit(ctx, r)
	if err != nil {
		return nil, to.name, known, err
	}
	c, err = f.dial(ctx, &Carried{Name: to.name, Address: to.address, frontend: f, front: front, tenant: r.Client.Tenant, ofTenant: ofTenant})
	if err != nil && absent != (tunnel.Name{}) {
		err = triedAsHost(err, absent)
	}
	return c, to.name, to.name, err
}

// permit returns whose agent is asked for what, if the client may. What is asked of the policy does not depend on which nodes there are. absent is
// the node that a host may be meant to be, and that has no agent, so that it is a host of the cluster.
func (f *Frontend) permit(ctx context.Context, r Request) (to aim, absent tunnel.Name, err error) {
	to, node, err := f.route(r)
	if err != nil {
		return to, absent, err
	}
	ctx, cancel := context.WithTimeout(ctx, tunnel.DialTimeout)
	defer cancel()
	first := to
	if node != (aim{}) {
		first = node
	}
	switch refused, err := f.allow(ctx, r.Client, first); {
	case err != nil:
		return to, absent, err
	case refused != nil:
		return to, absent, &Error{Status: http.StatusForbidden, Text: fmt.Sprintf("%s: %s may not be reached by %s: %s", to.name, to.address, r.Client.Tenant, refused), Err: refused}
	}
	known := f.config.Policy.Known
	switch cluster := (tunnel.Name{Cluster: first.name.Cluster}); {
	case !known(cluster):
		return to, absent, &Error{Status: http.StatusNotFound, Text: fmt.Sprintf("there is no %s", cluster)}
	case first.name.Node == "" || known(first.name):
		return first, absent, nil
	case node == (aim{}): // a node is known while its agent is
		return to, absent, noAgent(to)
	}
	refused, err := f.allow(ctx, r.Client, to)
	if refused != nil { // who may reach the node may know that it has no agent
		err = noAgent(node)
	}
	return to, node.name, err
}

// allow asks the policy: refused is why not, and err why that is not known.
func (f *Frontend) allow(ctx context.Context, client Client, to aim) (refused, err error) {
	err = f.config.Policy.Allow(ctx, client, to.name, to.address)
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, new(*Error)):
		return nil, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return err, nil
}

func noAgent(to aim) error {
	return &tunnel.DialError{Name: to.name, Address: to.address, Code: mux.Unreachable, Err: tunnel.ErrNoAgent}
}

// refused logs why a client gets no connection, and returns the status.
func (f *Frontend) refused(front string, r Request, name tunnel.Name, err error) int {
	answer := refusal(err)
	f.config.Logger.Info("Refused a connection", "front", front, "tenant", r.Client.Tenant, "cluster", name.Cluster, "node", name.Node,
		"target", r.Target, "status", answer.Status, "err", answer.Text)
	return answer.Status
}

// dial connects, within the limits of the name. It returns what it is given.
func (f *Frontend) dial(ctx context.Context, c *Carried) (*Carried, error) {
	if !f.enter() {
		return nil, errClosing
	}
	var err error
	if c.ofName, err = f.names.dial(c.Name, c.Name.String(), f.nameLimits(c.Name)); err != nil {
		f.leave()
		return nil, err
	}
	timeouts := f.timeouts(c.Name)
	began := time.Now()
	c.Stream, err = f.open(tunnel.Shared(ctx, f.share(c.tenant)), c.Name, c.Address, timeouts.Connect)
	if err != nil {
		f.names.add(c.Name, 0, -1)
		f.leave()
		return nil, err
	}
	f.names.add(c.Name, 1, -1)
	f.tenants.add(c.tenant, 1, 0)
	c.since, c.dialed = time.Now(), time.Since(began)
	f.mu.Lock()
	f.carried[c] = struct{}{}
	closed := f.closed
	c.idle = time.AfterFunc(timeouts.Idle/idleLooks, func() { c.look(timeouts.Idle) })
	f.mu.Unlock()
	if closed {
		c.End(errClosing)
		return nil, errClosing
	}
	return c, nil
}

// share is what a tenant's connections count for on links. Agents are told no names of tenants.
func (f *Frontend) share(tenant string) mux.Share {
	return mux.Share{Of: strconv.FormatUint(maphash.String(f.seed, tenant), 36), Weight: f.tenantLimits(tenant).Weight}
}

// tenantLimits and nameLimits are those that hold now.
func (f *Frontend) tenantLimits(tenant string) (limits Limits) {
	if f.config.TenantLimits != nil {
		limits = f.config.TenantLimits(tenant)
	}
	return limits.or(DefaultLimits(false))
}

func (f *Frontend) nameLimits(name tunnel.Name) (limits Limits) {
	if f.config.NameLimits != nil {
		limits = f.config.NameLimits(name)
	}
	return limits.or(DefaultLimits(name.Node != ""))
}

// LimitsChanged has what limits say of dials and bytes in a second hold for what is carried, too. New connections ask for the others each time.
func (f *Frontend) LimitsChanged() {
	f.names.set(f.nameLimits)
	f.tenants.set(f.tenantLimits)
}

// PaceSent notes that a client has sent bytes, and PaceReceived that it has got some; they return how long that direction waits before there are more.
func (c *Carried) PaceSent(n int) time.Duration {
	now := time.Now()
	return max(c.ofName.sent.pass(now, n), c.ofTenant.sent.pass(now, n))
}

// PaceReceived is PaceSent for the other direction.
func (c *Carried) PaceReceived(n int) time.Duration {
	now := time.Now()
	return max(c.ofName.received.pass(now, n), c.ofTenant.received.pass(now, n))
}

func (f *Frontend) timeouts(name tunnel.Name) Timeouts {
	if f.config.Timeouts == nil {
		return Timeouts{}.withDefaults()
	}
	return f.config.Timeouts(name).withDefaults()
}

// open opens a stream, until ctx ends or the front end does.
func (f *Frontend) open(ctx context.Context, name tunnel.Name, address string, within time.Duration) (*mux.Stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(f.ctx, func() { cancel(errClosing) })
	defer stop()
	bounded, done := context.WithTimeout(ctx, within)
	defer done()
	stream, err := f.config.Opener.Open(bounded, name, "tcp", address)
	if err == nil {
		return stream, nil
	}
	if cause := context.Cause(ctx); cause != nil { // whoever asked has a better reason than that it was canceled
		return nil, cause
	}
	answer := refusal(err)
	return nil, answer
}

// idleLooks is how often it is looked in an idle timeout whether something passed.
const idleLooks = 4

// look ends a connection that was idle for too long.
func (c *Carried) look(idle time.Duration) {
	passed := c.Sent.Load() + c.Received.Load()
	if c.silent++; passed != c.quiet {
		c.silent, c.quiet = 0, passed
	}
	if c.silent >= idleLooks {
		c.Stream.Reset(mux.Timeout, fmt.Sprintf("nothing passed for %s", idle))
		return
	}
	c.frontend.mu.Lock()
	defer c.frontend.mu.Unlock()
	if !c.over {
		c.idle.Reset(idle / idleLooks)
	}
}

// End says that it is carried no more, and why: nil is that both sides were done. The stream is closed.
func (c *Carried) End(why error) {
	f := c.frontend
	_ = c.Stream.Close()
	f.mu.Lock()
	c.over = true
	c.idle.Stop()
	f.mu.Unlock()
	f.names.add(c.Name, -1, 0)
	f.tenants.add(c.tenant, -1, 0)
	lasted, sent, received := time.Since(c.since), c.Sent.Load(), c.Received.Load()
	reason := "done"
	if why != nil {
		reason = strings.TrimSpace(why.Error())
	}
	f.config.Logger.Info("Carried a connection", "front", c.front, "tenant", c.tenant, "cluster", c.Name.Cluster, "node", c.Name.Node,
		"address", c.Address, "dialed", c.dialed, "lasted", lasted, "sent", sent, "received", received, "end", reason)
	if o := f.config.Observer; o != nil {
		o.Ended(c.front, c.Name, c.tenant, lasted, sent, received)
	}
	f.mu.Lock()
	delete(f.carried, c)
	of := f.ended[c.Name.Cluster]
	of.Sent += sent
	of.Received += received
	f.ended[c.Name.Cluster] = of
	f.mu.Unlock()
	f.leave()
}
