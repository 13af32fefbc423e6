package ipam

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// killed is what is thrown where everything ends at once.
type killed struct{}

// model is what a runtime and an API server know.
type model struct {
	*node
	*rand.Rand
	// addresses are those of a pod, by UID, from the first time that it was told.
	addresses map[string]string
	// pods are those that are there, by UID: the name. dead are not there any more, and nobody has said so.
	pods map[string]string
	dead map[string]bool
	// live are the sandboxes that are there, with their addresses; gone are UIDs whose pods were removed while a sandbox was there.
	live map[string]liveSandbox
	next int
	// killIn is after how many steps of the delegate the process is killed, or the delegate fails; 0 is not.
	killIn, failIn int
}

type liveSandbox struct {
	sandbox
	ips string
}

func newModel(t *testing.T) *model {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	m := &model{
		node: newNode(t, "10.0.0.0/27", "fd00::/123"), Rand: rand.New(rand.NewPCG(seed, 0)),
		addresses: map[string]string{}, pods: map[string]string{}, dead: map[string]bool{}, live: map[string]liveSandbox{},
	}
	m.fake.before = func(string) error {
		m.maybeKill()
		if m.failIn--; m.failIn == 0 {
			return errors.New("input/output error")
		}
		return nil
	}
	m.fake.after = func(string) { m.maybeKill() }
	return m
}

func (m *model) maybeKill() {
	if m.killIn--; m.killIn == 0 {
		panic(killed{})
	}
}

// disturbed calls something of which the process may be killed, or the delegate fail; ok reports whether it came to its end.
func (m *model) disturbed(call func() error) (ok bool) {
	m.killIn, m.failIn = 0, 0
	switch m.IntN(6) {
	case 0:
		m.killIn = 1 + m.IntN(14)
	case 1:
		m.failIn = 1 + m.IntN(7)
	}
	disturbed := m.killIn > 0 || m.failIn > 0
	defer func() {
		m.killIn, m.failIn = 0, 0
		if reason := recover(); reason != nil && reason != (killed{}) {
			panic(reason)
		}
	}()
	err := call()
	if err != nil && !disturbed {
		m.t.Fatalf("undisturbed: %v", err)
	}
	return err == nil
}

// start makes a sandbox for a pod, or for none.
func (m *model) start(uid string) {
	s := m.sandbox(uid, m.pods[uid])
	var ips string
	ok := m.disturbed(func() (err error) { ips, err = m.add(s); return err })
	if !ok || m.IntN(12) == 0 { // or nobody heard the answer
		m.stop(s)
		return
	}
	if known := m.addresses[uid]; uid != "" && known != "" && known != ips {
		m.t.Fatalf("pod %s had %s, and has %s", uid, known, ips)
	}
	for _, other := range m.live {
		if other.uid != uid || uid == "" {
			for ip := range strings.FieldsSeq(ips) {
				if slices.Contains(strings.Fields(other.ips), ip) {
					m.t.Fatalf("%s of %q is given to %q", ip, other.uid, uid)
				}
			}
		}
	}
	if uid != "" {
		m.addresses[uid] = ips
	}
	m.live[s.ContainerID] = liveSandbox{s, ips}
}

// stop ends a sandbox; DEL may be lost, come twice, or fail.
func (m *model) stop(s sandbox) {
	for range m.IntN(3) {
		m.disturbed(func() error { return m.plugin().Del(s.CmdArgs) })
	}
	m.end(s)
	delete(m.live, s.ContainerID)
}

func (m *model) stopAllOf(uid string) {
	for _, id := range slices.Sorted(maps.Keys(m.live)) {
		if m.live[id].uid == uid {
			m.stop(m.live[id].sandbox)
		}
	}
}

func (m *model) anyPod() string {
	all := slices.Sorted(maps.Keys(m.pods))
	if len(all) == 0 {
		return ""
	}
	return all[m.IntN(len(all))]
}

// create makes a pod; of a name that was there before, often.
func (m *model) create() {
	if len(m.pods) >= 18 {
		return
	}
	name := fmt.Sprint("web-", m.IntN(25))
	for _, other := range m.pods {
		if other == name {
			return
		}
	}
	m.next++
	uid := fmt.Sprint("u-", m.next)
	m.pods[uid] = name
	m.start(uid)
}

// remove removes a pod; its sandbox may be there for longer.
func (m *model) remove(uid string) {
	if uid == "" {
		return
	}
	if m.IntN(4) > 0 {
		m.stopAllOf(uid)
	}
	delete(m.pods, uid)
	m.dead[uid] = true
}

func (m *model) step() string {
	switch n := m.IntN(20); {
	case n < 6:
		m.create()
		return "create"
	case n < 10:
		if uid := m.anyPod(); uid != "" {
			m.stopAllOf(uid)
			m.start(uid)
		}
		return "restart"
	case n < 14:
		m.remove(m.anyPod())
		return "remove"
	case n < 15:
		m.reboot()
		clear(m.live)
		if m.IntN(2) == 0 {
			clear(m.fake.given)
			return "reboot without the delegate's files"
		}
		return "reboot"
	case n < 16:
		if len(m.live) < 22 {
			m.start("")
		}
		return "a sandbox of no pod"
	case n < 17:
		m.stopAllOf("")
		return "end of those"
	case n < 18:
		for uid := range m.dead { // with their containers, now
			m.stopAllOf(uid)
		}
		return "late DEL"
	default:
		m.release(slices.Sorted(maps.Keys(m.pods))...)
		clear(m.dead)
		return "release"
	}
}

// Random pods, restarts, reboots, kills and errors: a pod has the addresses that it had, no two sandboxes have one, and in the end nothing is kept for nobody.
func TestRandomHistories(t *testing.T) {
	for range size(5, 100) {
		m := newModel(t)
		for range size(100, 400) {
			what := m.step()
			if used := len(m.pods) + len(m.dead) + len(m.live); used > 26 && what != "release" { // so that there is room
				m.stopAllOf("")
				for uid := range m.dead {
					m.stopAllOf(uid)
				}
				m.release(slices.Sorted(maps.Keys(m.pods))...)
				clear(m.dead)
			}
		}
		m.nothingIsLeft()
		if t.Failed() {
			return
		}
	}
}

// nothingIsLeft ends all pods, and fills the range.
func (m *model) nothingIsLeft() {
	for _, s := range m.live {
		m.end(s.sandbox)
	}
	m.release()
	for i := range 29 { // of 30 hosts one is the gateway
		if _, err := m.add(m.sandbox(fmt.Sprint("last-", i), fmt.Sprint("last-", i))); err != nil {
			m.t.Fatalf("pod %d of 29 in an empty range: %v", i, err)
		}
	}
	if kept := m.kept(); len(kept) != 29 {
		m.t.Errorf("got %v, want 29 that are the last", kept)
	}
}
