package cellaccess_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// stock does what an unmodified KubeFed controller-manager v0.10 does to its host and to members, by the
// facts that were observed of it: it knows v1beta1 and KubeFedClusters only, reads the Secret of one
// when it is new or its spec, labels or annotations have changed, holds informers of what is marked
// kubefed.io/managed=true in every cluster, for every type, and reconciles nothing before all
// informers of ready clusters have synced. It knows no cells, no masks and no member namespaces. Rounds
// come one after the other, where KubeFed has periods and events.
type stock struct {
	host     dynamic.Interface
	secrets  kubernetes.Interface
	clusters map[string]*stockCluster
	// versions are those that were recorded of what was sent, by type, object and cluster, with what
	// was sent: KubeFed keeps them in PropagatedVersions.
	versions map[string]string
	// rebuilt counts how often a cluster was read anew.
	rebuilt map[string]int

	mu   sync.Mutex
	acts []string // guarded by mu: writes to members that succeeded, and failures
}

// stockCluster is a cluster as it is in one state of its KubeFedCluster.
type stockCluster struct {
	name, state string
	labels      labels.Set
	client      dynamic.Interface
	health      rest.Interface
	ready       bool
	informers   map[schema.GroupVersionResource]cache.SharedIndexInformer
	stop        context.CancelFunc
	running     dynamicinformer.DynamicSharedInformerFactory
}

// stockType is a FederatedTypeConfig.
type stockType struct {
	target, federated schema.GroupVersionResource
	kind              string
	namespaced        bool
}

func (t stockType) isNamespace() bool { return t.kind == "Namespace" }

const managed = "kubefed.io/managed"

var (
	kubefed       = schema.GroupVersion{Group: "core.kubefed.io", Version: "v1beta1"}
	kfcs          = kubefed.WithResource("kubefedclusters")
	ftcs          = kubefed.WithResource("federatedtypeconfigs")
	fedNamespaces = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta1", Resource: "federatednamespaces"}
	errNotSynced  = errors.New("informers have not synced: KubeFed does nothing for any cluster meanwhile, and ends after five minutes")
)

func newStock(host *rest.Config) (*stock, error) {
	client, err := dynamic.NewForConfig(host)
	if err != nil {
		return nil, err
	}
	secrets, err := kubernetes.NewForConfig(host)
	if err != nil {
		return nil, err
	}
	return &stock{host: client, secrets: secrets, clusters: map[string]*stockCluster{}, versions: map[string]string{}, rebuilt: map[string]int{}}, nil
}

func (s *stock) close() {
	for name := range s.clusters {
		s.drop(name)
	}
}

func (s *stock) drop(name string) {
	c := s.clusters[name]
	delete(s.clusters, name)
	c.stop()
	c.running.Shutdown()
}

func (s *stock) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acts = append(s.acts, fmt.Sprintf(format, args...))
}

// did returns what was done to members since it was asked last.
func (s *stock) did() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	acts := s.acts
	s.acts = nil
	return acts
}

// round checks all clusters and reconciles all objects once.
func (s *stock) round(ctx context.Context) error {
	kinds, err := s.types(ctx)
	if err != nil {
		return err
	}
	if err := s.checkClusters(ctx, kinds); err != nil {
		return err
	}
	for _, c := range s.clusters {
		for gvr, informer := range c.informers {
			if c.ready && !informer.HasSynced() {
				return fmt.Errorf("%s of cluster %s: %w", gvr.Resource, c.name, errNotSynced)
			}
		}
	}
	placedNamespaces, err := s.placedNamespaces(ctx)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := s.syncType(ctx, kind, placedNamespaces); err != nil {
			return err
		}
	}
	return nil
}

func (s *stock) types(ctx context.Context) (kinds []stockType, err error) {
	list, err := s.host.Resource(ftcs).Namespace(system).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, ftc := range list.Items {
		if text(&ftc, "spec", "propagation") != "Enabled" {
			continue
		}
		gvr := func(of string) schema.GroupVersionResource {
			return schema.GroupVersionResource{Group: text(&ftc, "spec", of, "group"), Version: text(&ftc, "spec", of, "version"), Resource: text(&ftc, "spec", of, "pluralName")}
		}
		kinds = append(kinds, stockType{target: gvr("targetType"), federated: gvr("federatedType"), kind: text(&ftc, "spec", "targetType", "kind"), namespaced: text(&ftc, "spec", "targetType", "scope") == "Namespaced"})
	}
	return kinds, nil
}

