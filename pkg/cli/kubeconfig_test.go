package cli

import (
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestWhatAKubeconfigReaches(t *testing.T) {
	tests := map[string]struct {
		args                     string
		context, path, namespace string
	}{
		"a bare name of a cluster": {"m1", "koinon/m1", "/clusters/m1/proxy", ""},
		"a cluster, said so":       {"cluster/both", "koinon/both", "/clusters/both/proxy", ""},
		"a cluster, and a namespace in it": {
			"m1 -n kube-system", "koinon/m1", "/clusters/m1/proxy", "kube-system"},
		"a bare name of a cell of the context's namespace": {
			"rz00a", "koinon/shop/rz00a", "/namespaces/shop/cells/rz00a/proxy", "shop"},
		"a bare name of a cell of another namespace": {
			"lab -n other", "koinon/other/lab", "/namespaces/other/cells/lab/proxy", "other"},
		"a cell, said so": {"cells/both", "koinon/shop/both", "/namespaces/shop/cells/both/proxy", "shop"},
		"a name that is one of both in another namespace": {"both -n other", "koinon/both", "/clusters/both/proxy", "other"},
		"all members":               {"--fleet", "koinon/fleet", "/fleets/all/proxy", ""},
		"a context of another name": {"m1 --context-name here", "here", "/clusters/m1/proxy", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := newAPI(t)
			server.cells["other"] = []string{"lab"}
			use(t, server.kubeconfig())
			config := mustRun(t, append([]string{"kubeconfig"}, strings.Fields(test.args)...)...)
			if len(config.Contexts) != 1 || config.CurrentContext != test.context {
				t.Fatalf("got the context %q of %d, want %q alone", config.CurrentContext, len(config.Contexts), test.context)
			}
			context := config.Contexts[test.context]
			if got, want := config.Clusters[context.Cluster].Server, server.URL+groupPath+test.path; got != want {
				t.Errorf("server: got %s, want %s", got, want)
			}
			if context.Namespace != test.namespace {
				t.Errorf("namespace: got %q, want %q", context.Namespace, test.namespace)
			}
		})
	}
}

// What is written is used, by a client that knows nothing of us.
func TestAClientReachesTheMemberAsTheSameUser(t *testing.T) {
	server := newAPI(t)
	use(t, server.kubeconfig())
	stdout, _, err := run(t, "kubeconfig", "m1", "--as", "bob", "--as-user-extra", "team=shop")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(stdout))
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(config.Host + "/version")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	server.mu.Lock()
	defer server.mu.Unlock()
	last := server.asked[len(server.asked)-1]
	if want := groupPath + "/clusters/m1/proxy/version"; last.URL.Path != want {
		t.Errorf("path: got %s, want %s", last.URL.Path, want)
	}
	for header, want := range map[string]string{"Authorization": "Bearer t0ken", "Impersonate-User": "bob", "Impersonate-Extra-Team": "shop"} {
		if got := last.Header.Get(header); got != want {
			t.Errorf("%s: got %q, want %q", header, got, want)
		}
	}
}

// After --switch the current context is a member's; the federation is still meant.
func TestAContextOfOursStandsForTheFederation(t *testing.T) {
	server := newAPI(t)
	use(t, server.kubeconfig())
	if _, _, err := run(t, "kubeconfig", "rz00a", "--merge", "--switch"); err != nil {
		t.Fatal(err)
	}
	config := mustRun(t, "kubeconfig", "m2")
	if got, want := config.Clusters["koinon/m2"].Server, server.URL+groupPath+"/clusters/m2/proxy"; got != want {
		t.Errorf("server: got %s, want %s", got, want)
	}
}

