package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/enroll"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
	"github.com/koinon-io/koinon/pkg/version"
)

// TunnelOptions are those of the node's agent, by which Koinon reaches kubelet. Without Servers there is none.
type TunnelOptions struct {
	// Servers are HOST:PORT, and ServerName what their certificates name instead of HOST.
	Servers    []string
	ServerName string
	// TokenFile has the token for the first certificate.
	TokenFile string
	// CAFile has the authority of servers, or CAPins are its pins.
	CAFile string
	CAPins []string
	// Transport is how they are reached.
	Transport string
	// Kubelet is HOST:PORT, and Allow are further targets.
	Kubelet string
	Allow   []string
}

// defaultKubelet is where a node's kubelet is.
const defaultKubelet = "127.0.0.1:10250"

func (o *TunnelOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&o.Servers, "tunnel-server", nil, "Where Koinon's tunnel is, `HOST:PORT`: the hub makes this node's kubelet reachable through it, as \"koinon-agent\" does. May be repeated. The default is nowhere.")
	fs.StringVar(&o.ServerName, "tunnel-server-name", "", "The `NAME` in the certificates of those servers, if it is not the HOST of --tunnel-server.")
	fs.StringVar(&o.TokenFile, "tunnel-token-file", "", "A `FILE` with the token of \"kubectl koinon agent --node\", for the first certificate there.")
	fs.StringVar(&o.CAFile, "tunnel-ca-file", "", "A `FILE` with the certificate of those servers' authority, PEM.")
	fs.StringSliceVar(&o.CAPins, "tunnel-ca-pin", nil, "Instead of --tunnel-ca-file, what the authority's public key has to be, `sha256:HEX`; may be repeated.")
	fs.StringVar(&o.Transport, "tunnel-transport", string(carrier.Auto), "The `WAY` to those servers: direct, websocket, or auto, which is what works.")
	fs.StringVar(&o.Kubelet, "tunnel-kubelet", defaultKubelet, "Where the kubelet is, `HOST:PORT`.")
	fs.StringSliceVar(&o.Allow, "tunnel-allow", nil, "What else may be connected to through the tunnel, `HOST:PORT`; HOST may be a prefix such as 10.0.0.0/8. May be repeated.")
}

func (o *TunnelOptions) validate() error {
	if len(o.Servers) == 0 {
		if o.TokenFile != "" || o.CAFile != "" || len(o.CAPins) > 0 {
			return errors.New("--tunnel-server HOST:PORT is required with other flags of the tunnel")
		}
		return nil
	}
	for flag, addresses := range map[string][]string{"tunnel-server": o.Servers, "tunnel-kubelet": {o.Kubelet}} {
		for _, address := range addresses {
			host, port, err := net.SplitHostPort(address)
			if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(host, "/ ") {
				return fmt.Errorf("--%s %q: HOST:PORT is needed, without a scheme or a path", flag, address)
			}
		}
	}
	if err := carrier.Way(o.Transport).Validate(); err != nil {
		return fmt.Errorf("--tunnel-transport: %w", err)
	}
	if o.CAFile != "" && len(o.CAPins) > 0 {
		return errors.New("--tunnel-ca-file and --tunnel-ca-pin say the same in two ways: one of them is allowed")
	}
	if _, err := o.pins(); err != nil {
		return err
	}
	_, err := o.policy()
	return err
}

func (o *TunnelOptions) pins() (pins []identity.Pin, err error) {
	for _, text := range o.CAPins {
		pin, err := identity.ParsePin(text)
		if err != nil {
			return nil, fmt.Errorf("--tunnel-ca-pin: %w", err)
		}
		pins = append(pins, pin)
	}
	return pins, nil
}

func (o *TunnelOptions) policy() (*agent.Policy, error) {
	policy, err := agent.NewPolicy(map[string]string{tunnel.Kubelet: o.Kubelet}, o.Allow...)
	if err != nil {
		return nil, fmt.Errorf("--tunnel-allow: %w", err)
	}
	return policy, nil
}

// readFile returns what reads a file; nil if it has no name.
func readFile(path string) func() ([]byte, error) {
	if path == "" {
		return nil
	}
	return func() ([]byte, error) { return os.ReadFile(path) }
}

// token reads the token's file.
func (o *TunnelOptions) token() (string, error) {
	if o.TokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(o.TokenFile)
	return strings.TrimSpace(string(text)), err
}

// nodeAgent is the agent of the node. What it keeps is in a directory of its own.
type nodeAgent struct {
	options   *TunnelOptions
	dir, node string
	pins      []identity.Pin
	policy    *agent.Policy
	logger    *slog.Logger
	// firstPause is the constant, but for tests.
	firstPause time.Duration

	mu sync.Mutex
	// What follows is guarded by mu.

	problem error          // why it has not joined, or cannot keep what it has; nil if it has, or tries to
	keeper  *enroll.Keeper // nil before it has joined, as links
	links   *agent.Agent
}

