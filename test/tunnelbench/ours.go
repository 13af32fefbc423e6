package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// ours is our server, and koinon-agent.
type ours struct {
	*bench
	dir, socket string
	// listen and secure are where the server listens, once it has; far is what agents connect to.
	listen, secure, far string
	server              *process
	agents              []*process
	// inHouse: the one agent is a process of this program, whose memory can be asked for.
	inHouse bool
}

// startOurs starts a server with so many agents.
func (w *world) startOurs(ctx context.Context, agents int) (*ours, error) {
	o := &ours{bench: w.bench, dir: w.dir, socket: filepath.Join(w.dir, "ours.sock"), listen: "127.0.0.1:0", secure: "127.0.0.1:0"}
	if err := o.startServer(ctx); err != nil {
		return nil, err
	}
	var err error
	if o.far, err = w.far(o.listen); err != nil {
		o.close()
		return nil, err
	}
	for i := range agents {
		o.agents = append(o.agents, nil)
		if err := o.startAgent(ctx, i); err != nil {
			o.close()
			return nil, err
		}
	}
	if err := o.linked(ctx, agents); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *ours) startServer(ctx context.Context) error {
	p, ready, err := o.startRole(ctx, o.dir, "our-server", role{Play: "server", Dir: o.dir, Listen: o.listen, Socket: o.socket, Secure: o.secure})
	if err != nil {
		return err
	}
	o.server, o.listen, o.secure = p, ready.Addresses["links"], ready.Addresses["secure"]
	return nil
}

// startAgent starts koinon-agent: the first time with a token.
func (o *ours) startAgent(ctx context.Context, i int) error {
	name := "our-agent-" + strconv.Itoa(i)
	state, token := filepath.Join(o.dir, name), filepath.Join(o.dir, name+".token")
	if _, err := os.Stat(token); errors.Is(err, os.ErrNotExist) {
		a, err := o.server.call(ctx, order{Work: workToken})
		if err != nil {
			return err
		}
		if err := os.WriteFile(token, []byte(a.Text), 0o600); err != nil {
			return err
		}
	}
	p, err := start(o.dir, name, o.agent, []string{
		"--server", o.far, "--ca-file", filepath.Join(o.dir, serversCA+".crt"), "--state-dir", state, "--token-file", token, "--allow", "127.0.0.1:*", "--transport", "direct",
	}, nil, false)
	if err != nil {
		return err
	}
	o.agents[i] = p
	return nil
}

// startInHouse starts an agent of this program instead: koinon-agent takes no orders.
func (o *ours) startInHouse(ctx context.Context) error {
	p, _, err := o.startRole(ctx, o.dir, "our-agent", role{Play: "agents", Dir: o.dir, Server: o.far, Agents: 1})
	if err != nil {
		return err
	}
	o.agents, o.inHouse = append(o.agents, p), true
	return o.linked(ctx, 1)
}

func (o *ours) killServer()     { o.server.kill() }
func (o *ours) killAgent(i int) { o.agents[i].kill() }

func (o *ours) pids() []int {
	pids := []int{o.server.pid()}
	for _, a := range o.agents {
		pids = append(pids, a.pid())
	}
	return pids
}

func (o *ours) linked(ctx context.Context, n int) error {
	var failed error
	err := eventually(ctx, fmt.Sprintf("%d agents are linked to our server", n), func() bool {
		var a answer
		a, failed = o.server.call(ctx, order{Work: workLinks})
		return failed != nil || a.Links == n
	})
	return errors.Join(failed, err)
}

func (o *ours) do(ctx context.Context, work order) (answer, error) { return o.server.call(ctx, work) }

func (o *ours) memory(ctx context.Context) (server, agent footprint, err error) {
	server, err = o.memoryOf(ctx, o.server)
	if err == nil && o.inHouse {
		agent, err = o.memoryOf(ctx, o.agents[0])
	}
	return server, agent, err
}

func (o *ours) memoryOf(ctx context.Context, p *process) (f footprint, err error) {
	a, err := p.call(ctx, order{Work: workMemory})
	if err != nil {
		return f, err
	}
	f.inUse = a.InUse
	f.resident, err = resident(p.pid())
	return f, err
}

func (o *ours) close() {
	for _, a := range o.agents {
		if a != nil {
			a.kill()
		}
	}
	if o.server != nil {
		o.server.kill()
	}
}

// profiled has the server's processor time noted while something is measured, if that is wanted.
func (o *ours) profiled(ctx context.Context, name string, measure func() error) error {
	if o.profiles == "" {
		return measure()
	}
	if err := os.MkdirAll(o.profiles, 0o755); err != nil {
		return err
	}
	file, err := filepath.Abs(filepath.Join(o.profiles, name+".pprof"))
	if err != nil {
		return err
	}
	if _, err := o.server.call(ctx, order{Work: workProfile, File: file}); err != nil {
		return err
	}
	err = measure()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, ended := o.server.call(ctx, order{Work: workProfile})
	return errors.Join(err, ended)
}
