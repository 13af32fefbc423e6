package pki

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	testingclock "k8s.io/utils/clock/testing"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func ensure(t *testing.T, dir string, clock *testingclock.FakeClock) *PKI {
	t.Helper()
	p, err := Ensure(Config{Dir: dir, Hosts: []string{"localhost", "127.0.0.1"}, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// contents are the files of a directory by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(data)
	}
	return files
}

// changed are the names of the files that differ.
func changed(before, after map[string]string) map[string]bool {
	names := map[string]bool{}
	for name, data := range after {
		if before[name] != data {
			names[name] = true
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names[name] = true
		}
	}
	return names
}

// verify checks every leaf against the authorities as TLS would, at the clock's time.
func verify(t *testing.T, p *PKI, now time.Time) {
	t.Helper()
	for _, l := range []leaf{serving, admin, frontProxyClient} {
		authority, err := readCertificate(p.path(l.issuer.name + ".crt"))
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(authority)
		leaf, err := readPair(p.path(l.file))
		if err != nil {
			t.Fatalf("%s: %v", l.file, err)
		}
		if _, err := leaf.certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{l.usage}}); err != nil {
			t.Errorf("%s: %v", l.file, err)
		}
	}
}

func TestASecondStartChangesNothing(t *testing.T) {
	dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
	verify(t, ensure(t, dir, clock), clock.Now())
	before := contents(t, dir)
	clock.SetTime(begin.Add(200 * day))
	ensure(t, dir, clock)
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("files changed (-before +after):\n%s", diff)
	}
}

func TestRenewal(t *testing.T) {
	leaves := map[string]bool{"serving.pem": true, "admin.pem": true, "front-proxy-client.pem": true}
	cases := map[string]struct {
		after time.Duration
		want  map[string]bool
	}{
		"nothing before two thirds of a leaf's life": {240 * day, map[string]bool{}},
		"leaves after two thirds":                    {250 * day, leaves},
		"a server that was off for two years":        {730 * day, leaves},
		"authorities after two thirds, with their keys": {8 * 365 * day, map[string]bool{
			"serving.pem": true, "admin.pem": true, "front-proxy-client.pem": true, "ca.crt": true, "front-proxy-ca.crt": true}},
		"a clock that was ahead when they were made": {-30 * day, map[string]bool{
			"serving.pem": true, "admin.pem": true, "front-proxy-client.pem": true, "ca.crt": true, "front-proxy-ca.crt": true}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
			ensure(t, dir, clock)
			before := contents(t, dir)
			clock.SetTime(begin.Add(c.after))
			p := ensure(t, dir, clock)
			if diff := cmp.Diff(c.want, changed(before, contents(t, dir))); diff != "" {
				t.Errorf("replaced files (-want +got):\n%s", diff)
			}
			verify(t, p, clock.Now())
		})
	}
}

