package membership

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	clientv1beta1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/memberaccess"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// minRetry and maxRetry bound the pause after a member could not be set up.
	minRetry, maxRetry = 200 * time.Millisecond, time.Minute
	// statusTimeout bounds one write of a KubeFedCluster's status.
	statusTimeout = 10 * time.Second
	// workers is how many members are set up at a time. One is never set up twice at once: the
	// queue sees to that.
	workers = 8
)

// Member is one member at one moment. Its fields must not be modified.
type Member struct {
	Name string
	// UID of the KubeFedCluster: one that is made anew is another member.
	UID types.UID
	// Labels of the KubeFedCluster.
	Labels map[string]string
	// System are the namespaces that the member has for itself.
	System ownership.SystemNamespaces
	// Conn is nil if Health is Malformed for want of a usable configuration.
	Conn   *memberclient.Conn
	Health Health
	// Problem is a sentence on why the member is not ready.
	Problem string
}

// Config is what a Registry works with.
type Config struct {
	// Clusters, Secrets and Client are those of the system namespace. The listers'
	// caches must be synced before Run.
	Clusters listersv1beta1.KubeFedClusterNamespaceLister
	Secrets  corev1listers.SecretNamespaceLister
	Client   clientv1beta1.KubeFedClusterInterface
	// Dial opens connections to members; nil: the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Tunnel reaches members through their agents; nil: there is none.
	Tunnel memberaccess.Tunnel
	// Thresholds is asked before every check.
	Thresholds func() Thresholds
	// OnChange is called after a member came, went, or changed its labels, connection or
	// health: Get says by then what it is now. It must not block, and may be called for several
	// members at a time.
	OnChange func(member string)
	// OnEvent is called for events of the members' caches: see memberclient.NewConn.
	OnEvent func(member string, resource schema.GroupVersionResource, event memberclient.Event)
	// SecretClient writes tokens that were renewed into the Secrets of the system namespace; nil: nobody renews them.
	SecretClient SecretUpdater
	// Record writes Events about KubeFedClusters, and must not block; nil: nobody does.
	Record func(about *corev1.ObjectReference, happened ...events.Event)
}

// SecretUpdater writes Secrets.
type SecretUpdater interface {
	Update(ctx context.Context, secret *corev1.Secret, options metav1.UpdateOptions) (*corev1.Secret, error)
}

// Registry holds the members.
type Registry struct {
	Config
	// plainStatus is that conditions which KubeFed does not have are refused.
	plainStatus atomic.Bool
	queue       workqueue.TypedRateLimitingInterface[string]
	wg          sync.WaitGroup

	mu      sync.RWMutex
	members map[string]*member // guarded by mu, and so are the fields of member
}

type member struct {
	Member
	epoch  string
	secret string
	// account is the namespace of the join account, empty if it is not known.
	account string
	// until is when the client certificate expires; zero if there is none.
	until time.Time
	// endings are what else ends of the credential.
	endings []memberaccess.Ending
	// renewing is the token, if it is one that is renewed.
	renewing renewing
	// renewedAgain is when its renewal may be tried again. The connection that follows this one waits for it, too: a member may give tokens
	// that are due at once.
	renewedAgain time.Time
	// renewed is when a token that the member made in a renewal was first connected with; zero if none was. The connection that follows this one knows
	// it, too.
	renewed time.Time
	// issuerAhead is by how much the clock was ahead of ours that made the last token which the member gave; nil if it gave none. The
	// connection that follows this one knows it, too.
	issuerAhead *time.Duration
	judged      judgement
	// anew is that no check of this connection was written: what the first one finds is although it is the same, so that who
	// changed what it is made of sees that it was looked at. Whether that was changed before this process began to look nobody knows,
	// so that each member is written once then.
	anew bool
	// ctx ends with this epoch; stop ends it.
	ctx  context.Context
	stop context.CancelFunc
}

// New returns a Registry that does nothing before Run.
func New(config Config) (*Registry, error) {
	if config.Clusters == nil || config.Secrets == nil || config.Client == nil || config.Thresholds == nil || config.OnChange == nil || config.OnEvent == nil {
		return nil, errors.New("membership: every field of Config but Dial, Tunnel, SecretClient and Record must be set")
	}
	return &Registry{
		Config:  config,
		queue:   reconcile.NewQueue[string]("members", minRetry, maxRetry),
		members: map[string]*member{},
	}, nil
}

// Enqueue has a member looked at again: its KubeFedCluster changed. The queue holds each
// name once, so its bound is the number of members.
func (r *Registry) Enqueue(cluster string) { r.queue.Add(cluster) }

// EnqueueForSecret has every member looked at again that uses the Secret.
func (r *Registry) EnqueueForSecret(secret string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, m := range r.members {
		if m.secret == secret {
			r.queue.Add(name)
		}
	}
}

// Get returns a member by the name of its KubeFedCluster. One that is not there may not be
// set up yet: no KubeFedCluster, or one that is of a cell or an edge unit, says that there is
// no such member.
func (r *Registry) Get(name string) (Member, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, ok := r.members[name]
	if !ok {
		return Member{}, false
	}
	return m.Member, true
}

