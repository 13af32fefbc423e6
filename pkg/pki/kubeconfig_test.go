package pki

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// isGood checks a kubeconfig as a client and the server would, and returns its groups and the
// end of its time.
func isGood(t *testing.T, p *PKI, path string, now time.Time) ([]string, time.Time) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := keypair.ParseCertificate(config.CAData)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := keypair.ParsePair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	if err := good(pair.Certificate, issuer, now, x509.ExtKeyUsageClientAuth); err != nil {
		t.Error(err)
	}
	ca, err := p.readAuthority(clusterAuthority)
	if err != nil || !ca.Certificate.Equal(issuer) {
		t.Errorf("the authority in the kubeconfig is another one than that of the server: %v", err)
	}
	return pair.Certificate.Subject.Organization, pair.Certificate.NotAfter
}

func keep(t *testing.T, clock *testingclock.FakeClock) (*PKI, string) {
	t.Helper()
	dir := t.TempDir()
	p := ensure(t, filepath.Join(dir, "pki"), clock)
	path := filepath.Join(dir, "admin.kubeconfig")
	if err := p.KeepKubeconfig(Kubeconfig{Path: path, Server: "https://127.0.0.1:6443", Group: AdministratorsGroup, Lifetime: day}); err != nil {
		t.Fatal(err)
	}
	return p, path
}

func TestTheKubeconfigIsGoodForItsLifetimeOnly(t *testing.T) {
	clock := testingclock.NewFakeClock(begin)
	p, path := keep(t, clock)
	groups, end := isGood(t, p, path, clock.Now())
	if diff := cmp.Diff([]string{"koinon:administrators"}, groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if want := begin.Add(day); !end.Equal(want) {
		t.Errorf("it is good until %s, want %s", end, want)
	}
	if server, err := KubeconfigServer(path); err != nil || server != "https://127.0.0.1:6443" {
		t.Errorf("server: got %q, %v", server, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v; want mode 0600", info.Mode(), err)
	}
}

func TestARunningServerKeepsTheKubeconfigGood(t *testing.T) {
	clock := testingclock.NewFakeClock(begin)
	p, path := keep(t, clock)
	written := map[string]bool{}
	for range 7 * 24 * 6 {
		clock.Step(lookEvery)
		p.tick(klog.FromContext(t.Context()))
		isGood(t, p, path, clock.Now())
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written[string(data)] = true
	}
	if got := len(written); got < 7 || got > 14 {
		t.Errorf("in a week it was written %d times, want once or twice a day", got)
	}
}

func TestAKubeconfigThatWasDamagedIsWrittenAgain(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"removed": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"garbage": func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(begin)
			p, path := keep(t, clock)
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			p.tick(klog.FromContext(t.Context()))
			isGood(t, p, path, clock.Now())
		})
	}
}

func TestWhoCanReadTheDirectorySignsAKubeconfigOffline(t *testing.T) {
	clock := testingclock.NewFakeClock(begin)
	p := ensure(t, t.TempDir(), clock)
	before := contents(t, p.config.Dir)
	for _, group := range []string{AdministratorsGroup, BreakGlassGroup} {
		data, err := SignKubeconfig(p.config.Dir, Kubeconfig{Server: "https://koinon.example:6443", Group: group, Lifetime: time.Hour}, begin)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "kubeconfig")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		groups, end := isGood(t, p, path, clock.Now())
		if len(groups) != 1 || groups[0] != group || !end.Equal(begin.Add(time.Hour)) {
			t.Errorf("got the groups %v until %s", groups, end)
		}
	}
	if diff := cmp.Diff(before, contents(t, p.config.Dir)); diff != "" {
		t.Errorf("files changed (-before +after):\n%s", diff)
	}
	empty := t.TempDir()
	if _, err := SignKubeconfig(empty, Kubeconfig{Lifetime: time.Hour}, begin); err == nil || !strings.Contains(err.Error(), "at its first start") {
		t.Errorf("without keys: got %v", err)
	}
	if left := contents(t, empty); len(left) != 0 {
		t.Errorf("without keys it made %v", left)
	}
}

func TestTheYearLongCertificateOfFormerReleasesIsRemoved(t *testing.T) {
	dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
	ensure(t, dir, clock)
	write(formerAdministrator, "x")(t, dir)
	ensure(t, dir, clock)
	if _, there := contents(t, dir)[formerAdministrator]; there {
		t.Errorf("%s is still there", formerAdministrator)
	}
}
