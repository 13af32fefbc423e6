package kubefed_test

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	clusters = "/apis/core.kubefed.io/v1beta1/namespaces/" + systemNamespace + "/kubefedclusters"
	secrets  = "/api/v1/namespaces/" + systemNamespace + "/secrets"
	lease    = "/apis/coordination.k8s.io/v1/namespaces/" + systemNamespace + "/leases/koinon-controllers"

	maskIgnored     = "do not see the mask"
	selectorIgnored = "do not see an override with a topologySelector"
)

// member is a cluster that only counts who asks it for something.
type member struct {
	*httptest.Server
	requests atomic.Int32
}

// join makes a cluster known, with credentials that our engine would use.
func (h *host) join(t *testing.T, name string) *member {
	t.Helper()
	m := &member{}
	m.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.requests.Add(1)
		http.Error(w, "not today", http.StatusServiceUnavailable)
	}))
	t.Cleanup(m.Close)
	authority := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw}))
	h.must(t, http.StatusCreated, http.MethodPost, secrets, fmt.Sprintf(`{"kind":"Secret","apiVersion":"v1",
"metadata":{"name":%[1]q,"annotations":{"federation.koinon.io/credentials-for":%[1]q,"federation.koinon.io/api-endpoint":%[2]q}},
"data":{"token":"c2VjcmV0","ca.crt":%[3]q}}`, name, m.URL, authority), jsonBody)
	h.must(t, http.StatusCreated, http.MethodPost, clusters, fmt.Sprintf(`{"kind":"KubeFedCluster","apiVersion":"core.kubefed.io/v1beta1","metadata":{"name":%[1]q},
"spec":{"apiEndpoint":%[2]q,"caBundle":%[3]q,"secretRef":{"name":%[1]q}}}`, name, m.URL, authority), jsonBody)
	return m
}

// gone waits until there is no such object.
func (h *host) gone(t *testing.T, path string) {
	t.Helper()
	eventually(t, func() error {
		if resp := h.do(t, http.MethodGet, path, "", acceptJSON); resp.code != http.StatusNotFound {
			return fmt.Errorf("%s is still there: %d %s", path, resp.code, resp.body)
		}
		return nil
	})
}

// found waits until there is such an object.
func (h *host) found(t *testing.T, path string) (found object) {
	t.Helper()
	eventually(t, func() error {
		resp := h.do(t, http.MethodGet, path, "", acceptJSON)
		if resp.code != http.StatusOK {
			return fmt.Errorf("%s: %d %s", path, resp.code, resp.body)
		}
		found = resp.object(t)
		return nil
	})
	return found
}

// deployment is in the topology shape and placed in the member m1.
func deployment(namespace, name, more string) string {
	return fmt.Sprintf(`{"kind":"FederatedDeployment","apiVersion":"types.kubefed.io/v1beta2","metadata":{"name":%q,"namespace":%q},
"spec":{"template":{"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:1"}]}}}},
"placement":{"topologies":[{"name":"m1"}]}%s}}`, name, namespace, more)
}

func deploymentsOf(version, namespace string) string {
	return "/apis/types.kubefed.io/" + version + "/namespaces/" + namespace + "/federateddeployments"
}

const (
	mask     = `,"placementMask":{"topologies":[{"name":"m1"}]}`
	selector = `,"overrides":[{"topologySelector":{"matchLabels":{"zone":"eu"}},"topologyOverrides":[{"path":"/spec/replicas","op":"replace","value":3}]}]`
)

// warns says whether a write of what v1beta1 cannot say is answered with both warnings. One of
// them alone fails the test.
func (h *host) warns(t *testing.T, namespace string) bool {
	t.Helper()
	resp := h.do(t, http.MethodPost, deploymentsOf("v1beta2", namespace)+"?dryRun=All", deployment(namespace, "tried", mask+selector), jsonBody)
	if resp.code != http.StatusCreated {
		t.Fatalf("create: got %d: %s", resp.code, resp.body)
	}
	warnings := strings.Join(resp.header.Values("Warning"), "\n")
	ofMask, ofSelector := strings.Contains(warnings, maskIgnored), strings.Contains(warnings, selectorIgnored)
	if ofMask != ofSelector {
		t.Fatalf("warnings are about one of the two only: %s", warnings)
	}
	return ofMask
}

