package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// statusAPI is a server with one cluster, as far as the status of agents needs it.
type statusAPI struct {
	*tunnelAPI
	agents v1beta1.KubeFedClusterAgents
	tokens []corev1.Secret
	query  string
}

func newStatusAPI(t *testing.T) *statusAPI {
	t.Helper()
	a := &statusAPI{tunnelAPI: newTunnelAPI(t)}
	a.Close() // it is answered by this one
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	use(t, a.kubeconfig())
	return a
}

func (a *statusAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/kubefedclusters/m1/agents"):
		a.query = r.URL.RawQuery
		a.agents.TypeMeta = metav1.TypeMeta{APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: "KubeFedClusterAgents"}
		_ = json.NewEncoder(w).Encode(a.agents)
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/secrets"):
		_ = json.NewEncoder(w).Encode(corev1.SecretList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "SecretList"}, Items: a.tokens})
	default:
		a.tunnelAPI.ServeHTTP(w, r)
	}
}

// agentAt is one that is well.
func agentAt(host string) v1beta1.ConnectedAgent {
	return v1beta1.ConnectedAgent{
		Cluster: "m1", Instance: host, Host: host, Server: "server-a", From: "192.0.2.7", Way: "direct", Version: "v1", Connections: 3,
		Since: metav1.NewTime(time.Now().Add(-time.Hour)), CertificateExpires: metav1.NewTime(time.Now().Add(6 * 24 * time.Hour)), RoundTripMicroseconds: 1500,
		Probe: &v1beta1.AgentProbe{Target: "apiserver", Reached: true},
	}
}

func token(id, node string, expires time.Time, used bool) corev1.Secret {
	data := map[string][]byte{
		"hash": []byte(strings.Repeat("0", 64)), "cluster": []byte("m1"), "node": []byte(node),
		"made": []byte("2026-01-01T00:00:00Z"), "expires": []byte(expires.UTC().Format(time.RFC3339)),
	}
	if used {
		data["used-for"], data["used"] = []byte("key"), []byte("2026-01-01T00:10:00Z")
	}
	return corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "agent-token-" + id}, Type: agentaccess.TokenType, Data: data}
}

