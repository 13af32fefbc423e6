//go:build linux

package install

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	cloud = "https://10.0.0.1:6443"
	local = "https://127.0.0.1:10261"
	node  = "edge-1"
)

// machineUnderTest is a node with kubelet, a program to install, and a systemctl that starts processes.
type machineUnderTest struct {
	*testing.T
	dir     string
	cluster keypair.Pair
	// version is in the program. unready and unused are hubs that are never ready, and that kubelet does not find.
	version         string
	unready, unused bool
	// unknown is what the hub does not know.
	unknown string
	systemd *systemd
	// booted is there if systemd is.
	booted string
	// at is told what is done, before.
	at   func(string)
	done []string
}

// newMachine returns one whose kubelet runs, as kubeadm makes it.
func newMachine(t *testing.T) *machineUnderTest {
	t.Helper()
	m := &machineUnderTest{T: t, dir: t.TempDir(), version: "1", at: func(string) {}}
	m.booted = m.dir
	for _, dir := range []string{"units", "run", "bin", "etc/pki", "path", "opt"} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	systemctl, err := filepath.Abs("testdata/systemctl")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(systemctl, m.path("path/systemctl")); err != nil {
		t.Fatal(err)
	}
	m.systemd = &systemd{m: m, runs: map[string]*exec.Cmd{}, started: map[string]int{}, broken: map[string]bool{}}
	m.systemd.serve(t)
	t.Setenv("FAKE", m.dir)
	t.Setenv("PATH", m.path("path")+":"+os.Getenv("PATH"))
	// A program that nobody ends runs for ever.
	m.write("path/kubelet", "#!/bin/sh\n: <\"$FAKE/fifo\"\n", 0o755)
	m.write("units/kubelet.service", "[Service]\nExecStart="+m.path("path/kubelet")+" --bootstrap-kubeconfig="+m.path("etc/bootstrap.conf")+" --kubeconfig "+m.path("etc/kubelet.conf")+
		" --config="+m.path("etc/config.yaml")+" --cert-dir="+m.path("etc/pki")+" --v=2\n", 0o644)
	m.write("etc/config.yaml", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nrotateCertificates: true # renew\n", 0o640)
	if m.cluster, err = keypair.NewAuthority("kubernetes", time.Now(), 10*time.Hour); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machineUnderTest) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machineUnderTest) write(name, text string, mode os.FileMode) {
	m.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(m.path(name)), 0o755), os.WriteFile(m.path(name), []byte(text), mode), os.Chmod(m.path(name), mode)); err != nil {
		m.Fatal(err)
	}
}

func (m *machineUnderTest) read(name string) string {
	m.Helper()
	text, err := os.ReadFile(m.path(name))
	if err != nil {
		m.Fatal(err)
	}
	return string(text)
}

// systemctl has systemd do something, while nobody else does.
func (m *machineUnderTest) systemctl(args ...string) {
	m.Helper()
	if _, err := m.systemd.do(args); err != nil {
		m.Fatal(err)
	}
}

// pair is a certificate of a node that is good for a time, and its key.
func (m *machineUnderTest) pair(node string, life time.Duration) keypair.Pair {
	m.Helper()
	leaf := keypair.Leaf{Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Lifetime: life}
	pair, err := m.cluster.Issue(leaf, time.Now().Add(-time.Duration(len(m.done))*time.Second))
	if err != nil {
		m.Fatal(err)
	}
	return pair
}

func pem(t testing.TB, pair keypair.Pair) string {
	t.Helper()
	key, err := pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return string(pair.CertificatePEM()) + string(key)
}

// join gives kubelet a kubeconfig that leads to a certificate which it renews, as kubeadm does, and starts it.
func (m *machineUnderTest) join() *machineUnderTest {
	m.Helper()
	m.write("etc/pki/kubelet-client-2026-01-01-00-00-00.pem", pem(m, m.pair(node, time.Hour)), 0o600)
	if err := os.Symlink(m.path("etc/pki/kubelet-client-2026-01-01-00-00-00.pem"), m.path("etc/pki/"+currentFile)); err != nil {
		m.Fatal(err)
	}
	return m.joinAs(&identity.Kubeconfig{Server: cloud, CA: m.cluster.CertificatePEM(), CertificateFile: m.path("etc/pki/" + currentFile), KeyFile: m.path("etc/pki/" + currentFile)})
}