func TestKubeconfigRefusals(t *testing.T) {
	forbidden := answer{http.StatusForbidden, "no"}
	tests := map[string]struct {
		args   string
		change func(*api)
		want   string
	}{
		"no name":                     {args: "", want: "0 names are given: one must be, of a cluster or a cell, or --fleet"},
		"two names":                   {args: "m1 m2", want: "2 names are given"},
		"a name and --fleet":          {args: "m1 --fleet", want: `--fleet is all members: it goes without the name "m1"`},
		"--merge into a file":         {args: "m1 --merge -o x", want: "--merge and --output exclude each other"},
		"--merge of flat files":       {args: "m1 --merge --flatten", want: "--merge and --flatten exclude each other"},
		"--switch without --merge":    {args: "m1 --switch", want: "--switch goes with --merge only"},
		"another kind":                {args: "pod/x", want: `"pod/x" is no name: it must be CLUSTER, CELL, cluster/CLUSTER or cell/CELL`},
		"a name that leads elsewhere": {args: "cluster/..", want: `".." is no name of a cluster or cell: `},
		"a context that is not there": {args: "m1 --context none", want: `there is no context "none" in `},
		"a timeout that is none":      {args: "m1 --request-timeout soon", want: `--request-timeout is "soon"`},
		"a name that is both":         {args: "both", want: `"both" is a cluster, and a cell of namespace "shop": say cluster/both or cell/both`},
		"a cluster that is not there": {args: "cluster/m9", want: `there is no cluster "m9"; clusters: both, m1, m2`},
		"a cell that is not there":    {args: "cell/m9", want: `there is no cell "m9" of namespace "shop"; cells of shop: both, rz00a, rz01a`},
		"a name that is neither": {
			args: "m9 -n other",
			want: `there is no cluster "m9", and no cell of that name in namespace "other"; clusters: both, m1, m2; there are no cells of other`,
		},
		"one of very many": {
			args:   "cluster/m9",
			change: func(a *api) { a.clusters = strings.Split("abcdefghijklmnop", "") },
			want:   "; clusters: a, b, c, d, e, f, g, h, i, j and 6 more",
		},
		"names that may not be listed": {
			args:   "cluster/m9",
			change: func(a *api) { a.answers[groupPath+"/clusters"] = forbidden },
			want:   `there is no cluster "m9"`,
		},
		"a name that may not be looked for": {
			args:   "m9",
			change: func(a *api) { a.answers[groupPath+"/clusters/m9"] = forbidden },
			want:   `you may not look whether "m9" is a cluster, or a cell of namespace "shop": say cluster/m9 or cell/m9`,
		},
		"no federation":   {args: "m1", change: func(a *api) { a.serves = nil }, want: "does not serve federation.koinon.io/v1alpha1: it is not Koinon's"},
		"an older server": {args: "m1", change: func(a *api) { a.serves = []string{"clusters"} }, want: "does not serve clusters/proxy of federation.koinon.io/v1alpha1: it must be upgraded"},
		"a server without cells' proxy": {
			args: "rz00a", change: func(a *api) { a.serves = []string{"clusters/proxy"} }, want: "does not serve cells/proxy of"},
		"a server without the fleet's": {
			args: "--fleet", change: func(a *api) { a.serves = []string{"clusters/proxy"} }, want: "does not serve fleets/proxy of"},
		"a server that is ill": {
			args:   "m1",
			change: func(a *api) { a.answers[groupPath] = answer{http.StatusServiceUnavailable, "the store is away"} },
			want:   "what it serves: the store is away",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := newAPI(t)
			if test.change != nil {
				test.change(server)
			}
			use(t, server.kubeconfig())
			stdout, _, err := run(t, append([]string{"kubeconfig"}, strings.Fields(test.args)...)...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			if stdout != "" {
				t.Errorf("it printed %q", stdout)
			}
		})
	}
}

// He may have the right to use a cluster that he may not look at.
func TestWhatIsSaidExactlyNeedNotBeReadable(t *testing.T) {
	server := newAPI(t)
	server.answers[groupPath+"/clusters/m1"] = answer{http.StatusForbidden, "no"}
	use(t, server.kubeconfig())
	mustRun(t, "kubeconfig", "cluster/m1")
}

func TestCheck(t *testing.T) {
	const proxy = "/clusters/m1/proxy"
	tests := map[string]struct {
		path   string
		answer answer
		want   string
	}{
		"a member that answers": {want: `cluster "m1" answers: Kubernetes v1.36.3`},
		"a member that is away": {
			proxy + "/version", answer{http.StatusServiceUnavailable, `cluster "m1" does not answer: connection refused`},
			`Warning: cluster "m1" cannot be used now: cluster "m1" does not answer: connection refused`,
		},
		"a caller who may not use the proxy": {
			proxy + "/version", answer{http.StatusForbidden, `User "jane" cannot get resource "clusters/proxy"`},
			`Warning: cluster "m1" cannot be used now: User "jane" cannot get resource "clusters/proxy"`,
		},
		"a caller whom the member does not know": {
			proxy + "/api/v1/namespaces", answer{http.StatusForbidden, `User "jane" cannot list resource "namespaces"`},
			`Warning: cluster "m1" answers (Kubernetes v1.36.3), and does not let you list namespaces: User "jane" cannot list resource "namespaces"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := newAPI(t)
			if test.path != "" {
				server.answers[groupPath+test.path] = test.answer
			}
			use(t, server.kubeconfig())
			stdout, stderr, err := run(t, "kubeconfig", "m1")
			if err != nil || !strings.Contains(stdout, proxy) {
				t.Errorf("the kubeconfig was not written: %v, %q", err, stdout)
			}
			if strings.TrimSpace(stderr) != test.want {
				t.Errorf("got %q, want %q", stderr, test.want)
			}
		})
	}
}

func TestWithoutCheckNoMemberIsAsked(t *testing.T) {
	server := newAPI(t)
	use(t, server.kubeconfig())
	mustRun(t, "kubeconfig", "m1", "--check=false")
	if i := slices.IndexFunc(server.paths(), func(path string) bool { return strings.Contains(path, "/proxy") }); i >= 0 {
		t.Errorf("it asked for %s", server.paths()[i])
	}
}

func TestCompletion(t *testing.T) {
	tests := map[string]struct{ begun, want string }{
		"everything, and what tells apart": {"", "cluster/both\tcluster\nm1\tcluster\nm2\tcluster\ncell/both\tcell of shop\nrz00a\tcell of shop\nrz01a\tcell of shop\n"},
		"what was begun":                   {"rz0", "rz00a\tcell of shop\nrz01a\tcell of shop\n"},
		"cells alone":                      {"cell/r", "cell/rz00a\tcell of shop\ncell/rz01a\tcell of shop\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := newAPI(t)
			use(t, server.kubeconfig())
			stdout, _, err := run(t, "__complete", "kubeconfig", test.begun)
			got, _, _ := strings.Cut(stdout, ":")
			if err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestContextsAreCompleted(t *testing.T) {
	use(t, newAPI(t).kubeconfig())
	stdout, _, err := run(t, "__complete", "kubeconfig", "--context", "k")
	if err != nil || !strings.HasPrefix(stdout, "koinon\n") {
		t.Errorf("got %q, %v", stdout, err)
	}
}
