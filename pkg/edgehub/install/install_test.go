//go:build linux

package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/keypair"
)

// kinds are nodes.
var kinds = map[string]func(*testing.T) *machineUnderTest{
	"a node that has joined":       func(t *testing.T) *machineUnderTest { return newMachine(t).join() },
	"a node that never has joined": func(t *testing.T) *machineUnderTest { return newMachine(t).bootstrap() },
}

func TestWhatIsInstalledIsUsedAndUninstallingLeavesNothing(t *testing.T) {
	for what, make := range kinds {
		t.Run(what, func(t *testing.T) {
			m := make(t)
			was := m.tree()
			if err := m.install("--v=1"); err != nil {
				t.Fatal(err)
			}
			m.mustBeNew("installed", "--v=1")
			if err := m.installer().Uninstall(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			m.mustBeOld("uninstalled", was)
		})
	}
}

func TestInstallingAgainDoesNothingTwice(t *testing.T) {
	m := newMachine(t).join()
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	was := m.tree()
	started := func() string {
		_, hub := m.systemd.running(serviceName)
		_, kubelet := m.systemd.running(kubeadm.Service)
		return fmt.Sprintf("the hub %d times, kubelet %d", hub, kubelet)
	}
	if got, want := started(), "the hub 1 times, kubelet 2"; got != want {
		t.Errorf("started were %s, want %s", got, want)
	}
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	if differs := same(was, m.tree()); len(differs) > 0 {
		t.Error(differs)
	}
	if got, want := started(), "the hub 1 times, kubelet 2"; got != want {
		t.Errorf("after it, started were %s, want %s", got, want)
	}
	m.version = "2"
	if err := m.install("--v=4"); err != nil {
		t.Fatal(err)
	}
	m.mustBeNew("changed", "--v=4")
	if got, want := started(), "the hub 2 times, kubelet 2"; got != want {
		t.Errorf("after a change, started were %s, want %s", got, want)
	}
}

// usually is what is done after a kill, unless the test may be long: each moment is one of both.
var usually = map[string]string{"a node that has joined": "uninstall", "a node that never has joined": "install"}

// Whatever is killed at whatever moment: the node would start, and the next command ends in one of two states.
func TestKilledAtAnyMomentItIsPutBackOrDone(t *testing.T) {
	uninstall := func(m *machineUnderTest) error { return m.installer().Uninstall(m.Context(), false) }
	installed := func(m *machineUnderTest) {
		if err := m.install(); err != nil {
			m.Fatal(err)
		}
	}
	for what, test := range map[string]struct {
		before func(*machineUnderTest)
		run    func(*machineUnderTest) error
	}{
		"install":   {func(*machineUnderTest) {}, func(m *machineUnderTest) error { return m.install() }},
		"update":    {func(m *machineUnderTest) { installed(m); m.version = "2" }, func(m *machineUnderTest) error { return m.install("--v=4") }},
		"uninstall": {installed, uninstall},
		"an install that fails": {func(*machineUnderTest) {}, func(m *machineUnderTest) error {
			m.systemd.breaks(kubeadm.Service)
			defer m.systemd.breaks()
			return m.install()
		}},
	} {
		for kind, make := range kinds {
			for then, next := range map[string]func(*machineUnderTest) error{
				"install":   func(m *machineUnderTest) error { return m.install("--v=3") },
				"uninstall": uninstall,
			} {
				if then != usually[kind] && os.Getenv("KOINON_LONG") == "" {
					continue
				}
				t.Run(what+" of "+kind+", then "+then, func(t *testing.T) {
					for n := 1; ; n++ {
						more := true
						t.Run(fmt.Sprint(n), func(t *testing.T) {
							m := make(t)
							was := m.tree()
							test.before(m)
							more = errors.Is(m.killedAt(n, func() error { return test.run(m) }), errKilled)
							when := "killed after " + strings.Join(m.done, "; ")
							m.mustStart(when)
							err := next(m)
							switch {
							case then == "install" && err == nil:
								m.mustBeNew(when, "--v=3")
							case then == "uninstall" && (err == nil || strings.HasPrefix(err.Error(), "no hub is installed here")):
								m.mustBeOld(when, was)
							default:
								t.Errorf("%s: %v", when, err)
							}
						})
						if !more {
							return
						}
					}
				})
			}
		}
	}
}

// An ssh session ends while an install waits, and nobody notices for a year.
func TestAnInstallThatWasKilledInItsLastWaitLeavesKubeletTheNewestCertificate(t *testing.T) {
	wait := "Wait until kubelet uses it"
	for kind, make := range kinds {
		for then, next := range map[string]func(*machineUnderTest) error{
			"uninstall":   func(m *machineUnderTest) error { return m.installer().Uninstall(m.Context(), false) },
			"and a purge": func(m *machineUnderTest) error { return m.installer().Uninstall(m.Context(), true) },
			"install": func(m *machineUnderTest) error {
				return errors.Join(m.install(), m.installer().Uninstall(m.Context(), false))
			},
		} {
			t.Run(kind+", then "+then, func(t *testing.T) {
				for n := 1; ; n++ { // which is killed as well
					m := make(t)
					if err := m.killedWhen(wait, func() error { return m.install() }); !errors.Is(err, errKilled) || !Unfinished(m.path("state")) {
						t.Fatalf("got %v", err)
					}
					if uses := m.kubeletUses(); uses != local {
						t.Fatalf("kubelet uses %s", uses)
					}
					renewed := m.pair(node, 5*time.Hour)
					m.write("state/"+identity.NodeFile, pem(t, renewed), 0o600)
					err := m.killedAt(n, func() error { return next(m) })
					more := errors.Is(err, errKilled)
					if more {
						m.mustStart(fmt.Sprintf("killed again at %d", n))
						err = next(m)
					}
					if err != nil && !strings.HasPrefix(err.Error(), "no hub is installed here") {
						t.Fatalf("%d: %v after %s", n, err, strings.Join(m.done, "; "))
					}
					is, err := identity.ReadKubeconfig(m.path("etc/kubelet.conf"))
					if err != nil || is.Server != cloud || m.kubeletUses() != cloud {
						t.Fatalf("%d: got %+v, %v after %s", n, is, err, strings.Join(m.done, "; "))
					}
					if pair, err := keypair.ParsePair(is.Certificate, is.Key); err != nil || !bytes.Equal(pair.Certificate.Raw, renewed.Certificate.Raw) {
						t.Fatalf("%d: kubelet has another certificate (%v) after %s", n, err, strings.Join(m.done, "; "))
					}
					if Unfinished(m.path("state")) {
						t.Errorf("%d: it is not done", n)
					}
					if !more || os.Getenv("KOINON_LONG") == "" && then != "and a purge" {
						return
					}
				}
			})
		}
	}
}

func TestPurgingSparesWhatKubeletNeeds(t *testing.T) {
	for what, test := range map[string]struct {
		make func(*machineUnderTest)
		want string
	}{
		"a certificate that is good for longer": {func(m *machineUnderTest) {
			m.write("state/"+identity.NodeFile, pem(m, m.pair(node, 5*time.Hour)), 0o600)
		}, "for longer than what kubelet has in"},
		"the only one": {func(m *machineUnderTest) {
			m.mustRemove("etc/kubelet.conf")
			m.write("state/"+identity.NodeFile, pem(m, m.pair(node, time.Minute)), 0o600)
		}, "for longer than what kubelet has in"},
		"the hub that kubelet uses": {func(m *machineUnderTest) {
			if err := m.install(); err != nil {
				m.Fatal(err)
			}
			m.mustRemove("state/kubelet/" + originalFile)
			m.write("state/"+identity.NodeFile, pem(m, m.pair(node, time.Minute)), 0o600)
		}, "etc/kubelet.conf is a hub's, and kubelet would have none"},
		"one of before": {func(m *machineUnderTest) {
			m.write("state/"+identity.NodeFile, pem(m, m.pair(node, time.Minute)), 0o600)
		}, ""},
		"one of another node": {func(m *machineUnderTest) {
			m.write("state/"+identity.NodeFile, pem(m, m.pair("edge-2", 5*time.Hour)), 0o600)
		}, ""},
		"one that is damaged": {func(m *machineUnderTest) { m.write("state/"+identity.NodeFile, "x", 0o600) }, ""},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t).join()
			test.make(m)
			err := m.installer().Uninstall(t.Context(), true)
			_, stat := os.Stat(m.path("state/" + identity.NodeFile))
			if test.want == "" && (err != nil || stat == nil) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || stat != nil) {
				t.Errorf("got %v, and %v of the certificate", err, stat)
			}
		})
	}
}

