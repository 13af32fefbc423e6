package profiles

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

const proxies = "https://koinon.example/apis/federation.koinon.io/v1alpha1/"

func TestAMemberHasAProfile(t *testing.T) {
	h := newHost(t)
	h.has(ready("m1"))
	h.keep(inventory, "m1")
	u := h.stored(inventory, "m1")
	if u == nil {
		t.Fatal("there is no profile")
	}
	if got := healthOf(u); got != "True ClusterReady" {
		t.Errorf("health: got %q", got)
	}
	want := map[string]string{"city": "hangzhou", "topology.kubernetes.io/region": "east", "x-k8s.io/cluster-manager": "koinon"}
	if diff := cmp.Diff(want, u.GetLabels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{"spec.displayName": "m1", "spec.clusterManager.name": "koinon", "status.version.kubernetes": "v1.36.3"} {
		if got, _, _ := unstructured.NestedString(u.Object, strings.Split(path, ".")...); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if diff := cmp.Diff([]string{"federation.koinon.io/cluster-uid=uid-of-m1", "topology.kubernetes.io/region=east"}, properties(u)); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"koinon": proxies + "clusters/m1/proxy"}, servers(u)); diff != "" {
		t.Errorf("ways (-want +got):\n%s", diff)
	}
	if !strings.Contains(text(u), base64.StdEncoding.EncodeToString([]byte("authority"))) {
		t.Error("the authority is not there")
	}
	for _, hidden := range []string{"10.1.2.3", "credential\"", "secret"} {
		if strings.Contains(text(u), hidden) {
			t.Errorf("the profile has %q: %s", hidden, text(u))
		}
	}
}

func TestHealthThatIsNotKnownIsUnknown(t *testing.T) {
	for name, test := range map[string]struct {
		kind   v1beta1.ClusterConditionType
		status corev1.ConditionStatus
		want   string
	}{
		"well":                           {v1beta1.ClusterReady, corev1.ConditionTrue, "True ClusterReady"},
		"not well":                       {v1beta1.ClusterReady, corev1.ConditionFalse, "False ClusterNotReady"},
		"away":                           {v1beta1.ClusterOffline, corev1.ConditionTrue, "Unknown ClusterNotReachable"},
		"joined with what is of no use":  {v1beta1.ClusterConfigMalformed, corev1.ConditionTrue, "Unknown ClusterConfigMalformed"},
		"of a condition that says so":    {v1beta1.ClusterReady, corev1.ConditionUnknown, "Unknown NotChecked"},
		"not asked yet":                  {"", "", "Unknown NotChecked"},
		"reached, with nothing besides":  {v1beta1.ClusterOffline, corev1.ConditionFalse, "Unknown NotChecked"},
		"of a condition that is another": {"Other", corev1.ConditionTrue, "Unknown NotChecked"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.has(member("m1", test.kind, test.status))
			h.keep(inventory, "m1")
			if got := healthOf(h.stored(inventory, "m1")); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if strings.Contains(text(h.stored(inventory, "m1")), "10.1.2.3") {
				t.Error("the profile says which address did not answer")
			}
		})
	}
}

func TestACellHasAProfileInItsNamespace(t *testing.T) {
	h := newHost(t)
	c, cluster := cell("rz00a")
	h.has(c, cluster)
	h.keep("shop", "rz00a")
	u := h.stored("shop", "rz00a")
	if u == nil {
		t.Fatal("there is no profile")
	}
	if got := healthOf(u); got != "True ClusterReady" {
		t.Errorf("health: got %q", got)
	}
	if diff := cmp.Diff([]string{"federation.koinon.io/member-namespace=shop-rz00a", "federation.koinon.io/member=m1"}, properties(u)); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"koinon": proxies + "namespaces/shop/cells/rz00a/proxy"}, servers(u)); diff != "" {
		t.Errorf("ways (-want +got):\n%s", diff)
	}
	if h.keep(inventory, "rz00a.shop"); h.stored(inventory, "rz00a.shop") != nil {
		t.Error("the cluster that the cell appears as has a profile of its own")
	}
}

