package feed

import "context"

// lists is how many lists are read at a time: a node that comes back has hundreds of views. Of these pods have listsOfPods, and one account listsOf, so that nobody who answers them slowly keeps the node waiting.
const lists, listsOfPods, listsOf = 16, 12, 2

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