func TestAnInstallThatFailsPutsBackEverythingAndSaysWhy(t *testing.T) {
	for what, test := range map[string]struct {
		wrong func(*machineUnderTest)
		want  string
	}{
		"the hub is not ready":           {func(m *machineUnderTest) { m.unready = true }, "until the hub is ready: no API server answers"},
		"kubelet does not come":          {func(m *machineUnderTest) { m.unused = true }, "until kubelet uses it: kubelet has not renewed its Lease there"},
		"the hub comes to know nothing":  {func(m *machineUnderTest) { m.unknown = "pods" }, "until kubelet uses it: what kubelet needs is not known yet: pods"},
		"the hub does not start":         {func(m *machineUnderTest) { m.systemd.breaks(serviceName) }, "systemctl restart koinon-edgehub.service: exit status 1: Job for koinon-edgehub.service failed."},
		"somebody else changes the file": {func(m *machineUnderTest) { m.at = change(m, "Wait until the hub is ready") }, "somebody has changed"},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t).join()
			was := m.tree()
			test.wrong(m)
			i, err := New(func() Config { c := m.config(); c.Timeout = time.Second; return c }())
			if err != nil {
				t.Fatal(err)
			}
			found, err := i.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m.write("opt/"+program, "#!/bin/sh\n: <\"$FAKE/fifo\"\n", 0o755)
			err = i.Install(t.Context(), found, Hub{Program: m.path("opt/" + program), Node: node, Server: local, Kubeconfig: m.hubs})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasSuffix(err.Error(), "everything is as it was before") {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			m.mustBeOld(what, was)
		})
	}
}

