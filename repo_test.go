package koinon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/koinon-io/koinon"

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath, Doc                    string
	Imports, TestImports, XTestImports []string
	Standard                           bool
}

// graph is every package that is linked into anything of ours, by import path.
type graph map[string]goPackage

// loadGraph lists them once for all tests.
var loadGraph = sync.OnceValues(func() (graph, error) {
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Doc,Imports,TestImports,XTestImports,Standard", "./...").Output()
	if err != nil {
		return nil, err
	}
	all := graph{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

func packages(t *testing.T) graph {
	t.Helper()
	all, err := loadGraph()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return all
}

// ours are the packages of this module, sorted.
func (g graph) ours() []goPackage {
	var out []goPackage
	for _, path := range slices.Sorted(maps.Keys(g)) {
		if isOurs(path) {
			out = append(out, g[path])
		}
	}
	return out
}

func isOurs(importPath string) bool { return below(importPath, module) }

// below reports whether a path is one of the folders, or in one.
func below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return path == folder || strings.HasPrefix(path, folder+"/")
	})
}

// reach returns the imports that lead from a package to one of the paths, or to something
// below one; nil if none do. It does not look behind packages below one of the gates.
func (g graph) reach(from string, gates, paths []string) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, imported := range g[queue[0]].Imports {
			if _, seen := came[imported]; seen || g[imported].Standard {
				continue
			}
			came[imported] = queue[0]
			if below(imported, paths...) {
				return chain(came, imported)
			}
			if !below(imported, gates...) {
				queue = append(queue, imported)
			}
		}
	}
	return nil
}

func chain(came map[string]string, last string) []string {
	var out []string
	for at := last; at != ""; at = came[at] {
		out = append(out, at)
	}
	slices.Reverse(out)
	return out
}

// A folder that is added is given its place here: what of ours its packages may import.
// "Siblings do not import each other" is what is left out.
var layers = map[string][]string{
	".":         nil,
	"artifacts": nil,

	"pkg/apis":         nil,
	"pkg/generated":    {"pkg/apis"},
	"pkg/version":      nil,
	"pkg/tunnel":       nil,
	"pkg/edgehub":      {"pkg/durable", "pkg/keypair"},
	"pkg/edgehub/ipam": {"pkg/durable"},
	"pkg/durable":      nil,
	"pkg/drain":        nil,
	"pkg/hoststate":    nil,
	"pkg/openapi":      nil,
	"pkg/reconcile":    nil,
	"pkg/keypair":      nil,
	"pkg/pki":          {"pkg/durable", "pkg/keypair"},
	"pkg/servingcert":  {"pkg/keypair"},
	"pkg/cainjector":   {"pkg/reconcile", "pkg/servingcert"},
	"pkg/hostreg":      {"pkg/hoststate", "pkg/keypair", "pkg/reconcile", "pkg/servingcert"},
	"pkg/host":         {"pkg/durable", "pkg/openapi", "pkg/reconcile"},
	"pkg/storage":      nil,
	"pkg/webhook":      {"pkg/apis"},
	"pkg/memberaccess": {"pkg/apis"},
	"pkg/agentaccess":  {"pkg/apis", "pkg/generated", "pkg/hoststate", "pkg/keypair", "pkg/tunnel"},
	"pkg/registry":     {"pkg/apis", "pkg/generated", "pkg/memberaccess", "pkg/reconcile"},
	"pkg/apiserver":    {"pkg/apis", "pkg/generated", "pkg/memberaccess", "pkg/openapi", "pkg/reconcile", "pkg/registry"},
	"pkg/federation":   {"pkg/apis", "pkg/generated", "pkg/memberaccess", "pkg/reconcile"},
	"pkg/cli":          {"artifacts", "pkg/agentaccess", "pkg/apis", "pkg/federation/compose", "pkg/federation/native", "pkg/federation/reach", "pkg/federation/render", "pkg/generated", "pkg/memberaccess", "pkg/tunnel", "pkg/version"},

	// A controller of the cloud can use it, too.
	"pkg/edgehub/topology": {"pkg/apis/edge", "pkg/edgehub/jsonspan"},
	"pkg/edgehub/closure":  {"pkg/apis/edge", "pkg/edgehub"},
	"pkg/edge":             {"pkg/reconcile"},

	"cmd/internal":          {"pkg/version"},
	"cmd/koinon":            {"artifacts", "cmd/internal", "pkg"},
	"cmd/koinon-agent":      {"cmd/internal", "pkg/durable", "pkg/tunnel", "pkg/version"},
	"cmd/koinon-edgehub":    {"cmd/internal", "pkg/durable", "pkg/edgehub", "pkg/tunnel", "pkg/version"},
	"cmd/koinon-ipam":       {"cmd/internal", "pkg/edgehub/ipam", "pkg/version"},
	"cmd/kubectl-koinon":    {"cmd/internal", "pkg/cli"},
	"cmd/koinon-playground": {"artifacts", "cmd/internal", "pkg/apis", "pkg/durable", "pkg/generated", "pkg/keypair", "pkg/pki", "pkg/reconcile", "pkg/version"},

	"hack":                  {"pkg/apis", "pkg/generated"},
	"test/testbed":          {"cmd/koinon-playground", "pkg/apis", "pkg/generated"},
	"test/bench":            {"cmd/koinon-playground", "pkg/apis", "pkg/generated", "test/testbed"},
	"test/edgebench":        {"cmd/koinon-edgehub", "cmd/koinon-playground", "pkg/edgehub", "test/bench"},
	"test/integration":      {"artifacts", "cmd/koinon-edgehub", "cmd/koinon-playground", "pkg", "test/bench", "test/kmsplugin", "test/simulation", "test/testbed"},
	"test/kmsplugin":        nil,
	"test/propagationbench": {"cmd/koinon-playground", "pkg/apis", "pkg/generated", "test/bench", "test/simulation", "test/testbed"},
	"test/proxybench":       {"cmd/koinon-playground", "pkg/apis", "pkg/generated", "test/bench", "test/simulation", "test/testbed"},
	"test/simulation":       {"pkg/apis"},
	"test/storebench":       {"cmd/koinon-playground", "pkg/storage", "test/bench"},
	"test/storefaults":      {"cmd/koinon-playground", "pkg/storage", "test/testbed"},
	"test/storesuite":       {"pkg/storage"},
	"test/tunnelbench":      {"pkg/tunnel", "test/bench"},
	"test/tunnelscenarios":  {"pkg/tunnel"},
}

