package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/storagetest/etcdtest"
)

const (
	storedDefinitions = "/registry/apiextensions.k8s.io/customresourcedefinitions/"
	storedServices    = "/registry/apiregistration.k8s.io/apiservices/"
)

// storedDefinition is a CRD as a release stored it that did not refuse it: established, and
// about to delete its custom resources if leaving.
func storedDefinition(plural, group, version, kind string, leaving bool) string {
	names := fmt.Sprintf(`{"plural": %q, "singular": %q, "kind": %q, "listKind": "%sList"}`, plural, strings.ToLower(kind), kind, kind)
	meta := ""
	if leaving {
		meta = `, "deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["customresourcecleanup.apiextensions.k8s.io"]`
	}
	return fmt.Sprintf(`{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": {"name": "%[1]s.%[2]s", "uid": "uid-of-%[1]s-%[2]s", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"%[5]s},
		"spec": {"group": %[2]q, "scope": "Namespaced", "names": %[4]s, "conversion": {"strategy": "None"}, "versions": [{"name": %[3]q, "served": true, "storage": true,
			"schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
		"status": {"acceptedNames": %[4]s, "storedVersions": [%[3]q], "conditions": [
			{"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "lastTransitionTime": "2026-01-02T03:04:05Z"},
			{"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}`,
		plural, group, version, names, meta)
}

// storedService is what the aggregator made of such a CRD.
func storedService(version, group string) string {
	return fmt.Sprintf(`{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": {"name": "%[1]s.%[2]s", "uid": "uid-of-%[1]s.%[2]s", "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"kube-aggregator.kubernetes.io/automanaged": "true"}},
		"spec": {"group": %[2]q, "version": %[1]q, "groupPriorityMinimum": 1000, "versionPriority": 100},
		"status": {"conditions": [{"type": "Available", "status": "True", "reason": "Local", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}`, version, group)
}

func put(t *testing.T, etcd *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := etcd.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

const memberClusters = "/apis/core.kubefed.io/v1beta1/namespaces/kube-federation-system/kubefedclusters"

// ourObjects makes an object of a static and one of a federated kind.
func ourObjects(r raw) {
	r.Helper()
	eventually(r.T, "the system namespace and the kinds are there", func(context.Context) (bool, error) {
		return r.do(get(memberClusters)).code == http.StatusOK && r.do(get("/api/v1/namespaces/kube-federation-system")).code == http.StatusOK &&
			r.do(get(federatedConfigMaps)).code == http.StatusOK, nil
	})
	for _, q := range []request{
		post(memberClusters, `{"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster", "metadata": {"name": "m1"}, "spec": {"apiEndpoint": "https://member.example:6443", "secretRef": {"name": "m1"}}}`),
		post(federatedConfigMaps, federatedConfigMap("kept", canary)),
	} {
		if got := r.do(q); got.code != http.StatusCreated {
			r.Fatalf("%s %s: %d %s", q.method, q.path, got.code, got.body)
		}
	}
}

// keepsOurObjects checks that they are there.
func keepsOurObjects(r raw) {
	r.Helper()
	for _, path := range []string{memberClusters + "/m1", federatedConfigMaps + "/kept"} {
		if got := r.do(get(path)); got.code != http.StatusOK {
			r.Errorf("%s: %d %s", path, got.code, got.body)
		}
	}
}

// servesNoneOf checks that nothing of what the CRDs say is served, and that clients that ask
// for everything get an answer.
func servesNoneOf(r raw) {
	r.Helper()
	for _, path := range []string{"/apis/types.kubefed.io/v1", "/apis/types.kubefed.io/v1/federatedthings", "/apis/core.kubefed.io/v1/things", "/apis/core.kubefed.io/v1", "/openapi/v3/apis/types.kubefed.io/v1"} {
		if got := r.do(get(path)); got.code != http.StatusNotFound {
			r.Errorf("%s: %d %s", path, got.code, got.body)
		}
	}
	for _, path := range []string{"/apis", "/apis/types.kubefed.io", "/openapi/v3"} {
		if got := r.do(get(path)); got.code != http.StatusOK || strings.Contains(got.body, "types.kubefed.io/v1\"") || strings.Contains(got.body, "core.kubefed.io/v1\"") {
			r.Errorf("%s lists a version that is not served: %d %s", path, got.code, got.body)
		}
	}
}

// refusedIsSaid waits until the conditions of a CRD say that it is not served.
func refusedIsSaid(r raw, name string) {
	r.Helper()
	eventually(r.T, "the conditions of "+name+" say that it is not served", func(context.Context) (bool, error) {
		got := r.do(get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + name))
		if got.code != http.StatusOK {
			return false, fmt.Errorf("%d %s", got.code, got.body)
		}
		return strings.Count(got.body, `"reason":"ServedByServer"`) == 2 && strings.Contains(got.body, "there is nothing to install"), nil
	})
}

