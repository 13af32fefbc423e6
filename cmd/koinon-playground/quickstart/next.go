package quickstart

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// next are the commands to paste. KUBECTL, PLAYGROUND and DIR are filled in.
var next = []struct{ say, run string }{
	{"the federated object, and its cells", "KUBECTL get fdeploy,cells -n shop"},
	{"the same object in KubeFed's shape", "KUBECTL get federateddeployments.v1beta1.types.kubefed.io web -n shop -o yaml"},
	{"documentation down into the template", "KUBECTL explain federateddeployment.spec.template.spec.replicas"},
	{"what one member has", "KUBECTL --context m2 get deployments,pods -A -l app=web"},
	{"change it everywhere", `KUBECTL patch fdeploy web -n shop --type merge -p '{"spec":{"template":{"spec":{"replicas":4}}}}'`},
	{"what runs here, and all of it gone", "PLAYGROUND status --dir DIR"},
	{"", "PLAYGROUND down --dir DIR"},
}

// printNext prints commands that work from the current directory.
func (q *quickstart) printNext() error {
	cwd, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the current directory: %w", err)
	}
	kubectl := nearest(cwd, filepath.Join(filepath.Dir(q.Binary), "kubectl"))
	playground := nearest(cwd, q.Binary)
	if _, err := os.Stat(filepath.Join(filepath.Dir(q.Binary), "kubectl")); err != nil {
		kubectl = playground + " kubectl"
	}
	fill := strings.NewReplacer("KUBECTL", kubectl, "PLAYGROUND", playground, "DIR", quote(nearest(cwd, q.home.Dir)))
	fmt.Fprintf(q.Out, "\nNext:\n\n  export KUBECONFIG=%s\n", quote(nearest(cwd, q.home.Kubeconfig())))
	for _, n := range next {
		if n.say != "" {
			fmt.Fprintf(q.Out, "\n  # %s\n", n.say)
		}
		fmt.Fprintf(q.Out, "  %s\n", fill.Replace(n.run))
	}
	return nil
}

// nearest returns the path as seen from the current directory, if that is below it, so
// that commands stay short.
func nearest(cwd, path string) string {
	rel, err := filepath.Rel(cwd, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}

// quote makes a word for a shell.
func quote(word string) string {
	plain := strings.IndexFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_-+=:,./", r)
	}) < 0
	if plain && word != "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
