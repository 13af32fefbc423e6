package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/simulation"
)

// tenant changes an object of one tenant in many members, alone, beside another tenant that does its
// worst, and beside the same one with a bound on its requests.
func (b *bench) tenant(ctx context.Context) error {
	members := b.times(100, 20)
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), func(int) map[string]string { return map[string]string{"all": "true"} }); err != nil {
			return err
		}
		name := objectPrefix + "everywhere"
		made := w.expect(name, 0, members, nil)
		if err := w.create(ctx, name, placement{topology: "cluster", labels: map[string]string{"all": "true"}}); err != nil {
			return err
		}
		if _, err := w.await(ctx, made); err != nil {
			return err
		}
		if err := w.admitRival(ctx); err != nil {
			return err
		}
		return w.besideRival(ctx, name)
	})
}

func (w *world) besideRival(ctx context.Context, name string) error {
	members, round, alone := len(w.fleet.Members()), 1, time.Duration(0)
	var aloneP99 time.Duration
	for _, situation := range []struct {
		name  string
		begin func(context.Context) (*rival, error)
	}{
		{"alone", func(context.Context) (*rival, error) { return nil, nil }},
		{"beside a tenant that does its worst", w.unleash},
		{"beside the same, with a bound on its requests", func(ctx context.Context) (*rival, error) {
			if err := w.boundRival(ctx); err != nil {
				return nil, err
			}
			return w.unleash(ctx)
		}},
	} {
		w.Say("%s", situation.name)
		if err := w.rest(ctx, 3*time.Second); err != nil {
			return err
		}
		rival, err := situation.begin(ctx)
		if err != nil {
			return err
		}
		began, cpu := time.Now(), w.cpu()
		took, err := w.pacedChanges(ctx, name, round, members, nil)
		seconds, used := time.Since(began).Seconds(), w.cpu()-cpu
		if rival != nil {
			rival.end()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", situation.name, err)
		}
		round += w.rounds
		p50, p99 := report.Percentile(took, 50), report.Percentile(took, 99)
		w.tell("s", p50.Seconds(), "one tenant's object → %d members, update, median, %s", members, situation.name)
		w.tell("s", p99.Seconds(), "one tenant's object → %d members, update, P99, %s", members, situation.name)
		w.tell("CPU-s/s", used/seconds, "the server, %s", situation.name)
		if rival == nil {
			alone, aloneP99 = p50, p99
			continue
		}
		w.tell("a second", float64(rival.accepted.Load())/seconds, "requests of the other tenant that were accepted, %s", situation.name)
		w.tell("a second", float64(rival.refused.Load())/seconds, "requests of the other tenant that were refused, %s", situation.name)
		w.tell("", p50.Seconds()/alone.Seconds(), "median ÷ alone, %s", situation.name)
		w.aim("", p99.Seconds()/aloneP99.Seconds(), 1.2, "P99 ÷ alone, %s", situation.name)
		if err := w.clearRival(ctx); err != nil {
			return err
		}
	}
	return nil
}

const (
	// rivalName is the other tenant: its user and its namespace.
	rivalName = "rival"
	// rivalClients are how many requests it makes at once.
	rivalClients = 16
)

// admitRival makes the namespace of the other tenant, and gives it what namespace users have.
func (w *world) admitRival(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: rivalName}}
	if _, err := w.kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make namespace %s: %w", rivalName, err)
	}
	if err := w.federateNamespace(ctx, rivalName); err != nil {
		return err
	}
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: rivalName},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{federatedConfigMaps.Group}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	}
	if _, err := w.kube.RbacV1().Roles(rivalName).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make role %s: %w", rivalName, err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: rivalName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: rivalName},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: rivalName}},
	}
	_, err := w.kube.RbacV1().RoleBindings(rivalName).Create(ctx, binding, metav1.CreateOptions{})
	return err
}

// boundRival bounds what the other tenant's requests may take, as docs/operations-standalone.md tells
// administrators to.
func (w *world) boundRival(ctx context.Context) error {
	flows := w.kube.FlowcontrolV1()
	level := &flowcontrolv1.PriorityLevelConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "tenants"},
		Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementLimited,
			Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
				NominalConcurrencyShares: ptr.To[int32](1), BorrowingLimitPercent: ptr.To[int32](0),
				LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeQueue, Queuing: &flowcontrolv1.QueuingConfiguration{
					Queues: 16, HandSize: 1, QueueLengthLimit: 8,
				}},
			},
		},
	}
	if _, err := flows.PriorityLevelConfigurations().Create(ctx, level, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make a priority level: %w", err)
	}
	flow := &flowcontrolv1.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: "tenants"},
		Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level.Name},
			MatchingPrecedence:         500,
			DistinguisherMethod:        &flowcontrolv1.FlowDistinguisherMethod{Type: flowcontrolv1.FlowDistinguisherMethodByNamespaceType},
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
				Subjects: []flowcontrolv1.Subject{{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: rivalName}}},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{{
					Verbs: []string{"*"}, APIGroups: []string{federatedConfigMaps.Group}, Resources: []string{"*"}, Namespaces: []string{"*"},
				}},
			}},
		},
	}
	_, err := flows.FlowSchemas().Create(ctx, flow, metav1.CreateOptions{})
	return err
}

// rival is the other tenant at work.
type rival struct {
	client            dynamic.ResourceInterface
	deployments       dynamic.ResourceInterface
	accepted, refused atomic.Int64
	end               func()
}

