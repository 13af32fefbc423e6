package ipam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

// This binary is the plugin, too, where a main plugin calls it so.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		Main("koinon-ipam of a test")
		return
	}
	os.Exit(m.Run())
}

// pluginDir is where CNI plugins are: KOINON_CNI_DIR, or where Debian and others have them.
func pluginDir() string {
	for _, dir := range []string{os.Getenv("KOINON_CNI_DIR"), "/usr/lib/cni", "/opt/cni/bin"} {
		if _, err := os.Stat(filepath.Join(dir, "host-local")); dir != "" && err == nil {
			return dir
		}
	}
	return ""
}

// machine has network namespaces that nobody else sees, and real plugins.
type machine struct {
	t *testing.T
	// path is CNI_PATH, state where our book is, data host-local's.
	path, state, data string
	bootFile          string
	boots             int
	namespaces        []string
}

// inMachine runs a test on such a machine, in a process of its own; it skips the test where that cannot be.
func inMachine(t *testing.T, test func(*machine)) {
	t.Helper()
	const inside = "KOINON_IPAM_MACHINE"
	if os.Getenv(inside) != "" {
		test(newMachine(t))
		return
	}
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 || pluginDir() == "" {
		t.Skip("needs root, iproute2 and the CNI plugins, which hack/edge-packages.sh installs")
	}
	if err := exec.Command("unshare", "--net", "--mount", "true").Run(); err != nil {
		t.Skipf("needs network namespaces: unshare: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), inside+"=1", "GORACE=atexit_sleep_ms=0") // the plugin is this binary: without it each call takes a second
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Fatal(err)
	}
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, state: filepath.Join(dir, "state"), data: filepath.Join(dir, "networks"), bootFile: filepath.Join(dir, "boot_id")}
	m.run("mount", "--make-rprivate", "/")
	m.run("mount", "-t", "tmpfs", "tmpfs", "/run")
	m.run("ip", "link", "set", "lo", "up")
	m.writeBoot()
	m.run("mount", "--bind", m.bootFile, "/proc/sys/kernel/random/boot_id")
	if err := os.Symlink(os.Args[0], filepath.Join(dir, Type)); err != nil {
		t.Fatal(err)
	}
	m.path = dir + ":" + pluginDir()
	return m
}

func (m *machine) writeBoot() {
	if err := os.WriteFile(m.bootFile, fmt.Appendf(nil, "boot-%d\n", m.boots), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) run(name string, args ...string) string {
	m.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// reboot ends all namespaces and links, and host-local's files if they are in memory.
func (m *machine) reboot(wiped bool) {
	m.t.Helper()
	for _, name := range m.namespaces {
		m.run("ip", "netns", "delete", name)
	}
	m.namespaces = nil
	_ = exec.Command("ip", "link", "delete", "cni0").Run()
	m.boots++
	m.writeBoot()
	if wiped {
		if err := os.RemoveAll(m.data); err != nil {
			m.t.Fatal(err)
		}
	}
}

// conf is a network's configuration.
func (m *machine) conf(version, plugin, ipam, ranges, more string) string {
	return fmt.Sprintf(`{"cniVersion":%q,"name":"net","type":%q,"bridge":"cni0","isGateway":true,%s"ipam":{"type":%q,"koinon":{"stateDir":%q,"volatile":true},"dataDir":%q,"ranges":[%s],"routes":[{"dst":"0.0.0.0/0"}]}}`,
		version, plugin, more, ipam, m.state, m.data, ranges)
}

// attach is a call of a plugin for a sandbox.
type attach struct {
	sandbox, netns, uid, name string
}

// sandbox makes one.
func (m *machine) sandbox(uid, name string) attach {
	m.t.Helper()
	a := attach{sandbox: fmt.Sprintf("%s-boot-%d-%d", name, m.boots, len(m.namespaces)), uid: uid, name: name}
	a.netns = "/var/run/netns/" + a.sandbox
	m.run("ip", "netns", "add", a.sandbox)
	m.namespaces = append(m.namespaces, a.sandbox)
	return a
}

func (m *machine) command(plugin, verb, conf string, a attach) *exec.Cmd {
	dir := pluginDir()
	if plugin == Type {
		dir, _, _ = strings.Cut(m.path, ":")
	}
	cmd := exec.Command(filepath.Join(dir, plugin))
	args := ""
	if a.uid != "" {
		args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=" + a.name + ";K8S_POD_UID=" + a.uid
	}
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+verb, "CNI_CONTAINERID="+a.sandbox, "CNI_NETNS="+a.netns, "CNI_IFNAME=eth0", "CNI_ARGS="+args, "CNI_PATH="+m.path)
	cmd.Stdin = strings.NewReader(conf)
	return cmd
}

// call runs a plugin, and returns the addresses that it answers.
func (m *machine) call(plugin, verb, conf string, a attach) (ips []string, err error) {
	var stdout, stderr bytes.Buffer
	cmd := m.command(plugin, verb, conf, a)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		answer := &types.Error{}
		if json.Unmarshal(stdout.Bytes(), answer) == nil && answer.Msg != "" {
			return nil, answer
		}
		return nil, fmt.Errorf("%s %s: %w: %s%s", plugin, verb, err, stdout.String(), stderr.String())
	}
	var result struct{ IPs []struct{ Address string } }
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
			return nil, fmt.Errorf("%s %s: %w: %s", plugin, verb, err, stdout.String())
		}
	}
	for _, ip := range result.IPs {
		ips = append(ips, ip.Address)
	}
	return ips, nil
}

