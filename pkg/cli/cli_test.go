package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// api is an API server of a federation, as far as the commands ask it.
type api struct {
	*httptest.Server
	// serves are the subresources that discovery has; nil is no federation.
	serves   []string
	clusters []string
	cells    map[string][]string // by namespace
	// answers are by path; they come first.
	answers map[string]answer

	mu    sync.Mutex
	asked []*http.Request // guarded by mu
}

type answer struct {
	code    int
	message string
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{
		serves:   []string{"clusters/proxy", "cells/proxy", "fleets/proxy"},
		clusters: []string{"m2", "m1", "both"},
		cells:    map[string][]string{"shop": {"rz01a", "rz00a", "both"}},
		answers:  map[string]answer{},
	}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, r.Clone(r.Context()))
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if said, ok := a.answers[r.URL.Path]; ok {
		fail(w, said)
		return
	}
	switch path, through := splitServer(strings.Replace(r.URL.Path, "/proxy/", "/proxy\x00/", 1)); {
	case through != nil:
	case strings.HasSuffix(path, "/version"):
		_ = json.NewEncoder(w).Encode(map[string]string{"gitVersion": "v1.36.3"})
	case strings.Contains(path, "/proxy\x00/api/v1/"):
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "List", "apiVersion": "v1", "items": []any{}})
	default:
		a.serveGroup(w, r.URL.Path)
	}
}

func (a *api) serveGroup(w http.ResponseWriter, path string) {
	rest, ours := strings.CutPrefix(path, groupPath)
	words := strings.Split(strings.Trim(rest, "/"), "/")
	switch {
	case !ours || a.serves == nil:
		fail(w, answer{http.StatusNotFound, "the server could not find the requested resource"})
	case rest == "":
		list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: v1alpha1.SchemeGroupVersion.String()}
		for _, name := range a.serves {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: name})
		}
		_ = json.NewEncoder(w).Encode(list)
	case words[0] == "clusters":
		serveNames(w, "Cluster", a.clusters, words[1:])
	default: // namespaces/NS/cells
		serveNames(w, "Cell", a.cells[words[1]], words[3:])
	}
}

func serveNames(w http.ResponseWriter, kind string, names, wanted []string) {
	object := func(name string) map[string]any {
		return map[string]any{"kind": kind, "apiVersion": v1alpha1.SchemeGroupVersion.String(), "metadata": map[string]any{"name": name}}
	}
	if len(wanted) == 0 {
		items := []any{}
		for _, name := range names {
			items = append(items, object(name))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": kind + "List", "apiVersion": v1alpha1.SchemeGroupVersion.String(), "items": items})
		return
	}
	if !slices.Contains(names, wanted[0]) {
		fail(w, answer{http.StatusNotFound, "not found"})
		return
	}
	_ = json.NewEncoder(w).Encode(object(wanted[0]))
}

func fail(w http.ResponseWriter, said answer) {
	reasons := map[int]metav1.StatusReason{
		http.StatusNotFound: metav1.StatusReasonNotFound, http.StatusForbidden: metav1.StatusReasonForbidden,
		http.StatusServiceUnavailable: metav1.StatusReasonServiceUnavailable,
	}
	if said.code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(said.code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: int32(said.code), Reason: reasons[said.code], Message: said.message,
	})
}

// paths are those that were asked for.
func (a *api) paths() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, r := range a.asked {
		out = append(out, r.URL.Path)
	}
	return out
}

// kubeconfig is one whose current context, koinon, is this API's.
func (a *api) kubeconfig() *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	ca := pemOf(a.Certificate().Raw)
	config.Clusters["koinon"] = &clientcmdapi.Cluster{Server: a.URL, CertificateAuthorityData: ca}
	config.AuthInfos["jane"] = &clientcmdapi.AuthInfo{Token: "t0ken"}
	config.Contexts["koinon"] = &clientcmdapi.Context{Cluster: "koinon", AuthInfo: "jane", Namespace: "shop"}
	config.CurrentContext = "koinon"
	return config
}

// use makes a kubeconfig the one that commands read, and returns its file.
func use(t *testing.T, config *clientcmdapi.Config) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	return file
}

// run runs a command line.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := NewCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut})
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

// mustRun runs one that must succeed, and reads the kubeconfig that it prints.
func mustRun(t *testing.T, args ...string) *clientcmdapi.Config {
	t.Helper()
	stdout, stderr, err := run(t, args...)
	if err != nil {
		t.Fatalf("%v: %v; it said %s", args, err, stderr)
	}
	config, err := clientcmd.Load([]byte(stdout))
	if err != nil {
		t.Fatalf("%v: %v in %s", args, err, stdout)
	}
	return config
}

func load(t *testing.T, file string) *clientcmdapi.Config {
	t.Helper()
	config, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
