package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// tunnelAPI is an API server of a federation, as far as an agent's manifest needs it.
type tunnelAPI struct {
	*api
	clusters map[string]*v1beta1.KubeFedCluster
	// address is the ConfigMap of the tunnel; nil if there is none.
	address *corev1.ConfigMap
	made    []corev1.Secret
	events  []corev1.Event
	// conflicts is how many updates of KubeFedClusters somebody else comes before.
	conflicts int

	mu sync.Mutex // guards all of it while requests are served
}

// set changes something while requests may be served.
func (a *tunnelAPI) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func newTunnelAPI(t *testing.T) *tunnelAPI {
	t.Helper()
	a := &tunnelAPI{api: &api{}, clusters: map[string]*v1beta1.KubeFedCluster{
		"m1": {Spec: v1beta1.KubeFedClusterSpec{Tunnel: v1beta1.TunnelAlways}},
		"m2": {Spec: v1beta1.KubeFedClusterSpec{APIEndpoint: "https://m2"}},
		"m4": {Spec: v1beta1.KubeFedClusterSpec{Tunnel: v1beta1.TunnelNever}},
		"a.shop": {ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.TopologyLabel: "cell"}},
			Spec: v1beta1.KubeFedClusterSpec{Tunnel: v1beta1.TunnelAlways}},
	}}
	for name, cluster := range a.clusters {
		cluster.Name = name
	}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	a.address = &corev1.ConfigMap{Data: map[string]string{
		"addresses": "koinon.example:6445\n[2001:db8::1]:443", "ca.crt": string(pemOf(a.Certificate().Raw)) + string(pemOf(a.Certificate().Raw)),
	}}
	use(t, a.kubeconfig())
	return a
}

func (a *tunnelAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	const core, kubefed = "/api/v1/namespaces/kube-federation-system/", "/apis/core.kubefed.io/v1beta1/namespaces/kube-federation-system/kubefedclusters/"
	cluster := a.clusters[strings.TrimPrefix(r.URL.Path, kubefed)]
	switch {
	case r.Method == http.MethodPost && r.URL.Path == core+"secrets":
		var secret corev1.Secret
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &secret)
		a.made = append(a.made, secret)
		_, _ = w.Write(body)
	case r.URL.Path == core+"configmaps/koinon-tunnel" && a.address != nil:
		_ = json.NewEncoder(w).Encode(a.address)
	case r.URL.Path == core+"events":
		if want := "involvedObject.kind=KubeFedCluster,involvedObject.name=m1,reason=AgentConnected"; r.URL.Query().Get("fieldSelector") != want {
			fail(w, answer{http.StatusBadRequest, "another fieldSelector is wanted"})
			return
		}
		_ = json.NewEncoder(w).Encode(corev1.EventList{Items: a.events})
	case r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, core+"secrets/"):
		name := strings.TrimPrefix(r.URL.Path, core+"secrets/")
		a.made = slices.DeleteFunc(a.made, func(s corev1.Secret) bool { return s.Name == name })
		_ = json.NewEncoder(w).Encode(metav1.Status{Status: metav1.StatusSuccess})
	case r.URL.Path == core+"secrets":
		_ = json.NewEncoder(w).Encode(corev1.SecretList{Items: a.made})
	case r.Method == http.MethodPut && cluster != nil:
		_ = json.NewDecoder(r.Body).Decode(cluster)
		if a.conflicts > 0 {
			a.conflicts--
			fail(w, answer{http.StatusConflict, "somebody else has changed it"})
			return
		}
		_ = json.NewEncoder(w).Encode(cluster)
	case cluster != nil:
		_ = json.NewEncoder(w).Encode(cluster)
	default:
		fail(w, answer{http.StatusNotFound, "not found"})
	}
}

