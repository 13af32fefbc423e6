package seats_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
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

func (d directory) MemberLabels(_ context.Context, name string) (map[string]string, error) {
	return d.labels(name)
}

func (d directory) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	return d.labels(name)
}

func tenant(name string) map[string]string {
	return map[string]string{federationv1alpha1.TenantLabel: name}
}

func holder(kind, namespace, name, member, memberNamespace string) seats.Holder {
	return seats.Holder{Kind: kind, Namespace: namespace, Name: name, Seat: validation.Seat{Member: member, Namespace: memberNamespace}}
}

func newBook(t *testing.T, holders ...seats.Holder) *seats.Book {
	t.Helper()
	inGroup := tenant("a")
	inGroup[federationv1alpha1.WorkspaceGroupLabel] = "front"
	otherGroup := tenant("a")
	otherGroup[federationv1alpha1.WorkspaceGroupLabel] = "back"
	book, err := seats.NewBook(
		directory{"m1": nil, "m-a": tenant("a"), "m-b": tenant("b"), "m-a-back": otherGroup},
		directory{"shop": nil, "shop-a": tenant("a"), "shop-a-front": inGroup})
	if err != nil {
		t.Fatal(err)
	}
	book.Add(func(context.Context) ([]seats.Holder, error) { return nil, nil })
	book.Add(func(context.Context) ([]seats.Holder, error) { return holders, nil })
	return book
}

func TestValidate(t *testing.T) {
	taken := holder("cell", "other", "rz00a", "m1", "ns1")
	for name, test := range map[string]struct {
		holder seats.Holder
		want   []string
	}{
		"a free seat":                                 {holder: holder("cell", "shop", "x", "m1", "ns2")},
		"the same namespace of another member":        {holder: holder("cell", "shop-a", "x", "m-a", "ns1")},
		"a member that does not exist":                {holder: holder("cell", "shop", "x", "m9", "ns1")},
		"the holder itself":                           {holder: taken},
		"a tenant's namespace on its member":          {holder: holder("cell", "shop-a", "x", "m-a", "ns1")},
		"a tenant's namespace on everybody's member":  {holder: holder("cell", "shop-a", "x", "m1", "ns2")},
		"a namespace that does not exist in the host": {holder: holder("cell", "gone", "x", "m-a", "ns2")},
		"a seat that a cell has": {
			holder: holder("cell", "shop", "x", "m1", "ns1"),
			want:   []string{`spec.memberNamespace: Invalid value: "ns1": cell other/rz00a has this namespace of member "m1" already; set another one`}},
		"a seat that a cell has, for an edge unit of its name": {
			holder: holder("edge unit", "other", "rz00a", "m1", "ns1"),
			want:   []string{`spec.memberNamespace: Invalid value: "ns1": cell other/rz00a has this namespace of member "m1" already; set another one`}},
		"another tenant's member": {
			holder: holder("cell", "shop-a", "x", "m-b", "ns1"),
			want:   []string{`spec.clusterName: Invalid value: "m-b": the member has the label federation.koinon.io/tenant=b, and namespace "shop-a" has a; both must be the same`}},
		"a tenant's member, for a namespace of no tenant": {
			holder: holder("cell", "shop", "x", "m-a", "ns2"),
			want:   []string{`spec.clusterName: Invalid value: "m-a": the member has the label federation.koinon.io/tenant=a, and namespace "shop" has none; both must be the same`}},
		"a tenant's member of no group, for a namespace of one": {
			holder: holder("cell", "shop-a-front", "x", "m-a", "ns2"),
			want:   []string{`spec.clusterName: Invalid value: "m-a": the member has no label federation.koinon.io/workspace-group, and namespace "shop-a-front" has front; both must be the same`}},
		"another workspace group's member": {
			holder: holder("cell", "shop-a-front", "x", "m-a-back", "ns1"),
			want:   []string{`spec.clusterName: Invalid value: "m-a-back": the member has the label federation.koinon.io/workspace-group=back, and namespace "shop-a-front" has front; both must be the same`}},
	} {
		t.Run(name, func(t *testing.T) {
			errs, err := newBook(t, taken).Validate(t.Context(), test.holder)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, err := range errs {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(strings.Join(test.want, "\n"), strings.Join(got, "\n")); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNobodyIsSeatedWhileItCannotBeTold(t *testing.T) {
	unreadable := newBook(t)
	unreadable.Add(func(context.Context) ([]seats.Holder, error) { return nil, errDown })
	for name, test := range map[string]struct {
		book   *seats.Book
		holder seats.Holder
		want   string
	}{
		"the seats that are taken cannot be listed": {
			book: unreadable, holder: holder("cell", "shop", "x", "m1", "ns1"),
			want: "list the namespaces of members that are taken: the store does not answer"},
		"the member cannot be read": {
			book: newBook(t), holder: holder("cell", "shop", "x", "broken", "ns1"),
			want: `read the labels of member "broken": the store does not answer`},
		"the namespace cannot be read": {
			book: newBook(t), holder: holder("cell", "broken", "x", "m1", "ns1"),
			want: `read the labels of namespace "broken": the store does not answer`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.book.Validate(t.Context(), test.holder)
			if !errors.Is(err, errDown) || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	book := newBook(t)
	if got := book.Warnings(t.Context(), holder("cell", "shop", "x", "m1", "ns1")); got != nil {
		t.Errorf("a member that exists: got %q, want no warning", got)
	}
	want := []string{`spec.clusterName: there is no KubeFedCluster "m9" yet; the cell is not ready until there is one`}
	if diff := cmp.Diff(want, book.Warnings(t.Context(), holder("cell", "shop", "x", "m9", "ns1"))); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestCreatesTakeTurns(t *testing.T) {
	book := newBook(t)
	var inside, done int // unguarded: the race detector is the test
	var creates sync.WaitGroup
	for range 32 {
		creates.Go(func() {
			err := book.InTurn(t.Context(), func() error {
				if inside++; inside != 1 {
					t.Errorf("%d creates at once", inside)
				}
				inside--
				done++
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	creates.Wait()
	if done != 32 {
		t.Errorf("got %d creates, want 32", done)
	}
}

func TestAWaitingCreateEndsWithItsContext(t *testing.T) {
	book := newBook(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := book.InTurn(t.Context(), func() error {
		cancel()
		return book.InTurn(ctx, func() error {
			t.Error("created out of turn")
			return nil
		})
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestTheErrorOfACreateIsPassedOn(t *testing.T) {
	failed := errors.New("failed")
	if err := newBook(t).InTurn(t.Context(), func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got error %v, want %v", err, failed)
	}
}

func TestABookNeedsMembersAndNamespaces(t *testing.T) {
	if _, err := seats.NewBook(nil, directory{}); err == nil {
		t.Error("got no error without members")
	}
	if _, err := seats.NewBook(directory{}, nil); err == nil {
		t.Error("got no error without namespaces")
	}
}
