package testbed

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// Document is a file of docs, whose commands a test runs.
type Document string

// ReadDocument reads a file of docs.
func ReadDocument(t testing.TB, name string) Document {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "docs", name))
	return Document(must(t, content, err))
}

// Commands are all shell commands of a section.
func (d Document) Commands(t testing.TB, heading string) string {
	t.Helper()
	return d.blocks(t, heading, "sh")
}

// Manifests are all YAML blocks of a section.
func (d Document) Manifests(t testing.TB, heading string) string {
	t.Helper()
	return d.blocks(t, heading, "yaml")
}

func (d Document) blocks(t testing.TB, heading, language string) string {
	t.Helper()
	_, section, found := strings.Cut(string(d), "\n"+heading+"\n")
	if !found {
		t.Fatalf("the document has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	var all strings.Builder
	for _, block := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(section, -1) {
		all.WriteString(block[1])
	}
	if all.Len() == 0 {
		t.Fatalf("there is no block of %s in %q", language, heading)
	}
	return all.String()
}

// Shell pastes commands into a shell, which stops at the first that fails. Its kubectl is that of the test bed.
func Shell(t testing.TB, kubeconfig, commands string) {
	t.Helper()
	binary, err := Binary("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", commands)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBECACHEDIR="+t.TempDir(),
		"PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &output)
	}
}

// WithMember writes a kubeconfig that is another one with one context more: that of the member, under its name.
func WithMember(t testing.TB, kubeconfig string, member *Cluster) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := clientcmd.LoadFromFile(member.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	context, name := theirs.Contexts[theirs.CurrentContext], member.Name()
	config.Clusters[name], config.AuthInfos[name] = theirs.Clusters[context.Cluster], theirs.AuthInfos[context.AuthInfo]
	context.Cluster, context.AuthInfo = name, name
	config.Contexts[name] = context
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
