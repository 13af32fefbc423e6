package serve

import (
	"context"
	"path/filepath"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
)

// koinon serves one of Koinon's stores as `koinon server` opens it.
func koinon(ctx context.Context, o Options) error {
	value := "sqlite://" + filepath.Join(o.Dir, datastore.DefaultFile) + "?synchronous=full"
	if NeedsDatabase(o.Name) {
		value = "mysql://" + o.Database
	}
	where, err := datastore.Parse(value, o.Dir)
	if err != nil {
		return err
	}
	store, err := embedded.Open(ctx, where, embedded.Config{})
	if err != nil {
		return err
	}
	listener, err := listen(o)
	if err != nil {
		return err
	}
	// Ends when the store is closed.
	failed := make(chan error, 1)
	go func() { failed <- store.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return store.Close()
	}
}
