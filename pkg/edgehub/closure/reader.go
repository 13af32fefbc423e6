package closure

import (
	"context"
	"sync"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// reader reads a view for the closure itself.
type reader struct {
	*Closure
	key view.Key

	mine  sync.Mutex
	state func() (bool, error) // guarded by mine
}

// hindered returns what hinders the view, nil if nothing is known to.
func (r *reader) hindered() error {
	r.mine.Lock()
	state := r.state
	r.mine.Unlock()
	if state == nil {
		return nil // it begins
	}
	_, err := state()
	return err
}

// read tells what there is, all of it, and then what becomes of it, until ctx ends. forgotten is called when the view is, and is read anew: what there is may be of another cluster.
func (r *reader) read(ctx context.Context, all func([]*view.Object), some func([]view.Event), forgotten func()) {
	for ctx.Err() == nil {
		v := r.config.View(r.key)
		state, done := r.config.Want(ctx, r.key, r.path())
		r.mine.Lock()
		r.state = state
		r.mine.Unlock()
		follow(ctx, v, all, some)
		done()
		if ctx.Err() == nil {
			forgotten()
		}
	}
}

// path is that of the list upstream.
func (r *reader) path() string {
	if r.key.Group == "" {
		return "/api/" + r.key.Version + "/" + r.key.Resource
	}
	return "/apis/" + r.key.Group + "/" + r.key.Version + "/" + r.key.Resource
}

// follow tells what a view has, all of it, and then what becomes of it, until ctx ends or it is forgotten.
func follow(ctx context.Context, v *view.View, all func([]*view.Object), some func([]view.Event)) {
	for ctx.Err() == nil && v.Await(ctx) == nil {
		list, version, err := v.List()
		if err != nil {
			return // it was forgotten just now
		}
		w, err := v.Watch(version)
		if err != nil {
			continue
		}
		all(list)
		for {
			events, err := w.Next(ctx)
			if err != nil {
				break // ctx has ended, or it has to be listed
			}
			some(events)
		}
	}
}
