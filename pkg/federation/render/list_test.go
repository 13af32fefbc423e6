package render

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAListIsASlice compares with a slice, over the bounds of chunks.
func TestAListIsASlice(t *testing.T) {
	seed := *patchSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-patch-seed=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, length := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 2 * chunkSize, 5*chunkSize + 7} {
		shared := make([]any, length)
		for i := range shared {
			shared[i] = i
		}
		before := slices.Clone(shared)
		l, want := newList(shared), slices.Clone(shared)
		for step := range 6 * chunkSize {
			// Grow first, then shrink to nothing.
			switch n := r.IntN(10); {
			case n < 2 && len(want) > 0:
				i := r.IntN(len(want))
				l.set(i, -step)
				want[i] = -step
			case (n < 8) == (step < 3*chunkSize) || len(want) == 0:
				i := r.IntN(len(want) + 1)
				if n%2 == 0 {
					i = min(i, 3)
				}
				l.insert(i, -step)
				want = slices.Insert(want, i, any(-step))
			default:
				i := r.IntN(len(want))
				l.delete(i)
				want = slices.Delete(want, i, i+1)
			}
			if l.length != len(want) {
				t.Fatalf("step %d: got length %d, want %d", step, l.length, len(want))
			}
			if i := r.IntN(l.length + 1); i < l.length && l.get(i) != want[i] {
				t.Fatalf("step %d: got %v at %d, want %v", step, l.get(i), i, want[i])
			}
		}
		if diff := cmp.Diff(want, l.items()); diff != "" {
			t.Errorf("%d items (-want +got):\n%s", length, diff)
		}
		if diff := cmp.Diff(before, shared); diff != "" {
			t.Errorf("the slice that the list was made of has changed:\n%s", diff)
		}
		for c := range l.chunks {
			if n := len(l.chunks[c].items); n == 0 || n > 2*chunkSize {
				t.Errorf("a chunk has %d items", n)
			}
		}
	}
}

// A slice would move all elements for each new one.
func TestElementsAtTheFrontOfALongListMoveAChunkOnly(t *testing.T) {
	l := newList(make([]any, 300_000))
	for i := range 16_000 {
		l.insert(0, i)
	}
	for c := range l.chunks {
		if own := &l.chunks[c]; !own.shared && c > 16_000/chunkSize+1 {
			t.Fatalf("chunk %d of %d has been copied", c, len(l.chunks))
		}
	}
	if got := fmt.Sprint(l.get(0), l.get(15_999), l.get(16_000), l.length); got != "15999 0 <nil> 316000" {
		t.Errorf("got %s", got)
	}
}
