// Package agent is the end of the tunnel at which targets are: it keeps links to the servers, and connects to what
// its policy allows.
//
// An Agent makes outgoing connections only. It believes servers what they may be reached at, and nothing about
// targets: what it does not allow is not dialed, whoever asks.
package agent

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

const (
	// connectTimeout is how long a connection to a server may take to become a link.
	connectTimeout = 15 * time.Second
	// firstPause and lastPause are what an agent waits before it tries again, at most: a random part of it.
	firstPause, lastPause = 50 * time.Millisecond, 5 * time.Second
	// lasting is how long a link has to last for the next try to be at once.
	lasting = 10 * time.Second
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
	// Info is what is said to servers.
	Info tunnel.AgentInfo
	// DialServer connects to servers; nil is directly, or by the HTTP proxy that the environment names.
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

	mu sync.Mutex
	// What follows is guarded by mu.

	links map[string]*connected // by the id of their replica
	// keepers are who keep links, by what they dial.
	keepers map[string][]context.CancelFunc

	// told has something when a server has told something, or a link began or ended.
	told chan struct{}
}

// connected is a link to a replica.
type connected struct {
	session *mux.Session
	leaves  chan struct{} // closed when the replica wants no more streams
	once    sync.Once
	news    atomic.Pointer[tunnel.News] // the last that the replica told
}

// leave notes that the replica wants no more streams.
func (c *connected) leave() { c.once.Do(func() { close(c.leaves) }) }

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
	if config.DialServer == nil {
		config.DialServer = dialServer
	}
	if config.PingEvery == 0 {
		config.PingEvery = 5 * time.Second
	}
	return &Agent{config: config, links: map[string]*connected{}, keepers: map[string][]context.CancelFunc{}, told: make(chan struct{}, 1)}, nil
}

// Run keeps links until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait() // what runs in it ends with ctx
	a.keep(ctx, &all, nil)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.told:
			a.keep(ctx, &all, a.replicas())
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

// keepOne keeps a link to one address.
func (a *Agent) keepOne(ctx context.Context, all *sync.WaitGroup, address string) {
	logger := a.config.Logger.With("server", address)
	pause := time.Duration(0)
	for wait(ctx, pause) {
		began := time.Now()
		id, err := a.link(ctx, all, address)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errKnown): // another replica is behind this address, if there is one
			logger.Debug("Met a replica that is known", "replica", id)
		case id == "":
			logger.Warn("Failed to connect", "err", err)
		default:
			logger.Info("Lost a link", "replica", id, "err", err)
		}
		if id != "" && time.Since(began) >= lasting {
			pause = 0
			continue
		}
		pause = next(pause)
	}
}

// next is how long a try may have to wait after one that waited for pause.
func next(pause time.Duration) time.Duration {
	return min(max(firstPause, pause*3/2), lastPause)
}

// wait waits for a random part of a pause, and reports whether to go on.
func wait(ctx context.Context, pause time.Duration) bool {
	if pause > 0 {
		pause = rand.N(pause) + 1
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// errKnown: there is a link to the replica.
var errKnown = errors.New("there is a link to this replica")

// errLeaves: the replica will go, and what its link carries goes on.
var errLeaves = errors.New("the replica wants no more streams")

// link makes a link, and returns when it has ended or is to be replaced, with the replica's id and the reason. id is
// empty if there was no link.
func (a *Agent) link(ctx context.Context, all *sync.WaitGroup, address string) (id string, err error) {
	c := &connected{leaves: make(chan struct{})}
	if id, err = a.connect(ctx, address, c); err != nil {
		return "", err
	}
	if !a.add(id, c) {
		_ = c.session.Close()
		return id, errKnown
	}
	a.config.Logger.Info("Linked", "server", address, "replica", id)
	stop := context.AfterFunc(ctx, func() { _ = c.session.Close() })
	all.Go(func() { // ends with the session, which ends with ctx
		<-c.session.Ended()
		stop()
		a.remove(id, c)
	})
	select {
	case <-c.session.Ended():
		return id, c.session.Err()
	case <-c.leaves:
		return id, errLeaves
	}
}

// add reports whether there was no link to the replica; one that is leaving does not count.
func (a *Agent) add(id string, c *connected) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.links[id]; before != nil && !before.leaving() {
		return false
	}
	a.links[id] = c
	a.stir()
	return true
}

func (a *Agent) remove(id string, c *connected) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.links[id] == c {
		delete(a.links, id)
		a.stir()
	}
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

// Drain tells servers that the agent will go: they take others for new streams.
func (a *Agent) Drain(within time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.links {
		_ = c.session.Drain(tunnel.Drain{UntilMillis: within.Milliseconds()})
	}
}

// connect makes c a session with a server, and returns the replica's id.
func (a *Agent) connect(ctx context.Context, address string, c *connected) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := a.config.DialServer(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	mux.Tune(conn)
	batch := mux.NewBatch(conn)
	secure, err := a.secure(ctx, batch, address)
	if err != nil {
		_ = conn.Close()
		return "", err
	}
	info, err := json.Marshal(a.config.Info)
	if err != nil {
		_ = conn.Close()
		return "", err
	}
	c.session, err = mux.New(ctx, secure, batch, mux.Config{
		Made: true, Hello: mux.Hello{Info: info}, Accept: a.config.Policy.serve, MaxStreams: a.config.MaxStreams,
		PingEvery: a.config.PingEvery, DeadAfter: 3 * a.config.PingEvery,
		OnNews: func(text json.RawMessage) { a.hear(c, text) }, OnDrain: func(json.RawMessage) { c.leave() },
	})
	if err != nil {
		return "", err
	}
	var server tunnel.ServerInfo
	if json.Unmarshal(c.session.Peer.Info, &server) != nil || server.ID == "" {
		_ = c.session.Close()
		return "", errors.New("the server does not say which replica it is")
	}
	return server.ID, nil
}

// secure makes TLS of a connection.
func (a *Agent) secure(ctx context.Context, conn net.Conn, address string) (*tls.Conn, error) {
	config, err := a.config.TLS()
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	config.NextProtos = []string{tunnel.ALPN}
	config.DynamicRecordSizingDisabled = true
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("the server's certificate or its protocol: %w", err)
	}
	if secure.ConnectionState().NegotiatedProtocol != tunnel.ALPN {
		return nil, fmt.Errorf("what answers does not speak %s", tunnel.ALPN)
	}
	return secure, nil
}

// hear takes news of a replica.
func (a *Agent) hear(c *connected, text json.RawMessage) {
	var news tunnel.News
	if json.Unmarshal(text, &news) != nil {
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