// The KubeFedCluster of a cell goes when the cell may not be where it is any more.
func TestACellThatMayNotBeThereTellsNothingOfItsMember(t *testing.T) {
	h := newHost(t)
	c, cluster := cell("rz00a")
	h.has(c, cluster)
	h.keep("shop", "rz00a")
	refused := c.DeepCopy()
	refused.Status.Conditions = []metav1.Condition{{Type: federationv1alpha1.CellReady, Status: metav1.ConditionFalse, Reason: federationv1alpha1.ReasonForeignMember, Message: "member m1 is blue"}}
	h.has(refused)
	h.loses(cluster, false)
	h.keep("shop", "rz00a")
	u := h.stored("shop", "rz00a")
	if got := healthOf(u); got != "Unknown ForeignMember" {
		t.Errorf("health: got %q", got)
	}
	for _, hidden := range []string{"v1.36.3", "m1", "blue", proxies} {
		if strings.Contains(text(u), hidden) {
			t.Errorf("the profile has %q: %s", hidden, text(u))
		}
	}
	h.has(c, cluster)
	h.keep("shop", "rz00a")
	if got := healthOf(h.stored("shop", "rz00a")); got != "True ClusterReady" || len(servers(h.stored("shop", "rz00a"))) != 1 {
		t.Errorf("once it may be there again: got %q", got)
	}
}

func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	h := newHost(t)
	cluster := ready("m1")
	h.has(cluster)
	for _, test := range []struct {
		what   string
		change func()
		want   []string
	}{
		{"a new member", func() {}, []string{"create", "update status"}},
		{"nothing", func() {}, nil},
		{"a probe", func() { cluster.Status.Conditions[0].LastProbeTime = metav1.Now() }, nil},
		{"another version", func() { cluster.Status.KubernetesVersion = "v1.37.0" }, []string{"update status"}},
		{"another label", func() { cluster.Labels["city"] = "shanghai" }, []string{"update"}},
		{"another address that does not answer", func() {
			*cluster = *member("m1", v1beta1.ClusterOffline, corev1.ConditionTrue)
		}, []string{"update", "update status"}},
		{"and another problem with it", func() {
			problem := "i/o timeout"
			cluster.Status.Conditions[0].Message = &problem
		}, nil},
		{"other credentials", func() { cluster.Spec.SecretRef.Name = "new" }, nil},
	} {
		cluster = cluster.DeepCopy()
		test.change()
		h.has(cluster)
		if diff := cmp.Diff(test.want, h.keep(inventory, "m1")); diff != "" {
			t.Errorf("%s: writes (-want +got):\n%s", test.what, diff)
		}
	}
}

func TestARestartWithAThousandMembersWritesNothing(t *testing.T) {
	h := newHost(t)
	for i := range 1000 {
		h.has(ready(fmt.Sprintf("m%d", i)))
		h.check(h.reconcile(t.Context(), key{Namespace: inventory, Name: fmt.Sprintf("m%d", i)}))
	}
	h.show()
	again := h.newSession(h.cache)
	h.profiles.ClearActions()
	for i := range 1000 {
		h.check(again.reconcile(t.Context(), key{Namespace: inventory, Name: fmt.Sprintf("m%d", i)}))
	}
	if got := h.profiles.Actions(); len(got) > 0 {
		t.Errorf("got %d requests, %v first", len(got), got[0])
	}
}

