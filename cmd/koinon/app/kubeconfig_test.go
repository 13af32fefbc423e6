package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/pki"
)

// runKubeconfig runs "koinon kubeconfig" and returns what it printed.
func runKubeconfig(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := NewCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{"kubeconfig"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestKubeconfigCommandMistakes(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"a year":               {[]string{"--lifetime=8760h"}, []string{"--lifetime is 8760h0m0s", "between 1h0m0s and 168h0m0s"}},
		"a minute":             {[]string{"--lifetime=1m"}, []string{"--lifetime is 1m0s"}},
		"a server over http":   {[]string{"--server=http://10.0.0.5:6443"}, []string{`--server is "http://10.0.0.5:6443"`, "https://"}},
		"break-glass in place": {[]string{"--break-glass"}, []string{"--output is not given"}},
		"no server is known":   {nil, []string{"say it with --server", filepath.Join(dir, "admin.kubeconfig")}},
		"no keys":              {[]string{"--server=https://10.0.0.5:6443"}, []string{filepath.Join(dir, "pki", "ca.key") + " is missing", "first start"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runKubeconfig(t, append(test.args, "--data-dir", dir)...)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to contain %q", err, want)
				}
			}
		})
	}
}

func TestKubeconfigCommandKeepsTheAddressOfTheServer(t *testing.T) {
	dir := t.TempDir()
	keys, err := pki.Ensure(pki.Config{Dir: filepath.Join(dir, pkiName)})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, kubeconfigName)
	if err := keys.KeepKubeconfig(pki.Kubeconfig{Path: path, Server: "https://10.0.0.5:6443", Group: pki.AdministratorsGroup, Lifetime: time.Hour}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	printed, err := runKubeconfig(t, "--data-dir", dir)
	if err != nil || !strings.HasPrefix(printed, path+": group koinon:administrators, until ") {
		t.Errorf("got %q, %v", printed, err)
	}
	after, err := os.ReadFile(path)
	if err != nil || bytes.Equal(before, after) {
		t.Errorf("it was not written again: %v", err)
	}
	printed, err = runKubeconfig(t, "--data-dir", dir, "--break-glass", "--output", "-")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pki.ParseCertificate(config.CertData)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.0.0.5:6443" || certificate.Subject.Organization[0] != "system:masters" || time.Until(certificate.NotAfter) > time.Hour {
		t.Errorf("got %s for %s until %s", config.Host, certificate.Subject, certificate.NotAfter)
	}
}
