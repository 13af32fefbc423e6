package book

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	clientv1alpha1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

// countingStore counts the pages that are looked up and those that are listed.
type countingStore struct {
	cache.Store
	mu          sync.Mutex
	gets, lists int
}

func (s *countingStore) GetByKey(key string) (any, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	return s.Store.GetByKey(key)
}

func (s *countingStore) List() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	return s.Store.List()
}

func cellNumber(i int) ownership.Owner {
	return ownership.UnitOwner("cell", "team", fmt.Sprintf("c%d", i))
}

func memberNumber(i int) string { return fmt.Sprintf("m%d", i) }

// pageOf is a page on which owners have one member each.
func pageOf(name string, owners int) *v1alpha1.MemberNamespace {
	page := ownership.NewPage(name)
	for i := range owners {
		owner := cellNumber(i)
		page.Spec.Owners = append(page.Spec.Owners, v1alpha1.MemberNamespaceOwner{
			Kind: owner.Kind, Namespace: owner.Namespace, Name: owner.Name,
			Members: []string{memberNumber(i)}, ClaimTime: metav1.NewTime(time.Now().Add(-time.Hour)),
		})
	}
	return page
}

func (h *host) put(pages ...*v1alpha1.MemberNamespace) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, page := range pages {
		h.store(page)
	}
	h.writes = 0
}

// nobody is a host that must not be asked: every call of it panics.
type nobody struct {
	clientv1alpha1.MemberNamespaceInterface
}

var errNobody = errors.New("nobody answers")

func TestTenThousandClaimsThatAreThereAskTheHostNothing(t *testing.T) {
	const n = 10_000
	h := newHost()
	for i := range n {
		page := ownership.NewPage(fmt.Sprintf("team-c%d", i))
		ownership.Claim(page, cellNumber(i), []string{memberNumber(i % 100)}, metav1.Now())
		h.put(page)
	}
	h.watch(t)
	store := &countingStore{Store: h.cache}
	b, err := New(nobody{}, store)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if taken, err := b.Claim(t.Context(), cellNumber(i), fmt.Sprintf("team-c%d", i), []string{memberNumber(i % 100)}); err != nil || taken != nil {
			t.Fatalf("got %v %v", taken, err)
		}
	}
	if store.gets != n || store.lists > 0 {
		t.Errorf("%d claims looked at %d pages and listed them %d times, want one page each", n, store.gets, store.lists)
	}
}

// TestAPageWithTenThousandOwnersIsReadOnce: cells of 10,000 members may name one namespace.
func TestAPageWithTenThousandOwnersIsReadOnce(t *testing.T) {
	const n = 10_000
	h := newHost()
	h.put(pageOf("shared", n))
	h.watch(t)
	b, err := New(nobody{}, h.cache)
	if err != nil {
		t.Fatal(err)
	}
	b.Holder("shared", "m0") // reads it
	next := 0
	each := testing.AllocsPerRun(n-1, func() { // what reads the page allocates for each owner
		if owner, held := b.Holder("shared", memberNumber(next)); !held || owner != cellNumber(next) {
			t.Errorf("m%d: got %v %v", next, owner, held)
		}
		if taken, err := b.Claim(t.Context(), cellNumber(next), "shared", []string{memberNumber(next)}); err != nil || taken != nil {
			t.Errorf("m%d: got %v %v", next, taken, err)
		}
		next++
	})
	if each > 50 {
		t.Errorf("got %.0f allocations for each question", each)
	}
	if taken, err := b.Claim(t.Context(), shop, "shared", []string{"m7"}); err != nil || taken["m7"] != cellNumber(7) {
		t.Errorf("got %v %v", taken, err)
	}
	changed := pageOf("shared", n-1)
	h.put(changed)
	h.watch(t)
	if owner, held := b.Holder("shared", memberNumber(n-1)); held {
		t.Errorf("got %v for a member that was released", owner)
	}
}

// TestEndedClaimsOfAPageAreReleasedTogether: each write sends the whole page.
func TestEndedClaimsOfAPageAreReleasedTogether(t *testing.T) {
	const n = 1_000
	h := newHost()
	page := pageOf("shared", n)
	page.Spec.Owners[500].ClaimTime = metav1.Now() // may be coming
	h.put(page)
	h.watch(t)
	w := &world{}
	asked := 0
	w.asked = func() { asked++ }
	c := newTestCollector(t, h, w)
	t.Cleanup(c.queue.ShutDown)
	c.Enqueue("shared")
	for c.queue.Len() > 0 {
		c.work().Next(t.Context())
	}
	if diff := cmp.Diff(map[string]ownership.Owner{"m500": cellNumber(500)}, ownership.Holders(h.pages["shared"])); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	// The one that stays is asked for again in each pass.
	if h.writes > n/together+1 || asked > n+2*n/together {
		t.Errorf("got %d writes, and %d questions for %d owners", h.writes, asked, n)
	}
}

func TestClaimsThatEndedAreCollectedWhereOthersCannotBeTold(t *testing.T) {
	h := newHost()
	h.put(pageOf("shared", 3))
	h.watch(t)
	c := newTestCollector(t, h, &world{})
	t.Cleanup(c.queue.ShutDown)
	c.Owners = silent{c.Owners, cellNumber(1)}
	c.Enqueue("shared")
	for c.queue.Len() > 0 {
		c.work().Next(t.Context())
	}
	if diff := cmp.Diff(map[string]ownership.Owner{"m1": cellNumber(1)}, ownership.Holders(h.pages["shared"])); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

// A page of which the time has not sufficed to look at all is looked at again, and nothing has failed.
func TestALongPageIsAMatterOfTime(t *testing.T) {
	h := newHost()
	h.put(pageOf("shared", 3))
	h.watch(t)
	c := newTestCollector(t, h, &world{})
	t.Cleanup(c.queue.ShutDown)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if claims, err := c.endedOn(ctx, c.Book.page("shared")); len(claims) > 0 || !errors.Is(err, reconcile.ErrNotYet) {
		t.Errorf("got %v and error %v", claims, err)
	}
}

// silent does not tell of one owner.
type silent struct {
	Owners
	owner ownership.Owner
}

func (s silent) Exists(ctx context.Context, owner ownership.Owner, namespace, member string) (bool, error) {
	if owner == s.owner {
		return false, errNobody
	}
	return s.Owners.Exists(ctx, owner, namespace, member)
}

func TestAnOwnerThatComesBackWhileOthersAreLookedForKeepsItsClaim(t *testing.T) {
	h := newHost()
	h.put(pageOf("shared", 3))
	h.watch(t)
	c := newTestCollector(t, h, &world{})
	t.Cleanup(c.queue.ShutDown)
	c.Owners = &returning{Owners: c.Owners, owner: cellNumber(0), with: cellNumber(2)}
	if err := c.collect(t.Context(), "shared"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]ownership.Owner{"m0": cellNumber(0)}, ownership.Holders(h.pages["shared"])); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

// returning knows an owner once it was asked for another.
type returning struct {
	Owners
	owner, with ownership.Owner
	back        bool
}

func (r *returning) Known(owner ownership.Owner, namespace, member string) bool {
	return (r.back && owner == r.owner) || r.Owners.Known(owner, namespace, member)
}

func (r *returning) Exists(ctx context.Context, owner ownership.Owner, namespace, member string) (bool, error) {
	r.back = r.back || owner == r.with
	return r.Owners.Exists(ctx, owner, namespace, member)
}
