package book

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	clientv1beta1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	clientv1alpha1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/federation/v1alpha1"
	listersv1alpha1 "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
)

var (
	resource = v1alpha1.Resource("membernamespaces")
	shop     = ownership.NamespaceOwner("shop")
	cell     = ownership.UnitOwner("cell", "team", "rz00a")
)

// host stores pages, and refuses what was not read last. The cache sees nothing before
// watch is called.
type host struct {
	clientv1alpha1.MemberNamespaceInterface
	cache cache.Indexer

	mu      sync.Mutex
	pages   map[string]*v1alpha1.MemberNamespace
	version int
	writes  int
}

func newHost() *host {
	return &host{pages: map[string]*v1alpha1.MemberNamespace{}, cache: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})}
}

func (h *host) Get(_ context.Context, name string, _ metav1.GetOptions) (*v1alpha1.MemberNamespace, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	page, ok := h.pages[name]
	if !ok {
		return nil, apierrors.NewNotFound(resource, name)
	}
	return page.DeepCopy(), nil
}

func (h *host) Create(_ context.Context, page *v1alpha1.MemberNamespace, _ metav1.CreateOptions) (*v1alpha1.MemberNamespace, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pages[page.Name] != nil {
		return nil, apierrors.NewAlreadyExists(resource, page.Name)
	}
	return h.store(page), nil
}

func (h *host) Update(_ context.Context, page *v1alpha1.MemberNamespace, _ metav1.UpdateOptions) (*v1alpha1.MemberNamespace, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch stored := h.pages[page.Name]; {
	case stored == nil:
		return nil, apierrors.NewNotFound(resource, page.Name)
	case stored.ResourceVersion != page.ResourceVersion:
		return nil, apierrors.NewConflict(resource, page.Name, errors.New("another version"))
	}
	return h.store(page), nil
}

func (h *host) Delete(_ context.Context, name string, options metav1.DeleteOptions) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch stored := h.pages[name]; {
	case stored == nil:
		return apierrors.NewNotFound(resource, name)
	case stored.ResourceVersion != *options.Preconditions.ResourceVersion:
		return apierrors.NewConflict(resource, name, errors.New("another version"))
	}
	delete(h.pages, name)
	return nil
}

func (h *host) store(page *v1alpha1.MemberNamespace) *v1alpha1.MemberNamespace {
	h.version++
	h.writes++
	page = page.DeepCopy()
	page.ResourceVersion = strconv.Itoa(h.version)
	h.pages[page.Name] = page
	return page.DeepCopy()
}

// claimed stores a page behind the book's back.
func (h *host) claimed(t *testing.T, name string, owner ownership.Owner, at time.Time, members ...string) {
	t.Helper()
	page, err := h.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		page = ownership.NewPage(name)
	}
	ownership.Claim(page, owner, members, metav1.NewTime(at))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.store(page)
	h.writes = 0
}

// watch has the cache catch up.
func (h *host) watch(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var items []any
	for _, page := range h.pages {
		items = append(items, page.DeepCopy())
	}
	if err := h.cache.Replace(items, ""); err != nil {
		t.Fatal(err)
	}
}

