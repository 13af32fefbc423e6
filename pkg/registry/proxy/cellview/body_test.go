package cellview_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
)

const (
	core  = "/api/v1/namespaces/shop/"
	roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings"
)

var media = map[string]string{
	"merge": "application/merge-patch+json", "strategic": "application/strategic-merge-patch+json",
	"json": "application/json-patch+json", "apply": "application/apply-patch+yaml", "yaml": "application/yaml",
}

func TestBodies(t *testing.T) {
	for sentence, test := range map[string]struct {
		target string // of POST, or of PATCH if there is a patch
		patch  string
		put    bool
		in     string
		want   string
		code   int
	}{
		"the namespace of an object": {target: core + "configmaps",
			in:   `{ "metadata":{"name":"a","namespace":"shop"}, "data":{"namespace":"shop"} }`,
			want: `{ "metadata":{"name":"a","namespace":"shop-rz00a"}, "data":{"namespace":"shop"} }`},
		"none":                                {target: core + "configmaps", in: `{"metadata":{"name":"a","namespace":null}}`, want: `{"metadata":{"name":"a","namespace":null}}`},
		"an empty one is taken for none":      {target: core + "configmaps", in: `{"metadata":{"namespace":""}}`, want: `{"metadata":{"namespace":""}}`},
		"another namespace":                   {target: core + "configmaps", in: `{"metadata":{"namespace":"kube-system"}}`, code: 400},
		"the member's name":                   {target: core + "configmaps", in: `{"metadata":{"namespace":"shop-rz00a"}}`, code: 400},
		"another one behind the right one":    {target: core + "configmaps", in: `{"metadata":{"namespace":"shop","namespace":"kube-system"}}`, code: 400},
		"and before it":                       {target: core + "configmaps", in: `{"metadata":{"namespace":"kube-system","namespace":"shop"}}`, code: 400},
		"another one in other metadata":       {target: core + "configmaps", in: `{"metadata":{"name":"a"},"metadata":{"namespace":"kube-system"}}`, code: 400},
		"another one with an escaped key":     {target: core + "configmaps", in: `{"metadata":{"name\u0073pace":"kube-system"}}`, code: 400},
		"with a key in another case":          {target: core + "configmaps", in: `{"metadata":{"Namespace":"kube-system"}}`, code: 400},
		"with metadata in another case":       {target: core + "configmaps", in: `{"METADATA":{"namespace":"kube-system"}}`, code: 400},
		"with a letter that folds to s":       {target: core + "configmaps", in: `{"metadata":{"nameſpace":"kube-system"}}`, code: 400},
		"an escaped name":                     {target: core + "configmaps", in: `{"metadata":{"namespace":"\u0073hop"}}`, want: `{"metadata":{"namespace":"shop-rz00a"}}`},
		"a name that is too long":             {target: core + "configmaps", in: `{"metadata":{"namespace":"` + strings.Repeat("x", 4000) + `"}}`, code: 400},
		"metadata in other places":            {target: core + "configmaps", in: `{"data":{"metadata":{"namespace":"kube-system"}},"spec":{"metadata":{"namespace":"shop"}}}`, want: `{"data":{"metadata":{"namespace":"kube-system"}},"spec":{"metadata":{"namespace":"shop"}}}`},
		"numbers stay as they are":            {target: core + "widgets", in: `{"spec":{"a":123456789012345678901234567890,"b":1.50,"c":1e400}}`, want: `{"spec":{"a":123456789012345678901234567890,"b":1.50,"c":1e400}}`},
		"a byte order mark":                   {target: core + "configmaps", in: "\ufeff{}", code: 400},
		"a second object":                     {target: core + "configmaps", in: `{}{"metadata":{"namespace":"kube-system"}}`, code: 400},
		"no JSON":                             {target: core + "configmaps", in: `metadata: {}`, code: 400},
		"too deep":                            {target: core + "configmaps", in: `{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}", code: 400},
		"the managed label":                   {target: core + "configmaps", in: `{"metadata":{"labels":{"kubefed.io/managed":"true","a":"b"}}}`, want: `{"metadata":{"labels":{"federation.koinon.io/kubefed-managed":"true","a":"b"}}}`},
		"the managed label with escapes":      {target: core + "configmaps", in: `{"metadata":{"labels":{"kubefed.io\/m\u0061naged":"true"}}}`, want: `{"metadata":{"labels":{"federation.koinon.io/kubefed-managed":"true"}}}`},
		"the key that it is kept under":       {target: core + "configmaps", in: `{"metadata":{"labels":{"federation.koinon.io/kubefed-managed":"true","kubefed.io/managed":"false"}}}`, want: `{"metadata":{"labels":{"kubefed.io/managed":"true","federation.koinon.io/kubefed-managed":"false"}}}`},
		"an object of YAML":                   {target: core + "configmaps", patch: "yaml", in: "metadata: &m\n  namespace: shop\ndata: {a: 1e3, m: yes}\n", want: `{"data":{"a":1000,"m":true},"metadata":{"namespace":"shop-rz00a"}}`},
		"several documents":                   {target: core + "configmaps", patch: "yaml", in: "metadata: {}\n---\nmetadata: {namespace: kube-system}\n", code: 400},
		"an anchor that is another namespace": {target: core + "configmaps", patch: "yaml", in: "a: &n kube-system\nmetadata: {namespace: *n}\n", code: 400},
		"merged keys":                         {target: core + "configmaps", patch: "yaml", in: "a: &m {namespace: kube-system}\nmetadata:\n  <<: *m\n", code: 400},
		"a key twice in YAML":                 {target: core + "configmaps", patch: "yaml", in: "metadata: {namespace: shop}\nmetadata: {}\n", code: 400},
		"an event": {target: core + "events", in: `{"involvedObject":{"namespace":"shop"},"related":{"namespace":"shop"}}`,
			want: `{"involvedObject":{"namespace":"shop-rz00a"},"related":{"namespace":"shop-rz00a"}}`},
		"an event of others": {target: core + "events", in: `{"involvedObject":{"namespace":"kube-system"}}`, code: 403},
		"subjects": {target: roles, in: `{"subjects":[{"kind":"ServiceAccount","name":"a","namespace":"shop"},{"kind":"User","name":"system:serviceaccount:shop:b"},{"kind":"Group","name":"system:serviceaccounts:shop"},{"kind":"User","name":"jane"},{"kind":"Group","name":"system:authenticated"}]}`,
			want: `{"subjects":[{"kind":"ServiceAccount","name":"a","namespace":"shop-rz00a"},{"kind":"User","name":"system:serviceaccount:shop-rz00a:b"},{"kind":"Group","name":"system:serviceaccounts:shop-rz00a"},{"kind":"User","name":"jane"},{"kind":"Group","name":"system:authenticated"}]}`},
		"an account of another namespace":       {target: roles, in: `{"subjects":[{"kind":"ServiceAccount","name":"a","namespace":"kube-system"}]}`, code: 403},
		"as a user":                             {target: roles, in: `{"subjects":[{"kind":"User","name":"system:serviceaccount:kube-system:a"}]}`, code: 403},
		"all accounts of another namespace":     {target: roles, in: `{"subjects":[{"kind":"Group","name":"system:serviceaccounts:shop-rz00a"}]}`, code: 403},
		"data of a volume of another namespace": {target: core + "persistentvolumeclaims", in: `{"spec":{"dataSourceRef":{"namespace":"kube-system"}}}`, code: 403},
		"a policy that lets DNS through": {target: "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies",
			in:   `{"spec":{"egress":[{"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"kube-system"}}},{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"shop"}}}]}]}}`,
			want: `{"spec":{"egress":[{"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"kube-system"}}},{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"shop-rz00a"}}}]}]}}`},
		"expressions of other labels": {target: "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies",
			in:   `{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"key":"team","operator":"In","values":["shop"]},{"key":"kubernetes.io/metadata.name","operator":"NotIn","values":["shop"]}]}}]}]}}`,
			want: `{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"key":"team","operator":"In","values":["shop"]},{"key":"kubernetes.io/metadata.name","operator":"NotIn","values":["shop-rz00a"]}]}}]}]}}`},
		"values before their key": {target: "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies",
			in: `{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"values":["shop"],"key":"kubernetes.io/metadata.name"}]}}]}]}}`, code: 400},
		"a key of expressions twice": {target: "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies",
			in: `{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"key":"kubernetes.io/metadata.name","key":"team","values":["shop"]}]}}]}]}}`, code: 400},
		"a key of expressions twice, once no text": {target: "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies",
			in: `{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"key":"kubernetes.io/metadata.name","values":["shop"],"key":{}}]}}]}]}}`, code: 400},
		"affinity to pods of another namespace": {target: core + "pods", in: `{"spec":{"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"namespaces":["kube-system"]}]}}}}`, code: 403},
		"a route of a shared gateway": {target: "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes", in: `{"spec":{"parentRefs":[{"name":"g","namespace":"infra"},{"name":"h","namespace":"shop"}],"rules":[{"backendRefs":[{"namespace":"shop"}]}]}}`,
			want: `{"spec":{"parentRefs":[{"name":"g","namespace":"infra"},{"name":"h","namespace":"shop-rz00a"}],"rules":[{"backendRefs":[{"namespace":"shop-rz00a"}]}]}}`},
		"a route to another namespace":   {target: "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes", in: `{"spec":{"rules":[{"backendRefs":[{"namespace":"kube-system"}]}]}}`, code: 403},
		"a grant to another namespace":   {target: "/apis/gateway.networking.k8s.io/v1beta1/namespaces/shop/referencegrants", in: `{"spec":{"from":[{"namespace":"kube-system"}]}}`, code: 403},
		"the namespace is created":       {target: "/api/v1/namespaces", in: `{"metadata":{"name":"shop"}}`, want: `{"metadata":{"name":"shop-rz00a"}}`},
		"another one is not":             {target: "/api/v1/namespaces", in: `{"metadata":{"name":"other"}}`, code: 400},
		"nor one whose name is made":     {target: "/api/v1/namespaces", in: `{"metadata":{"generateName":"shop"}}`, code: 403},
		"nor for somebody else":          {target: "/api/v1/namespaces", in: `{"metadata":{"name":"shop","annotations":{"federation.koinon.io/owner":"cell/other/x"}}}`, code: 403},
		"the namespace is replaced":      {target: "/api/v1/namespaces/shop", put: true, in: `{"metadata":{"name":"shop","labels":{"kubernetes.io/metadata.name":"shop","kubefed.io/managed":"true"},"annotations":{"federation.koinon.io/owner":"cell/shop/rz00a"}}}`, want: `{"metadata":{"name":"shop-rz00a","labels":{"kubernetes.io/metadata.name":"shop-rz00a","federation.koinon.io/kubefed-managed":"true"},"annotations":{"federation.koinon.io/owner":"cell/shop/rz00a"}}}`},
		"labels of the namespace":        {target: "/api/v1/namespaces/shop", patch: "merge", in: `{"metadata":{"labels":{"kubefed.io/managed":null}}}`, want: `{"metadata":{"labels":{"federation.koinon.io/kubefed-managed":null}}}`},
		"annotations of the namespace":   {target: "/api/v1/namespaces/shop", patch: "merge", in: `{"metadata":{"annotations":{"a":"b"}}}`, code: 403},
		"behind its labels":              {target: "/api/v1/namespaces/shop", patch: "merge", in: `{"metadata":{"annotations":null},"metadata":{"labels":{"a":"b"}}}`, code: 403},
		"with a path":                    {target: "/api/v1/namespaces/shop", patch: "json", in: `[{"op":"remove","path":"/metadata/annotations"}]`, code: 403},
		"a review":                       {target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", in: `{"spec":{"resourceAttributes":{"namespace":"shop","verb":"get","resource":"pods"}}}`, want: `{"spec":{"resourceAttributes":{"namespace":"shop-rz00a","verb":"get","resource":"pods"}}}`},
		"a review over all namespaces":   {target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", in: `{"spec":{"resourceAttributes":{"verb":"list","group":"apps","version":"*","resource":"deployments"}}}`, want: `{"spec":{"resourceAttributes":{"group":"apps","namespace":"shop-rz00a","resource":"deployments","verb":"list","version":"*"}}}`},
		"a review without a namespace":   {target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", in: `{"spec":{"resourceAttributes":{"verb":"list","resource":"nodes"}}}`, want: `{"spec":{"resourceAttributes":{"verb":"list","resource":"nodes"}}}`},
		"a review of another namespace":  {target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", in: `{"spec":{"resourceAttributes":{"namespace":"kube-system"}}}`, code: 403},
		"a review of the namespace":      {target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", in: `{"spec":{"resourceAttributes":{"verb":"get","resource":"namespaces","name":"shop","namespace":"shop"}}}`, want: `{"spec":{"resourceAttributes":{"verb":"get","resource":"namespaces","name":"shop-rz00a","namespace":"shop-rz00a"}}}`},
		"a review of a pod of that name": {target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", in: `{"spec":{"resourceAttributes":{"resource":"pods","name":"shop","namespace":"shop"}}}`, want: `{"spec":{"resourceAttributes":{"resource":"pods","name":"shop","namespace":"shop-rz00a"}}}`},
		"a binding":                      {target: core + "pods/a/binding", in: `{"metadata":{"namespace":"shop"},"target":{"kind":"Node","name":"n","namespace":"shop"}}`, want: `{"metadata":{"namespace":"shop-rz00a"},"target":{"kind":"Node","name":"n","namespace":"shop-rz00a"}}`},
		"an eviction":                    {target: core + "pods/a/eviction", in: `{"metadata":{"name":"a","namespace":"shop"},"deleteOptions":{}}`, want: `{"metadata":{"name":"a","namespace":"shop-rz00a"},"deleteOptions":{}}`},

		"a merge patch":                     {target: core + "pods/a", patch: "merge", in: `{"metadata":{"labels":{"kubefed.io/managed":null},"namespace":"shop"}}`, want: `{"metadata":{"labels":{"federation.koinon.io/kubefed-managed":null},"namespace":"shop-rz00a"}}`},
		"a merge patch of another one":      {target: core + "pods/a", patch: "merge", in: `{"metadata":{"namespace":"kube-system"}}`, code: 400},
		"a strategic patch":                 {target: core + "pods/a", patch: "strategic", in: `{"metadata":{"labels":{"$patch":"replace","kubefed.io/managed":"true"}},"$setElementOrder/volumes":[{"name":"a"}]}`, want: `{"metadata":{"labels":{"$patch":"replace","federation.koinon.io/kubefed-managed":"true"}},"$setElementOrder/volumes":[{"name":"a"}]}`},
		"directives that name labels":       {target: core + "pods/a", patch: "strategic", in: `{"metadata":{"labels":{"$retainKeys":["kubefed.io/managed"]}}}`, code: 400},
		"directives that name namespaces":   {target: core + "pods/a", patch: "strategic", in: `{"spec":{"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"$deleteFromPrimitiveList/namespaces":["kube-system"]}]}}}}`, code: 403},
		"an apply patch":                    {target: core + "configmaps/a", patch: "apply", in: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop, labels: {kubefed.io/managed: 'true'}}\n", want: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"federation.koinon.io/kubefed-managed":"true"},"name":"a","namespace":"shop-rz00a"}}`},
		"an apply patch in JSON":            {target: core + "configmaps/a", patch: "apply", in: `{"metadata":{"namespace":"shop"}}`, want: `{"metadata":{"namespace":"shop-rz00a"}}`},
		"an apply patch of another one":     {target: core + "configmaps/a", patch: "apply", in: `{"metadata":{"<<":{"namespace":"x"},"namespace":"kube-system"}}`, code: 400},
		"what YAML has no bytes for":        {target: core + "configmaps/a", patch: "apply", in: `{"data":{"a":"\u007f\u0085\ufeff\u00e9"}}`, want: `{"data":{"a":"\u007f\u0085\ufeffé"}}`},
		"a JSON patch":                      {target: core + "pods/a", patch: "json", in: `[{"op":"add","path":"/metadata/labels/kubefed.io~1managed","value":"true"},{"op":"test","path":"/metadata/namespace","value":"shop"},{"op":"remove","path":"/data/x"},{"op":"add","path":"/data/y","value":null}]`, want: `[{"op":"add","path":"/metadata/labels/federation.koinon.io~1kubefed-managed","value":"true"},{"op":"test","path":"/metadata/namespace","value":"shop-rz00a"},{"op":"remove","path":"/data/x"},{"op":"add","path":"/data/y","value":null}]`},
		"a JSON patch of all labels":        {target: core + "pods/a", patch: "json", in: `[{"op":"replace","path":"/metadata/labels","value":{"kubefed.io/managed":"true"}}]`, want: `[{"op":"replace","path":"/metadata/labels","value":{"federation.koinon.io/kubefed-managed":"true"}}]`},
		"a JSON patch of the root":          {target: core + "pods/a", patch: "json", in: `[{"op":"replace","path":"","value":{"metadata":{"namespace":"shop"}}}]`, want: `[{"op":"replace","path":"","value":{"metadata":{"namespace":"shop-rz00a"}}}]`},
		"a JSON patch to another one":       {target: core + "pods/a", patch: "json", in: `[{"op":"replace","path":"/metadata/namespace","value":"kube-system"}]`, code: 400},
		"a path without its slash":          {target: core + "pods/a", patch: "json", in: `[{"op":"replace","path":"x/metadata/namespace","value":"kube-system"}]`, code: 400},
		"the last path counts":              {target: core + "pods/a", patch: "json", in: `[{"op":"replace","path":"/data","path":"/metadata/namespace","value":"kube-system"}]`, code: 400},
		"a path that is null":               {target: core + "pods/a", patch: "json", in: `[{"op":"replace","path":null,"value":{}}]`, code: 400},
		"no path":                           {target: core + "pods/a", patch: "json", in: `[{"op":"replace","value":{}}]`, code: 400},
		"a copy from nowhere":               {target: core + "pods/a", patch: "json", in: `[{"op":"copy","path":"/data/a"}]`, code: 400},
		"a copy to a namespace":             {target: roles + "/a", patch: "json", in: `[{"op":"copy","from":"/metadata/annotations/a","path":"/subjects/0/namespace"}]`, code: 400},
		"a copy over what is around it":     {target: roles + "/a", patch: "json", in: `[{"op":"move","from":"/metadata/annotations","path":"/subjects"}]`, code: 400},
		"a copy of a label":                 {target: core + "pods/a", patch: "json", in: `[{"op":"copy","from":"/metadata/labels/kubefed.io~1managed","path":"/data/a"}]`, want: `[{"from":"/metadata/labels/federation.koinon.io~1kubefed-managed","op":"copy","path":"/data/a"}]`},
		"the key of an expression alone":    {target: "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/a", patch: "json", in: `[{"op":"replace","path":"/spec/ingress/0/from/0/namespaceSelector/matchExpressions/0/key","value":"kubernetes.io/metadata.name"}]`, code: 400},
		"values of an expression alone":     {target: "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/a", patch: "json", in: `[{"op":"add","path":"/spec/ingress/0/from/0/namespaceSelector/matchExpressions/0/values/-","value":"shop"}]`, code: 400},
		"no JSON patch":                     {target: core + "pods/a", patch: "json", in: `{"op":"add"}`, code: 400},
		"a path of a patch in another case": {target: core + "pods/a", patch: "json", in: `[{"op":"replace","path":"/Metadata/namespace","value":"x"}]`, code: 400},
	} {
		t.Run(sentence, func(t *testing.T) {
			view, method, header := shop, http.MethodPost, http.Header{}
			switch {
			case test.put:
				method = http.MethodPut
			case test.patch == "yaml":
				header.Set("Content-Type", media[test.patch])
			case test.patch != "":
				method = http.MethodPatch
				header.Set("Content-Type", media[test.patch])
			}
			view.Controller = test.put || test.patch != ""
			m, err := request(t, view, method, test.target, header, test.in)
			if test.code != 0 {
				wantStatus(t, err, test.code)
				return
			}
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			got, want := string(m.Body), test.want
			if test.patch == "json" {
				got, want = canonical(t, got), canonical(t, want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestFailures(t *testing.T) {
	m, err := request(t, shop, http.MethodGet, core+"pods/a", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for sentence, test := range map[string]struct{ in, want string }{
		"a Status": {
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"shop-rz00a-1\" is forbidden: User \"system:serviceaccount:shop-rz00a:x\" cannot get resource \"pods\" in the namespace \"shop-rz00a\".","reason":"Forbidden","details":{"name":"a","kind":"pods","causes":[{"message":"in shop-rz00a."}]},"code":403}`,
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"shop-rz00a-1\" is forbidden: User \"system:serviceaccount:shop:x\" cannot get resource \"pods\" in the namespace \"shop\".","reason":"Forbidden","details":{"name":"a","kind":"pods","causes":[{"message":"in shop."}]},"code":403}` + "\n"},
		"a namespace that is there": {
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"namespaces \"shop-rz00a\" already exists","reason":"AlreadyExists","details":{"name":"shop-rz00a","kind":"namespaces"},"code":409}`,
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"namespaces \"shop\" already exists","reason":"AlreadyExists","details":{"name":"shop","kind":"namespaces"},"code":409}` + "\n"},
		"a text":       {"no route from shop-rz00a", "no route from shop"},
		"another JSON": {`{"message":"shop-rz00a"}`, `{"message":"shop-rz00a"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := answer(t, m.Answer, http.StatusForbidden, "application/json", test.in, 5)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestOtherEncodingsAreNoAnswers(t *testing.T) {
	m, err := request(t, shop, http.MethodGet, core+"pods/a", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, contentType := range []string{"application/vnd.kubernetes.protobuf", "text/html", "application/cbor", ";"} {
		if _, err := answer(t, m.Answer, http.StatusOK, contentType, "x", 1); err == nil {
			t.Errorf("%s was taken", contentType)
		}
	}
}

func TestNamesOfAView(t *testing.T) {
	for sentence, test := range map[string]struct {
		view cellview.View
		ok   bool
	}{
		"right names":        {shop, true},
		"the same name":      {cellview.View{Namespace: "shop", MemberNamespace: "shop", Cell: "a"}, true},
		"a dot":              {cellview.View{Namespace: "shop", MemberNamespace: "shop.a", Cell: "a"}, false},
		"a slash":            {cellview.View{Namespace: "shop", MemberNamespace: "../x", Cell: "a"}, false},
		"no name":            {cellview.View{Namespace: "", MemberNamespace: "x", Cell: "a"}, false},
		"no name for a cell": {cellview.View{Namespace: "shop", MemberNamespace: "x"}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			if err := test.view.Validate(); (err == nil) != test.ok {
				t.Errorf("got error %v", err)
			}
		})
	}
}
