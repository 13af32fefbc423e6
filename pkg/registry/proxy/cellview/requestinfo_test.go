package cellview_test

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
)

// TestMembersReadPathsAsTheyWereMapped has the library of API servers read random paths that
// views have let through: it authorizes by what it reads.
func TestMembersReadPathsAsTheyWereMapped(t *testing.T) {
	seed := number(t, "KOINON_SEED", rand.Uint64())
	t.Logf("KOINON_SEED=%d", seed)
	g := generator{Rand: rand.New(rand.NewPCG(seed, 2))}
	factory := apirequest.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	through := 0
	for range 30000 {
		v := views[g.IntN(len(views))]
		g.own = v.Namespace
		target, method := g.anyPath(), pick(g, "GET", "GET", "POST", "PUT", "PATCH", "DELETE")
		u, err := url.ParseRequestURI(target)
		if err != nil {
			continue
		}
		m, err := v.Request(cellview.Request{Method: method, URL: u}, scopes{})
		if err != nil {
			continue
		}
		through++
		r, err := http.NewRequest(method, "https://member"+m.Path+"?"+m.RawQuery, nil)
		if err != nil {
			t.Fatalf("KOINON_SEED=%d: %s %s became %s: %v", seed, method, target, m.Path, err)
		}
		info, err := factory.NewRequestInfo(r)
		if err != nil {
			t.Fatalf("KOINON_SEED=%d: %s %s became %s: %v", seed, method, target, m.Path, err)
		}
		if problem := leadsOut(v, info); problem != "" {
			t.Fatalf("KOINON_SEED=%d: %s %s became %s: %s (%+v)", seed, method, target, m.Path, problem, info)
		}
	}
	if through < 5000 {
		t.Errorf("only %d paths were let through: they try nothing", through)
	}
}

// leadsOut says how a request leads out of a view.
func leadsOut(v cellview.View, info *apirequest.RequestInfo) string {
	reads := slices.Contains([]string{"get", "list", "watch"}, info.Verb)
	switch {
	case !info.IsResourceRequest && info.Verb != "get" && info.Verb != "head":
		return "writes where there is no type"
	case !info.IsResourceRequest:
		for _, prefix := range []string{"/version", "/healthz", "/livez", "/readyz", "/api", "/apis", "/openapi/"} {
			if strings.HasPrefix(info.Path, prefix) {
				return ""
			}
		}
		return "is no path of a view"
	case info.Resource == "namespaces" && info.APIGroup == "" && info.Namespace == "":
		if info.Verb == "create" || reads && info.Name == v.MemberNamespace {
			return ""
		}
		return "is for all namespaces"
	case info.Namespace == v.MemberNamespace:
		return ""
	case info.Namespace != "":
		return "is for another namespace"
	case info.Resource == "storageclasses" && reads, info.Resource == "selfsubjectaccessreviews" && info.Verb == "create":
		return ""
	}
	return "is for what has no namespace"
}

// anyPath is a path of any type, most of them nearly right.
func (g generator) anyPath() string {
	resource := pick(g, "configmaps", "rolebindings", "networkpolicies", "widgets", "namespaces")
	path := g.path(resource, pick(g, "", "a", "b"))
	switch g.IntN(8) {
	case 0:
		path += "/" + pick(g, "status", "exec", "log", "proxy", "proxy/a/../b", "proxy//a%2fb", "proxy/..%2f..", "scale", "finalize", "a/b/c")
	case 1:
		path = strings.Replace(path, "/v1/", pick(g, "/v1/watch/", "/v1/proxy/", "/v1/watch/watch/", "/watch/", "//"), 1)
	case 2:
		path = pick(g, "/apis/storage.k8s.io/v1/storageclasses", "/api/v1/nodes", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/healthz", "/openapi/v3/apis/a", "/metrics",
			"/apis/apps", "/api", "/api/v1/watch", "/api/v1/namespaces/"+g.own, "/api/v1/watch/namespaces/"+g.own, "/version/", "/openapi/v3/../../api/v1/nodes") + pick(g, "", "", "/x", "/status")
	}
	return path + g.query()
}