func TestRunRenewsWithoutRestart(t *testing.T) {
	dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
	p := ensure(t, dir, clock)
	before := contents(t, dir)
	told := make(chan struct{})
	p.OnRenewal(func() error {
		close(told)
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		p.Run(ctx)
		close(ended)
	}()
	for !clock.HasWaiters() {
		select {
		case <-t.Context().Done():
			t.Fatal("Run does not wait for the clock")
		case <-time.After(time.Millisecond):
		}
	}
	clock.Step(250 * day)
	<-told
	cancel()
	<-ended
	if !changed(before, contents(t, dir))["serving.pem"] {
		t.Error("the serving certificate was not renewed")
	}
	verify(t, p, clock.Now())
}

func TestAnOldLeafIsValidUnderARenewedAuthority(t *testing.T) {
	dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
	p := ensure(t, dir, clock)
	almost := begin.Add(authorityLifetime * 2 / 3)
	clock.SetTime(almost.Add(-2 * day))
	ensure(t, dir, clock)
	old, err := readPair(p.path("admin.pem"))
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	clock.SetTime(almost.Add(day))
	ensure(t, dir, clock)
	if !changed(before, contents(t, dir))["ca.crt"] {
		t.Fatal("the authority was not renewed")
	}
	authority, err := readCertificate(p.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := old.certificate.CheckSignatureFrom(authority); err != nil {
		t.Errorf("a certificate of the old authority under the new one: %v", err)
	}
}

func TestNewHostsMakeANewServingCertificateOnly(t *testing.T) {
	dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
	ensure(t, dir, clock)
	before := contents(t, dir)
	p, err := Ensure(Config{Dir: dir, Hosts: []string{"localhost", "10.0.0.5", "koinon.example"}, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"serving.pem": true}, changed(before, contents(t, dir))); diff != "" {
		t.Errorf("replaced files (-want +got):\n%s", diff)
	}
	certificate, err := readCertificate(p.ServingFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"10.0.0.5", "koinon.example"} {
		if err := certificate.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func TestRepair(t *testing.T) {
	cases := map[string]struct {
		damage func(t *testing.T, dir string)
		// kept must be as before.
		kept []string
	}{
		"the certificate of the authority is gone": {remove("ca.crt"), []string{"ca.key", "sa.key"}},
		"the certificate of the authority is cut":  {truncate("ca.crt"), []string{"ca.key", "sa.key"}},
		"a leaf is gone":                  {remove("serving.pem"), []string{"ca.crt", "ca.key", "admin.pem"}},
		"a leaf is cut":                   {truncate("admin.pem"), []string{"ca.crt", "ca.key", "serving.pem"}},
		"a leaf is empty":                 {write("serving.pem", ""), []string{"ca.crt", "ca.key", "admin.pem"}},
		"the signing key is gone":         {remove("sa.key"), []string{"ca.crt", "serving.pem"}},
		"a kill in mid-write left a file": {write(temporaryPrefix+"serving.pem-1", "half"), []string{"ca.crt", "serving.pem"}},
		"an authority is gone with its key": {func(t *testing.T, dir string) {
			remove("front-proxy-ca.crt")(t, dir)
			remove("front-proxy-ca.key")(t, dir)
		}, []string{"ca.crt", "ca.key", "serving.pem", "admin.pem"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
			ensure(t, dir, clock)
			before := contents(t, dir)
			c.damage(t, dir)
			verify(t, ensure(t, dir, clock), clock.Now())
			after := contents(t, dir)
			if got, want := len(after), len(before); got != want {
				t.Errorf("files: got %d, want %d", got, want)
			}
			for _, name := range c.kept {
				if before[name] != after[name] {
					t.Errorf("%s was replaced", name)
				}
			}
		})
	}
}

func TestAnAuthorityIsNeverReplacedSilently(t *testing.T) {
	for name, damage := range map[string]func(*testing.T, string){
		"the key is gone":        remove("ca.key"),
		"the key is cut":         truncate("ca.key"),
		"the signing key is cut": truncate("sa.key"),
	} {
		t.Run(name, func(t *testing.T) {
			dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
			ensure(t, dir, clock)
			damage(t, dir)
			before := contents(t, dir)
			if _, err := Ensure(Config{Dir: dir, Clock: clock}); err == nil {
				t.Error("got no error")
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("files changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, testingclock.NewFakeClock(begin))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0o600)
		if filepath.Ext(entry.Name()) == ".crt" {
			want = 0o644
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", entry.Name(), got, want)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	dir := t.TempDir()
	p := ensure(t, filepath.Join(dir, "pki"), testingclock.NewFakeClock(begin))
	path := filepath.Join(dir, "admin.kubeconfig")
	if err := p.WriteKubeconfig(path, "https://127.0.0.1:6443"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:6443" || len(config.CAData) == 0 {
		t.Errorf("host %q, authority of %d bytes", config.Host, len(config.CAData))
	}
	certificate, err := parseCertificate(config.CertData)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"system:masters"}, certificate.Subject.Organization); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if key, err := parseKey(config.KeyData); err != nil || !sameKey(certificate, key) {
		t.Errorf("the key in the kubeconfig: %v", err)
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func truncate(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Truncate(filepath.Join(dir, name), 100); err != nil {
			t.Fatal(err)
		}
	}
}

func write(name, data string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
