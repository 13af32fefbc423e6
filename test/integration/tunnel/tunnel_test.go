package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/test/testbed"
)

// noAgent is what is said of a member whose agent is gone.
const noAgent = "no agent of it is connected to the tunnel"

const federated = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedNamespace
metadata: {namespace: shop, name: shop}
spec: {placement: {clusters: [{name: m1}]}}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedConfigMap
metadata: {namespace: shop, name: settings}
spec:
  template: {data: {currency: EUR}}
  placement: {clusters: [{name: m1}]}
`

func TestAMemberThatNobodyCanConnectToIsReachedThroughItsAgent(t *testing.T) {
	f := newFederation(t, startServer(t, testbed.KoinonOptions{}))
	f.is(v1beta1.ClusterOffline, noAgent)
	f.refused(noAgent)

	first := f.enrol()
	agent := f.startAgent(first, 0)
	f.is(v1beta1.ClusterReady, "")
	f.propagates()
	f.works()
	f.tells("AgentConnected")

	agent.Kill9(f)
	f.refused(noAgent)
	f.is(v1beta1.ClusterOffline, noAgent)
	f.tells("AgentDisconnected")

	agent = f.startAgent(first, 0) // it has its certificate
	f.is(v1beta1.ClusterReady, "")
	f.works()

	other := f.startAgent(enrolment{args: first.args, tokens: map[string]string{replica(1): first.tokens[replica(0)]}}, 1)
	other.AwaitOutput(f, "is good once")
	other.Kill9(f)

	f.member.Kill(t, testbed.APIServer)
	f.refused("its agent cannot connect to the API server there: connection refused")
	f.member.Start(t)
	f.is(v1beta1.ClusterReady, "")

	f.revoke()
	agent.AwaitOutput(f, "were revoked")
	f.refused(noAgent)
	agent.Kill9(f)
	f.forget()
	f.startAgent(f.enrol(), 0)
	f.is(v1beta1.ClusterReady, "")
	f.works()

	f.server.Stop(t) // with links
}

func TestBehindAHostAMemberIsReachedThroughItsAgentToo(t *testing.T) {
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"})
	f := newFederation(t, startServer(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig()}))
	f.is(v1beta1.ClusterOffline, noAgent)
	agent := f.startAgent(f.enrol(), 0)
	f.is(v1beta1.ClusterReady, "")
	f.propagates()
	f.works()
	agent.Kill9(f)
	f.refused(noAgent)
}

// tells waits for an event at the KubeFedCluster.
func (f *federation) tells(reason string) {
	f.Helper()
	f.eventually("an event "+reason, func(context.Context) error {
		got := testbed.Kubectl(f, f.kubeconfig, "describe", "kubefedcluster", member, "-n", system, requestTimeout)
		if !strings.Contains(got, reason) {
			return errors.New(got)
		}
		return nil
	})
}

// propagates makes a federated object, and waits until it is in the member.
func (f *federation) propagates() {
	f.Helper()
	f.eventually("federated objects are taken", func(context.Context) error {
		return testbed.RunKubectl(f, f.kubeconfig, federated, "apply", "-f", "-", requestTimeout).Err
	})
	f.eventually("the object is in the member", func(ctx context.Context) error {
		found, err := f.member.Client(f).CoreV1().ConfigMaps("shop").Get(ctx, "settings", metav1.GetOptions{})
		if err == nil && found.Data["currency"] != "EUR" {
			err = fmt.Errorf("got %v", found.Data)
		}
		return err
	})
}

// works uses the member through the server as a person does.
func (f *federation) works() {
	f.Helper()
	got := testbed.Kubectl(f, f.proxied, "get", "configmap", "settings", "-n", "shop", "-o", "jsonpath={.data.currency}", requestTimeout)
	if got != "EUR" {
		f.Errorf("get: got %q", got)
	}
	node := fmt.Sprintf("node-%d", time.Now().UnixNano())
	kubelet := testbed.StartKubelet(f, f.member, node)
	pod := "on-" + node
	f.eventually("the account of the namespace", func(ctx context.Context) error {
		_, err := f.member.Client(f).CoreV1().ServiceAccounts("shop").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	kubelet.Run(f, f.member.Client(f), "shop", pod)
	if got := testbed.Kubectl(f, f.proxied, "exec", "-n", "shop", pod, "--", "sh", "-c", "echo from there"); !strings.Contains(got, "from there") {
		f.Errorf("exec: got %q", got)
	}
	if got := testbed.Kubectl(f, f.proxied, "logs", "-n", "shop", pod, requestTimeout); !strings.Contains(got, "shop/"+pod) {
		f.Errorf("logs: got %q", got)
	}
	f.watches()
}

// watches sees an object come that is made in the member.
func (f *federation) watches() {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	cmd := testbed.KubectlCommand(f, f.proxied, "get", "configmaps", "-n", "shop", "--watch", "-o", "name")
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer func() {
		stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	seen := make(chan error, 1)
	name := fmt.Sprintf("seen-%d", time.Now().UnixNano())
	begun := make(chan struct{})
	go func() { seen <- await(out, begun, "configmap/"+name+"\n") }() // ends with the process
	<-begun
	testbed.Kubectl(f, f.member.Kubeconfig(), "create", "configmap", name, "-n", "shop", requestTimeout)
	if err := <-seen; err != nil {
		f.Errorf("watch: %v", err)
	}
}

// await reads until there is a text. It closes begun when something came, or nothing will.
func await(from io.Reader, begun chan struct{}, want string) error {
	var got strings.Builder
	buffer := make([]byte, 4<<10)
	for {
		n, err := from.Read(buffer)
		got.Write(buffer[:n])
		if begun != nil {
			close(begun)
			begun = nil
		}
		if strings.Contains(got.String(), want) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w after %q", err, got.String())
		}
	}
}

// refused waits until the proxy says, of the cluster by its name, what is wrong.
func (f *federation) refused(want string) {
	f.Helper()
	f.eventually("the proxy says why", func(context.Context) error {
		said := testbed.RunKubectl(f, f.proxied, "", "get", "--raw", "/version", requestTimeout)
		if said.Err == nil || !strings.Contains(said.Stderr, `cluster "m1" does not answer: `+want) {
			return errors.New(said.Stdout + said.Stderr)
		}
		return nil
	})
}

// goes says which way the member is reached.
func (f *federation) goes(way v1beta1.TunnelUse) {
	f.Helper()
	value := "null"
	if way != "" {
		value = fmt.Sprintf("%q", way)
	}
	if _, err := f.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Patch(f.Context(), member, types.MergePatchType, []byte(`{"spec":{"tunnel":`+value+`}}`), metav1.PatchOptions{}); err != nil {
		f.Fatal(err)
	}
}

// forget deletes what the agents keep, as somebody does whose agents' certificates were revoked.
func (f *federation) forget() {
	f.Helper()
	for n := range 2 {
		if err := f.member.Client(f).CoreV1().Secrets(agentNamespace).Delete(f.Context(), replica(n), metav1.DeleteOptions{}); err != nil {
			f.Fatal(err)
		}
	}
}

// revoke refuses certificates that were issued until a second ago: one that is issued from now on is good.
func (f *federation) revoke() {
	f.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1beta1.AgentsRevokedAnnotation, time.Now().Add(-time.Second).UTC().Format(time.RFC3339))
	if _, err := f.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Patch(f.Context(), member, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.Fatal(err)
	}
}

func TestTokensInSecretsAreGoodOnce(t *testing.T) {
	server := testbed.StartKoinon(t, testbed.KoinonOptions{})
	authoritytest.RunTokens(t, func(t *testing.T, token authority.Token) []authority.Tokens {
		var replicas []authority.Tokens
		for range 2 {
			client, err := kubernetes.NewForConfig(server.RESTConfig(t))
			if err != nil {
				t.Fatal(err)
			}
			replicas = append(replicas, agentaccess.NewTokens(client.CoreV1().Secrets(system)))
		}
		if err := replicas[0].(*agentaccess.Tokens).Add(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		return replicas
	})
}
