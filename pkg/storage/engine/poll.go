package engine

import (
	"context"
	"time"
)

// Notices are how processes that share a log tell each other that they have written;
// package notice has them. A nil one means that there are no other processes.
type Notices interface {
	// Send tells the others of a revision, and does not wait.
	Send(revision int64)
	// Received gets the revisions of the others.
	Received() <-chan int64
	// Peers is how many others there are.
	Peers() int
}

const (
	// quickPoll is the pause between polls when notices do not arrive.
	quickPoll = 25 * time.Millisecond
	// noticePause is how long a poll that a notice asked for is put off after the one
	// before: what is written meanwhile is read together.
	noticePause = 5 * time.Millisecond
	// unnoticedPolls is how many polls in a row find something that no notice announced,
	// until notices are no longer relied on.
	unnoticedPolls = 3
)

// poller looks for other processes' writes when nothing else does.
type poller struct {
	engine   *Engine
	received <-chan int64
	// unnoticed counts polls that found what no notice had announced.
	unnoticed int
}

// runPoll polls when a notice comes, and now and then without one. If notices do not come
// although others write, it polls often.
func (e *Engine) runPoll(ctx context.Context) {
	p := &poller{engine: e}
	if e.options.Notices != nil {
		p.received = e.options.Notices.Received()
	}
	for {
		select {
		case revision := <-p.received:
			p.unnoticed = 0
			if revision > e.state.mark().Tail {
				_ = e.sync.wait(ctx) // health has the error
				pause(ctx, noticePause)
			}
		case <-time.After(p.interval()):
			p.poll(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (p *poller) interval() time.Duration {
	if p.unnoticed >= unnoticedPolls && p.engine.options.Notices.Peers() > 0 {
		return min(quickPoll, p.engine.options.Poll)
	}
	return p.engine.options.Poll
}

func (p *poller) poll(ctx context.Context) {
	before := p.engine.foreign.Load()
	_ = p.engine.sync.wait(ctx) // health has the error
	if p.received == nil || p.engine.foreign.Load() == before {
		return
	}
	if p.unnoticed++; p.unnoticed == unnoticedPolls {
		p.engine.logger.Info("Asked the datastore often, since notices of other servers do not arrive: they are UDP datagrams to the address that reaches the datastore", "interval", quickPoll)
	}
}

// pause waits, or returns early with the context.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
