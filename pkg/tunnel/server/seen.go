package server

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/peers"
)

const (
	// probeTimeout is how long one probe takes at most, and probesAtOnce how many there are: of those that are asked for, whoever asks, and of the server's own.
	probeTimeout, probesAtOnce = 5 * time.Second, 16
	// maxRefusals is of how many names it is kept why the last agent was refused.
	maxRefusals = 1000
)

// Report is what this server and all others see of a cluster and its nodes, or of one node if the name has one. With probe,
// agents are asked to dial their targets. ctx bounds it.
func (s *Server) Report(ctx context.Context, name tunnel.Name, probe bool) tunnel.Report {
	if s.mesh == nil {
		return s.reportHere(ctx, name, probe)
	}
	return s.mesh.Report(ctx, name, probe)
}

// Agents is how many agents a name has, at all servers: each counts once.
func (s *Server) Agents(name tunnel.Name) int {
	if s.mesh != nil {
		return len(s.mesh.Agents(name))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.instances(name))
}

// instances are those of a name's agents here, each once. mu must be held.
func (s *Server) instances(name tunnel.Name) []string {
	var found []string
	for _, l := range s.links[name] {
		if !l.beaten.Load() && !slices.Contains(found, l.info.Instance) {
			found = append(found, l.info.Instance)
		}
	}
	return found
}

// Peers are the other servers, by id.
func (s *Server) Peers() []peers.Peer {
	if s.mesh == nil {
		return nil
	}
	return s.mesh.Peers()
}

// Refusals is how often agents were refused since the start, by class of reason.
func (s *Server) Refusals() map[Class]int64 { return s.config.Refusals.Counts() }

// local is what other servers ask this one for.
type local struct{ *Server }

// OpenHere implements peers.Local.
func (l local) OpenHere(ctx context.Context, name tunnel.Name, network, address string) (*mux.Stream, error) {
	stream, err := l.dial(ctx, sorted(l.here(ctx, name)), name, network, address)
	l.counts.dialed(&l.counts.forOthers, err)
	return stream, err
}

// ReportHere implements peers.Local.
func (l local) ReportHere(ctx context.Context, name tunnel.Name, probe bool) tunnel.Report {
	return l.reportHere(ctx, name, probe)
}

// within reports whether a name is asked for: a cluster with its nodes, or one node.
func within(asked, name tunnel.Name) bool {
	return asked.Cluster == name.Cluster && (asked.Node == "" || asked.Node == name.Node)
}