func TestWhatOthersWriteIntoAProfileStays(t *testing.T) {
	h := newHost(t)
	cluster := ready("m1")
	h.has(cluster)
	h.keep(inventory, "m1")
	h.change(inventory, "m1", func(u *unstructured.Unstructured) {
		labels := u.GetLabels()
		labels["argocd"], labels["city"] = "yes", "beijing"
		u.SetLabels(labels)
		_ = unstructured.SetNestedField(u.Object, "The first one", "spec", "displayName")
		for field, item := range map[string]map[string]any{
			"conditions":      {"type": "Joined", "status": "True", "reason": "Joined", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
			"properties":      {"name": "example.com/tier", "value": "gold", "lastObservedTime": "2026-01-01T00:00:00Z"},
			"accessProviders": {"name": "other", "cluster": map[string]any{"server": "https://direct", "extensions": []any{}}},
		} {
			items, _, _ := unstructured.NestedSlice(u.Object, "status", field)
			_ = unstructured.SetNestedSlice(u.Object, append([]any{item}, items...), "status", field)
		}
	})
	changed := cluster.DeepCopy()
	delete(changed.Labels, "topology.kubernetes.io/region")
	h.has(changed)
	h.keep(inventory, "m1")
	u := h.stored(inventory, "m1")
	want := map[string]string{"argocd": "yes", "city": "hangzhou", "x-k8s.io/cluster-manager": "koinon"}
	if diff := cmp.Diff(want, u.GetLabels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"example.com/tier=gold", "federation.koinon.io/cluster-uid=uid-of-m1"}, properties(u)); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"other": "https://direct", "koinon": proxies + "clusters/m1/proxy"}, servers(u)); diff != "" {
		t.Errorf("ways (-want +got):\n%s", diff)
	}
	for _, stays := range []string{"Joined", "The first one", "lastObservedTime", "extensions"} {
		if !strings.Contains(text(u), stays) {
			t.Errorf("%s is gone: %s", stays, text(u))
		}
	}
	if writes := h.keep(inventory, "m1"); writes != nil {
		t.Errorf("it is written again and again: %v", writes)
	}
}

