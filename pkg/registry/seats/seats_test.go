package seats_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

// errDown is what a store says that is not there.
var errDown = errors.New("the store does not answer")

// directory has the labels of members and namespaces.
type directory map[string]map[string]string

func (d directory) labels(name string) (map[string]string, error) {
	if name == "broken" {
		return nil, errDown
	}
	labels, ok := d[name]
	if !ok {
		return nil, apierrors.NewNotFound(corev1beta1.Resource("kubefedclusters"), name)
	}
	return labels, nil
}

func (d directory) Member(_ context.Context, name string) (*corev1beta1.KubeFedCluster, error) {
	labels, err := d.labels(name)
	if err != nil {
		return nil, err
	}
	cluster := &corev1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if name == "m-open" {
		cluster.Spec.AllowedSystemNamespaces = []string{"default"}
	}
	cluster.Status.JoinNamespace = "fleet"
	return cluster, nil
}

func (d directory) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	return d.labels(name)
}

// pages is a store of pages that refuses what was not read last.
type pages struct {
	mu      sync.Mutex
	stored  map[string]*v1alpha1.MemberNamespace
	version int
}

func newPages() *pages { return &pages{stored: map[string]*v1alpha1.MemberNamespace{}} }

var resource = v1alpha1.Resource("membernamespaces")

func (p *pages) Get(_ context.Context, name string) (*v1alpha1.MemberNamespace, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == "unreadable" {
		return nil, errDown
	}
	page, ok := p.stored[name]
	if !ok {
		return nil, apierrors.NewNotFound(resource, name)
	}
	return page.DeepCopy(), nil
}

func (p *pages) Create(_ context.Context, page *v1alpha1.MemberNamespace) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.stored[page.Name]; ok {
		return apierrors.NewAlreadyExists(resource, page.Name)
	}
	p.store(page)
	return nil
}

func (p *pages) Update(_ context.Context, page *v1alpha1.MemberNamespace) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	stored, ok := p.stored[page.Name]
	if !ok {
		return apierrors.NewNotFound(resource, page.Name)
	}
	if stored.ResourceVersion != page.ResourceVersion {
		return apierrors.NewConflict(resource, page.Name, errors.New("another version"))
	}
	p.store(page)
	return nil
}

func (p *pages) store(page *v1alpha1.MemberNamespace) {
	p.version++
	page = page.DeepCopy()
	page.ResourceVersion = strconv.Itoa(p.version)
	p.stored[page.Name] = page
}

func (p *pages) holder(member, namespace string) string {
	owner, held := ownership.Holders(p.stored[namespace])[member]
	if !held {
		return "nobody"
	}
	return owner.String()
}

func tenant(name string) map[string]string { return map[string]string{v1alpha1.TenantLabel: name} }

func holder(topologyType, namespace, name, member, memberNamespace string) seats.Holder {
	return seats.NewHolder(topologyType, &metav1.ObjectMeta{Namespace: namespace, Name: name}, validation.Seat{Member: member, Namespace: memberNamespace})
}

func newBook(t *testing.T, store seats.Pages, stored ...seats.Holder) *seats.Book {
	t.Helper()
	inGroup := tenant("a")
	inGroup[v1alpha1.WorkspaceGroupLabel] = "front"
	otherGroup := tenant("a")
	otherGroup[v1alpha1.WorkspaceGroupLabel] = "back"
	book, err := seats.NewBook(
		directory{"m1": nil, "m2": nil, "m-open": nil, "m-a": tenant("a"), "m-b": tenant("b"), "m-a-back": otherGroup},
		directory{"shop": nil, "other": nil, "a": nil, "a-b": nil, "shop-a": tenant("a"), "shop-a-front": inGroup}, store)
	if err != nil {
		t.Fatal(err)
	}
	book.Add(func(context.Context) ([]seats.Holder, error) { return stored, nil })
	return book
}

func said(errs field.ErrorList) string {
	var lines []string
	for _, err := range errs {
		lines = append(lines, err.Error())
	}
	return strings.Join(lines, "\n")
}

