package api_test

import (
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

var cronJobs = typesV1beta2.WithResource("federatedcronjobs")

var cronJobConfig = typeConfig("cronjobs.batch", "batch", "v1", "CronJob", "cronjobs", "FederatedCronJob", "federatedcronjobs")

func cronJob(name, finalizers string) string {
	return `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedCronJob, metadata: {name: ` + name + `, finalizers: [` + finalizers + `]}, spec: {template: {spec: {schedule: "@daily"}}}}`
}

// ownerOfCronJobs may do everything with them in a namespace.
const ownerOfCronJobs = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: owner}
rules:
- {apiGroups: [types.kubefed.io], resources: [federatedcronjobs, federatedcronjobs/status], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: owner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: owner}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: olga}
`

// as is a client of a user.
func (f *fixture) as(user string) dynamic.Interface {
	f.t.Helper()
	config := rest.CopyConfig(f.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	return ready(f.t, config, dynamic.NewForConfig)
}

// deleteNamespace deletes a namespace and waits until it is gone.
func (f *fixture) deleteNamespace(name string) {
	f.t.Helper()
	if err := f.dynamic.Resource(namespaces).Delete(f.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		f.t.Fatal(err)
	}
	f.gone(namespaces, "", name)
}

func TestWhatIsNotServedWhenItsNamespaceGoesIsNotTheNextNamespaces(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.namespace("left")
	f.create(typeConfigs, systemNamespace, cronJobConfig)
	f.answers(cronJobs, true)
	first := f.dynamic.Resource(cronJobs).Namespace("left")
	for name, finalizers := range map[string]string{"plain": "", "held": "example.com/held"} {
		if _, err := first.Create(ctx, f.parse(cronJob(name, finalizers)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	f.deleteTypeConfig("cronjobs.batch")
	f.answers(cronJobs, false)
	f.deleteNamespace("left")

	f.namespace("left")
	if said, err := f.apply(ownerOfCronJobs, "apply", "-n", "left"); err != nil {
		t.Fatal(said)
	}
	f.create(typeConfigs, systemNamespace, cronJobConfig)
	f.answers(cronJobs, true)

	f.gone(cronJobs, "left", "plain")
	held := f.get(cronJobs, "left", "held")
	if held.GetDeletionTimestamp() == nil {
		t.Error("an object with a finalizer was not deleted with its namespace")
	}
	f.seesNothing(f.as("olga"), "held")

	// It goes when what holds it lets go of it, and its name is free then.
	patch := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := f.dynamic.Resource(cronJobs).Namespace("left").Patch(ctx, "held", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	f.gone(cronJobs, "left", "held")
	if _, err := f.as("olga").Resource(cronJobs).Namespace("left").Create(ctx, f.parse(cronJob("held", "")), metav1.CreateOptions{}); err != nil {
		t.Errorf("the name is not free: %v", err)
	}
	if _, err := f.as("olga").Resource(cronJobs).Namespace("left").Get(ctx, "held", metav1.GetOptions{}); err != nil {
		t.Errorf("what the new namespace's user made is not there: %v", err)
	}
	f.delete(cronJobs, "left", "held")
}

// seesNothing checks that no verb shows a user an object of an earlier namespace.
func (f *fixture) seesNothing(user dynamic.Interface, name string) {
	f.t.Helper()
	ctx := f.t.Context()
	for _, version := range []schema.GroupVersion{typesV1beta1, typesV1beta2} {
		client := user.Resource(version.WithResource(cronJobs.Resource)).Namespace("left")
		if o, err := client.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			f.t.Errorf("get: %v, %v", o, err)
		}
		if o, err := client.Get(ctx, name, metav1.GetOptions{}, "status"); !apierrors.IsNotFound(err) {
			f.t.Errorf("get of the status: %v, %v", o, err)
		}
		list, err := client.List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) != 0 {
			f.t.Errorf("list: %v, %v", list, err)
		}
		patch := []byte(`{"metadata":{"labels":{"mine":"yes"},"annotations":{"federation.koinon.io/namespace-uid":null}}}`)
		if o, err := client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err == nil {
			f.t.Errorf("patch: %v", o)
		}
		if err := client.Delete(ctx, name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			f.t.Errorf("delete: %v", err)
		}
		if err := client.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			f.t.Errorf("delete of the collection: %v", err)
		}
		f.watchesNothing(client)
	}
	_, err := user.Resource(cronJobs).Namespace("left").Create(ctx, f.parse(cronJob(name, "")), metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		f.t.Errorf("create under the name: %v", err)
	}
}

// watchesNothing checks that a watch begins with its bookmark.
func (f *fixture) watchesNothing(client dynamic.ResourceInterface) {
	f.t.Helper()
	yes := true
	watched, err := client.Watch(f.t.Context(), metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true})
	if err != nil {
		f.t.Fatal(err)
	}
	defer watched.Stop()
	if event := <-watched.ResultChan(); event.Type != "BOOKMARK" {
		f.t.Errorf("watch: got %v", event)
	}
}

func TestTheNamespaceOfAnObjectCannotBeForged(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("forged")
	const annotation = "federation.koinon.io/namespace-uid"
	want := string(f.get(namespaces, "", namespace).GetUID())
	made := f.create(configMaps, namespace, `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedConfigMap, metadata: {name: settings, annotations: {`+annotation+`: forged}}, spec: {template: {data: {a: b}}}}`)
	if got := made.GetAnnotations()[annotation]; got != want {
		t.Errorf("created: got %q, want %q", got, want)
	}
	for _, value := range []string{"null", `"forged"`} {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, annotation, value)
		patched, err := f.dynamic.Resource(configMaps).Namespace(namespace).Patch(t.Context(), "settings", types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil || patched.GetAnnotations()[annotation] != want {
			t.Errorf("patched with %s: got %v, %v", value, patched.GetAnnotations(), err)
		}
	}
}
