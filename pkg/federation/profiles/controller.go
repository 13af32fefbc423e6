package profiles

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	multicluster "github.com/koinon-io/koinon/pkg/apis/multicluster/v1alpha1"
	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	listersfederation "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// askEvery is how often the host is asked whether it serves ClusterProfiles.
	askEvery = 5 * time.Second
	// callTimeout bounds what is done for one profile at once, and one question.
	callTimeout = 30 * time.Second
	// workers is how many profiles are worked on at a time. One is never worked on twice at once.
	workers = 4
	// minRetry and maxRetry bound the pause after what failed.
	minRetry, maxRetry = 200 * time.Millisecond, 2 * time.Minute
)

// Resource is that of ClusterProfiles.
var Resource = multicluster.SchemeGroupVersion.WithResource(multicluster.ClusterProfiles)

// Config is what a Controller works with. The caches behind the listers must be synced before Run. Every
// field but Endpoint and Follow is required.
type Config struct {
	// SystemNamespace has the KubeFedClusters.
	SystemNamespace string
	// Namespace has the profiles of members.
	Namespace string
	// Federation is what this one is called.
	Federation string
	// Endpoint is where clients find our server; nil: nobody knows, and profiles have no way to
	// their cluster.
	Endpoint *cellaccess.Endpoint
	// Clusters are those of the system namespace, and Cells those of all namespaces.
	Clusters listersv1beta1.KubeFedClusterNamespaceLister
	Cells    listersfederation.CellLister
	// Koinon asks the API whether something is gone.
	Koinon versioned.Interface
	// Profiles is a client of the host.
	Profiles dynamic.Interface
	// Discover asks the host what it serves of the group and version of ClusterProfiles.
	Discover func(ctx context.Context) (*metav1.APIResourceList, error)
	// Follow compares a cache of profiles with the host until ctx ends.
	Follow func(ctx context.Context, informer *hostwatch.Informer)
}

// key names one profile.
type key = cache.ObjectName

// Controller keeps the ClusterProfiles.
type Controller struct {
	Config
	authority *cellaccess.Authority // nil without an Endpoint

	mu      sync.Mutex
	current *session // nil while there are no profiles to keep; guarded by mu
}

// session is one time in which the host serves ClusterProfiles.
type session struct {
	*Controller
	cache cache.Indexer
	queue workqueue.TypedRateLimitingInterface[key]
	// oldCRD is said once: the CRD has no ways to clusters.
	oldCRD sync.Once
}

// New returns a Controller that does nothing before Run.
func New(config Config) (*Controller, error) {
	if config.SystemNamespace == "" || config.Namespace == "" || config.Federation == "" || config.Clusters == nil || config.Cells == nil ||
		config.Koinon == nil || config.Profiles == nil || config.Discover == nil {
		return nil, errors.New("profiles: every field of Config but Endpoint and Follow must be set")
	}
	c := &Controller{Config: config}
	if config.Endpoint != nil {
		c.authority = cellaccess.NewAuthority(config.Endpoint.Authority)
	}
	return c, nil
}

// ClusterChanged has the profile looked at again that tells of a KubeFedCluster, which may be gone. It
// may be called at any time.
func (c *Controller) ClusterChanged(name string) {
	if cell, namespace, ok := topology.Split(v1beta2.TopologyCell, name); ok {
		c.enqueue(key{Namespace: namespace, Name: cell})
	}
	c.enqueue(key{Namespace: c.Namespace, Name: name})
}

// CellChanged has the profile of a cell looked at again. It may be called at any time.
func (c *Controller) CellChanged(namespace, name string) {
	c.enqueue(key{Namespace: namespace, Name: name})
}

func (c *Controller) enqueue(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil { // else all are looked at once there is one
		c.current.queue.Add(k)
	}
}

// Run keeps the profiles until ctx ends, whenever the host serves them.
func (c *Controller) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, klog.FromContext(ctx).WithName("profiles"))
	var working sync.WaitGroup
	defer working.Wait()
	if c.authority != nil {
		working.Go(func() { c.authority.Follow(ctx, c.enqueueAll) }) // ends with ctx
	}
	for ctx.Err() == nil {
		if served, err := c.served(ctx); err == nil && served {
			c.keep(ctx)
		}
		pause(ctx)
	}
	return nil
}

