package simnode

import (
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podNetwork is where pods get their addresses from. No packet is ever sent there.
var podNetwork = netip.MustParsePrefix("10.244.0.0/16")

// board knows which pod is on which node and which address it has. It is safe for
// concurrent use.
type board struct {
	mu sync.Mutex
	// The rest is guarded by mu. load has every simulated node.
	load      map[string]int
	seats     map[types.UID]string
	addresses map[types.UID]netip.Addr
	taken     map[netip.Addr]bool
	last      netip.Addr
}

func newBoard(nodes []string) *board {
	b := &board{
		load:      map[string]int{},
		seats:     map[types.UID]string{},
		addresses: map[types.UID]netip.Addr{},
		taken:     map[netip.Addr]bool{},
		last:      podNetwork.Addr(),
	}
	for _, node := range nodes {
		b.load[node] = 0
	}
	return b
}

// owns tells whether a node is simulated here.
func (b *board) owns(node string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.load[node]
	return ok
}

// observe takes note of where a pod is and of the address it has.
func (b *board) observe(pod *corev1.Pod) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pod.Spec.NodeName != "" {
		b.seat(pod.UID, pod.Spec.NodeName)
	}
	if addr, err := netip.ParseAddr(pod.Status.PodIP); err == nil && podNetwork.Contains(addr) {
		b.addresses[pod.UID], b.taken[addr] = addr, true
	}
}

func (b *board) seat(pod types.UID, node string) {
	if b.seats[pod] == node {
		return
	}
	b.unseat(pod)
	if _, ok := b.load[node]; ok {
		b.seats[pod] = node
		b.load[node]++
	}
}

func (b *board) unseat(pod types.UID) {
	if node, ok := b.seats[pod]; ok {
		b.load[node]--
		delete(b.seats, pod)
	}
}

// choose gives a pod a seat on the candidate with the fewest pods, the first of equals.
// It returns "" if there is no candidate.
func (b *board) choose(pod types.UID, candidates []string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	best := ""
	for _, node := range candidates {
		if best == "" || b.load[node] < b.load[best] {
			best = node
		}
	}
	if best != "" {
		b.seat(pod, best)
	}
	return best
}

// address returns the address of a pod, a new one if it has none yet.
func (b *board) address(pod types.UID) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if addr, ok := b.addresses[pod]; ok {
		return addr.String()
	}
	for range 1 << (32 - podNetwork.Bits()) {
		b.last = b.last.Next()
		if !podNetwork.Contains(b.last) {
			b.last = podNetwork.Addr().Next()
		}
		if !b.taken[b.last] {
			break
		}
	}
	b.addresses[pod], b.taken[b.last] = b.last, true
	return b.last.String()
}

// release forgets a pod that is gone.
func (b *board) release(pod types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unseat(pod)
	if addr, ok := b.addresses[pod]; ok {
		delete(b.addresses, pod)
		delete(b.taken, addr)
	}
}
