package proxy

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
)

// stillThere is how often it is looked whether a cell is where it was, while a request goes on.
const stillThere = 10 * time.Second

// place is where a cell was when somebody began to use it.
type place struct {
	namespace, name string
	cell            Cell
	caller          user.Info
	// controller: the caller is the account of the cell.
	controller bool
}

// whileThere returns what ends when a cell is not where it was, or may not be there, or the
// credential of its account was revoked, within stillThere. What it has there may be another's by then.
// stop ends the looking.
func (p *Proxies) whileThere(ctx context.Context, was place) (there context.Context, stop func()) {
	there, end := context.WithCancelCause(ctx)
	var timer *time.Timer
	var mu sync.Mutex // guards timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(p.stillThere, func() {
		if was.controller {
			if err := p.Cells.Revoked(was.namespace, was.name, was.caller); err != nil {
				end(err)
				return
			}
		}
		is, err := p.Cells.Cell(there, was.namespace, was.name)
		if err == nil && *is != was.cell || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsServiceUnavailable(err) {
			end(apierrors.NewServiceUnavailable(fmt.Sprintf("cell %q of namespace %q is not there any more, or may not be", was.name, was.namespace)))
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if there.Err() == nil {
			timer.Reset(p.stillThere)
		}
	})
	return there, func() {
		end(nil)
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
	}
}