// change has somebody else write the configuration of kubelet at some moment: the same in other words.
func change(m *machineUnderTest, when string) func(string) {
	return func(what string) {
		if strings.HasPrefix(what, when) {
			was := m.read("etc/config.yaml")
			m.write("etc/config.yaml", was+"# changed\n", 0o640)
			m.at = func(what string) {
				if strings.HasPrefix(what, "Failed") {
					m.write("etc/config.yaml", was, 0o640)
				}
			}
		}
	}
}

func TestAnUpdateThatFailsLeavesTheHubThatWasThere(t *testing.T) {
	m := newMachine(t).join()
	if err := m.install("--v=1"); err != nil {
		t.Fatal(err)
	}
	was := m.tree()
	m.version = "2"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i := m.installer()
	asked := 0
	i.config.Ask = func(context.Context) (*Answer, error) {
		if asked++; asked == 2 {
			cancel() // somebody gives up
		}
		return nil, errors.New("not ready")
	}
	found, err := i.Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m.write("opt/"+program, "#!/bin/sh\n# 2\n: <\"$FAKE/fifo\"\n", 0o755)
	err = i.Install(ctx, found, Hub{Program: m.path("opt/" + program), Args: []string{"run"}, Node: node, Server: local, Kubeconfig: m.hubs})
	if err == nil || !strings.Contains(err.Error(), "given up to wait until the hub is ready: not ready") {
		t.Errorf("got %v", err)
	}
	if differs := same(was, m.tree()); len(differs) > 0 {
		t.Error(differs)
	}
	m.version = "1"
	m.mustBeNew("after it", "--v=1")
}

