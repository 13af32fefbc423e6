package peers

import (
	"context"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// digestEvery is how often a digest is sent although nothing changed.
const digestEvery = 30 * time.Second

// feed is one reader of this server's names: another server.
type feed struct {
	// changed are names that are to be sent; guarded by the mesh's mutex.
	changed map[tunnel.Name]bool
	// more has something when there are such.
	more chan struct{}
}

// Changed says which instances of agents a name has at this server now; none if it has none any more. standing is that of the agent of a
// node, and nil for a cluster's.
func (m *Mesh) Changed(name tunnel.Name, agents []string, standing *Standing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own.set(entry{name, instances(agents), standing})
	for f := range m.feeds {
		f.changed[name] = true
		select {
		case f.more <- struct{}{}:
		default:
		}
	}
}

// follow begins a feed with all names.
func (m *Mesh) follow() *feed {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &feed{changed: make(map[tunnel.Name]bool, len(m.own.entries)), more: make(chan struct{}, 1)}
	for name := range m.own.entries {
		f.changed[name] = true
	}
	f.more <- struct{}{}
	m.feeds[f] = true
	return f
}

func (m *Mesh) unfollow(f *feed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.feeds, f)
}

// take returns what is to be sent, and what its reader has after that.
func (m *Mesh) take(f *feed) (entries []entry, digest string, count int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entries = make([]entry, 0, len(f.changed))
	for name := range f.changed {
		e := m.own.entries[name]
		e.Name = name // of one that has gone too
		entries = append(entries, e)
	}
	f.changed = map[tunnel.Name]bool{}
	return entries, m.own.sum(), len(m.own.entries)
}

// tell tells another server of this one's names until its stream ends, or Close.
func (m *Mesh) tell(stream *mux.Stream) {
	defer stream.Close()
	f := m.follow()
	defer m.unfollow(f)
	gone, cancel := context.WithCancel(m.ctx)
	defer cancel()
	var buffer [1]byte
	go func() { // ends with the stream
		_, _ = stream.Read(buffer[:]) // nothing comes: it ends
		cancel()
	}()
	digests := time.NewTicker(digestEvery)
	defer digests.Stop()
	for sequence := uint64(1); ; {
		select {
		case <-gone.Done():
			return
		case <-f.more:
		case <-digests.C:
		}
		entries, digest, count := m.take(f)
		for {
			var next message
			next, entries = cut(sequence, entries)
			if !next.More {
				next.Digest, next.Count = digest, count
			}
			if send(stream, next, maxMessage) != nil {
				return
			}
			sequence++
			if !next.More {
				break
			}
		}
	}
}