func TestTheManifestOfAnAgent(t *testing.T) {
	server := newTunnelAPI(t)
	stdout, stderr, err := run(t, "agent", "m1", "--image", "registry.example/agent:v1", "--agent-namespace", "elsewhere")
	if err != nil || stderr != "" {
		t.Fatalf("got %v, and it said %s", err, stderr)
	}
	checkTokens(t, server.made, 2)
	var namespaces, kinds []string
	var role rbacv1.Role
	var secrets []corev1.Secret
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
		namespaces = append(namespaces, object.Namespace)
		switch object.Kind {
		case "Secret":
			var secret corev1.Secret
			decode(t, document, &secret)
			secrets = append(secrets, secret)
		case "Role":
			decode(t, document, &role)
		case "RoleBinding":
			var binding rbacv1.RoleBinding
			decode(t, document, &binding)
			if subject := binding.Subjects[0]; subject.Namespace != "elsewhere" || subject.Name != "koinon-agent" {
				t.Errorf("the rights are of %v", subject)
			}
		case "StatefulSet":
			var set appsv1.StatefulSet
			decode(t, document, &set)
			if *set.Spec.Replicas != 2 {
				t.Errorf("there are %d replicas", *set.Spec.Replicas)
			}
			checkAgent(t, set.Spec.Template.Spec.Containers[0])
		}
	}
	if want := []string{"koinon-agent-0", "koinon-agent-1"}; !slices.Equal(role.Rules[0].ResourceNames, want) || !slices.Equal([]string{secrets[1].Name, secrets[2].Name}, want) {
		t.Errorf("there are rights on %v, and Secrets %s and %s", role.Rules[0].ResourceNames, secrets[1].Name, secrets[2].Name)
	}
	if len(secrets[0].StringData) != 2 {
		t.Errorf("there are tokens for %v", slices.Collect(maps.Keys(secrets[0].StringData)))
	}
	for i, made := range server.made {
		if id, _, _ := strings.Cut(secrets[0].StringData[role.Rules[0].ResourceNames[i]], "."); made.Name != "agent-token-"+id {
			t.Errorf("the token's id is %q, and made was %s", id, made.Name)
		}
	}
	if got := strings.Join(kinds, " "); got != "Namespace ServiceAccount Role RoleBinding Secret Secret Secret PodDisruptionBudget StatefulSet" {
		t.Errorf("it has %s", got)
	}
	if got := slices.Compact(namespaces); len(got) != 1 || got[0] != "elsewhere" {
		t.Errorf("it is in %v", got)
	}
}

func checkTokens(t *testing.T, made []corev1.Secret, n int) {
	t.Helper()
	for _, token := range made {
		if token.Type != agentaccess.TokenType || string(token.Data["cluster"]) != "m1" {
			t.Errorf("made %v", token)
		}
	}
	if len(made) != n {
		t.Fatalf("made %d tokens, want %d", len(made), n)
	}
}

func TestEachReplicaHasATokenAndASecretOfItsOwn(t *testing.T) {
	server := newTunnelAPI(t)
	stdout, _, err := run(t, "agent", "m1", "--image", "i:1", "--replicas", "3")
	if err != nil {
		t.Fatal(err)
	}
	checkTokens(t, server.made, 3)
	for text, want := range map[string]int{"name: koinon-agent-2\n": 1, "- koinon-agent-2\n": 1, "koinon-agent-2: " + strings.TrimPrefix(server.made[2].Name, "agent-token-") + ".": 1,
		"replicas: 3\n": 1, "REPLICA": 0, "TOKEN": 0, "CLUSTER": 0, "kind: Secret\n": 4} {
		if got := strings.Count(stdout, text); got != want {
			t.Errorf("%q is there %d times, want %d", text, got, want)
		}
	}
}

// closed is standard output that says that it was closed.
type closed struct {
	bytes.Buffer
	closed func()
}

func (c *closed) Close() error { c.closed(); return nil }

// connected is the event of an agent, told so often.
func connected(uid string, count int32) corev1.Event {
	return corev1.Event{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}, Count: count, Message: `The agent of cluster "m1" at host "` + uid + `", connected`}
}

// waits runs the command with --wait; whoever reads its output does something when that has ended.
func waits(t *testing.T, timeout string, then func()) (stderr string, err error) {
	t.Helper()
	var said bytes.Buffer
	out := &closed{}
	out.closed = func() {
		if !strings.Contains(out.String(), "kind: StatefulSet") {
			t.Error("output was closed before the manifest was there")
		}
		then()
	}
	cmd := NewCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: &said})
	cmd.SetArgs([]string{"agent", "m1", "--image", "i:1", "--wait", "--timeout", timeout})
	err = cmd.ExecuteContext(t.Context())
	return said.String(), err
}

func TestAnAgentIsWaitedForOnceItsManifestWasRead(t *testing.T) {
	for what, test := range map[string]struct{ before, after []corev1.Event }{
		"the first":       {nil, []corev1.Event{connected("a", 1)}},
		"another":         {[]corev1.Event{connected("b", 3)}, []corev1.Event{connected("b", 3), connected("a", 1)}},
		"one once more":   {[]corev1.Event{connected("a", 3)}, []corev1.Event{connected("a", 4)}},
		"the event ended": {[]corev1.Event{connected("b", 3)}, []corev1.Event{connected("a", 1)}},
		"after one of a node": {nil, []corev1.Event{
			{ObjectMeta: metav1.ObjectMeta{UID: "n"}, Count: 1, Message: `The agent of node "n1" of cluster "m1" at host "n", connected`}, connected("a", 1),
		}},
	} {
		t.Run(what, func(t *testing.T) {
			server := newTunnelAPI(t)
			server.events = test.before
			stderr, err := waits(t, "1m", func() { server.set(func() { server.events = test.after }) })
			if err != nil || !strings.Contains(stderr, "at host \"a\", connected\n") {
				t.Errorf("got %v, and it said %s", err, stderr)
			}
		})
	}
}