func TestWhatKubeletMustNotHaveIsASentenceBeforeAnythingIsTouched(t *testing.T) {
	for what, test := range map[string]struct {
		make func(*machineUnderTest)
		want string
	}{
		"no systemd":         {func(m *machineUnderTest) { m.booted = "/nowhere" }, "systemd does not run on this machine"},
		"no kubelet":         {func(m *machineUnderTest) { m.write("units/kubelet.service", "", 0o600); m.unit("") }, "systemd has no service kubelet.service (not-found): --kubelet-service says what kubelet's is called"},
		"a flag for renewal": {func(m *machineUnderTest) { m.flags("--rotate-certificates") }, "kubelet runs with --rotate-certificates, with which it would not use the hub's certificate"},
		"a drop-in for renewal": {func(m *machineUnderTest) {
			m.flags("--config-dir=" + m.path("etc/d"))
			m.write("etc/d/a/1.conf", "kind: KubeletConfiguration\nrotateCertificates: true\n", 0o600)
		}, "etc/d/a/1.conf says rotateCertificates: true after kubelet's own configuration"},
		"no kubeconfig":                {func(m *machineUnderTest) { m.flags("--kubeconfig=") }, "kubelet runs without --kubeconfig"},
		"neither kubeconfig":           {func(m *machineUnderTest) { m.mustRemove("etc/kubelet.conf") }, "kubelet has neither"},
		"a broken kubeconfig":          {func(m *machineUnderTest) { m.write("etc/kubelet.conf", "clusters: 7", 0o600) }, "etc/kubelet.conf: it is no kubeconfig"},
		"bytes of something else":      {func(m *machineUnderTest) { m.write("etc/kubelet.conf", "\xff\xfe", 0o600) }, "etc/kubelet.conf is no text"},
		"a certificate that is lost":   {func(m *machineUnderTest) { m.mustRemove("etc/pki/" + currentFile) }, "no such file"},
		"a configuration that is none": {func(m *machineUnderTest) { m.write("etc/config.yaml", "kind: Pod\n", 0o600) }, "etc/config.yaml: it is no KubeletConfiguration"},
		"a configuration in riddles": {func(m *machineUnderTest) {
			m.write("etc/config.yaml", "kind: KubeletConfiguration\nrotateCertificates:\n  true\n", 0o600)
		}, "in a way that is not changed here"},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t).join()
			test.make(m)
			was := m.tree()
			if _, err := m.installer().Look(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			if differs := same(was, m.tree()); len(differs) > 0 {
				t.Error(differs)
			}
			if _, err := os.Stat(m.path("state")); err == nil {
				t.Error("something was written")
			}
		})
	}
}

// unit gives kubelet another service, none if it is empty, and flags gives it other flags.
func (m *machineUnderTest) unit(text string) {
	m.Helper()
	m.write("units/kubelet.service", text, 0o644)
	if text == "" {
		m.mustRemove("units/kubelet.service")
	}
	m.systemctl("daemon-reload")
	if text != "" {
		m.systemctl("restart", "kubelet.service")
	}
}

func (m *machineUnderTest) flags(flags string) {
	m.Helper()
	m.unit(strings.TrimSpace(m.read("units/kubelet.service")) + " " + flags + "\n")
}

func (m *machineUnderTest) mustRemove(name string) {
	m.Helper()
	if err := os.Remove(m.path(name)); err != nil {
		m.Fatal(err)
	}
}

func TestKubeletIsFoundWhateverItsKubeconfigLooksLike(t *testing.T) {
	for what, test := range map[string]struct {
		config func(*machineUnderTest) *identity.Kubeconfig
		node   string
		wrong  string
	}{
		"certificate in one file": {func(m *machineUnderTest) *identity.Kubeconfig {
			m.write("etc/pki/one.pem", pem(m, m.pair(node, time.Hour)), 0o600)
			return &identity.Kubeconfig{Server: cloud, CertificateFile: "pki/one.pem", KeyFile: m.path("etc/pki/one.pem")}
		}, node, ""},
		"certificate in it, and a name of the server": {func(m *machineUnderTest) *identity.Kubeconfig {
			pair := m.pair("edge-2", time.Hour)
			key, _ := pair.KeyPEM()
			return &identity.Kubeconfig{Server: cloud, ServerName: "kubernetes", CA: m.cluster.CertificatePEM(), Certificate: pair.CertificatePEM(), Key: key}
		}, "edge-2", ""},
		"a token": {func(*machineUnderTest) *identity.Kubeconfig {
			return &identity.Kubeconfig{Server: cloud, Token: "abcdef.0123456789abcdef"}
		}, "", ""},
		"nothing to sign on": {func(*machineUnderTest) *identity.Kubeconfig { return &identity.Kubeconfig{Server: cloud} }, "", "it has neither a certificate nor a token"},
		"a proxy": {func(*machineUnderTest) *identity.Kubeconfig {
			return &identity.Kubeconfig{Server: cloud, Token: "a.b", ProxyURL: "http://proxy:3128"}
		}, "", "it has proxy-url: remove it, and say HTTPS_PROXY=http://proxy:3128"},
		"an administrator": {func(m *machineUnderTest) *identity.Kubeconfig {
			pair, err := m.cluster.Issue(keypair.Leaf{Lifetime: time.Hour}, time.Now())
			if err != nil {
				m.Fatal(err)
			}
			key, _ := pair.KeyPEM()
			return &identity.Kubeconfig{Server: cloud, Certificate: pair.CertificatePEM(), Key: key}
		}, "", `its certificate is for "", and not for a node`},
		"a key of another certificate": {func(m *machineUnderTest) *identity.Kubeconfig {
			key, _ := m.pair(node, time.Hour).KeyPEM()
			return &identity.Kubeconfig{Server: cloud, Certificate: m.pair(node, time.Hour).CertificatePEM(), Key: key}
		}, "", "its certificate belongs to another key"},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t)
			m.joinAs(test.config(m))
			found, err := m.installer().Look(t.Context())
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v, want %q in it", err, test.wrong)
				}
				return
			}
			if err != nil || found.Node != test.node || found.Server != cloud {
				t.Fatalf("got %+v, %v", found, err)
			}
			own, err := identity.ParseKubeconfig(found.own, "")
			want := test.config(m)
			if err != nil || own.Server != cloud || own.ServerName != want.ServerName || found.ServerName != want.ServerName || !bytes.Equal(own.CA, want.CA) || (test.node != "") != (own.Key != nil) {
				t.Errorf("got %+v, %v to keep", own, err)
			}
		})
	}
}

