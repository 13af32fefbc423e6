package proxy

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// stillThere is how often it is looked whether a cell is where it was, while a request goes on.
const stillThere = 10 * time.Second

// whileThere returns what ends when a cell is not where it was, or may not be there, within
// stillThere. What it has there may be another's by then. stop ends the looking.
func (p *Proxies) whileThere(ctx context.Context, namespace, name string, was Cell) (there context.Context, stop func()) {
	there, end := context.WithCancelCause(ctx)
	var timer *time.Timer
	var mu sync.Mutex // guards timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(p.stillThere, func() {
		is, err := p.Cells.Cell(there, namespace, name)
		if err == nil && *is != was || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsServiceUnavailable(err) {
			end(apierrors.NewServiceUnavailable(fmt.Sprintf("cell %q of namespace %q is not there any more, or may not be", name, namespace)))
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
