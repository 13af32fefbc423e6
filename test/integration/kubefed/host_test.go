package kubefed_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// The stock controller reads all of discovery anew for every controller that it starts,
// and its cluster controller panics if that takes more than its client's 3 s.
func TestLegacyDiscoveryIsReadWithinTheStockTimeout(t *testing.T) {
	h := newHost(t, stockTimeout)
	h.enableDeployments(t)
	core := h.get(t, "/api")
	if versions := fmt.Sprint(core["versions"]); versions != "[v1]" {
		t.Errorf("versions of /api: got %s, want [v1]", versions)
	}
	resources := map[string]map[string][]string{}
	for _, groupVersion := range groupVersions(t, h) {
		resources[groupVersion] = verbsOf(t, h, groupVersion)
	}
	for resource, verbs := range map[[2]string]string{
		{"core.kubefed.io/v1beta1", "kubefedconfigs"}:                      "get create",
		{"core.kubefed.io/v1beta1", "kubefedclusters"}:                     "list watch",
		{"core.kubefed.io/v1beta1", "kubefedclusters/status"}:              "update",
		{"core.kubefed.io/v1beta1", "federatedtypeconfigs"}:                "list watch patch",
		{"core.kubefed.io/v1beta1", "federatedtypeconfigs/status"}:         "update",
		{"core.kubefed.io/v1alpha1", "propagatedversions"}:                 "get list create",
		{"core.kubefed.io/v1alpha1", "propagatedversions/status"}:          "update",
		{"core.kubefed.io/v1alpha1", "clusterpropagatedversions"}:          "get list create",
		{"core.kubefed.io/v1alpha1", "clusterpropagatedversions/status"}:   "update",
		{"core.kubefed.io/v1alpha1", "federatedservicestatuses"}:           "list watch create update",
		{"scheduling.kubefed.io/v1alpha1", "replicaschedulingpreferences"}: "list watch",
		{"types.kubefed.io/v1beta1", "federateddeployments"}:               "get list watch patch update",
		{"types.kubefed.io/v1beta1", "federateddeployments/status"}:        "update",
		{"v1", "configmaps"}: "get create update",
		{"v1", "events"}:     "create patch",
		{"v1", "secrets"}:    "get",
		{"v1", "namespaces"}: "list watch",
	} {
		got := resources[resource[0]][resource[1]]
		for _, verb := range strings.Fields(verbs) {
			if !slices.Contains(got, verb) {
				t.Errorf("%s %s: got verbs %v, want %s among them", resource[0], resource[1], got, verb)
			}
		}
	}
}

func groupVersions(t *testing.T, h *host) []string {
	t.Helper()
	var groups metav1.APIGroupList
	if err := json.Unmarshal([]byte(h.get(t, "/apis").encode(t)), &groups); err != nil {
		t.Fatal(err)
	}
	all := []string{"v1"}
	for _, group := range groups.Groups {
		for _, version := range group.Versions {
			all = append(all, version.GroupVersion)
		}
	}
	return all
}