// checkClusters reads clusters that are new or have changed anew, asks all for their health, and
// writes the status of each.
func (s *stock) checkClusters(ctx context.Context, kinds []stockType) error {
	list, err := s.host.Resource(kfcs).Namespace(system).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for i := range list.Items {
		object := &list.Items[i]
		there[object.GetName()] = true
		state, err := json.Marshal([]any{object.GetUID(), object.Object["spec"], object.GetLabels(), object.GetAnnotations()})
		if err != nil {
			return err
		}
		c := s.clusters[object.GetName()]
		if c == nil || c.state != string(state) {
			if c != nil {
				s.drop(c.name)
			}
			if c, err = s.read(ctx, object, string(state), kinds); err != nil {
				s.note("failed to read cluster %s: %v", object.GetName(), err)
				continue
			}
			s.clusters[c.name] = c
			s.rebuilt[c.name]++
		}
		if err := s.probe(ctx, c, object); err != nil && !apierrors.IsConflict(err) {
			return err
		}
	}
	for name := range s.clusters {
		if !there[name] {
			s.drop(name)
		}
	}
	return nil
}

func (s *stock) read(ctx context.Context, object *unstructured.Unstructured, state string, kinds []stockType) (*stockCluster, error) {
	var cluster struct {
		Spec struct {
			APIEndpoint string
			CABundle    []byte
			SecretRef   struct{ Name string }
		}
	}
	data, err := object.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, &cluster)
	}
	if err != nil {
		return nil, err
	}
	secret, err := s.secrets.CoreV1().Secrets(system).Get(ctx, cluster.Spec.SecretRef.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if len(secret.Data["token"]) == 0 {
		return nil, fmt.Errorf("the Secret %s has no token", secret.Name)
	}
	config := &rest.Config{Host: cluster.Spec.APIEndpoint, BearerToken: string(secret.Data["token"]), QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: cluster.Spec.CABundle}, ContentConfig: rest.ContentConfig{AcceptContentTypes: "application/json", ContentType: "application/json"}}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	health, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	c := &stockCluster{name: object.GetName(), state: state, labels: object.GetLabels(), client: client, health: health.RESTClient(), informers: map[schema.GroupVersionResource]cache.SharedIndexInformer{}, stop: stop}
	c.running = dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, metav1.NamespaceAll, func(o *metav1.ListOptions) { o.LabelSelector = managed + "=true" })
	for _, kind := range kinds {
		c.informers[kind.target] = c.running.ForResource(kind.target).Informer()
	}
	c.running.Start(background.Done())
	return c, nil
}

func (s *stock) probe(ctx context.Context, c *stockCluster, object *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	now := time.Now().UTC().Format(time.RFC3339)
	condition := map[string]any{"type": "Ready", "status": "True", "reason": "ClusterReady", "message": "/healthz responded with ok", "lastProbeTime": now, "lastTransitionTime": now}
	body, err := c.health.Get().AbsPath("/healthz").Do(ctx).Raw()
	if c.ready = err == nil && string(body) == "ok"; c.ready {
		_, err = c.health.Get().AbsPath("/version").Do(ctx).Raw()
	} else {
		condition["type"], condition["reason"], condition["message"] = "Offline", "ClusterNotReachable", fmt.Sprint(err)
	}
	if err != nil {
		c.ready = false
	}
	object = object.DeepCopy()
	object.Object["status"] = map[string]any{"conditions": []any{condition}}
	_, err = s.host.Resource(kfcs).Namespace(system).UpdateStatus(ctx, object, metav1.UpdateOptions{})
	return err
}

func text(object *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(object.Object, path...)
	return value
}

