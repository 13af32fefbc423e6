package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Server is an API server.
type Server struct {
	// URL is https://HOST[:PORT], and a path if it is not at the root.
	URL string
	// Priority: lower ones are asked first.
	Priority int
	// Name is what its certificate names, if that is not the host of URL.
	Name string
}

// Config says how an Upstream works. Servers and CAs are required.
type Config struct {
	Servers []Server
	// CAs returns the authorities of servers, as they are now. It is called often.
	CAs func() (*x509.CertPool, error)
	// Probe is as whom it is asked whether a server is well; the zero one is nobody.
	Probe Credential
	// Proxy returns how a server is reached; http.ProxyFromEnvironment if it is nil.
	Proxy func(*http.Request) (*url.URL, error)
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Upstream is the API servers.
type Upstream struct {
	config  Config
	servers []*server
	// probe asks a server; it is askReady, but in tests.
	probe func(ctx context.Context, s *server, patience time.Duration) (time.Duration, error)
	// retireAfter is the constant, but in tests.
	retireAfter time.Duration

	mu         sync.Mutex
	chosen     *server       // guarded by mu, as what follows; nil if none is well
	changes    chan struct{} // closed at the next change
	transports []*transport
	ended      bool
}

// Errors of requests.
var (
	// ErrAway is that no API server answers, and why. The caller answers from what it has, or tries again later.
	ErrAway = errors.New("no API server answers")
	// ErrOwnCredential is that a request brings a credential of its own to a transport that shows another.
	ErrOwnCredential = errors.New("a request with a token of its own is not made as somebody else")
	// errEnded is that Run has returned.
	errEnded = errors.New("the hub ends")
)

// New checks the servers, and asks nobody.
func New(config Config) (*Upstream, error) {
	if len(config.Servers) == 0 || config.CAs == nil {
		return nil, errors.New("upstream: at least one API server, and its authorities, are required")
	}
	if config.Proxy == nil {
		config.Proxy = http.ProxyFromEnvironment
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	u := &Upstream{config: config, retireAfter: retireAfter, changes: make(chan struct{})}
	u.probe = u.askReady
	seen := map[string]bool{}
	for _, s := range config.Servers {
		parsed, err := parseURL(s.URL)
		if err != nil {
			return nil, err
		}
		if seen[parsed.String()] {
			return nil, fmt.Errorf("API server %q is there twice", s.URL)
		}
		seen[parsed.String()] = true
		u.servers = append(u.servers, &server{url: parsed, priority: s.Priority, name: s.Name, kicked: make(chan struct{}, 1), lines: map[*line]struct{}{}})
	}
	u.chosen = choose(u.servers, nil, time.Now())
	return u, nil
}

func parseURL(text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return nil, fmt.Errorf("API server %q: https://HOST[:PORT] is needed, and nothing but a path may follow", redact(text, parsed))
	}
	parsed.Path, parsed.RawPath = strings.TrimRight(parsed.Path, "/"), ""
	return parsed, nil
}

// redact leaves a password out.
func redact(text string, parsed *url.URL) string {
	if parsed != nil {
		return parsed.Redacted()
	}
	if _, after, ok := strings.Cut(text, "@"); ok {
		return "...@" + after
	}
	return text
}

// Run asks servers whether they are well until ctx ends. Then all connections are closed, and requests fail.
func (u *Upstream) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range u.servers {
		all.Go(func() { u.keep(ctx, s) }) // ends with ctx
	}
	for wait(ctx, refreshEvery, nil) {
		for _, t := range u.allTransports() {
			t.refresh()
		}
	}
	all.Wait()
	u.end()
}

func (u *Upstream) allTransports() []*transport {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.transports[:len(u.transports):len(u.transports)]
}

func (u *Upstream) end() {
	u.mu.Lock()
	u.ended = true
	var open []*line
	for _, s := range u.servers {
		open = append(open, s.takeLines()...)
	}
	u.mu.Unlock()
	for _, l := range open {
		l.end(errEnded)
	}
}

