// Package book is the controllers' hand in the book of who owns which namespace of which
// member: it reads pages from a cache, claims, and collects claims that have ended. The rule
// is in package ownership.
//
// What a Book shows is what was stored a moment ago, or what it has stored itself. That is
// enough to refuse; and before anything is written in a member, the marks on the namespace
// there are looked at too (memberclient.Conn.Hold), so that a page which is out of date
// cannot give a namespace to two owners.
//
// Everything may be called concurrently.
package book

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/lru"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	clientv1alpha1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/federation/v1alpha1"
)

// freshness is how long the watch may be behind our own writes.
const freshness = time.Minute

// races is how often a write is tried again when somebody else writes the same page.
var races = wait.Backoff{Steps: 10, Duration: 5 * time.Millisecond, Factor: 2, Jitter: 0.5, Cap: time.Second}

// Book reads and writes pages.
type Book struct {
	client clientv1alpha1.MemberNamespaceInterface
	cache  cache.Store

	mu sync.Mutex
	// written are pages as we stored them, until the cache shows them. Guarded by mu.
	// client-go's MutationCache is of no use here: it forgets what the cache does not have
	// yet when it is read first.
	written map[string]written
	turns   map[string]*turn // by page; guarded by mu
	// holders of pages with many owners, by page. It has a lock of its own.
	holders *lru.Cache
}

type written struct {
	page *v1alpha1.MemberNamespace
	at   time.Time
}

const (
	// manyOwners is how many owners on a page are worth an index.
	manyOwners = 16
	// manyPages is for how many such pages an index is kept.
	manyPages = 1024
)

// holders is who has the namespaces of a page.
type holders struct {
	page     *v1alpha1.MemberNamespace
	byMember map[string]ownership.Owner
}

// turn lets one goroutine at a time write a page: the others find what it wrote.
type turn struct {
	sync.Mutex
	waiting int // guarded by Book.mu
}

// New returns a Book over the store of an informer of MemberNamespaces, which must be
// synced before anything is asked.
func New(client clientv1alpha1.MemberNamespaceInterface, store cache.Store) (*Book, error) {
	if client == nil || store == nil {
		return nil, errors.New("a book needs a client and a cache of its pages")
	}
	return &Book{
		client:  client,
		cache:   store,
		written: map[string]written{},
		turns:   map[string]*turn{},
		holders: lru.New(manyPages),
	}, nil
}

// page returns a page that must not be changed, nil if there is none.
func (b *Book) page(namespace string) *v1alpha1.MemberNamespace {
	b.mu.Lock()
	defer b.mu.Unlock()
	var shown *v1alpha1.MemberNamespace
	if object, ok, _ := b.cache.GetByKey(namespace); ok {
		shown = object.(*v1alpha1.MemberNamespace)
	}
	ours, ok := b.written[namespace]
	if !ok {
		return shown
	}
	if time.Since(ours.at) > freshness || !newer(ours.page, shown) {
		delete(b.written, namespace)
		return shown
	}
	return ours.page
}

// newer reports whether one is a later version of a page than other, which may be nil.
func newer(one, other *v1alpha1.MemberNamespace) bool {
	if other == nil {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(one.ResourceVersion, other.ResourceVersion)
	return err == nil && order > 0
}

// remember keeps a page that was stored, or read past the cache.
func (b *Book) remember(page *v1alpha1.MemberNamespace) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ours, ok := b.written[page.Name]; !ok || newer(page, ours.page) {
		b.written[page.Name] = written{page, time.Now()}
	}
}

func (b *Book) forget(namespace string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.written, namespace)
}

// Holder returns the owner of the namespace of that name in a member.
func (b *Book) Holder(namespace, member string) (owner ownership.Owner, held bool) {
	return b.holderOn(b.page(namespace))(member)
}

