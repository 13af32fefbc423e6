package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/koinon-io/koinon/test/simulation"
)

// scope is the members of a test.
type scope struct {
	mu      sync.Mutex
	members []Member
	changed chan struct{}
}

func (s *scope) List(context.Context) ([]Member, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members), nil
}

func (s *scope) Watch(context.Context) <-chan struct{} { return s.changed }

func (s *scope) set(members ...Member) {
	s.mu.Lock()
	s.members = members
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// world is a handler over simulated members.
type world struct {
	*Handler
	*scope
	simulated []*simulation.Member
}

func newWorld(t testing.TB, members int, config Config) *world {
	t.Helper()
	w := &world{scope: &scope{changed: make(chan struct{}, 1)}}
	for n := 1; n <= members; n++ {
		w.grow(t, n)
	}
	config.Members = func(*http.Request) (Members, error) { return w.scope, nil }
	var err error
	if w.Handler, err = New(config); err != nil {
		t.Fatal(err)
	}
	return w
}

// grow adds a member to the scope.
func (w *world) grow(t testing.TB, n int) *simulation.Member {
	m := simulation.NewMember(fmt.Sprintf("m%d", n), n, simulation.Options{Seed: int64(n)})
	for _, namespace := range []string{"shop", "a", "a-b"} {
		put(t, m, simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": namespace}})
	}
	w.simulated = append(w.simulated, m)
	members, _ := w.List(t.Context())
	w.set(append(members, memberOf(m))...)
	return m
}

func memberOf(m *simulation.Member) Member {
	return Member{m.Name(), bearer{m.Token(), simulation.InProcess(m)}}
}

// bearer authenticates requests.
type bearer struct {
	token string
	http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

// served is a member that answers by a function.
func served(name string, f http.HandlerFunc) Member {
	return Member{name, simulation.InProcess(f)}
}

func put(t testing.TB, m *simulation.Member, gvr schema.GroupVersionResource, object map[string]any) {
	t.Helper()
	if err := m.Put(gvr, object); err != nil {
		t.Fatal(err)
	}
}

func configMap(namespace, name, value string) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"namespace": namespace, "name": name, "labels": map[string]any{"value": value}},
		"data":     map[string]any{"value": value},
	}
}

// asked is an answer of the handler.
type asked struct {
	code     int
	body     []byte
	warnings []string
	// cut: the answer has no end.
	cut bool
}

func ask(t testing.TB, h http.Handler, path, accept string, query ...string) asked {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path+"?"+values.Encode(), nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	return serve(t, h, r)
}

func serve(t testing.TB, h http.Handler, r *http.Request) (a asked) {
	t.Helper()
	recorder := httptest.NewRecorder()
	func() {
		defer func() {
			if recovered := recover(); recovered == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
				a.cut = true
			} else if recovered != nil {
				panic(recovered)
			}
		}()
		h.ServeHTTP(recorder, r)
	}()
	a.code, a.body = recorder.Code, recorder.Body.Bytes()
	warnings, errs := utilnet.ParseWarningHeaders(recorder.Header().Values("Warning"))
	if len(errs) > 0 {
		t.Errorf("warnings cannot be read: %v", errs)
	}
	for _, w := range warnings {
		a.warnings = append(a.warnings, w.Text)
	}
	return a
}

func (a asked) list(t testing.TB) *unstructured.UnstructuredList {
	t.Helper()
	if a.code != http.StatusOK || a.cut {
		t.Fatalf("%d (cut %v): %s", a.code, a.cut, a.body)
	}
	list := &unstructured.UnstructuredList{}
	if err := list.UnmarshalJSON(a.body); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return list
}

func (a asked) status(t testing.TB, code int) metav1.Status {
	t.Helper()
	var status metav1.Status
	if err := json.Unmarshal(a.body, &status); err != nil || a.code != code || int(status.Code) != code || status.Kind != "Status" {
		t.Fatalf("the answer is %d %s (%v), want a Status with %d", a.code, a.body, err, code)
	}
	return status
}

// place is where an object is, in the order of lists.
func place(cluster, namespace, name string) string { return namespace + "/" + name + " " + cluster }

func placesOf(list *unstructured.UnstructuredList) (places []string) {
	for _, o := range list.Items {
		places = append(places, place(o.GetAnnotations()[ClusterAnnotation], o.GetNamespace(), o.GetName()))
	}
	return places
}

// places of what simulated members hold, in order.
func (w *world) places(gvr schema.GroupVersionResource, of ...*simulation.Member) []string {
	type entry struct{ key, cluster string }
	var all []entry
	for _, m := range of {
		for _, o := range m.Objects(gvr) {
			u := unstructured.Unstructured{Object: o}
			all = append(all, entry{u.GetNamespace() + "/" + u.GetName(), m.Name()})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return strings.Compare(a.cluster, b.cluster)
	})
	var out []string
	for _, e := range all {
		out = append(out, e.key+" "+e.cluster)
	}
	return out
}

// random is seeded by KOINON_SEED, or anew.
func random(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("KOINON_SEED: %v", err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// endsAll checks that no goroutine is left of what a test did.
func endsAll(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
		}
	})
}
