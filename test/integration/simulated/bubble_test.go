package simulated_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation"
	"github.com/koinon-io/koinon/pkg/federation/book"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/follow"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/propagation"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/pkg/generated/informers/externalversions"
	"github.com/koinon-io/koinon/test/simulation"
)

// A world is an engine with its host and its members, in a bubble of testing/synctest: hours pass
// in a moment, and once nothing is left to do but to wait, every goroutine waits. So what happens
// can be told by what was asked of whom, and never by how fast this machine is. There is no
// network in it, and no registry of members: they are well, unless a test says otherwise.
type world struct {
	*testing.T
	host    *simulation.Member
	client  dynamic.Interface // of the host
	members map[string]*simulation.Member
	// made is how many Jobs were made in a member.
	made map[string]*atomic.Int64
	// served is what answers for a member, if that is not the member itself.
	served map[string]http.Handler

	// record is who is told what happens to objects; nil: nobody.
	record func(about *corev1.ObjectReference, happened ...events.Event)

	// follows has federated objects follow native ones of the host.
	follows bool

	// looks is how often the engine has looked up a member, which it does for each target of an
	// object that it looks at.
	looks atomic.Int64
	// paused says that the KubeFedConfig turns propagation off.
	paused atomic.Bool

	mu      sync.Mutex
	joined  map[string]membership.Member // guarded by mu
	engine  *propagation.Engine          // guarded by mu
	running *sync.WaitGroup
	end     context.CancelFunc
}

// inWorld runs a test in a bubble, with members m1, m2, …, and the namespace shop.
func inWorld(t *testing.T, members int, do func(*world)) {
	t.Helper()
	inWorldOf(t, members, simulation.Options{Types: simulation.HostTypes()}, do)
}

// inBubble is synctest.Test on one processor. On several, Go 1.26 may run two timers of a bubble that are due at once in two
// threads, both with what the race detector keeps for the one, and crashes.
func inBubble(t *testing.T, do func(*testing.T)) {
	t.Helper()
	defer goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(1))
	synctest.Test(t, do)
}

// inWorldOf is inWorld with another host.
func inWorldOf(t *testing.T, members int, hostOptions simulation.Options, do func(*world)) {
	t.Helper()
	inBubble(t, func(t *testing.T) {
		w := &world{
			T: t, members: map[string]*simulation.Member{}, made: map[string]*atomic.Int64{}, served: map[string]http.Handler{},
			host: simulation.NewMember("host", 0, hostOptions),
		}
		w.client = dynamic.NewForConfigOrDie(w.host.InProcess())
		for i := 1; i <= members; i++ {
			name := fmt.Sprintf("m%d", i)
			made := &atomic.Int64{}
			w.made[name] = made
			w.members[name] = simulation.NewMember(name, i, simulation.Options{Seed: 1, ManagedFields: true, OnChange: func(e simulation.Event) {
				if e.Resource == simulation.Jobs && e.Before == nil {
					made.Add(1)
				}
			}})
		}
		for _, name := range []string{v1beta1.DefaultNamespace, "shop"} {
			w.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": name}})
		}
		w.put(simulation.FederatedNamespaces, simulation.FederatedNamespace("shop"))
		for _, ftc := range federation.DefaultTypes(v1beta1.DefaultNamespace) {
			if ftc.Name == "configmaps" || ftc.Name == "namespaces" || ftc.Name == "deployments.apps" || ftc.Name == "jobs.batch" {
				v1beta1.SetDefaults_FederatedTypeConfig(ftc)
				w.put(v1beta1.SchemeGroupVersion.WithResource("federatedtypeconfigs"), tree(t, ftc))
			}
		}
		for name := range w.members {
			w.join(name)
		}
		do(w)
	})
}

func tree(t *testing.T, object any) map[string]any {
	t.Helper()
	converted, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	return converted
}

func (w *world) put(gvr schema.GroupVersionResource, object map[string]any) {
	w.Helper()
	if err := w.host.Put(gvr, object); err != nil {
		w.Fatal(err)
	}
}

var clusters = v1beta1.SchemeGroupVersion.WithResource("kubefedclusters")

// join makes the KubeFedCluster of a member, which is the one that is connected to.
func (w *world) join(name string) {
	w.Helper()
	w.makeCluster(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	if m, connected := w.joined[name]; connected {
		m.UID = w.clusterUID(name)
		w.joined[name] = m
	}
}

// makeCluster makes the KubeFedCluster of a member, and nobody has connected to it.
func (w *world) makeCluster(name string) {
	w.Helper()
	w.put(clusters, tree(w.T, &v1beta1.KubeFedCluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: "KubeFedCluster"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: v1beta1.DefaultNamespace, Labels: map[string]string{"all": "true"}},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: "https://" + name, SecretRef: v1beta1.LocalSecretReference{Name: name}},
	}))
}