func verbsOf(t *testing.T, h *host, groupVersion string) map[string][]string {
	t.Helper()
	path := "/apis/" + groupVersion
	if groupVersion == "v1" {
		path = "/api/v1"
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal([]byte(h.get(t, path).encode(t)), &list); err != nil {
		t.Fatal(err)
	}
	if list.Kind != "APIResourceList" || list.GroupVersion != groupVersion {
		t.Errorf("%s: got %s of %q", path, list.Kind, list.GroupVersion)
	}
	verbs := map[string][]string{}
	for _, r := range list.APIResources {
		verbs[r.Name] = r.Verbs
	}
	return verbs
}

func TestTheLeaderLockIsAConfigMap(t *testing.T) {
	h := newHost(t, patience)
	const path = "/api/v1/namespaces/" + systemNamespace + "/configmaps"
	const lock = path + "/kubefed-controller-manager"
	record := func(version, holder string) string {
		leader := fmt.Sprintf(`{"holderIdentity":%q,"leaseDurationSeconds":15,"leaderTransitions":0}`, holder)
		return fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"kubefed-controller-manager","namespace":%q,"resourceVersion":%q,"annotations":{"control-plane.alpha.kubernetes.io/leader":%q}}}`,
			systemNamespace, version, leader)
	}
	h.refused(t, http.StatusNotFound, metav1.StatusReasonNotFound, http.MethodGet, lock, "", acceptJSON)
	h.remove(t, lock)
	created := h.must(t, http.StatusCreated, http.MethodPost, path, record("", "one"), acceptJSON, jsonBody)
	h.refused(t, http.StatusConflict, metav1.StatusReasonAlreadyExists, http.MethodPost, path, record("", "two"), acceptJSON, jsonBody)
	renewed := h.must(t, http.StatusOK, http.MethodPut, lock, record(created.version(), "one again"), acceptJSON, jsonBody)
	h.refused(t, http.StatusConflict, metav1.StatusReasonConflict, http.MethodPut, lock, record(created.version(), "two"), acceptJSON, jsonBody)
	if got := h.get(t, lock); got.version() != renewed.version() {
		t.Errorf("resourceVersion of the lock: got %s, want that of the renewal, %s", got.version(), renewed.version())
	}
}

func TestEventsAreCreatedAndPatchedByStrategy(t *testing.T) {
	h := newHost(t, patience)
	for _, namespace := range []string{systemNamespace, "default", h.namespace(t, "events")} {
		t.Run(namespace, func(t *testing.T) {
			path := "/api/v1/namespaces/" + namespace + "/events"
			h.remove(t, path+"/web.17")
			h.must(t, http.StatusCreated, http.MethodPost, path, fmt.Sprintf(`{"kind":"Event","apiVersion":"v1","metadata":{"name":"web.17","namespace":%q},
"involvedObject":{"kind":"FederatedDeployment","namespace":%q,"name":"web","apiVersion":"types.kubefed.io/v1beta1"},
"reason":"CreateInCluster","message":"Creating Deployment","source":{"component":"federateddeployment-controller"},
"firstTimestamp":"2026-11-22T00:00:00Z","lastTimestamp":"2026-11-22T00:00:00Z","count":1,"type":"Normal"}`, namespace, namespace), acceptJSON, jsonBody)
			patched := h.must(t, http.StatusOK, http.MethodPatch, path+"/web.17", `{"count":2,"lastTimestamp":"2026-11-22T00:00:10Z"}`,
				acceptJSON, "Content-Type: application/strategic-merge-patch+json")
			if got := fmt.Sprint(patched["count"], " ", patched["lastTimestamp"]); got != "2 2026-11-22T00:00:10Z" {
				t.Errorf("count and time after the patch: got %s", got)
			}
		})
	}
}

func TestSecretsAreReadByAClientThatPrefersProtobuf(t *testing.T) {
	h := newHost(t, patience)
	const path = "/api/v1/namespaces/" + systemNamespace + "/secrets"
	h.remove(t, path+"/m1")
	h.must(t, http.StatusCreated, http.MethodPost, path, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"m1"},"data":{"token":"c2VjcmV0"}}`, jsonBody)
	resp := h.do(t, http.MethodGet, path+"/m1", "", acceptBinary)
	if resp.code != http.StatusOK {
		t.Fatalf("got %d: %s", resp.code, resp.body)
	}
	obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(resp.body, nil, nil)
	if err != nil {
		t.Fatalf("decode %s: %v", resp.header.Get("Content-Type"), err)
	}
	if got := string(obj.(*corev1.Secret).Data["token"]); got != "secret" {
		t.Errorf("token: got %q, want %q", got, "secret")
	}
}

func TestNamespacesAreListedAndWatched(t *testing.T) {
	h := newHost(t, patience)
	list := h.list(t, "/api/v1/namespaces")
	for _, name := range []string{"default", systemNamespace} {
		if !slices.Contains(list.names(), name) {
			t.Errorf("namespaces: got %v, want %s among them", list.names(), name)
		}
	}
	var created string
	h.watch(t, "/api/v1/namespaces", list.version(), func() { created = h.namespace(t, "seen") }, func(e event) bool {
		return e.Type == "ADDED" && e.Object.text("metadata", "name") == created
	})
}

// The stock controller validates what comes back, and ends if a section is missing.
func TestAnEmptyKubeFedConfigComesBackComplete(t *testing.T) {
	h := newHost(t, patience)
	const path = "/apis/core.kubefed.io/v1beta1/namespaces/" + systemNamespace + "/kubefedconfigs"
	h.refused(t, http.StatusNotFound, metav1.StatusReasonNotFound, http.MethodGet, path+"/kubefed", "", acceptJSON)
	h.remove(t, path+"/kubefed")
	created := h.must(t, http.StatusCreated, http.MethodPost, path,
		fmt.Sprintf(`{"kind":"KubeFedConfig","apiVersion":"core.kubefed.io/v1beta1","metadata":{"name":"kubefed","namespace":%q,"creationTimestamp":null},"spec":{"scope":""}}`, systemNamespace), acceptJSON, jsonBody)
	want := object{}
	if err := json.Unmarshal([]byte(`{
"scope":"Cluster",
"controllerDuration":{"availableDelay":"20s","unavailableDelay":"1m0s","cacheSyncTimeout":"5m0s"},
"leaderElect":{"leaseDuration":"15s","renewDeadline":"10s","retryPeriod":"5s","resourceLock":"configmaps"},
"featureGates":[{"name":"PushReconciler","configuration":"Enabled"},{"name":"SchedulerPreferences","configuration":"Enabled"},{"name":"RawResourceStatusCollection","configuration":"Disabled"}],
"clusterHealthCheck":{"period":"10s","failureThreshold":3,"successThreshold":1,"timeout":"3s"},
"syncController":{"maxConcurrentReconciles":1,"adoptResources":"Enabled"},
"statusController":{"maxConcurrentReconciles":1}}`), &want); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]object{"answer to POST": created, "answer to GET": h.get(t, path+"/kubefed")} {
		if diff := cmp.Diff(map[string]any(want), got["spec"]); diff != "" {
			t.Errorf("spec in the %s (-want +got):\n%s", what, diff)
		}
	}
}

