package authoritytest

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
)

// RunTokens tests what every store of tokens has to do. open makes one that has a token, as several replicas see it.
func RunTokens(t *testing.T, open func(t *testing.T, token authority.Token) (replicas []authority.Tokens)) {
	now := time.Now().Truncate(time.Second) // stores need not keep more
	fresh := func(t *testing.T) (authority.Token, []authority.Tokens) {
		t.Helper()
		_, token, err := authority.NewToken(tunnel.Name{Cluster: "m1", Node: "n1"}, now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token, open(t, token)
	}
	t.Run("a token is returned as it was made", func(t *testing.T) {
		token, replicas := fresh(t)
		for _, store := range replicas {
			got, err := store.Get(t.Context(), token.ID)
			if diff := cmp.Diff(token, got); err != nil || diff != "" {
				t.Errorf("got %v, (-want +got):\n%s", err, diff)
			}
		}
	})
	t.Run("a token that there is not is ErrNoToken", func(t *testing.T) {
		_, replicas := fresh(t)
		for _, store := range replicas {
			if _, err := store.Get(t.Context(), "aaaaaaaa"); !errors.Is(err, authority.ErrNoToken) {
				t.Errorf("Get: got %v", err)
			}
			if _, err := store.Take(t.Context(), "aaaaaaaa", "k", now); !errors.Is(err, authority.ErrNoToken) {
				t.Errorf("Take: got %v", err)
			}
		}
	})
	t.Run("of many that take it at once one wins, and all see which", func(t *testing.T) {
		token, replicas := fresh(t)
		const n = 32
		saw := make([]authority.Token, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				var err error
				if saw[i], err = replicas[i%len(replicas)].Take(t.Context(), token.ID, "key-"+strconv.Itoa(i), now.Add(time.Minute)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		want := token
		want.Key, want.Used = saw[0].Key, now.Add(time.Minute)
		for i, got := range saw {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d (-want +got):\n%s", i, diff)
			}
		}
		later, err := replicas[0].Take(t.Context(), token.ID, want.Key, now.Add(time.Hour))
		if diff := cmp.Diff(want, later); err != nil || diff != "" {
			t.Errorf("the winner again: got %v, (-want +got):\n%s", err, diff)
		}
	})
}
