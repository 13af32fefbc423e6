package memberaccess

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

const (
	// silence is how long an endpoint may leave a connection unanswered before an agent is asked as well.
	silence = time.Second
	// agentFirst is how long an agent is asked first, after the endpoint led nowhere: new connections do not wait for a dead
	// address, and an endpoint that is back is used a while later.
	agentFirst = time.Minute
	// dialTimeout is that of the library, for connections and for keep-alives.
	dialTimeout = 30 * time.Second
)

// ways are the two ways to a member.
type ways struct {
	member string
	// endpoint is the address of the API server, as a transport asks for it.
	endpoint string
	direct   dialFunc
	agent    Tunnel

	mu sync.Mutex
	// until is when the endpoint is tried again; guarded by mu.
	until time.Time
}

// verifiedEndpoint is the address that a configuration connects to; ok is false if it does that through a proxy, or does not check
// in full whom it has connected to.
func verifiedEndpoint(cluster *v1beta1.KubeFedCluster, config *rest.Config) (address string, ok bool) {
	relaxed := config.Insecure || config.Transport != nil || len(cluster.Spec.DisabledTLSValidations) > 0 // see relax
	if relaxed || config.Proxy != nil || cluster.Spec.ProxyURL != "" {
		return "", false
	}
	u, _, err := rest.DefaultServerUrlFor(config)
	if err != nil || u.Scheme != "https" {
		return "", false
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port), true
}

// dial opens a connection to the member, by the way that leads there.
func (w *ways) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address != w.endpoint { // a proxy that the environment names: an agent leads to none
		return w.direct(ctx, network, address)
	}
	if w.asksAgentFirst() {
		conn, err := w.agent(ctx, w.member)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		w.remember(time.Time{})
	}
	return w.race(ctx, network, address)
}

func (w *ways) asksAgentFirst() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.until)
}

func (w *ways) remember(until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = until
}

// race connects to the endpoint, and asks an agent as well once that has failed or says nothing for a while. The first
// connection is taken.
func (w *ways) race(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the other is given up
	direct := attempt(ctx, func() (net.Conn, error) { return w.direct(ctx, network, address) })
	var agent <-chan attempted // nil until it is asked
	ask := func() {
		if agent == nil {
			agent = attempt(ctx, func() (net.Conn, error) { return w.agent(ctx, w.member) })
		}
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	var failed, refused error // of the endpoint, and of the agent
	for failed == nil || refused == nil {
		select {
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		case <-timer.C:
			ask()
		case got := <-direct:
			if got.err == nil {
				return got.conn, nil
			}
			failed = got.err
			ask()
		case got := <-agent:
			if got.err == nil {
				w.remember(time.Now().Add(agentFirst))
				return got.conn, nil
			}
			refused = got.err
		}
	}
	return nil, neither(failed, refused)
}

// attempted is how an attempt ended.
type attempted struct {
	conn net.Conn
	err  error
}

// attempt opens a connection, and says once how that ended. A connection that nobody takes until ctx ends is closed.
func attempt(ctx context.Context, dial func() (net.Conn, error)) <-chan attempted {
	ended := make(chan attempted)
	go func() { // ends with the attempt, which ends with ctx
		conn, err := dial()
		select {
		case ended <- attempted{conn, err}:
		case <-ctx.Done():
			if err == nil {
				_ = conn.Close()
			}
		}
	}()
	return ended
}

// neither is the error of a member that is reached in neither way. Without an agent it is that of the endpoint, as if there were
// no tunnel.
func neither(direct, agent error) error {
	var told *TunnelError
	if !errors.As(agent, &told) || told.NoAgent {
		return direct
	}
	problem := ConnectionProblem(direct)
	if problem == "" {
		problem = direct.Error()
	}
	return NotDialed("%s; and %s", problem, told.Problem)
}