func TestTheStatusOfAgentsSaysWhatIsWrong(t *testing.T) {
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	refusal := v1beta1.AgentRefusal{Cluster: "m1", Server: "server-a", Time: metav1.NewTime(before), From: "192.0.2.7", Message: "its certificate was revoked"}
	for what, test := range map[string]struct {
		set  func(*statusAPI)
		args []string
		want string // of what is printed; what begins with Problem: is an error too
	}{
		"all is well":              {func(a *statusAPI) { a.agents.Items = []v1beta1.ConnectedAgent{agentAt("h1")} }, nil, "All is well."},
		"it is shown":              {func(a *statusAPI) { a.agents.Items = []v1beta1.ConnectedAgent{agentAt("h1")} }, nil, "h1    192.0.2.7  v1       server-a  direct  60m"},
		"no cluster":               {func(*statusAPI) {}, []string{"m3"}, `Problem: there is no KubeFedCluster "m3"`},
		"a cell":                   {func(*statusAPI) {}, []string{"a.shop"}, `Problem: the KubeFedCluster "a.shop" stands for a cell`},
		"no token":                 {func(*statusAPI) {}, nil, "Problem: no agent is connected: no token for it is kept"},
		"a token that is not used": {func(a *statusAPI) { a.tokens = []corev1.Secret{token("aaaaaaaa", "", later, false)} }, nil, "was not used yet: the agent was not started, or does not get through to koinon.example:6445"},
		"a token that has expired": {func(a *statusAPI) { a.tokens = []corev1.Secret{token("aaaaaaaa", "", before, false)} }, nil, "the token aaaaaaaa was not used until it expired"},
		"a token that was used":    {func(a *statusAPI) { a.tokens = []corev1.Secret{token("aaaaaaaa", "", later, true)} }, nil, "the token aaaaaaaa was used at 2026-01-01T00:10:00Z"},
		"a token of a node":        {func(a *statusAPI) { a.tokens = []corev1.Secret{token("aaaaaaaa", "n1", later, true)} }, nil, "no token for it is kept"},
		"refused":                  {func(a *statusAPI) { a.agents.Refusals = []v1beta1.AgentRefusal{refusal} }, nil, "was refused: its certificate was revoked"},
		"refused and connected": {func(a *statusAPI) {
			a.agents.Items, a.agents.Refusals = []v1beta1.ConnectedAgent{agentAt("h1")}, []v1beta1.AgentRefusal{refusal}
		}, nil, "Note: an agent from 192.0.2.7 was refused"},
		"its target is not reached": {func(a *statusAPI) {
			one := agentAt("h1")
			one.Probe = &v1beta1.AgentProbe{Target: "apiserver", Message: "connection refused"}
			a.agents.Items = []v1beta1.ConnectedAgent{one}
		}, nil, `Problem: the agent at host "h1" does not reach its apiserver: connection refused`},
		"one of two reaches it": {func(a *statusAPI) {
			one := agentAt("h1")
			one.Probe = &v1beta1.AgentProbe{Target: "apiserver", Message: "connection refused"}
			a.agents.Items = []v1beta1.ConnectedAgent{one, agentAt("h2")}
		}, nil, `Note: the agent at host "h1" does not reach its apiserver: connection refused; another does`},
		"it does not renew": {func(a *statusAPI) {
			one := agentAt("h1")
			one.CertificateExpires = metav1.NewTime(later)
			a.agents.Items = []v1beta1.ConnectedAgent{one}
		}, nil, `Problem: the certificate of the agent at host "h1" ends at`},
		"a server is silent": {func(a *statusAPI) {
			a.agents.Items, a.agents.Silent = []v1beta1.ConnectedAgent{agentAt("h1")}, []v1beta1.SilentServer{{Server: "server-b", Message: "it did not answer in time"}}
		}, nil, "Problem: the server server-b did not say which agents it has: it did not answer in time"},
		"it is not reached so": {func(a *statusAPI) { a.clusters["m1"].Spec.Tunnel = "" }, nil, "Problem: the KubeFedCluster does not say spec.tunnel: Always"},
		"a node's": {func(a *statusAPI) {
			node := agentAt("h2")
			node.Node = "n1"
			a.agents.Items = []v1beta1.ConnectedAgent{agentAt("h1"), node}
		}, []string{"m1", "--node", "n1"}, "All is well."},
		"of a node that has none": {func(a *statusAPI) { a.agents.Items = []v1beta1.ConnectedAgent{agentAt("h1")} }, []string{"m1", "--node", "n1"}, "Problem: no agent is connected"},
	} {
		t.Run(what, func(t *testing.T) {
			server := newStatusAPI(t)
			test.set(server)
			if test.args == nil {
				test.args = []string{"m1"}
			}
			stdout, _, err := run(t, append([]string{"agent", "status"}, test.args...)...)
			if !strings.Contains(stdout, test.want) {
				t.Errorf("got\n%s\nwant %s", stdout, test.want)
			}
			if bad := strings.Contains(stdout, "Problem: "); bad != (err != nil) {
				t.Errorf("it printed\n%s\nand returned %v", stdout, err)
			}
		})
	}
}

func TestTheStatusOfAgentsForPrograms(t *testing.T) {
	server := newStatusAPI(t)
	server.agents.Items = []v1beta1.ConnectedAgent{agentAt("h1")}
	stdout, _, err := run(t, "agent", "status", "m1", "--node", "n1", "--probe=false", "-o", "json")
	var got agentStatus
	if unread := json.Unmarshal([]byte(stdout), &got); unread != nil || err == nil || len(got.Problems) != 1 || got.Node != "n1" {
		t.Errorf("got %v, %v:\n%s", unread, err, stdout)
	}
	if !strings.HasPrefix(server.query, "node=n1") || strings.Contains(server.query, "probe") {
		t.Errorf("it asked for %q", server.query)
	}
	for args, want := range map[string]string{
		"":             "the name of one KubeFedCluster is needed: kubectl koinon agent status CLUSTER",
		"M1":           `"M1" is no name of a cluster`,
		"m1 -o yaml":   `--output is "yaml": json is allowed`,
		"m1 --node A_": `"A_" is no name of a node`,
	} {
		if _, _, err := run(t, append([]string{"agent", "status"}, strings.Fields(args)...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}
