package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

const agentBinary = "koinon-agent"

// AgentOptions say which agent of the tunnel to run.
type AgentOptions struct {
	// Kubeconfig is that of the administrator of the server that the agent connects to.
	Kubeconfig string
	// Member is the cluster that the agent is of, and the name that it has.
	Member *Cluster
	// Node is the name of the node that the agent stands for. Empty: for the cluster, to whose API server it connects.
	Node string
	// Machine is the real node that the agent runs on. nil: it runs on this machine. It ends with the node.
	Machine *Node
	// Args are added to koinon-agent, and Env to its environment, as KEY=VALUE. No proxy of the environment is used unless Env names it.
	Args, Env []string
}

// Agent is a koinon-agent outside of any cluster.
type Agent struct {
	place   place
	machine *Node // nil: this one
	spec    process.Spec
}

// StartAgent starts an agent with a token of kubectl koinon agent that lives as long as the test. It has its link a moment later.
func StartAgent(t testing.TB, o AgentOptions) *Agent {
	t.Helper()
	skipShort(t)
	a, err := enrolAgent(t.Context(), o)
	return a.begin(t, err)
}

// RunAgent runs koinon-agent with arguments as they are, until the test ends.
func RunAgent(t testing.TB, args []string, env ...string) *Agent {
	t.Helper()
	skipShort(t)
	a, err := newAgent(AgentOptions{Args: args, Env: env})
	return a.begin(t, err)
}

func (a *Agent) begin(t testing.TB, err error) *Agent {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	a.place.clean(t, filepath.Base(a.place.dir), a.kill) // a test may have many
	a.Start(t)
	return a
}

// SharedAgent is an agent for all tests of a package.
func SharedAgent(options func() (AgentOptions, error)) *Shared[*Agent] {
	return &Shared[*Agent]{start: func() (*Agent, error) {
		o, err := options()
		if err != nil {
			return nil, err
		}
		a, err := enrolAgent(context.Background(), o)
		if err != nil {
			return nil, err
		}
		atEnd(func(ctx context.Context, keepLogsAs string) error {
			err := a.kill(ctx)
			_, removeErr := a.place.remove(keepLogsAs)
			return errors.Join(err, removeErr)
		}, "shared-"+agentBinary)
		return a, a.start()
	}}
}

// newAgent is an agent without a token.
func newAgent(o AgentOptions) (*Agent, error) {
	binary, err := Binary(agentBinary)
	if err != nil {
		return nil, err
	}
	p, err := newPlace(agentBinary)
	if err != nil {
		return nil, err
	}
	return &Agent{place: p, machine: o.Machine, spec: process.Spec{
		Path: binary, Args: o.Args, Env: slices.Concat([]string{"HTTPS_PROXY=", "https_proxy="}, o.Env),
		LogFile: filepath.Join(p.logs(), "agent.log"), PIDFile: filepath.Join(p.dir, "agent.pid"), Tied: true,
	}}, nil
}

// enrolAgent is an agent with a token.
func enrolAgent(ctx context.Context, o AgentOptions) (*Agent, error) {
	enrolment := clusterEnrolment
	if o.Node != "" {
		enrolment = nodeEnrolment
	}
	args, token, err := enrolment(ctx, o)
	// A server may be ready a moment before agents can be told of it.
	for deadline := time.Now().Add(Patience); err != nil && strings.Contains(err.Error(), "the server has no tunnel") && time.Now().Before(deadline); {
		args, token, err = enrolment(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	a, err := newAgent(o)
	if err != nil {
		return nil, err
	}
	tokenFile := filepath.Join(a.place.dir, "token")
	a.spec.Args = slices.Concat(args, []string{"--token-file=" + tokenFile, "--state-dir=" + filepath.Join(a.place.dir, "state")}, o.Args)
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		_, removeErr := a.place.remove("")
		return nil, errors.Join(err, removeErr)
	}
	return a, nil
}

// clusterEnrolment is what a manifest of kubectl koinon agent has that an agent outside of a cluster needs.
func clusterEnrolment(ctx context.Context, o AgentOptions) (args []string, token string, err error) {
	at, err := url.Parse(o.Member.Server())
	if err != nil {
		return nil, "", err
	}
	manifest, _, err := runPlugin(ctx, o.Kubeconfig, "agent", o.Member.Name(), "--image=registry.example/koinon-agent:v1")
	if err != nil {
		return nil, "", err
	}
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		var secret corev1.Secret
		if err := yaml.Unmarshal([]byte(document), &secret); err != nil {
			return nil, "", fmt.Errorf("the manifest of kubectl koinon agent: %w", err)
		}
		for _, value := range secret.StringData { // one for each replica; the files of their states are not there yet
			if secret.Kind == "Secret" {
				token = value
			}
		}
		for line := range strings.Lines(document) {
			arg := strings.TrimPrefix(strings.TrimSpace(line), "- ")
			for _, kept := range []string{"--cluster=", "--server=", "--ca-pin="} {
				if strings.HasPrefix(arg, kept) {
					args = append(args, arg)
				}
			}
		}
	}
	if token == "" || len(args) < 3 {
		return nil, "", fmt.Errorf("the manifest of kubectl koinon agent has no token, or not all arguments: %v", args)
	}
	return append(args, "--apiserver="+at.Host), token, nil
}

