package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/closure"
	"github.com/koinon-io/koinon/pkg/edgehub/feed"
	"github.com/koinon-io/koinon/pkg/edgehub/podstate"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// podHub is a hub that knows pods of its node, and nothing else.
func podHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{node: "n", logger: slog.New(slog.DiscardHandler), podStates: podstate.New("n")}
	var err error
	if h.cache, err = view.NewCache(nil); err != nil {
		t.Fatal(err)
	}
	h.closure, err = closure.New(closure.Config{
		Node: h.node, Views: &feed.Pool{}, View: h.cache.View, Refused: feed.IsRefused, Correct: h.correct, Logger: h.logger,
		Want: func(context.Context, view.Key, string) (func() (bool, error), func()) {
			return func() (bool, error) { return false, errors.New("nobody fills it") }, func() {}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// podAt is the pod ns/a, as the API server has it.
func podAt(version uint64, address, ready string) []byte {
	return fmt.Appendf(nil, `{"metadata":{"name":"a","namespace":"ns","uid":"u1","resourceVersion":"%d"},"status":{"podIPs":[{"ip":%q}],"conditions":[{"type":"Ready","status":%q}]}}`, version, address, ready)
}

// tell has the API server tell that there is the pod ns/a, with an address.
func (h *hub) tell(t *testing.T, version uint64, address string) {
	t.Helper()
	pods := h.cache.View(podsKey(h.node))
	pod, err := pods.Parse(podAt(version, address, "True"))
	if err != nil {
		t.Fatal(err)
	}
	pods.Replace([]*view.Object{pod}, version)
}

// seen is an endpoint of the pod ns/a with the address 10.1.0.5, as it is seen: its address, and whether it is ready.
func (h *hub) seen(t *testing.T, ready bool) string {
	t.Helper()
	was := fmt.Sprintf(`{"metadata":{"labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}},
		"endpoints":[{"addresses":["10.1.0.5"],"conditions":{"ready":%t,"serving":%[1]t,"terminating":false},"nodeName":"n","targetRef":{"uid":"u1"}}]}`, ready)
	var is discoveryv1.EndpointSlice
	if err := json.Unmarshal(h.correct([]byte(was)), &is); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(is.Endpoints[0].Addresses[0], " ", *is.Endpoints[0].Conditions.Ready)
}

// kubelet was away for longer than it takes to say it again: it has as long when it is back.
func TestWhatKubeletSaidIsSoUntilItHadTheTimeToSayItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := podHub(t)
		renew := func(until time.Duration) {
			t.Helper()
			for range until / lapseEvery {
				h.kubelet.note()
				h.forgetPodStates(time.Time{})
				time.Sleep(lapseEvery)
			}
		}
		is := func(when, want string) {
			t.Helper()
			if got := h.seen(t, true); got != want {
				t.Errorf("%s it is %s, want %s", when, got, want)
			}
		}
		renew(2 * lapseAfter)
		if _, _, err := h.podStates.Said(podAt(7, "10.1.0.5", "True"), []byte(`{"status":{"podIPs":[{"ip":"10.1.0.8"},{"$patch":"delete","ip":"10.1.0.5"}]}}`), time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * lapseAfter)
		renew(lapseAfter)
		is("when kubelet is back", "10.1.0.8 true")
		time.Sleep(2 * visitsWithin)
		renew(lapseAfter)
		is("when it is back once more", "10.1.0.8 true")
		renew(lapseAfter)
		is("when it was there, and did not say it again,", "10.1.0.5 true")
	})
}

// EndpointSlices are of before while the API server is away, and for a moment after it is back.
func TestWhetherAPodIsReadyIsSeenUntilEndpointSlicesSayIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := podHub(t)
		if _, _, err := h.podStates.Taken(podAt(8, "10.1.0.5", "True"), podAt(7, "10.1.0.5", "False"), time.Now()); err != nil {
			t.Fatal(err)
		}
		is := func(when, want string) {
			t.Helper()
			if got := h.seen(t, false); got != want {
				t.Errorf("%s it is %s, want %s", when, got, want)
			}
		}
		time.Sleep(10 * settleAfter)
		h.forgetPodStates(time.Time{})
		is("while the API server is away", "10.1.0.5 true")
		connected := time.Now()
		h.forgetPodStates(connected)
		is("when it is back", "10.1.0.5 true")
		time.Sleep(settleAfter + 1)
		h.forgetPodStates(connected)
		is("later", "10.1.0.5 false")
	})
}

// All is forgotten when the cluster is another one, and a view that was never complete when nobody wants it: what is read after that is in another view.
func TestPodsThatAreGoneAreForgottenAfterTheirViewWas(t *testing.T) {
	h := podHub(t)
	if _, _, err := h.podStates.Taken(podAt(8, "10.1.0.8", "True"), podAt(7, "10.1.0.5", "True"), time.Now()); err != nil {
		t.Fatal(err)
	}
	is := func(when, want string) {
		t.Helper()
		h.forgetPodStates(time.Time{})
		if got := h.seen(t, true); got != want {
			t.Errorf("%s it is %s, want %s", when, got, want)
		}
	}
	is("while nobody knows which pods there are", "10.1.0.8 true")
	h.cache.Forget(podsKey(h.node))
	is("when that was forgotten", "10.1.0.8 true")
	h.tell(t, 8, "10.1.0.8")
	is("when it is there", "10.1.0.8 true")
	h.cache.View(podsKey(h.node)).Replace(nil, 9)
	is("when it is gone", "10.1.0.5 true")
}

func TestAnAddressOfBeforeIsKnownThoughTheAPIServerTellsOfTheNewOneBeforeItAnswers(t *testing.T) {
	h := podHub(t)
	h.tell(t, 7, "10.1.0.5")
	h.handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h.tell(t, 8, "10.1.0.8")
		h.podStatus("ns", "a", nil, podAt(8, "10.1.0.8", "True"))
	})
	h.locally().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPatch, "/api/v1/namespaces/ns/pods/a/status", http.NoBody))
	if got, want := h.seen(t, true), "10.1.0.8 true"; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}
