package app

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/koinon-io/koinon/artifacts/deploy"
	"github.com/koinon-io/koinon/pkg/apiserver"
	"github.com/koinon-io/koinon/pkg/hostreg"
)

var update = flag.Bool("update", false, "write the golden files")

func printManifests(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := newManifestsCommand()
	cmd.SetArgs(append([]string{}, args...)) // nil would be those of the test binary
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestInstallManifestsFillsIn(t *testing.T) {
	args := []string{"--namespace=fleet", "--image=registry.example/koinon:v1", "--datastore-secret=db"}
	fillsIn(t, "install-manifests.yaml", args...)
	fillsIn(t, "install-manifests-tunnel.yaml", append(args, "--tunnel-advertise-address=tunnel.example,10.0.0.1:443")...)
}

func fillsIn(t *testing.T, file string, args ...string) {
	t.Helper()
	got := printManifests(t, args...)
	golden := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("go test ./cmd/koinon/app -update writes the golden file (-want +got):\n%s", diff)
	}
	for _, left := range []string{"kube-federation-system", "ghcr.io", "koinon-datastore", "ADDRESS"} {
		if strings.Contains(got, left) {
			t.Errorf("%q was not replaced", left)
		}
	}
}

func TestInstallManifestsRefuses(t *testing.T) {
	for name, test := range map[string]struct{ arg, want string }{
		"a namespace with a dot": {"--namespace=a.b", `--namespace is "a.b"`},
		"an image with a quote":  {"--image=a\"b", `--image is "a\"b"`},
		"an image of any day":    {"--image=registry.example/koinon", `--image is "registry.example/koinon": it must say which release`},
		"the latest image":       {"--image=registry.example/koinon:latest", "a tag that is not latest or by a digest"},
		"a tunnel nowhere":       {"--tunnel-advertise-address=https://a", `--tunnel-advertise-address is "https://a": it must be HOST or HOST:PORT`},
		"a Secret with a space":  {"--datastore-secret=a b", `--datastore-secret is "a b"`},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := newManifestsCommand()
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			cmd.SetArgs([]string{test.arg})
			cmd.SetOut(io.Discard)
			if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

// TestTheTunnelIsInEveryManifestThatItBelongsTo holds that the lines are there behind which it is put.
func TestTheTunnelIsInEveryManifestThatItBelongsTo(t *testing.T) {
	without := printManifests(t)
	with := printManifests(t, "--tunnel-advertise-address=tunnel.example")
	for line, more := range deploy.TunnelLines {
		more = strings.ReplaceAll(more, "ADDRESS", "tunnel.example")
		if strings.Count(without, line) != 1 || strings.Count(with, line+more) != 1 || strings.Contains(without, more) {
			t.Errorf("%q is not behind %q, once, with the tunnel alone", more, line)
		}
	}
}

// TestInstallManifestsLetRegisterEveryGroupVersion keeps the names in the rights to change
// APIServices, and the webhook beside them, up to date.
func TestInstallManifestsLetRegisterEveryGroupVersion(t *testing.T) {
	want := sets.New(hostreg.NamespacesWebhook)
	for _, gv := range apiserver.GroupVersions() {
		want.Insert(gv.Version + "." + gv.Group)
	}
	got := sets.New[string]()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(printManifests(t)), 4096)
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if object.GetKind() != "ClusterRole" || object.GetName() != "koinon" {
			continue
		}
		rules, _, _ := unstructured.NestedSlice(object.Object, "rules")
		for _, rule := range rules {
			names, _, _ := unstructured.NestedStringSlice(rule.(map[string]any), "resourceNames")
			got.Insert(names...)
		}
	}
	if diff := cmp.Diff(sets.List(want), sets.List(got)); diff != "" {
		t.Errorf("resourceNames in artifacts/deploy/rbac.yaml (-want +got):\n%s", diff)
	}
}
