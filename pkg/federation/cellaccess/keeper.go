package cellaccess

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/status"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// callTimeout bounds what is done for one cell at once.
	callTimeout = 30 * time.Second
	// hostWorkers and memberWorkers are how many cells are worked on at a time; idleWorkers in the
	// host where our engine propagates and nobody waits. One is never worked on twice at once in the
	// same place. A member is asked about one cell at a time, and may take its time.
	hostWorkers, memberWorkers, idleWorkers = 4, 32, 1
	// minRetry and maxRetry bound the pause after what failed.
	minRetry, maxRetry = 200 * time.Millisecond, 2 * time.Minute
	// checkEvery is how often roles and rights are compared with what they should be, and up to as
	// much later.
	checkEvery = time.Hour
	// freshness is how long the caches may be behind our own writes.
	freshness = 10 * time.Second
	// maxMessageBytes bounds what a condition quotes.
	maxMessageBytes = v1beta2.MaxMessageBytes
)

// cellName names a cell by its namespace and name.
type cellName = cache.ObjectName

// Cell is a cell of whose account something is wanted.
type Cell struct {
	cellName
	Member, MemberNamespace string
	// Secret is what its KubeFedCluster names now; empty if there is none, or it names none of ours.
	Secret string
	// Granted: its condition says that the account has its rights in the member.
	Granted bool
}

// Named returns a Cell of that name.
func Named(namespace, name string) Cell {
	return Cell{cellName: cellName{Namespace: namespace, Name: name}}
}

func (c Cell) owner() ownership.Owner {
	return ownership.UnitOwner(v1beta2.TopologyCell, c.Namespace, c.Name)
}

func (c Cell) isIn(other Cell) bool {
	return c.Member == other.Member && c.MemberNamespace == other.MemberNamespace
}

// Access is how a cell is reached by who knows its KubeFedCluster.
type Access struct {
	// Spec of the KubeFedCluster.
	Spec v1beta1.KubeFedClusterSpec
	// Usable: the credential that it names is there, and has its rights in the member.
	Usable bool
	// Refused: it is known that it has not, and will not before somebody changes something.
	Refused bool
	// Condition of the cell; nil if it stays as it is.
	Condition *metav1.Condition
}

// Endpoint is where clients reach the server that has the endpoints of cells.
type Endpoint struct {
	// URL of the server. What follows in the path is a cell's.
	URL string
	// Authority returns the authorities, in PEM, that the server's certificate is checked against;
	// nothing for those of the client's system. It is asked again every minute.
	Authority func() ([]byte, error)
}

// Members are those that cells lie in.
type Members interface {
	// Get returns a member by the name of its KubeFedCluster.
	Get(name string) (membership.Member, bool)
}

// Holders are the book of who owns which namespace of which member.
type Holders interface {
	Holder(namespace, member string) (owner ownership.Owner, held bool)
}

// Cells tell which there are.
type Cells interface {
	// Known reads a cache, and Exists asks the API.
	Known(namespace, name string) bool
	Exists(ctx context.Context, namespace, name string) (bool, error)
}

// Config is what a Keeper works with. Every field but OtherEngine is required, and the caches behind
// the listers must be synced before Run; Of and Drop may be called earlier.
type Config struct {
	SystemNamespace string
	Endpoint        Endpoint
	// Client is that of the host. ServiceAccounts and Secrets are those of the system namespace that
	// have AccountLabel.
	Client          kubernetes.Interface
	ServiceAccounts corev1listers.ServiceAccountNamespaceLister
	Secrets         corev1listers.SecretNamespaceLister
	Cells           Cells
	Members         Members
	Holders         Holders
	// Federation is what this one is called on namespaces of members.
	Federation string
	// OtherEngine says that somebody else propagates: see the package.
	OtherEngine bool
	// OnChange is called when Of or Drop says something else of a cell than before. It must not block.
	OnChange func(namespace, name string)
}

// account is that of one cell.
type account struct {
	cell Cell
	// secret is the one that the KubeFedCluster is to name; empty before it is known.
	secret string
	// begun: something may have been made for it.
	begun bool
	// complete: the credential is there. problem is why it is not, if somebody has to do something.
	complete bool
	problem  string
	// granted: it has its rights in the member; else refusal says why not, if that is known.
	granted bool
	refusal *refusal
	// leaving: everything of it is to be removed; left: it is.
	leaving, hostLeft, left bool
	// checkHost and checkMember are when to compare what is there.
	checkHost, checkMember time.Time

	// What only its host worker has: what was written, by name of a Secret, and when tokens are made.
	written map[string]written
	pace    *pace
}

func newAccount(cell Cell) *account {
	return &account{cell: cell, written: map[string]written{}, pace: &pace{}}
}

