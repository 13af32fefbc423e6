package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/test/simulation"
)

// discovering is a member that serves types given as GROUP/VERSION/RESOURCE.
type discovering struct {
	types []string
	asked atomic.Int32
}

func (d *discovering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tag := fmt.Sprintf("%q", strings.Join(d.types, ","))
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	d.asked.Add(1)
	list := &apidiscovery.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}}
	for _, t := range d.types {
		part := strings.Split(t, "/")
		if (part[0] == "") != (r.URL.Path == "/api") {
			continue
		}
		i := slices.IndexFunc(list.Items, func(g apidiscovery.APIGroupDiscovery) bool { return g.Name == part[0] })
		if i < 0 {
			i = len(list.Items)
			list.Items = append(list.Items, apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: part[0]}})
		}
		list.Items[i].Versions = append(list.Items[i].Versions, apidiscovery.APIVersionDiscovery{
			Version: part[1], Freshness: apidiscovery.DiscoveryFreshnessCurrent,
			Resources: []apidiscovery.APIResourceDiscovery{{
				Resource: part[2], Scope: apidiscovery.ScopeNamespace, ShortNames: []string{part[2][:1]},
				Verbs: []string{"create", "list", "get", "watch", "delete"}, ResponseKind: &metav1.GroupVersionKind{Group: part[0], Version: part[1], Kind: "Some"},
				Subresources: []apidiscovery.APISubresourceDiscovery{{Subresource: "status"}},
			}, {Resource: "reviews", Verbs: []string{"create"}}},
		})
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (d *discovering) member(name string) Member { return Member{name, simulation.InProcess(d)} }

func TestDiscoveryIsThatOfAllMembers(t *testing.T) {
	w := newWorld(t, 0, Config{})
	w.set(
		(&discovering{types: []string{"apps/v1/deployments", "example.io/v2/widgets"}}).member("m1"),
		(&discovering{types: []string{"apps/v1/deployments", "example.io/v1/widgets", "other.io/v1/things"}}).member("m2"),
		(&discovering{types: []string{"apps/v1/deployments", "example.io/v1/widgets"}}).member("m3"),
	)
	var list apidiscovery.APIGroupDiscoveryList
	a := ask(t, w, "/apis", aggregatedAccept)
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range list.Items {
		for _, v := range g.Versions {
			for _, r := range v.Resources {
				got = append(got, fmt.Sprintf("%s/%s/%s%v%d", g.Name, v.Version, r.Resource, r.Verbs, len(r.Subresources)))
			}
		}
	}
	want := []string{
		"apps/v1/deployments[list get watch]0", "example.io/v1/widgets[list get watch]0", "example.io/v2/widgets[list get watch]0", "other.io/v1/things[list get watch]0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var resources metav1.APIResourceList
	if err := json.Unmarshal(ask(t, w, "/apis/other.io/v1", "").body, &resources); err != nil || len(resources.APIResources) != 1 || resources.APIResources[0].Kind != "Some" || !resources.APIResources[0].Namespaced {
		t.Errorf("%v: %+v", err, resources)
	}
	var group metav1.APIGroup
	if err := json.Unmarshal(ask(t, w, "/apis/example.io", "").body, &group); err != nil || group.PreferredVersion.GroupVersion != "example.io/v1" {
		t.Errorf("%v: %+v", err, group)
	}
	ask(t, w, "/apis/nobody.io", "").status(t, http.StatusNotFound)
}

func TestDiscoveryOfMembersOfOldIsTheSame(t *testing.T) {
	w := newWorld(t, 2, Config{})
	w.simulated[1].SetServed(simulation.Deployments, false)
	var groups metav1.APIGroupList
	if err := json.Unmarshal(ask(t, w, "/apis", "application/json").body, &groups); err != nil || len(groups.Groups) == 0 || groups.Groups[0].Name != "apps" {
		t.Fatalf("%v: %+v", err, groups)
	}
	for path, resource := range map[string]string{"/api/v1": "configmaps", "/apis/apps/v1": "deployments"} {
		var list metav1.APIResourceList
		if err := json.Unmarshal(ask(t, w, path, "").body, &list); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource }) {
			t.Errorf("%s has no %s: %+v", path, resource, list)
		}
	}
	var versions metav1.APIVersions
	if err := json.Unmarshal(ask(t, w, "/api", "").body, &versions); err != nil || !slices.Equal(versions.Versions, []string{"v1"}) {
		t.Errorf("%v: %+v", err, versions)
	}
}

func TestDiscoveryIsNotReadTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, Config{})
		d, hangs := &discovering{types: []string{"apps/v1/deployments"}}, atomic.Bool{}
		w.set(served("m1", func(w http.ResponseWriter, r *http.Request) {
			if hangs.Load() {
				<-r.Context().Done()
				return
			}
			d.ServeHTTP(w, r)
		}))
		first := ask(t, w, "/apis", aggregatedAccept)
		again := ask(t, w, "/apis", aggregatedAccept)
		if d.asked.Load() != 1 || string(first.body) != string(again.body) {
			t.Errorf("it was read %d times", d.asked.Load())
		}
		hangs.Store(true)
		away := ask(t, w, "/apis", aggregatedAccept)
		if string(first.body) != string(away.body) {
			t.Errorf("while the member is away, the types are %d %s", away.code, away.body)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/apis", nil)
		r.Header.Set("Accept", aggregatedAccept)
		recorder := httptest.NewRecorder()
		w.ServeHTTP(recorder, r)
		r.Header.Set("If-None-Match", recorder.Header().Get("ETag"))
		if same := serve(t, w, r); same.code != http.StatusNotModified {
			t.Errorf("who has the document is answered %d", same.code)
		}
	})
}

func TestDiscoveryNamesWhoIsMissing(t *testing.T) {
	w := newWorld(t, 0, Config{})
	w.set((&discovering{types: []string{"apps/v1/deployments"}}).member("m1"), served("m2", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }))
	if a := ask(t, w, "/apis", aggregatedAccept); a.code != http.StatusOK || len(a.warnings) != 1 || !strings.Contains(a.warnings[0], "cluster m2 ") {
		t.Errorf("%d, warned %q", a.code, a.warnings)
	}
}

func TestTheFirstMemberThatAnswersIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, Config{})
		w.simulated[0].SetFaults(simulation.Fault{Hang: true})
		w.simulated[1].SetFaults(simulation.Fault{Code: 503})
		if a := ask(t, w, "/version", ""); a.code != http.StatusOK || !strings.Contains(string(a.body), "v1.36.0") {
			t.Errorf("%d %s", a.code, a.body)
		}
		w.simulated[2].SetFaults(simulation.Fault{Cut: true})
		ask(t, w, "/version", "").status(t, http.StatusServiceUnavailable)
	})
}

func TestSchemasAreThoseOfAllMembers(t *testing.T) {
	w := newWorld(t, 0, Config{})
	schemas := func(name, path string) Member {
		return served(name, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/openapi/v3":
				_, _ = fmt.Fprintf(w, `{"paths":{%q:{"serverRelativeURL":"http://evil/%s?hash=1"}}}`, path, path)
			case "/openapi/v3/" + path:
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, "schemas of "+name)
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		})
	}
	w.set(schemas("m1", "api/v1"), schemas("m2", "apis/apps/v1"))
	want := `{"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=1"},"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=1"}}}` + "\n"
	if diff := cmp.Diff(want, string(ask(t, w, "/openapi/v3", "").body)); diff != "" {
		t.Error(diff)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi/v3/apis/apps/v1?hash=1", nil)
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	if got := recorder.Body.String(); got != "schemas of m2" || recorder.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("got %q, as %s", got, recorder.Header())
	}
}