func TestValidate(t *testing.T) {
	labelled := holder("cell", "shop-a", "x", "m-a", "ns2")
	labelled.Labels = tenant("b")
	const takenSentence = `spec.memberNamespace: Invalid value: "ns1": namespace "ns1" of member "m1" belongs to cell other/rz00a (and does so after it is deleted, until nothing of it is left in the member): set another one`
	for name, test := range map[string]struct {
		holder seats.Holder
		want   string
	}{
		"a free seat":                                 {holder: holder("cell", "shop", "x", "m1", "ns2")},
		"the same namespace of another member":        {holder: holder("cell", "shop-a", "x", "m-a", "ns1")},
		"a member that does not exist":                {holder: holder("cell", "shop", "x", "m9", "ns1")},
		"the holder itself":                           {holder: holder("cell", "other", "rz00a", "m1", "ns1")},
		"a tenant's namespace on its member":          {holder: holder("cell", "shop-a", "x", "m-a", "ns1")},
		"a tenant's namespace on everybody's member":  {holder: holder("cell", "shop-a", "x", "m1", "ns2")},
		"a namespace that does not exist in the host": {holder: holder("cell", "gone", "x", "m-a", "ns2")},
		"the namespace of its own namespace's name":   {holder: holder("cell", "shop", "x", "m1", "shop")},
		"default, where the administrator allows it":  {holder: holder("cell", "shop", "x", "m-open", "default")},
		"a seat that a cell has":                      {holder: holder("cell", "shop", "x", "m1", "ns1"), want: takenSentence},
		"a seat that a cell has, for an edge unit of its name": {
			holder: holder("edgeunit", "other", "rz00a", "m1", "ns1"), want: takenSentence},
		"the name of another namespace of the host": {
			holder: holder("cell", "shop", "x", "m1", "other"),
			want:   `spec.memberNamespace: Invalid value: "other": the host has a namespace "other", whose objects go to the namespaces of that name: set another one`},
		"a default that is another cell's, in another member": {
			holder: holder("cell", "a-b", "c", "m2", "a-b-c"),
			want:   `spec.memberNamespace: Invalid value: "a-b-c": the default, <namespace>-<name>, is ambiguous: it is the name of namespaces of cell a/b-c too; set another one`},
		"the same name, chosen": {holder: holder("cell", "shop", "c", "m2", "a-b-c")},
		"the namespace that every cluster has": {
			holder: holder("cell", "shop", "x", "m1", "default"),
			want:   `spec.memberNamespace: Invalid value: "default": namespace "default" of member "m1" belongs to the member itself; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m1" names it`},
		"a namespace of a member's own that is not there yet": {
			holder: holder("edgeunit", "shop", "x", "m9", "kube-system"),
			want:   `spec.memberNamespace: Invalid value: "kube-system": namespace "kube-system" of member "m9" belongs to the member itself; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m9" names it`},
		"the namespace of the join account": {
			holder: holder("cell", "shop", "x", "m1", "fleet"),
			want:   `spec.memberNamespace: Invalid value: "fleet": namespace "fleet" of member "m1" holds the account with which the member was joined; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m1" names it`},
		"another tenant's member": {
			holder: holder("cell", "shop-a", "x", "m-b", "ns1"),
			want:   `spec.clusterName: Invalid value: "m-b": the member has the label federation.koinon.io/tenant=b, and namespace "shop-a" has a: both must be the same`},
		"a tenant's member, for a namespace of no tenant": {
			holder: holder("cell", "shop", "x", "m-a", "ns2"),
			want:   `spec.clusterName: Invalid value: "m-a": the member has the label federation.koinon.io/tenant=a, and namespace "shop" has none: both must be the same`},
		"a tenant's member of no group, for a namespace of one": {
			holder: holder("cell", "shop-a-front", "x", "m-a", "ns2"),
			want:   `spec.clusterName: Invalid value: "m-a": the member has no label federation.koinon.io/workspace-group, and namespace "shop-a-front" has front: both must be the same`},
		"another workspace group's member": {
			holder: holder("cell", "shop-a-front", "x", "m-a-back", "ns1"),
			want:   `spec.clusterName: Invalid value: "m-a-back": the member has the label federation.koinon.io/workspace-group=back, and namespace "shop-a-front" has front: both must be the same`},
		"a cell that says that it is another tenant's": {
			holder: labelled,
			want:   `metadata.labels: Invalid value: {"federation.koinon.io/tenant":"b"}: the cell has the label federation.koinon.io/tenant=b, and namespace "shop-a" has a: both must be the same`},
	} {
		t.Run(name, func(t *testing.T) {
			store := newPages()
			book := newBook(t, store)
			for _, taken := range []seats.Holder{holder("cell", "other", "rz00a", "m1", "ns1"), holder("cell", "a", "b-c", "m1", "a-b-c")} {
				if refused, err := book.Claim(t.Context(), taken); err != nil || len(refused) > 0 {
					t.Fatal(refused, err)
				}
			}
			written := store.version
			errs, err := book.Validate(t.Context(), test.holder)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, said(errs)); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			if store.version != written {
				t.Error("a look at a seat wrote a page")
			}
		})
	}
}

