package follow

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

const gadgetDefinition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.example.com"

// gadgetHost has one federated object, which the controller made, and a CustomResourceDefinition or none.
type gadgetHost struct {
	mu sync.Mutex
	// guarded by mu
	definition int // what is answered of it
	wrote      []string
}

func (h *gadgetHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	code, answer := http.StatusOK, any(map[string]any{
		"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedGadget",
		"metadata": map[string]any{"namespace": "shop", "name": "web", "managedFields": []any{map[string]any{"manager": fieldManager}}},
	})
	if r.URL.Path == gadgetDefinition {
		if code = h.definition; code == http.StatusOK {
			answer = metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"}, ObjectMeta: metav1.ObjectMeta{Name: "gadgets.example.com"}}
		} else {
			answer = metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code),
				Reason:  map[int]metav1.StatusReason{http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound}[code],
				Details: &metav1.StatusDetails{Name: "gadgets.example.com"}}
		}
	}
	if r.Method != http.MethodGet {
		h.wrote = append(h.wrote, r.Method)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

func (h *gadgetHost) set(definition int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.definition = definition
}

// The last objects of a type may be seen to be gone once its CustomResourceDefinition is gone, too: that it has none is true of built-in
// types as well, and there an object that is gone was deleted.
func TestWhatGoesWithItsTypeIsNotTakenForDeletedOnceTheTypeIsGone(t *testing.T) {
	for name, test := range map[string]struct {
		before, after int
		want          string
	}{
		"a type that had a definition, which is gone": {http.StatusOK, http.StatusNotFound, http.MethodPatch},
		"a type that never had one":                   {http.StatusNotFound, http.StatusNotFound, http.MethodDelete},
	} {
		t.Run(name, func(t *testing.T) {
			host := &gadgetHost{definition: test.before}
			server := httptest.NewServer(host)
			defer server.Close()
			c, err := New(Config{
				HostConfig: &rest.Config{Host: server.URL}, Checker: &hostwatch.Checker{}, Types: listersv1beta1.NewFederatedTypeConfigLister(nil).FederatedTypeConfigs(""),
				Objects: nobody{}, Record: func(*corev1.ObjectReference, ...events.Event) {},
			})
			if err != nil {
				t.Fatal(err)
			}
			config := typeConfig("example.com", "Gadget", "gadgets", v1beta1.NamespaceScoped)
			config.Spec.FederatedType = v1beta1.APIResource{Group: "types.kubefed.io", Version: "v1beta2", Kind: "FederatedGadget", PluralName: "federatedgadgets", Scope: v1beta1.NamespaceScoped}
			custom, err := c.isCustom(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			watched := &nativeType{custom: new(atomic.Bool)}
			watched.custom.Store(custom)
			host.set(test.after)
			federated := &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "f", ResourceVersion: "7",
				Annotations: map[string]string{v1beta1.FollowsAnnotation: following.Mark{UID: "u"}.String()}}}
			if err := c.delete(t.Context(), keyOf(config, "shop", "web"), config, watched, federated); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(host.wrote, " "); got != test.want {
				t.Errorf("the federated object got a %s, want a %s", got, test.want)
			}
		})
	}
}

// Nobody watches a type of which it is not known what it is: it is asked again.
func TestADefinitionThatIsNotReadIsNotKnown(t *testing.T) {
	for _, code := range []int{http.StatusForbidden, http.StatusServiceUnavailable} {
		server := httptest.NewServer(&gadgetHost{definition: code})
		defer server.Close()
		h, err := newHost(&rest.Config{Host: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		config := typeConfig("example.com", "Gadget", "gadgets", v1beta1.NamespaceScoped)
		if custom, err := (&Controller{host: h}).isCustom(t.Context(), config); err == nil {
			t.Errorf("of an answer %d: got %v, want an error", code, custom)
		}
	}
}

// nobody has no federated objects.
type nobody struct{}

func (nobody) Synced(string) bool                                     { return true }
func (nobody) Get(string, string, string) *v1beta2.FederatedObject    { return nil }
func (nobody) InTargets(string, string) ([]placement.Candidate, bool) { return nil, true }
