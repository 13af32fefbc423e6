package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
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
	// Member is the cluster whose API server the agent connects to, and the name that it has.
	Member *Cluster
	// Args are added to koinon-agent, and Env to its environment, as KEY=VALUE.
	Args, Env []string
}

// Agent is a koinon-agent outside of any cluster, with a token of kubectl koinon agent.
type Agent struct {
	place place
	spec  process.Spec
}

// StartAgent starts an agent that lives as long as the test. It has its link a moment later.
func StartAgent(t testing.TB, o AgentOptions) *Agent {
	t.Helper()
	skipShort(t)
	a, err := newAgent(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	a.place.clean(t, agentBinary, a.kill)
	if err := process.Start(a.spec); err != nil {
		t.Fatal(err)
	}
	return a
}

// SharedAgent is an agent for all tests of a package.
func SharedAgent(options func() (AgentOptions, error)) *Shared[*Agent] {
	return &Shared[*Agent]{start: func() (*Agent, error) {
		o, err := options()
		if err != nil {
			return nil, err
		}
		a, err := newAgent(context.Background(), o)
		if err != nil {
			return nil, err
		}
		atEnd(func(ctx context.Context, keepLogsAs string) error {
			err := a.kill(ctx)
			_, removeErr := a.place.remove(keepLogsAs)
			return errors.Join(err, removeErr)
		}, "shared-"+agentBinary)
		return a, process.Start(a.spec)
	}}
}

func newAgent(ctx context.Context, o AgentOptions) (*Agent, error) {
	binary, err := Binary(agentBinary)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(o.Member.Server())
	if err != nil {
		return nil, err
	}
	args, token, err := enrolment(ctx, o)
	if err != nil {
		return nil, err
	}
	p, err := newPlace(agentBinary)
	if err != nil {
		return nil, err
	}
	tokenFile := filepath.Join(p.dir, "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		_, removeErr := p.remove("")
		return nil, errors.Join(err, removeErr)
	}
	return &Agent{place: p, spec: process.Spec{
		Path: binary,
		Args: slices.Concat(args, []string{"--token-file=" + tokenFile, "--state-dir=" + filepath.Join(p.dir, "state"), "--apiserver=" + at.Host}, o.Args),
		Env:  o.Env, LogFile: filepath.Join(p.logs(), "agent.log"), PIDFile: filepath.Join(p.dir, "agent.pid"), Tied: true,
	}}, nil
}

// enrolment is what a manifest of kubectl koinon agent has that an agent outside of a cluster needs.
func enrolment(ctx context.Context, o AgentOptions) (args []string, token string, err error) {
	plugin, err := Binary("kubectl-koinon")
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, plugin, "--kubeconfig", o.Kubeconfig, "agent", o.Member.Name(), "--image=registry.example/koinon-agent:v1")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, "", fmt.Errorf("kubectl koinon agent: %w: %s", err, said.String())
	}
	for document := range strings.SplitSeq(string(out), "\n---\n") {
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
	return args, token, nil
}

// LogFile of the agent.
func (a *Agent) LogFile() string { return a.spec.LogFile }

// Kill9 kills the agent as with kill -9, and keeps its state.
func (a *Agent) Kill9(t testing.TB) {
	t.Helper()
	if err := a.kill(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// Stop asks the agent to end, and waits for that.
func (a *Agent) Stop(t testing.TB, grace time.Duration) {
	t.Helper()
	if err := process.Stop(context.WithoutCancel(t.Context()), a.spec.PIDFile, grace); err != nil {
		t.Fatal(err)
	}
}

// Start starts an agent that was stopped or killed, with its state.
func (a *Agent) Start(t testing.TB) {
	t.Helper()
	if err := process.Start(a.spec); err != nil {
		t.Fatal(err)
	}
}

func (a *Agent) kill(ctx context.Context) error { return process.Stop(ctx, a.spec.PIDFile, 0) }