// wait waits for a while, or until there is a reason not to, and reports whether to go on.
func wait(ctx context.Context, d time.Duration, reason <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-reason:
	}
	return ctx.Err() == nil
}

// keep asks one server.
func (u *Upstream) keep(ctx context.Context, s *server) {
	defer s.closeProber(errEnded)
	for {
		rtt, err := u.probe(ctx, s, u.patience(s))
		if ctx.Err() != nil {
			return
		}
		u.note(s, rtt, err)
		if !wait(ctx, leastPause, nil) || !wait(ctx, jitter(u.every(s)), s.kicked) {
			return
		}
	}
}

// jitter is from three to five quarters of d: hubs that began together do not ask together.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

// patience is how long a server may take to answer.
func (u *Upstream) patience(s *server) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, other := range u.servers {
		if other != s && other.err == nil {
			return patienceOfMany
		}
	}
	return patienceAlone
}

// every is how often a server is asked: one that came back so often that it cannot go again unnoticed.
func (u *Upstream) every(s *server) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s == u.chosen || u.chosen == nil || time.Since(s.recovered) < settled {
		return probeChosen
	}
	return probeOthers
}

// note takes what a server has answered.
func (u *Upstream) note(s *server, rtt time.Duration, err error) {
	u.mu.Lock()
	changed, lost := s.take(rtt, err)
	before := u.chosen
	u.chosen = choose(u.servers, before, time.Now())
	chosen, moved := u.chosen, u.chosen != before
	if changed || moved {
		close(u.changes)
		u.changes = make(chan struct{})
	}
	u.mu.Unlock()
	for _, l := range lost {
		l.end(err)
	}
	switch logger := u.config.Logger.With("server", s.url.String()); {
	case changed && err != nil:
		logger.Warn("Lost an API server", "err", err)
	case changed:
		logger.Info("Reached an API server")
	}
	if moved && chosen != nil {
		u.config.Logger.Info("Chose an API server", "server", chosen.url.String(), "priority", chosen.priority)
	}
}

// choice is the server that is asked now. Before it was asked whether it is well, it is tried.
func (u *Upstream) choice() (*server, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return nil, errEnded
	}
	if u.chosen != nil {
		return u.chosen, nil
	}
	whys := make([]string, 0, len(u.servers))
	for _, s := range u.servers {
		whys = append(whys, s.url.String()+": "+s.err.Error())
	}
	return nil, fmt.Errorf("%w: %s", ErrAway, strings.Join(whys, "; "))
}

// ServerStatus is how a server is.
type ServerStatus struct {
	URL      string
	Priority int
	// Chosen: requests go there.
	Chosen bool
	// Healthy: it has answered when it was asked last. Before it was asked it is neither healthy nor is there an Err.
	Healthy bool
	// Since is since when it has been so; zero before it was asked.
	Since time.Time
	// Err is why it is not healthy, a sentence.
	Err error
	// RTT is how long its last answer took.
	RTT time.Duration
}

// Status returns how servers are, in the order of Config.Servers.
func (u *Upstream) Status() []ServerStatus {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make([]ServerStatus, len(u.servers))
	for i, s := range u.servers {
		all[i] = ServerStatus{
			URL: s.url.String(), Priority: s.priority, Chosen: s == u.chosen, Healthy: s.asked && s.err == nil, Since: s.since, Err: s.err, RTT: s.rtt,
		}
	}
	return all
}

// Available reports whether a server has answered when it was asked last.
func (u *Upstream) Available() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.servers {
		if s.asked && s.err == nil {
			return true
		}
	}
	return false
}

// Away reports whether no server answers: all were asked, and none is well. Before they were asked nobody knows, and requests are tried.
func (u *Upstream) Away() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.chosen == nil
}

// Changes returns a channel that is closed when a server is lost or found, or another is chosen. For the change after that it is called again.
func (u *Upstream) Changes() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.changes
}