func TestAKubeletThatDoesNotRunIsWhereFlagsSayOrKubeadmHasIt(t *testing.T) {
	m := newMachine(t)
	m.systemctl("daemon-reload")
	i := m.installer()
	line, err := i.kubeletLine(t.Context())
	if err != nil || line.runs {
		t.Fatalf("got %+v, %v", line, err)
	}
	if k, err := i.kubelet(line); err != nil || k != kubeadm {
		t.Errorf("got %+v, %v", k, err)
	}
	i.config.Kubeconfig, i.config.Bootstrap = "/a", "/b"
	want := kubeadm
	want.Kubeconfig, want.Bootstrap = "/a", "/b"
	if k, err := i.kubelet(line); err != nil || k != want {
		t.Errorf("got %+v, %v", k, err)
	}
	if _, err := i.kubelet(parseLine([]string{"kubelet", "--kubeconfig", "var/k"})); err == nil || err.Error() != `--kubelet-kubeconfig /a: kubelet runs with --kubeconfig "/var/k"` {
		t.Errorf("got %v", err)
	}
}

func TestWhoseFilesWereTheyAreAfterwards(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files to others")
	}
	m := newMachine(t).join()
	whose := func() string {
		is, err := read(m.path("etc/config.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%v of %v", is.Mode, *is.Owner)
	}
	const others = "-rw-r----- of {0 7}"
	if err := os.Chown(m.path("etc/config.yaml"), 0, 7); err != nil {
		t.Fatal(err)
	}
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	if got := whose(); got != others {
		t.Errorf("installed: got %s", got)
	}
	// Killed between the write and whose it is, and written by somebody else.
	if err := os.Chown(m.path("etc/config.yaml"), 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := m.installer().Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := whose(); got != others {
		t.Errorf("uninstalled: got %s", got)
	}
}

func TestKubeletGetsTheHubsCertificateBackWhereItHadItsOwn(t *testing.T) {
	for what, test := range map[string]struct {
		config func(m *machineUnderTest) (config *identity.Kubeconfig, also string)
	}{
		"a link, as kubelet makes it": {},
		"one file": {func(m *machineUnderTest) (*identity.Kubeconfig, string) {
			m.write("etc/one.pem", pem(m, m.pair(node, time.Hour)), 0o600)
			return &identity.Kubeconfig{CertificateFile: m.path("etc/one.pem"), KeyFile: m.path("etc/one.pem")}, ""
		}},
		"two files": {func(m *machineUnderTest) (*identity.Kubeconfig, string) {
			pair := m.pair(node, time.Hour)
			key, _ := pair.KeyPEM()
			m.write("etc/tls.crt", string(pair.CertificatePEM()), 0o644)
			m.write("etc/tls.key", string(key), 0o600)
			return &identity.Kubeconfig{CertificateFile: m.path("etc/tls.crt"), KeyFile: m.path("etc/tls.key")}, ""
		}},
		"in the kubeconfig": {func(m *machineUnderTest) (*identity.Kubeconfig, string) {
			pair := m.pair(node, time.Hour)
			key, _ := pair.KeyPEM()
			return &identity.Kubeconfig{Certificate: pair.CertificatePEM(), Key: key}, ""
		}},
		"in the kubeconfig, and renewed since": {func(m *machineUnderTest) (*identity.Kubeconfig, string) {
			pair := m.pair(node, time.Hour)
			key, _ := pair.KeyPEM()
			m.write("etc/pki/"+currentFile, pem(m, m.pair(node, 90*time.Minute)), 0o600)
			return &identity.Kubeconfig{Certificate: pair.CertificatePEM(), Key: key}, "etc/pki/" + currentFile
		}},
	} {
		for newer, life := range map[string]time.Duration{"newer": 5 * time.Hour, "older": time.Minute} {
			t.Run(what+", "+newer, func(t *testing.T) {
				m, also := newMachine(t), ""
				if test.config == nil {
					m.join()
				} else {
					config, more := test.config(m)
					also, config.Server, config.CA = more, cloud, m.cluster.CertificatePEM()
					m.joinAs(config)
				}
				if err := m.install(); err != nil {
					t.Fatal(err)
				}
				was, renewed := m.tree(), m.pair(node, life)
				m.write("state/"+identity.NodeFile, pem(t, renewed), 0o600)
				original, err := m.installer().original()
				if err != nil {
					t.Fatal(err)
				}
				before := original.Files[kubeconfigRole].Text
				if err := m.installer().Uninstall(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				is, err := identity.ReadKubeconfig(m.path("etc/kubelet.conf"))
				if err != nil || is.Server != cloud || m.kubeletUses() != cloud {
					t.Fatalf("got %+v, %v", is, err)
				}
				pair, err := keypair.ParsePair(is.Certificate, is.Key)
				if err != nil || bytes.Equal(pair.Certificate.Raw, renewed.Certificate.Raw) != (newer == "newer") {
					t.Errorf("got %v, %v", pair, err)
				}
				if newer == "older" && m.read("etc/kubelet.conf") != before {
					t.Error("the kubeconfig is another one")
				}
				if also != "" && (m.read(also) == pem(t, renewed)) != (newer == "newer") {
					t.Errorf("got %s in %s, which was %s", m.read(also), also, was[also])
				}
			})
		}
	}
}

func TestAKubeletThatHadNeverJoinedHasAllItNeedsAfterTheHub(t *testing.T) {
	m := newMachine(t).bootstrap()
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	m.mustRemove("etc/bootstrap.conf") // as its token ends
	if err := m.install("--v=2"); err != nil {
		t.Fatal(err)
	}
	got := m.pair(node, time.Hour)
	m.write("state/"+identity.NodeFile, pem(t, got), 0o600)
	if err := m.installer().Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	is, err := identity.ReadKubeconfig(m.path("etc/kubelet.conf"))
	if err != nil || is.Server != cloud || !bytes.Equal(is.CA, m.cluster.CertificatePEM()) || string(is.Certificate) != pem(t, got) || is.CertificateFile != m.path("etc/pki/"+currentFile) {
		t.Errorf("got %+v, %v", is, err)
	}
	if to, err := os.Readlink(m.path("etc/pki/" + currentFile)); err != nil || filepath.Dir(to) != m.path("etc/pki") {
		t.Errorf("got %s, %v", to, err)
	}
}

func TestWhatSomebodyElseHasChangedMeanwhileStays(t *testing.T) {
	m := newMachine(t).join()
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	m.write("etc/config.yaml", m.read("etc/config.yaml")+"maxPods: 7\n", 0o640)
	other := strings.Replace(m.read("state/kubelet/"+ownFile), "10.0.0.1", "10.0.0.9", 1)
	m.write("etc/kubelet.conf", other, 0o600)
	if err := m.installer().Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := m.read("etc/config.yaml"); !strings.HasSuffix(got, "rotateCertificates: true # renew\nmaxPods: 7\n") {
		t.Errorf("got %q", got)
	}
	if got := m.read("etc/kubelet.conf"); got != other || !strings.Contains(strings.Join(m.done, "\n"), "etc/kubelet.conf as it is: it is not for the hub any more") {
		t.Errorf("got %q; it said %q", got, m.done)
	}
	if runs, _ := m.systemd.running(serviceName); runs {
		t.Error("the hub runs")
	}
}

func TestKubeadmsUpgradeIsNoHindrance(t *testing.T) {
	m := newMachine(t).join()
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	upgraded := "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 9\nrotateCertificates: true # renew\n"
	for what, again := range map[string]func() error{
		"started again": func() error { // as its service does before
			hold := "ExecStartPre=-" + m.path("bin/koinon-edgehub") + " " + HoldCommand + " " + m.path("etc/config.yaml") + " " + m.path("etc/kubelet.conf") + "\n"
			if added := m.read("units/kubelet.service.d/" + dropInName); !strings.Contains(added, hold) {
				t.Errorf("it is not held: %s", added)
			}
			changed, err := HoldRotation(m.path("etc/config.yaml"), m.path("etc/kubelet.conf"))
			if !changed {
				t.Error("it says that nothing is to be done")
			}
			return err
		},
		"installed again": func() error { return m.install() },
	} {
		m.write("etc/config.yaml", upgraded, 0o640)
		if err := again(); err != nil {
			t.Fatal(err)
		}
		m.mustBeNew(what)
		if changed, err := HoldRotation(m.path("etc/config.yaml"), m.path("etc/kubelet.conf")); changed || err != nil {
			t.Errorf("%s: changed again: %t, %v", what, changed, err)
		}
	}
	if err := m.installer().Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := m.read("etc/config.yaml"); got != upgraded {
		t.Errorf("got %q", got)
	}
}

// kubelet is started again while the hub is installed, or has joined anew without it: its certificate is its own.
func TestAKubeletThatDoesNotUseTheHubRenewsItsCertificate(t *testing.T) {
	m := newMachine(t).join()
	before := m.read("etc/config.yaml")
	changed, err := HoldRotation(m.path("etc/config.yaml"), m.path("etc/kubelet.conf"))
	if changed || err != nil || m.read("etc/config.yaml") != before {
		t.Errorf("changed %t, %v: %s", changed, err, m.read("etc/config.yaml"))
	}
	if _, err := HoldRotation(m.path("etc/config.yaml"), m.path("etc/none")); err == nil || m.read("etc/config.yaml") != before {
		t.Errorf("without a kubeconfig: %v: %s", err, m.read("etc/config.yaml"))
	}
}

func TestAHubOfAnotherDirectoryIsNotOverwritten(t *testing.T) {
	m := newMachine(t).join()
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"another state":   {func(c *Config) { c.StateDir = m.path("other") }, "put kubelet's own there, or say the --state-dir with which the hub was installed"},
		"another program": {func(c *Config) { c.BinDir = m.path("opt") }, "uninstall it first"},
	} {
		config := m.config()
		test.change(&config)
		i, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		found, err := i.Look(t.Context())
		if err == nil {
			err = i.Install(t.Context(), found, Hub{Program: m.path("opt/" + program), Node: node, Server: local, Kubeconfig: m.hubs})
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q in it", what, err, test.want)
		}
	}
	m.mustBeNew("after that")
}

// The authority was damaged or revoked, and moved away; the hub, which is started again within two seconds, has made another.
func TestAHubWithAnotherAuthorityThanItHadIsInstalledAgainAndUninstalled(t *testing.T) {
	for what, change := range map[string]func(*machineUnderTest){
		"another": func(m *machineUnderTest) {
			m.mustRemove("state/" + identity.AuthorityFile)
			if _, err := identity.OpenAuthority(m.path("state")); err != nil {
				m.Fatal(err)
			}
		},
		"none yet": func(m *machineUnderTest) { m.mustRemove("state/" + identity.AuthorityFile) },
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t).join()
			was := m.tree()
			if err := m.install(); err != nil {
				t.Fatal(err)
			}
			change(m)
			_, before := m.systemd.running(serviceName)
			if err := m.install(); err != nil {
				t.Fatal(err)
			}
			m.mustBeNew("installed again")
			if _, now := m.systemd.running(serviceName); now == before {
				t.Error("the hub has the authority of before")
			}
			own, err := identity.OpenAuthority(m.path("state"))
			if err != nil {
				t.Fatal(err)
			}
			if is, err := identity.ReadKubeconfig(m.path("run/kubelet.service/kubelet.conf")); err != nil || !bytes.Equal(is.CA, own.CertificatePEM()) {
				t.Errorf("kubelet believes another (%v)", err)
			}
			change(m)
			if err := m.installer().Uninstall(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			m.mustBeOld("uninstalled", was)
		})
	}
	m := newMachine(t).join()
	was := m.tree()
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	m.write("state/"+identity.AuthorityFile, "damaged", 0o600)
	if err := m.installer().Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	m.mustBeOld("uninstalled with one that is damaged", was)
}

