package agent

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
)

// Of each pause a random part is waited, so that agents which lost a server together do not come back together.
//
// Two things are weighed. A try that a server answers costs it a handshake, about a millisecond of a processor: a thousand agents whose
// certificates it does not take, once in 2.5 s each by both ways, cost most of one. A try that is refused or reset costs nobody more
// than two packets. While a server is away all tries are such, and an agent should be back soon after the server is: within 2 s
// after 15 s. With at most 1.5 s, a thousand agents are 2,700 refused connections a second, and half a second is left for the handshake. Who is away for longer
// than that waits a tenth of it, so that a server which stays away is asked less: up to 5 s, from 50 s on.
const (
	// firstPause and lastPause are what an agent waits before it tries again, at most.
	firstPause, lastPause = 50 * time.Millisecond, 5 * time.Second
	// awayPause is lastPause while nobody answers; or it is the awayPart of the time since there was a link, if that is more.
	awayPause, awayPart = 1500 * time.Millisecond, 10
	// firstKnown and knownPause are what it waits, at most, if it meets only replicas that it knows: those that it does not reach
	// have others hand on what is for it. When another replica comes it begins again.
	firstKnown, knownPause = 200 * time.Millisecond, time.Minute
	// lasting is how long a link has to last for the next try to be at once.
	lasting = 10 * time.Second
)

// keepOne keeps a link to one address.
func (a *Agent) keepOne(ctx context.Context, all *sync.WaitGroup, address string) {
	logger := a.config.Logger.With("server", address)
	pause, away := time.Duration(0), time.Now()
	var comes <-chan struct{} // nil if that does not matter
	for {
		if wait(ctx, pause, comes) {
			logger.Debug("There is another replica")
			pause, comes = firstKnown, nil // all agents hear of it together
			continue
		}
		if ctx.Err() != nil {
			return
		}
		next := a.coming()
		comes = nil
		began := time.Now()
		var refused *RefusedError
		id, err := a.link(ctx, all, address)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errKnown): // another replica is behind this address, if there is one
			logger.Debug("Met a replica that is known", "replica", id)
			pause, comes = max(a.firstKnown, min(2*pause, knownPause)), next
			continue
		case errors.Is(err, errLeaves):
			logger.Info("Replacing a link", "replica", id, "err", err)
		case errors.As(err, &refused):
			logger.Error("Refused by the server", "err", err)
			pause = refusedPause
			continue
		case id == "":
			logger.Warn("Failed to connect", "err", err)
		default:
			logger.Info("Lost a link", "replica", id, "err", err)
		}
		if id != "" {
			away = time.Now()
			if time.Since(began) >= lasting {
				pause = 0
				continue
			}
		}
		pause = nextPause(pause, time.Since(away), err)
	}
}

// nextPause is how long a try may have to wait after one that waited for pause and failed. away is how long there has been no link.
func nextPause(pause, away time.Duration, failed error) time.Duration {
	most := lastPause
	var unanswered *carrier.UnansweredError
	if errors.As(failed, &unanswered) {
		most = min(max(awayPause, away/awayPart), lastPause)
	}
	return min(max(firstPause, pause*3/2), most)
}

// wait waits for a random part of a pause, or until ctx ends, or until another replica comes, which it reports.
func wait(ctx context.Context, pause time.Duration, comes <-chan struct{}) (came bool) {
	if pause > 0 {
		pause = mathrand.N(pause) + 1
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-comes:
		return ctx.Err() == nil
	}
	return false
}

// coming is closed when another replica comes.
func (a *Agent) coming() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.comes
}

// welcome has those look again who met only replicas that are known, if there is one now that there was not before.
func (a *Agent) welcome(before, now []tunnel.Replica) {
	for _, r := range now {
		if slices.ContainsFunc(before, func(b tunnel.Replica) bool { return b.ID == r.ID }) {
			continue
		}
		a.mu.Lock()
		if a.links[r.ID] == nil {
			close(a.comes)
			a.comes = make(chan struct{})
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
	}
}