// newAgent returns the node's agent; nil if there is to be none. It touches no disk: what is wrong with that is no reason for the hub not to start.
func (o *TunnelOptions) newAgent(dir, node string, logger *slog.Logger) (*nodeAgent, error) {
	if len(o.Servers) == 0 {
		return nil, nil
	}
	pins, err := o.pins()
	if err != nil {
		return nil, err
	}
	policy, err := o.policy()
	if err != nil {
		return nil, err
	}
	return &nodeAgent{options: o, dir: filepath.Join(dir, "tunnel"), node: node, pins: pins, policy: policy, logger: logger, firstPause: firstPause}, nil
}

// firstPause and lastPause are how long is waited after the tunnel could not be joined: it doubles. Somebody may have to give another token, or room on the disk.
const firstPause, lastPause = time.Second, time.Minute

// run keeps links until ctx ends. That the node cannot join the tunnel, or is not wanted there, is no reason for the hub to end, nor to give up.
func (a *nodeAgent) run(ctx context.Context) {
	said := ""
	for pause := a.firstPause; ; pause = min(2*pause, lastPause) {
		err := a.join(ctx)
		if ctx.Err() != nil {
			return
		}
		a.note(err)
		if text := err.Error(); text != said {
			a.logger.Error("Failed to join the tunnel: it is tried again, and said if it is something else", "err", err)
			said = text
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (a *nodeAgent) note(problem error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.problem = problem
}

// write writes a file of the directory, which somebody may have removed meanwhile.
func (a *nodeAgent) write(path string, data []byte, mode os.FileMode) error {
	err := os.MkdirAll(a.dir, 0o700)
	if err == nil {
		err = durable.WriteFile(path, data, mode)
	}
	if err != nil {
		err = fmt.Errorf("--state-dir: %w", err)
	}
	a.note(err)
	return err
}

// legible is the directory, of which it is said if it cannot be read: that is tried again without end.
type legible struct {
	*enroll.Dir
	failed func(error)
}

// Read implements enroll.State.
func (s *legible) Read(file string) ([]byte, error) {
	text, err := s.Dir.Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.failed(fmt.Errorf("--state-dir: %w", err))
	}
	return text, err
}

// join keeps links until ctx ends. The error is why there are none, and not nil before that.
func (a *nodeAgent) join(ctx context.Context) error {
	o := a.options
	state, err := enroll.NewDir(a.dir, a.write)
	if err == nil {
		err = durable.RemoveUnfinished(a.dir, enroll.Files...)
	}
	if err != nil && !(state != nil && errors.Is(err, syscall.EROFS)) { // what is there is good all the same
		return fmt.Errorf("--state-dir: %w", err)
	}
	keeper, err := enroll.New(enroll.Config{
		Servers: o.Servers, ServerName: o.ServerName, State: &legible{state, a.note}, Token: o.token, CA: readFile(o.CAFile), Pins: a.pins,
		Dialer: &carrier.Dialer{Way: carrier.Way(o.Transport)}, Logger: a.logger,
	})
	if err != nil {
		return err
	}
	links, err := agent.New(agent.Config{
		Servers: o.Servers, TLS: keeper.TLS, Policy: a.policy, Transport: carrier.Way(o.Transport), Info: tunnel.AgentInfo{Version: version.Version(), Host: a.node}, Logger: a.logger,
	})
	if err != nil {
		return err
	}
	keeper.OnRenewed(links.Reconnect)
	a.note(nil) // the cloud may be away for long from here on, which is none
	if err := keeper.Start(ctx); err != nil {
		return err
	}
	if name, _ := keeper.Certificate(); name.Node != a.node {
		return fmt.Errorf("the token was for %s, and this is the node %q: remove the directory %s, and put a token for this node into --tunnel-token-file", name, a.node, a.dir)
	}
	a.mu.Lock()
	a.keeper, a.links = keeper, links
	a.mu.Unlock()
	var parts sync.WaitGroup // all end with ctx
	parts.Go(func() { keeper.Run(ctx) })
	parts.Go(func() { _ = links.Run(ctx) }) // always nil
	parts.Wait()
	return ctx.Err()
}

// report returns how it is; nil if there is none.
func (a *nodeAgent) report(now time.Time) *TunnelReport {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &TunnelReport{Problem: textOf(a.problem)}
	if a.keeper == nil {
		return r
	}
	r.Links = len(a.links.Replicas())
	if _, r.Until = a.keeper.Certificate(); now.After(r.Until) {
		r.Problem = fmt.Sprintf("the certificate there has ended at %s: put a new token, as \"kubectl koinon agent --node\" makes, into --tunnel-token-file", r.Until.UTC().Format(time.RFC3339))
	}
	return r
}