func TestACertificateFromBeforeIsForgottenIfKubeletsIsGoodForLonger(t *testing.T) {
	for life, stays := range map[time.Duration]bool{time.Minute: false, 5 * time.Hour: true} {
		m := newMachine(t).join()
		m.write("state/"+identity.NodeFile, pem(t, m.pair(node, life)), 0o600)
		if err := m.install(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(m.path("state/" + identity.NodeFile)); (err == nil) != stays {
			t.Errorf("one that is good for %s: got %v", life, err)
		}
	}
	m := newMachine(t).join()
	was := m.tree()
	m.write("state/"+identity.NodeFile, pem(t, m.pair("edge-2", time.Hour)), 0o600)
	if err := m.install(); err == nil || !strings.Contains(err.Error(), `is for "system:node:edge-2", and kubelet's certificate for "system:node:edge-1"`) {
		t.Errorf("one of another node: got %v", err)
	}
	m.mustBeOld("after that", was)
}

func TestADryRunDoesNothing(t *testing.T) {
	m := newMachine(t).join()
	was := m.tree()
	config := m.config()
	config.DryRun, config.Ask = true, nil
	i, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	found, err := i.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.write("opt/"+program, "#!/bin/sh\n", 0o755)
	if err := i.Install(t.Context(), found, Hub{Program: m.path("opt/" + program), Node: node, Server: local}); err != nil {
		t.Fatal(err)
	}
	m.mustBeOld("a dry run", was)
	dry := m.done
	if m.done = nil; m.install() != nil {
		t.Fatal("it is not installed")
	}
	if got, want := strings.Join(dry, "\n"), strings.Join(m.done[:len(dry)], "\n"); got != want {
		t.Errorf("it said\n%s\nand did\n%s", got, want)
	}
	was = m.tree()
	if err := i.Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if differs := same(was, m.tree()); len(differs) > 0 {
		t.Error(differs)
	}
	m.mustBeNew("a dry run")
}

func TestPurgingRemovesWhatTheHubKeepsAndNothingElse(t *testing.T) {
	m := newMachine(t).join()
	if err := m.install(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cache.db", "cache.db-wal", "cache.db.damaged", "notes.db", "tunnel/key", "mine"} {
		m.write("state/"+name, "", 0o600)
	}
	if err := m.installer().Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(m.path("state"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "mine" {
		t.Errorf("got %v, %v", entries, err)
	}
	m.mustRemove("state/mine")
	if err := m.installer().Uninstall(t.Context(), true); err != nil {
		t.Error(err)
	}
	if err := m.installer().Uninstall(t.Context(), false); err == nil || !strings.HasPrefix(err.Error(), "no hub is installed here") {
		t.Errorf("got %v", err)
	}
}

func TestSystemdTakesTheServiceAsItIs(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	dir := t.TempDir()
	command := []string{filepath.Join(dir, "koinon-edgehub"), "run", "--server=https://10.0.0.1:6443,1", `--node=a "b" $HOME 50% \x; 'c'`}
	text, err := unitText("kubelet.service", filepath.Join(dir, "a state"), command...)
	if err != nil {
		t.Fatal(err)
	}
	added, err := dropInText(command[0], filepath.Join(dir, "a config"), filepath.Join(dir, "kubelet.conf"))
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]os.FileMode{serviceName: 0o644, "koinon-edgehub": 0o755, "kubelet.service": 0o644, "kubelet.service.d/" + dropInName: 0o644}
	for path, text := range map[string]string{serviceName: text, "koinon-edgehub": "#!/bin/sh\n", "kubelet.service": "[Service]\nExecStart=/bin/true\n", "kubelet.service.d/" + dropInName: added} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755), os.WriteFile(filepath.Join(dir, path), []byte(text), modes[path])); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, serviceName), filepath.Join(dir, "kubelet.service"))
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) {
		t.Errorf("got %v, %s of\n%s", err, out, text)
	}
	if _, err := unitText("kubelet.service", "/s", "a\nExecStartPre=/bin/evil"); err == nil {
		t.Error("a line was smuggled in")
	}
}

func TestOneInstallerAtATimeDoesSomething(t *testing.T) {
	m := newMachine(t)
	unlock, err := m.installer().Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.installer().Lock(); err == nil || !strings.Contains(err.Error(), "another koinon-edgehub is being installed or uninstalled") {
		t.Errorf("the other got %v", err)
	}
	unlock()
	if unlock, err = m.installer().Lock(); err != nil {
		t.Fatal(err)
	}
	unlock()
	i := m.installer()
	i.config.UnitDir = m.path("none")
	if _, err := i.Lock(); err == nil || !strings.HasPrefix(err.Error(), "--unit-dir: ") {
		t.Errorf("without a directory: got %v", err)
	}
}