func TestNobodyIsSeatedWhileItCannotBeTold(t *testing.T) {
	for name, test := range map[string]struct {
		holder seats.Holder
		want   string
	}{
		"the page cannot be read": {
			holder: holder("cell", "shop", "x", "m1", "unreadable"),
			want:   `read who owns namespace "unreadable" in members: the store does not answer`},
		"the member cannot be read": {
			holder: holder("cell", "shop", "x", "broken", "ns1"),
			want:   `read member "broken": the store does not answer`},
		"the namespace cannot be read": {
			holder: holder("cell", "broken", "x", "m1", "ns1"),
			want:   `read the labels of namespace "broken": the store does not answer`},
		"whether the host has a namespace of that name cannot be read": {
			holder: holder("cell", "shop", "x", "m1", "broken"),
			want:   `look for namespace "broken": the store does not answer`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newBook(t, newPages()).Validate(t.Context(), test.holder)
			if !errors.Is(err, errDown) || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
		})
	}
	book := newBook(t, newPages())
	book.Add(func(context.Context) ([]seats.Holder, error) { return nil, errDown })
	if _, err := book.Claim(t.Context(), holder("cell", "shop", "x", "m1", "ns1")); !errors.Is(err, errDown) {
		t.Errorf("claimed although those who were there first cannot be listed: error %v", err)
	}
}