// holderOn returns who has a member's namespace on a page, which may be nil. Cells of many
// members may name the same namespace, and each of them is asked for at every sync: a page with
// many owners is read once for all.
func (b *Book) holderOn(page *v1alpha1.MemberNamespace) func(member string) (ownership.Owner, bool) {
	if page == nil || len(page.Spec.Owners) < manyOwners {
		return func(member string) (ownership.Owner, bool) { return ownership.Holder(page, member) }
	}
	known, ok := b.holders.Get(page.Name)
	index, _ := known.(holders)
	if !ok || index.page != page {
		index = holders{page, ownership.Holders(page)}
		b.holders.Add(page.Name, index)
	}
	return func(member string) (ownership.Owner, bool) {
		owner, held := index.byMember[member]
		return owner, held
	}
}

// Claim makes owner the owner of the namespaces of that name in those of members where
// nobody is, with one write for all of them and none if it has them already. It returns who
// has the others.
func (b *Book) Claim(ctx context.Context, owner ownership.Owner, namespace string, members []string) (taken map[string]ownership.Owner, err error) {
	if free, taken := ownership.Free(b.holderOn(b.page(namespace)), owner, members); len(free) == 0 {
		return taken, nil
	}
	defer b.take(namespace)()
	page := b.page(namespace)
	err = retry.OnError(races, isRace, func() error {
		changed := page.DeepCopy()
		if changed == nil {
			changed = ownership.NewPage(namespace)
		}
		var wanted bool
		if taken, wanted = ownership.Claim(changed, owner, members, metav1.Now()); !wanted {
			return nil
		}
		err := b.write(ctx, changed)
		if isRace(err) {
			if page, err = b.stored(ctx, namespace); err == nil {
				return errRace
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim namespace %q of %d members for %s: %w", namespace, len(members), owner, err)
	}
	return taken, nil
}

// claim is what an owner has on a page.
type claim struct {
	owner   ownership.Owner
	members []string
}

// release takes claims from the page in one write, if it is still as it was looked at. A page
// that holds nobody is deleted.
func (b *Book) release(ctx context.Context, page *v1alpha1.MemberNamespace, claims []claim) error {
	defer b.take(page.Name)()
	changed := page.DeepCopy()
	wanted := false
	for _, c := range claims {
		wanted = ownership.Release(changed, c.owner, c.members...) || wanted
	}
	if !wanted {
		return nil
	}
	if err := b.write(ctx, changed); err != nil {
		return fmt.Errorf("release namespace %q for %d owners, %s first: %w", page.Name, len(claims), claims[0].owner, err)
	}
	if len(changed.Spec.Owners) > 0 {
		return nil
	}
	// The cache has the empty page by now: it does not show the old one again.
	written := b.page(page.Name)
	if written == nil || len(written.Spec.Owners) > 0 {
		return nil
	}
	err := b.client.Delete(ctx, page.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &written.UID, ResourceVersion: &written.ResourceVersion}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// write stores a page, if nobody has since it was read.
func (b *Book) write(ctx context.Context, page *v1alpha1.MemberNamespace) (err error) {
	var stored *v1alpha1.MemberNamespace
	if page.ResourceVersion == "" {
		stored, err = b.client.Create(ctx, page, metav1.CreateOptions{})
	} else {
		stored, err = b.client.Update(ctx, page, metav1.UpdateOptions{})
	}
	if err != nil {
		return err
	}
	b.remember(stored)
	return nil
}

// stored reads a page past the cache, nil if there is none.
func (b *Book) stored(ctx context.Context, namespace string) (*v1alpha1.MemberNamespace, error) {
	page, err := b.client.Get(ctx, namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		b.forget(namespace)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b.remember(page)
	return page, nil
}

// errRace says that a page was written by somebody else, and was read again.
var errRace = errors.New("somebody else wrote the page")

func isRace(err error) bool {
	return errors.Is(err, errRace) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// take waits for the turn to write a page, and returns what gives it back.
func (b *Book) take(namespace string) (giveBack func()) {
	b.mu.Lock()
	t := b.turns[namespace]
	if t == nil {
		t = &turn{}
		b.turns[namespace] = t
	}
	t.waiting++
	b.mu.Unlock()
	t.Lock()
	return func() {
		t.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(b.turns, namespace)
		}
	}
}
