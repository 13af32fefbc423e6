package workload

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// Name of object i.
func Name(i int) string { return fmt.Sprintf("web-%06d", i) }

// Create creates the objects from first to before limit, by that many clients at once,
// and returns how many a second that were.
func (t *Target) Create(ctx context.Context, namespace string, first, limit, clients int) (perSecond float64, err error) {
	var next atomic.Int64
	next.Store(int64(first))
	began := time.Now()
	err = t.clients(ctx, clients, func(ctx context.Context, _ int, c *client) error {
		for i := int(next.Add(1)) - 1; i < limit; i = int(next.Add(1)) - 1 {
			body := object(namespace, Name(i), t.template)
			if _, err := c.do(ctx, http.MethodPost, path(Stored, namespace, ""), "application/json", body); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(limit-first) / time.Since(began).Seconds(), err
}

// Clear deletes all objects of a namespace.
func (t *Target) Clear(ctx context.Context, namespace string) error {
	c, err := t.newClient(false)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.do(ctx, http.MethodDelete, path(Stored, namespace, ""), "", nil)
	return err
}
