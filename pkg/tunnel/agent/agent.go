// Package agent is the end of the tunnel at which targets are: it keeps links to the servers, and connects to what
// its policy allows.
//
// An Agent makes outgoing connections only. It believes servers what they may be reached at, and nothing about
// targets: what it does not allow is not dialed, whoever asks.
package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

const (
	// connectTimeout is how long a connection to a server may take to become a link.
	connectTimeout = 15 * time.Second
	// refusedPause is what it waits if a server does not want it: a person has to do something.
	refusedPause = time.Minute
	// replacedGrace is how long a link goes on that was replaced, for streams that were on their way, and replacedCheck how
	// often it is looked whether it carries anything.
	replacedGrace, replacedCheck = 2 * time.Second, 500 * time.Millisecond
	// maxReplicas bounds how many links an agent makes, whatever it is told.
	maxReplicas = 32
)

// Config says how an Agent works. Servers, TLS and Policy are required.
type Config struct {
	// Servers are addresses, HOST:PORT, of which each reaches one replica or all of them.
	Servers []string
	// TLS returns the agent's certificate and the authorities of servers, anew for each connection.
	TLS func() (*tls.Config, error)
	// Policy says what may be dialed.
	Policy *Policy
	// Info is what is said to servers. Its Instance is chosen by New.
	Info tunnel.AgentInfo
	// Transport is how servers are reached; empty is carrier.Auto.
	Transport carrier.Way
	// DialServer makes TCP connections to servers; nil is directly, or by the HTTP proxy that the environment names.
	DialServer func(ctx context.Context, network, address string) (net.Conn, error)
	// MaxStreams is how many streams of a link may be open. The default is 1,000.
	MaxStreams int
	// PingEvery is 5 seconds by default; a link is dead after three times that.
	PingEvery time.Duration
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Agent keeps links.
type Agent struct {
	config Config
	dialer *carrier.Dialer

	mu sync.Mutex
	// What follows is guarded by mu.

	links map[string]*connected // by the id of their replica
	// keepers are who keep links, by what they dial.
	keepers map[string][]context.CancelFunc
	// all are the links, those too that others have replaced.
	all map[*connected]bool
	// draining is what servers are told of new links too; nil if the agent stays.
	draining *tunnel.Drain
	// certificates counts Reconnect: links that began before the last one are replaced.
	certificates int
	// received and sent are bytes of links that have ended.
	received, sent int64

	// comes is closed, and replaced, when there is a replica that was not there before.
	comes chan struct{}

	// told has something when a server has told something, or a link began or ended.
	told chan struct{}
	// firstKnown is the constant, but for tests.
	firstKnown time.Duration
}

// connected is a link to a replica.
type connected struct {
	id      string // of the replica
	way     carrier.Way
	session *mux.Session
	leaves  chan struct{} // closed when another link is to be made in its place
	once    sync.Once
	old     atomic.Bool // this side wants it replaced, and not the replica
	// certificate is which one it has, as the agent counts.
	certificate int
	news        atomic.Pointer[tunnel.News] // the last that the replica told
	// refused is why the replica does not use this link any more.
	refused atomic.Pointer[string]
}

// leave has another link made in its place.
func (c *connected) leave() { c.once.Do(func() { close(c.leaves) }) }

// replace has another link made in its place, and this one end when it carries nothing.
func (c *connected) replace() {
	c.old.Store(true)
	c.leave()
}

func (c *connected) leaving() bool {
	select {
	case <-c.leaves:
		return true
	default:
		return false
	}
}

// New returns an agent that does nothing before Run.
func New(config Config) (*Agent, error) {
	if len(config.Servers) == 0 || config.TLS == nil || config.Policy == nil {
		return nil, errors.New("tunnel agent: servers, TLS and a policy are required")
	}
	for _, address := range config.Servers {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("tunnel agent: %q is no HOST:PORT of a server", address)
		}
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Transport != "" {
		if err := config.Transport.Validate(); err != nil {
			return nil, fmt.Errorf("tunnel agent: %w", err)
		}
	}
	if config.PingEvery == 0 {
		config.PingEvery = 5 * time.Second
	}
	if config.Info.Instance == "" {
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails
		config.Info.Instance = hex.EncodeToString(random[:])
	}
	return &Agent{
		config: config, dialer: &carrier.Dialer{Way: config.Transport, Connect: config.DialServer},
		links: map[string]*connected{}, all: map[*connected]bool{}, keepers: map[string][]context.CancelFunc{}, told: make(chan struct{}, 1),
		comes: make(chan struct{}), firstKnown: firstKnown,
	}, nil
}

// Run keeps links until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait() // what runs in it ends with ctx
	a.keep(ctx, &all, nil)
	var before []tunnel.Replica
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.told:
			now := a.replicas()
			a.keep(ctx, &all, now)
			a.welcome(before, now)
			before = now
		}
	}
}

