package notice

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// table is a table of peers in memory.
type table struct {
	mu     sync.Mutex
	secret []byte
	peers  []sqllog.Peer
}

func (t *table) Secret(context.Context) ([]byte, error) { return t.secret, nil }
func (t *table) LocalIP() net.IP                        { return net.IPv4(127, 0, 0, 1) }

func (t *table) Announce(_ context.Context, self sqllog.Peer) ([]sqllog.Peer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(self.ID)
	others := slices.Clone(t.peers)
	t.peers = append(t.peers, self)
	return others, nil
}

func (t *table) Leave(_ context.Context, ids ...int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(ids...)
	return nil
}

func (t *table) remove(ids ...int64) {
	t.peers = slices.DeleteFunc(t.peers, func(p sqllog.Peer) bool { return slices.Contains(ids, p.ID) })
}

func join(t *testing.T, table *table) *Network {
	t.Helper()
	n, err := Join(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Leave)
	return n
}

// receive returns the next notice of a revision above 0, which says more than hello.
func receive(t *testing.T, n *Network) int64 {
	t.Helper()
	for {
		select {
		case revision := <-n.Received():
			if revision > 0 {
				return revision
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no notice came")
		}
	}
}

func TestPeersTellEachOtherWhoeverCameFirst(t *testing.T) {
	shared := &table{secret: []byte("secret")}
	first := join(t, shared)
	second := join(t, shared)
	second.Send(5)
	if got := receive(t, first); got != 5 {
		t.Errorf("the first got %d, want 5", got)
	}
	// The first learns of the second by its notice.
	for first.Peers() == 0 {
		second.Send(5)
		receive(t, first)
	}
	first.Send(6)
	if got := receive(t, second); got != 6 {
		t.Errorf("the second got %d, want 6", got)
	}
}

func TestOnlySignedNoticesCount(t *testing.T) {
	n := &Network{secret: []byte("secret"), self: sqllog.Peer{ID: 7}}
	other := &Network{secret: []byte("another"), self: sqllog.Peer{ID: 7}}
	changed := n.sign(3)
	changed[bodyBytes-20]++
	cases := map[string]struct {
		notice []byte
		want   bool
	}{
		"its own":                 {n.sign(3), true},
		"of another secret":       {other.sign(3), false},
		"changed on the way":      {changed, false},
		"too short":               {n.sign(3)[:bodyBytes], false},
		"with something after it": {append(n.sign(3), 0), false},
		"nothing":                 {nil, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			sender, revision, ok := n.verify(c.notice)
			if ok != c.want || ok && (sender != 7 || revision != 3) {
				t.Errorf("got %d, %d, %v", sender, revision, ok)
			}
		})
	}
}
