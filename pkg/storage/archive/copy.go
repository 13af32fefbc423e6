package archive

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Source is what is copied: everything that a store or file holds, at one revision.
type Source interface {
	// String names it for people, without passwords.
	fmt.Stringer
	// Kind is the source in a header.
	Kind() string
	// Revision is the one that the contents are of, Len how many keys they have.
	Revision() int64
	Len() int64
	// Each calls each for every key, in the order of revisions, until it returns an error.
	Each(ctx context.Context, each func(KeyValue) error) error
	// Since is how many revisions were written to the source since it was read, as far as
	// they can be counted: a negative number means that its contents were replaced.
	Since(ctx context.Context) (int64, error)
	// Close lets it go.
	Close() error
}

// Sink is what is copied into.
type Sink interface {
	fmt.Stringer
	// Add takes the next key.
	Add(ctx context.Context, kv KeyValue) error
	// Commit makes what was added the contents, after the last Add.
	Commit(ctx context.Context) error
	// Close lets it go. Without a Commit before, nothing has happened.
	Close() error
}

// HeaderOf is the header of a file with the contents of a source.
func HeaderOf(source Source, software string) Header {
	return Header{
		Revision: source.Revision(), Keys: source.Len(), Created: time.Now().UTC().Truncate(time.Second),
		Software: software, Source: source.Kind(),
	}
}

// Copy adds everything in the source to the sink. It does not commit.
func Copy(ctx context.Context, source Source, sink Sink, progress *Progress) error {
	progress.Begin(fmt.Sprintf("Copying the keys of the %s", source), source.Len())
	return source.Each(ctx, func(kv KeyValue) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := sink.Add(ctx, kv); err != nil {
			return err
		}
		progress.Add(1, kv.bytes())
		return nil
	})
}

// Progress is how far something is that takes its time. A nil one counts nothing. It may be
// used from any goroutine.
type Progress struct {
	mu    sync.Mutex
	stage Stage // guarded by mu
	keys  atomic.Int64
	bytes atomic.Int64
}

// Stage is a part of something that takes its time.
type Stage struct {
	// What is being done, as a clause: "Copying the keys of …".
	What string
	// Total is how many keys or rows there are; 0 means that this is not known.
	Total int64
	// Keys and Bytes are how many were done since Began.
	Keys, Bytes int64
	Began       time.Time
}

// Begin begins a stage.
func (p *Progress) Begin(what string, total int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stage = Stage{What: what, Total: total, Began: time.Now()}
	p.keys.Store(0)
	p.bytes.Store(0)
}

// Add says that more of the stage is done.
func (p *Progress) Add(keys, bytes int64) {
	if p == nil {
		return
	}
	p.keys.Add(keys)
	p.bytes.Add(bytes)
}

// Stage is where it is now.
func (p *Progress) Stage() Stage {
	if p == nil {
		return Stage{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stage := p.stage
	stage.Keys, stage.Bytes = p.keys.Load(), p.bytes.Load()
	return stage
}

// countingReader counts bytes that are read.
type countingReader struct {
	io.Reader
	progress *Progress
}

// Read implements io.Reader.
func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.progress.Add(0, int64(n))
	return n, err
}
