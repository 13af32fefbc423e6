package memberaccess

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// endpointAddress is that of the member, as a transport asks for it.
const endpointAddress = "192.0.2.1:6443"

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// network is what there is to connect to. A way answers after a time; 0 is at once.
type network struct {
	*testing.T
	directErr, agentErr     error
	directTakes, agentTakes time.Duration
	// direct and agent are how often each was asked, and open the connections that nobody has closed.
	direct, agent, open atomic.Int32
}

// named is a connection that says by which way it was made.
type named struct {
	net.Conn
	way     string
	network *network
}

func (c *named) Close() error { c.network.open.Add(-1); return nil }

// connect waits, in the time of a bubble.
func (n *network) connect(ctx context.Context, way string, takes time.Duration, err error) (net.Conn, error) {
	select {
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	case <-time.After(takes):
	}
	if err != nil {
		return nil, err
	}
	n.open.Add(1)
	return &named{way: way, network: n}, nil
}

func (n *network) dialer(spec v1beta1.KubeFedClusterSpec, secret *corev1.Secret) dialFunc {
	n.Helper()
	c := cluster(spec)
	config, err := Config(c, bound(spec, secret), now)
	if err != nil {
		n.Fatal(err)
	}
	return Dialer(c, config, func(ctx context.Context, member string) (net.Conn, error) {
		if member != c.Name {
			n.Errorf("an agent of %s is asked", member)
		}
		n.agent.Add(1)
		return n.connect(ctx, "agent", n.agentTakes, n.agentErr)
	}, func(ctx context.Context, _, _ string) (net.Conn, error) {
		n.direct.Add(1)
		return n.connect(ctx, "direct", n.directTakes, n.directErr)
	})
}

// dials says by which way a connection was made, or why none was, and how long that took.
func (n *network) dials(dial dialFunc, address string) (string, time.Duration) {
	n.Helper()
	began := time.Now()
	conn, err := dial(n.Context(), "tcp", address)
	took := time.Since(began)
	synctest.Wait()
	if err != nil {
		if open := n.open.Load(); open != 0 {
			n.Errorf("%d connections are open", open)
		}
		return ConnectionProblem(err), took
	}
	time.Sleep(time.Hour) // whatever still goes on
	if open := n.open.Load(); open != 1 {
		n.Errorf("%d connections are open, want the one that was returned", open)
	}
	_ = conn.Close()
	return conn.(*named).way, took
}

func TestAMemberWhoseEndpointAnswersIsReachedDirectly(t *testing.T) {
	const away = "no agent of it is connected"
	noAgent := NoAgent(away)
	for what, test := range map[string]struct {
		network *network
		want    string
		took    time.Duration
	}{
		"it answers":                              {&network{}, "direct", 0},
		"it answers soon":                         {&network{directTakes: silence / 2}, "direct", silence / 2},
		"it answers late, before the agent":       {&network{directTakes: 2 * silence, agentTakes: 2 * silence}, "direct", 2 * silence},
		"it answers late, without an agent":       {&network{directTakes: 9 * silence, agentErr: noAgent}, "direct", 9 * silence},
		"nobody is there":                         {&network{directErr: errRefused}, "agent", 0},
		"it says nothing":                         {&network{directTakes: time.Hour}, "agent", silence},
		"it says nothing, and the agent is slow":  {&network{directTakes: time.Hour, agentTakes: 2 * silence}, "agent", 3 * silence},
		"nobody is there, and no agent":           {&network{directErr: errRefused, agentErr: noAgent}, "connection refused", 0},
		"nobody is there, and the agent is lost":  {&network{directErr: errRefused, agentErr: context.Canceled}, "connection refused", 0},
		"it says nothing, and no agent":           {&network{directTakes: time.Minute, directErr: syscall.ETIMEDOUT, agentErr: noAgent}, "no answer in time", time.Minute},
		"neither leads there":                     {&network{directErr: errRefused, agentErr: NotDialed("its agent does not either")}, "connection refused; and its agent does not either", 0},
		"neither does, and the endpoint is slow":  {&network{directTakes: time.Minute, directErr: syscall.ETIMEDOUT, agentErr: NotDialed("its agent does not either")}, "no answer in time; and its agent does not either", time.Minute},
		"something that there is no sentence for": {&network{directErr: io.ErrShortWrite, agentErr: NotDialed("its agent does not either")}, "short write; and its agent does not either", 0},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := test.network
				n.T = t
				dial := n.dialer(v1beta1.KubeFedClusterSpec{APIEndpoint: "https://" + endpointAddress}, secret(v1beta1.TokenKey, "t"))
				if got, took := n.dials(dial, endpointAddress); got != test.want || took != test.took {
					t.Errorf("got %q after %s, want %q after %s", got, took, test.want, test.took)
				}
			})
		})
	}
}

func TestADeadEndpointIsWaitedForOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{T: t, directTakes: time.Hour}
		dial := n.dialer(v1beta1.KubeFedClusterSpec{APIEndpoint: endpointAddress}, secret(v1beta1.TokenKey, "t"))
		takes := func(want string, in time.Duration) {
			t.Helper()
			began := time.Now()
			conn, err := dial(t.Context(), "tcp", endpointAddress)
			if err != nil {
				t.Fatal(err)
			}
			if way := conn.(*named).way; way != want || time.Since(began) != in {
				t.Errorf("got %s after %s, want %s after %s", way, time.Since(began), want, in)
			}
			_ = conn.Close()
			synctest.Wait() // the other has given up
		}
		takes("agent", silence)
		takes("agent", 0)
		time.Sleep(agentFirst)
		takes("agent", silence)
		n.directTakes, n.agentErr = 0, NoAgent("gone")
		takes("direct", 0) // although the agent was to be asked first
		n.agentErr = nil
		takes("direct", 0)
		if n.direct.Load() != 4 || n.agent.Load() != 4 {
			t.Errorf("the endpoint was tried %d times, and the agent %d times", n.direct.Load(), n.agent.Load())
		}
	})
}

func TestWhoGivesUpLeavesNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{T: t, directTakes: time.Hour, agentTakes: time.Hour}
		dial := n.dialer(v1beta1.KubeFedClusterSpec{APIEndpoint: endpointAddress}, secret(v1beta1.TokenKey, "t"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := dial(ctx, "tcp", endpointAddress)
		var op *net.OpError
		if ConnectionProblem(err) != "no answer in time" || !errors.As(err, &op) || op.Op != "dial" || n.agent.Load() != 1 {
			t.Errorf("got %v, and the agent was asked %d times", err, n.agent.Load())
		}
		synctest.Wait() // no goroutine is left, or the bubble does not end
	})
}

func TestAnAgentIsNotAskedForWhatItMustNotSee(t *testing.T) {
	const insecure = `{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], users: [{name: u, user: {token: t}}],
clusters: [{name: k, cluster: {server: "https://192.0.2.1:6443", insecure-skip-tls-verify: true}}]}`
	endpoint := "https://" + endpointAddress
	for what, test := range map[string]struct {
		spec    v1beta1.KubeFedClusterSpec
		secret  *corev1.Secret
		address string
	}{
		"spec.tunnel is Never":              {v1beta1.KubeFedClusterSpec{APIEndpoint: endpoint, Tunnel: v1beta1.TunnelNever}, nil, ""},
		"a check of the certificate is off": {v1beta1.KubeFedClusterSpec{APIEndpoint: endpoint, DisabledTLSValidations: []v1beta1.TLSValidation{v1beta1.TLSValidityPeriod}}, nil, ""},
		"all checks are off":                {v1beta1.KubeFedClusterSpec{APIEndpoint: endpoint, DisabledTLSValidations: []v1beta1.TLSValidation{v1beta1.TLSAll}}, nil, ""},
		"the kubeconfig has none":           {v1beta1.KubeFedClusterSpec{}, secret(v1beta1.KubeconfigKey, insecure), ""},
		"a proxy":                           {v1beta1.KubeFedClusterSpec{APIEndpoint: endpoint, ProxyURL: "http://proxy:1"}, nil, "proxy:1"},
		"a proxy of the kubeconfig":         {v1beta1.KubeFedClusterSpec{}, secret(v1beta1.KubeconfigKey, kubeconfig(`server: "https://192.0.2.1:6443", proxy-url: "http://proxy:1"`, "token: t")), "proxy:1"},
		"a proxy of the environment":        {v1beta1.KubeFedClusterSpec{APIEndpoint: endpoint}, nil, "proxy:1"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{T: t, directErr: errRefused}
				if test.secret == nil {
					test.secret = secret(v1beta1.TokenKey, "t")
				}
				if test.address == "" {
					test.address = endpointAddress
				}
				if got, _ := n.dials(n.dialer(test.spec, test.secret), test.address); got != "connection refused" || n.agent.Load() != 0 {
					t.Errorf("got %q, and the agent was asked %d times", got, n.agent.Load())
				}
			})
		})
	}
}

func TestAnEndpointIsComparedAsTransportsAskForIt(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://m1.example": "m1.example:443", "m1.example:6443": "m1.example:6443", "https://[2001:db8::1]/path": "[2001:db8::1]:443",
	} {
		spec := v1beta1.KubeFedClusterSpec{APIEndpoint: endpoint, CABundle: nil}
		config, err := Config(cluster(spec), bound(spec, secret(v1beta1.TokenKey, "t")), now)
		if err != nil {
			t.Fatal(err)
		}
		asked := ""
		DialWith(config, Dialer(cluster(spec), config, func(context.Context, string) (net.Conn, error) { return nil, NotDialed("asked") },
			func(_ context.Context, _, address string) (net.Conn, error) { asked = address; return nil, errDialed }))
		config.Host = strings.TrimSuffix(withScheme(config.Host), "/path")
		if err := ask(t, config); asked != want || ConnectionProblem(err) != "dialed; and asked" {
			t.Errorf("%s: asked for %q, and got %v", endpoint, asked, err)
		}
	}
}

func TestAServerWithoutATunnelConnectsAsEver(t *testing.T) {
	c := cluster(v1beta1.KubeFedClusterSpec{APIEndpoint: "https://" + endpointAddress})
	if Dialer(c, &rest.Config{Host: "https://" + endpointAddress}, nil, nil) != nil {
		t.Error("it is not the network's dialer")
	}
}