var (
	unitToken = regexp.MustCompile(`(?m)^SetCredential=token:(.*)$`)
	unitStart = regexp.MustCompile(`(?ms)^ExecStart=/usr/local/bin/koinon-agent (.*?[^\\])\n`)
)

// nodeEnrolment is what a unit for systemd says, with other files.
func nodeEnrolment(ctx context.Context, o AgentOptions) (args []string, token string, err error) {
	unit, _, err := runPlugin(ctx, o.Kubeconfig, "agent", o.Member.Name(), "--node", o.Node, "--output=systemd")
	if err != nil {
		return nil, "", err
	}
	found, command := unitToken.FindStringSubmatch(unit), unitStart.FindStringSubmatch(unit)
	if found == nil || command == nil {
		return nil, "", fmt.Errorf("the unit of kubectl koinon agent has no token or no command:\n%s", unit)
	}
	for _, arg := range strings.Fields(strings.ReplaceAll(command[1], "\\\n", " ")) {
		if !strings.HasPrefix(arg, "--token-file=") && !strings.HasPrefix(arg, "--state-dir=") {
			args = append(args, arg)
		}
	}
	return args, found[1], nil
}

// LogFile of the agent.
func (a *Agent) LogFile() string { return a.spec.LogFile }

// Output is what the agent has said since the first time that it was started.
func (a *Agent) Output(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(a.spec.LogFile)
	return string(must(t, text, err))
}

// AwaitOutput waits until the agent has said something.
func (a *Agent) AwaitOutput(t testing.TB, want string) {
	t.Helper()
	Eventually(t, "the agent says "+want, func(context.Context) error {
		if said := a.Output(t); !strings.Contains(said, want) {
			return errors.New(said)
		}
		return nil
	})
}

// Runs says whether the agent runs.
func (a *Agent) Runs() bool {
	_, running := process.Find(a.spec.PIDFile)
	return running
}

// AwaitEnd waits until the agent has ended by itself.
func (a *Agent) AwaitEnd(t testing.TB) {
	t.Helper()
	Eventually(t, "the agent ends", func(context.Context) error {
		if a.Runs() {
			return errors.New(a.Output(t))
		}
		return nil
	})
}

// Kill9 kills the agent as with kill -9, and keeps its state.
func (a *Agent) Kill9(t testing.TB) {
	t.Helper()
	if err := a.kill(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// Stop asks an agent of this machine to end, and waits for that.
func (a *Agent) Stop(t testing.TB, grace time.Duration) {
	t.Helper()
	if err := process.Stop(context.WithoutCancel(t.Context()), a.spec.PIDFile, grace); err != nil {
		t.Fatal(err)
	}
}

// Start starts an agent that was stopped or killed, with its state.
func (a *Agent) Start(t testing.TB) {
	t.Helper()
	if err := a.start(); err != nil {
		t.Fatal(err)
	}
}

func (a *Agent) start() error {
	if a.machine != nil {
		return a.machine.run(a.spec)
	}
	return process.Start(a.spec)
}

func (a *Agent) kill(ctx context.Context) error { return process.Stop(ctx, a.spec.PIDFile, 0) }
