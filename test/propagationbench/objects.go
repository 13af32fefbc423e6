package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// payload makes templates about 1 KiB long.
var payload = strings.Repeat("0123456789abcdef", 60)

// placement says where objects go.
type placement struct {
	topology string
	labels   map[string]string // of the targets
}

// toCells places in the first cells, as many as size says: see makeCells.
func toCells(size int) placement {
	return placement{topology: "cell", labels: map[string]string{sizeLabel(size): "true"}}
}

// create makes a federated ConfigMap, in round 0.
func (w *world) create(ctx context.Context, name string, p placement) error {
	labels := map[string]any{}
	for key, value := range p.labels {
		labels[key] = value
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": federatedConfigMaps.GroupVersion().String(), "kind": "FederatedConfigMap",
		"metadata": map[string]any{"name": name, "namespace": shop},
		"spec": map[string]any{
			"topologyType": p.topology,
			"template":     map[string]any{"data": map[string]any{"round": "0", "payload": payload}},
			"placement":    map[string]any{"topologySelector": map[string]any{"matchLabels": labels}},
		},
	}}
	_, err := w.dynamic.Resource(federatedConfigMaps).Namespace(shop).Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make federated ConfigMap %s: %w", name, err)
	}
	return nil
}

// change writes a round into an object, and returns how long after the answer the last target
// had it.
func (w *world) change(ctx context.Context, name string, round, targets int, ignored map[string]bool) (time.Duration, error) {
	wait := w.expect(name, round, targets, ignored)
	if err := w.setRound(ctx, name, round); err != nil {
		return 0, err
	}
	answered := time.Now()
	seen, err := w.await(ctx, wait)
	return max(seen.Sub(answered), 0), err
}

// setRound writes a round into an object.
func (w *world) setRound(ctx context.Context, name string, round int) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"data":{"round":"%d"}}}}`, round)
	_, err := w.dynamic.Resource(federatedConfigMaps).Namespace(shop).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("change federated ConfigMap %s: %w", name, err)
	}
	return nil
}

// changes makes a number of rounds, one after the other, the first of which is given. Between
// them it waits until the status has come to rest.
func (w *world) changes(ctx context.Context, name string, first, targets int, ignored map[string]bool) ([]time.Duration, error) {
	var took []time.Duration
	for round := range w.rounds {
		d, err := w.change(ctx, name, first+round, targets, ignored)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
		if err := w.rest(ctx, time.Second); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// statusWrites counts changes of federated ConfigMaps that are not of their spec.
type statusWrites struct {
	count atomic.Int64
	last  atomic.Int64 // when there was any change, in nanoseconds since 1970
}

// watchStatus counts until stopWatch. It reads metadata only, which costs the server little.
func (w *world) watchStatus(ctx context.Context) error {
	w.stopWatch()
	ctx, stop := context.WithCancel(ctx)
	w.stopWatch = stop
	informer := metadatainformer.NewFilteredMetadataInformer(w.metadata, federatedConfigMaps, shop, 0, cache.Indexers{}, nil).Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { w.status.last.Store(time.Now().UnixNano()) },
		UpdateFunc: func(before, after any) {
			old, now := before.(*metav1.PartialObjectMetadata), after.(*metav1.PartialObjectMetadata)
			w.status.last.Store(time.Now().UnixNano())
			if old.Generation == now.Generation && old.ResourceVersion != now.ResourceVersion {
				w.status.count.Add(1)
			}
		},
	})
	if err != nil {
		return err
	}
	go informer.RunWithContext(ctx) // ends with stopWatch
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return ctx.Err()
	}
	return nil
}

// versions are those of all federated ConfigMaps.
func (w *world) versions(ctx context.Context) (map[string]string, error) {
	list, err := w.metadata.Resource(federatedConfigMaps).Namespace(shop).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	versions := make(map[string]string, len(list.Items))
	for _, item := range list.Items {
		versions[item.Name] = item.ResourceVersion
	}
	return versions, nil
}

// rest waits until neither members nor federated objects have changed for a while.
func (w *world) rest(ctx context.Context, quiet time.Duration) error {
	began := time.Now()
	return w.eventually(ctx, "nothing changes any more", func(context.Context) error {
		last := max(w.last.Load(), w.status.last.Load(), began.UnixNano())
		if time.Since(time.Unix(0, last)) < quiet {
			return errors.New("something changed a moment ago")
		}
		return nil
	})
}

// allOK waits until the status of an object says that a number of targets has what its spec
// says, and returns that status.
func (w *world) allOK(ctx context.Context, name string, targets int) (*v1beta2.FederatedObjectStatus, error) {
	var status *v1beta2.FederatedObjectStatus
	err := w.eventually(ctx, fmt.Sprintf("%d targets of %s are OK", targets, name), func(ctx context.Context) error {
		got, err := w.dynamic.Resource(federatedConfigMaps).Namespace(shop).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		data, err := got.MarshalJSON()
		if err != nil {
			return err
		}
		var object v1beta2.FederatedObject
		if err := json.Unmarshal(data, &object); err != nil {
			return err
		}
		if status = object.Status; status == nil || status.ObservedGeneration != object.Generation {
			return errors.New("the status is of an older generation")
		}
		ok := 0
		for _, target := range status.Targets {
			if target.State == v1beta2.TargetOK {
				ok++
			}
		}
		if ok != targets {
			return fmt.Errorf("%d of %d are", ok, targets)
		}
		return nil
	})
	return status, err
}
