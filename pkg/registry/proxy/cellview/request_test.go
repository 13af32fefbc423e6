package cellview_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
)

var shop = cellview.View{Namespace: "shop", MemberNamespace: "shop-rz00a", Cell: "rz00a"}

// scopes are those of a usual member.
type scopes struct{}

func (scopes) Scope(r schema.GroupVersionResource) cellview.Scope {
	switch r.Resource {
	case "pods", "services", "configmaps", "events", "deployments", "statefulsets", "rolebindings", "networkpolicies", "bindings",
		"serviceaccounts", "widgets", "localsubjectaccessreviews", "persistentvolumeclaims", "httproutes", "referencegrants", "cronjobs":
		return cellview.Namespaced
	case "namespaces", "nodes", "storageclasses", "customresourcedefinitions", "clusterroles", "clusterrolebindings", "tokenreviews",
		"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews", "persistentvolumes":
		return cellview.ClusterScoped
	}
	return cellview.Unknown
}

// request maps a request whose target is written as a client writes it.
func request(t *testing.T, v cellview.View, method, target string, header http.Header, body string) (*cellview.Mapped, error) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatalf("parse %q: %v", target, err)
	}
	return v.Request(cellview.Request{Method: method, URL: u, Header: header, Body: strings.NewReader(body)}, scopes{})
}

