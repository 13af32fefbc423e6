package propagation_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	informers "github.com/koinon-io/koinon/pkg/generated/informers/externalversions"
	"github.com/koinon-io/koinon/test/testbed"
)

// targetsOf is a request for the targets of a federated object, or for one of them.
func (f *fixture) targetsOf(plural, name string, target ...string) *rest.Request {
	return f.kube.Discovery().RESTClient().Get().
		AbsPath(append([]string{"/apis/types.kubefed.io/v1beta2/namespaces", f.namespace, plural, name, "targets"}, target...)...)
}

// said is what a target shows: its status, and the conditions that hold.
func said(o *federationv1alpha1.TargetObject) string {
	out := []string{o.Name, string(o.Status)}
	for _, c := range o.Conditions {
		if c.Status == metav1.ConditionTrue {
			out = append(out, c.Type)
		}
	}
	return strings.Join(out, " ")
}

func TestTargetsAreShownAsMembersHaveThem(t *testing.T) {
	f := start(t)
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedService
metadata: {name: web, namespace: %s}
spec:
  template: {spec: {type: LoadBalancer, ports: [{port: 80}]}}
%s`, f.namespace, everywhere))
	f.states("federatedservices", "web", "m1", "", "m2", "")
	setAddress := func(member, address string) { // as a load balancer there does
		t.Helper()
		patch := fmt.Sprintf(`{"status": {"loadBalancer": {"ingress": [{"ip": %q}]}}}`, address)
		_, err := f.member(member).Resource(services).Namespace(f.namespace).Patch(f.Context(), "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
		if err != nil {
			t.Fatal(err)
		}
	}
	one := func(target string) *federationv1alpha1.TargetObject {
		t.Helper()
		got := &federationv1alpha1.TargetObject{}
		data, err := f.targetsOf("federatedservices", "web", target).DoRaw(f.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	list := func() (list federationv1alpha1.TargetObjectList) {
		t.Helper()
		data, err := f.targetsOf("federatedservices", "web").DoRaw(f.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		return list
	}

	if got := list(); got.Kind != "TargetObjectList" || len(got.Items) != 2 || got.Items[0].Name != "m1" || got.Items[1].MemberNamespace != f.namespace || got.Items[1].Object == nil {
		t.Errorf("got %s", asJSON(got))
	}
	_, err := f.targetsOf("federatedservices", "web", "m3").DoRaw(f.Context())
	if !apierrors.IsNotFound(err) {
		t.Errorf("of a target that is none: got %v", err)
	}
	table, err := f.targetsOf("federatedservices", "web").SetHeader("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1").DoRaw(f.Context())
	if err != nil || !strings.Contains(string(table), `"cells":["m1","OK","m1","`+f.namespace+`"`) {
		t.Errorf("got the table %s and %v", table, err)
	}

	stream, err := f.targetsOf("federatedservices", "web").Param("watch", "true").Stream(f.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	events := make(chan string, 100)
	go readEvents(stream, events) // ends with the stream
	until := func(begins, has string) {
		t.Helper()
		for {
			select {
			case got := <-events:
				if strings.HasPrefix(got, begins) && strings.Contains(got, has) {
					return
				}
			case <-time.After(patience):
				t.Fatalf("there was no event %s with %s", begins, has)
			}
		}
	}
	until("ADDED m1", "") // or what is set next may be what the watch begins with
	setAddress("m1", "192.0.2.1")
	until("MODIFIED m1", "192.0.2.1")
	if got := string(one("m1").Status); !strings.Contains(got, "192.0.2.1") {
		t.Errorf("got the status %s", got)
	}

	m2 := members["m2"].Get(t)
	m2.Kill(t, testbed.APIServer)
	up := false
	defer func() {
		if !up {
			m2.Start(t)
		}
	}()
	until("MODIFIED m2  ", "Unreachable") // and no status
	if _, err := f.targetsOf("federatedservices", "web", "m2").DoRaw(f.Context()); !apierrors.IsServiceUnavailable(err) && !apierrors.IsTimeout(err) {
		t.Errorf("of a member that is down: got %v", err)
	}
	got := list()
	if got.Items[0].Status == nil || got.Items[1].Status != nil || !strings.Contains(said(&got.Items[1]), "Unreachable") {
		t.Errorf("got %s", asJSON(got))
	}
	m2.Start(t)
	up = true
	f.ready("m2")
	setAddress("m2", "192.0.2.2")
	until("MODIFIED m2", "192.0.2.2")
}

// readEvents writes events as lines.
func readEvents(stream io.Reader, events chan<- string) {
	for lines := bufio.NewReader(stream); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var event struct {
			Type   string
			Object federationv1alpha1.TargetObject
		}
		if json.Unmarshal(line, &event) == nil {
			events <- event.Type + " " + said(&event.Object)
		}
	}
}

// The engine of these tests has no Lease, by which the API server knows that it is there.
func TestPropagatedVersionsAreComputed(t *testing.T) {
	f := start(t)
	f.configMap("cm", "one", everywhere)
	object := f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	versions := f.koinon.KubeFedCoreV1alpha1().PropagatedVersions(f.namespace)
	if _, err := versions.Get(f.Context(), "configmap-cm", metav1.GetOptions{}); err == nil {
		t.Error("one was computed while another engine propagates")
	}
	f.propagates()
	var got *v1alpha1.PropagatedVersion
	f.eventually("a record is computed", func() (err error) {
		got, err = versions.Get(f.Context(), "configmap-cm", metav1.GetOptions{})
		return err
	})
	want := []v1alpha1.ClusterObjectVersion{{ClusterName: "m1", Version: f.target(object, "m1").Version}, {ClusterName: "m2", Version: f.target(object, "m2").Version}}
	if diff := cmp.Diff(want, got.Status.ClusterVersions); diff != "" || len(got.Status.TemplateVersion) != 32 || got.OwnerReferences[0].UID != object.UID {
		t.Errorf("got %s\n%s", asJSON(got), diff)
	}
	listed := func(what string, want types.UID) {
		t.Helper()
		list, err := versions.List(f.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var uids []types.UID
		for _, item := range list.Items {
			if item.Name == "configmap-cm" { // there is another one of the FederatedNamespace
				uids = append(uids, item.UID)
			}
		}
		if !slices.Equal(uids, []types.UID{want}) {
			t.Errorf("%s, and listed is %s", what, asJSON(list))
		}
	}
	listed("one is computed", got.UID)
	informer := f.informed(func(shared informers.SharedInformerFactory) cache.SharedIndexInformer {
		return shared.KubeFedCore().V1alpha1().PropagatedVersions().Informer()
	})
	shown := func(what string, right func(*v1alpha1.PropagatedVersion) bool) {
		t.Helper()
		f.eventually("an informer sees that "+what, func() error {
			object, _, err := informer.GetStore().GetByKey(f.namespace + "/configmap-cm")
			record, _ := object.(*v1alpha1.PropagatedVersion)
			if err == nil && !right(record) {
				err = fmt.Errorf("got %s", asJSON(record))
			}
			return err
		})
	}
	template := got.Status.TemplateVersion
	shown("one is computed", func(v *v1alpha1.PropagatedVersion) bool {
		return v != nil && v.UID == got.UID && len(v.Status.ClusterVersions) == 2
	})
	f.configMap("cm", "two", everywhere)
	shown("the template is another one", func(v *v1alpha1.PropagatedVersion) bool {
		return v != nil && v.Status.TemplateVersion != template && len(v.Status.ClusterVersions) == 2
	})
	stored, err := versions.Create(f.Context(), &v1alpha1.PropagatedVersion{ObjectMeta: metav1.ObjectMeta{Name: "configmap-cm"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := versions.Get(f.Context(), "configmap-cm", metav1.GetOptions{}); err != nil || got.UID != stored.UID {
		t.Errorf("one is stored, and shown is %s and %v", asJSON(got), err)
	}
	listed("one is stored", stored.UID)
	shown("one is stored", func(v *v1alpha1.PropagatedVersion) bool { return v != nil && v.UID == stored.UID })
	if err := versions.Delete(f.Context(), "configmap-cm", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shown("it is computed again", func(v *v1alpha1.PropagatedVersion) bool { return v != nil && v.UID == got.UID })
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
	shown("there is none", func(v *v1alpha1.PropagatedVersion) bool { return v == nil })
}

// propagates has the API server know that our engine is there.
func (f *fixture) propagates() {
	f.Helper()
	f.apply(fmt.Sprintf(`
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: koinon-controllers, namespace: %s, labels: {federation.koinon.io/propagation: "true"}}
spec: {holderIdentity: test, leaseDurationSeconds: 60, renewTime: %q}`, system, metav1.NowMicro().UTC().Format(metav1.RFC3339Micro)))
	f.Cleanup(func() {
		_ = f.kube.CoordinationV1().Leases(system).Delete(f.Context(), "koinon-controllers", metav1.DeleteOptions{})
	})
}

// informed returns an informer on what is in the test's namespace, which knows what is there.
func (f *fixture) informed(of func(informers.SharedInformerFactory) cache.SharedIndexInformer) cache.SharedIndexInformer {
	f.Helper()
	shared := informers.NewSharedInformerFactoryWithOptions(f.koinon, 0, informers.WithNamespace(f.namespace))
	informer := of(shared)
	shared.Start(f.Context().Done())
	f.eventually("an informer knows what is there", func() error {
		if !informer.HasSynced() {
			return errors.New("it does not")
		}
		return nil
	})
	return informer
}

// KubeFed makes them if the type of Services says what its statuses are called.
func TestFederatedServiceStatusesAreComputed(t *testing.T) {
	f := start(t)
	f.propagates()
	patch := func(statusType string) {
		if _, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Patch(context.WithoutCancel(t.Context()), "services", types.MergePatchType,
			[]byte(`{"spec":{"statusType":`+statusType+`}}`), metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	patch(`{"group":"core.kubefed.io","version":"v1alpha1","kind":"FederatedServiceStatus","pluralName":"federatedservicestatuses","scope":"Namespaced"}`)
	t.Cleanup(func() { patch("null") }) // other tests have the type, too
	informer := f.informed(func(shared informers.SharedInformerFactory) cache.SharedIndexInformer {
		return shared.KubeFedCore().V1alpha1().FederatedServiceStatuses().Informer()
	})
	f.apply(fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedService
metadata: {name: web, namespace: %s}
spec:
  template: {spec: {type: LoadBalancer, ports: [{port: 80}]}}
%s`, f.namespace, everywhere))
	f.states("federatedservices", "web", "m1", "", "m2", "")
	if _, err := f.member("m2").Resource(services).Namespace(f.namespace).Patch(f.Context(), "web", types.MergePatchType,
		[]byte(`{"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}]}}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	f.eventually("an informer sees the addresses", func() error {
		object, there, err := informer.GetStore().GetByKey(f.namespace + "/web")
		if err != nil || !there {
			return fmt.Errorf("got %v", err)
		}
		clusters := object.(*v1alpha1.FederatedServiceStatus).ClusterStatus
		if len(clusters) != 2 || clusters[0].ClusterName != "m1" || !strings.Contains(string(clusters[1].Status), "192.0.2.2") {
			return fmt.Errorf("got %s", asJSON(clusters))
		}
		return nil
	})
	got, err := f.koinon.KubeFedCoreV1alpha1().FederatedServiceStatuses(f.namespace).Get(f.Context(), "web", metav1.GetOptions{})
	if err != nil || len(got.ClusterStatus) != 2 || got.OwnerReferences[0].Kind != "FederatedService" {
		t.Errorf("got %s and %v", asJSON(got), err)
	}
	f.delete("federatedservices", "web")
	f.gone("federatedservices", "web")
	f.eventually("there is none", func() error {
		if keys := informer.GetStore().ListKeys(); len(keys) > 0 {
			return fmt.Errorf("got %q", keys)
		}
		return nil
	})
}
