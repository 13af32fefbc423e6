package app

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
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
	for _, role := range printedClusterRoles(t) {
		for _, rule := range role.Rules {
			got.Insert(rule.ResourceNames...)
		}
	}
	if diff := cmp.Diff(sets.List(want), sets.List(got)); diff != "" {
		t.Errorf("resourceNames in artifacts/deploy/rbac*.yaml (-want +got):\n%s", diff)
	}
}

// Who may register webhooks can be shown every write in the host, so that it has to be possible to go without.
func TestInstallManifestsLetRegisterWebhooksInARoleOfItsOwnOnly(t *testing.T) {
	const flag = "        - --namespace-webhook=false\n"
	for arg, want := range map[string][]string{"--namespace-webhook=true": {"koinon:namespace-webhook"}, "--namespace-webhook=false": nil} {
		var got []string
		for _, role := range printedClusterRoles(t, arg) {
			if slices.ContainsFunc(role.Rules, writesWebhooks) {
				got = append(got, role.Name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: ClusterRoles that may write what the host asks at writes (-want +got):\n%s", arg, diff)
		}
		printed := printManifests(t, arg)
		if bound := strings.Contains(printed, "koinon:namespace-webhook"); bound != (want != nil) {
			t.Errorf("%s: the role is there or bound: %v", arg, bound)
		}
		if without := strings.Count(printed, flag) == 1; without != (want == nil) {
			t.Errorf("%s: the server is told to go without: %v", arg, without)
		}
	}
}

// writesWebhooks reports whether a rule lets more than read in the group of webhooks and admission policies.
func writesWebhooks(rule rbacv1.PolicyRule) bool {
	return (slices.Contains(rule.APIGroups, admissionregistrationv1.GroupName) || slices.Contains(rule.APIGroups, "*")) &&
		!sets.New("get", "list", "watch").HasAll(rule.Verbs...)
}

// printedClusterRoles are those of the manifests for the accounts of Koinon and for users.
func printedClusterRoles(t *testing.T, args ...string) []rbacv1.ClusterRole {
	t.Helper()
	var roles []rbacv1.ClusterRole
	for decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(printManifests(t, args...)), 4096); ; {
		var role rbacv1.ClusterRole
		err := decoder.Decode(&role)
		if errors.Is(err, io.EOF) {
			return roles
		}
		if err != nil {
			t.Fatal(err)
		}
		if role.Kind == "ClusterRole" {
			roles = append(roles, role)
		}
	}
}
