// Package members_test joins a member as docs/members.md says: it runs the commands that are in
// the document, and nothing in their place.
package members_test

import (
	"strings"
	"testing"

	"github.com/koinon-io/koinon/test/testbed"
)

const system = "kube-federation-system"

// TestAMemberIsJoined by the command for it, which takes away again what it made, and then by hand.
func TestAMemberIsJoined(t *testing.T) {
	member := testbed.StartCluster(t, testbed.ClusterOptions{Name: "m1"})
	koinon := testbed.StartKoinon(t, testbed.KoinonOptions{})
	p := &person{T: t, kubeconfig: testbed.WithMember(t, koinon.Kubeconfig(), member), document: testbed.ReadDocument(t, "members.md")}
	p.joinsByCommand()
	p.joinsByHand(member)
}

// joinsByHand joins the member by the commands of the document.
func (p *person) joinsByHand(member *testbed.Cluster) {
	p.Helper()
	byHand := p.document.Commands(p, "### By hand")
	if !strings.Contains(byHand, "server=https://m1.example:6443\n") {
		p.Fatal("the document does not say where to put the member's address")
	}
	p.run(strings.Replace(byHand, "https://m1.example:6443", member.Server(), 1))
	p.kubectl("-n", system, "wait", "kubefedcluster", "m1", "--for=condition=Ready", "--timeout=10s")
	p.propagates("by-hand")
	p.run(p.document.Commands(p, "## Rights in the member"))
	p.propagates("with-less-rights")

	// What kubefedctl join leaves: the token alone in the Secret, and the rest in the cluster.
	token := p.kubectl("-n", system, "get", "secret", "m1", "-o", "jsonpath={.data.token}")
	authority := p.kubectl("-n", system, "get", "secret", "m1", "-o", `jsonpath={.data.ca\.crt}`)
	p.kubectl("-n", system, "delete", "kubefedcluster,secret", "m1")
	p.apply(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "m1-x7k2p", "namespace": "` + system + `"}, "data": {"token": "` + token + `"}}`)
	p.apply(`{"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster", "metadata": {"name": "m1", "namespace": "` + system + `"},
		"spec": {"apiEndpoint": "` + member.Server() + `", "caBundle": "` + authority + `", "secretRef": {"name": "m1-x7k2p"}}}`)
	p.kubectl("-n", system, "wait", "kubefedcluster", "m1", "--for=condition=ConfigMalformed", "--timeout=60s")
	p.run(p.document.Commands(p, "### After `kubefedctl join`"))
	p.kubectl("-n", system, "wait", "kubefedcluster", "m1", "--for=condition=Ready", "--timeout=60s")
	p.propagates("after-kubefedctl")
}

// person is somebody with a shell, the document, and a kubeconfig: Koinon is its current context,
// and the member its context m1.
type person struct {
	*testing.T
	kubeconfig string
	document   testbed.Document
}

// run pastes commands into a shell.
func (p *person) run(commands string) {
	p.Helper()
	testbed.Shell(p, p.kubeconfig, commands)
}

func (p *person) kubectl(args ...string) string {
	p.Helper()
	return testbed.Kubectl(p, p.kubeconfig, args...)
}

func (p *person) apply(manifest string) {
	p.Helper()
	testbed.KubectlStdin(p, p.kubeconfig, manifest, "apply", "-f", "-")
}

// propagates sends a ConfigMap to the member.
func (p *person) propagates(name string) {
	p.Helper()
	p.kubectl("create", "namespace", name)
	p.apply(`{"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedNamespace", "metadata": {"name": "` + name + `", "namespace": "` + name + `"}, "spec": {"template": {}, "placement": {"topologies": [{"name": "m1"}]}}}`)
	p.apply(`{"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedConfigMap", "metadata": {"name": "greeting", "namespace": "` + name + `"},
		"spec": {"template": {"data": {"hello": "` + name + `"}}, "placement": {"topologies": [{"name": "m1"}]}}}`)
	p.kubectl("-n", name, "wait", "federatedconfigmap", "greeting", "--for=condition=Propagation", "--timeout=90s")
	if got := p.kubectl("--context", "m1", "-n", name, "get", "configmap", "greeting", "-o", "jsonpath={.data.hello}"); got != name {
		p.Errorf("the member has %q, want %q", got, name)
	}
}