// unleash has the other tenant do its worst until end is called.
func (w *world) unleash(ctx context.Context) (*rival, error) {
	config := rest.CopyConfig(w.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: rivalName, Groups: []string{"system:authenticated"}}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	r := &rival{
		client:      client.Resource(federatedConfigMaps).Namespace(rivalName),
		deployments: client.Resource(schema.GroupVersionResource{Group: federatedConfigMaps.Group, Version: federatedConfigMaps.Version, Resource: "federateddeployments"}).Namespace(rivalName),
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	begin := func(do func(context.Context, int)) {
		running.Go(func() { // ends with stop
			for i := 0; ctx.Err() == nil; i++ {
				do(ctx, i)
			}
		})
	}
	for client := range rivalClients {
		begin(func(ctx context.Context, i int) { r.misdeeds()[client%len(r.misdeeds())](ctx, client, i) })
	}
	begin(func(ctx context.Context, i int) { w.growStatuses(ctx, i) })
	r.end = func() {
		stop()
		running.Wait()
	}
	return r, nil
}

// misdeeds are what one client does over and over.
func (r *rival) misdeeds() []func(ctx context.Context, client, i int) {
	return []func(ctx context.Context, client, i int){
		r.flood, r.failAtTheLast, r.flap, r.remake,
	}
}

// flood makes ever more objects, up to a thousand.
func (r *rival) flood(ctx context.Context, client, i int) {
	r.put(ctx, r.client, "FederatedConfigMap", fmt.Sprintf("flood-%d-%d", client, i%(1000/rivalClients*4)), everywhere(map[string]any{"data": map[string]any{"round": fmt.Sprint(i)}}))
}

// failAtTheLast changes a huge template with thousands of patches, of which the last of each target
// fails.
func (r *rival) failAtTheLast(ctx context.Context, client, i int) {
	spec := everywhere(map[string]any{"data": map[string]any{"round": fmt.Sprint(i), "payload": strings.Repeat("x", 600<<10)}})
	overrides := []any{}
	for target := range 39 {
		patches := []any{}
		for patch := range 255 {
			patches = append(patches, map[string]any{"op": "add", "path": fmt.Sprintf("/data/k%d", patch), "value": "1"})
		}
		patches = append(patches, map[string]any{"op": "remove", "path": "/data/nothing"})
		overrides = append(overrides, map[string]any{"topologyName": fmt.Sprintf("m%d", target+1), "topologyOverrides": patches})
	}
	spec["overrides"] = overrides
	r.put(ctx, r.client, "FederatedConfigMap", fmt.Sprintf("huge-%d", client), spec)
}

// flap places an object everywhere and nowhere.
func (r *rival) flap(ctx context.Context, client, i int) {
	spec := everywhere(map[string]any{"data": map[string]any{"payload": payload}})
	if i%2 == 1 {
		spec["placement"] = map[string]any{"topologies": []any{}}
	}
	r.put(ctx, r.client, "FederatedConfigMap", fmt.Sprintf("flap-%d", client), spec)
}

// remake deletes an object and makes it again.
func (r *rival) remake(ctx context.Context, client, i int) {
	name := fmt.Sprintf("remade-%d", client)
	if i%2 == 1 {
		r.count(r.deployments.Delete(ctx, name, metav1.DeleteOptions{}))
		return
	}
	r.put(ctx, r.deployments, "FederatedDeployment", name, everywhere(map[string]any{"spec": map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{"app": "a"}},
		"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "a"}}, "spec": map[string]any{"containers": []any{map[string]any{"name": "a", "image": "example.org/a"}}}},
	}}))
}

// growStatuses has Deployments of the other tenant say much in members: its own workload does that.
func (w *world) growStatuses(ctx context.Context, i int) {
	const each = 50 * time.Millisecond
	if pause(ctx, each) != nil {
		return
	}
	members := w.fleet.Members()
	m := members[rand.IntN(len(members))]
	for client := range rivalClients {
		// An error is of an object that is gone by now.
		_, _ = m.Change(simulation.Deployments, rivalName, fmt.Sprintf("remade-%d", client), func(object map[string]any) {
			object["status"] = map[string]any{"observedGeneration": int64(i), "conditions": []any{map[string]any{"type": "Big", "message": strings.Repeat("y", 30<<10)}}}
		})
	}
}

func everywhere(template map[string]any) map[string]any {
	return map[string]any{
		"topologyType": "cluster", "template": template,
		"placement": map[string]any{"topologySelector": map[string]any{"matchLabels": map[string]any{"all": "true"}}},
	}
}

// put makes an object or changes it, by one request that needs no version.
func (r *rival) put(ctx context.Context, client dynamic.ResourceInterface, kind, name string, spec map[string]any) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": federatedConfigMaps.GroupVersion().String(), "kind": kind, "metadata": map[string]any{"name": name, "namespace": rivalName}, "spec": spec,
	}}
	_, err := client.Apply(ctx, name, object, metav1.ApplyOptions{FieldManager: rivalName, Force: true})
	r.count(err)
}

func (r *rival) count(err error) {
	if err == nil || apierrors.IsNotFound(err) {
		r.accepted.Add(1)
	} else {
		r.refused.Add(1)
	}
}

// clearRival removes what the other tenant has made, and waits until that is gone.
func (w *world) clearRival(ctx context.Context) error {
	w.Say("clear up")
	for _, resource := range []string{"federatedconfigmaps", "federateddeployments"} {
		gvr := schema.GroupVersionResource{Group: federatedConfigMaps.Group, Version: federatedConfigMaps.Version, Resource: resource}
		if err := w.dynamic.Resource(gvr).Namespace(rivalName).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			return fmt.Errorf("delete %s of %s: %w", resource, rivalName, err)
		}
		err := w.eventually(ctx, "what the other tenant made is gone", func(ctx context.Context) error {
			list, err := w.metadata.Resource(gvr).Namespace(rivalName).List(ctx, metav1.ListOptions{Limit: 1})
			if err == nil && len(list.Items) > 0 {
				err = fmt.Errorf("%s %s is there", resource, list.Items[0].Name)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
