package relay

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// An answer may come before all of its request has. Clients of HTTP/2 cease to send once they have headers of an error, and wait for
// the rest of the answer; the transport to the member ends an exchange only once the request has ended. So that neither waits for the
// other, who is done with the answer is done with the request.
//
// Until then both go on, whatever the answer says. The library's server does not let them over HTTP/1.1: it takes up to 256 KiB out of a
// request to whose answer it writes headers, so that the connection can be used again, and the member would get a body with a hole. It
// leaves the request alone if the connection is to be closed.

// unsentFor is how long a client of HTTP/1.1 may take for the rest of a request whose answer has ended: a read that waits cannot be
// ended in another way.
const unsentFor = 5 * time.Second

// sending is the body of a request as it comes from the client.
type sending struct {
	io.ReadCloser
	// left is what is still to come; negative if that is not known. Only who reads uses it.
	left  int64
	ended atomic.Bool
	// hurry bounds reads that are under way, and is nil where Close ends them.
	hurry func()
}

// sendingOf returns the body of a request, nil if it has none. unsentFor is as above.
func sendingOf(w http.ResponseWriter, r *http.Request, unsentFor time.Duration) *sending {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	s := &sending{ReadCloser: r.Body, left: r.ContentLength}
	if r.ProtoMajor == 1 {
		s.hurry = func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unsentFor)) }
	}
	return s
}

// Read implements io.Reader.
func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.left -= int64(n); err != nil || s.left == 0 {
		s.ended.Store(true)
	}
	return n, err
}

// Close implements io.Closer.
func (s *sending) Close() error {
	if s.lingers() {
		s.hurry()
	}
	return s.ReadCloser.Close()
}

// interrupt ends a read that waits, of a request that may not go on: the transport to the member would wait for it.
func (s *sending) interrupt() {
	if s.hurry != nil {
		s.hurry()
		return
	}
	_ = s.ReadCloser.Close() // over HTTP/2 it ends reads
}

// begin is called before the headers of an answer are written, with those. A request that has not ended by
// Close had not ended by then.
func (s *sending) begin(header http.Header) {
	if s.lingers() {
		header.Set("Connection", "close")
	}
}

// lingers reports whether there is more to come that Close may have to wait for.
func (s *sending) lingers() bool { return s.hurry != nil && !s.ended.Load() }

// answered is the body of an answer.
type answered struct {
	io.ReadCloser
	asked io.Closer
}

// Close implements io.Closer.
func (a *answered) Close() error {
	_ = a.asked.Close() // only a read that waits hears of it
	return a.ReadCloser.Close()
}
