package pki

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/klog/v2"
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
		if entry.IsDir() {
			files[entry.Name()] = "a folder"
			continue
		}
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
	for _, l := range allLeaves {
		issuer, err := p.readAuthority(l.issuer)
		if err != nil {
			t.Fatal(err)
		}
		current, err := p.readLeaf(l)
		if err != nil {
			t.Fatalf("%s: %v", l.file, err)
		}
		if err := good(current.Certificate, issuer.Certificate, now, l.usage); err != nil {
			t.Errorf("%s: %v", l.file, err)
		}
	}
}

// good says whether a certificate is good for a usage at a time.
func good(certificate, issuer *x509.Certificate, now time.Time, usage x509.ExtKeyUsage) error {
	pool := x509.NewCertPool()
	pool.AddCert(issuer)
	_, err := certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
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
	leaves := map[string]bool{"serving.pem": true, "front-proxy-client.pem": true}
	all := map[string]bool{"serving.pem": true, "front-proxy-client.pem": true, "ca.crt": true, "front-proxy-ca.crt": true}
	cases := map[string]struct {
		after time.Duration
		want  map[string]bool
	}{
		"nothing before two thirds of a leaf's life":    {240 * day, map[string]bool{}},
		"leaves after two thirds":                       {250 * day, leaves},
		"a server that was off for two years":           {730 * day, leaves},
		"authorities after two thirds, with their keys": {8 * 365 * day, all},
		"a clock that was ahead when they were made":    {-30 * day, all},
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

// run runs p until the function that it returns is called.
func run(t *testing.T, p *PKI, clock *testingclock.FakeClock) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		p.Run(ctx)
	}()
	for !clock.HasWaiters() {
		runtime.Gosched()
	}
	return func() {
		cancel()
		<-ended
	}
}

func TestRunRenewsWithoutRestart(t *testing.T) {
	dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
	p := ensure(t, filepath.Join(dir, "pki"), clock)
	path := filepath.Join(dir, "admin.kubeconfig")
	if err := p.KeepKubeconfig(Kubeconfig{Path: path, Server: "https://127.0.0.1:6443", Group: AdministratorsGroup, Lifetime: day}); err != nil {
		t.Fatal(err)
	}
	before := contents(t, p.config.Dir)
	clock.SetTime(begin.Add(250 * day))
	p.tick(klog.FromContext(t.Context()))
	if !changed(before, contents(t, p.config.Dir))["serving.pem"] {
		t.Error("the serving certificate was not renewed")
	}
	verify(t, p, clock.Now())
	isGood(t, p, path, clock.Now())
}

func TestRunLooksFromTimeToTimeUntilItIsStopped(t *testing.T) {
	dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
	p := ensure(t, filepath.Join(dir, "pki"), clock)
	path := filepath.Join(dir, "admin.kubeconfig")
	if err := p.KeepKubeconfig(Kubeconfig{Path: path, Group: AdministratorsGroup, Lifetime: day}); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, p, clock)
	defer stop()
	clock.Step(day)
	for {
		if now, err := os.ReadFile(path); err == nil && !bytes.Equal(now, first) {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("the kubeconfig was not renewed")
		}
		runtime.Gosched()
	}
}

