package mux

// MaxWeight is the most that a Share may weigh.
const MaxWeight = 100

// Share says whom what a stream sends counts for, where a link is too narrow for all: streams with the same Of take turns with each
// other, and those together with others by weight. So who opens many streams gets no more of a link than who opens one.
type Share struct {
	// Of is whoever has the share; its streams are those of this session.
	Of string `json:"of,omitempty"`
	// Weight is how much of the link it gets beside others: from 1, which 0 is too, to MaxWeight. That of the stream opened last holds.
	Weight int `json:"weight,omitempty"`
}

const (
	// dueScale is what a byte costs a share of the weight 1.
	dueScale = 1 << 10
	// owed is how far a share may be behind, in bytes of one with the weight 1: so it gets what it should although its streams have
	// nothing to send for a moment, until what sends has read more. What it did not use for longer is lost.
	owed = 2 * batchBytes
)

// turns are the streams of a session that have DATA or FIN to send. The share that has sent least for its weight is next, which is
// start-time fair queueing (Goyal, Vin and Cheng, 1996), and of its streams the one that waits longest.
type turns struct {
	// shares are those that have streams, and active those of them of which some wait.
	shares map[string]*share
	active []*share
	// clock is where the share was that had the last turn; it does not go back.
	clock int64
}

// share is the state of a Share.
type share struct {
	of      string
	weight  int64
	streams int
	waiting []*Stream
	// due is what it has sent, by weight.
	due int64
}

// join returns the share of a new stream.
func (t *turns) join(of Share) *share {
	sh := t.shares[of.Of]
	if sh == nil {
		if t.shares == nil {
			t.shares = map[string]*share{}
		}
		sh = &share{of: of.Of, due: t.clock}
		t.shares[of.Of] = sh
	}
	sh.streams++
	sh.weight = int64(min(max(of.Weight, 1), MaxWeight))
	return sh
}

// leave takes out a stream that will not wait again.
func (t *turns) leave(sh *share) {
	if sh.streams--; sh.streams == 0 {
		delete(t.shares, sh.of)
	}
}

// wait has a stream wait for its turn.
func (t *turns) wait(st *Stream) {
	sh := st.share
	if len(sh.waiting) == 0 {
		sh.due = max(sh.due, t.clock-owed*dueScale)
		t.active = append(t.active, sh)
	}
	sh.waiting = append(sh.waiting, st)
}

// any reports whether a stream waits.
func (t *turns) any() bool { return len(t.active) > 0 }

// next returns the stream whose turn it is; nil if none waits.
func (t *turns) next() *Stream {
	if len(t.active) == 0 {
		return nil
	}
	first := 0
	for i, sh := range t.active {
		if sh.due < t.active[first].due {
			first = i
		}
	}
	sh := t.active[first]
	t.clock = max(t.clock, sh.due)
	st := sh.waiting[0]
	if sh.waiting = pop(sh.waiting); sh.waiting == nil {
		t.active = append(t.active[:first], t.active[first+1:]...) // those before it stay before those behind it
	}
	return st
}

// sent has a stream's share pay for bytes.
func (sh *share) sent(n int) { sh.due += int64(n) * dueScale / sh.weight }