// List returns all members, sorted by name.
func (r *Registry) List() []Member {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]Member, 0, len(r.members))
	for _, name := range slices.Sorted(maps.Keys(r.members)) {
		list = append(list, r.members[name].Member)
	}
	return list
}

// Run keeps the members until ctx ends, and returns when all its goroutines have.
func (r *Registry) Run(ctx context.Context) error {
	clusters, err := r.Clusters.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	for _, cluster := range clusters {
		r.queue.Add(cluster.Name)
	}
	defer r.measure()()
	reconcile.Work[string]{Queue: r.queue, Do: r.reconcile, Failed: "Failed to set up member"}.Run(ctx, workers)
	r.wg.Wait()
	return nil
}

// reconcile makes the member what its KubeFedCluster and Secret say now.
func (r *Registry) reconcile(ctx context.Context, name string) error {
	cluster, err := r.Clusters.Get(name)
	if apierrors.IsNotFound(err) || (err == nil && cluster.Labels[federationv1alpha1.TopologyLabel] != "") {
		r.remove(name)
		return nil
	}
	if err != nil {
		return err
	}
	secret, err := r.Secrets.Get(cluster.Spec.SecretRef.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if apierrors.IsNotFound(err) {
		secret = nil
	}
	config, malformed := memberclient.Config(cluster, secret, time.Now())
	epoch, err := epochOf(cluster, secret, malformed)
	if err != nil {
		return err
	}
	r.mu.Lock()
	old := r.members[name]
	if old != nil && old.epoch == epoch {
		changed := !maps.Equal(old.Labels, cluster.Labels)
		old.Labels = cluster.Labels
		r.mu.Unlock()
		if changed {
			r.OnChange(name)
		}
		return nil
	}
	var renewedAgain, renewed time.Time
	var issuerAhead *time.Duration
	if old != nil {
		renewedAgain, renewed, issuerAhead = old.renewedAgain, old.renewed, old.issuerAhead
		if malformed == nil && old.renewing.made != "" && config.BearerToken == old.renewing.made {
			renewed = time.Now()
		}
	}
	r.mu.Unlock()

	created := &member{
		Member: Member{Name: name, UID: cluster.UID, Labels: cluster.Labels, System: ownership.SystemNamespacesOf(cluster)},
		epoch:  epoch,
		secret: cluster.Spec.SecretRef.Name,
		anew:   true,

		renewedAgain: renewedAgain, renewed: renewed, issuerAhead: issuerAhead,
	}
	created.ctx, created.stop = context.WithCancel(ctx)
	if malformed == nil {
		if dial := memberaccess.Dialer(cluster, config, r.Tunnel, r.Dial); dial != nil {
			memberaccess.DialWith(config, dial)
		}
		created.until, created.endings = memberaccess.ValidUntil(config), memberaccess.Endings(config)
		created.renewing.Renewal, created.renewing.never = memberaccess.RenewalOf(config)
		if created.account = memberaccess.AccountNamespace(config); created.account != "" {
			created.System.Join = append(created.System.Join, created.account)
		}
		created.Conn, malformed = memberclient.NewConn(created.ctx, config,
			func(gvr schema.GroupVersionResource, event memberclient.Event) { r.OnEvent(name, gvr, event) })
	}
	if malformed != nil {
		created.judged = judgement{finding: finding{health: Malformed, problem: malformed.Error()}}
		created.Health, created.Problem = Malformed, malformed.Error()
	}
	r.replace(name, created)
	klog.FromContext(ctx).V(2).Info("Set up member", "member", name, "problem", created.Problem)
	r.OnChange(name)
	// Ends with created.ctx.
	r.wg.Go(func() { r.watch(created) })
	return nil
}

// epochOf stands for everything that a connection is made of.
func epochOf(cluster *v1beta1.KubeFedCluster, secret *corev1.Secret, malformed error) (string, error) {
	problem := ""
	if malformed != nil {
		problem = malformed.Error()
	}
	var data map[string][]byte
	if secret != nil {
		data = secret.Data
	}
	encoded, err := json.Marshal([]any{cluster.UID, cluster.Spec, data, problem})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	return string(sum[:]), nil
}

func (r *Registry) remove(name string) {
	r.mu.RLock()
	_, ok := r.members[name]
	r.mu.RUnlock()
	if ok {
		r.replace(name, nil)
		r.OnChange(name)
	}
}

// replace puts in a member, or none, and ends the old one.
func (r *Registry) replace(name string, created *member) {
	r.mu.Lock()
	old := r.members[name]
	if created == nil {
		delete(r.members, name)
	} else {
		r.members[name] = created
	}
	r.mu.Unlock()
	if old == nil {
		return
	}
	old.stop()
	if old.Conn != nil {
		// Ends once the caches have, which their context has just told them.
		r.wg.Go(old.Conn.Close)
	}
}

// watch checks one member until its epoch ends.
func (r *Registry) watch(m *member) {
	if m.Conn != nil {
		defer m.Conn.Close()
	}
	for {
		thresholds := r.Thresholds()
		r.check(m, thresholds)
		if m.mayChangeByItself(time.Now()) {
			r.queue.Add(m.Name)
		}
		pause := thresholds.pause(m.judged.health)
		if m.anew { // somebody may wait for it
			pause = min(pause, recoveryPeriod)
		}
		timer := time.NewTimer(pause)
		select {
		case <-m.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// mayChangeByItself reports whether another Conn, or none, may come of what the member is
// made of, although nobody changed it: a certificate becomes valid, or expires.
func (m *member) mayChangeByItself(now time.Time) bool {
	return m.Conn == nil || (!m.until.IsZero() && now.After(m.until))
}

func (r *Registry) check(m *member, thresholds Thresholds) {
	judged := m.judged // only this goroutine writes it once the member is set up
	if m.Conn != nil {
		found := m.probe(thresholds.Timeout)
		if m.ctx.Err() != nil {
			return
		}
		judged = judged.next(found, thresholds)
	}
	r.mu.Lock()
	changed := m.Health != judged.health || m.Problem != judged.problem
	cameBack := judged.health == Ready && m.Health != Ready
	m.judged, m.Health, m.Problem = judged, judged.health, judged.problem
	current := r.members[m.Name] == m
	r.mu.Unlock()
	if !current {
		return
	}
	if changed {
		klog.FromContext(m.ctx).V(2).Info("Checked member", "member", m.Name, "ready", judged.health == Ready, "problem", judged.problem)
		if cameBack {
			m.Conn.Retry()
		}
		r.OnChange(m.Name)
	}
	r.renew(m, judged.health == Ready)
	if err := r.writeStatus(m, judged.finding); err != nil && m.ctx.Err() == nil {
		klog.FromContext(m.ctx).Error(err, "Failed to write the status of a cluster", "member", m.Name)
	}
}

func (m *member) probe(timeout time.Duration) finding {
	ctx, cancel := context.WithTimeout(m.ctx, timeout)
	defer cancel()
	healthy, version, err := m.Conn.Health(ctx)
	switch {
	case err != nil:
		return explain(err, m.secret)
	case !healthy:
		return finding{health: NotReady, problem: "/healthz responded without ok"}
	}
	return finding{health: Ready, version: version}
}

func (r *Registry) writeStatus(m *member, f finding) error {
	ctx, cancel := context.WithTimeout(m.ctx, statusTimeout)
	defer cancel()
	cluster, err := r.Clusters.Get(m.Name)
	if err != nil {
		return utilerrors.FilterOut(err, apierrors.IsNotFound)
	}
	account := m.account
	if m.Conn == nil { // whose credential it is was not read: what is known stands
		account = cluster.Status.JoinNamespace
	}
	plain := r.plainStatus.Load()
	var refused error // what was said of the condition
	err = retry.OnError(retry.DefaultRetry, func(err error) bool { return apierrors.IsConflict(err) || errors.Is(err, errRefused) }, func() error {
		known := &cluster.Status
		if m.anew { // only the goroutine of watch reads and writes it
			known = unprobed(known)
		}
		credential := r.endingOf(m)
		if plain {
			credential = ending{}
		}
		status := f.status(known, account, credential, time.Now())
		if status == nil {
			return nil
		}
		updated := cluster.DeepCopy()
		updated.Status = *status
		_, err := r.Client.UpdateStatus(ctx, updated, metav1.UpdateOptions{})
		switch {
		case err == nil:
			m.anew = m.anew && !probedLater(&cluster.Status, status) // within the same second nobody would see it
			r.tell(cluster, events.ClusterTransitions(&cluster.Status, status))
			if refused != nil && !r.plainStatus.Swap(true) { // it was the condition: what else is refused is refused without it, too
				klog.FromContext(ctx).Info("Failed to write a condition that KubeFed does not have; statuses go without", "condition", v1beta1.ClusterCredentialsExpiring, "problem", refused.Error())
			}
		case credential.reason != "" && isRefusal(err):
			plain, refused = true, err
			return errRefused
		case apierrors.IsConflict(err):
			if latest, getErr := r.Client.Get(ctx, m.Name, metav1.GetOptions{}); getErr == nil {
				cluster = latest
			}
		}
		return err
	})
	return utilerrors.FilterOut(err, apierrors.IsNotFound)
}

// endingOf is ending.
func (r *Registry) endingOf(m *member) ending {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return m.ending(time.Now())
}

// errRefused says that a status was refused for what KubeFed does not have in it.
var errRefused = errors.New("the condition is refused")

// isRefusal reports whether a server, or an admission webhook, does not take what it was sent.
func isRefusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

// tell has Events written about a cluster.
func (r *Registry) tell(cluster *v1beta1.KubeFedCluster, happened []events.Event) {
	if r.Record == nil || len(happened) == 0 {
		return
	}
	r.Record(&corev1.ObjectReference{
		APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: "KubeFedCluster",
		Namespace: cluster.Namespace, Name: cluster.Name, UID: cluster.UID,
	}, happened...)
}