// A release that did not refuse CRDs of our groups may have stored some, may have been about
// to delete one, and may still run beside this one.
func TestAStoredCRDOfAServedGroupIsNeitherServedNorTouchesAnObject(t *testing.T) {
	address, etcd := etcdtest.Start(t)
	dir := t.TempDir()
	args := []string{"--datastore", "etcd://" + address}
	before := start(t, dir, args...)
	r := before.raw(t)
	ourObjects(r)
	before.terminate(t)

	crds := map[string]string{
		"kubefedclusters.core.kubefed.io":      storedDefinition("kubefedclusters", "core.kubefed.io", "v1beta1", "KubeFedCluster", false),
		"things.core.kubefed.io":               storedDefinition("things", "core.kubefed.io", "v1", "Thing", false),
		"federatedthings.types.kubefed.io":     storedDefinition("federatedthings", "types.kubefed.io", "v1", "FederatedThing", false),
		"federatedconfigmaps.types.kubefed.io": storedDefinition("federatedconfigmaps", "types.kubefed.io", "v1beta1", "FederatedConfigMap", true),
	}
	for name, crd := range crds {
		put(t, etcd, storedDefinitions+name, crd)
	}
	put(t, etcd, storedServices+"v1.types.kubefed.io", storedService("v1", "types.kubefed.io"))
	put(t, etcd, storedServices+"v1.core.kubefed.io", storedService("v1", "core.kubefed.io"))

	r = start(t, dir, args...).raw(t)
	servesNoneOf(r)
	eventually(t, "the CRD that was about to be deleted is gone", func(context.Context) (bool, error) {
		return r.do(get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/federatedconfigmaps.types.kubefed.io")).code == http.StatusNotFound, nil
	})
	keepsOurObjects(r)

	// An earlier release beside this one takes one more.
	put(t, etcd, storedDefinitions+"federatedconfigmaps.types.kubefed.io", storedDefinition("federatedconfigmaps", "types.kubefed.io", "v1", "FederatedConfigMap", false))
	for name := range crds {
		refusedIsSaid(r, name)
	}
	servesNoneOf(r)
	for name := range crds {
		path := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + name
		if got := r.do(remove(path)); got.code != http.StatusOK {
			t.Errorf("delete %s: %d %s", name, got.code, got.body)
		}
		eventually(t, name+" is gone", func(context.Context) (bool, error) { return r.do(get(path)).code == http.StatusNotFound, nil })
	}
	keepsOurObjects(r)
}

// Custom resources of other groups stay where every release looks for them.
func TestCustomResourcesOfAnEarlierReleaseAreServed(t *testing.T) {
	address, etcd := etcdtest.Start(t)
	put(t, etcd, storedDefinitions+"things.example.com", storedDefinition("things", "example.com", "v1", "Thing", false))
	put(t, etcd, "/registry/example.com/things/default/old", `{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "old", "namespace": "default", "uid": "uid-of-old", "creationTimestamp": "2026-01-02T03:04:05Z"}, "data": "x"}`)
	r := start(t, t.TempDir(), "--datastore", "etcd://"+address).raw(t)
	if got := r.do(get(things + "/old")); got.code != http.StatusOK || !strings.Contains(got.body, `"data":"x"`) {
		t.Errorf("%d %s", got.code, got.body)
	}
	if got := r.do(post(things, thing("new"))); got.code != http.StatusCreated {
		t.Fatalf("%d %s", got.code, got.body)
	}
	stored, err := etcd.Get(t.Context(), "/registry/example.com/things/default/new")
	if err != nil || len(stored.Kvs) != 1 {
		t.Errorf("an earlier release would not find the new one: %v, %v", stored, err)
	}
}
