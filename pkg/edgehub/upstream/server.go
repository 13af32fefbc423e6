package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// probeChosen and probeOthers are how often a server is asked whether it is well, and leastPause what is between two times.
	probeChosen, probeOthers, leastPause = 3 * time.Second, 10 * time.Second, 300 * time.Millisecond
	// patienceOfMany and patienceAlone are how long it may take to answer, if there are others to go to and if not.
	patienceOfMany, patienceAlone = 6 * time.Second, 11 * time.Second
	// settled is how long a server that came back has to be well to be preferred to one that is.
	settled = 30 * time.Second
	// busy is how many bytes in the meantime mean that a link is slow, and no black hole.
	busy = 16 << 10
)

// server is one API server, as far as it is known. Its fields from asked on are guarded by Upstream.mu.
type server struct {
	url      *url.URL
	priority int
	name     string // in its certificate; empty for the host of url
	// kicked has it asked at once.
	kicked chan struct{}
	// read counts bytes that came from it.
	read atomic.Int64
	// prober is the line of probes, of keep alone.
	prober *line

	asked            bool
	err              error     // why it is not well
	since, recovered time.Time // since when that is so; and when it came back last
	rtt              time.Duration
	lines            map[*line]struct{} // what is open to it, and does not only ask whether it is well
}

// take notes what it has answered, and returns whether it has become well or ill, and what is lost with it.
func (s *server) take(rtt time.Duration, err error) (changed bool, lost []*line) {
	changed = !s.asked || (s.err == nil) != (err == nil)
	if changed {
		s.since = time.Now()
	}
	switch {
	case changed && err != nil:
		lost = s.takeLines()
	case changed && s.asked:
		s.recovered = s.since
	}
	s.asked, s.rtt, s.err = true, rtt, err
	return changed, lost
}

// takeLines returns what is open, and has it forgotten.
func (s *server) takeLines() []*line {
	all := make([]*line, 0, len(s.lines))
	for l := range s.lines {
		all = append(all, l)
	}
	clear(s.lines)
	return all
}

// kick has the server asked whether it is well.
func (s *server) kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// choose returns which server is asked, nil if none is well: the one that is, unless a better one has been well for a while.
func choose(servers []*server, current *server, now time.Time) *server {
	if current != nil && current.err != nil {
		current = nil
	}
	best, equal := current, 1
	for _, s := range servers {
		switch {
		case s.err != nil || current != nil && now.Sub(s.recovered) < settled:
		case best == nil || s.priority < best.priority:
			best, equal = s, 1
		case best != current && s.priority == best.priority:
			if equal++; rand.N(equal) == 0 {
				best = s
			}
		}
	}
	return best
}

// askReady asks a server whether it is well, over a connection that is kept for that as long as it is. The error is a sentence.
func (u *Upstream) askReady(ctx context.Context, s *server, patience time.Duration) (time.Duration, error) {
	as, shown, err := u.prober()
	if err != nil {
		return 0, err
	}
	if s.prober == nil || !s.prober.shown.same(shown) {
		s.closeProber(errReplaced)
		s.prober = newLine(s, shown, u.config.Proxy)
	}
	began, read := time.Now(), s.read.Load()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.prober.askReady(ctx, as)
	rtt := time.Since(began)
	if err != nil {
		s.closeProber(err)
	}
	switch {
	case err == nil:
		return rtt, nil
	case errors.Is(err, context.DeadlineExceeded) && s.read.Load()-read >= busy:
		return rtt, nil
	case errors.Is(err, context.DeadlineExceeded):
		return 0, fmt.Errorf("it has not answered within %s", patience)
	}
	return 0, explain(err)
}

// prober is as whom it is asked whether servers are well: as nobody while there is no credential yet, which is asked for over them.
func (u *Upstream) prober() (as Credential, shows shown, err error) {
	as = u.config.Probe
	shows, err = u.shown(as)
	if err == nil {
		_, err = as.header(nil)
	}
	if err != nil {
		as = Credential{}
		shows, err = u.shown(as)
	}
	return as, shows, err
}

// closeProber has the next probe connect anew.
func (s *server) closeProber(why error) {
	if s.prober != nil {
		s.prober.end(why)
		s.prober = nil
	}
}

// askReady asks for /readyz.
func (l *line) askReady(ctx context.Context, as Credential) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.url.String()+"/readyz", nil)
	if err != nil {
		return err
	}
	if request.Header, err = as.header(request.Header); err != nil {
		return err
	}
	response, err := l.any.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)); err != nil {
		return err
	}
	switch code := response.StatusCode; {
	case code/100 == 2, code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusTooManyRequests:
		return nil
	default:
		return fmt.Errorf("it answers GET /readyz with %d %s", code, http.StatusText(code))
	}
}