// TestAStockControllerNeedsNothingBesideIt has a server that leaves propagation to a stock
// controller-manager, and does what that one and its users rely on.
func TestAStockControllerNeedsNothingBesideIt(t *testing.T) {
	h := hostOf(t, testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{"--components=apiserver,hostcontrollers"}}), patience)

	// What users expect from the start is there, and its status is the stock controller's.
	h.found(t, "/apis/core.kubefed.io/v1beta1/namespaces/"+systemNamespace+"/kubefedconfigs/kubefed")
	h.found(t, typeConfigs+"/deployments.apps")
	eventually(t, func() error { return served(h.get(t, typeConfigs+"/deployments.apps")) })
	patchesAndPutsTheStatus(t, h)
	// Over SQLite the server is alone, and needs no Lease.
	h.refused(t, http.StatusNotFound, metav1.StatusReasonNotFound, http.MethodGet, lease, "", acceptJSON)

	m1 := h.join(t, "m1")
	probed := h.putReady(t, "m1")
	shop := h.namespace(t, "shop")
	h.must(t, http.StatusCreated, http.MethodPost, deploymentsOf("v1beta2", shop), deployment(shop, "web", ""), jsonBody)
	if !h.warns(t, shop) {
		t.Error("nobody was told that a stock controller obeys no mask and no override by selector")
	}

	// A cell is no cluster for the stock controller before it can be used, and says why: this member
	// gives nobody rights.
	const cells = "/apis/federation.koinon.io/v1alpha1/namespaces/"
	h.must(t, http.StatusCreated, http.MethodPost, cells+shop+"/cells", `{"kind":"Cell","apiVersion":"federation.koinon.io/v1alpha1","metadata":{"name":"rz00a"},"spec":{"clusterName":"m1"}}`, jsonBody)
	eventually(t, func() error {
		cell := h.get(t, cells+shop+"/cells/rz00a")
		if !hasCondition(cell, "AccountReady", "False") || !hasCondition(cell, "Ready", "True") || hasCondition(cell, "MemberSeenTwice", "True") {
			return fmt.Errorf("the cell does not say that its account has no rights: %v", cell["status"])
		}
		return nil
	})
	h.refused(t, http.StatusNotFound, metav1.StatusReasonNotFound, http.MethodGet, clusters+"/rz00a."+shop, "", acceptJSON)
	asked := m1.requests.Load()

	// An edge unit is its member once more, and says so.
	units := "/apis/edge.koinon.io/v1alpha1/namespaces/" + shop + "/edgeunits"
	h.must(t, http.StatusCreated, http.MethodPost, units, `{"kind":"EdgeUnit","apiVersion":"edge.koinon.io/v1alpha1","metadata":{"name":"u7"},"spec":{"clusterName":"m1","nodeSelector":{"unit":"u7"}}}`, jsonBody)
	ofUnit := clusters + "/u7." + shop + ".edgeunit"
	if got := h.found(t, ofUnit).text("spec", "apiEndpoint"); got != m1.URL {
		t.Errorf("apiEndpoint of the unit's cluster: got %q, want its member's, %q", got, m1.URL)
	}
	eventually(t, func() error {
		unit := h.get(t, units+"/u7")
		if !hasCondition(unit, "MemberSeenTwice", "True") {
			return fmt.Errorf("the edge unit does not say that its member is seen twice: %v", unit["status"])
		}
		return nil
	})
	probedUnit := h.putReady(t, "u7."+shop+".edgeunit")

	// What depends on an object goes with it: a stock controller leaves that to the host.
	web := h.get(t, deploymentsOf("v1beta1", shop)+"/web")
	versions := "/apis/core.kubefed.io/v1alpha1/namespaces/" + shop + "/propagatedversions"
	h.must(t, http.StatusCreated, http.MethodPost, versions, fmt.Sprintf(`{"kind":"PropagatedVersion","apiVersion":"core.kubefed.io/v1alpha1","metadata":{"name":"deployment-web","namespace":%q,
"ownerReferences":[{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedDeployment","name":"web","uid":%q}]},"status":{"templateVersion":"","overridesVersion":""}}`, shop, web.text("metadata", "uid")), acceptJSON, jsonBody)
	h.must(t, http.StatusOK, http.MethodDelete, deploymentsOf("v1beta1", shop)+"/web", "", acceptJSON)
	h.gone(t, versions+"/deployment-web")

	// Nothing was done that is the engine's, although everything above was.
	h.must(t, http.StatusCreated, http.MethodPost, deploymentsOf("v1beta2", shop), deployment(shop, "left", ""), jsonBody)
	gone := h.namespace(t, "gone")
	h.must(t, http.StatusCreated, http.MethodPost, deploymentsOf("v1beta2", gone), deployment(gone, "web", ""), jsonBody)
	h.must(t, http.StatusOK, http.MethodDelete, "/api/v1/namespaces/"+gone, "", acceptJSON)
	h.gone(t, "/api/v1/namespaces/"+gone)
	left := h.get(t, deploymentsOf("v1beta1", shop)+"/left")
	if left.at("metadata", "finalizers") != nil || left.at("status") != nil {
		t.Errorf("somebody began to propagate: finalizers %v, status %v", left.at("metadata", "finalizers"), left.at("status"))
	}
	if asked == 0 {
		t.Error("the member was not asked for the rights of the cell's account")
	}
	for path, want := range map[string]object{clusters + "/m1": probed, ofUnit: probedUnit} {
		if got := h.get(t, path); got.version() != want.version() {
			t.Errorf("%s: somebody wrote it after the stock controller's PUT of the status: %v", path, got)
		}
	}

	// A namespace takes its cells along, and these their clusters.
	h.must(t, http.StatusOK, http.MethodDelete, "/api/v1/namespaces/"+shop, "", acceptJSON)
	h.gone(t, "/api/v1/namespaces/"+shop)
	h.gone(t, ofUnit)
}

