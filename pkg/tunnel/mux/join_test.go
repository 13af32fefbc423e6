package mux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// handedOn returns a stream that a middle joins with another, at whose end serve is.
func handedOn(t *testing.T, serve func(*Stream)) (st *Stream, ended chan error, first, second pair) {
	t.Helper()
	ended = make(chan error, 1)
	second = link(t, accepting(serve))
	first = link(t, func(_, there *Config) {
		there.Accept = func(ctx context.Context, in *Incoming) {
			on, err := second.here.Open(ctx, "on")
			if err != nil {
				in.Refuse(CodeOf(err), err.Error())
				return
			}
			ended <- Join(in.Accept(), on)
		}
	})
	st = open(t, first.here)
	_ = st.SetDeadline(time.Now().Add(patience))
	return st, ended, first, second
}

// forgotten waits until nobody knows of a stream.
func forgotten(t *testing.T, pairs ...pair) {
	t.Helper()
	eventually(t, "all ends forgot the streams", func() bool {
		n := 0
		for _, p := range pairs {
			n += p.here.Streams() + p.there.Streams()
		}
		return n == 0
	})
}

func TestJoinedStreamsCarryBothDirectionsAndEndWhenBothHave(t *testing.T) {
	st, ended, first, second := handedOn(t, func(st *Stream) {
		heard, _ := io.ReadAll(st)
		_, _ = st.Write(heard)
		_ = st.Close()
	})
	sent := bytes.Repeat([]byte("all of it"), 1<<19)
	_, _ = st.Write(sent)
	_ = st.CloseWrite()
	if got, err := io.ReadAll(st); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes of %d: %v", len(got), len(sent), err)
	}
	_ = st.Close()
	if err := <-ended; err != nil {
		t.Errorf("it ended because %v", err)
	}
	forgotten(t, first, second)
}

func TestAResetPassesAJoinWithItsReason(t *testing.T) {
	t.Run("from the far end", func(t *testing.T) {
		st, _, first, second := handedOn(t, func(st *Stream) { st.Reset(Broken, "it broke there") })
		var why *Error
		if _, err := io.ReadAll(st); !errors.As(err, &why) || *why != (Error{Broken, "it broke there"}) {
			t.Errorf("got %v", err)
		}
		forgotten(t, first, second)
	})
	t.Run("from the near end, while a write waits", func(t *testing.T) {
		stop, told := make(chan struct{}), make(chan error, 1)
		st, ended, first, second := handedOn(t, func(st *Stream) {
			<-stop
			_, err := io.Copy(io.Discard, st)
			told <- err
		})
		go func() { _, _ = io.Copy(st, endless{}) }()
		eventually(t, "the far link is full", func() bool {
			_, written := second.here.Traffic()
			return written >= firstWindow
		})
		st.Reset(Canceled, "no more")
		<-ended
		close(stop)
		var why *Error
		if err := <-told; !errors.As(err, &why) || why.Code != Canceled {
			t.Errorf("got %v", err)
		}
		forgotten(t, first, second)
	})
	t.Run("with its link", func(t *testing.T) {
		st, ended, first, second := handedOn(t, func(st *Stream) { _, _ = io.Copy(io.Discard, st) })
		_ = second.here.Close()
		if _, err := io.ReadAll(st); err == nil {
			t.Error("it looks complete")
		}
		<-ended
		forgotten(t, first)
	})
}

// A server that answers and closes, while its client still sends, has its answer delivered.
func TestAnAnswerPassesAJoinAlthoughNobodyReadsOn(t *testing.T) {
	answer := bytes.Repeat([]byte("answer"), 50_000)
	st, _, first, second := handedOn(t, func(st *Stream) {
		_, _ = st.Write(answer)
		_ = st.Close()
	})
	go func() { _, _ = io.Copy(st, endless{}) }()
	if got, err := io.ReadAll(st); err != nil || !bytes.Equal(got, answer) {
		t.Errorf("got %d bytes of %d: %v", len(got), len(answer), err)
	}
	_ = st.Close()
	forgotten(t, first, second)
}

// Who has gone, and whose bytes nobody takes, is not waited for.
func TestAJoinDoesNotWaitForWhoTakesNothingOnBehalfOfWhoHasGone(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	st, ended, first, second := handedOn(t, func(st *Stream) { <-stop })
	_, _ = st.Write(make([]byte, firstWindow)) // fills the far link
	go func() { _, _ = st.Write(make([]byte, firstWindow/2)); _ = st.Close() }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it waits")
	}
	forgotten(t, first, second)
}
