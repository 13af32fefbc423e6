package propagation

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
)

// The home of an object in a target is the namespace of the member that it is in, or that
// it is. Nothing is written, adopted or deleted there, nor read into a status, unless its
// owner in the book is the target's: see package ownership. The book is asked at every
// sync; the marks on the namespace in the member are looked at where a cache shows them,
// and by the executor before it acts.

// Book is who owns which namespace of which member; book.Book knows it.
type Book interface {
	// Holder returns the owner of the namespace of that name in a member.
	Holder(namespace, member string) (owner ownership.Owner, held bool)
	// Claim makes owner the owner of those that are nobody's, and returns who has the others.
	Claim(ctx context.Context, owner ownership.Owner, namespace string, members []string) (taken map[string]ownership.Owner, err error)
}

// namespaceResource is what a member's namespaces are cached as.
var namespaceResource = corev1.SchemeGroupVersion.WithResource("namespaces")

// home returns the namespace of the member that an object is in, or is; empty for objects
// that have none.
func (v *view) home(c placement.Candidate) string {
	return v.kind.ofReach().Home(v.object(), c)
}

// observeHome notes whether the tenant may use the member, and the object its home there. An
// object whose namespace is gone has no tenant: what is recorded was written by whoever had
// the namespace.
func (e *Engine) observeHome(v *view, t viewTarget, o *observation) {
	if !v.departed {
		o.memberRefusal = v.object().MemberRefusal(t.Candidate, o.member.Labels)
	}
	if o.home = v.home(t.Candidate); o.home == "" {
		o.claimed = true
		return
	}
	holder, held := e.Book.Holder(o.home, t.Member)
	switch refusal := o.member.System.Refusal(o.home); {
	case e.inOneNamespace() && o.home != e.SystemNamespace: // nobody watches it there
		o.homeRefusal = fmt.Sprintf("in the scope %s of the KubeFedConfig nothing is in any namespace of members but %q", v1beta1.NamespaceScoped, e.SystemNamespace)
	case refusal != "":
		o.homeRefusal = refusal
	case held && holder != t.Owner:
		o.homeRefusal = ownership.TakenBy(holder, o.home, t.Member)
	case !v.mayBeIn(o.home, t, held):
		o.homeRefusal = fmt.Sprintf("the record of the target names namespace %q of member %q, where it has no place", o.home, t.Member)
	case o.member.Conn != nil:
		o.homeRefusal, o.unmarked = e.marksOf(v, t, o)
	}
	o.claimed = held && o.homeRefusal == ""
}

// mayBeIn reports whether a target can have its object in a namespace of its member. A record
// says where to look, and may be anybody's word: what is known by it alone is believed only
// of the places that the target may have. held says that the book has the namespace for it.
func (v *view) mayBeIn(home string, t viewTarget, held bool) bool {
	switch {
	case !t.recorded || held:
		return true
	case t.Owner == ownership.NamespaceOwner(v.key.namespace):
		return home == v.key.namespace
	}
	return home == ownership.DefaultMemberNamespace(t.Owner.Namespace, t.Owner.Name)
}

// marksOf looks at the marks of a namespace, if the member's cache shows it: it does if we
// made it.
func (e *Engine) marksOf(v *view, t viewTarget, o *observation) (refusal string, unmarked bool) {
	namespace, _, _ := o.member.Conn.Cached(namespaceResource, "", o.home)
	if namespace == nil {
		return "", false
	}
	marked, refusal := ownership.Marked(namespace.Annotations, e.Federation, t.Owner)
	if refusal != "" {
		return fmt.Sprintf("namespace %q of member %q: %s", o.home, t.Member, refusal), false
	}
	return "", !marked && !v.kind.isNamespace() // the manifest of a namespace has the marks
}

// hold is what the home of an object must be before an executor acts there.
func (e *Engine) hold(v *view, owner ownership.Owner, home string) memberclient.Hold {
	hold := memberclient.HoldFor(home, e.Federation, owner).Managed()
	hold.LeaveUnmarked = v.kind.isNamespace()
	return hold
}

// refusedHome says that the marks of a namespace keep an executor from acting in it; nil if
// err is something else.
func (o observation) refusedHome(err error) *result {
	var foreign *memberclient.ForeignNamespaceError
	if !errors.As(err, &foreign) {
		return nil
	}
	refused := o.failed(v1beta2.TargetNamespaceForbidden, err.Error())
	switch o.intent {
	case remove:
		refused = o.unlessGivenUp(mayNotDelete + err.Error())
	case release:
		refused = o.unreleased(err.Error())
	}
	return &refused
}

// claim claims the homes of all targets in which something is, or is to be, and decides
// again if there were any that nobody had: in one write for all members. So what was placed
// before there was a book is claimed when it is looked at first.
func (e *Engine) claim(ctx context.Context, v *view, steps []step) ([]step, error) {
	type claim struct {
		home  string
		owner ownership.Owner
	}
	members := map[claim][]string{}
	for _, s := range steps {
		if s.observed.wantsHome(s.decision) {
			c := claim{s.observed.home, s.target.Owner}
			members[c] = append(members[c], s.target.Member)
		}
	}
	if len(members) == 0 {
		return steps, nil
	}
	call, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	for c := range members {
		if _, err := e.Book.Claim(call, c.owner, c.home, members[c]); err != nil {
			return nil, err
		}
	}
	return e.decideAll(ctx, v)
}

// wantsHome reports whether the home must be claimed before anything else is done.
func (o observation) wantsHome(d decision) bool {
	return !o.claimed && o.member != nil && o.memberRefusal == "" && o.homeRefusal == "" &&
		(d.action != nothing || o.record.Hash != "")
}
