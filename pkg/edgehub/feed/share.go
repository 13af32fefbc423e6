package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// What the node itself wants is as large as it is. How large that is which pods alone want is decided by whoever may write to a cluster, so there are bounds: of all their views together, of those of one account, and
// of lists while they are read.
const (
	// DefaultBytes is how much all views may have that pods alone want, and DefaultBytesOf how much those may of one account, as the JSON of their objects. No list of an account is larger.
	DefaultBytes, DefaultBytesOf = 256 << 20, 64 << 20
	// lists is how many lists are read at a time: a node that comes back has hundreds of views. Of these pods have listsOfPods, and one account listsOf, so that nobody who answers them slowly keeps the node waiting.
	lists, listsOfPods, listsOf = 16, 12, 2
)

// payer is who is counted for a view; empty for the node.
func (p *Pool) payer(f *filled) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.local {
		return ""
	}
	return f.Owner
}

// turn waits until there may be one more list for whoever is counted for a view.
func (p *Pool) turn(ctx context.Context, f *filled) (done func(), err error) {
	return p.turns.take(ctx, p.payer(f))
}

// largeTurn waits until there may be one more large list: one of the node and one of pods are.
func (p *Pool) largeTurn(ctx context.Context, f *filled) (done func(), err error) {
	if p.payer(f) == "" {
		return p.large.take(ctx, "")
	}
	return p.largeOfPods.take(ctx, "")
}

// claim notes who wants a view. mu must be held.
func (p *Pool) claim(key view.Key, f *filled, owner string) {
	if owner == "" {
		f.local, p.ofNode[key] = true, true
		delete(p.ofPods, key)
	} else if _, known := p.ofPods[key]; !known && !p.ofNode[key] {
		p.ofPods[key] = owner
	}
}

// holding is how much pods have of views, together and by account.
type holding struct {
	all int64
	of  map[string]int64
}

// holds returns how much there is of what pods alone want, of those views that are counted. mu must be held.
func (p *Pool) holds(counts func(view.Key) bool) holding {
	h := holding{of: map[string]int64{}}
	for key, owner := range p.ofPods {
		if counts(key) {
			n := p.config.Cache.Bytes(key)
			h.all += n
			h.of[owner] += n
		}
	}
	return h
}

// everyView counts all.
func everyView(view.Key) bool { return true }

// isRead reports whether somebody wants a view now. mu must be held.
func (p *Pool) isRead(key view.Key) bool { return p.feeds[key] != nil && p.feeds[key].users > 0 }

// spare sees to it that pods do not have all that they may already, if an account wants one view more. mu must be held.
func (p *Pool) spare(owner string) error {
	for p.holds(everyView).of[owner] >= p.config.BytesOf {
		if !p.forgetOf(owner, false) {
			return fullError(fmt.Sprintf("%s reads lists of %d MiB already, which is as much as one may", owner, p.config.BytesOf>>20))
		}
	}
	for p.holds(everyView).all >= p.config.Bytes {
		if !p.forgetOf("", false) {
			return fullError(fmt.Sprintf("lists of %d MiB are read for pods already, which is as much as there may be", p.config.Bytes>>20))
		}
	}
	return nil
}

// most returns how large a list may be for a view, and why it may not be larger: beside what is read, as the rest can go.
func (p *Pool) most(key view.Key, f *filled) (bytes int64, over error) {
	owner := p.payer(f)
	if owner == "" {
		return largest, fullError(fmt.Sprintf("it has more than %d MiB", largest>>20))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	read := p.holds(func(other view.Key) bool { return other != key && p.isRead(other) })
	one, all := p.config.BytesOf-read.of[owner], p.config.Bytes-read.all
	if all < one {
		return all, fullError(fmt.Sprintf("lists of more than %d MiB would be read for pods, which is as much as there may be", p.config.Bytes>>20))
	}
	return one, fullError(fmt.Sprintf("%s would read lists of more than %d MiB, which is as much as one may", owner, p.config.BytesOf>>20))
}

// shrink has pods have no more than they may: what is read grows.
func (p *Pool) shrink() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		h := p.holds(everyView)
		biggest := ""
		for owner, n := range h.of {
			if biggest == "" || n > h.of[biggest] {
				biggest = owner
			}
		}
		if h.all <= p.config.Bytes && h.of[biggest] <= p.config.BytesOf || !p.forgetOf(biggest, true) {
			return
		}
	}
}

// forgetOf forgets, of the views that an account alone wants, or pods alone if it is empty, the one that nobody has wanted for longest; or, if all are wanted now and those count, the largest. False if there is none. mu
// must be held.
func (p *Pool) forgetOf(owner string, wanted bool) bool {
	var (
		idlest, biggest view.Key
		since           time.Time
		most            int64
		idle            bool
	)
	for key, of := range p.ofPods {
		bytes := p.config.Cache.Bytes(key)
		if bytes == 0 || owner != "" && of != owner {
			continue
		}
		if at := p.wanted[key]; !p.isRead(key) && (!idle || at.Before(since)) {
			idlest, since, idle = key, at, true
		}
		if bytes > most {
			biggest, most = key, bytes
		}
	}
	switch {
	case idle:
		biggest = idlest
	case !wanted || most == 0:
		return false
	}
	if p.feeds[biggest] != nil {
		p.end(biggest)
	}
	p.forget(biggest)
	return true
}
