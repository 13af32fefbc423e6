package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	koinoninformers "github.com/koinon-io/koinon/pkg/generated/informers/externalversions"
)

// followMembers returns a cache of KubeFedClusters that ends with ctx.
func (s *Service) followMembers(ctx context.Context, beside *sync.WaitGroup, api *rest.Config) (cache.SharedIndexInformer, error) {
	ours, err := versioned.NewForConfig(api)
	if err != nil {
		return nil, fmt.Errorf("make a client of KubeFedClusters: %w", err)
	}
	// Behind a host the kinds come a moment after the server, which is nothing to complain of.
	err = wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		_, err := ours.KubeFedCoreV1beta1().KubeFedClusters(s.config.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
		klog.FromContext(ctx).V(4).Info("Looked for KubeFedClusters", "err", err)
		return err == nil, nil
	})
	if err != nil {
		return nil, err
	}
	informer := koinoninformers.NewSharedInformerFactoryWithOptions(ours, 0, koinoninformers.WithNamespace(s.config.Namespace)).
		KubeFedCore().V1beta1().KubeFedClusters().Informer()
	beside.Go(func() { informer.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, ctx.Err()
	}
	return informer, nil
}

// onChange calls back when a KubeFedCluster says something else of its agents, until stop is called.
func onChange(members cache.SharedIndexInformer, do func()) (stop func(), err error) {
	registration, err := members.AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: func(any) { do() },
		UpdateFunc: func(old, object any) {
			before, after := old.(*v1beta1.KubeFedCluster), object.(*v1beta1.KubeFedCluster)
			for _, annotation := range []string{v1beta1.AgentsRevokedAnnotation, v1beta1.NodeAgentsRevokedAnnotation} {
				if before.Annotations[annotation] != after.Annotations[annotation] {
					do()
					return
				}
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("follow KubeFedClusters: %w", err)
	}
	return func() { _ = members.RemoveEventHandler(registration) }, nil
}
