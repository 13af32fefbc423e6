package mux

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

const (
	// quantum is how much of a stream is sent before it is another's turn: with its header two records of TLS, which have 16 KiB.
	quantum = maxData - headerBytes
	// batchBytes is how much is written at once, about.
	batchBytes = 64 << 10
)

var batches = sync.Pool{New: func() any {
	b := make([]byte, 0, batchBytes+quantum+headerBytes)
	return &b
}}

// flag has a stream's wants sent. mu must be held.
func (s *Session) flag(st *Stream) {
	if !st.flagged {
		st.flagged = true
		s.urgent = append(s.urgent, st)
	}
	s.write()
}

// ready has a stream's DATA and FIN sent. mu must be held.
func (s *Session) ready(st *Stream) {
	if s.enqueue(st) {
		s.write()
	}
}

// enqueue notes that a stream has DATA or FIN to be sent, and reports whether that is so and was not known. mu must be held.
func (s *Session) enqueue(st *Stream) bool {
	if st.queued || st.gone || st.sendErr != nil {
		return false
	}
	if len(st.out) > 0 && st.credit == 0 || len(st.out) == 0 && (!st.finished || st.finSent) {
		return false
	}
	st.queued = true
	s.sending.wait(st)
	return true
}

// write has what there is to be sent written. Who writes is a goroutine that lives as long as there
// is something, or a Write: an idle link has none. mu must be held.
func (s *Session) write() {
	if s.writing || s.err != nil {
		return
	}
	s.writing = true
	go s.writeAll() // ends when there is nothing left, or with the connection
}

// alone is how much a Write has at most that writes to the connection itself.
const alone = 8 << 10

// writeFor is write for a stream's Write, in whose goroutine it writes if that is little and nobody writes: another goroutine would be two
// switches for a ping or a request. Of bulk the next piece is read meanwhile. What others have by then is written by one of its own. Who
// has a deadline does not write himself, as the connection may take longer. mu must be held, and is given up meanwhile.
func (s *Session) writeFor(st *Stream) {
	if s.writing || s.err != nil || st.deadline.timer != nil || len(st.out) > alone {
		s.write()
		return
	}
	s.writing = true
	buffer := batches.Get().(*[]byte)
	for st.queued && s.err == nil {
		batch := s.fill((*buffer)[:0])
		*buffer = batch
		s.mu.Unlock()
		if err := s.send(batch); err != nil {
			s.fail(fmt.Errorf("%w: %w", ErrLost, err))
		}
		s.mu.Lock()
	}
	batches.Put(buffer)
	s.writing = false
	if s.pong != nil || s.ping || len(s.link) > 0 || len(s.urgent) > 0 || s.sending.any() {
		s.write()
	}
}

func (s *Session) writeAll() {
	buffer := batches.Get().(*[]byte)
	defer batches.Put(buffer)
	for {
		s.mu.Lock()
		batch := s.fill((*buffer)[:0])
		if len(batch) == 0 {
			s.writing = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		*buffer = batch
		if err := s.send(batch); err != nil {
			s.fail(fmt.Errorf("%w: %w", ErrLost, err))
			return
		}
	}
}

// send writes a batch.
func (s *Session) send(batch []byte) error {
	s.written.Add(int64(len(batch)))
	if s.hold == nil {
		_, err := s.conn.Write(batch)
		return err
	}
	s.hold.Hold()
	_, err := s.conn.Write(batch)
	if released := s.hold.Release(); err == nil {
		err = released
	}
	return err
}

// fill appends what is to be sent next. mu must be held.
func (s *Session) fill(dst []byte) []byte {
	if s.err != nil {
		return dst
	}
	if s.pong != nil {
		dst = appendFrame(dst, typePong, 0, 0, s.pong)
		s.pong = nil
	}
	if s.ping {
		s.ping = false
		s.pings++
		s.pinged = time.Now()
		dst = appendFrame(dst, typePing, 0, 0, binary.BigEndian.AppendUint64(nil, s.pings))
	}
	for _, frame := range s.link {
		dst = append(dst, frame...)
	}
	s.link = nil
	for len(s.urgent) > 0 && len(dst) < batchBytes {
		st := s.urgent[0]
		s.urgent = pop(s.urgent)
		st.flagged = false
		dst = s.appendWants(dst, st)
	}
	now := time.Now()
	for s.sending.any() && len(dst) < batchBytes {
		st := s.sending.next()
		st.queued = false
		dst = s.appendData(dst, st, now)
	}
	return dst
}

// pop takes the first stream off, and does not keep it.
func pop(streams []*Stream) []*Stream {
	streams[0] = nil
	if len(streams) == 1 {
		return nil
	}
	return streams[1:]
}

// appendWants appends what a stream has to send besides DATA and FIN.
func (s *Session) appendWants(dst []byte, st *Stream) []byte {
	w := st.wants
	st.wants = wants{}
	if w.open {
		dst = header{typeOpen, 0, 4 + len(w.request), st.id}.appendTo(dst)
		dst = binary.BigEndian.AppendUint32(dst, uint32(st.window))
		dst = append(dst, w.request...)
	}
	if w.result != nil {
		dst = appendResult(dst, st.id, w.result.Code, uint32(st.window), w.result.Text)
		if w.result.Code != OK {
			s.refused--
			return dst
		}
	}
	if w.reset != nil {
		return appendReset(dst, st.id, w.reset.Code, w.reset.Text)
	}
	if w.credit > 0 {
		dst = appendNumber(dst, typeCredit, st.id, uint32(w.credit))
	}
	if w.back > 0 {
		dst = appendNumber(dst, typeReturn, st.id, uint32(w.back))
	}
	return dst
}

// appendData appends DATA of a stream, as much as it is its turn, and FIN.
func (s *Session) appendData(dst []byte, st *Stream, now time.Time) []byte {
	if st.gone || st.sendErr != nil {
		return dst
	}
	if n := min(int64(len(st.out)), st.credit, quantum); n > 0 {
		dst = appendFrame(dst, typeData, 0, st.id, st.out[:n])
		st.out = st.out[n:]
		st.credit -= n
		st.usedAt = now
		st.share.sent(int(n) + headerBytes)
		if len(st.out) == 0 {
			st.sent.Broadcast()
		}
	}
	if len(st.out) == 0 && st.finished && !st.finSent {
		return s.appendFin(dst, st)
	}
	s.ready(st)
	return dst
}

func (s *Session) appendFin(dst []byte, st *Stream) []byte {
	st.finSent = true
	flags := byte(0)
	if st.stop {
		flags = flagStop
	}
	if st.stop || st.in.done() {
		s.forget(st)
	}
	return appendFrame(dst, typeFin, flags, st.id, nil)
}
