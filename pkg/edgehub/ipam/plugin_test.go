package ipam

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func TestAPodKeepsItsAddresses(t *testing.T) {
	for what, happens := range map[string]func(*node, sandbox){
		"when its sandbox is made again":                      (*node).mustDel,
		"when a sandbox is made again and DEL never came":     func(n *node, s sandbox) { n.end(s) },
		"after a reboot":                                      func(n *node, _ sandbox) { n.reboot() },
		"after a reboot with which the delegate's files went": func(n *node, _ sandbox) { n.reboot(); clear(n.fake.given) },
		"when others start first after that": func(n *node, _ sandbox) {
			n.reboot()
			clear(n.fake.given)
			n.fake.last = n.fake.last.Prev()
			n.mustAdd("", "")
		},
		"when it was said to be gone by mistake, while it runs": func(n *node, s sandbox) {
			n.release()
			n.mustAdd("u-9", "other")
			n.release("u-1", "u-9")
			n.mustDel(s)
		},
		"when its old sandbox is removed only then": func(*node, sandbox) {},
	} {
		t.Run(what, func(t *testing.T) {
			n := newNode(t, "10.0.0.0/26", "fd00::/120")
			n.mustAdd("u-0", "a")
			s, first := n.mustAdd("u-1", "b")
			n.mustAdd("u-2", "c")
			happens(n, s)
			_, again := n.mustAdd("u-1", "b")
			same(t, "addresses", again, first)
			n.mustDel(s)
			n.mustAdd("u-3", "d")
			_, again = n.mustAdd("u-1", "b")
			same(t, "addresses after a late DEL", again, first)
		})
	}
}

