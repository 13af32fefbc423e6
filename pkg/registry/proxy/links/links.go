package links

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	koinoninformers "github.com/koinon-io/koinon/pkg/generated/informers/externalversions"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// patience is how long a request waits until members are known, after a start.
const patience = 5 * time.Second

// retrySeconds is when it may be asked again, if they are still not known.
const retrySeconds = 1

// Config is what Links need. Every field but Dial and Tunnel is required.
type Config struct {
	// API serves KubeFedClusters, Host their Secrets.
	API, Host *rest.Config
	// Namespace that both are in.
	Namespace string
	// Dial connects to members. Nil connects directly.
	Dial Dialer
	// Tunnel connects to those that are reached through their agents: see memberaccess.Dialer. Nil: there is none.
	Tunnel memberaccess.Tunnel
}

// Links are the ways to all members.
type Links struct {
	clusters, secrets cache.SharedIndexInformer
	namespace         string
	dial              Dialer
	tunnel            memberaccess.Tunnel
	now               func() time.Time

	mu       sync.Mutex
	ways     map[string]*way        // by member; guarded by mu
	watchers map[chan struct{}]bool // guarded by mu
	ended    bool                   // guarded by mu
}

// way is a Link, or why there is none, and what both were made of.
type way struct {
	source      source
	fingerprint [sha256.Size]byte
	link        *Link
	err         error
	// until is when a certificate of the credential ends; zero if it has none. expiry is nil then.
	until  time.Time
	expiry *time.Timer
}

// source names the versions of a KubeFedCluster and of its Secret.
type source struct {
	cluster, secret string
	generation      int64
}

// New makes Links that know no member before Run.
func New(config Config) (*Links, error) {
	if config.API == nil || config.Host == nil || config.Namespace == "" {
		return nil, errors.New("links: API, host and namespace are required")
	}
	api, err := versioned.NewForConfig(config.API)
	if err != nil {
		return nil, fmt.Errorf("make a client of KubeFedClusters: %w", err)
	}
	host, err := kubernetes.NewForConfig(config.Host)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host's Secrets: %w", err)
	}
	l, err := newLinks(api, host, config.Namespace, config.Dial)
	if err != nil {
		return nil, err
	}
	l.tunnel = config.Tunnel
	return l, nil
}

func newLinks(api versioned.Interface, host kubernetes.Interface, namespace string, dial Dialer) (*Links, error) {
	l := &Links{
		clusters: koinoninformers.NewSharedInformerFactoryWithOptions(api, 0, koinoninformers.WithNamespace(namespace), koinoninformers.WithTransform(withoutManagedFields)).
			KubeFedCore().V1beta1().KubeFedClusters().Informer(),
		secrets: informers.NewSharedInformerFactoryWithOptions(host, 0, informers.WithNamespace(namespace), informers.WithTweakListOptions(ofMembers), informers.WithTransform(withoutManagedFields)).
			Core().V1().Secrets().Informer(),
		namespace: namespace, dial: dial, now: time.Now, ways: map[string]*way{}, watchers: map[chan struct{}]bool{},
	}
	// A way that is not asked for again must end too.
	review := func(any) { l.review() }
	handler := cache.ResourceEventHandlerFuncs{AddFunc: review, DeleteFunc: review, UpdateFunc: func(old, object any) {
		if saysOther(old, object) {
			l.review()
		}
	}}
	for _, informer := range []cache.SharedIndexInformer{l.clusters, l.secrets} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, fmt.Errorf("follow members: %w", err)
		}
	}
	return l, nil
}

// saysOther reports whether one version of a KubeFedCluster or Secret may say something else of a way
// than another: KubeFedClusters change all the time in their status.
func saysOther(old, object any) bool {
	before, ok := old.(*v1beta1.KubeFedCluster)
	after, too := object.(*v1beta1.KubeFedCluster)
	return !ok || !too || before.UID != after.UID || before.Generation != after.Generation || isMember(before) != isMember(after)
}

// ofMembers leaves out the Secrets of cells' accounts, which may be many: none is of a member.
func ofMembers(o *metav1.ListOptions) { o.LabelSelector = "!" + v1alpha1.AccountLabel }

// withoutManagedFields drops what nobody reads.
func withoutManagedFields(object any) (any, error) {
	if accessor, ok := object.(metav1.ObjectMetaAccessor); ok {
		accessor.GetObjectMeta().SetManagedFields(nil)
	}
	return object, nil
}

// Run follows members until ctx ends, and then ends all ways.
func (l *Links) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, informer := range []cache.SharedIndexInformer{l.clusters, l.secrets} {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for member, w := range l.ways {
		w.end(ErrServerEnds)
		delete(l.ways, member)
	}
}

// To returns the way to a member. The error is one of the API: NotFound if there is no such
// member, ServiceUnavailable with a sentence if its configuration makes no way.
func (l *Links) To(ctx context.Context, member string) (*Link, error) {
	if err := l.await(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, apierrors.NewServiceUnavailable("the server is ending")
	}
	w, err := l.current(member)
	if err != nil {
		return nil, err
	}
	return w.link, w.err
}

// Members lists the names of all members, in no order.
func (l *Links) Members(ctx context.Context) ([]string, error) {
	if err := l.await(ctx); err != nil {
		return nil, err
	}
	var names []string
	for _, object := range l.clusters.GetStore().List() {
		if cluster := object.(*v1beta1.KubeFedCluster); isMember(cluster) {
			names = append(names, cluster.Name)
		}
	}
	return names, nil
}

