// Package seats keeps what cells and edge units have in common: each of them takes one
// seat, a namespace of a member, and no two may take the same.
//
// A Book knows every seat that is taken. The REST storage of cells and that of edge
// units share one, and create through it one at a time, so that of two creations in this
// process at most one gets a seat. Two servers on one store look again once an object is
// stored, and the later one takes its own back.
//
// A Book also refuses the members of other tenants, and warns of members that do not
// exist. Everything may be called concurrently.
package seats

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
)

// Members answers which labels a member has. The error for a member that does not exist
// is one that apierrors.IsNotFound knows.
type Members interface {
	MemberLabels(ctx context.Context, name string) (map[string]string, error)
}

// Namespaces answers which labels a namespace of the host has. The error for a namespace
// that does not exist is one that apierrors.IsNotFound knows.
type Namespaces interface {
	NamespaceLabels(ctx context.Context, name string) (map[string]string, error)
}

// Holder is a cell or an edge unit, and its seat.
type Holder struct {
	// Kind is the word for people: cell or edge unit.
	Kind string
	// Namespace and Name of the object.
	Namespace, Name string
	// Seat that it takes.
	Seat validation.Seat
}

// String names the holder for people.
func (h Holder) String() string {
	return fmt.Sprintf("%s %s/%s", h.Kind, h.Namespace, h.Name)
}

// List returns the holders of one kind in all namespaces, as of now.
type List func(ctx context.Context) ([]Holder, error)

// Book knows every seat that is taken.
type Book struct {
	members    Members
	namespaces Namespaces
	lists      []List
	// turn holds one token; whoever has it may create.
	turn chan struct{}
}

// NewBook returns a Book without any list of holders.
func NewBook(members Members, namespaces Namespaces) (*Book, error) {
	if members == nil || namespaces == nil {
		return nil, errors.New("a book of seats needs members and namespaces")
	}
	return &Book{members: members, namespaces: namespaces, turn: make(chan struct{}, 1)}, nil
}

// Add makes the book know the holders of one kind. It must be called before any other
// method.
func (b *Book) Add(list List) { b.lists = append(b.lists, list) }

// InTurn calls create while no other create of this book runs. It returns the error of
// ctx if that ends first.
func (b *Book) InTurn(ctx context.Context, create func() error) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	return create()
}

// Validate refuses a new holder whose seat is taken, or whose member belongs to another
// tenant. It returns an error if it cannot tell.
func (b *Book) Validate(ctx context.Context, holder Holder) (field.ErrorList, error) {
	foreign, err := b.sameTenant(ctx, holder)
	if err != nil {
		return nil, err
	}
	taken, err := b.free(ctx, holder)
	if err != nil {
		return nil, err
	}
	return append(foreign, taken...), nil
}

// Warnings tells about a member that does not exist.
func (b *Book) Warnings(ctx context.Context, holder Holder) []string {
	_, err := b.members.MemberLabels(ctx, holder.Seat.Member)
	if !apierrors.IsNotFound(err) {
		return nil
	}
	return []string{fmt.Sprintf("spec.clusterName: there is no KubeFedCluster %q yet; the %s is not ready until there is one",
		holder.Seat.Member, holder.Kind)}
}

// free refuses a seat that another holder has.
func (b *Book) free(ctx context.Context, holder Holder) (field.ErrorList, error) {
	for _, list := range b.lists {
		holders, err := list(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the namespaces of members that are taken: %w", err)
		}
		for _, other := range holders {
			same := other.Kind == holder.Kind && other.Namespace == holder.Namespace && other.Name == holder.Name
			if !same && other.Seat == holder.Seat {
				return field.ErrorList{field.Invalid(field.NewPath("spec", "memberNamespace"), holder.Seat.Namespace, fmt.Sprintf(
					"%s has this namespace of member %q already; set another one", other, holder.Seat.Member))}, nil
			}
		}
	}
	return nil, nil
}

// sameTenant refuses a member that belongs to a tenant or workspace group, unless the
// holder's namespace is of the same. A member without such labels is open to everybody,
// and one that does not exist is nobody's. The controller of cells has the same rule. For
// a namespace that does not exist there is a better error later.
func (b *Book) sameTenant(ctx context.Context, holder Holder) (field.ErrorList, error) {
	namespace, err := b.namespaces.NamespaceLabels(ctx, holder.Namespace)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the labels of namespace %q: %w", holder.Namespace, err)
	}
	member, err := b.members.MemberLabels(ctx, holder.Seat.Member)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read the labels of member %q: %w", holder.Seat.Member, err)
	}
	if member[federationv1alpha1.TenantLabel] == "" && member[federationv1alpha1.WorkspaceGroupLabel] == "" {
		return nil, nil
	}
	for _, label := range []string{federationv1alpha1.TenantLabel, federationv1alpha1.WorkspaceGroupLabel} {
		if ours, theirs := namespace[label], member[label]; ours != theirs {
			return field.ErrorList{field.Invalid(field.NewPath("spec", "clusterName"), holder.Seat.Member, fmt.Sprintf(
				"the member has %s, and namespace %q has %s; both must be the same", labelled(label, theirs), holder.Namespace, orNone(ours)))}, nil
		}
	}
	return nil, nil
}

func labelled(label, value string) string {
	if value == "" {
		return "no label " + label
	}
	return "the label " + label + "=" + value
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// NewHolder returns the holder that an object is.
func NewHolder(kind string, object metav1.Object, seat validation.Seat) Holder {
	return Holder{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(), Seat: seat}
}
