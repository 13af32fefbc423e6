package workload

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// ListOptions say how to list.
type ListOptions struct {
	Version string
	// Cached is resourceVersion=0: whatever the server has. Else the list is consistent.
	Cached bool
	// Compressed asks for gzip, as client-go does.
	Compressed bool
}

func (o ListOptions) uri() string {
	if o.Cached {
		return path(o.Version, "", "") + "?resourceVersion=0"
	}
	return path(o.Version, "", "")
}

// List lists all objects and returns how long that took to the last byte, connecting not
// counted, and how many bytes came.
func (t *Target) List(ctx context.Context, o ListOptions) (time.Duration, int64, error) {
	c, err := t.newClient(o.Compressed)
	if err != nil {
		return 0, 0, err
	}
	defer c.close()
	if _, err := c.do(ctx, http.MethodGet, "/version", "", nil); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	n, err := c.do(ctx, http.MethodGet, o.uri(), "", nil)
	return time.Since(began), n, err
}

// busyInterval is how soon a server that is busy is asked again.
const busyInterval = 50 * time.Millisecond

// FirstList lists as List does, and asks again while the server is busy filling its
// cache. The time is from the first question to the last byte.
func (t *Target) FirstList(ctx context.Context, o ListOptions) (time.Duration, int64, error) {
	began := time.Now()
	for {
		_, n, err := t.List(ctx, o)
		if !errors.Is(err, errBusy) {
			return time.Since(began), n, err
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(busyInterval):
		}
	}
}
