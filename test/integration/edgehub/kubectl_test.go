package edgehub_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/test/testbed"
)

// kubectlSays are commands of which the text must be the same.
var kubectlSays = []string{
	"get nodes,namespaces,gadgets -o yaml",
	"get configmaps,pods,services,endpointslices,widgets -A -o yaml",
	"get configmaps -A -o yaml --chunk-size=3",
	"get widgets,configmaps -A --chunk-size=3",
	"get pods -A -l unit=a --field-selector spec.nodeName=n1 -o json",
	"get pods -A --field-selector spec.nonsense=1 -o json",
	"get configmaps -n nosuch -o yaml",
	"get configmap c1 nosuch -n ns0 -o yaml",
	"get nosuch",
	"describe configmaps,services,widgets -n ns0",
	"describe pod p1 -n ns0",
	"describe node n1",
	"wait configmap/nosuch -n ns0 --for=delete",
	"wait pod/p1 -n ns0 --for=jsonpath={.status.phase}=Pending",
	"api-resources",
}

var age = regexp.MustCompile(`\b(\d+[smhd])+\b`)

// kubeconfig is one for programs of the node.
func (h *hub) kubeconfig() string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "kubeconfig")
	const text = `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"c","user":{}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"c"}}]}`
	if err := os.WriteFile(path, fmt.Appendf(nil, text, h.url), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// kubectl says the same of the API server and through the hub.
func TestKubectlSaysTheSameThroughTheHub(t *testing.T) {
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	client := populate(t, cluster).Resource(configMaps.GroupVersionResource).Namespace("ns0")
	h := newHub(t, newLink(t, cluster))
	kubeconfigs := []string{cluster.Kubeconfig(), h.kubeconfig()}
	for _, command := range kubectlSays {
		t.Run(command, func(t *testing.T) {
			var said [2]string
			var running sync.WaitGroup
			for i, kubeconfig := range kubeconfigs {
				running.Go(func() {
					result := testbed.RunKubectl(t, kubeconfig, "", strings.Fields(command)...)
					said[i] = age.ReplaceAllString(fmt.Sprintf("%s%s%v", result.Stdout, result.Stderr, result.Err), "AGE")
				})
			}
			running.Wait()
			if diff := cmp.Diff(said[0], said[1]); diff != "" {
				t.Errorf("directly and through the hub (-directly +through the hub):\n%s", diff)
			}
		})
	}
	t.Run("get -w", func(t *testing.T) {
		commands := []string{"get configmaps -n ns0 -w --output-watch-events", "get configmaps -n ns0 -w -o yaml", "get configmaps -n ns0 -w --output-watch-events -o json"}
		var watching []*bufio.Scanner
		said := make([]strings.Builder, 2*len(commands))
		until := func(text string) {
			t.Helper()
			for i, lines := range watching {
				for found := false; !found; found = strings.Contains(lines.Text(), text) {
					if !lines.Scan() {
						t.Fatalf("kubectl has ended: %v, after %s", lines.Err(), said[i].String())
					}
					fmt.Fprintln(&said[i], age.ReplaceAllString(lines.Text(), "AGE"))
				}
			}
		}
		for _, command := range commands {
			for _, kubeconfig := range kubeconfigs {
				cmd := testbed.KubectlCommand(t, kubeconfig, strings.Fields(command)...)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
				watching = append(watching, bufio.NewScanner(out))
			}
		}
		until("c4")
		for _, name := range []string{"late", "later"} {
			o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "labels": map[string]any{"unit": "a"}}}}
			if _, err := client.Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if name == "later" {
				break
			}
			if err := client.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		until("later")
		for i, command := range commands {
			if diff := cmp.Diff(said[2*i].String(), said[2*i+1].String()); diff != "" {
				t.Errorf("%s (-directly +through the hub):\n%s", command, diff)
			}
		}
	})
}