// keep has as many links kept as there are replicas: to those that have an address of their own by that, and to the
// others by the common ones.
func (a *Agent) keep(ctx context.Context, all *sync.WaitGroup, replicas []tunnel.Replica) {
	wanted := map[string]int{}
	for _, address := range a.config.Servers {
		wanted[address] = 1
	}
	nameless := 0
	for _, r := range replicas[:min(len(replicas), maxReplicas)] {
		if _, _, err := net.SplitHostPort(r.Address); err == nil {
			wanted[r.Address] = max(1, wanted[r.Address])
		} else {
			nameless++
		}
	}
	wanted[a.config.Servers[0]] = max(1, nameless-len(a.config.Servers)+1)
	for address, n := range wanted {
		for len(a.keepers[address]) < n {
			keeping, stop := context.WithCancel(ctx)
			a.keepers[address] = append(a.keepers[address], stop)
			all.Go(func() { a.keepOne(keeping, all, address) }) // ends with keeping
		}
	}
	for address, keepers := range a.keepers {
		for _, stop := range keepers[min(len(keepers), wanted[address]):] {
			stop()
		}
		a.keepers[address] = slices.Clip(keepers[:min(len(keepers), wanted[address])])
	}
}

// errKnown: there is a link to the replica.
var errKnown = errors.New("there is a link to this replica")

// errLeaves: the replica will go, or the link is to be replaced by one with another certificate; what it carries goes on.
var errLeaves = errors.New("another is made for what is new")

// RefusedError is why a server wants no link of an agent whose certificate is valid.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string {
	return "the server refuses this agent: " + e.Reason
}

// link makes a link, and returns when it has ended or is to be replaced, with the replica's id and the reason. id is
// empty if there was no link.
func (a *Agent) link(ctx context.Context, all *sync.WaitGroup, address string) (id string, err error) {
	c := &connected{leaves: make(chan struct{})}
	if err = a.connect(ctx, address, c); err != nil {
		return "", err
	}
	before, ok := a.add(c)
	if !ok {
		_ = c.session.Close()
		return c.id, errKnown
	}
	a.config.Logger.Info("Linked", "server", address, "replica", c.id, "way", string(c.way))
	if before != nil && before.old.Load() {
		all.Go(func() { a.retire(ctx, before) }) // ends with ctx
	}
	stop := context.AfterFunc(ctx, func() { _ = c.session.Close() })
	all.Go(func() { // ends with the session, which ends with ctx
		<-c.session.Ended()
		stop()
		a.remove(c)
	})
	select {
	case <-c.session.Ended():
		return c.id, c.session.Err()
	case <-c.leaves:
		if reason := c.refused.Load(); reason != nil {
			_ = c.session.Close()
			return c.id, &RefusedError{*reason}
		}
		return c.id, errLeaves
	}
}

// add has a link used, and returns the one that it replaces, if it does. It reports whether there was none to the
// replica, but for one that is leaving.
func (a *Agent) add(c *connected) (before *connected, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before = a.links[c.id]
	if before != nil && !before.leaving() {
		return before, false
	}
	a.links[c.id] = c
	a.all[c] = true
	if c.certificate != a.certificates { // there was another while it was made
		c.replace()
	}
	if a.draining != nil {
		_ = c.session.Drain(a.draining)
	}
	a.stir()
	return before, true
}

func (a *Agent) remove(c *connected) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, c)
	received, sent := c.session.Traffic()
	a.received += received
	a.sent += sent
	if a.links[c.id] == c {
		delete(a.links, c.id)
		a.stir()
	}
}

// retire ends a link that was replaced, once it carries nothing.
func (a *Agent) retire(ctx context.Context, c *connected) {
	_ = c.session.Drain(tunnel.Drain{}) // fails only if it has ended
	began := time.Now()
	check := time.NewTicker(replacedCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.session.Ended():
			return
		case <-check.C:
			if time.Since(began) >= replacedGrace && c.session.CloseIdle() {
				return
			}
		}
	}
}

// Reconnect replaces all links, one by one: with the certificate that TLS returns now. What they carry goes on, and nothing
// is without a link meanwhile.
func (a *Agent) Reconnect() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.certificates++
	for _, c := range a.links {
		c.replace()
	}
}

