package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/simulation"
)

const (
	system = v1beta1.DefaultNamespace
	// shop is the namespace of all objects and cells.
	shop = "shop"
	// clients is how many requests the benchmark makes at once where it makes many.
	clients = 16
)

var federatedConfigMaps = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federatedconfigmaps"}

// world is a control plane and its members.
type world struct {
	*bench
	koinon *contender.Koinon
	fleet  *simulation.Fleet // nil if members are real
	sightings
	status statusWrites

	config    *rest.Config
	kube      kubernetes.Interface
	fed       versioned.Interface
	dynamic   dynamic.Interface
	metadata  metadata.Interface
	stopWatch func()
	spacing   time.Duration // of the reads that wait
}

// newWorld starts a control plane, and simulated members that are not joined yet.
func (b *bench) newWorld(ctx context.Context, members int) (*world, error) {
	w := &world{bench: b, stopWatch: func() {}, spacing: 250 * time.Millisecond}
	b.worlds++
	var err error
	if members > 0 {
		w.fleet, err = simulation.Start(simulation.Options{Members: members, Seed: 1, OnChange: w.see})
		if err != nil {
			return nil, err
		}
	}
	if w.koinon, err = contender.NewKoinon(b.config, fmt.Sprintf("world-%d", b.worlds)); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	if err := w.koinon.StartOnAnyPort(ctx); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	if err := w.connect(ctx); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	return w, nil
}

// inWorld measures in a world that ends afterwards.
func (b *bench) inWorld(ctx context.Context, members int, measure func(*world) error) error {
	w, err := b.newWorld(ctx, members)
	if err != nil {
		return err
	}
	return errors.Join(measure(w), w.close(ctx))
}

// connect makes clients, and waits until the control plane has set itself up.
func (w *world) connect(ctx context.Context) (err error) {
	if w.config, err = w.koinon.RESTConfig(); err != nil {
		return err
	}
	if w.kube, err = kubernetes.NewForConfig(w.config); err != nil {
		return err
	}
	if w.fed, err = versioned.NewForConfig(w.config); err != nil {
		return err
	}
	if w.dynamic, err = dynamic.NewForConfig(w.config); err != nil {
		return err
	}
	if w.metadata, err = metadata.NewForConfig(w.config); err != nil {
		return err
	}
	err = w.eventually(ctx, "federated ConfigMaps are served", func(ctx context.Context) error {
		_, err := w.dynamic.Resource(federatedConfigMaps).List(ctx, metav1.ListOptions{Limit: 1})
		return err
	})
	if err != nil {
		return err
	}
	_, err = w.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", shop, err)
	}
	if err := w.federateNamespace(ctx, shop); err != nil {
		return err
	}
	return w.watchStatus(ctx)
}

// federateNamespace has a namespace be in every member: objects go only where it goes.
func (w *world) federateNamespace(ctx context.Context, name string) error {
	object := &unstructured.Unstructured{Object: simulation.FederatedNamespace(name)}
	return w.eventually(ctx, fmt.Sprintf("namespace %s is federated", name), func(ctx context.Context) error {
		_, err := w.dynamic.Resource(simulation.FederatedNamespaces).Namespace(name).Create(ctx, object, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
		return err
	})
}

// close ends everything.
func (w *world) close(ctx context.Context) error {
	w.stopWatch()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	if w.koinon != nil {
		errs = append(errs, w.koinon.Stop(ctx))
	}
	if w.fleet != nil {
		errs = append(errs, w.fleet.Close())
	}
	return errors.Join(errs...)
}

// eventually tries until it succeeds.
func (w *world) eventually(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, w.spacing, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waited in vain until %s: %w", what, errors.Join(err, last))
	}
	return nil
}

// many does n things, some at once, and returns the first error.
func many(n int, do func(i int) error) error {
	var running sync.WaitGroup
	var next atomic.Int64
	var once sync.Once
	var first error
	for range min(clients, n) {
		running.Go(func() { // ends with the last of the things, or the first error
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					once.Do(func() { first = err })
					next.Store(int64(n))
					return
				}
			}
		})
	}
	running.Wait()
	return first
}

// join makes the KubeFedClusters of members, labelled by their number in the fleet, and waits
// until all are ready.
func (w *world) join(ctx context.Context, members []*simulation.Member, labels func(i int) map[string]string) error {
	err := many(len(members), func(i int) error {
		return w.joinOne(ctx, members[i].Secret(), members[i].Cluster(labels(i)))
	})
	if err != nil {
		return err
	}
	return w.allReady(ctx)
}

