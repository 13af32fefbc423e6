package peers

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

const (
	// maxPeers is how many servers there may be links to, and from.
	maxPeers = 64
	// maxStreams is how many streams of a link may be open.
	maxStreams = 10_000
	// maxReportTime bounds a report at the server that makes it.
	maxReportTime = 10 * time.Second
)

// Local is this server, as others ask for it.
type Local interface {
	// OpenHere dials over links that agents have with this server. Errors are *tunnel.DialError.
	OpenHere(ctx context.Context, name tunnel.Name, network, address string) (*mux.Stream, error)
	// ReportHere is what this server itself sees of a cluster, or of one node; probe has it dial the targets too.
	ReportHere(ctx context.Context, name tunnel.Name, probe bool) tunnel.Report
}

// Config says how a Mesh works. ID, TLS and Local are required.
type Config struct {
	// ID is this server's.
	ID string
	// TLS returns the certificate of this server for others, and the authority of theirs, anew for each connection.
	TLS   func() (*tls.Certificate, *x509.CertPool, error)
	Local Local
	// Heard, if not nil, is called when another server says something else of the agents of a node, or is gone.
	Heard func(tunnel.Name)
	// Budget bounds what links hold unread; nil has no bound.
	Budget *mux.Budget
	// PingEvery is 5 seconds by default; a link is dead after three times that.
	PingEvery time.Duration
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Mesh is what a server has of others. It may be used concurrently.
type Mesh struct {
	config Config
	dialer *carrier.Dialer
	// ctx ends with Close.
	ctx    context.Context
	cancel context.CancelFunc

	mu sync.Mutex
	// What follows is guarded by mu.

	peers    map[string]*peer // by id
	retired  map[*peer]bool   // whose Lease is gone, until their links are
	incoming map[string]*mux.Session
	own      names // of agents with links here
	feeds    map[*feed]bool
	draining *tunnel.Drain
	running  sync.WaitGroup
}

// New returns a Mesh that knows no other server.
func New(config Config) (*Mesh, error) {
	if config.TLS == nil || config.Local == nil {
		return nil, errors.New("links between servers: TLS and Local are required")
	}
	if _, err := tunnel.ServerURI(config.ID); err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.PingEvery == 0 {
		config.PingEvery = 5 * time.Second
	}
	m := &Mesh{
		config: config, dialer: &carrier.Dialer{Way: carrier.Direct, Connect: dialTCP},
		peers: map[string]*peer{}, retired: map[*peer]bool{}, incoming: map[string]*mux.Session{}, feeds: map[*feed]bool{},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m, nil
}

// Set says which servers there are. There is one link to each that has an address; who is not among them any more keeps
// his until it carries nothing.
func (m *Mesh) Set(replicas []tunnel.Replica) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return
	}
	wanted := map[string]string{}
	for _, r := range replicas {
		if _, _, err := net.SplitHostPort(r.Peer); err == nil && r.ID != m.config.ID && len(wanted) < maxPeers {
			wanted[r.ID] = r.Peer
		}
	}
	for id, p := range m.peers {
		if wanted[id] != p.address {
			delete(m.peers, id)
			m.retired[p] = true
			p.stop()
		}
	}
	for id, address := range wanted {
		if m.peers[id] != nil {
			continue
		}
		keeping, stop := context.WithCancel(m.ctx)
		p := &peer{mesh: m, id: id, address: address, stop: stop}
		m.peers[id] = p
		m.running.Go(func() { // ends when it was stopped and its link has ended, or with Close
			defer stop()
			p.keep(keeping)
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.retired, p)
		})
	}
}

// links are those that are up.
func (m *Mesh) links() []*Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	var links []*Link
	for p := range m.retired {
		if l := p.link.Load(); l != nil {
			links = append(links, l)
		}
	}
	for _, p := range m.peers {
		if l := p.link.Load(); l != nil {
			links = append(links, l)
		}
	}
	return links
}

