// Package podstate knows how pods of a node are now, as kubelet says: which addresses those have that were given others, after a restart of the node as a rule, when nothing kept their addresses; and whether
// they are ready. While the API server is away, and for a moment after it was told, EndpointSlices are of before, and are corrected for whoever reads them on this node. Of pods of other nodes it knows nothing.
package podstate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/koinon-io/koinon/pkg/edgehub/jsonspan"
)

// Pod is which one it is.
type Pod struct {
	Namespace, Name, UID string
}

// Book is how pods of a node are now that were otherwise. It may be used concurrently.
type Book struct {
	// node is its name, quoted: most EndpointSlices are not about it.
	node []byte

	mu sync.RWMutex
	// What follows is guarded by mu, and by UID.

	pods map[string]*state
	// before are pods as they were known when kubelet began to change their status.
	before map[string]*pod
}

// New returns a book of a node that knows of no pods.
func New(node string) *Book {
	return &Book{node: strconv.AppendQuote(nil, node), pods: map[string]*state{}, before: map[string]*pod{}}
}

// state is that of a pod: its addresses now, and those which it has had and has not any more; and whether it is ready.
type state struct {
	pod         Pod
	now, former []netip.Addr
	ready       bool
	// settled: whoever writes EndpointSlices knows whether it is ready, and what they say of that counts.
	settled bool
	// at is when kubelet said so last, or, if taken, when the API server took it.
	at    time.Time
	taken bool
	// held is how it is if kubelet does not go on to say so: as the API server took it last; nil if it took nothing.
	held *state
}