func (m *machine) must(plugin, verb, conf string, a attach) string {
	m.t.Helper()
	ips, err := m.call(plugin, verb, conf, a)
	if err != nil {
		m.t.Fatalf("%s %s for %s: %v", plugin, verb, a.name, err)
	}
	return strings.Join(ips, " ")
}

func (m *machine) release(gone func(book.Reservation) bool) {
	m.t.Helper()
	if _, err := book.In(m.state).Release(m.t.Context(), gone); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) kept() []book.Reservation {
	m.t.Helper()
	all, err := book.In(m.state).Reservations()
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// given is how many addresses host-local has given.
func (m *machine) given() int {
	files, _ := filepath.Glob(filepath.Join(m.data, "net", "*.*.*.*"))
	return len(files)
}

func TestADelegateThatOutlivesAKilledPluginIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho > " + dir + "/started\nread end < " + dir + "/end\n"
	if err := os.WriteFile(filepath.Join(dir, "slow"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "end"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.Args[0], filepath.Join(dir, Type)); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, path: dir, state: filepath.Join(dir, "state")}
	conf := strings.Replace(m.conf("1.0.0", "bridge", Type, slash26, ""), `"volatile":true`, `"volatile":true,"delegate":"slow"`, 1)
	cmd := m.command(Type, "ADD", conf, attach{sandbox: "s", netns: "/proc/self/ns/net", uid: "uid", name: "pod"})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatal("the delegate was not called")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := book.In(m.state).Open(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the delegate is at work: got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "end"), []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	pages, err := book.In(m.state).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pages.Close()
	if kept := m.kept(); len(kept) != 1 || len(kept[0].Addresses) > 0 {
		t.Errorf("got %v, want a reservation without addresses, which the next call forgets", kept)
	}
}

const (
	slash26 = `[{"subnet":"10.22.0.0/26"}]` // 61 addresses and a gateway
	slash27 = `[{"subnet":"10.22.0.0/27"}]` // 29
)

// size is how much is done of something: more if there is time.
func size(small, large int) int {
	if os.Getenv("KOINON_LONG") != "" {
		return large
	}
	return small
}