func newTestBook(t *testing.T, h *host) *Book {
	t.Helper()
	b, err := New(h, h.cache)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOneWriteClaimsAllMembers(t *testing.T) {
	h := newHost()
	b := newTestBook(t, h)
	members := []string{"m1", "m2", "m3"}
	for range 2 { // the second time it is the book's own answer, although the watch shows nothing yet
		if taken, err := b.Claim(t.Context(), shop, "shop", members); err != nil || taken != nil {
			t.Fatalf("got %v %v", taken, err)
		}
	}
	if h.writes != 1 {
		t.Errorf("got %d writes, want 1", h.writes)
	}
	if diff := cmp.Diff(map[string]ownership.Owner{"m1": shop, "m2": shop, "m3": shop}, ownership.Holders(b.page("shop"))); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

func TestAClaimFindsWhatTheCacheDoesNotShow(t *testing.T) {
	h := newHost()
	b := newTestBook(t, h)
	h.claimed(t, "shop", cell, time.Now(), "m1") // the API server admitted a cell a moment ago
	taken, err := b.Claim(t.Context(), shop, "shop", []string{"m1", "m2"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]ownership.Owner{"m1": cell}, taken); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]ownership.Owner{"m1": cell, "m2": shop}, ownership.Holders(b.page("shop"))); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

func TestConcurrentClaimsOfAPageAreOneWrite(t *testing.T) {
	h := newHost()
	b := newTestBook(t, h)
	var claims sync.WaitGroup
	for range 16 {
		claims.Go(func() {
			if _, err := b.Claim(t.Context(), shop, "shop", []string{"m1", "m2"}); err != nil {
				t.Error(err)
			}
		})
	}
	claims.Wait()
	if h.writes != 1 || len(b.turns) != 0 {
		t.Errorf("got %d writes and %d turns left, want 1 and none", h.writes, len(b.turns))
	}
}

// world is everything that a collector asks.
type world struct {
	clientv1beta1.KubeFedClusterInterface
	known, exists, written bool
	existsErr              error
	joined                 map[string]membership.Member
	clusters               []string
	asked                  func()
}

func (w *world) Known(ownership.Owner, string, string) bool { return w.known }

func (w *world) Exists(context.Context, ownership.Owner, string, string) (bool, error) {
	if w.asked != nil {
		w.asked()
	}
	return w.exists, w.existsErr
}

// members is the part of a world that knows connections.
type members map[string]membership.Member

func (m members) Get(name string) (membership.Member, bool) {
	member, ok := m[name]
	return member, ok
}

// Get is of KubeFedClusters.
func (w *world) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1beta1.KubeFedCluster, error) {
	for _, cluster := range w.clusters {
		if cluster == name {
			return &corev1beta1.KubeFedCluster{}, nil
		}
	}
	return nil, apierrors.NewNotFound(corev1beta1.Resource("kubefedclusters"), name)
}

func newTestCollector(t *testing.T, h *host, w *world) *Collector {
	t.Helper()
	c, err := NewCollector(CollectorConfig{
		Book: newTestBook(t, h), Pages: listersv1alpha1.NewMemberNamespaceLister(h.cache), Owners: w, Members: members(w.joined),
		Clusters: w, Federation: "f1", Written: func(string, string) bool { return w.written },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAClaimIsCollectedWhenItsOwnerIsGoneAndNothingIsLeft(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for name, test := range map[string]struct {
		world world
		at    time.Time
		kept  bool
		fails bool
	}{
		"owner and member are gone":                          {at: old},
		"the owner is there":                                 {world: world{known: true}, at: old, kept: true},
		"the owner is there, and the cache does not know":    {world: world{exists: true}, at: old, kept: true},
		"whether the owner is there cannot be told":          {world: world{existsErr: errors.New("no answer")}, at: old, kept: true, fails: true},
		"the claim is so young that its owner may be coming": {at: time.Now(), kept: true},
		"an object has a record there":                       {world: world{written: true}, at: old, kept: true},
		"the member is there, and not connected yet":         {world: world{clusters: []string{"m1"}}, at: old, kept: true},
		"the member does not answer": {
			world: world{joined: map[string]membership.Member{"m1": {Health: membership.Offline}}}, at: old, kept: true},
		"the member was not checked yet": {
			world: world{joined: map[string]membership.Member{"m1": {Health: membership.Unknown}}}, at: old, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost()
			h.claimed(t, "team-rz00a", cell, test.at, "m1")
			h.watch(t)
			c := newTestCollector(t, h, &test.world)
			if err := c.collect(t.Context(), "team-rz00a"); (err != nil) != test.fails {
				t.Fatalf("got error %v", err)
			}
			if _, kept := h.pages["team-rz00a"]; kept != test.kept {
				t.Errorf("the claim is there: %v, want %v", kept, test.kept)
			}
			if _, held := c.Book.Holder("team-rz00a", "m1"); held != test.kept {
				t.Errorf("the book shows the claim: %v, want %v", held, test.kept)
			}
		})
	}
}

func TestTheMemberIsAskedWhatIsLeftThere(t *testing.T) {
	marks := func(owner ownership.Owner) map[string]string { return ownership.Marks("f1", owner) }
	for name, test := range map[string]struct {
		annotations map[string]string // nil if there is no namespace
		broken      bool
		kept        bool
	}{
		"the namespace is gone":                         {},
		"the namespace has the owner's marks":           {annotations: marks(cell), kept: true},
		"the administrator took the marks off":          {annotations: map[string]string{}},
		"the namespace is somebody else's by its marks": {annotations: marks(shop)},
		"the member cannot tell":                        {broken: true, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				var answer any = metav1.PartialObjectMetadata{
					TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
					ObjectMeta: metav1.ObjectMeta{Name: "team-rz00a", Annotations: test.annotations},
				}
				switch {
				case test.broken:
					w.WriteHeader(http.StatusInternalServerError)
					answer = apierrors.NewInternalError(errors.New("broken")).ErrStatus
				case test.annotations == nil:
					w.WriteHeader(http.StatusNotFound)
					missing := apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team-rz00a").ErrStatus
					missing.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
					answer = missing
				}
				_ = json.NewEncoder(w).Encode(answer)
			}))
			t.Cleanup(server.Close)
			conn, err := memberclient.NewConn(t.Context(), &rest.Config{Host: server.URL}, func(schema.GroupVersionResource, memberclient.Event) {})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(conn.Close)
			h := newHost()
			h.claimed(t, "team-rz00a", cell, time.Now().Add(-time.Hour), "m1")
			h.watch(t)
			c := newTestCollector(t, h, &world{joined: map[string]membership.Member{"m1": {Health: membership.Ready, Conn: conn}}})
			if err := c.collect(t.Context(), "team-rz00a"); err != nil {
				t.Fatalf("a member that cannot tell is no failure: %v", err)
			}
			if _, kept := h.pages["team-rz00a"]; kept != test.kept {
				t.Errorf("the claim is there: %v, want %v", kept, test.kept)
			}
		})
	}
}

