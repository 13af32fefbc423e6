// Package seats keeps what cells and edge units have in common: each of them takes one
// seat, a namespace of a member, and nobody else may own it: no other of them, and no
// namespace of the host of that name.
//
// A Book looks after that with the pages of MemberNamespaces (package ownership has the
// rule). An object is created in this order: its seat is looked at, so that most refusals
// come early; admission plugins and webhooks have their say; the seat is claimed, which is
// one conditional write of one page; the object is stored. Nothing is held meanwhile, so a
// slow webhook holds up nobody else, and of many servers on one store one gets the seat. A
// server that is killed after the claim leaves a claim without an object: the same object
// may be created again, and the controllers collect the claim if it is not.
//
// A Book also refuses members of other tenants and namespaces that belong to the member
// itself, and warns of members that do not exist. Everything may be called concurrently.
package seats

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/stranding"
)

// Members answers what a member is. The error for one that does not exist is one that
// apierrors.IsNotFound knows.
type Members interface {
	Member(ctx context.Context, name string) (*corev1beta1.KubeFedCluster, error)
}

// Namespaces answers which labels a namespace of the host has. The error for a namespace
// that does not exist is one that apierrors.IsNotFound knows.
type Namespaces interface {
	NamespaceLabels(ctx context.Context, name string) (map[string]string, error)
}

// Pages are the pages of the book, by the name of a namespace.
type Pages interface {
	// Get returns the page as it is now, for the caller to change, or a NotFound.
	Get(ctx context.Context, name string) (*v1alpha1.MemberNamespace, error)
	// Create returns an AlreadyExists if there is such a page.
	Create(ctx context.Context, page *v1alpha1.MemberNamespace) error
	// Update returns a Conflict if the page changed since it was read, or a NotFound.
	Update(ctx context.Context, page *v1alpha1.MemberNamespace) error
}

// Holder is a cell or an edge unit, and its seat.
type Holder struct {
	ownership.Owner
	// Labels of the object, and when it was created.
	Labels  map[string]string
	Created time.Time
	// Seat that it takes.
	Seat validation.Seat
	// Stored: the object exists, so that its name is not up for choice.
	Stored bool
}

// NewHolder returns the holder that an object is; topologyType says whether it is a cell
// or an edge unit.
func NewHolder(topologyType string, object metav1.Object, seat validation.Seat) Holder {
	return Holder{
		Owner:   ownership.UnitOwner(topologyType, object.GetNamespace(), object.GetName()),
		Labels:  object.GetLabels(),
		Created: object.GetCreationTimestamp().Time,
		Seat:    seat,
	}
}

// word is what people call the holder's kind.
func (h Holder) word() string {
	if h.Kind == v1alpha1.OwnerEdgeUnit {
		return "edge unit"
	}
	return "cell"
}

// hasDefault reports whether the seat is the one that follows from the holder's name.
func (h Holder) hasDefault() bool {
	return h.Seat.Namespace == ownership.DefaultMemberNamespace(h.Namespace, h.Name)
}

// Book says who may have which seat.
type Book struct {
	members    Members
	namespaces Namespaces
	pages      Pages
	lists      []List
	stranding  *stranding.Guard
	// settled holds whether Settle has succeeded, and is empty while it runs.
	settled chan bool
}

// NewBook returns a Book over the given pages.
func NewBook(members Members, namespaces Namespaces, pages Pages) (*Book, error) {
	if members == nil || namespaces == nil || pages == nil {
		return nil, errors.New("a book of seats needs members, namespaces and pages")
	}
	b := &Book{members: members, namespaces: namespaces, pages: pages, settled: make(chan bool, 1)}
	b.settled <- false
	return b, nil
}

// Add makes the book know the holders of one kind. It must be called before any other
// method.
func (b *Book) Add(list List) { b.lists = append(b.lists, list) }

// RefuseStranding makes the book refuse changes of holders' tenants that the guard refuses. It must be
// called before any other method.
func (b *Book) RefuseStranding(guard *stranding.Guard) { b.stranding = guard }

// Validate refuses a new holder that may not have its seat. It returns an error if it
// cannot tell. It claims nothing.
func (b *Book) Validate(ctx context.Context, holder Holder) (field.ErrorList, error) {
	for _, check := range []func(context.Context, Holder) (field.ErrorList, error){b.inMember, b.free, b.nobodyElsesByName} {
		if errs, err := check(ctx, holder); err != nil || len(errs) > 0 {
			return errs, err
		}
	}
	return nil, nil
}

// Warnings tells about a member that does not exist.
func (b *Book) Warnings(ctx context.Context, holder Holder) []string {
	_, err := b.members.Member(ctx, holder.Seat.Member)
	if !apierrors.IsNotFound(err) {
		return nil
	}
	return []string{fmt.Sprintf("spec.clusterName: there is no KubeFedCluster %q yet; the %s is not ready until there is one",
		holder.Seat.Member, holder.word())}
}