func (s *Server) reportHere(ctx context.Context, name tunnel.Name, probe bool) tunnel.Report {
	var links []*link
	s.mu.Lock()
	for l := range s.all {
		if within(name, l.name) && !s.passing(l) {
			links = append(links, l)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(links, func(a, b *link) int {
		if c := strings.Compare(a.name.Node, b.name.Node); c != 0 {
			return c
		}
		return a.since.Compare(b.since)
	})
	report := tunnel.Report{Seen: make([]tunnel.Seen, len(links)), Refusals: s.config.Refusals.of(s.config.ID, name)}
	for i, l := range links {
		report.Seen[i] = l.seen(s.config.ID)
	}
	if probe {
		s.probeAll(ctx, s.probing, links, func(i int, p tunnel.Probe) { report.Seen[i].Probe = &p })
	}
	return report
}

// stays is after how long a link counts: an agent that looks for another server, by an address of all, ends what it made at once.
const stays = time.Second

// passing reports whether a link is one that its agent is about to end. mu must be held.
func (s *Server) passing(l *link) bool {
	return time.Since(l.since) < stays && slices.ContainsFunc(s.links[l.name], func(other *link) bool {
		return other != l && other.info.Instance == l.info.Instance && other.since.Before(l.since)
	})
}

func (l *link) seen(server string) tunnel.Seen {
	shown := l.shown()
	from, _, err := net.SplitHostPort(shown.From)
	if err != nil {
		from = shown.From
	}
	return tunnel.Seen{
		Server: server, Name: shown.Name, Agent: shown.Agent, From: from, Way: string(shown.Way), Since: shown.Since, ValidUntil: shown.ValidUntil,
		Draining: shown.Draining, Streams: shown.Streams, Received: shown.Received, Sent: shown.Sent, RoundTrip: shown.RoundTrip,
	}
}

// probeAll has agents dial their targets, as many at once as there are places, and returns when all have answered or ctx has ended. tell is called for each,
// by several at once.
func (s *Server) probeAll(ctx context.Context, places chan struct{}, links []*link, tell func(i int, p tunnel.Probe)) {
	var running sync.WaitGroup
	defer running.Wait()
	for i, l := range links {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			tell(i, tunnel.Probe{Target: tunnel.TargetOf(l.name), Error: "it was not asked: there was no time left for it"})
			continue
		}
		running.Go(func() {
			defer func() { <-places }()
			tell(i, s.probe(ctx, l))
		})
	}
}

// probe has one agent dial its target, and closes that.
func (s *Server) probe(ctx context.Context, l *link) tunnel.Probe {
	began := time.Now()
	p := tunnel.Probe{Target: tunnel.TargetOf(l.name)}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	stream, err := l.open(ctx, s.config.MaxStreams, tunnel.Request{Network: "tcp", Address: p.Target, TimeoutMillis: probeTimeout.Milliseconds()})
	p.Took = time.Since(began)
	switch {
	case err == nil:
		_ = stream.Close()
	case ctx.Err() != nil:
		p.Error = "the agent did not answer in time"
	default:
		p.Error = err.Error()
	}
	return p
}

// watch probes agents until ctx ends: those of names that have several here, where another can be chosen, and those that did not reach
// their targets.
func (s *Server) watch(ctx context.Context) {
	own := make(chan struct{}, probesAtOnce)
	ticker := time.NewTicker(s.config.ProbeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var links []*link
		s.mu.Lock()
		for _, of := range s.links {
			for _, l := range of {
				if len(of) > 1 || l.failing.Load() != 0 {
					links = append(links, l)
				}
			}
		}
		s.mu.Unlock()
		s.probeAll(ctx, own, links, func(int, tunnel.Probe) {}) // it is noted at the link
	}
}

// Class is the kind of reason for which an agent is refused.
type Class string

// The classes that there are.
const (
	// ClassCertificate: there is none, or it is of another authority or of another time, or says no name.
	ClassCertificate Class = "certificate"
	// ClassNotAllowed: it was revoked, or there is no such cluster.
	ClassNotAllowed Class = "not_allowed"
	// ClassLimit: its name has as many links as may be.
	ClassLimit Class = "limit"
	// ClassToken: a first certificate, or another, was refused.
	ClassToken Class = "token"
	// ClassProtocol: it does not speak as it should.
	ClassProtocol Class = "protocol"
	// ClassServer: another server was refused.
	ClassServer Class = "server"
)

// Refusals keep why agents were refused, of each name the last, and how often. The zero value is empty.
type Refusals struct {
	mu sync.Mutex
	// What follows is guarded by mu.

	last   map[tunnel.Name]tunnel.Refusal
	counts map[Class]int64
}

// Count counts one whose name is not known.
func (r *Refusals) Count(class Class) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(class)
}

// count is Count. mu must be held.
func (r *Refusals) count(class Class) {
	if r.counts == nil {
		r.counts = map[Class]int64{}
	}
	r.counts[class]++
}

// Note keeps one. The name has to be proved, or the reason has to say that it is not.
func (r *Refusals) Note(class Class, name tunnel.Name, from string, why error) {
	host, _, err := net.SplitHostPort(from)
	if err != nil {
		host = from
	}
	reason := why.Error()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(class)
	if r.last == nil {
		r.last = map[tunnel.Name]tunnel.Refusal{}
	}
	if _, known := r.last[name]; !known && len(r.last) >= maxRefusals {
		var oldest tunnel.Name
		at := time.Now()
		for n, one := range r.last {
			if !one.At.After(at) {
				oldest, at = n, one.At
			}
		}
		delete(r.last, oldest)
	}
	r.last[name] = tunnel.Refusal{Name: name, At: time.Now(), From: host, Reason: reason[:min(len(reason), maxRefusal)]}
}

// of are those of a cluster and its nodes, or of one node, by name.
func (r *Refusals) of(server string, asked tunnel.Name) []tunnel.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []tunnel.Refusal
	for name, one := range r.last {
		if within(asked, name) {
			one.Server = server
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b tunnel.Refusal) int { return strings.Compare(a.Name.Node, b.Name.Node) })
	return found
}

// Counts is how often agents were refused since the start, by class.
func (r *Refusals) Counts() map[Class]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// Dials counts connections that were wanted.
type Dials struct{ Opened, Failed int64 }

// Stats are counts since the start.
type Stats struct {
	// Own were wanted here, ForOthers by other servers of agents here, and HandedOn of other servers by this one; those are among Own.
	Own, ForOthers, HandedOn Dials
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	return Stats{s.counts.own.get(), s.counts.forOthers.get(), s.counts.handedOn.get()}
}

type dials struct{ opened, failed atomic.Int64 }

func (d *dials) get() Dials { return Dials{d.opened.Load(), d.failed.Load()} }

type counts struct{ own, forOthers, handedOn dials }

func (*counts) dialed(d *dials, err error) {
	if err == nil {
		d.opened.Add(1)
		return
	}
	d.failed.Add(1)
}
