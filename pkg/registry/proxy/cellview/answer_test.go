package cellview_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
)

// answer maps an answer to a request, in pieces.
func answer(t *testing.T, a cellview.Answer, code int, contentType, body string, piece int) (string, error) {
	t.Helper()
	var out bytes.Buffer
	w, err := a.Writer(&out, code, contentType)
	if err != nil {
		return "", err
	}
	for rest := body; rest != ""; {
		n := min(piece, len(rest))
		if _, err := w.Write([]byte(rest[:n])); err != nil {
			return out.String(), err
		}
		rest = rest[n:]
	}
	err = w.Close()
	return out.String(), err
}

func TestAnswers(t *testing.T) {
	const (
		tables = "application/json;as=Table;v=v1;g=meta.k8s.io"
		core   = "/api/v1/namespaces/shop/"
	)
	for sentence, test := range map[string]struct {
		target, accept string
		in, want       string
		err            error
	}{
		"an object": {target: core + "configmaps/a",
			in:   `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"shop-rz00a"},"data":{"namespace":"shop-rz00a"}}` + "\n",
			want: `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"shop"},"data":{"namespace":"shop-rz00a"}}` + "\n"},
		"with white space": {target: core + "configmaps/a",
			in:   "{\n  \"metadata\": {\n    \"namespace\": \"shop-rz00a\"\n  }\n}\n",
			want: "{\n  \"metadata\": {\n    \"namespace\": \"shop\"\n  }\n}\n"},
		"with keys in the order of maps": {target: core + "widgets/a",
			in:   `{"apiVersion":"example.com/v1","kind":"Widget","items":[{"metadata":{"namespace":"x"}}],"metadata":{"annotations":{"a":"\"{"},"namespace":"shop-rz00a"}}`,
			want: `{"apiVersion":"example.com/v1","kind":"Widget","items":[{"metadata":{"namespace":"x"}}],"metadata":{"annotations":{"a":"\"{"},"namespace":"shop"}}`},
		"with escapes": {target: core + "configmaps/a",
			in:   `{"met\u0061data":{"n\u0061mespace":"shop\u002drz00a","labels":{"kubefed.io\/managed":"true"}}}`,
			want: `{"met\u0061data":{"n\u0061mespace":"shop","labels":{"federation.koinon.io/kubefed-managed":"true"}}}`},
		"both labels change places": {target: core + "configmaps/a",
			in:   `{"metadata":{"namespace":"shop-rz00a","labels":{"a":"b","federation.koinon.io/kubefed-managed":"x","kubefed.io/managed":"true"},"managedFields":[{"fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:kubefed.io/managed":{}}}}}]}}`,
			want: `{"metadata":{"namespace":"shop","labels":{"a":"b","kubefed.io/managed":"x","federation.koinon.io/kubefed-managed":"true"},"managedFields":[{"fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:federation.koinon.io/kubefed-managed":{}}}}}]}}`},
		"labels elsewhere stay": {target: "/apis/apps/v1/namespaces/shop/deployments/a",
			in:   `{"metadata":{"namespace":"shop-rz00a","annotations":{"kubefed.io/managed":"x"}},"spec":{"selector":{"matchLabels":{"kubefed.io/managed":"true"}}}}`,
			want: `{"metadata":{"namespace":"shop","annotations":{"kubefed.io/managed":"x"}},"spec":{"selector":{"matchLabels":{"kubefed.io/managed":"true"}}}}`},
		"a list": {target: "/api/v1/pods",
			in:   `{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"metadata":{"name":"a","namespace":"shop-rz00a"}},{"metadata":{"namespace":"shop-rz00a"}}]}`,
			want: `{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"metadata":{"name":"a","namespace":"shop"}},{"metadata":{"namespace":"shop"}}]}`},
		"an empty list": {target: "/api/v1/pods",
			in: `{"kind":"PodList","metadata":{},"items":[]}`, want: `{"kind":"PodList","metadata":{},"items":[]}`},
		"a list with a foreign object": {target: "/api/v1/pods",
			in:   `{"items":[{"metadata":{"namespace":"shop-rz00a"}},{"data":{"a":"secret"},"metadata":{"annotations":{"a":"secret"},"namespace":"kube-system"}}]}`,
			want: `{"items":[{"metadata":{"namespace":"shop"}},`, err: cellview.ErrForeign},
		"a foreign object": {target: core + "configmaps/a",
			in: `{"data":{"a":"secret"},"metadata":{"namespace":"shop"}}`, err: cellview.ErrForeign},
		"one that hides behind another key": {target: core + "configmaps/a",
			in: `{"metadata":{"name":"a"},"metadata":{"namespace":"kube-system"}}`, err: cellview.ErrForeign},
		"one with a name that is none": {target: core + "configmaps/a",
			in: `{"metadata":{"namespace":"` + strings.Repeat("x", 5000) + `"}}`, err: cellview.ErrForeign},
		"a table": {target: "/api/v1/pods", accept: tables,
			in:   `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":[],"rows":[{"cells":["shop-rz00a",1],"object":{"kind":"PartialObjectMetadata","metadata":{"namespace":"shop-rz00a"}}},{"cells":[],"object":null}]}`,
			want: `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":[],"rows":[{"cells":["shop-rz00a",1],"object":{"kind":"PartialObjectMetadata","metadata":{"namespace":"shop"}}},{"cells":[],"object":null}]}`},
		"a table with a foreign object": {target: "/api/v1/pods", accept: tables,
			in:   `{"kind":"Table","rows":[{"cells":["secret"],"object":{"metadata":{"namespace":"kube-system"}}}]}`,
			want: `{"kind":"Table","rows":[`, err: cellview.ErrForeign},
		"a table of namespaces": {target: "/api/v1/namespaces", accept: tables,
			in:   `{"kind":"Table","rows":[{"cells":["shop-rz00a","Active"],"object":{"metadata":{"name":"shop-rz00a","labels":{"kubernetes.io/metadata.name":"shop-rz00a"}}}}]}`,
			want: `{"kind":"Table","rows":[{"cells":["shop","Active"],"object":{"metadata":{"name":"shop","labels":{"kubernetes.io/metadata.name":"shop"}}}}]}`},
		"a table of role bindings": {target: "/apis/rbac.authorization.k8s.io/v1/rolebindings", accept: tables,
			in:   `{"kind":"Table","rows":[{"cells":["a","shop-rz00a/default, x/y"],"object":{"metadata":{"namespace":"shop-rz00a"}}}]}`,
			want: `{"kind":"Table","rows":[{"cells":["a","shop/default, x/y"],"object":{"metadata":{"namespace":"shop"}}}]}`},
		"rows of what is no table": {target: core + "widgets/a",
			in:   `{"kind":"Widget","metadata":{"namespace":"shop-rz00a"},"rows":[{"object":{"metadata":{"namespace":"shop-rz00a"}}}]}`,
			want: `{"kind":"Widget","metadata":{"namespace":"shop"},"rows":[{"object":{"metadata":{"namespace":"shop-rz00a"}}}]}`},
		"events of a watch": {target: "/api/v1/pods?watch=1",
			in: `{"type":"ADDED","object":{"kind":"Pod","metadata":{"namespace":"shop-rz00a"}}}` + "\n" + `{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"8"}}}` + "\n" +
				`{"type":"ERROR","object":{"kind":"Status","message":"gone in shop-rz00a"}}` + "\n",
			want: `{"type":"ADDED","object":{"kind":"Pod","metadata":{"namespace":"shop"}}}` + "\n" + `{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"8"}}}` + "\n" +
				`{"type":"ERROR","object":{"kind":"Status","message":"gone in shop"}}` + "\n"},
		"events of tables": {target: "/api/v1/pods?watch=1", accept: tables,
			in:   `{"type":"ADDED","object":{"kind":"Table","rows":[{"cells":[],"object":{"metadata":{"namespace":"shop-rz00a"}}}]}}`,
			want: `{"type":"ADDED","object":{"kind":"Table","rows":[{"cells":[],"object":{"metadata":{"namespace":"shop"}}}]}}`},
		"a foreign object in a watch": {target: "/api/v1/pods?watch=1",
			in:   `{"type":"ADDED","object":{"metadata":{"namespace":"shop-rz00a"}}}` + `{"type":"ADDED","object":{"metadata":{"name":"secret","namespace":"kube-system"}}}`,
			want: `{"type":"ADDED","object":{"metadata":{"namespace":"shop"}}}{"type":"ADDED","object":`, err: cellview.ErrForeign},
		"a watch that is silent": {target: "/api/v1/pods?watch=1"},
		"a Status of success": {target: core + "configmaps/a",
			in:   `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","message":"done in shop-rz00a","details":{"name":"a","kind":"configmaps"}}`,
			want: `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","message":"done in shop","details":{"name":"a","kind":"configmaps"}}`},
		"the namespace": {target: "/api/v1/namespaces/shop",
			in:   `{"kind":"Namespace","metadata":{"name":"shop-rz00a","labels":{"kubernetes.io/metadata.name":"shop-rz00a"}},"status":{"phase":"Active"}}`,
			want: `{"kind":"Namespace","metadata":{"name":"shop","labels":{"kubernetes.io/metadata.name":"shop"}},"status":{"phase":"Active"}}`},
		"another namespace": {target: "/api/v1/namespaces", in: `{"items":[{"metadata":{"name":"kube-system"}}]}`, want: `{"items":[`, err: cellview.ErrForeign},
		"an event": {target: core + "events/a",
			in:   `{"metadata":{"namespace":"shop-rz00a"},"involvedObject":{"namespace":"shop-rz00a"},"message":"shop-rz00a","related":{"namespace":"kube-system"}}`,
			want: `{"metadata":{"namespace":"shop"},"involvedObject":{"namespace":"shop"},"message":"shop-rz00a","related":{"namespace":"kube-system"}}`},
		"subjects": {target: "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/a",
			in:   `{"metadata":{"namespace":"shop-rz00a"},"subjects":[{"kind":"ServiceAccount","name":"a","namespace":"shop-rz00a"},{"kind":"User","name":"system:serviceaccount:shop-rz00a:b"},{"kind":"Group","name":"system:serviceaccounts:shop-rz00a"},{"namespace":"shop"}]}`,
			want: `{"metadata":{"namespace":"shop"},"subjects":[{"kind":"ServiceAccount","name":"a","namespace":"shop"},{"kind":"User","name":"system:serviceaccount:shop:b"},{"kind":"Group","name":"system:serviceaccounts:shop"},{"namespace":"shop-rz00a"}]}`},
		"selectors of namespaces": {target: "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/a",
			in:   `{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"shop-rz00a","a":"shop-rz00a"},"matchExpressions":[{"key":"kubernetes.io/metadata.name","operator":"In","values":["shop-rz00a","x"]},{"key":"a","operator":"In","values":["shop-rz00a"]}]}}]}]}}`,
			want: `{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"shop","a":"shop-rz00a"},"matchExpressions":[{"key":"kubernetes.io/metadata.name","operator":"In","values":["shop","x"]},{"key":"a","operator":"In","values":["shop-rz00a"]}]}}]}]}}`},
		"affinity of pods": {target: "/apis/batch/v1/namespaces/shop/cronjobs/a",
			in:   `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":{"namespaces":["shop-rz00a"]}}]}}}}}}},"status":{"active":[{"namespace":"shop-rz00a"}]}}`,
			want: `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":{"namespaces":["shop"]}}]}}}}}}},"status":{"active":[{"namespace":"shop"}]}}`},
		"no JSON":                         {target: core + "configmaps/a", in: `{"a":1]`, err: cellview.ErrMalformed, want: ``},
		"an answer cut off":               {target: core + "configmaps/a", in: `{"metadata":{"namespace":"shop-rz00a"}`, err: cellview.ErrMalformed, want: `{"metadata":{"namespace":"shop"}`},
		"two answers":                     {target: core + "configmaps/a", in: `{}{}`, err: cellview.ErrMalformed, want: `{}`},
		"endless nesting":                 {target: core + "configmaps/a", in: `{"a":` + strings.Repeat(`[`, 100000), err: cellview.ErrTooLarge},
		"endless text before a namespace": {target: core + "configmaps/a", in: `{"a":"` + strings.Repeat(`x`, 5<<20), err: cellview.ErrTooLarge},
	} {
		t.Run(sentence, func(t *testing.T) {
			header := http.Header{}
			if test.accept != "" {
				header.Set("Accept", test.accept)
			}
			m, err := request(t, shop, http.MethodGet, test.target, header, "")
			if err != nil {
				t.Fatalf("request: %v", err)
			}
			for _, piece := range []int{1, 7, 1 << 30} {
				if len(test.in) > 1<<16 && piece < 1000 {
					piece *= 1000
				}
				got, err := answer(t, m.Answer, http.StatusOK, "application/json", test.in, piece)
				if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Fatalf("in pieces of %d: got error %v, want %v", piece, err, test.err)
				}
				if test.err == nil || piece == 1 {
					if diff := cmp.Diff(test.want, got); diff != "" {
						t.Errorf("in pieces of %d (-want +got):\n%s", piece, diff)
					}
				}
				if test.err != nil && strings.Contains(got, "secret") {
					t.Errorf("in pieces of %d: what is foreign was shown: %s", piece, got)
				}
			}
		})
	}
}

