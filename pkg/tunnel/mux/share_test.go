package mux

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What streams send divides among shares by weight, and among the streams of one evenly, also if each has nothing to send for a moment
// whenever what it had has gone.
func TestALinkIsSharedByWeight(t *testing.T) {
	type tenant struct{ weight, streams, piece int }
	for what, tenants := range map[string][]tenant{
		"one to three":              {{1, 1, pieceBytes}, {3, 1, pieceBytes}},
		"many streams, and one":     {{1, 20, pieceBytes}, {1, 1, pieceBytes}},
		"small pieces, and large":   {{1, 4, 8 << 10}, {2, 1, pieceBytes}},
		"three, with many of each":  {{1, 3, pieceBytes}, {2, 7, pieceBytes}, {5, 4, pieceBytes}},
		"no weight is one":          {{0, 2, pieceBytes}, {1, 1, pieceBytes}},
		"more than there is, is so": {{MaxWeight, 4, pieceBytes}, {10 * MaxWeight, 4, pieceBytes}},
	} {
		t.Run(what, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			dice := rand.New(rand.NewPCG(seed, 0))
			s := &Session{streams: map[uint32]*Stream{}, writing: true} // what fill gives is not written
			var all []*Stream
			piece := make([]byte, pieceBytes)
			for i, tenant := range tenants {
				for range tenant.streams {
					st := s.newStream()
					st.id, st.credit = uint32(len(all)+1), math.MaxInt64
					st.share = s.sending.join(Share{Of: string(rune('a' + i)), Weight: tenant.weight})
					s.streams[st.id] = st
					all = append(all, st)
				}
			}
			sent := map[string]int64{}
			var batch []byte
			total := int64(0)
			for total < 32<<20 {
				dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				for _, st := range all {
					if len(st.out) == 0 {
						st.out = piece[:tenants[st.share.of[0]-'a'].piece]
						s.enqueue(st)
					}
				}
				before := map[*Stream]int64{}
				for _, st := range all {
					before[st] = st.credit
				}
				batch = s.fill(batch[:0])
				for _, st := range all {
					sent[st.share.of] += before[st] - st.credit
					total += before[st] - st.credit
				}
			}
			weights := 0
			for _, tenant := range tenants {
				weights += min(max(tenant.weight, 1), MaxWeight)
			}
			for i, tenant := range tenants {
				want := float64(min(max(tenant.weight, 1), MaxWeight)) / float64(weights)
				if got := float64(sent[string(rune('a'+i))]) / float64(total); math.Abs(got-want) > 0.1*want {
					t.Errorf("tenant %d has %.3f of what was sent: its weight is %.3f of all", i, got, want)
				}
			}
			for _, one := range all {
				for _, other := range all {
					if a, b := math.MaxInt64-one.credit, math.MaxInt64-other.credit; one.share == other.share && a > b+b/10+4*pieceBytes {
						t.Fatalf("of one share a stream sent %d bytes, and another %d", a, b)
					}
				}
			}
		})
	}
}

// Who was idle gets what he is owed for a moment, and not for all the time.
func TestAShareThatWasIdleDoesNotHoldUpOthersForLong(t *testing.T) {
	s := &Session{streams: map[uint32]*Stream{}, writing: true}
	add := func(of string) *Stream {
		st := s.newStream()
		st.id, st.credit = uint32(len(s.streams)+1), math.MaxInt64
		st.share = s.sending.join(Share{Of: of})
		s.streams[st.id] = st
		return st
	}
	busy, idle := add("busy"), add("idle")
	send := func(st *Stream) {
		if len(st.out) == 0 {
			st.out = make([]byte, pieceBytes)
			s.enqueue(st)
		}
	}
	for range 1000 {
		send(busy)
		s.fill(nil)
	}
	before := busy.credit
	for idle.credit > math.MaxInt64-owed-2*batchBytes {
		send(busy)
		send(idle)
		s.fill(nil)
	}
	if busy.credit == before {
		t.Errorf("one that was idle sent %d bytes before it was the other's turn", math.MaxInt64-idle.credit)
	}
}

// A share goes with its last stream.
func TestSharesOfWhoHasGoneAreForgotten(t *testing.T) {
	p := link(t, accepting(echo))
	for i := range 100 {
		st, err := p.here.OpenFor(t.Context(), Share{Of: string(rune('a' + i)), Weight: i}, "x")
		if err != nil {
			t.Fatal(err)
		}
		_ = st.Close()
	}
	eventually(t, "there are no shares", func() bool {
		p.here.mu.Lock()
		defer p.here.mu.Unlock()
		return len(p.here.sending.shares) == 0
	})
}