// inMember refuses a member of another tenant, and a namespace that is the member's own.
// One that does not exist is nobody's; the controller of cells has the same rules, and asks
// again when it appears.
func (b *Book) inMember(ctx context.Context, holder Holder) (field.ErrorList, error) {
	labels, err := b.namespaces.NamespaceLabels(ctx, holder.Namespace)
	if apierrors.IsNotFound(err) {
		return nil, nil // there is a better error later
	}
	if err != nil {
		return nil, fmt.Errorf("read the labels of namespace %q: %w", holder.Namespace, err)
	}
	tenant := tenancy.Of(labels)
	if refusal := tenancy.UnitRefusal(holder.Namespace, tenant, holder.Labels); refusal != "" {
		return field.ErrorList{field.Invalid(field.NewPath("metadata", "labels"), holder.Labels, "the "+holder.word()+" "+refusal)}, nil
	}
	member, err := b.members.Member(ctx, holder.Seat.Member)
	if apierrors.IsNotFound(err) {
		member = &corev1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: holder.Seat.Member}}
	} else if err != nil {
		return nil, fmt.Errorf("read member %q: %w", holder.Seat.Member, err)
	} else if refusal := tenancy.Refusal(holder.Namespace, tenant, tenancy.Of(member.Labels), tenancy.Unit); refusal != "" {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "clusterName"), holder.Seat.Member, "the member "+refusal)}, nil
	}
	if refusal := ownership.SystemNamespacesOf(member).Refusal(holder.Seat.Namespace); refusal != "" {
		return refuseSeat(holder, refusal), nil
	}
	return nil, nil
}

// nobodyElsesByName refuses the name of another namespace of the host: its objects of
// topology cluster go to the namespaces of that name. One that appears later finds the
// claim.
func (b *Book) nobodyElsesByName(ctx context.Context, holder Holder) (field.ErrorList, error) {
	if holder.Seat.Namespace == holder.Namespace {
		return nil, nil
	}
	_, err := b.namespaces.NamespaceLabels(ctx, holder.Seat.Namespace)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for namespace %q: %w", holder.Seat.Namespace, err)
	}
	return refuseSeat(holder, fmt.Sprintf("the host has a namespace %q, whose objects go to the namespaces of that name: set another one", holder.Seat.Namespace)), nil
}

// free refuses a seat that somebody else owns, as far as it can be seen without a claim.
func (b *Book) free(ctx context.Context, holder Holder) (field.ErrorList, error) {
	page, err := b.page(ctx, holder)
	if err != nil {
		return nil, err
	}
	return taken(page, holder), nil
}

func (b *Book) page(ctx context.Context, holder Holder) (*v1alpha1.MemberNamespace, error) {
	page, err := b.pages.Get(ctx, holder.Seat.Namespace)
	if apierrors.IsNotFound(err) {
		return ownership.NewPage(holder.Seat.Namespace), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read who owns namespace %q in members: %w", holder.Seat.Namespace, err)
	}
	return page, nil
}

// taken refuses a seat that the page gives to somebody else, and a default that is the
// name of somebody else's namespace in another member: it was not chosen, so it is not
// meant to be the same.
func taken(page *v1alpha1.MemberNamespace, holder Holder) field.ErrorList {
	if owner, held := ownership.Holders(page)[holder.Seat.Member]; held {
		if owner == holder.Owner {
			return nil
		}
		return refuseSeat(holder, ownership.TakenBy(owner, holder.Seat.Namespace, holder.Seat.Member)+
			" (and does so after it is deleted, until nothing of it is left in the member): set another one")
	}
	if other, ok := ownership.Other(page, holder.Owner); ok && holder.hasDefault() && !holder.Stored {
		return refuseSeat(holder, fmt.Sprintf(
			"the default, <namespace>-<name>, is ambiguous: it is the name of namespaces of %s too; set another one", other))
	}
	return nil
}

func refuseSeat(holder Holder, message string) field.ErrorList {
	return field.ErrorList{field.Invalid(field.NewPath("spec", "memberNamespace"), holder.Seat.Namespace, message)}
}

// claims is how often a claim is tried again when others write the same page: each time,
// one of them has got what it wanted.
var claims = wait.Backoff{Steps: 20, Duration: 2 * time.Millisecond, Factor: 1.5, Jitter: 0.5, Cap: 200 * time.Millisecond}

// Claim takes the seat for the holder, or refuses. A seat that the holder has already is
// claimed anew, which keeps the collector of claims away from it.
func (b *Book) Claim(ctx context.Context, holder Holder) (refused field.ErrorList, err error) {
	if err := b.Settle(ctx); err != nil {
		return nil, err
	}
	return b.claim(ctx, holder)
}

func (b *Book) claim(ctx context.Context, holder Holder) (refused field.ErrorList, err error) {
	err = retry.OnError(claims, isRace, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		refused, err = b.claimOnce(ctx, holder)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim namespace %q of member %q: %w", holder.Seat.Namespace, holder.Seat.Member, err)
	}
	return refused, nil
}

func (b *Book) claimOnce(ctx context.Context, holder Holder) (field.ErrorList, error) {
	page, err := b.page(ctx, holder)
	if err != nil {
		return nil, err
	}
	if refused := taken(page, holder); len(refused) > 0 {
		return refused, nil
	}
	now := metav1.Now()
	ownership.Claim(page, holder.Owner, []string{holder.Seat.Member}, now)
	ownership.Renew(page, holder.Owner, now)
	if page.ResourceVersion == "" {
		return nil, b.pages.Create(ctx, page)
	}
	return nil, b.pages.Update(ctx, page)
}

// isRace reports whether somebody else wrote the page meanwhile.
func isRace(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}