// To returns the links by which a name is reached, the best first.
func (m *Mesh) To(name tunnel.Name) []*Link {
	type choice struct {
		*Link
		going, streams int
	}
	var choices []choice
	for _, l := range m.links() {
		if len(l.Agents(name)) == 0 {
			continue
		}
		c := choice{Link: l, streams: l.Streams()}
		if l.Going() {
			c.going = 1
		}
		choices = append(choices, c)
	}
	slices.SortFunc(choices, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.going, b.going), cmp.Compare(a.streams, b.streams), cmp.Compare(a.ID, b.ID))
	})
	links := make([]*Link, len(choices))
	for i, c := range choices {
		links[i] = c.Link
	}
	return links
}

// Agents are the instances of a name's agents at all servers, each once, and sorted.
func (m *Mesh) Agents(name tunnel.Name) []string {
	m.mu.Lock()
	all := slices.Clone(m.own.entries[name].Agents)
	m.mu.Unlock()
	for _, l := range m.links() {
		all = append(all, l.Agents(name)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Rival is the agent of a node that another server uses.
type Rival struct {
	Instance string
	Standing
}

// Rivals are those of a node at other servers that say how they stand.
func (m *Mesh) Rivals(name tunnel.Name) []Rival {
	var rivals []Rival
	for _, l := range m.links() {
		l.mu.RLock()
		e := l.names.entries[name]
		l.mu.RUnlock()
		if e.Standing != nil && len(e.Agents) == 1 {
			rivals = append(rivals, Rival{e.Agents[0], *e.Standing})
		}
	}
	return rivals
}

// Report is what this and all other servers see of a cluster, or of one node. ctx bounds it.
func (m *Mesh) Report(ctx context.Context, name tunnel.Name, probe bool) tunnel.Report {
	asked := map[string]*Link{}
	m.mu.Lock()
	for id, p := range m.peers {
		asked[id] = p.link.Load()
	}
	m.mu.Unlock()
	type answer struct {
		id     string
		report *tunnel.Report
		err    error
	}
	answers := make(chan answer, len(asked))
	for id, l := range asked {
		if l == nil {
			answers <- answer{id, nil, errors.New("there is no link to it: see the log of the server that was asked")}
			continue
		}
		go func() { // ends with ctx
			report, err := l.report(ctx, name, probe)
			answers <- answer{id, report, err}
		}()
	}
	all := m.config.Local.ReportHere(ctx, name, probe)
	for range asked {
		a := <-answers
		if a.err != nil {
			all.Silent = append(all.Silent, tunnel.Silent{Server: a.id, Reason: reason(a.err)})
			continue
		}
		for _, seen := range a.report.Seen[:min(len(a.report.Seen), maxSeen)] {
			seen.Server = a.id
			all.Seen = append(all.Seen, seen)
		}
		for _, refusal := range a.report.Refusals[:min(len(a.report.Refusals), maxSeen)] {
			refusal.Server = a.id
			all.Refusals = append(all.Refusals, refusal)
		}
	}
	slices.SortFunc(all.Silent, func(a, b tunnel.Silent) int { return cmp.Compare(a.Server, b.Server) })
	return all
}

func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer in time"
	}
	return err.Error()
}

// Peer is a link to another server.
type Peer struct {
	ID, Address string
	// Linked says whether the link is up; what follows is zero if not. Since is when it began.
	Linked         bool
	Since          time.Time
	Streams, Names int
	RoundTrip      time.Duration
}

// Peers are the other servers, by id.
func (m *Mesh) Peers() []Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Peer, 0, len(m.peers))
	for id, p := range m.peers {
		one := Peer{ID: id, Address: p.address}
		if l := p.link.Load(); l != nil {
			l.mu.RLock()
			one.Names = len(l.names.entries)
			l.mu.RUnlock()
			one.Linked, one.Since, one.Streams, one.RoundTrip = true, l.since, l.Streams(), l.RoundTrip()
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Drain tells other servers that this one will go: they ask others first.
func (m *Mesh) Drain(what tunnel.Drain) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.draining = &what
	for _, session := range m.incoming {
		_ = session.Drain(what)
	}
}

// Close ends all links, and waits until they have.
func (m *Mesh) Close() {
	m.mu.Lock()
	m.cancel()
	for _, session := range m.incoming {
		go session.Close()
	}
	m.mu.Unlock()
	m.running.Wait()
}