func TestSixtyPodsOfABridgeKeepTheirAddressesOverReboots(t *testing.T) {
	inMachine(t, func(m *machine) {
		conf := m.conf("1.0.0", "bridge", Type, slash26, "")
		var mu sync.Mutex
		has := map[string]string{}
		start := func(a attach) {
			ip := m.must("bridge", "ADD", conf, a)
			mu.Lock()
			defer mu.Unlock()
			if old := has[a.uid]; old != "" && old != ip {
				t.Errorf("boot %d: %s had %s, and has %s", m.boots, a.name, old, ip)
			}
			has[a.uid] = ip
		}
		var pods []attach
		boot := func() {
			pods = pods[:0]
			for _, i := range rand.Perm(60) {
				pods = append(pods, m.sandbox(fmt.Sprintf("uid-%d", i), fmt.Sprintf("pod-%d", i)))
			}
			var group sync.WaitGroup
			for worker := range 6 {
				group.Go(func() {
					for i := worker; i < len(pods); i += 6 {
						start(pods[i])
					}
				})
			}
			group.Wait()
		}
		boot()
		for i := range size(2, 5) {
			m.reboot(i%2 == 1)
			boot()
		}
		taken := map[string]bool{}
		for _, ip := range has {
			taken[ip] = true
		}
		if len(taken) != 60 || len(m.kept()) != 60 || m.given() != 60 {
			t.Errorf("60 pods have %d addresses, %d reservations, and %d addresses of host-local", len(taken), len(m.kept()), m.given())
		}
		if shown := m.run("ip", "-n", pods[0].sandbox, "-o", "-4", "address", "show", "eth0"); !strings.Contains(shown, has[pods[0].uid]) {
			t.Errorf("the interface has %s, want %s", shown, has[pods[0].uid])
		}

		start(m.sandbox("uid-60", "pod-60")) // the last address
		m.must("bridge", "DEL", conf, pods[7])
		late := m.sandbox("uid-61", "pod-61")
		if _, err := m.call("bridge", "ADD", conf, late); err == nil || !strings.Contains(err.Error(), "of 61 reservations in "+m.state+" 1 are kept for pods that have no sandbox now") {
			t.Errorf("a pod too many: got %v", err)
		}
		m.release(func(r book.Reservation) bool { return r.UID == pods[7].uid })
		late = m.sandbox("uid-61", "pod-61")
		start(late)
		if has[late.uid] != has[pods[7].uid] {
			t.Errorf("the address of a pod that is gone: got %s, want %s", has[late.uid], has[pods[7].uid])
		}
	})
}

func TestHostLocalSpeaksAsItIsUnderstood(t *testing.T) {
	inMachine(t, func(m *machine) {
		dual := `[{"subnet":"10.22.0.0/26"}],[{"subnet":"fd00:22::/120"}]`
		direct := func(verb, version, ranges, more string, a attach) (string, error) {
			ips, err := m.call(Type, verb, m.conf(version, "bridge", Type, ranges, more), a)
			return strings.Join(ips, " "), err
		}
		a := m.sandbox("uid-1", "a")
		var first string
		for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
			ips, err := direct("ADD", version, dual, "", a)
			if err != nil || first != "" && ips != first || len(strings.Fields(ips)) != 2 {
				t.Errorf("ADD %s: got %s, %v, want %s", version, ips, err, first)
			}
			first = ips
			for _, verb := range []string{"CHECK", "STATUS"} {
				if verb == "CHECK" && version == "0.3.1" || verb == "STATUS" && version != "1.1.0" {
					continue
				}
				if _, err := direct(verb, version, dual, "", a); err != nil {
					t.Errorf("%s %s: %v", verb, version, err)
				}
			}
		}
		if _, err := direct("GC", "1.1.0", dual, `"cni.dev/valid-attachments":[],`, a); err != nil {
			t.Errorf("GC: %v", err)
		}
		if ips, err := direct("ADD", "1.1.0", dual, "", a); err != nil || ips != first {
			t.Errorf("ADD after GC: got %s, %v, want %s", ips, err, first)
		}

		v4, _, _ := strings.Cut(first, " ")
		t.Log("a range of one family is another")
		if ips, err := direct("ADD", "1.0.0", `[{"subnet":"10.22.0.0/26"}],[{"subnet":"fd00:33::/120"}]`, "", a); err != nil || !strings.HasPrefix(ips, v4+" fd00:33::") {
			t.Errorf("got %s, %v, want %s and one of fd00:33::/120", ips, err, v4)
		}
		t.Log("the gateway is the address")
		bare, _, _ := strings.Cut(v4, "/")
		if ips, err := direct("ADD", "1.0.0", `[{"subnet":"10.22.0.0/26","gateway":"`+bare+`"}]`, "", a); err != nil || strings.HasPrefix(ips, bare+"/") {
			t.Errorf("got %s, %v, want another than %s", ips, err, bare)
		}
		t.Log("somebody else has it")
		now, err := direct("ADD", "1.0.0", slash26, "", a)
		if err != nil {
			t.Fatal(err)
		}
		bare, _, _ = strings.Cut(now, "/")
		if err := os.WriteFile(filepath.Join(m.data, "net", bare), []byte("somebody\r\neth0"), 0o600); err != nil {
			t.Fatal(err)
		}
		if ips, err := direct("ADD", "1.0.0", slash26, "", a); err != nil || ips == now {
			t.Errorf("got %s, %v, want another than %s", ips, err, now)
		}
		t.Log("it cannot write")
		before := m.must(Type, "ADD", m.conf("1.0.0", "bridge", Type, slash26, ""), a)
		m.run("mount", "--bind", m.data, m.data)
		m.run("mount", "-o", "remount,ro,bind", m.data)
		if ips, err := direct("ADD", "1.0.0", slash26, "", a); err == nil {
			t.Errorf("got %s", ips)
		}
		m.run("umount", m.data)
		if ips, err := direct("ADD", "1.0.0", slash26, "", a); err != nil || ips != before {
			t.Errorf("then: got %s, %v, want %s", ips, err, before)
		}
	})
}

