package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// list is what a program of the node lists and watches.
type list struct {
	// who is kubelet if it is empty, and else one of accounts.
	who                 string
	group, resource     string // group is of core if it is empty
	namespace           string
	labels, fieldsExact string
}

// lists are what kubelet 1.36 with some pods, kube-proxy, CoreDNS and, if it is there, flannel hold open on a node.
func lists(node string, pods int, withFlannel bool) []list {
	const notHeadless, notProxied = "!service.kubernetes.io/headless", "!service.kubernetes.io/service-proxy-name"
	all := []list{
		{resource: "nodes", fieldsExact: "metadata.name=" + node},
		{resource: "services", fieldsExact: "spec.clusterIP!=None"},
		{resource: "pods", fieldsExact: "spec.nodeName=" + node},
		{group: "node.k8s.io", resource: "runtimeclasses"},
		{group: "storage.k8s.io", resource: "csidrivers"},
		{who: kubeProxy, resource: "nodes", fieldsExact: "metadata.name=" + node},
		{who: kubeProxy, resource: "services", labels: notProxied, fieldsExact: "spec.clusterIP!=None"},
		{who: kubeProxy, group: "discovery.k8s.io", resource: "endpointslices", labels: notHeadless},
		{who: kubeProxy, group: "networking.k8s.io", resource: "servicecidrs"},
		{who: coreDNS, resource: "services"},
		{who: coreDNS, resource: "namespaces"},
		{who: coreDNS, group: "discovery.k8s.io", resource: "endpointslices"},
	}
	if withFlannel {
		all = append(all, list{who: flannel, resource: "nodes"})
	}
	for i := range min(pods, podNamespaces) {
		all = append(all, list{resource: "configmaps", namespace: podNamespace(i), fieldsExact: "metadata.name=" + rootCA})
	}
	for i := range pods {
		all = append(all, list{resource: "configmaps", namespace: podNamespace(i), fieldsExact: "metadata.name=" + settings(i).Name},
			list{resource: "secrets", namespace: podNamespace(i), fieldsExact: "metadata.name=" + password(i).Name})
		if i%2 == 0 {
			all = append(all, list{resource: "configmaps", namespace: podNamespace(i), fieldsExact: "metadata.name=" + more(i).Name})
		}
	}
	return all
}

// follower is a program's copy of what it lists.
type follower struct {
	of   list
	mark string // an annotation that is looked for

	synced atomic.Bool
	// marked is the last value of the annotation.
	marked atomic.Value
	count  atomic.Int64
}

var _ cache.ReflectorStore = (*follower)(nil)

// Add implements cache.ReflectorStore.
func (f *follower) Add(o any) error {
	f.count.Add(1)
	return f.Update(o)
}

// Update implements cache.ReflectorStore.
func (f *follower) Update(o any) error {
	if a, err := meta.Accessor(o); err == nil && a.GetAnnotations()[f.mark] != "" {
		f.marked.Store(a.GetAnnotations()[f.mark])
	}
	return nil
}

// Delete implements cache.ReflectorStore.
func (f *follower) Delete(any) error {
	f.count.Add(-1)
	return nil
}

// Replace implements cache.ReflectorStore.
func (f *follower) Replace(all []any, _ string) error {
	f.count.Store(int64(len(all)))
	for _, o := range all {
		_ = f.Update(o) // never fails
	}
	f.synced.Store(true)
	return nil
}

// Resync implements cache.ReflectorStore.
func (f *follower) Resync() error { return nil }

// site is the programs of a node that follow.
type site struct {
	followers []*follower
	running   sync.WaitGroup
	end       context.CancelFunc
}

// way is how programs of a node reach an API server: kubelet, and pods with a token.
type way struct {
	kubelet, pods *rest.Config
}

// configOf is that of a program.
func (y *way) configOf(w *world, who string) *rest.Config {
	if who == "" {
		return rest.CopyConfig(y.kubelet)
	}
	config := rest.CopyConfig(y.pods)
	config.BearerToken = w.tokens[who]
	return config
}

// startSite has programs follow until close, as client-go does by default but for its limit on requests.
func (w *world) startSite(y *way, all []list, mark string) (*site, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &site{end: cancel}
	clients := map[string]kubernetes.Interface{}
	for _, l := range all {
		client := clients[l.who]
		if client == nil {
			config := y.configOf(w, l.who)
			config.QPS = -1
			config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
			var err error
			if client, err = kubernetes.NewForConfig(config); err != nil {
				cancel()
				return nil, err
			}
			clients[l.who] = client
		}
		f := &follower{of: l, mark: mark}
		s.followers = append(s.followers, f)
		r := cache.NewReflectorWithOptions(l.listWatch(client), nil, f, cache.ReflectorOptions{Name: "edgebench"})
		s.running.Go(func() { r.RunWithContext(ctx) }) // ends with close
	}
	return s, nil
}

func (s *site) close() {
	s.end()
	s.running.Wait()
}

// clientOf is the part of a client that lists something.
func (l *list) clientOf(client kubernetes.Interface) rest.Interface {
	switch l.group {
	case "discovery.k8s.io":
		return client.DiscoveryV1().RESTClient()
	case "networking.k8s.io":
		return client.NetworkingV1().RESTClient()
	case "node.k8s.io":
		return client.NodeV1().RESTClient()
	case "storage.k8s.io":
		return client.StorageV1().RESTClient()
	}
	return client.CoreV1().RESTClient()
}

func (l *list) listWatch(client kubernetes.Interface) *cache.ListWatch {
	return cache.NewFilteredListWatchFromClient(l.clientOf(client), l.resource, l.namespace, func(o *metav1.ListOptions) {
		o.LabelSelector, o.FieldSelector = l.labels, l.fieldsExact
	})
}

// hasSynced is an error until all have read what there is.
func (s *site) hasSynced(context.Context) error {
	for _, f := range s.followers {
		if !f.synced.Load() {
			return fmt.Errorf("%+v was not read", f.of)
		}
	}
	return nil
}

// sees is an error until so many have seen a mark.
func (s *site) sees(mark string, wanted int) error {
	n := 0
	for _, f := range s.followers {
		if f.marked.Load() == mark {
			n++
		}
	}
	if n != wanted {
		return fmt.Errorf("%d of %d have seen %s", n, wanted, mark)
	}
	return nil
}