// placed are the clusters that an object names or selects, and that are there.
func (s *stock) placed(object *unstructured.Unstructured) map[string]bool {
	placed := map[string]bool{}
	if list, ok, _ := unstructured.NestedSlice(object.Object, "spec", "placement", "clusters"); ok {
		for _, item := range list {
			if name, _ := item.(map[string]any)["name"].(string); s.clusters[name] != nil {
				placed[name] = true
			}
		}
		return placed
	}
	tree, ok, _ := unstructured.NestedMap(object.Object, "spec", "placement", "clusterSelector")
	if !ok {
		return placed
	}
	var selector metav1.LabelSelector
	data, _ := json.Marshal(tree)
	_ = json.Unmarshal(data, &selector)
	selects, err := metav1.LabelSelectorAsSelector(&selector)
	for name, c := range s.clusters {
		placed[name] = err == nil && selects.Matches(c.labels)
	}
	return placed
}

// placedNamespaces are the clusters of each namespace that is federated.
func (s *stock) placedNamespaces(ctx context.Context) (map[string]map[string]bool, error) {
	list, err := s.host.Resource(fedNamespaces).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	placed := map[string]map[string]bool{}
	for i := range list.Items {
		placed[list.Items[i].GetNamespace()] = s.placed(&list.Items[i])
	}
	return placed, nil
}

func (s *stock) syncType(ctx context.Context, kind stockType, placedNamespaces map[string]map[string]bool) error {
	list, err := s.host.Resource(kind.federated).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for i := range list.Items {
		federated := &list.Items[i]
		known[kind.key(federated)] = true
		if err := s.sync(ctx, kind, federated, placedNamespaces[federated.GetNamespace()]); err != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("%s %s: %w", kind.federated.Resource, kind.key(federated), err)
		}
	}
	for _, c := range s.clusters {
		for _, key := range c.informers[kind.target].GetStore().ListKeys() {
			if !known[key] && c.ready {
				s.release(ctx, c, kind, key)
			}
		}
	}
	return nil
}

// key is that of a federated object's target in every cluster.
func (t stockType) key(federated *unstructured.Unstructured) string {
	if t.namespaced {
		return federated.GetNamespace() + "/" + federated.GetName()
	}
	return federated.GetName()
}

func (c *stockCluster) at(kind stockType, key string) (dynamic.ResourceInterface, string) {
	namespace, name, _ := cache.SplitMetaNamespaceKey(key)
	if kind.namespaced {
		return c.client.Resource(kind.target).Namespace(namespace), name
	}
	return c.client.Resource(kind.target), name
}

func (c *stockCluster) cached(kind stockType, key string) *unstructured.Unstructured {
	object, ok, err := c.informers[kind.target].GetStore().GetByKey(key)
	if err != nil || !ok {
		return nil
	}
	return object.(*unstructured.Unstructured)
}