// putReady does what the stock controller does when it has probed a cluster.
func (h *host) putReady(t *testing.T, name string) object {
	t.Helper()
	cluster := h.get(t, clusters+"/"+name)
	cluster["status"] = map[string]any{"kubernetesVersion": "v1.36.3", "conditions": []any{map[string]any{"type": "Ready", "status": "True", "reason": "ClusterReady",
		"message": "/healthz responded with ok", "lastProbeTime": "2026-11-22T00:00:00Z", "lastTransitionTime": "2026-11-22T00:00:00Z"}}}
	return h.must(t, http.StatusOK, http.MethodPut, clusters+"/"+name+"/status", cluster.encode(t), acceptJSON, jsonBody)
}

func hasCondition(o object, conditionType, status string) bool {
	conditions, _ := o.at("status", "conditions").([]any)
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition := object(c.(map[string]any))
		return condition["type"] == conditionType && condition["status"] == status
	})
}

// TestWhoIsWarnedOfMasksDependsOnTheEngineThatRuns has the engine in processes of their own: the
// API server knows them by their Lease only.
func TestWhoIsWarnedOfMasksDependsOnTheEngineThatRuns(t *testing.T) {
	server := testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{"--components=apiserver"}})
	h := hostOf(t, server, patience)
	h.enableDeployments(t)
	m1 := h.join(t, "m1")
	shop := h.namespace(t, "shop")
	awaitWarning := func(want bool) {
		t.Helper()
		eventually(t, func() error {
			if got := h.warns(t, shop); got != want {
				return fmt.Errorf("a write of a mask is warned about: %t, want %t", got, want)
			}
			return nil
		})
	}
	start := func(component string) *testbed.Koinon {
		t.Helper()
		return testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: server.Kubeconfig(), Args: []string{"--components=" + component}})
	}
	led := func(by string, propagation string) (holder string) {
		t.Helper()
		eventually(t, func() error {
			resp := h.do(t, http.MethodGet, lease, "", acceptJSON)
			if resp.code != http.StatusOK {
				return fmt.Errorf("the Lease: %d %s", resp.code, resp.body)
			}
			l := resp.object(t)
			holder = l.text("spec", "holderIdentity")
			if got := l.text("metadata", "labels", "federation.koinon.io/propagation"); got != propagation || holder == by || holder == "" {
				return fmt.Errorf("the Lease is held by %q and labelled %q, want another holder than %q and %s", holder, got, by, propagation)
			}
			return nil
		})
		return holder
	}

	awaitWarning(true)
	engine := start("controllers")
	first := led("", "true")
	awaitWarning(false)
	eventually(t, func() error {
		if m1.requests.Load() == 0 {
			return fmt.Errorf("the engine has not connected to its member")
		}
		return nil
	})
	engine.Stop(t) // and gives the Lease back
	awaitWarning(true)
	engine.Start(t)
	second := led(first, "true")
	awaitWarning(false)

	// Killed, it leaves a Lease that says it propagates. The next holder says that it does not.
	engine.Kill9(t)
	start("hostcontrollers")
	led(second, "false")
	awaitWarning(true)
}
