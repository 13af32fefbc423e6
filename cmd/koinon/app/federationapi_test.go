package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// TestAServerWithoutAnEngineAsksTheHostWhoPropagates has a host with a Lease that the options
// of the server say nothing of.
func TestAServerWithoutAnEngineAsksTheHostWhoPropagates(t *testing.T) {
	for name, test := range map[string]struct {
		components  []string
		propagation string // label of the Lease
		asks, other bool
	}{
		"everything runs here":                             {components: []string{"all"}, propagation: "false"},
		"propagation runs here":                            {components: []string{"apiserver", "controllers"}, propagation: "false"},
		"no controllers here, and an engine elsewhere":     {components: []string{"apiserver"}, propagation: "true", asks: true},
		"no controllers here, and no engine anywhere":      {components: []string{"apiserver"}, propagation: "false", asks: true, other: true},
		"the host's controllers, and no engine anywhere":   {components: []string{"apiserver", "hostcontrollers"}, propagation: "false", asks: true, other: true},
		"the host's controllers, and an engine that leads": {components: []string{"apiserver", "hostcontrollers"}, propagation: "true", asks: true},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if want := "/apis/coordination.k8s.io/v1/namespaces/federation/leases/koinon-controllers"; r.URL.Path != want {
					t.Errorf("asked for %s, want %s", r.URL.Path, want)
				}
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(&coordinationv1.Lease{
					TypeMeta:   metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
					ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"federation.koinon.io/propagation": test.propagation}},
					Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("another"), RenewTime: new(metav1.NewMicroTime(time.Now()))},
				})
			}))
			defer host.Close()
			options := NewServerOptions()
			options.Components, options.Namespace = test.components, "federation"
			otherEngine, err := options.otherEngine(&rest.Config{Host: host.URL})
			if err != nil {
				t.Fatal(err)
			}
			if otherEngine == nil {
				if test.asks {
					t.Error("nobody is asked who propagates")
				}
				return
			}
			if got := otherEngine(t.Context()); got != test.other || (asked > 0) != test.asks {
				t.Errorf("another engine propagates: got %t, asked %d times; want %t, asked: %t", got, asked, test.other, test.asks)
			}
		})
	}
}