func TestAnOldLeafIsValidUnderARenewedAuthority(t *testing.T) {
	dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
	p := ensure(t, dir, clock)
	almost := begin.Add(authorityLifetime * 2 / 3)
	clock.SetTime(almost.Add(-2 * day))
	ensure(t, dir, clock)
	old, err := p.readLeaf(serving)
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	clock.SetTime(almost.Add(day))
	ensure(t, dir, clock)
	if !changed(before, contents(t, dir))["ca.crt"] {
		t.Fatal("the authority was not renewed")
	}
	renewed, err := p.readAuthority(clusterAuthority)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Certificate.CheckSignatureFrom(renewed.Certificate); err != nil {
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
	current, err := p.readLeaf(serving)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"10.0.0.5", "koinon.example"} {
		if err := current.Certificate.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func TestALeafIsMadeAgain(t *testing.T) {
	kept := []string{"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key"}
	for name, damage := range map[string]func(t *testing.T, dir string){
		"that is gone":           remove("serving.pem"),
		"that is cut":            truncate("serving.pem"),
		"that is empty":          write("front-proxy-client.pem", ""),
		"that is a copy of a CA": copyFile("ca.crt", "serving.pem"),
		"that is half written":   write(".serving.pem123456", "half"),
	} {
		t.Run(name, func(t *testing.T) {
			dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
			ensure(t, dir, clock)
			before := contents(t, dir)
			damage(t, dir)
			verify(t, ensure(t, dir, clock), clock.Now())
			after := contents(t, dir)
			if got, want := len(after), len(before); got != want {
				t.Errorf("files: got %d, want %d", got, want)
			}
			for _, name := range kept {
				if before[name] != after[name] {
					t.Errorf("%s was replaced", name)
				}
			}
		})
	}
}

// TestAKilledFirstStartIsGoneOnWith leaves every number of files of a first start.
func TestAKilledFirstStartIsGoneOnWith(t *testing.T) {
	order := []string{"sa.key", "ca.key", "ca.crt", "front-proxy-ca.key", "front-proxy-ca.crt", "serving.pem", "front-proxy-client.pem"}
	for made := range len(order) + 1 {
		dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
		ensure(t, dir, clock)
		for _, name := range order[made:] {
			remove(name)(t, dir)
		}
		write(firstStart, "")(t, dir)
		before := contents(t, dir)
		verify(t, ensure(t, dir, clock), clock.Now())
		after := contents(t, dir)
		for _, name := range order[:made] {
			if before[name] != after[name] {
				t.Errorf("killed after %v: %s was replaced", order[:made], name)
			}
		}
		if _, unfinished := after[firstStart]; unfinished {
			t.Errorf("killed after %v: it is still the first start", order[:made])
		}
	}
}

// TestAnAuthorityIsNeverReplaced is about every key that is kept, and everything that may
// befall a file.
func TestAnAuthorityIsNeverReplaced(t *testing.T) {
	type damage struct {
		files  []string
		damage func(file string) func(t *testing.T, dir string)
		want   string
	}
	all := []string{"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key"}
	keys := []string{"ca.key", "front-proxy-ca.key", "sa.key"}
	for name, c := range map[string]damage{
		"gone":      {all, remove, "is missing"},
		"empty":     {all, func(file string) func(*testing.T, string) { return write(file, "") }, "is empty"},
		"blank":     {all, func(file string) func(*testing.T, string) { return write(file, "\n\n") }, "is empty"},
		"zeros":     {all, func(file string) func(*testing.T, string) { return write(file, strings.Repeat("\x00", 200)) }, "holds no"},
		"garbage":   {all, func(file string) func(*testing.T, string) { return write(file, "garbage") }, "holds no"},
		"cut":       {all, truncate, "holds no"},
		"a folder":  {all, folder, "cannot be read"},
		"encrypted": {keys, encrypted, "is encrypted with a passphrase"},
		"of another authority": {[]string{"ca.key"}, func(file string) func(*testing.T, string) {
			return copyFile("front-proxy-ca.key", file)
		}, "belongs to another key"},
		"no authority": {[]string{"ca.crt"}, func(string) func(*testing.T, string) {
			return func(t *testing.T, dir string) {
				copyFile("serving.pem", "ca.crt")(t, dir)
				copyFile("serving.pem", "ca.key")(t, dir)
			}
		}, "is not the certificate of an authority"},
	} {
		for _, file := range c.files {
			t.Run(file+" is "+name, func(t *testing.T) {
				dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
				ensure(t, dir, clock)
				c.damage(file)(t, dir)
				refused(t, dir, clock, file, c.want)
			})
		}
	}
	t.Run("both files of an authority are gone", func(t *testing.T) {
		dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
		ensure(t, dir, clock)
		remove("ca.crt")(t, dir)
		remove("ca.key")(t, dir)
		refused(t, dir, clock, "ca.key", "is missing")
	})
	t.Run("both files of an authority are empty", func(t *testing.T) {
		dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
		ensure(t, dir, clock)
		write("ca.crt", "")(t, dir)
		write("ca.key", "")(t, dir)
		refused(t, dir, clock, "ca.key", "is empty")
	})
	t.Run("a key is damaged in the first start", func(t *testing.T) {
		dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
		ensure(t, dir, clock)
		write(firstStart, "")(t, dir)
		remove("ca.crt")(t, dir)
		truncate("ca.key")(t, dir)
		refused(t, dir, clock, "ca.key", "holds no private key")
	})
	t.Run("a file may not be read", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may read everything")
		}
		dir, clock := t.TempDir(), testingclock.NewFakeClock(begin)
		ensure(t, dir, clock)
		if err := os.Chmod(filepath.Join(dir, "ca.key"), 0); err != nil {
			t.Fatal(err)
		}
		_, err := Ensure(Config{Dir: dir, Clock: clock})
		if err == nil || !strings.Contains(err.Error(), "ca.key cannot be read (permission denied)") {
			t.Errorf("got %v", err)
		}
	})
}

// refused checks that nothing is changed, and that the sentence says where, what and what to
// do.
func refused(t *testing.T, dir string, clock *testingclock.FakeClock, file, want string) {
	t.Helper()
	before := contents(t, dir)
	p := &PKI{config: Config{Dir: dir, Clock: clock}}
	_, starting := Ensure(p.config)
	running := p.ensureServiceAccountKey()
	if running == nil {
		_, running = p.renew()
	}
	for when, err := range map[string]error{"at the start": starting, "while it runs": running} {
		for _, part := range []string{filepath.Join(dir, file), want, "restore the directory " + dir + " from a backup"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v, want %q in it", when, err, part)
			}
		}
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("files changed (-before +after):\n%s", diff)
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

func copyFile(from, to string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		write(to, string(data))(t, dir)
	}
}

// folder puts a folder in the place of a file: reading it fails as on a broken disk.
func folder(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		remove(name)(t, dir)
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func encrypted(name string) func(*testing.T, string) {
	return write(name, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcGCSqGSIb3DQEFDTBK\n-----END ENCRYPTED PRIVATE KEY-----\n")
}
