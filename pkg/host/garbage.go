package host

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

// garbageInformers are the informers of the garbage collector: one for each of its monitors,
// which ends with it. A shared factory's go on for ever once they are started, and those of
// kinds that are gone then ask for them for ever (kubernetes/kubernetes#79610).
//
// They hold metadata only, of native resources too: a second copy of every Secret must not be
// kept in memory.
type garbageInformers struct{ client metadata.Interface }

// ForResource implements informerfactory.InformerFactory. The collector asks once for each
// monitor that it makes, and again when a kind has returned.
func (g garbageInformers) ForResource(resource schema.GroupVersionResource) (informers.GenericInformer, error) {
	informer := metadatainformer.NewFilteredMetadataInformer(g.client, resource, metav1.NamespaceAll, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}, nil)
	if err := informer.Informer().SetTransform(trim); err != nil {
		return nil, err
	}
	return monitored{informer}, nil
}

// Start implements informerfactory.InformerFactory. Monitors start their informers themselves.
func (garbageInformers) Start(<-chan struct{}) {}

// monitored is an informer that runs as long as its controller does.
type monitored struct{ informers.GenericInformer }

// Informer implements informers.GenericInformer.
func (m monitored) Informer() cache.SharedIndexInformer {
	return monitoredInformer{m.GenericInformer.Informer()}
}

type monitoredInformer struct{ cache.SharedIndexInformer }

// GetController returns what a monitor runs, from its start to its end: the informer itself.
// That of a shared informer does nothing when it is run.
func (m monitoredInformer) GetController() cache.Controller { return m.SharedIndexInformer }