// refusal is why an account has no rights in its member.
type refusal struct{ reason, message string }

// written is a Secret as we wrote it, nil if we deleted the one of that UID.
type written struct {
	secret *corev1.Secret
	uid    types.UID
	at     time.Time
}

// Keeper keeps the accounts of cells.
type Keeper struct {
	Config
	authority     *Authority
	host, members workqueue.TypedRateLimitingInterface[cellName]
	gates         *gates

	mu sync.Mutex
	// accounts, and which one is whose by place. Guarded by mu, and so is what they hold, but for
	// what a worker has alone.
	accounts map[cellName]*account
	places   map[string]cellName
}

// New returns a Keeper that does nothing before Run.
func New(config Config) (*Keeper, error) {
	switch {
	case config.SystemNamespace == "", config.Endpoint.URL == "", config.Endpoint.Authority == nil, config.Client == nil, config.ServiceAccounts == nil,
		config.Secrets == nil, config.Cells == nil, config.Members == nil, config.Holders == nil, config.Federation == "", config.OnChange == nil:
		return nil, errors.New("cellaccess: every field of Config but OtherEngine must be set")
	}
	members := reconcile.NewQueue[cellName]("cell-rights", minRetry, maxRetry)
	return &Keeper{
		Config: config, authority: NewAuthority(config.Endpoint.Authority),
		host: reconcile.NewQueue[cellName]("cell-accounts", minRetry, maxRetry), members: members, gates: newGates(members.Add),
		accounts: map[cellName]*account{}, places: map[string]cellName{},
	}, nil
}

func place(member, namespace string) string { return member + "/" + namespace }

func (k *Keeper) endpoint(name cellName) string {
	return k.Endpoint.URL + federationv1alpha1.CellProxyPath(name.Namespace, name.Name)
}

// Of has the account of a cell kept, which may be where it is, and returns what is known of it.
func (k *Keeper) Of(cell Cell) Access {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.accounts[cell.cellName]
	if a == nil || a.leaving || !a.cell.isIn(cell) {
		// A condition that speaks of another place is that of a cell which is gone.
		made := newAccount(cell)
		made.granted, made.checkHost, made.checkMember = cell.Granted && a == nil, later(0, 2*checkEvery), later(0, 2*checkEvery)
		a = made
		for _, name := range accounts.SecretNames(cell.Namespace, cell.Name) {
			if cell.Secret == name {
				a.secret = name
			}
		}
		if before := k.accounts[cell.cellName]; before != nil && k.places[place(before.cell.Member, before.cell.MemberNamespace)] == cell.cellName {
			delete(k.places, place(before.cell.Member, before.cell.MemberNamespace)) // it has moved
		}
		k.accounts[cell.cellName] = a
		k.places[place(cell.Member, cell.MemberNamespace)] = cell.cellName
		k.host.Add(cell.cellName)
	}
	access := Access{
		Spec: v1beta1.KubeFedClusterSpec{
			APIEndpoint: k.endpoint(cell.cellName), CABundle: k.authority.PEM(),
			SecretRef: v1beta1.LocalSecretReference{Name: a.secret},
		},
		Usable:    a.complete && a.granted,
		Refused:   !a.granted && a.refusal != nil && a.refusal.reason != federationv1alpha1.ReasonMemberNotReached,
		Condition: a.condition(),
	}
	if a.secret == "" {
		access.Spec.SecretRef.Name = accounts.SecretNames(cell.Namespace, cell.Name)[0]
	}
	return access
}

// later is a time between two from now on.
func later(from, to time.Duration) time.Time {
	return time.Now().Add(from + rand.N(to-from))
}

// condition is nil as long as nothing is known.
func (a *account) condition() *metav1.Condition {
	c := &metav1.Condition{Type: federationv1alpha1.CellAccountReady, Status: metav1.ConditionFalse}
	switch {
	case a.problem != "":
		c.Reason, c.Message = federationv1alpha1.ReasonNoCredential, a.problem
	case a.refusal != nil:
		c.Reason, c.Message = a.refusal.reason, a.refusal.message
	case a.complete && a.granted:
		c.Status, c.Reason = metav1.ConditionTrue, federationv1alpha1.ReasonAccountReady
		c.Message = fmt.Sprintf("the account of the cell has a token, and its rights in namespace %q of member %q", a.cell.MemberNamespace, a.cell.Member)
	default:
		return nil
	}
	return c
}

