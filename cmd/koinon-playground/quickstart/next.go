package quickstart

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// next are the commands to paste. KUBECTL, PLUGIN, PLAYGROUND and DIR are filled in. Those of the
// plugin are left out where it is not beside this program.
var next = []struct{ say, run string }{
	{"the federated object, and its cells", "KUBECTL get fdeploy,cells -n shop"},
	{"the same object in KubeFed's shape", "KUBECTL get federateddeployments.v1beta1.types.kubefed.io web -n shop -o yaml"},
	{"documentation down into the template", "KUBECTL explain federateddeployment.spec.template.spec.replicas"},
	{"what one member has", "KUBECTL --context m2 get deployments,pods -A -l app=web"},
	{"change it everywhere", `KUBECTL patch fdeploy web -n shop --type merge -p '{"spec":{"template":{"spec":{"replicas":4}}}}'`},
	{"a member through Koinon, as yourself, with any client", "PLUGIN kubeconfig m1 --merge && KUBECTL --context koinon/m1 get pods -A"},
	{"what runs here, and all of it gone", "PLAYGROUND status --dir DIR"},
	{"", "PLAYGROUND down --dir DIR"},
}

// printNext prints commands that work from the current directory.
func (q *quickstart) printNext() error {
	cwd, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the current directory: %w", err)
	}
	playground := nearest(cwd, q.Binary)
	kubectl, found := beside(cwd, q.Binary, "kubectl")
	if !found {
		kubectl = playground + " kubectl"
	}
	plugin, hasPlugin := beside(cwd, q.Binary, "kubectl-koinon")
	fill := strings.NewReplacer("KUBECTL", kubectl, "PLUGIN", plugin, "PLAYGROUND", playground, "DIR", quote(nearest(cwd, q.home.Dir)))
	fmt.Fprintf(q.Out, "\nNext:\n\n  export KUBECONFIG=%s\n", quote(nearest(cwd, q.home.Kubeconfig())))
	for _, n := range next {
		if strings.HasPrefix(n.run, "PLUGIN ") && !hasPlugin {
			continue
		}
		if n.say != "" {
			fmt.Fprintf(q.Out, "\n  # %s\n", n.say)
		}
		fmt.Fprintf(q.Out, "  %s\n", fill.Replace(n.run))
	}
	return nil
}

// beside returns the path of a program in the directory of this one, and whether it is there.
func beside(cwd, binary, name string) (string, bool) {
	path := filepath.Join(filepath.Dir(binary), name)
	_, err := os.Stat(path)
	return nearest(cwd, path), err == nil
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