// pause waits until it is time to ask again.
func pause(ctx context.Context) {
	timer := time.NewTimer(askEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// served reports whether the host serves ClusterProfiles. An error is that this is not known.
func (c *Controller) served(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	served, err := c.Discover(ctx)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Failed to ask whether ClusterProfiles are served", "problem", err.Error())
		return false, err
	}
	return slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == multicluster.ClusterProfiles }), nil
}

// keep keeps the profiles until they are known not to be served any more, or ctx ends.
func (c *Controller) keep(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer end()
	informer := hostwatch.NewSelectingInformer(c.Profiles.Resource(Resource), multicluster.ClusterManagerLabel+"="+Manager, &unstructured.Unstructured{})
	s := c.newSession(informer.GetIndexer())
	defer s.queue.ShutDown() // also where no work has begun
	if err := s.follow(informer); err != nil {
		klog.FromContext(ctx).Error(err, "Failed to watch ClusterProfiles")
		return
	}
	working.Go(func() { informer.RunWithContext(ctx) }) // ends with ctx
	if c.Follow != nil {
		working.Go(func() { c.Follow(ctx, informer) }) // ends with ctx
	}
	working.Go(func() { // ends with ctx
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			klog.FromContext(ctx).Info("Started to keep ClusterProfiles", "namespace", c.Namespace)
			s.work(ctx)
		}
	})
	for {
		if pause(ctx); ctx.Err() != nil {
			return
		}
		if served, err := c.served(ctx); err == nil && !served {
			klog.FromContext(ctx).Info("ClusterProfiles are not served any more")
			return
		}
	}
}

func (c *Controller) newSession(profiles cache.Indexer) *session {
	return &session{Controller: c, cache: profiles, queue: reconcile.NewQueue[key]("profiles", minRetry, maxRetry)}
}

// follow has profiles looked at again that change.
func (s *session) follow(informer cache.SharedIndexInformer) error {
	if err := informer.SetTransform(stripManagedFields); err != nil {
		return err
	}
	changed := func(object any) {
		if k, err := cache.DeletionHandlingObjectToName(object); err == nil {
			s.queue.Add(k)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, current any) { changed(current) },
	})
	return err
}

// stripManagedFields drops what nobody reads.
func stripManagedFields(object any) (any, error) {
	if u, ok := object.(*unstructured.Unstructured); ok {
		u.SetManagedFields(nil)
	}
	return object, nil
}

// work looks at all profiles, and then at what changes, until ctx ends.
func (s *session) work(ctx context.Context) {
	s.mu.Lock()
	s.current = s
	s.mu.Unlock()
	s.enqueueAll()
	reconcile.Work[key]{Queue: s.queue, Do: s.reconcile, Timeout: callTimeout, Failed: "Failed to keep a ClusterProfile"}.Run(ctx, workers)
	s.mu.Lock()
	s.current = nil
	s.mu.Unlock()
}

// enqueueAll has everything looked at that has a profile or should have one.
func (c *Controller) enqueueAll() {
	if clusters, err := c.Clusters.List(labels.Everything()); err == nil { // fails only for want of an index
		for _, cluster := range clusters {
			c.ClusterChanged(cluster.Name)
		}
	}
	if cells, err := c.Cells.List(labels.Everything()); err == nil {
		for _, cell := range cells {
			c.CellChanged(cell.Namespace, cell.Name)
		}
	}
}