func (w *world) joinOne(ctx context.Context, secret *corev1.Secret, cluster *v1beta1.KubeFedCluster) error {
	if _, err := w.kube.CoreV1().Secrets(system).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make Secret %s: %w", secret.Name, err)
	}
	if _, err := w.fed.KubeFedCoreV1beta1().KubeFedClusters(system).Create(ctx, cluster, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make KubeFedCluster %s: %w", cluster.Name, err)
	}
	return nil
}

func (w *world) allReady(ctx context.Context) error {
	return w.eventually(ctx, "all members are ready", func(ctx context.Context) error {
		list, err := w.fed.KubeFedCoreV1beta1().KubeFedClusters(system).List(ctx, metav1.ListOptions{
			LabelSelector: "!" + federationv1alpha1.TopologyLabel, ResourceVersion: "0"})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if !isReady(&list.Items[i]) {
				return fmt.Errorf("member %s is not", list.Items[i].Name)
			}
		}
		return nil
	})
}

func isReady(cluster *v1beta1.KubeFedCluster) bool {
	for _, condition := range cluster.Status.Conditions {
		if condition.Type == v1beta1.ClusterReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// awaitHealth waits until a member is ready, or is not.
func (w *world) awaitHealth(ctx context.Context, member string, ready bool) error {
	return w.eventually(ctx, fmt.Sprintf("member %s has ready=%v", member, ready), func(ctx context.Context) error {
		cluster, err := w.fed.KubeFedCoreV1beta1().KubeFedClusters(system).Get(ctx, member, metav1.GetOptions{})
		if err == nil && isReady(cluster) != ready {
			err = errors.New("it has not")
		}
		return err
	})
}

func noLabels(int) map[string]string { return nil }

func cellName(i int) string { return fmt.Sprintf("c%05d", i) }

// sizeLabel selects the first cells, as many as its value says.
func sizeLabel(size int) string { return fmt.Sprintf("first-%d", size) }

// makeCells makes cells from one number to another, spread over the members by name, with a
// label for each size that they are within.
func (w *world) makeCells(ctx context.Context, from, to int, members []string, sizes ...int) error {
	err := many(to-from, func(i int) error {
		i += from
		labels := map[string]string{}
		for _, size := range sizes {
			if i < size {
				labels[sizeLabel(size)] = "true"
			}
		}
		_, err := w.fed.FederationV1alpha1().Cells(shop).Create(ctx, &federationv1alpha1.Cell{
			ObjectMeta: metav1.ObjectMeta{Name: cellName(i), Namespace: shop, Labels: labels},
			Spec:       federationv1alpha1.CellSpec{ClusterName: members[i%len(members)]},
		}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("make cell %s: %w", cellName(i), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	clusters, stop, err := w.watchCellClusters(ctx, func(*metav1.PartialObjectMetadata) {})
	defer stop()
	if err != nil {
		return err
	}
	return w.eventually(ctx, "all cells appear as clusters", func(context.Context) error {
		if there := len(clusters.ListKeys()); there < to {
			return fmt.Errorf("%d of %d do", there, to)
		}
		return nil
	})
}

// watchCellClusters follows the KubeFedClusters that cells appear as until stop is called. It
// reads metadata only, and tells changed of every one that is new or changes.
func (w *world) watchCellClusters(ctx context.Context, changed func(*metav1.PartialObjectMetadata)) (cache.Store, func(), error) {
	ctx, stop := context.WithCancel(ctx)
	informer := metadatainformer.NewFilteredMetadataInformer(w.metadata, v1beta1.SchemeGroupVersion.WithResource("kubefedclusters"), system, 0,
		cache.Indexers{}, func(o *metav1.ListOptions) { o.LabelSelector = federationv1alpha1.TopologyLabel }).Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(now any) { changed(now.(*metav1.PartialObjectMetadata)) },
		UpdateFunc: func(_, now any) { changed(now.(*metav1.PartialObjectMetadata)) },
	})
	if err != nil {
		return nil, stop, err
	}
	go informer.RunWithContext(ctx) // ends with stop
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, stop, ctx.Err()
	}
	return informer.GetStore(), stop, nil
}

func (w *world) memberNames() []string {
	var names []string
	for _, m := range w.fleet.Members() {
		names = append(names, m.Name())
	}
	return names
}

// databaseBytes is the size of the database, its log included.
func (w *world) databaseBytes() (int64, error) {
	total := int64(0)
	err := filepath.WalkDir(w.koinon.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if match, _ := filepath.Match("*.db*", filepath.Base(path)); match {
			info, err := entry.Info()
			if err != nil {
				return err
			}
			total += info.Size()
		}
		return nil
	})
	return total, err
}