// Drop has everything of a cell removed, and reports whether it is: from the host and, if the member
// answers now, from there. What stays in a member is of nobody: without its account and the
// endpoint it is not used, and who has the namespace next replaces it.
func (k *Keeper) Drop(cell Cell) (gone bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.accounts[cell.cellName]
	if a == nil || !a.begun && !a.leaving {
		// The service account is made first and removed last.
		if _, err := k.ServiceAccounts.Get(accounts.Name(cell.Namespace, cell.Name)); apierrors.IsNotFound(err) {
			delete(k.accounts, cell.cellName)
			return true
		}
	}
	if a == nil || !a.leaving {
		if a != nil {
			cell = a.cell
		}
		leaving := newAccount(cell)
		leaving.leaving = true
		k.accounts[cell.cellName] = leaving
		if at := place(cell.Member, cell.MemberNamespace); k.places[at] == cell.cellName {
			delete(k.places, at)
		}
		k.host.Add(cell.cellName)
		return false
	}
	return a.left
}

// Changed has a cell looked at again whose service account or Secret has changed, or is gone.
func (k *Keeper) Changed(object metav1.Object) {
	name := cellNameOf(object)
	if name.Name != "" {
		k.host.Add(name)
	}
}

func cellNameOf(object metav1.Object) cellName {
	l := object.GetLabels()
	return cache.NewObjectName(l[federationv1alpha1.TopologyNamespaceLabel], l[federationv1alpha1.TopologyNameLabel])
}

// NamespaceSeen says that a member has a namespace.
func (k *Keeper) NamespaceSeen(member, namespace string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := k.places[place(member, namespace)]
	if a := k.accounts[name]; a != nil && !a.granted {
		k.host.Add(name)
	}
}

// MemberChanged says that a member may answer now.
func (k *Keeper) MemberChanged(member string) {
	k.gates.open(member)
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, a := range k.accounts {
		if a.cell.Member == member && !a.granted {
			k.host.Add(name)
		}
	}
}

// Run keeps the accounts until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	k.enqueueOrphans()
	var working sync.WaitGroup
	inHost := idleWorkers
	if k.OtherEngine {
		inHost = hostWorkers
	}
	// All end with ctx.
	working.Go(func() {
		reconcile.Work[cellName]{Queue: k.host, Do: again(k.host, k.keepHost), Timeout: callTimeout, Failed: "Failed to keep the account of a cell"}.Run(ctx, inHost)
	})
	working.Go(func() {
		reconcile.Work[cellName]{Queue: k.members, Do: again(k.members, k.keepMember), Timeout: callTimeout,
			Failed: "Failed to keep the rights of a cell's account in its member"}.Run(ctx, memberWorkers)
	})
	working.Go(func() { k.authority.Follow(ctx, k.authorityChanged) })
	working.Wait()
	return nil
}

// enqueueOrphans finds what was made for cells that are gone by now.
func (k *Keeper) enqueueOrphans() {
	enqueue := func(object metav1.Object) {
		if name := cellNameOf(object); name.Name != "" && !k.Cells.Known(name.Namespace, name.Name) {
			k.host.Add(name)
		}
	}
	if list, err := k.ServiceAccounts.List(labels.Everything()); err == nil { // fails only for want of an index
		for _, object := range list {
			enqueue(object)
		}
	}
	if list, err := k.Secrets.List(labels.Everything()); err == nil {
		for _, object := range list {
			enqueue(object)
		}
	}
}

func (k *Keeper) authorityChanged() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, a := range k.accounts {
		if !a.leaving {
			k.host.Add(name)
			k.OnChange(name.Namespace, name.Name)
		}
	}
}

// again has a cell kept, and looked at again when that is due.
func again(queue workqueue.TypedRateLimitingInterface[cellName], keep func(context.Context, cellName) (time.Time, error)) func(context.Context, cellName) error {
	return func(ctx context.Context, name cellName) error {
		due, err := keep(ctx, name)
		if err == nil && !due.IsZero() {
			queue.AddAfter(name, max(time.Until(due), time.Second))
		}
		return err
	}
}

// current returns the account of a cell; nil if nobody has asked for it.
func (k *Keeper) current(name cellName) (a *account, leaving bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a = k.accounts[name]; a != nil {
		leaving = a.leaving
	}
	return a, leaving
}