// joinAs gives kubelet a kubeconfig, and starts it.
func (m *machineUnderTest) joinAs(config *identity.Kubeconfig) *machineUnderTest {
	m.Helper()
	text, err := config.Encode("default-context")
	if err != nil {
		m.Fatal(err)
	}
	m.write("etc/kubelet.conf", string(text), 0o600)
	m.systemctl("daemon-reload")
	m.systemctl("start", "kubelet.service")
	return m
}

// bootstrap gives kubelet a bootstrap token, and starts it.
func (m *machineUnderTest) bootstrap() *machineUnderTest {
	m.Helper()
	text, err := (&identity.Kubeconfig{Server: cloud, CA: m.cluster.CertificatePEM(), Token: "abcdef.0123456789abcdef"}).Encode("bootstrap")
	if err != nil {
		m.Fatal(err)
	}
	m.write("etc/bootstrap.conf", string(text), 0o600)
	m.systemctl("daemon-reload")
	m.systemctl("start", "kubelet.service")
	return m
}

func (m *machineUnderTest) config() Config {
	return Config{
		StateDir: m.path("state"), BinDir: m.path("bin"), UnitDir: m.path("units"), Booted: m.booted, Timeout: 20 * time.Second, Settle: time.Nanosecond, Ask: m.ask,
		Say: func(what string) { m.at(what); m.done = append(m.done, what) },
	}
}

func (m *machineUnderTest) installer() *Installer {
	m.Helper()
	i, err := New(m.config())
	if err != nil {
		m.Fatal(err)
	}
	return i
}

// ask asks the hub, if one runs: its command line is what was installed, and kubelet has used it if it was started with a kubeconfig for it.
func (m *machineUnderTest) ask(context.Context) (*Answer, error) {
	if runs, _ := m.systemd.running(serviceName); !runs {
		return nil, errors.New("no hub answers")
	}
	answer := &Answer{Node: node, Unknown: m.unknown}
	if m.unready {
		answer.Problem = errors.New("no API server answers")
	}
	if m.kubeletUses() == local && !m.unused {
		_, times := m.systemd.running(kubeadm.Service)
		answer.Kubelet = time.Unix(int64(times), 0)
	}
	return answer, nil
}

// kubeletUses is the server of the kubeconfig that kubelet was started with.
func (m *machineUnderTest) kubeletUses() string {
	if runs, _ := m.systemd.running(kubeadm.Service); !runs {
		return "it does not run"
	}
	config, err := identity.ReadKubeconfig(m.path("run/kubelet.service/kubelet.conf"))
	if err != nil {
		return "none"
	}
	return config.Server
}

// install installs as the command does.
func (m *machineUnderTest) install(args ...string) error {
	i := m.installer()
	m.write("opt/"+program, "#!/bin/sh\n# "+m.version+"\n: <\"$FAKE/fifo\"\n", 0o755)
	if err := i.Finish(m.Context()); err != nil {
		return err
	}
	found, err := i.Look(m.Context())
	if err != nil {
		return err
	}
	return i.Install(m.Context(), found, Hub{Program: m.path("opt/" + program), Args: append([]string{"run", "--server=" + found.Server}, args...), Node: node, Server: local, Kubeconfig: m.hubs})
}

// hubs makes a kubeconfig for the hub.
func (m *machineUnderTest) hubs() ([]byte, error) {
	own, err := identity.OpenAuthority(m.path("state"))
	if err != nil {
		return nil, err
	}
	pair, err := own.Client("system:node:"+node, "system:nodes")
	if err != nil {
		return nil, err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return nil, err
	}
	return (&identity.Kubeconfig{Server: local, CA: own.CertificatePEM(), Certificate: pair.CertificatePEM(), Key: key}).Encode("edgehub")
}

// errKilled is that an installer was killed.
var errKilled = errors.New("killed")

// killedAt runs something, and kills it before the nth thing that it does. It returns errKilled if it came so far.
func (m *machineUnderTest) killedAt(n int, run func() error) error {
	count := 0
	return m.killed(func(string) bool { count++; return count == n }, run)
}

func (m *machineUnderTest) killed(now func(what string) bool, run func() error) (err error) {
	m.at = func(what string) {
		if now(what) {
			panic(errKilled)
		}
	}
	defer func() {
		m.at = func(string) {}
		if r := recover(); r != nil {
			if r != errKilled { //nolint:errorlint // it is what was thrown
				panic(r)
			}
			err = errKilled
		}
	}()
	return run()
}