// await waits until members are known.
func (l *Links) await(ctx context.Context) error {
	if l.clusters.HasSynced() && l.secrets.HasSynced() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if cache.WaitForCacheSync(ctx.Done(), l.clusters.HasSynced, l.secrets.HasSynced) {
		return nil
	}
	err := apierrors.NewServiceUnavailable(fmt.Sprintf("members are not known yet: this server has not read the KubeFedClusters and Secrets of namespace %q", l.namespace))
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retrySeconds}
	return err
}

// current returns what a member's KubeFedCluster and Secret say now. l.mu is held.
func (l *Links) current(member string) (*way, error) {
	cluster, secret := l.said(member)
	if l.keep(member, cluster, secret) {
		return l.ways[member], nil
	}
	if cluster == nil {
		return nil, apierrors.NewNotFound(v1alpha1.Resource("clusters"), member)
	}
	w := &way{source: sourceOf(cluster, secret), fingerprint: fingerprint(cluster, secret)}
	config, err := memberaccess.Config(cluster, secret, l.now())
	if err == nil {
		w.until = memberaccess.ValidUntil(config)
		w.link, err = NewLink(member, config, l.dialer(cluster, config))
	}
	if !w.until.IsZero() {
		w.expiry = time.AfterFunc(w.until.Sub(l.now())+time.Second, l.review)
	}
	if err != nil {
		// Without Retry-After: somebody has to change one of them.
		w.err = apierrors.NewServiceUnavailable(fmt.Sprintf("cluster %q cannot be reached as its KubeFedCluster and Secret are: %v", member, err))
	}
	l.ways[member] = w
	return w, nil
}

// dialer is how connections to a member are opened.
func (l *Links) dialer(cluster *v1beta1.KubeFedCluster, config *rest.Config) Dialer {
	direct := l.dial
	if direct == nil {
		direct = connect
	}
	through := memberaccess.Dialer(cluster, config, l.tunnel, func(ctx context.Context, network, address string) (net.Conn, error) {
		return direct(ctx, cluster.Name, network, address)
	})
	return func(ctx context.Context, _, network, address string) (net.Conn, error) {
		return through(ctx, network, address)
	}
}

// said returns the KubeFedCluster of a member, nil if there is none, and its Secret, nil too.
func (l *Links) said(member string) (*v1beta1.KubeFedCluster, *corev1.Secret) {
	cluster := l.cluster(member)
	if cluster == nil {
		return nil, nil
	}
	object, ok, err := l.secrets.GetStore().GetByKey(l.namespace + "/" + cluster.Spec.SecretRef.Name)
	if err != nil || !ok {
		return cluster, nil
	}
	return cluster, object.(*corev1.Secret)
}

// keep reports whether the way to a member is what its KubeFedCluster and Secret say, and ends it if
// it is not. It makes no other: credentials may change often, and nobody ask. l.mu is held.
func (l *Links) keep(member string, cluster *v1beta1.KubeFedCluster, secret *corev1.Secret) bool {
	w := l.ways[member]
	if w == nil {
		return false
	}
	if cluster == nil {
		l.drop(member, ErrMemberGone)
		return false
	}
	from := sourceOf(cluster, secret)
	if !w.expired(l.now()) && (w.source == from || w.fingerprint == fingerprint(cluster, secret)) {
		w.source = from
		return true
	}
	reason := ErrRotated
	if secret == nil || w.source.cluster != from.cluster {
		reason = ErrMemberGone // the credential was taken away, or the name is another cluster's
	}
	l.drop(member, reason)
	return false
}

func sourceOf(cluster *v1beta1.KubeFedCluster, secret *corev1.Secret) source {
	from := source{cluster: string(cluster.UID), generation: cluster.Generation}
	if secret != nil {
		from.secret = string(secret.UID) + "/" + secret.ResourceVersion
	}
	return from
}

// Watch returns what gets something when there may be other members, or ways to them, until ctx ends.
func (l *Links) Watch(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[changed] = true
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, changed)
	})
	return changed
}

// review ends ways whose members or credentials have changed.
func (l *Links) review() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for changed := range l.watchers {
		select {
		case changed <- struct{}{}:
		default: // there is one that was not read
		}
	}
	for member := range l.ways {
		cluster, secret := l.said(member)
		l.keep(member, cluster, secret)
	}
}

// drop ends the way to a member, if there is one. l.mu is held.
func (l *Links) drop(member string, reason error) {
	if w := l.ways[member]; w != nil {
		w.end(reason)
		delete(l.ways, member)
	}
}

// cluster returns the KubeFedCluster of a member; nil if there is none.
func (l *Links) cluster(member string) *v1beta1.KubeFedCluster {
	object, ok, err := l.clusters.GetStore().GetByKey(l.namespace + "/" + member)
	if err != nil || !ok {
		return nil
	}
	cluster := object.(*v1beta1.KubeFedCluster)
	if !isMember(cluster) {
		return nil
	}
	return cluster
}

// isMember reports whether a KubeFedCluster is a cluster of its own, and stands for no cell.
func isMember(cluster *v1beta1.KubeFedCluster) bool {
	_, scoped := cluster.Labels[v1alpha1.TopologyLabel]
	return !scoped
}

// fingerprint is the same for the same address and credential.
func fingerprint(cluster *v1beta1.KubeFedCluster, secret *corev1.Secret) [sha256.Size]byte {
	parts := []any{cluster.UID, cluster.Spec}
	if secret != nil {
		parts = append(parts, secret.Name, secret.Type, secret.Annotations, secret.Data)
	}
	encoded, err := json.Marshal(parts)
	if err != nil { // strings and bytes are always encoded
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(encoded)
}

func (w *way) expired(now time.Time) bool { return !w.until.IsZero() && now.After(w.until) }

func (w *way) end(reason error) {
	if w.expiry != nil {
		w.expiry.Stop()
	}
	if w.link != nil {
		w.link.End(reason)
	}
}
