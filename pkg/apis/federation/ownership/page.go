package ownership

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// NewPage returns an empty page for a name of a namespace.
func NewPage(namespace string) *v1alpha1.MemberNamespace {
	return &v1alpha1.MemberNamespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
}

// OwnerOn returns the owner that an entry of a page names.
func OwnerOn(entry *v1alpha1.MemberNamespaceOwner) Owner {
	return Owner{Kind: entry.Kind, Namespace: entry.Namespace, Name: entry.Name}
}

// Holders returns the owner in each member. The page may be nil: it holds nobody then.
func Holders(page *v1alpha1.MemberNamespace) map[string]Owner {
	holders := map[string]Owner{}
	if page == nil {
		return holders
	}
	for i := range page.Spec.Owners {
		for _, member := range page.Spec.Owners[i].Members {
			holders[member] = OwnerOn(&page.Spec.Owners[i])
		}
	}
	return holders
}

// Holder returns the owner in one member, without a look at all the others: members are
// sorted on a page that was stored. The page may be nil.
func Holder(page *v1alpha1.MemberNamespace, member string) (owner Owner, held bool) {
	if page == nil {
		return Owner{}, false
	}
	for i := range page.Spec.Owners {
		if _, found := slices.BinarySearch(page.Spec.Owners[i].Members, member); found {
			return OwnerOn(&page.Spec.Owners[i]), true
		}
	}
	return Owner{}, false
}

// Other returns an owner on the page, in any member, that is not owner. It is how a default
// name turns out to be ambiguous: see DefaultMemberNamespace.
func Other(page *v1alpha1.MemberNamespace, owner Owner) (Owner, bool) {
	if page == nil {
		return Owner{}, false
	}
	for i := range page.Spec.Owners {
		if other := OwnerOn(&page.Spec.Owners[i]); other != owner {
			return other, true
		}
	}
	return Owner{}, false
}

// Free returns those of members that are nobody's, and the owners of those that are somebody
// else's than owner, nil if there are none. holder says who has a member's namespace.
func Free(holder func(member string) (Owner, bool), owner Owner, members []string) (free []string, taken map[string]Owner) {
	for _, member := range members {
		switch other, held := holder(member); {
		case !held:
			free = append(free, member)
		case other != owner:
			if taken == nil {
				taken = map[string]Owner{}
			}
			taken[member] = other
		}
	}
	return free, taken
}

// Claim makes owner the owner in those of members that are nobody's. It returns the owners
// of the others, nil if there are none, and whether the page has changed.
func Claim(page *v1alpha1.MemberNamespace, owner Owner, members []string, now metav1.Time) (taken map[string]Owner, changed bool) {
	holders := Holders(page)
	free, taken := Free(func(member string) (Owner, bool) { holder, held := holders[member]; return holder, held }, owner, members)
	if len(free) == 0 {
		return taken, false
	}
	entry := entryOf(page, owner)
	entry.Members = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(entry.Members), free...))))
	entry.ClaimTime = now
	return taken, true
}

// Renew notes that the owner's claims are wanted now: whoever read the page before cannot
// store a release. It does nothing for an owner that is not on the page.
func Renew(page *v1alpha1.MemberNamespace, owner Owner, now metav1.Time) {
	if i := indexOf(page, owner); i >= 0 {
		page.Spec.Owners[i].ClaimTime = now
	}
}

// Release takes owner's claims in members from the page, and reports whether there were
// any.
func Release(page *v1alpha1.MemberNamespace, owner Owner, members ...string) bool {
	i := indexOf(page, owner)
	if i < 0 {
		return false
	}
	entry := &page.Spec.Owners[i]
	released := sets.New(members...)
	kept := slices.DeleteFunc(slices.Clone(entry.Members), released.Has)
	if len(kept) == len(entry.Members) {
		return false
	}
	if len(kept) == 0 {
		page.Spec.Owners = slices.Delete(page.Spec.Owners, i, i+1)
	} else {
		entry.Members = kept
	}
	return true
}

func indexOf(page *v1alpha1.MemberNamespace, owner Owner) int {
	return slices.IndexFunc(page.Spec.Owners, func(e v1alpha1.MemberNamespaceOwner) bool { return OwnerOn(&e) == owner })
}

func entryOf(page *v1alpha1.MemberNamespace, owner Owner) *v1alpha1.MemberNamespaceOwner {
	i := indexOf(page, owner)
	if i < 0 {
		i = len(page.Spec.Owners)
		page.Spec.Owners = append(page.Spec.Owners, v1alpha1.MemberNamespaceOwner{Kind: owner.Kind, Namespace: owner.Namespace, Name: owner.Name})
	}
	return &page.Spec.Owners[i]
}