func TestWhatHostLocalGaveBeforeIsGivenBackByTheNextBoot(t *testing.T) {
	inMachine(t, func(m *machine) {
		old, conf := m.conf("1.0.0", "bridge", "host-local", slash27, ""), m.conf("1.0.0", "bridge", Type, slash27, "")
		var before []attach
		for i := range 20 {
			a := m.sandbox(fmt.Sprintf("uid-%d", i), fmt.Sprintf("pod-%d", i))
			m.must("host-local", "ADD", old, a)
			before = append(before, a)
		}
		m.must(Type, "DEL", conf, before[0])
		if m.given() != 19 {
			t.Errorf("after a DEL: %d are given, want 19", m.given())
		}
		first := m.must(Type, "ADD", conf, m.sandbox("uid-0", "pod-0"))
		m.reboot(false)
		for i := range 29 {
			ip := m.must(Type, "ADD", conf, m.sandbox(fmt.Sprintf("uid-%d", i), fmt.Sprintf("pod-%d", i)))
			if i == 0 && ip != first {
				t.Errorf("got %s, want %s", ip, first)
			}
		}
		if m.given() != 29 || len(m.kept()) != 29 {
			t.Errorf("host-local has given %d, and %d are kept, want 29", m.given(), len(m.kept()))
		}
	})
}

// The plugin is killed at any moment, and called again.
func TestKilledPluginsLoseNothing(t *testing.T) {
	inMachine(t, func(m *machine) {
		conf := m.conf("1.0.0", "bridge", Type, slash27, "")
		has := map[string]string{}
		kills := 0
		var pods []attach
		for i := range 12 {
			pods = append(pods, m.sandbox(fmt.Sprintf("uid-%d", i), fmt.Sprintf("pod-%d", i)))
		}
		begun := time.Now()
		m.must(Type, "ADD", conf, m.sandbox("uid-x", "pod-x"))
		lasts := time.Since(begun)
		calls := size(40, 400)
		for range calls {
			a := pods[rand.IntN(len(pods))]
			verb := []string{"ADD", "ADD", "DEL"}[rand.IntN(3)]
			cmd := m.command(Type, verb, conf, a)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(rand.N(lasts), func() { _ = cmd.Process.Kill() })
			if err := cmd.Wait(); err != nil {
				kills++
			}
			timer.Stop()
			if rand.IntN(10) == 0 {
				if err := os.RemoveAll(m.data); err != nil && !errors.Is(err, syscall.ENOTEMPTY) { // one that was killed may have left host-local at work
					t.Fatal(err)
				}
			}
			if rand.IntN(2) == 0 {
				ip := m.must(Type, "ADD", conf, a)
				if has[a.uid] != "" && has[a.uid] != ip {
					t.Fatalf("%s had %s, and has %s", a.name, has[a.uid], ip)
				}
				has[a.uid] = ip
			}
		}
		t.Logf("%d of %d were killed", kills, calls)
		for _, a := range pods {
			ip := m.must(Type, "ADD", conf, a)
			if has[a.uid] != "" && has[a.uid] != ip {
				t.Errorf("%s had %s, and has %s", a.name, has[a.uid], ip)
			}
			has[a.uid] = ip
		}
		var all []string
		for _, ip := range has {
			all = append(all, ip)
		}
		if slices.Sort(all); len(slices.Compact(all)) != 12 {
			t.Errorf("12 pods have %v", all)
		}
		for _, a := range pods {
			m.must(Type, "DEL", conf, a)
		}
		m.release(func(book.Reservation) bool { return true })
		m.reboot(false)
		for i := range 29 {
			m.must(Type, "ADD", conf, m.sandbox(fmt.Sprintf("new-%d", i), fmt.Sprintf("new-%d", i)))
		}
	})
}
