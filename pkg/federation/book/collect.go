package book

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	clientv1beta1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	listersv1alpha1 "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// grace is how long a claim stays without its owner: the API server claims before it
	// stores an object, and a request lasts a minute at most.
	grace = 2 * time.Minute
	// resync is how often all pages are looked at: what is left in a member may have gone.
	resync = 5 * time.Minute
	// collectTimeout bounds the work on one page, and lookTimeout the part of it before the
	// first write.
	collectTimeout, lookTimeout = time.Minute, 30 * time.Second
	// together is how many owners are taken from a page in one write at most: the work that is
	// lost when somebody else writes it.
	together = 100
	// askTimeout bounds one question to a member. One that fails is not asked again before
	// askPause has passed: the others' claims wait for the answer.
	askTimeout, askPause = 5 * time.Second, resync
)

// Owners says which owners there are.
type Owners interface {
	// Known reports whether a cache shows the owner, and that it has this namespace of the
	// member.
	Known(owner ownership.Owner, namespace, member string) bool
	// Exists asks the API the same.
	Exists(ctx context.Context, owner ownership.Owner, namespace, member string) (bool, error)
}

// CollectorConfig is what a Collector works with.
type CollectorConfig struct {
	Book   *Book
	Pages  listersv1alpha1.MemberNamespaceLister
	Owners Owners
	// Members are those that are connected, Clusters all that there are.
	Members interface {
		Get(name string) (membership.Member, bool)
	}
	Clusters clientv1beta1.KubeFedClusterInterface
	// Federation is what this one is called on namespaces of members.
	Federation string
	// Written reports whether any federated object has a record in the namespace.
	Written func(member, namespace string) bool
}

// Collector takes claims from the book that have ended: their owner is gone, and nothing of
// it is left in the member. What cannot be known is not taken for gone.
type Collector struct {
	CollectorConfig
	queue workqueue.TypedRateLimitingInterface[string]
	// failed is when members last failed to answer. Only the one worker uses it.
	failed map[string]time.Time
}

// NewCollector returns a Collector that does nothing before Run.
func NewCollector(config CollectorConfig) (*Collector, error) {
	if config.Book == nil || config.Pages == nil || config.Owners == nil || config.Members == nil || config.Clusters == nil || config.Federation == "" || config.Written == nil {
		return nil, errors.New("book: every field of CollectorConfig must be set")
	}
	return &Collector{
		CollectorConfig: config,
		failed:          map[string]time.Time{},
		queue:           reconcile.NewQueue[string]("member-namespaces", time.Second, resync),
	}, nil
}

// Enqueue has a page looked at: an owner on it may be gone. The queue holds each page once.
func (c *Collector) Enqueue(namespace string) { c.queue.Add(namespace) }

// Run collects until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	var working sync.WaitGroup
	working.Go(func() { c.work().Run(ctx, 1) }) // ends with ctx
	// Not at once: what is recorded in members is known when every object was synced.
	_ = wait.PollUntilContextCancel(ctx, resync, false, func(context.Context) (bool, error) { // it fails with ctx
		c.enqueueAll()
		return false, nil
	})
	working.Wait()
	return nil
}

func (c *Collector) enqueueAll() {
	pages, err := c.Pages.List(labels.Everything())
	if err != nil {
		return // listers fail only for want of an index
	}
	for _, page := range pages {
		c.queue.Add(page.Name)
	}
}

func (c *Collector) work() reconcile.Work[string] {
	return reconcile.Work[string]{Queue: c.queue, Do: c.collect, Timeout: collectTimeout, Failed: "Failed to look for claims that have ended"}
}