// killedWhen runs something, and kills it before the first thing that begins with some words.
func (m *machineUnderTest) killedWhen(words string, run func() error) error {
	return m.killed(func(what string) bool { return strings.HasPrefix(what, words) }, run)
}

// tree is all that is on the disk, and not what the hub keeps.
func (m *machineUnderTest) tree() map[string]string {
	m.Helper()
	all := map[string]string{}
	for _, dir := range []string{"units", "bin", "etc"} {
		err := filepath.WalkDir(m.path(dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(path, m.dir+"/")
			if info.Mode().Type() == fs.ModeSymlink {
				to, err := os.Readlink(path)
				all[name] = "to " + to
				return err
			}
			text, err := os.ReadFile(path)
			all[name] = fmt.Sprintf("%v %s", info.Mode(), text)
			return err
		})
		if err != nil {
			m.Fatal(err)
		}
	}
	return all
}

// same says what of two trees differs, empty for nothing.
func same(was, is map[string]string) (differs []string) {
	names := maps.Clone(was)
	maps.Copy(names, is)
	for name := range names {
		if was[name] != is[name] {
			differs = append(differs, fmt.Sprintf("%s was %.60q and is %.60q", name, was[name], is[name]))
		}
	}
	return differs
}

// mustBeOld checks that nothing of the hub is there.
func (m *machineUnderTest) mustBeOld(when string, was map[string]string) {
	m.Helper()
	if differs := same(was, m.tree()); len(differs) > 0 {
		m.Errorf("%s: %s", when, strings.Join(differs, "\n"))
	}
	if runs, _ := m.systemd.running(serviceName); runs {
		m.Errorf("%s: the hub runs", when)
	}
	if uses := m.kubeletUses(); uses != cloud && uses != "none" {
		m.Errorf("%s: kubelet uses %s", when, uses)
	}
	for _, name := range []string{originalFile, beforeFile, beforeProgram, ownFile} {
		if _, err := os.Stat(m.path("state/kubelet/" + name)); err == nil {
			m.Errorf("%s: %s is there", when, name)
		}
	}
}

// mustBeNew checks that the hub is installed, with some arguments.
func (m *machineUnderTest) mustBeNew(when string, args ...string) {
	m.Helper()
	if runs, _ := m.systemd.running(serviceName); !runs {
		m.Errorf("%s: the hub does not run", when)
	}
	if uses := m.kubeletUses(); uses != local {
		m.Errorf("%s: kubelet uses %s", when, uses)
	}
	tree := m.tree()
	if want := "# " + m.version + "\n"; !strings.Contains(tree["bin/"+program], want) {
		m.Errorf("%s: the program is %q", when, tree["bin/"+program])
	}
	for _, arg := range append(args, "--server="+cloud) {
		if !strings.Contains(tree["units/"+serviceName], arg) {
			m.Errorf("%s: the service has no %s: %q", when, arg, tree["units/"+serviceName])
		}
	}
	if !strings.Contains(tree["etc/config.yaml"], "rotateCertificates: false # renew") || tree["units/multi-user.target.wants/"+serviceName] == "" || tree["units/kubelet.service.d/"+dropInName] == "" {
		m.Errorf("%s: got %v", when, tree)
	}
	if _, err := os.Stat(m.path("state/kubelet/" + beforeFile)); err == nil {
		m.Errorf("%s: it is not done", when)
	}
}

// mustStart checks that the node would run after a power cut: kubelet has one server, and all that it needs for it.
func (m *machineUnderTest) mustStart(when string) {
	m.Helper()
	config, err := identity.ReadKubeconfig(m.path("etc/kubelet.conf"))
	if errors.Is(err, fs.ErrNotExist) {
		return // it joins by its token
	}
	if err != nil {
		m.Errorf("%s: %v", when, err)
		return
	}
	if config.Server != local {
		return
	}
	tree := m.tree()
	if renews(file{There: true, data: []byte(m.read("etc/config.yaml"))}) || tree["units/multi-user.target.wants/"+serviceName] == "" || tree["units/"+serviceName] == "" || tree["bin/"+program] == "" {
		m.Errorf("%s: kubelet would go to a hub that is not there, or with another certificate: %v", when, tree)
	}
}