func TestRedirectsLeadToTheSameInTheCell(t *testing.T) {
	m, err := request(t, shop, http.MethodGet, "/api/v1/namespaces/shop/services/web:80/proxy/", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{
		"/api/v1/namespaces/shop-rz00a/services/web:80/proxy/login":       "/api/v1/namespaces/shop/services/web:80/proxy/login",
		"/api/v1/namespaces/shop-rz00a/services/web:80/proxy/":            "/api/v1/namespaces/shop/services/web:80/proxy/",
		"/api/v1/namespaces/shop-rz00a/pods/https:web:8443/proxy/a//b%2F": "/api/v1/namespaces/shop/pods/https:web:8443/proxy/a//b%2F",
		"/api/v1/namespaces/shop/services/web:80/proxy/login":             "",
		"/api/v1/namespaces/other/services/web:80/proxy/login":            "",
		"/api/v1/namespaces/shop-rz00a/services/web:80/proxy/../x":        "",
		"/api/v1/namespaces/shop-rz00a/services/web":                      "",
		"/api/v1/nodes/one/proxy/pods":                                    "",
		"/login":                                                          "",
		"":                                                                "",
	} {
		if got, ok := m.Answer.Location(to); got != want || ok != (want != "") {
			t.Errorf("%s leads to %q, %v; want %q", to, got, ok, want)
		}
	}
}