// keepHost does what is to be done in the host for one cell.
func (k *Keeper) keepHost(ctx context.Context, name cellName) (again time.Time, err error) {
	a, leaving := k.current(name)
	switch {
	case a == nil:
		return again, k.removeOrphan(ctx, name)
	case leaving:
		return again, k.leaveHost(ctx, a)
	}
	k.mu.Lock()
	if k.accounts[name] != a {
		k.mu.Unlock()
		return again, nil // it is in the queue again
	}
	work := *a // but for what is its worker's alone
	k.mu.Unlock()
	if !k.wanted(&work) {
		return again, nil // NamespaceSeen tells
	}
	k.update(a, func() { a.begun = true })
	again, err = k.ensureHost(ctx, &work)
	problem := lasting(err)
	k.update(a, func() {
		a.secret = work.secret
		a.complete = a.complete || err == nil
		if err == nil || problem != "" {
			a.problem = problem
		}
		if k.checks(a, time.Now()) && err == nil {
			a.checkHost = later(checkEvery, 2*checkEvery)
		}
		if err == nil && (again.IsZero() || a.checkHost.Before(again)) {
			again = a.checkHost
		}
	})
	switch {
	case problem != "":
		klog.FromContext(ctx).V(2).Info("Failed to keep the account of a cell", "cell", klog.KRef(name.Namespace, name.Name), "problem", problem)
		if again.IsZero() {
			again = later(refusedPause, 2*refusedPause)
		}
		return again, nil
	case err == nil:
		k.members.Add(name)
	}
	return again, err
}

// wanted reports whether anything is to be made for an account: where our engine propagates nobody
// waits for it, and there is nothing to see with it before the namespace is there.
func (k *Keeper) wanted(a *account) bool {
	if k.OtherEngine || a.granted || a.begun {
		return true
	}
	if _, err := k.ServiceAccounts.Get(accounts.Name(a.cell.Namespace, a.cell.Name)); err == nil {
		return true
	}
	member, ok := k.Members.Get(a.cell.Member)
	if !ok || member.Conn == nil {
		return false
	}
	namespace, _, _ := member.Conn.Cached(namespaceResource, "", a.cell.MemberNamespace)
	return namespace != nil
}

// checks reports whether roles are to be compared.
func (k *Keeper) checks(a *account, now time.Time) bool { return !now.Before(a.checkHost) }

// lasting is a sentence for what somebody has to change, so that it is not tried again at once; empty
// if an error is something else.
func lasting(err error) string {
	var inTheWay errInTheWay
	var shortLived errShortLived
	if errors.As(err, &inTheWay) || errors.As(err, &shortLived) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err) {
		return "the account of the cell has no token: " + status.Cut(err.Error(), maxMessageBytes)
	}
	return ""
}

// update changes an account, and tells if that says something else.
func (k *Keeper) update(a *account, change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	said := func() string { return fmt.Sprint(a.secret, a.complete && a.granted, a.left, a.condition()) }
	before := said()
	change()
	if k.accounts[a.cell.cellName] == a && said() != before {
		k.OnChange(a.cell.Namespace, a.cell.Name)
	}
}

// removeOrphan removes what was made for a cell that is gone: the cache may be behind.
func (k *Keeper) removeOrphan(ctx context.Context, name cellName) error {
	if k.Cells.Known(name.Namespace, name.Name) {
		return nil // it is asked for, or let go, when it is looked at
	}
	exists, err := k.Cells.Exists(ctx, name.Namespace, name.Name)
	if err != nil {
		return fmt.Errorf("look for cell %s: %w", name, err)
	}
	if exists {
		return nil // its event comes
	}
	return k.removeHost(ctx, name)
}

func (k *Keeper) leaveHost(ctx context.Context, a *account) error {
	k.mu.Lock()
	done := a.hostLeft
	k.mu.Unlock()
	if done {
		k.forgetGone(a) // what comes after is the event of what was removed
		return nil
	}
	if err := k.removeHost(ctx, a.cell.cellName); err != nil {
		return err
	}
	k.update(a, func() { a.hostLeft = true })
	k.members.Add(a.cell.cellName)
	return nil
}

// forgetGone forgets the account of a cell that is there no more.
func (k *Keeper) forgetGone(a *account) {
	known := k.Cells.Known(a.cell.Namespace, a.cell.Name)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !known && a.left && k.accounts[a.cell.cellName] == a {
		delete(k.accounts, a.cell.cellName)
	}
}

// wrote and deleted note what the cache does not show yet.
func (a *account) wrote(name string, secret *corev1.Secret) {
	a.written[name] = written{secret: secret, uid: secret.UID, at: time.Now()}
}

func (a *account) deleted(secret *corev1.Secret) {
	a.written[secret.Name] = written{uid: secret.UID, at: time.Now()}
}

// newer returns what was written last, by us or by somebody else.
func (a *account) newer(name string, cached *corev1.Secret) *corev1.Secret {
	w, ok := a.written[name]
	if !ok {
		return cached
	}
	shows := false
	switch {
	case w.secret == nil:
		shows = cached == nil || cached.UID != w.uid
	case cached != nil:
		order, err := resourceversion.CompareResourceVersion(cached.ResourceVersion, w.secret.ResourceVersion)
		shows = err != nil || order >= 0
	}
	if shows || time.Since(w.at) > freshness {
		delete(a.written, name)
		return cached
	}
	return w.secret
}
