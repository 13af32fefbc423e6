package schemaservers

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// patience is how long a member may take for all that it is asked in one round: what others
// know has to wait for it.
const patience = timeout

// patient lets requests through until patience has passed since the first one. A request
// that was let through ends with its own timeout.
type patient struct {
	next  http.RoundTripper
	clock clock.PassiveClock

	mu    sync.Mutex // guards began
	began time.Time
}

// WrappedRoundTripper lets the library cancel requests.
func (p *patient) WrappedRoundTripper() http.RoundTripper { return p.next }

// RoundTrip implements http.RoundTripper.
func (p *patient) RoundTrip(request *http.Request) (*http.Response, error) {
	if p.isOver() {
		return nil, fmt.Errorf("the member took more than %s for the schemas before this one", patience)
	}
	return p.next.RoundTrip(request)
}

func (p *patient) isOver() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		p.began = p.clock.Now()
	}
	return p.clock.Since(p.began) > patience
}
