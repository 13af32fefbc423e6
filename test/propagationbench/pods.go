package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/simulation"
)

const (
	// podNamespaces is over how many namespaces the pods of a member are spread.
	podNamespaces = 50
	// podTrickle is the time between changes of one of a member's pods.
	podTrickle = 200 * time.Millisecond
	// web is a Deployment of ours, and its label. webReplicas run in each member, or wait for a node.
	web                     = objectPrefix + "web"
	webReplicas, webWaiting = 20, 5
)

// pods looks at what pods of members cost that somebody else has made. Pods are federated, too, and replicas are moved away from where
// pods find no node, so that whatever of ours reads pods does.
func (b *bench) pods(ctx context.Context) error {
	members, each := b.times(10, 2), b.times(20_000, 200)
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), noLabels); err != nil {
			return err
		}
		if err := w.federatePods(ctx); err != nil {
			return err
		}
		without, err := w.startAnew(ctx)
		if err != nil {
			return err
		}
		b.Say("make %d pods in each of %d members", each, members)
		if err := w.populate(each); err != nil {
			return err
		}
		stop := w.trickle(each)
		defer stop()
		sent := w.podsSent()
		with, err := w.startAnew(ctx)
		if err != nil {
			return err
		}
		per := func(with, without float64) float64 { return (with - without) / mebi / float64(members) }
		what := fmt.Sprintf("%d pods of others in each of %d members", each, members)
		b.aim("MiB per member", per(with.RSS, without.RSS), 20, "%s, RSS", what)
		b.aim("MiB per member", per(with.Heap, without.Heap), 20, "%s, heap after GC", what)
		b.aim("MiB per member", per(with.PeakRSS, without.PeakRSS), 20, "%s, peak RSS of a start", what)
		b.tell("", float64(w.podsSent()-sent)/float64(members), "%s, of which a member sends, by a start", what)
		return nil
	})
}

// startAnew starts the server anew, and returns its memory once it has come to rest.
func (w *world) startAnew(ctx context.Context) (contender.Memory, error) {
	w.Say("restart")
	w.stopWatch()
	if err := w.koinon.Restart(ctx); err != nil {
		return contender.Memory{}, err
	}
	if err := w.watchStatus(ctx); err != nil {
		return contender.Memory{}, err
	}
	if _, err := w.steady(ctx); err != nil {
		return contender.Memory{}, err
	}
	peak := contender.ReadMemory(w.koinon.Processes()[0].PID).PeakRSS // before garbage is collected for its own sake
	memory, err := contender.MeasureMemory(ctx, w.koinon)
	if err != nil {
		return contender.Memory{}, err
	}
	now := memory["koinon"]
	now.PeakRSS = peak
	return now, nil
}

// federatePods places a pod in every member, and a Deployment whose replicas are moved by where pods find a node. Of those
// some wait for one.
func (w *world) federatePods(ctx context.Context) error {
	if _, err := w.fed.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Create(ctx, podType(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make the type configuration of Pods: %w", err)
	}
	everywhere := map[string]any{"topologySelector": map[string]any{}}
	container := map[string]any{"containers": []any{map[string]any{"name": "a", "image": "b"}}}
	pod := federated("FederatedPod", objectPrefix+"pod", map[string]any{"topologyType": "cluster", "placement": everywhere, "template": map[string]any{"spec": container}})
	err := w.eventually(ctx, "federated Pods are served", func(ctx context.Context) error {
		_, err := w.dynamic.Resource(federatedConfigMaps.GroupVersion().WithResource("federatedpods")).Namespace(shop).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	labels := map[string]any{"app": web}
	deployment := federated("FederatedDeployment", web, map[string]any{"topologyType": "cluster", "placement": everywhere, "template": map[string]any{
		"spec": map[string]any{"selector": map[string]any{"matchLabels": labels}, "template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": container}},
	}})
	if _, err := w.dynamic.Resource(federatedDeployments).Namespace(shop).Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make federated Deployment %s: %w", web, err)
	}
	members := w.fleet.Members()
	_, err = w.fed.KubeFedSchedulingV1alpha1().ReplicaSchedulingPreferences(shop).Create(ctx, &v1alpha1.ReplicaSchedulingPreference{
		ObjectMeta: metav1.ObjectMeta{Name: web, Namespace: shop},
		Spec:       v1alpha1.ReplicaSchedulingPreferenceSpec{TargetKind: "FederatedDeployment", TotalReplicas: int32(webReplicas * len(members)), Rebalance: true},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make ReplicaSchedulingPreference %s: %w", web, err)
	}
	return w.eventually(ctx, "every member has its replicas and its pod", func(context.Context) error {
		for _, m := range members {
			if m.Object(simulation.Pods, shop, objectPrefix+"pod") == nil {
				return fmt.Errorf("%s has no pod", m.Name())
			}
			found, err := m.Change(simulation.Deployments, shop, web, func(object map[string]any) {
				object["status"] = map[string]any{"replicas": int64(webReplicas), "readyReplicas": int64(webReplicas - webWaiting)}
			})
			if err != nil || !found {
				return fmt.Errorf("%s has the Deployment: %v, %w", m.Name(), found, err)
			}
		}
		return nil
	})
}

func federated(kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": federatedConfigMaps.GroupVersion().String(), "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": shop}, "spec": spec,
	}}
}

func podType() *v1beta1.FederatedTypeConfig {
	return &v1beta1.FederatedTypeConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "pods", Namespace: system},
		Spec: v1beta1.FederatedTypeConfigSpec{
			TargetType: v1beta1.APIResource{Version: "v1", Kind: "Pod", PluralName: "pods", Scope: v1beta1.NamespaceScoped},
			FederatedType: v1beta1.APIResource{Group: federatedConfigMaps.Group, Version: "v1beta1", Kind: "FederatedPod",
				PluralName: "federatedpods", Scope: v1beta1.NamespaceScoped},
			Propagation: v1beta1.Enabled, StatusCollection: new(v1beta1.Enabled),
		},
	}
}

// populate makes so many pods in every member, and those of the Deployment that wait for a node.
func (w *world) populate(each int) error {
	for _, m := range w.fleet.Members() {
		for i := range podNamespaces {
			if err := m.Put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": podNamespace(i)}}); err != nil {
				return err
			}
		}
	}
	made := 0
	return w.fleet.Populate(simulation.Pods, func() map[string]any {
		made++
		switch {
		case made <= each:
			return foreignPod(made - 1)
		case made <= each+webWaiting:
			return waitingPod(made - each)
		}
		return nil
	})
}

// trickle changes pods in every member, one after the other, until it is stopped.
func (w *world) trickle(each int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { // ends with stop
		for i := 0; pause(ctx, podTrickle) == nil; i = (i + 1) % each {
			for _, m := range w.fleet.Members() {
				_, _ = m.Change(simulation.Pods, podNamespace(i%podNamespaces), podName(i), func(pod map[string]any) {
					restarts, _, _ := unstructured.NestedInt64(pod, "status", "observedGeneration")
					_ = unstructured.SetNestedField(pod, restarts+1, "status", "observedGeneration")
				})
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// podsSent is how many pods members have sent to whoever asked.
func (w *world) podsSent() (sent int64) {
	for _, m := range w.fleet.Members() {
		sent += m.Sent(simulation.Pods)
	}
	return sent
}