func TestWarnings(t *testing.T) {
	book := newBook(t, newPages())
	if got := book.Warnings(t.Context(), holder("cell", "shop", "x", "m1", "ns1")); got != nil {
		t.Errorf("a member that exists: got %q, want no warning", got)
	}
	want := []string{`spec.clusterName: there is no KubeFedCluster "m9" yet; the cell is not ready until there is one`}
	if diff := cmp.Diff(want, book.Warnings(t.Context(), holder("cell", "shop", "x", "m9", "ns1"))); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// steps are the pages of a store in which every call waits until it is let go on.
type steps struct {
	*pages
	waits chan struct{} // one value for each call that waits
	goOn  chan struct{}
}

func (s *steps) step() {
	s.waits <- struct{}{}
	<-s.goOn
}

func (s *steps) Get(ctx context.Context, name string) (*v1alpha1.MemberNamespace, error) {
	s.step()
	return s.pages.Get(ctx, name)
}

func (s *steps) Create(ctx context.Context, page *v1alpha1.MemberNamespace) error {
	s.step()
	return s.pages.Create(ctx, page)
}

func (s *steps) Update(ctx context.Context, page *v1alpha1.MemberNamespace) error {
	s.step()
	return s.pages.Update(ctx, page)
}

// admission is one server that creates one holder, step by step.
type admission struct {
	*steps
	ended   chan struct{}
	refused field.ErrorList
	err     error
}

func admit(t *testing.T, store *pages, h seats.Holder) *admission {
	a := &admission{steps: &steps{pages: store, waits: make(chan struct{}), goOn: make(chan struct{})}, ended: make(chan struct{})}
	book := newBook(t, a.steps)
	go func() { // ends when it was let go on often enough
		defer close(a.ended)
		if a.refused, a.err = book.Validate(t.Context(), h); a.err == nil && len(a.refused) == 0 {
			a.refused, a.err = book.Claim(t.Context(), h)
		}
	}()
	return a
}

// advance lets the admission make one call, and reports whether there was one to make.
func (a *admission) advance() bool {
	select {
	case <-a.waits:
		a.goOn <- struct{}{}
		return true
	case <-a.ended:
		return false
	}
}

func (a *admission) won() bool { return a.err == nil && len(a.refused) == 0 }

func TestOfTwoAdmissionsInAnyOrderOneGetsTheSeat(t *testing.T) {
	const calls = 8 // more than two admissions make that do not meet
	for schedule := range 1 << calls {
		store := newPages()
		contenders := []*admission{
			admit(t, store, holder("cell", "shop", "x", "m1", "ns1")),
			admit(t, store, holder("edgeunit", "other", "y", "m1", "ns1")),
		}
		for i := range calls {
			contenders[schedule>>i&1].advance()
		}
		for _, c := range contenders {
			for c.advance() {
			}
		}
		one, other := contenders[0], contenders[1]
		if one.err != nil || other.err != nil || one.won() == other.won() {
			t.Fatalf("order %0*b: got %v %v and %v %v, want one winner", calls, schedule, one.refused, one.err, other.refused, other.err)
		}
		want := "cell shop/x"
		if other.won() {
			want = "edge unit other/y"
		}
		if got := store.holder("m1", "ns1"); got != want {
			t.Fatalf("order %0*b: %s has the seat, want %s, who was told so", calls, schedule, got, want)
		}
	}
}

func TestTwoAdmissionsOfOneCellBothGetItsSeat(t *testing.T) {
	const calls = 8 // one of them then finds that the cell exists
	for schedule := range 1 << calls {
		store := newPages()
		h := holder("cell", "shop", "x", "m1", "ns1")
		contenders := []*admission{admit(t, store, h), admit(t, store, h)}
		for i := range calls {
			contenders[schedule>>i&1].advance()
		}
		for _, c := range contenders {
			for c.advance() {
			}
			if !c.won() {
				t.Fatalf("order %0*b: got %v %v", calls, schedule, c.refused, c.err)
			}
		}
	}
}

func TestAServerThatIsKilledAfterTheClaimKeepsTheSeatForTheSameCell(t *testing.T) {
	store := newPages()
	h := holder("cell", "shop", "x", "m1", "ns1")
	if refused, err := newBook(t, store).Claim(t.Context(), h); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	// The cell was never stored. Another server is asked for it, and for another one.
	book := newBook(t, store)
	if refused, err := book.Claim(t.Context(), holder("cell", "shop", "y", "m1", "ns1")); err != nil || len(refused) == 0 {
		t.Errorf("another cell: got %v %v, want a refusal", refused, err)
	}
	before := store.stored["ns1"]
	if refused, err := book.Claim(t.Context(), h); err != nil || len(refused) > 0 {
		t.Errorf("the same cell: got %v %v", refused, err)
	}
	if store.Update(t.Context(), before) == nil {
		t.Error("who looked at the claim before it was made anew can still release it")
	}
}

func TestThoseWhoWereThereBeforeTheBookHaveTheirSeatsFirst(t *testing.T) {
	at := func(h seats.Holder, minute int) seats.Holder {
		h.Created = time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
		return h
	}
	store := newPages()
	book := newBook(t, store,
		at(holder("cell", "shop", "younger", "m1", "ns1"), 2), at(holder("edgeunit", "other", "older", "m1", "ns1"), 1),
		at(holder("cell", "a", "b-c", "m1", "a-b-c"), 1), at(holder("cell", "a-b", "c", "m2", "a-b-c"), 2))
	refused, err := book.Claim(t.Context(), holder("cell", "shop", "new", "m1", "ns1"))
	if err != nil || !strings.Contains(said(refused), "belongs to edge unit other/older") {
		t.Errorf("got %v %v, want that the older one has the seat", refused, err)
	}
	for member, want := range map[string]string{"m1": "cell a/b-c", "m2": "cell a-b/c"} { // what is stored is not ambiguous any more
		if got := store.holder(member, "a-b-c"); got != want {
			t.Errorf("%s of %s belongs to %s, want %s", "a-b-c", member, got, want)
		}
	}
	written := store.version
	if err := newBook(t, store, at(holder("edgeunit", "other", "older", "m1", "ns1"), 1)).Settle(t.Context()); err != nil || store.version != written {
		t.Errorf("a second start wrote %d pages, error %v; want none", store.version-written, err)
	}
}

func TestManyClaimsOfOnePage(t *testing.T) {
	store := newPages()
	book := newBook(t, store)
	var claims sync.WaitGroup
	for i := range 32 {
		claims.Go(func() {
			if refused, err := book.Claim(t.Context(), holder("cell", "shop", fmt.Sprintf("c%d", i), fmt.Sprintf("m%d", i), "ns1")); err != nil || len(refused) > 0 {
				t.Errorf("got %v %v", refused, err)
			}
		})
	}
	claims.Wait()
	if got := len(ownership.Holders(store.stored["ns1"])); got != 32 {
		t.Errorf("got %d claims, want 32", got)
	}
}

func TestAWaitingClaimEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	book := newBook(t, newPages())
	book.Add(func(context.Context) ([]seats.Holder, error) {
		cancel()
		_, err := book.Claim(ctx, holder("cell", "shop", "x", "m1", "ns1")) // it waits for this one
		return nil, err
	})
	if _, err := book.Claim(t.Context(), holder("cell", "shop", "x", "m1", "ns1")); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestABookNeedsMembersNamespacesAndPages(t *testing.T) {
	for _, build := range []func() (*seats.Book, error){
		func() (*seats.Book, error) { return seats.NewBook(nil, directory{}, newPages()) },
		func() (*seats.Book, error) { return seats.NewBook(directory{}, nil, newPages()) },
		func() (*seats.Book, error) { return seats.NewBook(directory{}, directory{}, nil) },
	} {
		if _, err := build(); err == nil {
			t.Error("got no error")
		}
	}
}