func TestPaths(t *testing.T) {
	for sentence, test := range map[string]struct {
		method, target string
		want           string // path and query
		code           int
	}{
		"an object":                                    {target: "/api/v1/namespaces/shop/pods/web", want: "/api/v1/namespaces/shop-rz00a/pods/web"},
		"an object of a group":                         {target: "/apis/apps/v1/namespaces/shop/deployments/web", want: "/apis/apps/v1/namespaces/shop-rz00a/deployments/web"},
		"a subresource":                                {method: "PUT", target: "/apis/apps/v1/namespaces/shop/deployments/web/scale", want: "/apis/apps/v1/namespaces/shop-rz00a/deployments/web/scale"},
		"a custom kind":                                {target: "/apis/example.com/v1/namespaces/shop/widgets", want: "/apis/example.com/v1/namespaces/shop-rz00a/widgets"},
		"a list over all namespaces is narrowed":       {target: "/api/v1/pods?limit=500", want: "/api/v1/namespaces/shop-rz00a/pods?limit=500"},
		"so is a watch":                                {target: "/api/v1/pods?watch=1&resourceVersion=7", want: "/api/v1/namespaces/shop-rz00a/pods?resourceVersion=7&watch=true"},
		"and a watch by the old path":                  {target: "/api/v1/watch/pods", want: "/api/v1/watch/namespaces/shop-rz00a/pods"},
		"the old path of a watch in the namespace":     {target: "/api/v1/watch/namespaces/shop/pods/web", want: "/api/v1/watch/namespaces/shop-rz00a/pods/web"},
		"the old path of a watch of namespaces":        {target: "/api/v1/watch/namespaces", want: "/api/v1/watch/namespaces/shop-rz00a"},
		"the old path of a watch of the namespace":     {target: "/api/v1/watch/namespaces/shop", want: "/api/v1/watch/namespaces/shop-rz00a"},
		"the old path of a watch does not write":       {method: "DELETE", target: "/api/v1/watch/namespaces/shop/pods", code: 405},
		"the member's name of the namespace is none":   {target: "/api/v1/namespaces/shop-rz00a/pods", code: 403},
		"another namespace":                            {target: "/api/v1/namespaces/kube-system/pods", code: 403},
		"another namespace, to write":                  {method: "POST", target: "/api/v1/namespaces/kube-system/pods", code: 403},
		"a name that is a prefix of it":                {target: "/api/v1/namespaces/sho/pods", code: 403},
		"a namespace with an empty name":               {target: "/api/v1/namespaces//pods", code: 400},
		"namespaces in a namespace":                    {target: "/api/v1/namespaces/shop/namespaces/kube-system", code: 404},
		"namespaces of another group":                  {target: "/apis/example.com/v1/namespaces/shop", code: 403},
		"deletion over all namespaces":                 {method: "DELETE", target: "/api/v1/pods", code: 405},
		"creation in all namespaces":                   {method: "POST", target: "/api/v1/pods", code: 405},
		"an object without its namespace":              {target: "/api/v1/pods/web", code: 404},
		"a type that the member does not serve":        {target: "/apis/example.com/v1/namespaces/shop/gadgets", code: 404},
		"a type without a namespace, in one":           {target: "/api/v1/namespaces/shop/nodes", code: 404},
		"namespaces are narrowed":                      {target: "/api/v1/namespaces", want: "/api/v1/namespaces?fieldSelector=metadata.name%3Dshop-rz00a"},
		"namespaces are narrowed further":              {target: "/api/v1/namespaces?fieldSelector=metadata.name!=shop,status.phase=Active", want: "/api/v1/namespaces?fieldSelector=metadata.name%3Dshop-rz00a%2Cmetadata.name%21%3Dshop-rz00a%2Cstatus.phase%3DActive"},
		"another one among them is not asked for":      {target: "/api/v1/namespaces?fieldSelector=metadata.name=kube-system", want: "/api/v1/namespaces?fieldSelector=metadata.name%3Dshop-rz00a%2Cmetadata.name%21%3Dshop-rz00a"},
		"a selector of labels that cannot be read":     {target: "/api/v1/pods?labelSelector=a==b==c", code: 400},
		"the namespace":                                {target: "/api/v1/namespaces/shop", want: "/api/v1/namespaces/shop-rz00a"},
		"another namespace is not there":               {target: "/api/v1/namespaces/kube-system", code: 404},
		"nor is the member's name":                     {target: "/api/v1/namespaces/shop-rz00a", code: 404},
		"the namespace is not deleted":                 {method: "DELETE", target: "/api/v1/namespaces/shop", code: 403},
		"nor are all":                                  {method: "DELETE", target: "/api/v1/namespaces", code: 405},
		"nor is it changed":                            {method: "PATCH", target: "/api/v1/namespaces/shop", code: 403},
		"nor its status":                               {method: "PUT", target: "/api/v1/namespaces/shop/status", code: 403},
		"nor finalized":                                {method: "PUT", target: "/api/v1/namespaces/shop/finalize", code: 403},
		"another namespace is not deleted":             {method: "DELETE", target: "/api/v1/namespaces/kube-system", code: 403},
		"a class":                                      {target: "/apis/storage.k8s.io/v1/storageclasses/fast", want: "/apis/storage.k8s.io/v1/storageclasses/fast"},
		"classes keep their labels":                    {target: "/apis/storage.k8s.io/v1/storageclasses?labelSelector=kubefed.io/managed", want: "/apis/storage.k8s.io/v1/storageclasses?labelSelector=kubefed.io%2Fmanaged"},
		"a class is not written":                       {method: "POST", target: "/apis/storage.k8s.io/v1/storageclasses", code: 403},
		"nodes tell of others":                         {target: "/api/v1/nodes", code: 403},
		"so do volumes":                                {target: "/api/v1/persistentvolumes", code: 403},
		"cluster roles are not written":                {method: "POST", target: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", code: 403},
		"the proxy of a node":                          {target: "/api/v1/nodes/n1/proxy/metrics", code: 403},
		"a review of oneself":                          {method: "POST", target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", want: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
		"a review of others":                           {method: "POST", target: "/apis/authorization.k8s.io/v1/subjectaccessreviews", code: 403},
		"health":                                       {target: "/healthz", want: "/healthz"},
		"version":                                      {target: "/version?timeout=3s", want: "/version?timeout=3s"},
		"health is not written":                        {method: "POST", target: "/healthz", code: 405},
		"discovery":                                    {target: "/apis/apps/v1?timeout=32s", want: "/apis/apps/v1?timeout=32s"},
		"discovery of a group":                         {target: "/apis/apps", want: "/apis/apps"},
		"discovery of the core":                        {target: "/api/v1", want: "/api/v1"},
		"OpenAPI":                                      {target: "/openapi/v3/apis/apps/v1?hash=A", want: "/openapi/v3/apis/apps/v1?hash=A"},
		"metrics":                                      {target: "/metrics", code: 403},
		"profiles":                                     {target: "/debug/pprof/heap", code: 403},
		"logs of the machine":                          {target: "/logs/kube-apiserver.log", code: 403},
		"one check of health":                          {target: "/readyz/etcd", code: 403},
		"the root":                                     {target: "/", code: 400},
		"dots":                                         {target: "/api/v1/namespaces/shop/pods/../../kube-system/pods/x", code: 400},
		"dots that are escaped":                        {target: "/api/v1/namespaces/shop/pods/%2e%2e/%2e%2e/kube-system/pods", code: 400},
		"dots half escaped":                            {target: "/api/v1/namespaces/shop/pods/.%2e/x", code: 400},
		"dots escaped twice":                           {target: "/api/v1/namespaces/shop/pods/%252e%252e", code: 400},
		"a slash that is escaped":                      {target: "/api/v1/namespaces/shop/pods/web%2fexec", code: 400},
		"a slash in a namespace":                       {target: "/api/v1/namespaces/shop%2f..%2fkube-system/pods", code: 400},
		"a dot that is escaped":                        {target: "/api/v1/namespaces/shop/pods/web%2ea", code: 400},
		"a backslash":                                  {target: `/api/v1/namespaces/shop/pods/..%5c..%5ckube-system`, code: 400},
		"two slashes":                                  {target: "/api/v1//namespaces/shop/pods", code: 400},
		"two slashes first":                            {target: "//api/v1/namespaces/kube-system/pods", code: 400},
		"a slash last":                                 {target: "/api/v1/namespaces/shop/pods/", code: 400},
		"NUL":                                          {target: "/api/v1/namespaces/shop/pods/web%00", code: 400},
		"letters that are escaped":                     {target: "/api/v1/n%61mespaces/sh%6fp/pods/web", want: "/api/v1/namespaces/shop-rz00a/pods/web"},
		"a name with a colon":                          {target: "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/system%3Aweb", want: "/apis/rbac.authorization.k8s.io/v1/namespaces/shop-rz00a/rolebindings/system:web"},
		"another case":                                 {target: "/api/v1/Namespaces/shop/pods", code: 404},
		"exec":                                         {method: "POST", target: "/api/v1/namespaces/shop/pods/web/exec?command=ls&command=-l&stdout=true", want: "/api/v1/namespaces/shop-rz00a/pods/web/exec?command=ls&command=-l&stdout=true"},
		"logs":                                         {target: "/api/v1/namespaces/shop/pods/web/log?follow=true", want: "/api/v1/namespaces/shop-rz00a/pods/web/log?follow=true"},
		"a proxy keeps its path":                       {target: "/api/v1/namespaces/shop/services/http:web:80/proxy/a//b%2Fc/?x=;y", want: "/api/v1/namespaces/shop-rz00a/services/http:web:80/proxy/a//b%2Fc/?x=;y"},
		"a proxy's root":                               {target: "/api/v1/namespaces/shop/services/web/proxy/", want: "/api/v1/namespaces/shop-rz00a/services/web/proxy/"},
		"a proxy does not climb":                       {target: "/api/v1/namespaces/shop/services/web/proxy/../../../../kube-system/services/x/proxy", code: 400},
		"nor escaped":                                  {target: "/api/v1/namespaces/shop/services/web/proxy/%2e%2e/x", code: 400},
		"nor with escaped slashes":                     {target: "/api/v1/namespaces/shop/services/web/proxy/..%2f..", code: 400},
		"a proxy in another namespace":                 {target: "/api/v1/namespaces/kube-system/services/web/proxy/", code: 403},
		"the old prefix of proxies":                    {target: "/api/v1/proxy/namespaces/shop/services/web", code: 404},
		"a namespace in the query is no namespace":     {target: "/api/v1/pods?namespace=kube-system", want: "/api/v1/namespaces/shop-rz00a/pods?namespace=kube-system"},
		"a selector of namespaces":                     {target: "/api/v1/events?fieldSelector=involvedObject.namespace%3Dshop,involvedObject.name%3Dweb", want: "/api/v1/namespaces/shop-rz00a/events?fieldSelector=involvedObject.name%3Dweb%2CinvolvedObject.namespace%3Dshop-rz00a"},
		"the member's name selects nothing":            {target: "/api/v1/pods?fieldSelector=metadata.namespace=shop-rz00a", want: "/api/v1/namespaces/shop-rz00a/pods?fieldSelector=metadata.namespace%3Dshop"},
		"a selector by name is left":                   {target: "/api/v1/pods?fieldSelector=metadata.name=shop", want: "/api/v1/namespaces/shop-rz00a/pods?fieldSelector=metadata.name%3Dshop"},
		"a selector twice":                             {target: "/api/v1/pods?fieldSelector=a=b&fieldSelector=metadata.namespace=x", code: 400},
		"a selector that cannot be read":               {target: "/api/v1/pods?fieldSelector=a", code: 400},
		"a query that cannot be read":                  {target: "/api/v1/pods?labelSelector=a;fieldSelector=b", code: 400},
		"the managed label is kept under another key":  {target: "/api/v1/pods?labelSelector=kubefed.io%2Fmanaged%3Dtrue", want: "/api/v1/namespaces/shop-rz00a/pods?labelSelector=federation.koinon.io%2Fkubefed-managed%3Dtrue"},
		"and the other key is the managed label":       {target: "/api/v1/pods?labelSelector=federation.koinon.io/kubefed-managed,a=b", want: "/api/v1/namespaces/shop-rz00a/pods?labelSelector=a%3Db%2Ckubefed.io%2Fmanaged"},
		"labels of namespaces have their name":         {target: "/api/v1/namespaces?labelSelector=kubernetes.io/metadata.name+in+(shop,x)", want: "/api/v1/namespaces?fieldSelector=metadata.name%3Dshop-rz00a&labelSelector=kubernetes.io%2Fmetadata.name+in+%28shop-rz00a%2Cx%29"},
		"deletion of a collection is by mapped labels": {method: "DELETE", target: "/api/v1/namespaces/shop/configmaps?labelSelector=!kubefed.io/managed", want: "/api/v1/namespaces/shop-rz00a/configmaps?labelSelector=%21federation.koinon.io%2Fkubefed-managed"},
		"a watch that is none":                         {target: "/api/v1/pods?watch=FALSE", want: "/api/v1/namespaces/shop-rz00a/pods"},
		"other parameters":                             {method: "PATCH", target: "/api/v1/namespaces/shop/pods/web?dryRun=All&fieldManager=kubectl&fieldValidation=Strict", want: "/api/v1/namespaces/shop-rz00a/pods/web?dryRun=All&fieldManager=kubectl&fieldValidation=Strict"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if test.method == "" {
				test.method = http.MethodGet
			}
			m, err := request(t, shop, test.method, test.target, nil, "")
			if test.code != 0 {
				wantStatus(t, err, test.code)
				return
			}
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			got := m.Path
			if m.RawQuery != "" {
				got += "?" + m.RawQuery
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// wantStatus checks that an error is a Status that clients can read.
func wantStatus(t *testing.T, err error, code int) {
	t.Helper()
	status, ok := err.(apierrors.APIStatus)
	if !ok || int(status.Status().Code) != code || status.Status().Reason == "" || status.Status().Message == "" {
		t.Errorf("got %#v, want a Status with code %d", err, code)
	}
}

func TestRefusalsNameTheCell(t *testing.T) {
	_, err := request(t, shop, http.MethodGet, "/api/v1/namespaces/kube-system/pods", nil, "")
	const want = `the cell "rz00a" of namespace "shop" shows the namespace "shop" only: pods of namespace "kube-system" cannot be reached through it`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// helm makes sure of a namespace by an apply, and goes on if it is told that it is there.
func TestAnApplyOfTheNamespaceIsToldThatItIsThere(t *testing.T) {
	apply := http.Header{"Content-Type": {"application/apply-patch+yaml"}}
	const body = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"name":"shop"}}}`
	if _, err := request(t, shop, http.MethodPatch, "/api/v1/namespaces/shop?fieldManager=helm&force=false", apply, body); !apierrors.IsAlreadyExists(err) {
		t.Errorf("got %v, want AlreadyExists", err)
	}
	for sentence, test := range map[string]struct {
		target string
		header http.Header
	}{
		"another patch":     {"/api/v1/namespaces/shop", http.Header{"Content-Type": {"application/merge-patch+json"}}},
		"another namespace": {"/api/v1/namespaces/shop-rz00a", apply},
		"its status":        {"/api/v1/namespaces/shop/status", apply},
	} {
		if _, err := request(t, shop, http.MethodPatch, test.target, test.header, body); !apierrors.IsForbidden(err) {
			t.Errorf("%s: got %v, want Forbidden", sentence, err)
		}
	}
}

func TestHeaders(t *testing.T) {
	for sentence, test := range map[string]struct {
		method, target string
		header         http.Header
		body           string
		want           http.Header
		code           int
	}{
		"nothing is asked for": {want: http.Header{"Accept": {"application/json"}}},
		"protobuf goes": {header: http.Header{"Accept": {"application/vnd.kubernetes.protobuf, */*"}},
			want: http.Header{"Accept": {"application/json"}}},
		"tables and partial metadata stay": {header: http.Header{"Accept": {"application/json;as=Table;v=v1;g=meta.k8s.io,application/cbor,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1;q=0.9"}},
			want: http.Header{"Accept": {"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1;q=0.9"}}},
		"protobuf alone":              {header: http.Header{"Accept": {"application/vnd.kubernetes.protobuf"}}, code: 406},
		"YAML alone":                  {header: http.Header{"Accept": {"application/yaml"}}, code: 406},
		"answers are not compressed":  {header: http.Header{"Accept-Encoding": {"gzip"}}, want: http.Header{"Accept": {"application/json"}}},
		"an upgrade of a watch":       {header: http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}}, code: 400},
		"an upgrade without its name": {header: http.Header{"Connection": {"upgrade"}}, code: 400},
		"documents stay as asked for": {target: "/openapi/v2", header: http.Header{"Accept": {"application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}, "Accept-Encoding": {"gzip"}},
			want: http.Header{"Accept": {"application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}, "Accept-Encoding": {"gzip"}}},
		"a body without a type": {method: "POST", target: "/api/v1/namespaces/shop/pods", body: `{}`,
			want: http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}},
		"a body with a charset": {method: "POST", target: "/api/v1/namespaces/shop/pods", body: `{}`, header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Content-Length": {"2"}},
			want: http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}},
		"protobuf":                   {method: "POST", target: "/api/v1/namespaces/shop/pods", body: "k8s\x00", header: http.Header{"Content-Type": {"application/vnd.kubernetes.protobuf"}}, code: 415},
		"CBOR":                       {method: "PATCH", target: "/api/v1/namespaces/shop/pods/a", body: "\xd9\xd9\xf7", header: http.Header{"Content-Type": {"application/apply-patch+cbor"}}, code: 415},
		"a patch as JSON":            {method: "PATCH", target: "/api/v1/namespaces/shop/pods/a", body: `{}`, header: http.Header{"Content-Type": {"application/json"}}, code: 415},
		"a compressed body":          {method: "POST", target: "/api/v1/namespaces/shop/pods", body: "\x1f\x8b", header: http.Header{"Content-Encoding": {"gzip"}}, code: 415},
		"two types":                  {method: "POST", target: "/api/v1/namespaces/shop/pods", body: `{}`, header: http.Header{"Content-Type": {"application/json", "application/yaml"}}, code: 400},
		"a type that cannot be read": {method: "POST", target: "/api/v1/namespaces/shop/pods", body: `{}`, header: http.Header{"Content-Type": {"application/json, application/yaml"}}, code: 415},
		"a body that is too large":   {method: "POST", target: "/api/v1/namespaces/shop/pods", body: strings.Repeat(" ", cellview.MaxBodyBytes+1), code: 413},
	} {
		t.Run(sentence, func(t *testing.T) {
			if test.method == "" {
				test.method = http.MethodGet
			}
			if test.target == "" {
				test.target = "/api/v1/pods"
			}
			m, err := request(t, shop, test.method, test.target, test.header, test.body)
			if test.code != 0 {
				wantStatus(t, err, test.code)
				return
			}
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			if test.target != "/openapi/v2" {
				test.want.Set("Accept-Encoding", "identity")
			}
			if diff := cmp.Diff(test.want, m.Header); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func requestOf(target string) cellview.Request {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		panic(err)
	}
	return cellview.Request{Method: http.MethodGet, URL: u}
}
