package memberclient

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var widgets = Type{Resource: schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "widgets"}, Kind: "Widget", Namespaced: true}

// typedMember serves answers by path, and widgets in some versions.
type typedMember struct {
	mu       sync.Mutex
	versions []string
	answers  map[string]http.HandlerFunc
	asked    []string
}

func (m *typedMember) serve(versions ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.versions = versions
}

func (m *typedMember) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	answer, versions := m.answers[r.URL.Path], m.versions
	m.asked = append(m.asked, r.Method+" "+r.URL.Path)
	m.mu.Unlock()
	if answer == nil {
		answer = widgetsIn(versions, r)
	}
	answer(w, r)
}

func widgetsIn(versions []string, r *http.Request) http.HandlerFunc {
	group := metav1.APIGroup{Name: "shop.example"}
	for _, version := range versions {
		path := "/apis/shop.example/" + version
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{Version: version})
		switch {
		case r.URL.Path == path:
			return say(metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "widgets", Kind: "Widget", Namespaced: true}}})
		case r.URL.Query().Has("watch") && strings.HasPrefix(r.URL.Path, path):
			return open
		case r.URL.Path == path+"/widgets":
			return say(`{"metadata":{"resourceVersion":"10"},"items":[{"metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"9"}}]}`)
		case r.URL.Path == path+"/namespaces/ns/widgets/a":
			return say(`{"kind":"Widget","apiVersion":"shop.example/` + version + `","metadata":{"name":"a","namespace":"ns","uid":"u"}}`)
		}
	}
	if r.URL.Path == "/apis/shop.example" && len(versions) > 0 {
		return say(group)
	}
	return http.NotFound
}

// TestObjectsOfAVersionThatIsServedNoLongerAreSeenInAnother, and deleted in it; they are not
// there only if no version is.
func TestObjectsOfAVersionThatIsServedNoLongerAreSeenInAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		member := &typedMember{versions: []string{"v2"}}
		conn, _ := observe(t, member, Keep{})
		conn.Watch(widgets, Keep{})
		synctest.Wait()
		expect := func(state State, version string) {
			t.Helper()
			live, got, err := conn.Cached(widgets.Resource, "ns", "a")
			if got != state || (live != nil) != (state == Synced) || err != nil || conn.Served(widgets.Resource).Version != version {
				t.Errorf("got state %d, object %v, error %v, version %s; want state %d, version %s",
					got, live, err, conn.Served(widgets.Resource).Version, state, version)
			}
		}
		expect(Synced, "v2")
		object, err := conn.Get(t.Context(), widgets.Resource, "ns", "a")
		if err != nil || object.GetAPIVersion() != "shop.example/v2" {
			t.Errorf("got object %v, error %v", object, err)
		}
		if err := conn.Delete(t.Context(), widgets.Resource, "ns", "a", "u", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		if err := conn.ReleaseVersion(t.Context(), widgets.Resource, "ns", "a", "u", "1", "x"); err != nil {
			t.Error(err)
		}
		member.serve("v2", "v1")
		time.Sleep(2 * recheck) // of the bubble
		expect(Synced, "v1")
	})
}

func TestATypeThatIsNotServedIsNotAnObjectThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := observe(t, &typedMember{}, Keep{})
		conn.Watch(widgets, Keep{})
		synctest.Wait()
		if _, state, _ := conn.Cached(widgets.Resource, "ns", "a"); state != NotServed {
			t.Errorf("got state %d", state)
		}
		if object, err := conn.Get(t.Context(), widgets.Resource, "ns", "a"); !errors.Is(err, ErrTypeNotServed) || object != nil {
			t.Errorf("get: got object %v, error %v", object, err)
		}
		if err := conn.Delete(t.Context(), widgets.Resource, "ns", "a", "u", metav1.DeleteOptions{}); !errors.Is(err, ErrTypeNotServed) {
			t.Errorf("delete: got error %v", err)
		}
		if err := conn.ReleaseVersion(t.Context(), widgets.Resource, "ns", "a", "u", "1", "x"); !errors.Is(err, ErrTypeNotServed) {
			t.Errorf("release: got error %v", err)
		}
	})
}

func TestObjectsHaveVanishedOnlyWithTheirType(t *testing.T) {
	const crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.shop.example"
	gone := notThere("customresourcedefinitions", "widgets.shop.example")
	unavailable := refuse(apierrors.NewServiceUnavailable("no endpoints"))
	other := metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "gadgets", Kind: "Gadget", Namespaced: true}}}
	for name, test := range map[string]struct {
		group    string
		versions []string
		answers  map[string]http.HandlerFunc
		want     bool
		failed   bool
	}{
		"the definition is gone":             {answers: map[string]http.HandlerFunc{crd: gone}, want: true},
		"another type of the group is there": {versions: []string{"v1"}, answers: map[string]http.HandlerFunc{crd: gone, "/apis/shop.example/v1": say(other)}, want: true},
		"the definition is there": {answers: map[string]http.HandlerFunc{crd: say(
			`{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"widgets.shop.example"}}`)}},
		"a version serves it":              {versions: []string{"v2"}, answers: map[string]http.HandlerFunc{crd: gone}},
		"definitions may not be read":      {answers: map[string]http.HandlerFunc{crd: refuse(apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no")))}, failed: true},
		"definitions are not known":        {answers: map[string]http.HandlerFunc{crd: http.NotFound}, failed: true},
		"the group is not available":       {answers: map[string]http.HandlerFunc{crd: gone, "/apis/shop.example": unavailable}, failed: true},
		"one version is not available":     {versions: []string{"v1"}, answers: map[string]http.HandlerFunc{crd: gone, "/apis/shop.example/v1": unavailable}, failed: true},
		"the core group's are not types":   {group: "-"},
		"nor are those of apps":            {group: "apps"},
		"nor are those with a long name":   {group: "rbac.authorization.k8s.io"},
		"nor are those of metrics":         {group: "metrics.k8s.io"},
		"a group of Kubernetes' by custom": {group: "gateway.networking.k8s.io", want: true},
	} {
		t.Run(name, func(t *testing.T) {
			asked := widgets
			if test.group != "" {
				asked.Resource.Group = strings.TrimPrefix(test.group, "-")
				name := "widgets." + asked.Resource.Group
				test.answers = map[string]http.HandlerFunc{strings.Replace(crd, "widgets.shop.example", name, 1): notThere("customresourcedefinitions", name)}
			}
			member := &typedMember{versions: test.versions, answers: test.answers}
			got, err := serve(t, member).Vanished(t.Context(), asked)
			if got != test.want || (err != nil) != test.failed {
				t.Errorf("got %v, error %v, asked %v", got, err, member.asked)
			}
		})
	}
}
