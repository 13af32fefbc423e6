package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func TestTheManifestOfANodesAgent(t *testing.T) {
	server := newTunnelAPI(t)
	stdout, stderr, err := run(t, "agent", "m2", "--node", "007", "--image", "registry.example/agent:v1")
	if err != nil || stderr != "" {
		t.Fatalf("got %v, and it said %s", err, stderr)
	}
	if len(server.made) != 1 || string(server.made[0].Data["cluster"]) != "m2" || string(server.made[0].Data["node"]) != "007" {
		t.Fatalf("made %v, want one token for the node 007 of m2", server.made)
	}
	var kinds []string
	for document := range strings.SplitSeq(stdout, "\n---\n") {
		var object struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		decode(t, document, &object)
		kinds = append(kinds, object.Kind)
		if object.Kind == "Namespace" {
			object.Namespace = object.Name
		}
		if object.Namespace != "koinon-agent-nodes" {
			t.Errorf("%s is in %q", object.Kind, object.Namespace)
		}
		switch object.Kind {
		case "Secret":
			var secret corev1.Secret
			decode(t, document, &secret)
			if id, _, _ := strings.Cut(secret.StringData["token"], "."); server.made[0].Name != "agent-token-"+id || secret.Name != "koinon-agent-node-007" {
				t.Errorf("the Secret %s has the token %q, and made was %s", secret.Name, id, server.made[0].Name)
			}
		case "DaemonSet":
			var set appsv1.DaemonSet
			decode(t, document, &set)
			checkNode(t, set.Spec.Template.Spec)
		}
	}
	if got := strings.Join(kinds, " "); got != "Namespace ServiceAccount Secret DaemonSet" {
		t.Errorf("it has %s", got)
	}
}

func checkNode(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	if got := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields[0].Values; !slices.Equal(got, []string{"007"}) {
		t.Errorf("it runs on %q", got)
	}
	container := pod.Containers[0]
	if container.Image != "registry.example/agent:v1" {
		t.Errorf("the image is %q", container.Image)
	}
	args := strings.Join(container.Args, " ")
	if !strings.HasPrefix(args, "--cluster=m2 --node=007 --server=koinon.example:6445 --server=[2001:db8::1]:443 --ca-pin=sha256:") || strings.Count(args, "--ca-pin=sha256:") != 2 {
		t.Errorf("its arguments are %s", args)
	}
}

func TestAnAgentOfANodeWithSystemd(t *testing.T) {
	server := newTunnelAPI(t)
	stdout, stderr, err := run(t, "agent", "m1", "--node", "edge-7", "-o", "systemd")
	if err != nil || stderr != "" || len(server.made) != 1 {
		t.Fatalf("got %v, it said %s, and made %v", err, stderr, server.made)
	}
	id := strings.TrimPrefix(server.made[0].Name, "agent-token-")
	for _, want := range []string{
		"\nSetCredential=token:" + id + ".", "  --cluster=m1 \\\n  --node=edge-7 \\\n  --server=koinon.example:6445 \\\n  --server=[2001:db8::1]:443 \\\n  --ca-pin=sha256:",
		"\nDescription=Koinon's agent of the node edge-7 of m1\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("there is no %q in\n%s", want, stdout)
		}
	}
	for _, word := range []string{"NODE", "CLUSTER", "SERVER", "PIN", "TOKEN"} {
		if strings.Contains(stdout, word) {
			t.Errorf("there is %q in\n%s", word, stdout)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd is not installed: whether it understands the unit was not asked")
		return
	}
	file := filepath.Join(t.TempDir(), "koinon-agent.service")
	stdout = strings.Replace(stdout, "ExecStart=/usr/local/bin/koinon-agent", "ExecStart=/bin/true", 1)
	if err := os.WriteFile(file, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || strings.Contains(string(said), filepath.Base(file)) {
		t.Errorf("systemd says %v: %s", err, said)
	}
}

func TestWhatNoAgentOfANodeIsMadeOf(t *testing.T) {
	for args, want := range map[string]string{
		"m1 --node N1 --image i:1":         `"N1" is no name of a node`,
		"m1 --node ../n1 --image i:1":      `"../n1" is no name of a node`,
		"m1 --node n1":                     `--image is ""`,
		"m1 -o systemd":                    "--output systemd needs --node",
		"m1 --node n1 -o yaml --image i:1": `--output is "yaml": manifest and systemd are allowed`,
		"m1 --node " + strings.Repeat("n", 201) + " --image i:1": "--node has 201 characters: 200 at most are allowed",
		"m1 --revoke --wait": "--revoke and --wait are both given",
	} {
		server := newTunnelAPI(t)
		stdout, _, err := run(t, append([]string{"agent"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
		if stdout != "" || len(server.made) != 0 {
			t.Errorf("%s: it printed %q, and made %v", args, stdout, server.made)
		}
	}
}

func TestRevokedIsWhatThereIsOfAName(t *testing.T) {
	server := newTunnelAPI(t)
	for _, args := range []string{"m1 --image i:1 --replicas 1", "m1 --node n1 -o systemd", "m1 --node n11 -o systemd", "m2 --node n1 -o systemd"} {
		if _, _, err := run(t, append([]string{"agent"}, strings.Fields(args)...)...); err != nil {
			t.Fatal(err)
		}
	}
	tokens := func() (names []string) {
		for _, s := range server.made {
			names = append(names, string(s.Data["cluster"])+"/"+string(s.Data["node"]))
		}
		return names
	}
	server.conflicts = 1
	began := time.Now().Truncate(time.Second)
	stdout, stderr, err := run(t, "agent", "m1", "--node", "n1", "--revoke")
	if err != nil || stdout != "" || !strings.Contains(stderr, `certificates of agents of node "n1" of cluster "m1" that were issued until`) || !strings.Contains(stderr, "; 1 unused tokens were deleted") {
		t.Fatalf("got %v, and it said %s%s", err, stdout, stderr)
	}
	if got := tokens(); !slices.Equal(got, []string{"m1/", "m1/n11", "m2/n1"}) {
		t.Errorf("there are tokens of %q", got)
	}
	annotations := server.clusters["m1"].Annotations
	node, when, _ := strings.Cut(annotations[v1beta1.NodeAgentsRevokedAnnotation], "=")
	if at, err := time.Parse(time.RFC3339, when); err != nil || node != "n1" || at.Before(began) || annotations[v1beta1.AgentsRevokedAnnotation] != "" {
		t.Errorf("got %v", annotations)
	}

	if _, stderr, err = run(t, "agent", "m1", "--revoke"); err != nil || !strings.Contains(stderr, "; 2 unused tokens were deleted") {
		t.Fatalf("got %v, and it said %s", err, stderr)
	}
	if got := tokens(); !slices.Equal(got, []string{"m2/n1"}) {
		t.Errorf("there are tokens of %q", got)
	}
	annotations = server.clusters["m1"].Annotations
	if _, err := time.Parse(time.RFC3339, annotations[v1beta1.AgentsRevokedAnnotation]); err != nil || !strings.HasPrefix(annotations[v1beta1.NodeAgentsRevokedAnnotation], "n1=") {
		t.Errorf("got %v", annotations)
	}
	if server.made[0].Type != agentaccess.TokenType {
		t.Error("what is left is no token")
	}
}
