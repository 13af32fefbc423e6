package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/enroll"
	"github.com/koinon-io/koinon/pkg/tunnel/enroll/podsecret"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestAgentsOfAMember is one test of several: a federation takes longer to start than to use.
func TestAgentsOfAMember(t *testing.T) {
	f := newFederation(t, startServer(t, testbed.KoinonOptions{Args: []string{"--tunnel-advertise-address=127.0.0.1," + onlyByProxy}}))
	f.keepInSecrets()
	f.waitsFor()
	f.renews()
	f.goByWhatLetsOnlyHTTPSThrough() // an agent runs on

	f.goes(v1beta1.TunnelNever) // its endpoint answers nobody
	f.is(v1beta1.ClusterOffline, "")
	f.goes("")
	f.is(v1beta1.ClusterReady, "")
	f.works()
}

// keepInSecrets runs two agents of which one is enough, and starts each anew with what its Secret has.
func (f *federation) keepInSecrets() {
	f.Helper()
	e := f.enrol("--server", fmt.Sprintf("127.0.0.1:%d", f.tunnelPort(f.server, 1)))
	agents := [2]*testbed.Agent{f.startAgent(e, 0), f.startAgent(e, 1)}
	f.connected(2)
	f.propagates()
	agents[0].Kill9(f)
	f.reached()
	withoutTokens := enrolment{args: e.args}
	agents[0] = f.startAgent(withoutTokens, 0)
	f.connected(3)
	agents[1].Kill9(f)
	f.reached()

	f.mayNoMore()
	if err := f.member.Client(f).CoreV1().Secrets(agentNamespace).Delete(f.Context(), replica(1), metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
	agents[1] = f.startAgent(withoutTokens, 1)
	agents[1].AwaitOutput(f, "the Secret koinon-agent/koinon-agent-1 does not exist: it was deleted, and what was in it is lost")
	f.enrol() // makes it anew
	agents[1].AwaitOutput(f, "there is no certificate in the Secret koinon-agent/koinon-agent-1, and there is no token")
	agents[1].AwaitEnd(f)

	agents[0].Kill9(f)
	f.forget()
}

// connected waits until so many links have been made.
func (f *federation) connected(n int) {
	f.Helper()
	f.eventually(fmt.Sprintf("%d agents", n), func(context.Context) error {
		text, err := os.ReadFile(f.server.LogFile())
		if err == nil && strings.Count(string(text), `"An agent connected"`) < n {
			err = errors.New("they have not connected")
		}
		return err
	})
}

// mayNoMore asks for what the account of the agents must not have.
func (f *federation) mayNoMore() {
	f.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", f.member.AccountKubeconfig(f, agentNamespace, "koinon-agent"))
	if err != nil {
		f.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		f.Fatal(err)
	}
	ctx, secrets := f.Context(), client.CoreV1().Secrets(agentNamespace)
	kept, err := secrets.Get(ctx, replica(0), metav1.GetOptions{})
	if err != nil || len(kept.Data["agent.pem"]) == 0 || len(kept.Data["ca.crt"]) == 0 || len(kept.Data) != 2 {
		f.Errorf("it has %v, %v", kept, err)
	}
	for what, do := range map[string]func() error{
		"get the tokens": func() error { _, err := secrets.Get(ctx, "koinon-agent", metav1.GetOptions{}); return err },
		"get another's":  func() error { _, err := secrets.Get(ctx, "koinon-agent-2", metav1.GetOptions{}); return err },
		"list":           func() error { _, err := secrets.List(ctx, metav1.ListOptions{}); return err },
		"create": func() error {
			_, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
			return err
		},
		"delete":           func() error { return secrets.Delete(ctx, replica(0), metav1.DeleteOptions{}) },
		"see other spaces": func() error { _, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); return err },
	} {
		if err := do(); !apierrors.IsForbidden(err) {
			f.Errorf("it may %s: %v", what, err)
		}
	}
}

// waitsFor has kubectl koinon agent wait, as the issue has it: what reads its output applies it once that has ended.
func (f *federation) waitsFor() {
	f.Helper()
	plugin, err := testbed.Binary("kubectl-koinon")
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, plugin, "--kubeconfig", f.kubeconfig, "agent", member, "--image=registry.example/koinon-agent:v1",
		"--server", fmt.Sprintf("127.0.0.1:%d", f.tunnelPort(f.server, 1)), "--wait", "--timeout", patience.String())
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	manifest, err := io.ReadAll(out) // to the end, while the command waits
	if err != nil {
		f.Fatal(err)
	}
	a := f.startAgent(f.apply(string(manifest)), 0)
	if err := cmd.Wait(); err != nil || !strings.Contains(said.String(), `The agent of cluster "m1" at host`) {
		f.Errorf("got %v, and it said %s", err, said.String())
	}
	a.Kill9(f)
}

// renews has a certificate renewed in a Secret of the member, with a server whose clock is told.
func (f *federation) renews() {
	f.Helper()
	env, account := f.pod()
	state, err := podsecret.New(replica(1), account, func(key string) string {
		for _, variable := range env {
			if value, ok := strings.CutPrefix(variable, key+"="); ok {
				return value
			}
		}
		return ""
	})
	if err != nil {
		f.Fatal(err)
	}
	tn := authoritytest.Start(f.T, nil)
	tn.SetClock(-6 * 24 * time.Hour) // what it gets is due
	name := tunnel.Name{Cluster: member}
	keeper := func(token string) *enroll.Keeper {
		k, err := enroll.New(enroll.Config{
			Servers: []string{tn.Address}, State: state, Pins: []identity.Pin{tn.Pin()}, Name: name, Logger: authoritytest.Quiet,
			Token: func() (string, error) { return token, nil },
		})
		if err != nil {
			f.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(f.Context(), patience)
		defer cancel()
		if err := k.Start(ctx); err != nil {
			f.Fatal(err)
		}
		return k
	}
	first := keeper(tn.Tokens.New(f.T, name, tn.Now(), time.Hour))
	_, before := first.Certificate()
	tn.SetClock(0)
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	first.OnRenewed(cancel)
	first.Run(ctx) // until it has renewed it
	if _, after := keeper("").Certificate(); after.Sub(before) < 5*24*time.Hour {
		f.Errorf("another process has one until %s, and the first was until %s", after, before)
	}
}