// TestAMemberThatFailsIsNotAskedForEveryPage: the claims in other members wait for it.
func TestAMemberThatFailsIsNotAskedForEveryPage(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	conn, err := memberclient.NewConn(t.Context(), &rest.Config{Host: server.URL}, func(schema.GroupVersionResource, memberclient.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	h := newHost()
	for _, name := range []string{"team-a", "team-b"} {
		h.claimed(t, name, cell, time.Now().Add(-time.Hour), "m1")
	}
	h.watch(t)
	c := newTestCollector(t, h, &world{joined: map[string]membership.Member{"m1": {Health: membership.Ready, Conn: conn}}})
	if err := c.collect(t.Context(), "team-a"); err != nil {
		t.Errorf("a member that is offline is no failure: %v", err)
	}
	first := asked.Load()
	if err := c.collect(t.Context(), "team-b"); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); first == 0 || n != first {
		t.Errorf("got %d requests for the first page and %d more for the second, want none", first, n-first)
	}
	for _, name := range []string{"team-a", "team-b"} {
		if h.pages[name] == nil {
			t.Errorf("the claim on %s is gone, though nobody could tell", name)
		}
	}
}

func TestAClaimThatIsMadeAnewIsNotCollected(t *testing.T) {
	h := newHost()
	h.claimed(t, "team-rz00a", cell, time.Now().Add(-time.Hour), "m1")
	h.watch(t)
	w := &world{}
	w.asked = func() { // the cell is created again right after it was looked for
		page, err := h.Get(t.Context(), "team-rz00a", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ownership.Renew(page, cell, metav1.Now())
		if _, err := h.Update(t.Context(), page, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c := newTestCollector(t, h, w)
	if err := c.collect(t.Context(), "team-rz00a"); !apierrors.IsConflict(err) {
		t.Errorf("got error %v, want a conflict", err)
	}
	if _, ok := h.pages["team-rz00a"]; !ok {
		t.Error("the claim was collected")
	}
}

func TestOtherClaimsOfAPageStay(t *testing.T) {
	h := newHost()
	h.claimed(t, "team-rz00a", cell, time.Now().Add(-time.Hour), "m1", "m2")
	h.watch(t)
	c := newTestCollector(t, h, &world{clusters: []string{"m2"}})
	if err := c.collect(t.Context(), "team-rz00a"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]ownership.Owner{"m2": cell}, ownership.Holders(c.Book.page("team-rz00a"))); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	if pages, err := c.Pages.List(labels.Everything()); err != nil || len(pages) != 1 {
		t.Errorf("got %d pages, error %v", len(pages), err)
	}
}