// wanted is what the profile of a name has to say, nil if there should be none.
func (c *Controller) wanted(k key) (*profile, error) {
	if k.Namespace == c.Namespace {
		if cluster, err := c.cluster(k.Name); err != nil {
			return nil, err
		} else if cluster != nil && isMember(cluster) {
			return ofMember(cluster, c.way()), nil
		}
	}
	cell, err := c.Cells.Cells(k.Namespace).Get(k.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	cluster, err := c.cluster(topology.ClusterName(v1beta2.TopologyCell, k.Namespace, k.Name))
	if err != nil {
		return nil, err
	}
	if cluster != nil && isMember(cluster) {
		cluster = nil // somebody else's, of the name that the cell would have
	}
	return ofCell(cell, cluster, c.way()), nil
}

// cluster returns a KubeFedCluster, nil if there is none.
func (c *Controller) cluster(name string) (*v1beta1.KubeFedCluster, error) {
	cluster, err := c.Clusters.Get(name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return cluster, err
}

func isMember(cluster *v1beta1.KubeFedCluster) bool {
	return cluster.Labels[federationv1alpha1.TopologyLabel] == ""
}

func (c *Controller) way() way {
	if c.authority == nil {
		return way{}
	}
	pem, known := c.authority.Known()
	return way{url: c.Endpoint.URL, authority: pem, known: known}
}

// isGone asks the API whether nothing has a profile of the name any more: one cache may be ahead of another.
func (c *Controller) isGone(ctx context.Context, k key) (bool, error) {
	if k.Namespace == c.Namespace {
		cluster, err := c.Koinon.KubeFedCoreV1beta1().KubeFedClusters(c.SystemNamespace).Get(ctx, k.Name, metav1.GetOptions{})
		if err == nil && isMember(cluster) {
			return false, nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return false, fmt.Errorf("look for KubeFedCluster %q: %w", k.Name, err)
		}
	}
	_, err := c.Koinon.FederationV1alpha1().Cells(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
	if err == nil {
		return false, nil
	}
	if !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("look for cell %q of namespace %q: %w", k.Name, k.Namespace, err)
	}
	return true, nil
}

func (s *session) reconcile(ctx context.Context, k key) error {
	p, err := s.wanted(k)
	if err != nil {
		return err
	}
	have, err := s.cached(k)
	if err != nil {
		return err
	}
	if p == nil {
		return s.remove(ctx, k, have)
	}
	if have == nil {
		if have, err = s.create(ctx, k, p); err != nil {
			return err
		}
	}
	if !isOurs(have, s.Federation) {
		return errors.New("another ClusterProfile of that name is there, which another cluster manager keeps: it stays as it is, and this one waits until it is gone")
	}
	return s.update(ctx, have.DeepCopy(), p)
}

// cached returns a profile that has the label of our manager, nil if there is none.
func (s *session) cached(k key) (*unstructured.Unstructured, error) {
	object, exists, err := s.cache.GetByKey(k.String())
	if err != nil || !exists {
		return nil, err
	}
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("the cache of ClusterProfiles has a %T", object)
	}
	return u, nil
}

// create makes a profile. One that is there already is returned as it is: the cache is behind, or it does not
// have the label.
func (s *session) create(ctx context.Context, k key, p *profile) (*unstructured.Unstructured, error) {
	client := s.Profiles.Resource(Resource).Namespace(k.Namespace)
	made, err := client.Create(ctx, newProfile(k, p, s.Federation), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		made, err = client.Get(ctx, k.Name, metav1.GetOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("make the ClusterProfile: %w", err)
	}
	return made, nil
}

// update writes what differs in a profile of ours, which is modified.
func (s *session) update(ctx context.Context, u *unstructured.Unstructured, p *profile) (err error) {
	client := s.Profiles.Resource(Resource).Namespace(u.GetNamespace())
	if setMetadata(u, p, s.Federation) {
		if u, err = client.Update(ctx, u, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("update the ClusterProfile: %w", err)
		}
	}
	changed, err := setStatus(u, p, time.Now())
	if err != nil || !changed {
		return err
	}
	if u, err = client.UpdateStatus(ctx, u, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update the status of the ClusterProfile: %w", err)
	}
	if _, has, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "accessProviders"); !has && len(p.status.AccessProviders) > 0 {
		s.oldCRD.Do(func() {
			klog.FromContext(ctx).Info("The CRD of ClusterProfiles has no status.accessProviders: profiles have no way to their clusters until it is that of v0.1.0 or later of the Cluster Inventory API")
		})
	}
	return nil
}

// remove deletes a profile of ours whose cluster or cell is gone. have is nil if there is none.
func (s *session) remove(ctx context.Context, k key, have *unstructured.Unstructured) error {
	if have == nil || !isOurs(have, s.Federation) {
		return nil
	}
	if gone, err := s.isGone(ctx, k); err != nil || !gone {
		return err // if it is there, its event comes
	}
	uid := have.GetUID()
	err := s.Profiles.Resource(Resource).Namespace(k.Namespace).Delete(ctx, k.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // a conflict: it is another by now
		return fmt.Errorf("delete the ClusterProfile: %w", err)
	}
	return nil
}
