package ipam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

// given is to whom an address was given.
type given struct{ id, ifname string }

// fake is a delegate that does what host-local does, and is killed or fails where a test wants it.
type fake struct {
	version.PluginDecoder
	speaks []string
	given  map[netip.Addr]given
	last   netip.Addr
	// before and after are called around what a call does: they may panic, as if all were killed. An error of before is the answer.
	before func(verb string) error
	after  func(verb string)
	calls  []string
}

func newFake() *fake {
	return &fake{
		speaks: []string{"0.4.0", "1.0.0"}, given: map[netip.Addr]given{},
		before: func(string) error { return nil }, after: func(string) {},
	}
}

func (f *fake) FindInPath(plugin string, paths []string) (string, error) {
	if len(paths) == 0 {
		return "", fmt.Errorf("failed to find plugin %q", plugin)
	}
	return filepath.Join(paths[0], plugin), nil
}

type fakeConfig struct {
	Version string `json:"cniVersion"`
	IPAM    struct {
		Type   string
		Koinon json.RawMessage
		Ranges [][]struct{ Subnet netip.Prefix }
	}
	RuntimeConfig struct{ IPs []netip.Addr }
	Args          struct {
		CNI struct{ IPs []netip.Addr }
	}
	Valid []types.GCAttachment `json:"cni.dev/valid-attachments"`
}

func (f *fake) ExecPlugin(_ context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	env := map[string]string{}
	for _, pair := range environ {
		key, value, _ := strings.Cut(pair, "=")
		env[key] = value
	}
	var c fakeConfig
	if err := json.Unmarshal(stdin, &c); err != nil {
		return nil, err
	}
	verb, who := env["CNI_COMMAND"], given{env["CNI_CONTAINERID"], env["CNI_IFNAME"]}
	f.calls = append(f.calls, strings.TrimSpace(verb+" "+who.id))
	if err := f.before(verb); err != nil {
		return nil, err
	}
	out, err := f.do(verb, who, env["CNI_ARGS"], &c)
	f.after(verb)
	return out, err
}

func (f *fake) do(verb string, who given, args string, c *fakeConfig) ([]byte, error) {
	switch verb {
	case "VERSION":
		return json.Marshal(map[string]any{"cniVersion": "1.0.0", "supportedVersions": f.speaks})
	case "ADD":
		return f.add(who, args, c)
	case "DEL":
		for ip, to := range f.given {
			if to == who {
				delete(f.given, ip)
			}
		}
	case "CHECK":
		for _, to := range f.given {
			if to == who {
				return nil, nil
			}
		}
		return nil, &types.Error{Msg: "host-local: Failed to find address added by container " + who.id}
	case "GC":
		for ip, to := range f.given {
			if !containsAttachment(c.Valid, to) {
				delete(f.given, ip)
			}
		}
	}
	return nil, nil
}

func containsAttachment(valid []types.GCAttachment, to given) bool {
	for _, a := range valid {
		if a.ContainerID == to.id && a.IfName == to.ifname {
			return true
		}
	}
	return false
}

func (f *fake) add(who given, args string, c *fakeConfig) ([]byte, error) {
	asked := append(c.RuntimeConfig.IPs, c.Args.CNI.IPs...)
	if _, ip, ok := strings.Cut(args, ";IP="); ok {
		asked = append(asked, netip.MustParseAddr(ip))
	}
	result := &current.Result{CNIVersion: c.Version}
	took := map[netip.Addr]given{}
	for _, set := range c.IPAM.Ranges {
		ip, err := f.from(set[0].Subnet, who, &asked)
		if err != nil {
			for ip := range took {
				delete(f.given, ip)
			}
			return nil, &types.Error{Msg: "failed to allocate for range 0: " + err.Error()}
		}
		f.given[ip], took[ip] = who, who
		address, err := types.ParseCIDR(netip.PrefixFrom(ip, set[0].Subnet.Bits()).String())
		if err != nil {
			return nil, err
		}
		result.IPs = append(result.IPs, &current.IPConfig{Address: *address})
	}
	if len(asked) > 0 {
		for ip := range took {
			delete(f.given, ip)
		}
		return nil, &types.Error{Msg: fmt.Sprintf("failed to allocate all requested IPs: %s", asked[0])}
	}
	shown, err := result.GetAsVersion(c.Version)
	if err != nil {
		return nil, err
	}
	return json.Marshal(shown)
}

// from gives one address of a range, and takes the one that is asked for out of those that are.
func (f *fake) from(set netip.Prefix, who given, asked *[]netip.Addr) (netip.Addr, error) {
	for i, ip := range *asked {
		if !set.Contains(ip) {
			continue
		}
		*asked = append((*asked)[:i:i], (*asked)[i+1:]...)
		if _, taken := f.given[ip]; taken {
			return ip, fmt.Errorf("requested IP address %s is not available in range set %s-%s", ip, set.Addr().Next(), set.Addr().Next())
		}
		return ip, nil
	}
	for ip, to := range f.given {
		if to == who && set.Contains(ip) {
			return netip.Addr{}, fmt.Errorf("duplicate allocation is not allowed")
		}
	}
	first := set.Addr().Next().Next() // after the gateway
	ip := f.last.Next()
	for range 256 {
		if !set.Contains(ip) || ip.Less(first) || !set.Contains(ip.Next()) { // the last one is for broadcasts
			ip = first
		}
		if _, taken := f.given[ip]; !taken {
			f.last = ip
			return ip, nil
		}
		ip = ip.Next()
	}
	return ip, fmt.Errorf("no IP addresses available in range set: %s", set)
}

