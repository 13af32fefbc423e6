package datastorecmd

import (
	"io"
	"path/filepath"

	"github.com/koinon-io/koinon/pkg/storage/admin"
)

// filled is the data directory of a store that is to get contents, if it lies in one.
type filled struct {
	path  string
	store admin.Store
	fill  func(path string) (io.Closer, error)
	dir   io.Closer
}

func (o *datastoreOptions) filled(store admin.Store) *filled {
	return &filled{path: o.DataDir, store: store, fill: o.config.Fill}
}

// begin makes the directory, so that a server takes it for its own, and locks it, unless a
// server has it.
func (f *filled) begin() error {
	absolute, err := filepath.Abs(f.path)
	if err != nil || filepath.Dir(f.store.Path()) != absolute {
		return err
	}
	f.dir, err = f.fill(f.path)
	return err
}

// end gives the directory free.
func (f *filled) end() {
	if f.dir != nil {
		_ = f.dir.Close()
	}
}
