package app

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/keypair"
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
		"a year":                       {[]string{"--lifetime=8760h"}, []string{"--lifetime is 8760h0m0s", "between 1h0m0s and 168h0m0s"}},
		"a minute":                     {[]string{"--lifetime=1m"}, []string{"--lifetime is 1m0s"}},
		"a server over http":           {[]string{"--server=http://10.0.0.5:6443"}, []string{`--server is "http://10.0.0.5:6443"`, "https://"}},
		"break-glass in place":         {[]string{"--break-glass"}, []string{"--output is not given"}},
		"a user in place":              {[]string{"--user=a"}, []string{"--output is not given"}},
		"a user of Kubernetes":         {[]string{"--user=system:admin", "-o=-"}, []string{`--user is "system:admin"`}},
		"a group of all rights":        {[]string{"--user=a", "--group=system:masters", "-o=-"}, []string{`--group is "system:masters"`}},
		"a group of nobody":            {[]string{"--group=a"}, []string{"without --user"}},
		"two years":                    {[]string{"--user=a", "--lifetime=17520h", "-o=-"}, []string{"between 1h0m0s and 8760h0m0s"}},
		"an administrator for a month": {[]string{"--user=a", "--group=koinon:administrators", "--lifetime=720h", "-o=-"}, []string{"between 1h0m0s and 168h0m0s"}},
		"a cluster that is none":       {[]string{"--user=a", "--tunnel-cluster=M/1", "-o=-"}, []string{`--tunnel-cluster: "M/1" is no name of a cluster`}},
		"no server is known":           {nil, []string{"say it with --server", filepath.Join(dir, "admin.kubeconfig")}},
		"no keys":                      {[]string{"--server=https://10.0.0.5:6443"}, []string{filepath.Join(dir, "pki", "ca.key") + " is missing", "first start"}},
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
	certificate, err := keypair.ParseCertificate(config.CertData)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.0.0.5:6443" || certificate.Subject.Organization[0] != "system:masters" || time.Until(certificate.NotAfter) > time.Hour {
		t.Errorf("got %s for %s until %s", config.Host, certificate.Subject, certificate.NotAfter)
	}
}

func TestKubeconfigCommandNamesAUser(t *testing.T) {
	dir, files := t.TempDir(), t.TempDir()
	if _, err := pki.Ensure(pki.Config{Dir: filepath.Join(dir, pkiName)}); err != nil {
		t.Fatal(err)
	}
	printed, err := runKubeconfig(t, "--data-dir", dir, "--server=https://10.0.0.5:6443", "--user=scraper", "--group=monitoring", "--group=all",
		"--tunnel-cluster=m1", "--lifetime=2160h", "--output=-", "--certificate-directory", files)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := keypair.ParseCertificate(config.CertData)
	if err != nil {
		t.Fatal(err)
	}
	subject := certificate.Subject
	if subject.CommonName != "scraper" || !slices.Equal(slices.Sorted(slices.Values(subject.Organization)), []string{"all", "monitoring"}) ||
		len(certificate.URIs) != 1 || certificate.URIs[0].String() != "koinon-cluster:m1" {
		t.Errorf("got %s, %v", subject, certificate.URIs)
	}
	for name, want := range map[string][]byte{"tls.crt": config.CertData, "tls.key": config.KeyData, "ca.crt": config.CAData} {
		if got, err := os.ReadFile(filepath.Join(files, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what is in the kubeconfig: %v", name, err)
		}
	}
}
