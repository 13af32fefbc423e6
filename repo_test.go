package koinon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/koinon-io/koinon"

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath, Doc string
	Imports         []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// within reports whether a package is one of the folders, or below one.
func within(importPath string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		path := module + "/" + folder
		return importPath == path || strings.HasPrefix(importPath, path+"/")
	})
}

// imports reports whether a package imports one of the paths, or something below one.
func (p goPackage) imports(paths ...string) string {
	for _, imported := range p.Imports {
		for _, path := range paths {
			if imported == path || strings.HasPrefix(imported, path+"/") {
				return imported
			}
		}
	}
	return ""
}

func TestDependenciesPointOneWay(t *testing.T) {
	ours := func(folders ...string) []string {
		for i := range folders {
			folders[i] = module + "/" + folders[i]
		}
		return folders
	}
	rules := []struct {
		name string
		// applies to packages within these folders, or to all but these
		within, except []string
		mustNotImport  []string
	}{
		{"only the host and the playground link Kubernetes itself", nil,
			[]string{"pkg/host", "cmd/koinon-playground"}, []string{"k8s.io/kubernetes"}},
		// The benchmark of the store runs upstream Kine beside ours, and counts statements.
		{"only the storage knows kine and database drivers", nil,
			[]string{"pkg/storage", "test/storebench"}, []string{"github.com/k3s-io/kine", "github.com/go-sql-driver/mysql", "github.com/mattn/go-sqlite3"}},
		{"API types know neither servers nor clients", []string{"pkg/apis"}, nil,
			append(ours("pkg/registry", "pkg/apiserver", "pkg/federation", "pkg/host", "pkg/storage", "pkg/webhook", "pkg/generated", "cmd"),
				"k8s.io/apiserver", "k8s.io/client-go")},
		{"controllers go through the API", []string{"pkg/federation"}, nil,
			append(ours("pkg/registry", "pkg/apiserver", "pkg/host", "pkg/storage", "pkg/webhook", "cmd"), "k8s.io/apiserver")},
		{"registries do not know who serves or stores them", []string{"pkg/registry"}, nil,
			ours("pkg/apiserver", "pkg/federation", "pkg/host", "pkg/storage", "pkg/webhook", "cmd")},
		{"the API server does not know its host or store", []string{"pkg/apiserver"}, nil,
			ours("pkg/federation", "pkg/host", "pkg/storage", "pkg/webhook", "cmd")},
		{"the webhooks need only the types", []string{"pkg/webhook"}, nil,
			ours("pkg/registry", "pkg/apiserver", "pkg/federation", "pkg/host", "pkg/storage", "cmd")},
		{"host, storage and keys know nothing of federation", []string{"pkg/host", "pkg/storage", "pkg/pki"}, nil,
			ours("pkg/registry", "pkg/apiserver", "pkg/federation", "pkg/webhook", "cmd")},
	}
	all := packages(t)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, p := range all {
				if rule.within != nil && !within(p.ImportPath, rule.within...) || within(p.ImportPath, rule.except...) {
					continue
				}
				if imported := p.imports(rule.mustNotImport...); imported != "" {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		})
	}
}

// The packages of the federated kinds are layers. One that is added is given its place here.
func TestFederatedKindsAreLayered(t *testing.T) {
	const root = module + "/pkg/registry/federated"
	mayImport := map[string][]string{
		root:               nil,
		root + "/wire":     {root},
		root + "/schema":   {root},
		root + "/openapi":  {root, root + "/wire", root + "/schema"},
		root + "/strategy": {root, root + "/wire", root + "/schema"},
		root + "/serving":  {root, root + "/wire", root + "/schema", root + "/openapi", root + "/strategy"},
	}
	for _, p := range packages(t) {
		if !within(p.ImportPath, "pkg/registry/federated") {
			continue
		}
		allowed, known := mayImport[p.ImportPath]
		if !known {
			t.Errorf("%s has no place among the layers", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if within(imported, "pkg/registry/federated") && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && !within(p.ImportPath, "pkg/generated", "test/integration") {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
