package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// roleVariable is set, to a role as JSON, for processes that this program starts of itself.
const roleVariable = "KOINON_TUNNELBENCH_ROLE"

// role is what a process of this program is, if it is not the benchmark.
type role struct {
	// Play is server, agents or target.
	Play string
	// Dir has the certificates.
	Dir string
	// Listen is where the server takes links, Socket and Secure are where its front ends are.
	Listen, Socket, Secure string
	// Server is where the agents link, Agents how many there are. One alone is of theCluster.
	Server string
	Agents int
}

// player does what is asked for. ready is what it says first.
type player struct {
	ready answer
	do    func(context.Context, order) (answer, error)
	close func()
}

var plays = map[string]func(context.Context, role) (*player, error){
	"server": playServer, "agents": playAgents, "target": playTarget,
}

func isRole() bool { return os.Getenv(roleVariable) != "" }

// playRole plays until the input ends.
func playRole() int {
	if err := play(context.Background(), os.Getenv(roleVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func play(ctx context.Context, text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("%s: %w", roleVariable, err)
	}
	begin := plays[r.Play]
	if begin == nil {
		return fmt.Errorf("%s: there is no role %q", roleVariable, r.Play)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := begin(ctx, r)
	if err != nil {
		return err
	}
	defer p.close()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(p.ready); err != nil {
		return err
	}
	for lines := bufio.NewReader(os.Stdin); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // who started it has ended
		}
		var o order
		if err := json.Unmarshal(line, &o); err != nil {
			return err
		}
		a, err := answerTo(ctx, p, o)
		if err != nil {
			a.Err = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

func answerTo(ctx context.Context, p *player, o order) (answer, error) {
	if o.Work == workMemory {
		return answer{InUse: inUse()}, nil
	}
	return p.do(ctx, o)
}

// startRole starts a process of this program, and returns it with what it says first.
func (b *bench) startRole(ctx context.Context, dir, name string, r role) (*process, answer, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, answer{}, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, answer{}, err
	}
	p, err := start(dir, name, program, nil, []string{roleVariable + "=" + string(text)}, true)
	if err != nil {
		return nil, answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var ready answer
	if err := p.hear(ctx, &ready); err != nil {
		p.kill()
		return nil, answer{}, err
	}
	return p, ready, nil
}

// inUse is the memory of this process that is in use, when what is not has been given back.
func inUse() int64 {
	for range 3 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond) // finalizers and pools that were emptied
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