// testsUse is what tests of any folder may import besides: they run over a real store, and
// against simulated members.
var testsUse = []string{"pkg/storage", "test/simulation"}

// layerOf returns the folder of layers that a package is in, "" if in none.
func layerOf(importPath string) string {
	path := strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
	if path == "" {
		return "."
	}
	found := ""
	for folder := range layers {
		if below(path, folder) && len(folder) > len(found) {
			found = folder
		}
	}
	return found
}

// notThere are the folders that none of our packages is in.
func (g graph) notThere(folders ...string) []string {
	return slices.DeleteFunc(slices.Clone(folders), func(folder string) bool {
		return slices.ContainsFunc(g.ours(), func(p goPackage) bool {
			return p.ImportPath == module && folder == "." || below(p.ImportPath, module+"/"+folder)
		})
	})
}

func TestDependenciesPointOneWay(t *testing.T) {
	for folder, imports := range layers {
		if gone := packages(t).notThere(append(imports, folder)...); len(gone) > 0 {
			t.Errorf("the layer %s: there is no %s", folder, strings.Join(gone, ", "))
		}
	}
	for _, p := range packages(t).ours() {
		layer := layerOf(p.ImportPath)
		if layer == "" {
			t.Errorf("%s has no place among the layers", p.ImportPath)
			continue
		}
		check := func(imports []string, allowed ...string) {
			for _, imported := range imports {
				path := strings.TrimPrefix(imported, module+"/")
				if isOurs(imported) && layerOf(imported) != layer && !below(path, allowed...) {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		}
		check(p.Imports, layers[layer]...)
		check(slices.Concat(p.TestImports, p.XTestImports), slices.Concat(layers[layer], testsUse)...)
	}
}

// What a package reaches through others counts: a small binary is not small if a library
// that it uses links a database.
func TestNobodyReachesWhatOthersKeepToThemselves(t *testing.T) {
	var (
		kubernetes = []string{"k8s.io/kubernetes"}
		databases  = []string{"github.com/k3s-io/kine", "github.com/go-sql-driver/mysql", "github.com/mattn/go-sqlite3", "modernc.org/sqlite"}
		servers    = []string{"k8s.io/apiserver", "k8s.io/apiextensions-apiserver", "k8s.io/kube-aggregator"}
		etcd       = []string{"go.etcd.io/etcd/server"}
		// What a binary for small machines does not link: clients and libraries that are larger than it is.
		large = []string{"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "k8s.io/component-base", "google.golang.org/grpc", "google.golang.org/protobuf", "github.com/prometheus"}
	)
	rules := []struct {
		name         string
		within       []string // folders of ours that the rule is for
		mustNotReach [][]string
		// gates are folders of ours that may: behind them is their business.
		gates []string
	}{
		{"API types know neither servers nor clients", []string{"pkg/apis"},
			[][]string{kubernetes, databases, servers, etcd, {"k8s.io/client-go"}}, nil},
		{"clients are clients", []string{"pkg/generated", "pkg/version"},
			[][]string{kubernetes, databases, servers, etcd}, nil},
		{"the plugin of kubectl is small, and a client", []string{"pkg/cli", "cmd/kubectl-koinon"},
			[][]string{kubernetes, databases, servers, etcd}, nil},
		{"the tunnel stands alone", []string{"pkg/tunnel"},
			[][]string{kubernetes, databases, servers, etcd, {"k8s.io/api", "k8s.io/client-go"}}, nil},
		{"the agent is small", []string{"cmd/koinon-agent", "pkg/tunnel/agent", "pkg/tunnel/enroll", "pkg/tunnel/carrier", "pkg/tunnel/identity", "pkg/tunnel/mux"},
			[][]string{kubernetes, databases, servers, etcd, large}, nil},
		{"the edge hub is one small binary without a C compiler, and its disk is its own", []string{"pkg/edgehub", "cmd/koinon-edgehub"},
			[][]string{kubernetes, databases[:3], servers, etcd, {"k8s.io/client-go"}}, nil},
		{"what asks API servers knows nothing of what they serve", []string{"pkg/edgehub/upstream"},
			[][]string{large}, nil},
		{"the cloud's side of the edge is a client of the cluster", []string{"pkg/edge"},
			[][]string{kubernetes, databases, servers, etcd}, nil},
		{"what an edge node sees of a Service is decided by types alone", []string{"pkg/edgehub/topology"},
			[][]string{kubernetes, databases, servers, etcd, {"k8s.io/client-go", "k8s.io/api"}}, nil},
		{"an edge node shows objects of many kinds without their types", []string{"pkg/edgehub/table"},
			[][]string{{"k8s.io/api/apps", "k8s.io/api/batch", "k8s.io/api/discovery", "k8s.io/api/networking", "k8s.io/api/rbac", "k8s.io/api/storage"}}, nil},
		{"the plugin for addresses is started for each pod, and links nothing that it does not need", []string{"cmd/koinon-ipam", "pkg/edgehub/ipam"},
			[][]string{kubernetes, databases, servers, etcd, large}, nil},
		{"the hub has the book of the plugin for addresses, and nothing of CNI", []string{"pkg/edgehub/ipam/book"},
			[][]string{{"github.com/containernetworking", "github.com/spf13"}}, nil},
		{"simulated members are for the tests of everybody", []string{"test/simulation"},
			[][]string{kubernetes, databases, servers, etcd}, nil},
		{"controllers go through the API", []string{"pkg/federation"},
			[][]string{kubernetes, databases, servers, etcd}, nil},
		{"webhooks, keys and registration are clients of a cluster", []string{"pkg/webhook", "pkg/keypair", "pkg/pki", "pkg/hoststate", "pkg/reconcile"},
			[][]string{kubernetes, databases, servers, etcd}, nil},
		{"only the storage knows Kine and database drivers", []string{"pkg/hostreg", "pkg/servingcert", "pkg/cainjector", "pkg/host", "pkg/registry", "pkg/apiserver"},
			[][]string{databases}, nil},
		{"only the host links Kubernetes itself", []string{"pkg/hostreg", "pkg/servingcert", "pkg/cainjector", "pkg/registry", "pkg/apiserver", "pkg/storage"},
			[][]string{kubernetes}, nil},
		{"the server's command leaves both to them", []string{"cmd/koinon"},
			[][]string{kubernetes, databases}, []string{"pkg/host", "pkg/storage"}},
	}
	all := packages(t)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			if gone := all.notThere(slices.Concat(rule.within, rule.gates)...); len(gone) > 0 {
				t.Errorf("there is no %s", strings.Join(gone, ", "))
			}
			for _, p := range all.ours() {
				if !below(p.ImportPath, inModule(rule.within)...) {
					continue
				}
				for _, paths := range rule.mustNotReach {
					if way := all.reach(p.ImportPath, inModule(rule.gates), paths); way != nil {
						t.Errorf("%s", strings.Join(way, "\n\timports "))
					}
				}
			}
		})
	}
}