// clusterUID is that of a member's KubeFedCluster.
func (w *world) clusterUID(name string) types.UID {
	u := unstructured.Unstructured{Object: w.host.Object(clusters, v1beta1.DefaultNamespace, name)}
	return u.GetUID()
}

// Get implements propagation.Members.
func (w *world) Get(name string) (membership.Member, bool) {
	w.looks.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.joined[name]
	return m, ok
}

// List implements propagation.Members.
func (w *world) List() []membership.Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.joined))
}

// health says how a member is, and tells the engine.
func (w *world) health(name string, health membership.Health, problem string) {
	w.mu.Lock()
	m := w.joined[name]
	came := health == membership.Ready && m.Health != health
	m.Health, m.Problem = health, problem
	w.joined[name] = m
	engine := w.engine
	w.mu.Unlock()
	if came {
		m.Conn.Retry()
	}
	engine.MemberChanged(name)
}

// start runs the engine, until stop; it may be called again then.
func (w *world) start() {
	w.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	w.end, w.running = cancel, &sync.WaitGroup{}
	config := w.host.InProcess()
	koinon, kube := versioned.NewForConfigOrDie(config), kubernetes.NewForConfigOrDie(config)
	system := externalversions.NewSharedInformerFactoryWithOptions(koinon, 0, externalversions.WithNamespace(v1beta1.DefaultNamespace))
	everywhere := externalversions.NewSharedInformerFactory(koinon, 0)
	hosts := informers.NewSharedInformerFactory(kube, 0)
	core, pages := system.KubeFedCore().V1beta1(), system.Federation().V1alpha1().MemberNamespaces()
	kept, err := book.New(koinon.FederationV1alpha1().MemberNamespaces(), pages.Informer().GetIndexer())
	if err != nil {
		w.Fatal(err)
	}
	clusters, err := propagation.NewClusters(core.KubeFedClusters().Informer(), v1beta1.DefaultNamespace)
	if err != nil {
		w.Fatal(err)
	}
	checker, err := hostwatch.NewChecker(config)
	if err != nil {
		w.Fatal(err)
	}
	var follower *follow.Controller
	engine, err := propagation.New(propagation.Config{
		HostConfig: config, Checker: checker, Members: w, SystemNamespace: v1beta1.DefaultNamespace,
		Clusters:   clusters,
		Scope:      v1beta1.ClusterScoped,
		Types:      core.FederatedTypeConfigs().Lister().FederatedTypeConfigs(v1beta1.DefaultNamespace),
		TypeClient: koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(v1beta1.DefaultNamespace),
		Cells:      everywhere.Federation().V1alpha1().Cells().Lister(),
		EdgeUnits:  everywhere.Edge().V1alpha1().EdgeUnits().Lister(),
		Namespaces: hosts.Core().V1().Namespaces().Lister(),
		Book:       kept, Federation: "here", Adopt: func() bool { return true }, CollectRaw: func() bool { return true },
		Record: w.record, Paused: w.paused.Load, OnCensus: func(string, string) {},
		OnObject: func(kind, namespace, name string, inMember bool) {
			if follower != nil && !inMember {
				follower.ObjectChanged(kind, namespace, name)
			}
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	if w.follows {
		follower, err = follow.New(follow.Config{
			HostConfig: config, Checker: checker, Types: core.FederatedTypeConfigs().Lister().FederatedTypeConfigs(v1beta1.DefaultNamespace),
			Objects: engine, Record: w.record,
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	w.connect(ctx, engine)
	listen := func(informer cache.SharedIndexInformer, changed func(name string)) {
		told := func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			changed(object.(metav1.Object).GetName())
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: told, DeleteFunc: told, UpdateFunc: func(_, object any) { told(object) },
		}); err != nil {
			w.Fatal(err)
		}
	}
	listen(core.KubeFedClusters().Informer(), func(string) { engine.ClustersChanged() })
	listen(hosts.Core().V1().Namespaces().Informer(), engine.NamespaceChanged)
	listen(pages.Informer(), engine.NamespaceChanged)
	listen(everywhere.Federation().V1alpha1().Cells().Informer(), func(string) { engine.NamespaceChanged("shop") })
	listen(core.FederatedTypeConfigs().Informer(), func(string) {})
	for _, f := range []interface {
		Start(<-chan struct{})
		Shutdown()
	}{system, everywhere, hosts} {
		f.Start(ctx.Done())
		w.running.Go(func() { // ends with ctx
			<-ctx.Done()
			f.Shutdown()
		})
	}
	synctest.Wait()
	w.running.Go(func() { // ends with ctx
		if err := engine.Run(ctx); err != nil {
			w.Errorf("the engine ended: %v", err)
		}
	})
	if follower != nil {
		w.running.Go(func() { // ends with ctx
			if err := follower.Run(ctx); err != nil {
				w.Errorf("the follower ended: %v", err)
			}
		})
	}
}

// connect connects to every member.
func (w *world) connect(ctx context.Context, engine *propagation.Engine) {
	w.Helper()
	joined := map[string]membership.Member{}
	for name, m := range w.members {
		config := m.InProcess()
		if handler := w.served[name]; handler != nil {
			config.Transport = simulation.InProcess(handler)
		}
		joined[name] = membership.Member{
			Name: name, UID: w.clusterUID(name), Labels: map[string]string{"all": "true"}, Health: membership.Ready,
			Conn: w.conn(ctx, config, func(resource schema.GroupVersionResource, event memberclient.Event) {
				engine.MemberEvent(name, resource, event.Live)
			}),
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.joined, w.engine = joined, engine
}

func (w *world) conn(ctx context.Context, config *rest.Config, told func(schema.GroupVersionResource, memberclient.Event)) *memberclient.Conn {
	w.Helper()
	conn, err := memberclient.NewConn(ctx, config, told)
	if err != nil {
		w.Fatal(err)
	}
	w.running.Go(func() { // ends with ctx
		<-ctx.Done()
		conn.Close()
	})
	return conn
}

// stop ends the engine and waits for it.
func (w *world) stop() {
	w.end()
	w.running.Wait()
}

// restart is what a failover is.
func (w *world) restart() {
	w.stop()
	w.start()
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

// placed is a federated ConfigMap; with targets nil it is placed everywhere, and with mask nil
// there is none.
func placed(name, value string, targets, mask []string) map[string]any {
	named := func(targets []string) map[string]any {
		list := []any{}
		for _, target := range targets {
			list = append(list, map[string]any{"name": target})
		}
		return map[string]any{"topologies": list}
	}
	spec := map[string]any{
		"topologyType": "cluster",
		"template":     map[string]any{"data": map[string]any{"key": value}},
		"placement":    map[string]any{"topologySelector": map[string]any{"matchLabels": map[string]any{"all": "true"}}},
	}
	if targets != nil {
		spec["placement"] = named(targets)
	}
	if mask != nil {
		spec["placementMask"] = named(mask)
	}
	return map[string]any{
		"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "shop"}, "spec": spec,
	}
}

// write makes the spec of a federated ConfigMap what object says, as a user does.
func (w *world) write(object map[string]any) {
	w.Helper()
	w.writeAs(simulation.FederatedConfigMaps, object)
}

func (w *world) writeAs(resource schema.GroupVersionResource, object map[string]any) {
	w.Helper()
	client := w.client.Resource(resource).Namespace("shop")
	u := &unstructured.Unstructured{Object: object}
	for {
		existing, err := client.Get(w.Context(), u.GetName(), metav1.GetOptions{})
		if err != nil {
			if _, err := client.Create(w.Context(), u, metav1.CreateOptions{}); err != nil {
				w.Fatal(err)
			}
			return
		}
		existing.Object["spec"] = object["spec"]
		if _, err = client.Update(w.Context(), existing, metav1.UpdateOptions{}); err == nil {
			return
		}
	}
}

func (w *world) remove(name string) {
	w.Helper()
	if err := w.client.Resource(simulation.FederatedConfigMaps).Namespace("shop").Delete(w.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
}

// states returns what the status says of each target, and whether there is an
// object at all.
func (w *world) states(name string) (states map[string]v1beta2.TargetState, there bool) {
	w.Helper()
	return w.statesOf(simulation.FederatedConfigMaps, name)
}

func (w *world) statesOf(resource schema.GroupVersionResource, name string) (states map[string]v1beta2.TargetState, there bool) {
	w.Helper()
	object := w.read(resource, name)
	if object == nil {
		return nil, false
	}
	states = map[string]v1beta2.TargetState{}
	if object.Status == nil || object.Status.ObservedGeneration != object.Generation {
		return states, true
	}
	for _, target := range object.Status.Targets {
		states[target.Name] = target.State
	}
	return states, true
}

var federatedDeployments = simulation.FederatedConfigMaps.GroupVersion().WithResource("federateddeployments")

// remoteReplicas is what the status of a federated Deployment says of m2.
func (w *world) remoteReplicas(name string) any {
	w.Helper()
	for _, target := range w.read(federatedDeployments, name).Status.Targets {
		var remote struct{ Replicas int64 }
		if target.Name == "m2" && json.Unmarshal(target.RemoteStatus, &remote) == nil {
			return remote.Replicas
		}
	}
	return nil
}

// federated returns the federated ConfigMap, nil if there is none.
func (w *world) federated(name string) *v1beta2.FederatedObject {
	w.Helper()
	return w.read(simulation.FederatedConfigMaps, name)
}

func (w *world) read(resource schema.GroupVersionResource, name string) *v1beta2.FederatedObject {
	w.Helper()
	stored := w.host.Object(resource, "shop", name)
	if stored == nil {
		return nil
	}
	data, err := json.Marshal(stored)
	if err != nil {
		w.Fatal(err)
	}
	object := &v1beta2.FederatedObject{}
	if err := json.Unmarshal(data, object); err != nil {
		w.Fatal(err)
	}
	return object
}