// collect looks at one page.
func (c *Collector) collect(ctx context.Context, name string) error {
	page := c.Book.page(name)
	if page == nil {
		return nil
	}
	claims, err := c.endedOn(ctx, page)
	// It took a while: an owner may have come back.
	claims = slices.DeleteFunc(claims, func(ended claim) bool {
		return slices.ContainsFunc(ended.members, func(member string) bool { return c.Owners.Known(ended.owner, name, member) })
	})
	if len(claims) == 0 {
		return err
	}
	if releaseErr := c.Book.release(ctx, page, claims); releaseErr != nil {
		return releaseErr // what could not be found out about others is tried again, too
	}
	for _, claim := range claims {
		klog.FromContext(ctx).V(2).Info("Released namespaces of members", "namespace", name, "owner", claim.owner.String(), "members", claim.members)
	}
	c.queue.Add(name) // the page is another one now
	return nil
}

// endedOn returns claims on a page that have ended: all of them, if they are few. What it
// could not find out about the others is in the error.
func (c *Collector) endedOn(ctx context.Context, page *v1alpha1.MemberNamespace) (claims []claim, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var errs []error
	for i := range page.Spec.Owners {
		if len(claims) == together || ctx.Err() != nil {
			break
		}
		entry := &page.Spec.Owners[i]
		owner := ownership.OwnerOn(entry)
		members, err := c.ended(ctx, page.Name, owner, entry)
		if len(members) > 0 {
			claims = append(claims, claim{owner, members})
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil || ctx.Err() == nil {
		return claims, err
	}
	return claims, fmt.Errorf("look at all claims on page %q: %w", page.Name, reconcile.ErrNotYet)
}

// ended returns the members in which the owner's claim has ended. What it could not find
// out about the others is in the error.
func (c *Collector) ended(ctx context.Context, name string, owner ownership.Owner, entry *v1alpha1.MemberNamespaceOwner) (ended []string, err error) {
	without, err := c.withoutOwner(ctx, name, owner, entry.Members)
	if err != nil || len(without) == 0 {
		return nil, err
	}
	if wait := time.Until(entry.ClaimTime.Add(grace)); wait > 0 {
		c.queue.AddAfter(name, wait)
		return nil, nil
	}
	var errs []error
	for _, member := range without {
		if c.Written(member, name) {
			continue
		}
		left, err := c.left(ctx, name, owner, member)
		if err == nil && !left {
			ended = append(ended, member)
		}
		errs = append(errs, err)
	}
	return ended, errors.Join(errs...)
}

// withoutOwner returns those of members in which the owner is not. A namespace of the host
// is there for all members or for none.
func (c *Collector) withoutOwner(ctx context.Context, name string, owner ownership.Owner, members []string) (without []string, err error) {
	asked := members
	if owner.Kind == v1alpha1.OwnerNamespace {
		asked = members[:1]
	}
	for _, member := range asked {
		exists := c.Owners.Known(owner, name, member)
		if !exists { // a cache is not enough to say so
			if exists, err = c.Owners.Exists(ctx, owner, name, member); err != nil {
				return nil, fmt.Errorf("look for %s: %w", owner, err)
			}
		}
		if !exists {
			without = append(without, member)
		}
	}
	if len(without) > 0 && owner.Kind == v1alpha1.OwnerNamespace {
		return members, nil
	}
	return without, nil
}

// left reports whether anything of the owner is, or may be, left in the member. A member
// that has left the federation cannot be asked; should it come back, the marks on its
// namespaces still say whose they are.
func (c *Collector) left(ctx context.Context, name string, owner ownership.Owner, member string) (bool, error) {
	joined, ok := c.Members.Get(member)
	if !ok {
		_, err := c.Clusters.Get(ctx, member, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return true, err
	}
	if joined.Conn == nil || joined.Health != membership.Ready {
		return true, nil
	}
	if time.Since(c.failed[member]) < askPause {
		return true, nil // it is looked at with all pages later on
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	namespace, err := joined.Conn.Namespace(ctx, name)
	if err != nil {
		c.failed[member] = time.Now()
		klog.FromContext(ctx).V(2).Info("Asked a member in vain what is left of a claim", "namespace", name, "member", member, "problem", memberclient.Problem(err))
		return true, nil // it is looked at with all pages later on
	}
	delete(c.failed, member)
	if namespace == nil {
		return false, nil
	}
	marked, _ := ownership.Marked(namespace.Annotations, c.Federation, owner)
	return marked, nil
}
