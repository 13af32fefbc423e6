package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"strconv"

	"github.com/koinon-io/koinon/test/bench/report"
)

// memory is what agents cost a server that do nothing, and connections that carry nothing.
func (w *world) memory(ctx context.Context, s *sheet) error {
	if err := w.populate(ctx, 0); err != nil {
		return err
	}
	n := w.number(1000, 50)
	w.Say("%d idle agents", n)
	if err := w.idleAgents(ctx, s, n); err != nil {
		return err
	}
	w.Say("%d idle connections", n)
	return w.idleConnections(ctx, s, n)
}

// footprints adds what one of many costs.
func (s *sheet) footprints(group, column, where string, f footprint, n int) {
	each := func(bytes int64) float64 { return float64(bytes) / float64(n) / kibi }
	s.add(column, report.Measure{Group: group, Name: where + ", heap and stacks", Unit: "KiB"}, each(f.inUse))
	s.add(column, report.Measure{Group: group, Name: where + ", resident", Unit: "KiB"}, each(f.resident))
}

func (w *world) idleAgents(ctx context.Context, s *sheet, n int) error {
	const group = "Memory of the server for one of many idle agents"
	// One has come and gone: what is needed once is there.
	if err := w.grow(ctx, s, group, wayConnect, w.ours, func() (func(), error) { return w.ourAgents(ctx, 2) }, 0); err != nil {
		return err
	}
	if err := w.grow(ctx, s, group, wayConnect, w.ours, func() (func(), error) { return w.ourAgents(ctx, n) }, n); err != nil {
		return err
	}
	m := report.Measure{Group: group, Name: "server, heap and stacks", Unit: "KiB"}
	s.atMost("memory of the server for an idle agent, KiB", s.Median(wayConnect, m), 50)
	if w.theirs == nil {
		return nil
	}
	if err := w.grow(ctx, s, group, wayTheirs, w.theirs, func() (func(), error) { return w.theirAgents(ctx, 2) }, 0); err != nil {
		return err
	}
	return w.grow(ctx, s, group, wayTheirs, w.theirs, func() (func(), error) { return w.theirAgents(ctx, n) }, n)
}

// grow measures by how much a server grows by something, which ends then. It is not told of if counted, how many there are, is 0.
func (w *world) grow(ctx context.Context, s *sheet, group, column string, t tunnelUnderTest, by func() (func(), error), counted int) error {
	before, _, err := t.memory(ctx)
	if err != nil {
		return err
	}
	end, err := by()
	if err != nil {
		return err
	}
	after, _, err := t.memory(ctx)
	end()
	if err != nil {
		return err
	}
	if counted > 0 {
		s.footprints(group, column, "server", after.minus(before), counted)
	}
	return t.linked(ctx, 0)
}

func (w *world) ourAgents(ctx context.Context, n int) (end func(), err error) {
	p, _, err := w.startRole(ctx, w.dir, "our-agents", role{Play: "agents", Dir: w.dir, Server: w.ours.listen, Agents: n})
	if err != nil {
		return nil, err
	}
	if err := w.ours.linked(ctx, n); err != nil {
		p.kill()
		return nil, err
	}
	return p.kill, nil
}

func (w *world) theirAgents(ctx context.Context, n int) (end func(), err error) {
	p, err := start(w.dir, "their-agents", w.bench.theirs, append([]string{"agents", "--agents=" + strconv.Itoa(n)}, w.theirs.agentFlags(0)...), nil, false)
	if err != nil {
		return nil, err
	}
	if err := w.theirs.linked(ctx, n); err != nil {
		p.kill()
		return nil, err
	}
	return p.kill, nil
}

// idleConnections are held by each way, and by the front end with TLS.
func (w *world) idleConnections(ctx context.Context, s *sheet, n int) error {
	const group = "Memory for one of many idle connections"
	if err := w.ours.startInHouse(ctx); err != nil {
		return err
	}
	for _, t := range []*theirs{w.theirs, w.theirsRPC} {
		if t == nil {
			continue
		}
		t.agents = append(t.agents, nil)
		if err := t.startAgent(ctx, 0); err != nil {
			return err
		}
		if err := t.linked(ctx, 1); err != nil {
			return err
		}
	}
	for _, y := range w.ways {
		if y.tunnel == nil {
			continue
		}
		server, agent, err := w.held(ctx, y, n)
		if err != nil {
			return fmt.Errorf("%s: %w", y.name, err)
		}
		s.footprints(group, y.name, "server", server, n)
		s.footprints(group, y.name, "agent", agent, n)
		if y.name == wayConnect {
			s.atMost("memory of the server for an idle connection, KiB", float64(server.inUse)/float64(n)/kibi, 8)
		}
	}
	pair, err := loadPair(w.dir, agentTLS)
	if err != nil {
		return err
	}
	pool, err := loadPool(w.dir, serversCA)
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: "127.0.0.1"}
	secure := &way{wayConnect, w.addresses[addressTCP], (&worker{dial: throughConnect("tcp", w.ours.secure, config)}).do, w.ours}
	server, _, err := w.held(ctx, secure, n)
	if err != nil {
		return fmt.Errorf("front end with TLS: %w", err)
	}
	s.footprints(group, wayConnect, "server with a front end of TLS", server, n)
	return nil
}

// held returns by how much connections have server and agent grow. A few were there before.
func (w *world) held(ctx context.Context, y *way, n int) (server, agent footprint, err error) {
	hold := func(n int) error {
		_, err := y.do(ctx, order{Work: workHold, Address: y.address, Streams: n})
		return err
	}
	if err := hold(10); err != nil {
		return server, agent, err
	}
	before, agentBefore, err := y.tunnel.memory(ctx)
	if err != nil {
		return server, agent, err
	}
	if err := hold(10 + n); err != nil {
		return server, agent, err
	}
	after, agentAfter, err := y.tunnel.memory(ctx)
	if err != nil {
		return server, agent, err
	}
	return after.minus(before), agentAfter.minus(agentBefore), hold(0)
}