// pod is what is read of one.
type pod struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		UID       string `json:"uid"`
	} `json:"metadata"`
	Status struct {
		PodIPs []struct {
			IP string `json:"ip"`
		} `json:"podIPs"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

func read(body []byte) (*pod, error) {
	var p pod
	if err := utiljson.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("it is no pod: %w", err)
	}
	return &p, nil
}

// addresses are those that it has.
func (p *pod) addresses() (all []netip.Addr) {
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// isReady reports whether it is.
func (p *pod) isReady() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == string(corev1.PodReady) {
			return c.Status == string(corev1.ConditionTrue)
		}
	}
	return false
}

// Begin takes a pod as it is known before kubelet's change of its status is handed on, as JSON: when the API server has taken it, whoever watches may have been told of that already. end is to be called when it was answered.
func (b *Book) Begin(known []byte) (end func(), err error) {
	was, err := read(known)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	uid := was.Metadata.UID
	b.before[uid] = was
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.before[uid] == was { // else it was given up, and tried again
			delete(b.before, uid)
		}
	}, nil
}

// Taken takes a pod as the API server has it since kubelet has changed its status, and as it is known otherwise, if Begin was not told, both as JSON. differs says that EndpointSlices which name it are to be seen otherwise.
func (b *Book) Taken(has, known []byte, at time.Time) (of Pod, differs bool, err error) {
	is, err := read(has)
	if err != nil {
		return Pod{}, false, err
	}
	b.mu.RLock()
	was := b.before[is.Metadata.UID]
	b.mu.RUnlock()
	if was == nil {
		if was, err = read(known); err != nil {
			return Pod{}, false, err
		}
	}
	return b.note(was, is, at, true)
}

// Said takes what kubelet would change of the status of a pod while the API server is away, a strategic merge patch, and the pod that it has read before, as JSON: what it does not change is as it is there. kubelet says it again until it
// is taken.
func (b *Book) Said(known, patch []byte, at time.Time) (of Pod, differs bool, err error) {
	was, err := read(known)
	if err != nil {
		return Pod{}, false, err
	}
	patched, err := strategicpatch.StrategicMergePatch(known, patch, &corev1.Pod{})
	if err != nil {
		return Pod{}, false, fmt.Errorf("what kubelet says of the pod %s/%s: %w", was.Metadata.Namespace, was.Metadata.Name, err)
	}
	is, err := read(patched)
	if err != nil {
		return Pod{}, false, err
	}
	return b.note(was, is, at, false)
}

// Lapse forgets what kubelet has said for the last time before a moment, and the API server has not taken, and returns of which pods: it is not so any more, as kubelet would have said it again. What was taken before is so again.
func (b *Book) Lapse(before time.Time) (gone []Pod) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid, s := range b.pods {
		if s.taken || !s.at.Before(before) {
			continue
		}
		gone = append(gone, s.pod)
		if s.held == nil {
			delete(b.pods, uid)
		} else { // which kubelet has no reason to say again
			b.pods[uid] = s.held
		}
	}
	return gone
}

// Settle has EndpointSlices say themselves whether pods are ready which the API server took before a moment, and returns of which pods: their writers have heard of it since, and whoever has one not be ready
// though its pod is means it.
func (b *Book) Settle(before time.Time) (settled []Pod) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid, s := range b.pods {
		if !s.taken || s.settled || !s.at.Before(before) {
			continue
		}
		settled = append(settled, s.pod)
		if s.settled = true; len(s.former) == 0 {
			delete(b.pods, uid)
		}
	}
	return settled
}

// note has a pod be otherwise than it is known to be, and reports whether that is something else than it was last.
func (b *Book) note(known, is *pod, at time.Time, taken bool) (of Pod, differs bool, err error) {
	of = Pod{known.Metadata.Namespace, known.Metadata.Name, known.Metadata.UID}
	if is.Metadata.UID != of.UID {
		return of, false, errors.New("it is of another pod with the same name")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s, had := b.pods[of.UID]
	if !had {
		s = &state{pod: of, now: known.addresses(), ready: known.isReady()}
	}
	now, former := is.addresses(), slices.Clone(s.former)
	if len(now) == 0 { // it gets one
		now = s.now
	}
	for _, was := range append(slices.Clone(s.now), known.addresses()...) {
		if !slices.Contains(former, was) {
			former = append(former, was)
		}
	}
	former = slices.DeleteFunc(former, func(was netip.Addr) bool { return slices.Contains(now, was) })
	differs = !slices.Equal(s.now, now) || !slices.Equal(s.former, former) || s.settled || s.ready != is.isReady()
	if !had && len(former) == 0 && known.isReady() == is.isReady() {
		return of, false, nil // it has got its first address
	}
	next := &state{pod: of, now: now, former: former[max(0, len(former)-maxFormer):], ready: is.isReady(), at: at, taken: taken}
	if !taken && s.taken {
		next.held = s
	} else if !taken {
		next.held = s.held
	}
	b.pods[of.UID] = next
	return of, differs, nil
}

// maxFormer is how many addresses of before are known of a pod: the last.
const maxFormer = 16

// Keep forgets all but some pods.
func (b *Book) Keep(is func(Pod) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid, s := range b.pods {
		if !is(s.pod) {
			delete(b.pods, uid)
		}
	}
}

// Correct returns an EndpointSlice, JSON, with pods as they are now: with the addresses that they have in the place of those that they had; and, if it is of Kubernetes' own controller, with whether they are ready, unless they
// are on their way out, or publishes says that their Service is about those that are not ready, too. Others have their own reasons for what is ready. Nothing else is changed, and what is no EndpointSlice neither. What is
// returned may be slice itself, which is not written to.
func (b *Book) Correct(slice []byte, publishes func() bool) []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.names(slice) || !json.Valid(slice) {
		return slice
	}
	endpoints, err := jsonspan.Member(slice, "endpoints")
	if err != nil || endpoints == nil || slice[endpoints.From] != '[' {
		return slice
	}
	var corrected []byte
	done, saysReady := 0, sync.OnceValue(func() bool { return isOfController(slice) })
	for at := range jsonspan.Elements(slice[endpoints.From:endpoints.To]) {
		from := endpoints.From + at.From
		for _, e := range b.correct(slice[from:endpoints.From+at.To], saysReady, publishes) {
			corrected = append(append(corrected, slice[done:from+e.at.From]...), e.now...)
			done = from + e.at.To
		}
	}
	if done == 0 {
		return slice
	}
	return append(corrected, slice[done:]...)
}

// names reports whether a text names a pod that is otherwise. mu must be held.
func (b *Book) names(text []byte) bool {
	if !bytes.Contains(text, b.node) {
		return false
	}
	for uid := range b.pods {
		if bytes.Contains(text, []byte(uid)) {
			return true
		}
	}
	return false
}

// managedByLabel and controller are of discovery.k8s.io, whose package is not imported for two words: it is large.
const managedByLabel, controller = "endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"

// isOfController reports whether an EndpointSlice, valid JSON, is of the controller that has endpoints be ready as their pods are.
func isOfController(slice []byte) bool {
	at, ok := jsonspan.Value(slice, "metadata")
	if !ok {
		return false
	}
	var metadata struct {
		Labels map[string]string `json:"labels"`
	}
	return utiljson.Unmarshal(slice[at.From:at.To], &metadata) == nil && metadata.Labels[managedByLabel] == controller
}

// edit is what is to be in the place of something.
type edit struct {
	at  jsonspan.Span
	now []byte
}

// endpoint is what is read of one.
type endpoint struct {
	Addresses  []string `json:"addresses"`
	Conditions struct {
		Ready       *bool `json:"ready"`
		Serving     *bool `json:"serving"`
		Terminating bool  `json:"terminating"`
	} `json:"conditions"`
	TargetRef struct {
		UID string `json:"uid"`
	} `json:"targetRef"`
}

// correct returns what is to be otherwise in an endpoint, in its order. saysReady reports whether its EndpointSlice has it be ready as its pod is. mu must be held.
func (b *Book) correct(body []byte, saysReady, publishes func() bool) (edits []edit) {
	var e endpoint
	if utiljson.Unmarshal(body, &e) != nil {
		return nil
	}
	of := b.pods[e.TargetRef.UID]
	if of == nil {
		return nil
	}
	right := make([]string, 0, len(e.Addresses))
	for _, was := range e.Addresses {
		if is := of.instead(was); !slices.Contains(right, is) {
			right = append(right, is)
		}
	}
	if at, ok := jsonspan.Value(body, "addresses"); ok && !slices.Equal(right, e.Addresses) {
		now, _ := json.Marshal(right) // which does not fail for strings
		edits = append(edits, edit{at, now})
	}
	is := func(condition *bool) bool { return condition == nil || *condition }
	if of.settled || e.Conditions.Terminating || is(e.Conditions.Ready) == of.ready && is(e.Conditions.Serving) == of.ready || !saysReady() || !of.ready && publishes() {
		return edits
	}
	if at, ok := jsonspan.Value(body, "conditions"); ok {
		edits = append(edits, edit{at, fmt.Appendf(nil, `{"ready":%t,"serving":%[1]t,"terminating":false}`, of.ready)})
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.at.From - b.at.From })
	return edits
}

// instead is the address that a pod has in the place of one: the same, if that is none that it had, or there is none of its kind now.
func (s *state) instead(was string) string {
	address, err := netip.ParseAddr(was)
	if err != nil || !slices.Contains(s.former, address) {
		return was
	}
	for _, is := range s.now {
		if is.Is4() == address.Is4() {
			return is.String()
		}
	}
	return was
}