// node has sandboxes, and a plugin.
type node struct {
	t    *testing.T
	fake *fake
	// dir is where the book is, netns where namespaces are.
	dir, netns string
	boot       int
	ranges     []string
	version    string
	log        strings.Builder
	sandboxes  int
}

func newNode(t *testing.T, ranges ...string) *node {
	t.Helper()
	n := &node{t: t, fake: newFake(), dir: filepath.Join(t.TempDir(), "book"), netns: t.TempDir(), ranges: ranges, version: "1.0.0"}
	return n
}

func (n *node) plugin() *Plugin {
	return &Plugin{Exec: n.fake, Boot: fmt.Sprint("boot-", n.boot), Log: &n.log}
}

func (n *node) config(more string) []byte {
	sets := []string{}
	for _, subnet := range n.ranges {
		sets = append(sets, fmt.Sprintf(`[{"subnet":%q}]`, subnet))
	}
	return fmt.Appendf(nil, `{"cniVersion":%q,"name":"net","type":"bridge",%s"ipam":{"type":"koinon-ipam","koinon":{"stateDir":%q,"volatile":true,"delegate":"fake"},"ranges":[%s]}}`,
		n.version, more, n.dir, strings.Join(sets, ","))
}

// sandbox is one of a pod.
type sandbox struct {
	*skel.CmdArgs
	uid string
}

// sandbox makes one, with a network namespace; of no pod without a UID.
func (n *node) sandbox(uid, name string) sandbox {
	n.t.Helper()
	n.sandboxes++
	args := &skel.CmdArgs{ContainerID: fmt.Sprint("sandbox-", n.sandboxes), IfName: "eth0", Path: "/opt/cni/bin", StdinData: n.config("")}
	args.Netns = filepath.Join(n.netns, args.ContainerID)
	if uid != "" {
		args.Args = fmt.Sprintf("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=%s;K8S_POD_UID=%s", name, uid)
	}
	if err := os.WriteFile(args.Netns, nil, 0o600); err != nil {
		n.t.Fatal(err)
	}
	return sandbox{args, uid}
}

// end removes a sandbox's network namespace.
func (n *node) end(s sandbox) {
	if err := os.Remove(s.Netns); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.t.Fatal(err)
	}
}

// add returns the addresses that a sandbox gets, such as "10.0.0.2 fd00::2".
func (n *node) add(s sandbox) (string, error) {
	result, err := n.plugin().Add(s.CmdArgs)
	if err != nil {
		return "", err
	}
	converted, err := current.NewResultFromResult(result)
	if err != nil {
		return "", err
	}
	var all []string
	for _, ip := range addresses(converted) {
		all = append(all, ip.String())
	}
	return strings.Join(all, " "), nil
}

// mustAdd makes a sandbox, and returns it with its addresses.
func (n *node) mustAdd(uid, name string) (sandbox, string) {
	n.t.Helper()
	s := n.sandbox(uid, name)
	ips, err := n.add(s)
	if err != nil {
		n.t.Fatalf("ADD for %s %s: %v", name, uid, err)
	}
	return s, ips
}

// mustDel says that a sandbox is gone, and removes it.
func (n *node) mustDel(s sandbox) {
	n.t.Helper()
	if err := n.plugin().Del(s.CmdArgs); err != nil {
		n.t.Fatalf("DEL of %s: %v", s.ContainerID, err)
	}
	n.end(s)
}

// reboot ends all sandboxes.
func (n *node) reboot() {
	n.boot++
	files, err := os.ReadDir(n.netns)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Remove(filepath.Join(n.netns, file.Name())); err != nil {
			n.t.Fatal(err)
		}
	}
}

// release says that all pods are gone but some.
func (n *node) release(but ...string) []book.Reservation {
	n.t.Helper()
	released, err := book.In(n.dir).Release(n.t.Context(), func(r book.Reservation) bool {
		for _, uid := range but {
			if r.UID == uid {
				return false
			}
		}
		return true
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return released
}

// kept returns what is in the book, as "UID addresses".
func (n *node) kept() []string {
	n.t.Helper()
	all, err := book.In(n.dir).Reservations()
	if err != nil {
		n.t.Fatal(err)
	}
	kept := []string{}
	for _, r := range all {
		who := r.UID
		if who == "" {
			who = r.Sandbox
		}
		kept = append(kept, strings.Trim(fmt.Sprint(who, " ", r.Addresses), "[]"))
	}
	return kept
}