func inModule(folders []string) []string {
	out := make([]string, len(folders))
	for i, folder := range folders {
		out[i] = module + "/" + folder
	}
	return out
}

// The packages of the federated kinds are layers. One that is added is given its place here.
func TestFederatedKindsAreLayered(t *testing.T) {
	const root = module + "/pkg/registry/federated"
	mayImport := map[string][]string{
		root:             nil,
		root + "/wire":   {root},
		root + "/schema": {root},
		// For tests alone.
		root + "/schema/schematest": nil,
		root + "/openapi":           {root, root + "/wire", root + "/schema"},
		root + "/strategy":          {root, root + "/wire", root + "/schema", root + "/ownership"},
		root + "/ownership":         {root, root + "/wire", root + "/openapi"},
		root + "/serving":           {root, root + "/wire", root + "/schema", root + "/openapi", root + "/ownership", root + "/strategy", root + "/targets"},
		root + "/targets":           {root, root + "/strategy"},
	}
	for _, p := range packages(t).ours() {
		if !below(p.ImportPath, root) {
			continue
		}
		allowed, known := mayImport[p.ImportPath]
		if !known {
			t.Errorf("%s has no place among the layers", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if below(imported, root) && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t).ours() {
		if p.Doc == "" && !below(p.ImportPath, inModule([]string{"pkg/generated", "test/integration"})...) {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