// release takes the mark from what has no federated object any more.
func (s *stock) release(ctx context.Context, c *stockCluster, kind stockType, key string) {
	client, name := c.at(kind, key)
	_, err := client.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"labels":{"`+managed+`":null}}}`), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		s.note("failed to release %s %s in %s: %v", kind.kind, key, c.name, err)
		return
	}
	s.note("released %s %s in %s", kind.kind, key, c.name)
}

const finalizer = "kubefed.io/sync-controller"

func (s *stock) sync(ctx context.Context, kind stockType, federated *unstructured.Unstructured, ofNamespace map[string]bool) error {
	key, placed := kind.key(federated), s.placed(federated)
	if kind.namespaced {
		maps.DeleteFunc(placed, func(name string, _ bool) bool { return !ofNamespace[name] })
	}
	host := s.host.Resource(kind.federated).Namespace(federated.GetNamespace())
	if federated.GetNamespace() == "" {
		host = nil
	}
	client := func() dynamic.ResourceInterface {
		if host == nil {
			return s.host.Resource(kind.federated)
		}
		return host
	}()
	if federated.GetDeletionTimestamp() != nil {
		return s.end(ctx, client, kind, federated, placed)
	}
	if !slices.Contains(federated.GetFinalizers(), finalizer) {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": append(federated.GetFinalizers(), finalizer)}})
		if err == nil {
			federated, err = client.Patch(ctx, federated.GetName(), types.MergePatchType, patch, metav1.PatchOptions{})
		}
		if err != nil {
			return err
		}
	}
	states := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
		c := s.clusters[name]
		live := c.cached(kind, key)
		switch {
		case !c.ready:
			if placed[name] {
				states[name] = "ClusterNotReady"
			}
		case !placed[name] && live != nil:
			states[name] = s.remove(ctx, c, kind, key, live)
		case placed[name] && live == nil:
			states[name] = s.create(ctx, c, kind, key, federated)
		case placed[name]:
			states[name] = s.update(ctx, c, kind, key, federated, live, false)
		}
	}
	return s.writeStatus(ctx, client, federated, states)
}

func (s *stock) remove(ctx context.Context, c *stockCluster, kind stockType, key string, live *unstructured.Unstructured) string {
	if live.GetDeletionTimestamp() != nil {
		return "WaitingForRemoval"
	}
	client, name := c.at(kind, key)
	delete(s.versions, kind.kind+" "+key+" "+c.name)
	if err := client.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		s.note("failed to delete %s %s in %s: %v", kind.kind, key, c.name, err)
		return "DeletionFailed"
	}
	s.note("deleted %s %s in %s", kind.kind, key, c.name)
	return "WaitingForRemoval"
}

// desired renders an object for a cluster: template, names, overrides, the mark.
func (s *stock) desired(c *stockCluster, kind stockType, key string, federated, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	template, _, _ := unstructured.NestedMap(federated.Object, "spec", "template")
	object := &unstructured.Unstructured{Object: template}
	if object.Object == nil {
		object.Object = map[string]any{}
	}
	object.SetAnnotations(nil)
	object.SetFinalizers(nil)
	object.SetAPIVersion(kind.target.GroupVersion().String())
	object.SetKind(kind.kind)
	namespace, name, _ := cache.SplitMetaNamespaceKey(key)
	object.SetName(name)
	if kind.namespaced {
		object.SetNamespace(namespace)
	}
	if live != nil { // what an update retains
		object.SetResourceVersion(live.GetResourceVersion())
		object.SetFinalizers(live.GetFinalizers())
		object.SetAnnotations(live.GetAnnotations())
		if kind.kind == "ServiceAccount" && live.Object["secrets"] != nil {
			object.Object["secrets"] = live.Object["secrets"]
		}
		if kind.kind == "Service" {
			for _, field := range []string{"clusterIP", "clusterIPs"} {
				if value, ok, _ := unstructured.NestedFieldCopy(live.Object, "spec", field); ok {
					_ = unstructured.SetNestedField(object.Object, value, "spec", field)
				}
			}
		}
	}
	overrides, _, _ := unstructured.NestedSlice(federated.Object, "spec", "overrides")
	for _, item := range overrides {
		of := item.(map[string]any)
		if of["clusterName"] != c.name {
			continue
		}
		for _, one := range of["clusterOverrides"].([]any) {
			if err := override(object, one.(map[string]any)); err != nil {
				return nil, err
			}
		}
	}
	marks := object.GetLabels()
	if marks == nil {
		marks = map[string]string{}
	}
	marks[managed] = "true"
	object.SetLabels(marks)
	return object, nil
}

func (s *stock) create(ctx context.Context, c *stockCluster, kind stockType, key string, federated *unstructured.Unstructured) string {
	object, err := s.desired(c, kind, key, federated, nil)
	if err != nil {
		return "ApplyOverridesFailed"
	}
	client, name := c.at(kind, key)
	created, err := client.Create(ctx, object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) || kind.isNamespace() && apierrors.IsServerTimeout(err) {
		live, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			s.note("failed to get %s %s in %s: %v", kind.kind, key, c.name, err)
			return "RetrievalFailed"
		}
		return s.update(ctx, c, kind, key, federated, live, true)
	}
	if err != nil {
		s.note("failed to create %s %s in %s: %v", kind.kind, key, c.name, err)
		return "CreationFailed"
	}
	s.note("created %s %s in %s", kind.kind, key, c.name)
	s.record(c, kind, key, federated, created)
	return ""
}

// record keeps the version of what was sent.
func (s *stock) record(c *stockCluster, kind stockType, key string, federated, live *unstructured.Unstructured) {
	s.versions[kind.kind+" "+key+" "+c.name] = sent(federated) + version(live)
}

// sent stands for template and overrides: a change of one is a change for all clusters.
func sent(federated *unstructured.Unstructured) string {
	data, _ := json.Marshal([]any{federated.GetUID(), federated.Object["spec"].(map[string]any)["template"], federated.Object["spec"].(map[string]any)["overrides"]})
	return string(data)
}

func version(live *unstructured.Unstructured) string {
	if live.GetGeneration() > 0 {
		return fmt.Sprintf("gen:%d", live.GetGeneration())
	}
	return "rv:" + live.GetResourceVersion()
}

func (s *stock) update(ctx context.Context, c *stockCluster, kind stockType, key string, federated, live *unstructured.Unstructured, adopted bool) string {
	switch {
	case live.GetLabels()[managed] == "false":
		return "ManagedLabelFalse"
	case live.GetDeletionTimestamp() != nil:
		return "WaitingForRemoval"
	}
	object, err := s.desired(c, kind, key, federated, live)
	if err != nil {
		return "ApplyOverridesFailed"
	}
	if !adopted && s.versions[kind.kind+" "+key+" "+c.name] == sent(federated)+version(live) &&
		(live.GetGeneration() == 0 || maps.Equal(object.GetLabels(), live.GetLabels())) {
		return ""
	}
	client, _ := c.at(kind, key)
	updated, err := client.Update(ctx, object, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return "UpdateFailed" // the informer is behind; tried again
	}
	if err != nil {
		s.note("failed to update %s %s in %s: %v", kind.kind, key, c.name, err)
		return "UpdateFailed"
	}
	if updated.GetUID() != live.GetUID() {
		s.note("failed: %s %s in %s is another than was updated", kind.kind, key, c.name)
	}
	if updated.GetResourceVersion() != live.GetResourceVersion() {
		s.note("updated %s %s in %s", kind.kind, key, c.name)
	}
	s.record(c, kind, key, federated, updated)
	return ""
}

// end deletes what an object has in its clusters, and lets it go once it is gone there.
func (s *stock) end(ctx context.Context, client dynamic.ResourceInterface, kind stockType, federated *unstructured.Unstructured, placed map[string]bool) error {
	if !slices.Contains(federated.GetFinalizers(), finalizer) {
		return nil
	}
	key, waits := kind.key(federated), false
	for _, name := range slices.Sorted(maps.Keys(placed)) {
		if !placed[name] {
			continue
		}
		c := s.clusters[name]
		if !c.ready {
			return nil
		}
		if live := c.cached(kind, key); live != nil {
			waits = true
			s.remove(ctx, c, kind, key, live)
			continue
		}
		at, target := c.at(kind, key)
		live, err := at.Get(ctx, target, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			s.note("failed to look for %s %s in %s: %v", kind.kind, key, name, err)
			return nil
		}
		waits = waits || err == nil && live.GetLabels()[managed] == "true"
	}
	if waits {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(federated.GetFinalizers()), func(f string) bool { return f == finalizer })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": left}})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, federated.GetName(), types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// writeStatus puts the status together from the fields that KubeFed knows.
func (s *stock) writeStatus(ctx context.Context, client dynamic.ResourceInterface, federated *unstructured.Unstructured, states map[string]string) error {
	condition := map[string]any{"type": "Propagation", "status": "True"}
	clusters := []any{}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		cluster := map[string]any{"name": name}
		if states[name] != "" {
			cluster["status"] = states[name]
			condition["status"], condition["reason"] = "False", "CheckClusters"
		}
		clusters = append(clusters, cluster)
	}
	status := map[string]any{"observedGeneration": federated.GetGeneration(), "conditions": []any{condition}, "clusters": clusters}
	was, _, _ := unstructured.NestedMap(federated.Object, "status")
	if fmt.Sprint(known(was)) == fmt.Sprint(known(status)) {
		return nil
	}
	object := federated.DeepCopy()
	object.Object["status"] = status
	_, err := client.UpdateStatus(ctx, object, metav1.UpdateOptions{})
	return err
}

// known are the fields of a status that KubeFed compares.
func known(status map[string]any) (fields []any) {
	fields = append(fields, status["observedGeneration"])
	for _, list := range []string{"conditions", "clusters"} {
		items, _ := status[list].([]any)
		for _, item := range items {
			of, _ := item.(map[string]any)
			fields = append(fields, of["type"], of["name"], of["status"], of["reason"])
		}
	}
	return fields
}