func TestAProfileThatSomebodyChangesIsPutRight(t *testing.T) {
	h := newHost(t)
	h.has(ready("m1"))
	h.keep(inventory, "m1")
	right := text(h.stored(inventory, "m1"))
	h.change(inventory, "m1", func(u *unstructured.Unstructured) {
		u.SetLabels(nil) // the cache does not show it any more
		_ = unstructured.SetNestedSlice(u.Object, []any{map[string]any{"name": "koinon", "cluster": map[string]any{"server": "https://evil"}}}, "status", "accessProviders")
	})
	h.keep(inventory, "m1")
	if diff := cmp.Diff(right, text(h.stored(inventory, "m1"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProfilesOfOtherManagersAreLeftAlone(t *testing.T) {
	for name, change := range map[string]func(u *unstructured.Unstructured){
		"another manager": func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(u.Object, "open-cluster-management", "spec", "clusterManager", "name")
			u.SetLabels(map[string]string{"x-k8s.io/cluster-manager": "open-cluster-management"})
		},
		"another manager, with our label": func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(u.Object, "open-cluster-management", "spec", "clusterManager", "name")
		},
		"another federation": func(u *unstructured.Unstructured) {
			u.SetAnnotations(map[string]string{federationv1alpha1.FederationAnnotation: "theirs"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.has(ready("m1"))
			h.keep(inventory, "m1")
			h.change(inventory, "m1", change)
			before := text(h.stored(inventory, "m1"))
			err := h.try(inventory, "m1")
			if err == nil || !strings.Contains(err.Error(), "another cluster manager") {
				t.Errorf("got %v, want who is in the way", err)
			}
			h.loses(ready("m1"), false)
			h.keep(inventory, "m1")
			if u := h.stored(inventory, "m1"); u == nil || text(u) != before {
				t.Error("it was changed")
			}
		})
	}
}

func TestAProfileGoesOnlyWithWhatItTellsOf(t *testing.T) {
	h := newHost(t)
	c, cluster := cell("rz00a")
	m1 := ready("m1")
	h.has(c, cluster, m1)
	h.keep("shop", "rz00a")
	h.keep(inventory, "m1")

	h.loses(m1, true) // the cache is behind
	h.loses(c, true)
	h.keep("shop", "rz00a")
	h.keep(inventory, "m1")
	if h.stored(inventory, "m1") == nil || h.stored("shop", "rz00a") == nil {
		t.Fatal("a profile went although the API has what it tells of")
	}
	h.koinon.PrependReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("away")
	})
	for _, k := range []key{{Namespace: inventory, Name: "m1"}, {Namespace: "shop", Name: "rz00a"}} {
		if err := h.try(k.Namespace, k.Name); err == nil || h.stored(k.Namespace, k.Name) == nil {
			t.Errorf("%s: an API that does not answer: got %v", k, err)
		}
	}
	h.koinon.ReactionChain = h.koinon.ReactionChain[1:]
	h.has(c, m1)
	h.loses(m1, false)
	h.loses(c, false)
	h.keep("shop", "rz00a")
	h.keep(inventory, "m1")
	if h.stored(inventory, "m1") != nil || h.stored("shop", "rz00a") != nil {
		t.Error("a profile is left")
	}
}

// As after --cluster-profile-namespace has become another.
func TestAMembersProfileInAnotherNamespaceGoes(t *testing.T) {
	h := newHost(t)
	h.has(ready("m1"))
	h.keep(inventory, "m1")
	h.Namespace = "elsewhere"
	h.keep("elsewhere", "m1")
	h.keep(inventory, "m1")
	if h.stored("elsewhere", "m1") == nil || h.stored(inventory, "m1") != nil {
		t.Error("the profile did not move")
	}
}

func TestAnAuthorityThatCannotBeReadLeavesTheWayAsItIs(t *testing.T) {
	h := newHost(t)
	h.has(ready("m1"), ready("m2"))
	h.keep(inventory, "m1")
	h.authority = ""
	later := newHost(t) // a process that has read nothing yet
	later.authority, later.profiles, later.Profiles, later.cache = "", h.profiles, h.profiles, h.cache
	later.has(ready("m1"), ready("m2"))
	if writes := later.keep(inventory, "m1"); writes != nil {
		t.Errorf("got %v", writes)
	}
	later.keep(inventory, "m2")
	if got := servers(later.stored(inventory, "m2")); len(got) > 0 {
		t.Errorf("got %v without an authority", got)
	}
	later.authority = "new"
	later.keep(inventory, "m1")
	later.keep(inventory, "m2")
	for _, name := range []string{"m1", "m2"} {
		if !strings.Contains(text(later.stored(inventory, name)), base64.StdEncoding.EncodeToString([]byte("new"))) {
			t.Errorf("%s does not have the new authority", name)
		}
	}
}

func TestPropertiesThatNobodyMayHaveAreLeftOut(t *testing.T) {
	h := newHost(t)
	m1 := ready("m1")
	m1.Annotations[v1beta1.ClusterUIDAnnotation] = strings.Repeat("x", 1025)
	h.has(m1)
	h.keep(inventory, "m1")
	if diff := cmp.Diff([]string{"topology.kubernetes.io/region=east"}, properties(h.stored(inventory, "m1"))); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

// What changes while the host has no CRD is there once it has one, and a host that does not answer has one
// still.
func TestProfilesAreKeptWhileTheHostServesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		served := &serving{}
		h.Discover = served.discover
		h.has(ready("m1"))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Controller.Run(ctx) }()
		settle := func() { time.Sleep(3 * askEvery); synctest.Wait() }
		exists := func(name string, want bool) {
			t.Helper()
			if got := h.stored(inventory, name) != nil; got != want {
				t.Errorf("%s has a profile: %t", name, got)
			}
		}
		settle()
		exists("m1", false)
		served.set("clusterprofiles", nil)
		settle()
		exists("m1", true)
		served.set("", errors.New("away"))
		settle()
		h.has(ready("m2"))
		h.Controller.ClusterChanged("m2")
		settle()
		exists("m2", true)
		served.set("serviceimports", nil) // the group has others' CRDs still
		settle()
		h.has(ready("m3"))
		h.Controller.ClusterChanged("m3")
		settle()
		exists("m3", false)
		served.set("clusterprofiles", nil)
		settle()
		exists("m3", true)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// serving is the discovery of a host that has one resource of the group.
type serving struct {
	mu       sync.Mutex
	resource string // guarded by mu
	err      error  // guarded by mu
}

func (s *serving) set(resource string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resource, s.err = resource, err
}

func (s *serving) discover(context.Context) (*metav1.APIResourceList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.resource == "":
		return nil, apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	return &metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: s.resource}, {Name: s.resource + "/status"}}}, nil
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	if _, err := New(Config{}); err == nil || !slices.Contains(strings.Fields(err.Error()), "Config") {
		t.Errorf("got %v", err)
	}
}
