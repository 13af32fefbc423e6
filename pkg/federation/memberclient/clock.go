package memberclient

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// memberClock is by how much that of a member is ahead, as its last answer said that had a Date; nil if none had one.
type memberClock struct {
	ahead atomic.Pointer[time.Duration]
}

// Ahead is by how much the clock of the member is ahead of ours, less than 0 if it is behind. ok is false if it has not said so.
func (c *Conn) Ahead() (ahead time.Duration, ok bool) {
	if said := c.clock.ahead.Load(); said != nil {
		return *said, true
	}
	return 0, false
}

// wrap has the clock read the answers of a transport.
func (c *memberClock) wrap(next http.RoundTripper) http.RoundTripper { return &clockReader{next, c} }

type clockReader struct {
	next  http.RoundTripper
	clock *memberClock
}

// WrappedRoundTripper lets the library cancel requests.
func (r *clockReader) WrappedRoundTripper() http.RoundTripper { return r.next }

// RoundTrip implements http.RoundTripper.
func (r *clockReader) RoundTrip(request *http.Request) (*http.Response, error) {
	asked := time.Now()
	response, err := r.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		ahead := memberaccess.Ahead(date, asked, time.Now())
		r.clock.ahead.Store(&ahead)
	}
	return response, nil
}