func TestKubeFedClustersAreWatchedAndTheirStatusIsPut(t *testing.T) {
	h := newHost(t, stockTimeout)
	const path = "/apis/core.kubefed.io/v1beta1/namespaces/" + systemNamespace + "/kubefedclusters"
	list := h.list(t, path)
	h.remove(t, path+"/m1")
	create := func() {
		h.must(t, http.StatusCreated, http.MethodPost, path, `{"kind":"KubeFedCluster","apiVersion":"core.kubefed.io/v1beta1","metadata":{"name":"m1"},
"spec":{"apiEndpoint":"https://127.0.0.1:1","secretRef":{"name":"m1"},"proxyURL":""}}`, jsonBody)
	}
	added := newHost(t, patience).watch(t, path, list.version(), create, func(e event) bool { return e.Type == "ADDED" })
	status := map[string]any{"kubernetesVersion": "v1.36.3", "conditions": []any{map[string]any{"type": "Ready", "status": "True", "reason": "ClusterReady",
		"message": "/healthz responded with ok", "lastProbeTime": "2026-11-22T00:00:00Z", "lastTransitionTime": "2026-11-22T00:00:00Z"}}}
	added.Object["status"] = status
	put := h.must(t, http.StatusOK, http.MethodPut, path+"/m1/status", added.Object.encode(t), acceptJSON, jsonBody)
	if diff := cmp.Diff(any(status), put["status"]); diff != "" {
		t.Errorf("status (-put +got):\n%s", diff)
	}
	if diff := cmp.Diff(added.Object.at("spec"), put["spec"]); diff != "" {
		t.Errorf("spec (-before +after):\n%s", diff)
	}
	if got := put.at("metadata", "generation"); got != 1.0 {
		t.Errorf("generation after a PUT of the status: got %v, want 1", got)
	}
	h.refused(t, http.StatusConflict, metav1.StatusReasonConflict, http.MethodPut, path+"/m1/status", added.Object.encode(t), acceptJSON, jsonBody)
	if got := h.get(t, path).names(); !slices.Contains(got, systemNamespace+"/m1") {
		t.Errorf("a consistent list: got %v, want m1 among them", got)
	}
}

func TestNobodyWritesBetweenTheStockControllersPatchAndItsPutOfTheStatus(t *testing.T) {
	h := newHost(t, patience)
	h.enableDeployments(t)
	patchesAndPutsTheStatus(t, h)
}

// patchesAndPutsTheStatus does with a FederatedTypeConfig what the stock controller does.
func patchesAndPutsTheStatus(t *testing.T, h *host) {
	t.Helper()
	const path = typeConfigs + "/deployments.apps"
	// A change of the spec too, of which the condition Served has to say the generation.
	config := h.must(t, http.StatusOK, http.MethodPatch, path,
		`{"metadata":{"finalizers":["core.kubefed.io/federated-type-config"]},"spec":{"propagation":"Disabled"}}`, acceptJSON, mergePatch)
	eventually(t, func() error {
		got := h.get(t, path)
		if err := served(got); err != nil {
			return err
		}
		for _, condition := range got.at("status", "conditions").([]any) {
			if observed := object(condition.(map[string]any)).at("observedGeneration"); observed != config.at("metadata", "generation") {
				return fmt.Errorf("a condition is of generation %v, and the spec of %v", observed, config.at("metadata", "generation"))
			}
		}
		return nil
	})
	// The stock type has no conditions, so its PUT drops them.
	config["status"] = map[string]any{"observedGeneration": 2, "propagationController": "Running", "statusController": "NotRunning"}
	put := h.must(t, http.StatusOK, http.MethodPut, path+"/status", config.encode(t), acceptJSON, jsonBody)
	if got := put.text("status", "propagationController"); got != "Running" {
		t.Errorf("status.propagationController: got %q, want Running", got)
	}
	after := h.get(t, path)
	if err := served(after); err != nil {
		t.Errorf("after a PUT without conditions: %v", err)
	}
	if got := after.version(); got != put.version() {
		t.Errorf("resourceVersion: got %s, want that of the PUT, %s", got, put.version())
	}
	h.must(t, http.StatusOK, http.MethodPatch, path, `{"spec":{"propagation":"Enabled"}}`, acceptJSON, mergePatch)
	h.must(t, http.StatusOK, http.MethodPatch, path, `{"metadata":{"finalizers":null}}`, acceptJSON, mergePatch)
}