func TestWhyNoAgentCameIsASentence(t *testing.T) {
	message := "no agent of it is connected to the tunnel."
	for what, test := range map[string]struct {
		then func(*tunnelAPI)
		want string
	}{
		"none came": {func(a *tunnelAPI) {
			a.clusters["m1"].Status.Conditions = []v1beta1.ClusterCondition{{Type: v1beta1.ClusterOffline, Status: corev1.ConditionTrue, Message: &message}}
		}, `no agent of cluster "m1" has connected within 2s: no agent of it is connected to the tunnel; what the agents say is in the log of the pods of the StatefulSet koinon-agent in the member's namespace "koinon-agent"`},
		"nothing is said":         {func(*tunnelAPI) {}, `no agent of cluster "m1" has connected within 2s; what the agents say`},
		"its cluster was deleted": {func(a *tunnelAPI) { delete(a.clusters, "m1") }, `the KubeFedCluster "m1" is gone: an agent without one is refused`},
	} {
		t.Run(what, func(t *testing.T) {
			server := newTunnelAPI(t)
			server.events = []corev1.Event{connected("a", 1)}
			_, err := waits(t, "2s", func() { server.set(func() { test.then(server) }) })
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func checkAgent(t *testing.T, container corev1.Container) {
	t.Helper()
	if container.Image != "registry.example/agent:v1" {
		t.Errorf("the image is %q", container.Image)
	}
	args := strings.Join(container.Args, " ")
	if !strings.HasPrefix(args, "--cluster=m1 --server=koinon.example:6445 --server=[2001:db8::1]:443 --ca-pin=sha256:") || strings.Count(args, "--ca-pin=sha256:") != 2 {
		t.Errorf("its arguments are %s", args)
	}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func TestAMemberThatIsNotReachedThroughItsAgentIsNoted(t *testing.T) {
	newTunnelAPI(t)
	_, stderr, err := run(t, "agent", "m2", "--image", "i:1", "--server", "other:1")
	if err != nil || !strings.Contains(stderr, `note: the KubeFedCluster "m2" does not say spec.tunnel: Always: the member is reached through its agents only while nobody answers at https://m2`) {
		t.Errorf("got %v, and it said %s", err, stderr)
	}
	_, stderr, err = run(t, "agent", "m4", "--image", "i:1", "--server", "other:1")
	if err != nil || !strings.Contains(stderr, `note: the KubeFedCluster "m4" says spec.tunnel: Never: the member is not reached through its agents`) {
		t.Errorf("got %v, and it said %s", err, stderr)
	}
}

func TestWhatNoAgentIsMadeOf(t *testing.T) {
	for args, want := range map[string]string{
		"":                                       "the name of one KubeFedCluster is needed",
		"m1 m2 --image i:1":                      "the name of one KubeFedCluster is needed",
		"m1":                                     `--image is "": it must be the reference of a container image that has koinon-agent`,
		"M1 --image i:1":                         `"M1" is no name of a cluster`,
		"m3 --image i:1":                         `there is no KubeFedCluster "m3" in namespace "kube-federation-system"`,
		"a.shop --image i:1":                     `the KubeFedCluster "a.shop" stands for a cell`,
		"m1 --image i:1 --server koinon.example": `the address of the tunnel "koinon.example" must be HOST:PORT`,
		"m1 --image i:1 --token-lifetime 0s":     "--token-lifetime is 0s",
		"m1 --image i:1 --replicas 17":           "--replicas is 17: 1 to 16 are allowed",
		"m1 --image i:1 --wait --timeout 0s":     "--timeout is 0s: it must be more than 0s",
		"m1 --image i:1 --agent-namespace A":     `--agent-namespace is "A"`,
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

func TestAServerWithoutATunnelMakesNoToken(t *testing.T) {
	server := newTunnelAPI(t)
	server.address = nil
	_, _, err := run(t, "agent", "m1", "--image", "i:1")
	if err == nil || !strings.Contains(err.Error(), "the server has no tunnel") || len(server.made) != 0 {
		t.Errorf("got %v, and made %v", err, server.made)
	}
}