// Status is what an agent does.
type Status struct {
	// Links are by the id of their replica; those that others have replaced are among them while they carry something.
	Links []LinkStatus
	// Received and Sent are bytes of all links that there have been.
	Received, Sent int64
}

// LinkStatus is one link.
type LinkStatus struct {
	Replica string
	Way     carrier.Way
	// Streams are open; Received and Sent are bytes.
	Streams        int
	Received, Sent int64
	RoundTrip      time.Duration
}

// Status returns what the agent does now.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Status{Received: a.received, Sent: a.sent}
	for c := range a.all {
		received, sent := c.session.Traffic()
		s.Links = append(s.Links, LinkStatus{c.id, c.way, c.session.Streams(), received, sent, c.session.RoundTrip()})
		s.Received += received
		s.Sent += sent
	}
	slices.SortFunc(s.Links, func(a, b LinkStatus) int { return strings.Compare(a.Replica, b.Replica) })
	return s
}

// Streams are how many are carried.
func (s Status) Streams() int {
	n := 0
	for _, l := range s.Links {
		n += l.Streams
	}
	return n
}

// Replicas are the ids of those to which there are links.
func (a *Agent) Replicas() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := make([]string, 0, len(a.links))
	for id := range a.links {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Drain tells servers that the agent will go: they take others for new streams. What one wants all the same is refused from now on, since it would be
// lost when the agent ends; nothing was sent, so that the server may ask another.
func (a *Agent) Drain(within time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = &tunnel.Drain{UntilMillis: within.Milliseconds()}
	for c := range a.all {
		_ = c.session.Drain(a.draining)
	}
}

// accept connects what a server asks for, unless the agent will go.
func (a *Agent) accept(ctx context.Context, in *mux.Incoming) {
	a.mu.Lock()
	going := a.draining != nil
	a.mu.Unlock()
	if going {
		in.Refuse(mux.Draining, "the agent is shutting down")
		return
	}
	a.config.Policy.serve(ctx, in)
}

// connect makes c a session with a server.
func (a *Agent) connect(ctx context.Context, address string, c *connected) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	a.mu.Lock()
	c.certificate = a.certificates
	a.mu.Unlock()
	config, err := a.config.TLS()
	if err != nil {
		return err
	}
	config = config.Clone()
	config.NextProtos = []string{tunnel.ALPN}
	conn, err := a.dialer.Dial(ctx, address, config)
	if err != nil {
		return err
	}
	info, err := json.Marshal(a.config.Info)
	if err != nil {
		_ = conn.Close()
		return err
	}
	c.way = conn.Way
	c.session, err = mux.New(ctx, conn.Conn, conn.Batch, mux.Config{
		Made: true, Hello: mux.Hello{Info: info}, Accept: a.accept, MaxStreams: a.config.MaxStreams,
		PingEvery: a.config.PingEvery, DeadAfter: 3 * a.config.PingEvery,
		OnNews: func(text json.RawMessage) { a.hear(c, text) }, OnDrain: func(json.RawMessage) { c.leave() },
	})
	if err != nil {
		return carrier.Explain(err) // what a server says of a certificate comes with the first bytes
	}
	var server tunnel.ServerInfo
	switch err := json.Unmarshal(c.session.Peer.Info, &server); {
	case err == nil && server.Refused != "":
		_ = c.session.Close()
		return &RefusedError{server.Refused}
	case err != nil || server.ID == "":
		_ = c.session.Close()
		return errors.New("the server does not say which replica it is")
	}
	c.id = server.ID
	return nil
}

// hear takes news of a replica.
func (a *Agent) hear(c *connected, text json.RawMessage) {
	var news tunnel.News
	if json.Unmarshal(text, &news) != nil {
		return
	}
	if news.Refused != "" {
		c.refused.Store(&news.Refused)
		c.leave()
		return
	}
	c.news.Store(&news)
	a.stir()
}

// stir has the links that are kept decided anew.
func (a *Agent) stir() {
	select {
	case a.told <- struct{}{}:
	default:
	}
}

// replicas are all that any replica tells of: one that has just begun may know itself only.
func (a *Agent) replicas() []tunnel.Replica {
	a.mu.Lock()
	defer a.mu.Unlock()
	byID := map[string]tunnel.Replica{}
	for _, c := range a.links {
		news := c.news.Load()
		if news == nil {
			continue
		}
		for _, r := range news.Replicas[:min(len(news.Replicas), maxReplicas)] {
			if byID[r.ID].Address == "" {
				byID[r.ID] = r
			}
		}
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b tunnel.Replica) int { return strings.Compare(a.ID, b.ID) })
}