func TestAnAddressIsGivenBackWhenItsPodIsGoneAndNoSandboxHasIt(t *testing.T) {
	n := newNode(t, "10.0.0.0/30") // one address
	s, first := n.mustAdd("u-1", "a")
	try := func(when, want string) {
		t.Helper()
		other := n.sandbox("u-2", "b")
		defer n.end(other)
		if _, err := n.add(other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", when, err, want)
		}
	}
	try("it runs", "no IP addresses available in range set: 10.0.0.0/30; of 1 reservations in "+n.dir+" 0 are kept for pods that have no sandbox now")
	n.mustDel(s)
	try("its sandbox is gone, and nobody said that it is", "of 1 reservations in "+n.dir+" 1 are kept for pods that have no sandbox now, and if those are gone nobody has said so")
	s, _ = n.mustAdd("u-1", "a")
	if got := n.release(); len(got) != 1 || got[0].UID != "u-1" {
		t.Errorf("released: got %v", got)
	}
	try("it is gone, and its sandbox is there", "no IP addresses available")
	n.mustDel(s)
	_, second := n.mustAdd("u-2", "b")
	same(t, "the other's address", second, first)
	if diff := cmp.Diff([]string{"u-2 10.0.0.2"}, trimmed(n.kept())); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// trimmed is without brackets.
func trimmed(kept []string) []string {
	for i := range kept {
		kept[i] = strings.NewReplacer("[", "", "]", "").Replace(kept[i])
	}
	return kept
}

func TestAnotherPodOfTheSameNameTakesOverOnceTheSandboxIsGone(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	s, first := n.mustAdd("u-1", "web-0")
	early, second := n.mustAdd("u-2", "web-0")
	if first == second {
		t.Fatalf("both have %s, and both sandboxes are there", first)
	}
	n.mustDel(s)
	n.mustDel(early)
	_, third := n.mustAdd("u-3", "web-0")
	if third != first && third != second {
		t.Errorf("got %s, want %s or %s", third, first, second)
	}
	_, other := n.mustAdd("u-4", "web-1")
	if other == third {
		t.Errorf("two have %s", other)
	}
	if kept := n.kept(); len(kept) != 2 {
		t.Errorf("got %v, want what u-3 and u-4 have", kept)
	}
}

func TestPodsWithoutANameHaveNoNamesakes(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	s, first := n.mustAdd("u-1", "")
	n.mustDel(s)
	_, other := n.mustAdd("u-2", "")
	_, again := n.mustAdd("u-1", "")
	if other == first || again != first {
		t.Errorf("got %s, and %s for another, want %s", again, other, first)
	}
}

func TestWhatTheDelegateWillNotGiveIsReplaced(t *testing.T) {
	t.Run("the ranges are others", func(t *testing.T) {
		n := newNode(t, "10.0.0.0/26")
		n.mustAdd("u-1", "a")
		n.reboot()
		n.ranges = []string{"10.9.0.0/26"}
		_, now := n.mustAdd("u-1", "a")
		if !strings.HasPrefix(now, "10.9.0.") {
			t.Errorf("got %s, want one of 10.9.0.0/26", now)
		}
		if diff := cmp.Diff([]string{"u-1 " + now}, trimmed(n.kept())); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
	})
	t.Run("a family has other ranges, and the address of the other family stays", func(t *testing.T) {
		n := newNode(t, "10.0.0.0/26", "fd00::/120")
		n.mustAdd("u-0", "z")
		_, first := n.mustAdd("u-1", "a")
		n.reboot()
		n.ranges = []string{"10.0.0.0/26", "fd99::/120"}
		_, now := n.mustAdd("u-1", "a")
		v4, _, _ := strings.Cut(first, " ")
		if !strings.HasPrefix(now, v4+" fd99::") {
			t.Errorf("got %s, want %s and one of fd99::/120", now, v4)
		}
	})
	t.Run("a family is new", func(t *testing.T) {
		n := newNode(t, "10.0.0.0/26")
		_, first := n.mustAdd("u-1", "a")
		n.reboot()
		n.ranges = append(n.ranges, "fd00::/120")
		_, now := n.mustAdd("u-1", "a")
		if !strings.HasPrefix(now, first+" fd00::") {
			t.Errorf("got %s, want %s and one of fd00::/120", now, first)
		}
	})
	t.Run("somebody else has it", func(t *testing.T) {
		n := newNode(t, "10.0.0.0/26")
		_, first := n.mustAdd("u-1", "a")
		n.reboot()
		for ip, to := range n.fake.given {
			to.id = "somebody"
			n.fake.given[ip] = to
		}
		_, now := n.mustAdd("u-1", "a")
		if now == first {
			t.Errorf("%s is given twice", now)
		}
	})
}

func TestAnErrorThatMayPassCostsNoAddress(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	_, first := n.mustAdd("u-1", "a")
	n.reboot()
	n.fake.before = func(verb string) error {
		if verb == "ADD" {
			return errors.New("open /var/lib/cni/networks/net/10.0.0.2: no space left on device")
		}
		return nil
	}
	if _, err := n.add(n.sandbox("u-1", "a")); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	n.fake.before = func(string) error { return nil }
	_, other := n.mustAdd("u-2", "b")
	_, again := n.mustAdd("u-1", "a")
	if again != first || other == first {
		t.Errorf("got %s, and %s for another, want %s", again, other, first)
	}
}

func TestInterfacesOfAPodAreApart(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	s, first := n.mustAdd("u-1", "a")
	net1 := s
	args := *s.CmdArgs
	args.IfName = "net1"
	net1.CmdArgs = &args
	second, err := n.add(net1)
	if err != nil || second == first {
		t.Fatalf("got %s, %v; want another than %s", second, err, first)
	}
	n.reboot()
	again, err := n.add(net1)
	if err != nil || again != second {
		t.Errorf("net1: got %s, %v; want %s", again, err, second)
	}
	_, again = n.mustAdd("u-1", "a")
	same(t, "eth0", again, first)
}

func TestASandboxOfNoPodKeepsNothing(t *testing.T) {
	n := newNode(t, "10.0.0.0/30")
	s, first := n.mustAdd("", "")
	if _, err := n.add(s); err == nil || !strings.Contains(err.Error(), "sandbox-1 has [10.0.0.2] at eth0 already") {
		t.Errorf("a second ADD: got %v", err)
	}
	n.mustDel(s)
	_, second := n.mustAdd("", "")
	same(t, "the address after DEL", second, first)
	n.reboot() // with no DEL
	_, third := n.mustAdd("u-1", "a")
	same(t, "the address after a reboot", third, first)
	if kept := n.kept(); len(kept) != 1 {
		t.Errorf("got %v, want one", kept)
	}
}

func TestAnAddressThatIsAskedForIsGivenUnlessItIsKept(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	holder, first := n.mustAdd("u-1", "a")
	n.mustDel(holder)
	clear(n.fake.given)
	for what, change := range map[string]func(*sandbox, string){
		"CNI_ARGS":      func(s *sandbox, ip string) { s.Args += ";IP=" + ip },
		"args.cni":      func(s *sandbox, ip string) { s.StdinData = n.config(`"args":{"cni":{"ips":["` + ip + `"]}},`) },
		"runtimeConfig": func(s *sandbox, ip string) { s.StdinData = n.config(`"runtimeConfig":{"ips":["` + ip + `"]},`) },
	} {
		s := n.sandbox("u-"+what, what)
		change(&s, first)
		if got, err := n.add(s); err == nil || !strings.Contains(err.Error(), "requested IP address "+first+" is not available") {
			t.Errorf("%s: got %s, %v", what, got, err)
		}
		s = n.sandbox("u-"+what, what)
		change(&s, "10.0.0.40")
		if got, err := n.add(s); err != nil || got != "10.0.0.40" {
			t.Errorf("%s: got %s, %v", what, got, err)
		}
		n.mustDel(s)
		n.release("u-1")
	}
	_, again := n.mustAdd("u-1", "a")
	same(t, "who has it kept", again, first)
}

func TestTheDelegateIsCalledAsItWouldBe(t *testing.T) {
	c, err := parseConfig([]byte(`{"cniVersion":"1.1.0","name":"net","type":"bridge","mtu":1450,"runtimeConfig":{"ipRanges":[[{"subnet":"10.0.0.0/24"}]]},"ipam":{"type":"koinon-ipam","koinon":{},"dataDir":"/run/x","routes":[{"dst":"0.0.0.0/0"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.forDelegate(c.spoken(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"cniVersion":"1.0.0","name":"net","type":"bridge","mtu":1450,"runtimeConfig":{"ipRanges":[[{"subnet":"10.0.0.0/24"}]]},"ipam":{"type":"host-local","dataDir":"/run/x","routes":[{"dst":"0.0.0.0/0"}]}}`
	if diff := cmp.Diff(decoded(t, want), decoded(t, string(got))); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func decoded(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestResultsAreOfTheVersionThatIsAskedFor(t *testing.T) {
	for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		n := newNode(t, "10.0.0.0/26", "fd00::/120")
		n.version = version
		result, err := n.plugin().Add(n.sandbox("u-1", "a").CmdArgs)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "version", result.Version(), version)
		if text, err := json.Marshal(result); err != nil || !strings.Contains(string(text), `"10.0.0.2/26"`) {
			t.Errorf("%s: got %s, %v", version, text, err)
		}
	}
}

func TestCheck(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	s, _ := n.mustAdd("u-1", "a")
	if err := n.plugin().Check(s.CmdArgs); err != nil {
		t.Errorf("a sandbox that is there: %v", err)
	}
	n.mustDel(s)
	newer, _ := n.mustAdd("u-1", "a")
	if err := n.plugin().Check(s.CmdArgs); err == nil || !strings.Contains(err.Error(), "are those of sandbox sandbox-2, and not of sandbox-1") {
		t.Errorf("a sandbox that was replaced: got %v", err)
	}
	clear(n.fake.given)
	if err := n.plugin().Check(newer.CmdArgs); err == nil {
		t.Error("the delegate has lost it: got no error")
	}
	if err := n.plugin().Check(n.sandbox("u-2", "b").CmdArgs); err == nil {
		t.Error("a sandbox that was never there: got no error")
	}
}

func TestGCEndsSandboxesThatTheRuntimeDoesNotKnow(t *testing.T) {
	for what, speaks := range map[string][]string{"a delegate that has no GC": {"1.0.0"}, "one that has": {"1.0.0", "1.1.0"}} {
		t.Run(what, func(t *testing.T) {
			n := newNode(t, "10.0.0.0/29") // five addresses
			n.version, n.fake.speaks = "1.1.0", speaks
			pod, first := n.mustAdd("u-1", "a")
			n.mustAdd("u-2", "b")
			plain, _ := n.mustAdd("", "")
			n.mustAdd("", "")
			n.release("u-1")
			gc := func(valid string) {
				t.Helper()
				args := *pod.CmdArgs
				args.ContainerID, args.Args, args.IfName, args.StdinData = "", "", "", n.config(`"cni.dev/valid-attachments":`+valid+`,`)
				if err := n.plugin().GC(&args); err != nil {
					t.Fatal(err)
				}
			}
			gc(`[{"containerID":"` + plain.ContainerID + `","ifname":"eth0"}]`)
			if diff := cmp.Diff([]string{"u-1 10.0.0.2", plain.ContainerID + " 10.0.0.4"}, trimmed(n.kept())); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			gc(`[]`)
			_, again := n.mustAdd("u-1", "a")
			same(t, "the pod's address", again, first)
			if len(n.fake.given) != 1 {
				t.Errorf("the delegate has given %v, want one", n.fake.given)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	s := n.sandbox("", "")
	for _, speaks := range [][]string{{"1.0.0"}, {"1.1.0"}} {
		n.fake.speaks = speaks
		if err := n.plugin().Status(s.CmdArgs); err != nil {
			t.Error(err)
		}
	}
	same(t, "calls", strings.Join(n.fake.calls, ","), "VERSION,VERSION,STATUS")
	s.Path = ""
	var known *types.Error
	if err := n.plugin().Status(s.CmdArgs); !errors.As(err, &known) || known.Code != types.ErrPluginNotAvailable || !strings.Contains(known.Msg, `failed to find plugin "fake"`) {
		t.Errorf("without the delegate: got %v", err)
	}
}

func TestAWrongConfigurationIsASentence(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	for conf, want := range map[string]string{
		`{"name":"net","ipam":{"type":"koinon-ipam","koinon":{"stateDirectory":"/x"}}}`:    `network configuration: read ipam.koinon: json: unknown field "stateDirectory"; delegate, stateDir and volatile are allowed`,
		`{"name":"net","ipam":{"type":"koinon-ipam","koinon":{"delegate":"koinon-ipam"}}}`: `network configuration: ipam.koinon.delegate: "koinon-ipam" cannot be delegated to`,
		`{"name":"net","ipam":{"type":"koinon-ipam","koinon":{"stateDir":"state"}}}`:       `network configuration: ipam.koinon.stateDir: "state" is no absolute path`,
		`{"name":"net"}`:            `network configuration: ipam is missing`,
		`{"name":"net","ipam":[1]}`: `network configuration: read ipam: json: cannot unmarshal array into Go value of type ipam.object`,
	} {
		s := n.sandbox("u-1", "a")
		s.StdinData = []byte(conf)
		if _, err := n.add(s); err == nil || err.Error() != "koinon-ipam: "+want {
			t.Errorf("%s: got %v, want %q", conf, err, want)
		}
	}
	for _, uid := range []string{"../../x", "a\r\nb", "-", strings.Repeat("x", 129), "koinon ipam"} {
		if got, err := n.add(n.sandbox(uid, "a")); err == nil || !strings.Contains(err.Error(), "letters, digits, - _ and . are allowed, at most 128") {
			t.Errorf("UID %q: got %s, %v", uid, got, err)
		}
	}
}

func TestADirectoryInMemoryIsRefused(t *testing.T) {
	const shm = "/dev/shm"
	if !isVolatile(shm) {
		t.Skip("there is no tmpfs at " + shm)
	}
	dir, err := os.MkdirTemp(shm, "koinon-ipam-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := newNode(t, "10.0.0.0/26")
	s := n.sandbox("u-1", "a")
	s.StdinData = []byte(`{"cniVersion":"1.0.0","name":"net","ipam":{"type":"koinon-ipam","koinon":{"stateDir":"` + dir + `"}}}`)
	if _, err := n.add(s); err == nil || !strings.Contains(err.Error(), "ipam.koinon.stateDir: "+dir+" is in memory: what is kept there does not outlive a reboot") {
		t.Errorf("got %v", err)
	}
}

func TestANewerBookIsRefusedAndDELGoesOn(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	s, _ := n.mustAdd("u-1", "a")
	newer := fmt.Appendf(nil, "koinon-ipam 2 %08x\n{}\n", crc32.Checksum([]byte("koinon-ipam 2 {}"), crc32.MakeTable(crc32.Castagnoli)))
	file := filepath.Join(n.dir, "reservations")
	if err := os.WriteFile(file, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.add(n.sandbox("u-2", "b")); err == nil || !strings.Contains(err.Error(), file+": a newer version has written it: the format is 2, and this one knows 1") {
		t.Errorf("ADD: got %v", err)
	}
	if err := n.plugin().Del(s.CmdArgs); err != nil {
		t.Errorf("DEL: %v", err)
	}
	if _, err := book.In(n.dir).Release(t.Context(), func(book.Reservation) bool { return true }); !errors.Is(err, book.ErrNewer) {
		t.Errorf("Release: got %v", err)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(newer) {
		t.Errorf("the file: got %q, %v", now, err)
	}
}

func TestADamagedBookCostsNoMoreThanTheDelegateHasLost(t *testing.T) {
	n := newNode(t, "10.0.0.0/26")
	networks := t.TempDir()
	conf := func() []byte {
		return []byte(strings.ReplaceAll(strings.Replace(string(n.config("")), `"delegate":"fake"`, `"delegate":"host-local"`, 1), `"ranges":`, `"dataDir":"`+networks+`","ranges":`))
	}
	add := func(uid, name string) string {
		t.Helper()
		s := n.sandbox(uid, name)
		s.StdinData = conf()
		ips, err := n.add(s)
		if err != nil {
			t.Fatal(err)
		}
		return ips
	}
	first := add("u-1", "a")
	old := add("", "")
	// What host-local has written.
	if err := os.Mkdir(filepath.Join(networks, "net"), 0o700); err != nil {
		t.Fatal(err)
	}
	for ip, to := range n.fake.given {
		if err := os.WriteFile(filepath.Join(networks, "net", ip.String()), []byte(to.id+"\r\n"+to.ifname), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(n.dir, "reservations")
	if err := os.WriteFile(file, []byte("koinon-ipam 1 00000000\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clear(n.fake.given) // so that it is the book that knows
	n.fake.last = n.fake.last.Prev().Prev()
	other := add("u-2", "b")
	if other == first || other == old {
		t.Errorf("%s is given twice", other)
	}
	if !strings.Contains(n.log.String(), file+": it is damaged: the checksum is") {
		t.Errorf("the log has %q", n.log.String())
	}
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Error(err)
	}
	same(t, "the pod's address", add("u-1", "a"), first)
	n.reboot()
	n.release("u-1")
	add("u-1", "a")
	if kept := n.kept(); len(kept) != 1 {
		t.Errorf("got %v, want u-1's: the others were there before the reboot", kept)
	}
}

func TestAFullDiskFailsADDAndNotDEL(t *testing.T) {
	if os.Getenv("KOINON_FULL_DISK") == "" {
		// The limit is for all files of a process, those of "go test" too.
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "KOINON_FULL_DISK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	n := newNode(t, "10.0.0.0/26")
	s, first := n.mustAdd("u-1", "a")
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	fill := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	next := n.sandbox("u-2", "b")
	full := old
	full.Cur = 16
	fill(full)
	_, added := n.add(next)
	deleted := n.plugin().Del(s.CmdArgs)
	fill(old)
	n.end(s)
	if added == nil || !strings.Contains(added.Error(), "write "+filepath.Join(n.dir, "reservations")) {
		t.Errorf("ADD: got %v", added)
	}
	if deleted != nil {
		t.Errorf("DEL: %v", deleted)
	}
	if !strings.Contains(n.log.String(), "sandbox sandbox-1 is gone, which could not be written") {
		t.Errorf("the log has %q", n.log.String())
	}
	if _, err := n.add(next); err != nil {
		t.Errorf("with room: %v", err)
	}
	n.release("u-2") // DEL was not written: that the sandbox is gone is seen by its namespace
	n.mustAdd("u-3", "c")
	if kept := n.kept(); len(kept) != 2 || slices.ContainsFunc(kept, func(k string) bool { return strings.HasPrefix(k, "u-1") }) {
		t.Errorf("got %v, want u-2 and u-3; u-1 had %s", kept, first)
	}
}

func TestManyAtOnce(t *testing.T) {
	n := newNode(t, "10.0.0.0/24")
	var mu sync.Mutex
	got := map[string]string{}
	n.fake.before = func(string) error { return nil }
	var group sync.WaitGroup
	for i := range 60 {
		uid := "u-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		s := n.sandbox(uid, uid)
		group.Go(func() {
			result, err := (&Plugin{Exec: n.fake, Boot: "b", Log: &strings.Builder{}}).Add(s.CmdArgs)
			if err != nil {
				t.Error(err)
				return
			}
			text, _ := json.Marshal(result)
			mu.Lock()
			defer mu.Unlock()
			if got[string(text)] != "" {
				t.Errorf("%s and %s have %s", uid, got[string(text)], text)
			}
			got[string(text)] = uid
		})
	}
	group.Wait()
	if len(n.kept()) != 60 {
		t.Errorf("got %d reservations, want 60", len(n.kept()))
	}
}
