package serving_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapifilters "k8s.io/apiserver/pkg/endpoints/filters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
	"github.com/koinon-io/koinon/pkg/storage"
)

const namespace = "shop"

// userHeader says who sends a request.
const userHeader = "X-User"

// The ways to send an object.
const (
	jsonBody   = "application/json"
	mergePatch = "application/merge-patch+json"
	jsonPatch  = "application/json-patch+json"
	applyPatch = "application/apply-patch+yaml"
)

// api is a server of federated kinds in this process: the handlers of the library, the
// registry and the store, without a connection.
type api struct {
	t       *testing.T
	server  *serving.Server
	handler http.Handler
}

// newAPI serves FederatedDeployments to whoever asks.
func newAPI(t *testing.T, plugins admission.Interface) *api {
	t.Helper()
	return serve(t, serving.Config{Admission: plugins, Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer()}, federated.Kind{
		Kind: "FederatedDeployment", Resource: "federateddeployments", Namespaced: true,
		Target: schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, TargetNamespaced: true,
	})
}

// serve completes the configuration with a store and what else a test has no view on.
func serve(t *testing.T, serverConfig serving.Config, kinds ...federated.Kind) *api {
	t.Helper()
	store, err := storage.Open(t.Context(), storage.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	config := storagebackend.NewDefaultConfig("/registry", serializer.NewCodecFactory(runtime.NewScheme()).LegacyCodec())
	config.Transport = store.Transport()
	serverConfig.RESTOptions = uncached{*config}
	serverConfig.Equivalents = runtime.NewEquivalentResourceRegistry()
	serverConfig.Discovery = nobody{}
	if serverConfig.Schemas == nil {
		serverConfig.Schemas = noSchemas{}
	}
	server := serving.NewServer(serverConfig)
	t.Cleanup(server.Destroy)
	if err := server.Serve(kinds, nil); err != nil {
		t.Fatal(err)
	}
	resolver := &genericapirequest.RequestInfoFactory{APIPrefixes: sets.NewString("apis"), GrouplessAPIPrefixes: sets.NewString()}
	somebody := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx := audit.WithAuditContext(genericapirequest.WithUser(req.Context(), &user.DefaultInfo{Name: cmp.Or(req.Header.Get(userHeader), "somebody")}))
		server.ServeHTTP(w, req.WithContext(ctx))
	})
	return &api{t: t, server: server, handler: genericapifilters.WithRequestInfo(somebody, resolver)}
}

// uncached reads and writes the store, which every request then sees as it is.
type uncached struct{ config storagebackend.Config }

func (o uncached) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	return generic.RESTOptions{
		StorageConfig:           o.config.ForResource(resource),
		Decorator:               generic.UndecoratedStorage,
		ResourcePrefix:          resource.Group + "/" + resource.Resource,
		DeleteCollectionWorkers: 1,
	}, nil
}

type nobody struct{}

func (nobody) AddGroupVersion(string, apidiscoveryv2.APIVersionDiscovery) {}

type noSchemas struct{}

func (noSchemas) TargetSchemas([]schema.GroupVersionKind) map[schema.GroupVersionKind]*targetschema.Target {
	return nil
}

// object is one as a client has it.
type object = map[string]any

// request is one of a manager in a version.
type request struct {
	method, version, name, subresource string
	manager                            string
	// resource is federateddeployments unless it says otherwise, user somebody.
	resource, user string
	contentType    string
	accept         string // JSON unless it says otherwise
	force          bool
	body           any
}

// do returns the answer, and its code.
func (a *api) do(r request) (int, object) {
	a.t.Helper()
	path := "/apis/types.kubefed.io/" + r.version + "/namespaces/" + namespace + "/" + cmp.Or(r.resource, "federateddeployments")
	if r.method != http.MethodPost && r.name != "" {
		path += "/" + r.name
	}
	if r.subresource != "" {
		path += "/" + r.subresource
	}
	query := url.Values{}
	if r.manager != "" {
		query.Set("fieldManager", r.manager)
	}
	if r.force {
		query.Set("force", "true")
	}
	body, err := json.Marshal(r.body)
	if err != nil {
		a.t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(a.t.Context(), r.method, path+"?"+query.Encode(), bytes.NewReader(body))
	req.Header.Set("Accept", cmp.Or(r.accept, jsonBody))
	req.Header.Set(userHeader, r.user)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	recorder := httptest.NewRecorder()
	a.handler.ServeHTTP(recorder, req)
	var answer object
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		a.t.Fatalf("%s %s: %v\n%s", r.method, path, err, recorder.Body)
	}
	return recorder.Code, answer
}

// must is do, for what has to succeed.
func (a *api) must(r request) object {
	a.t.Helper()
	code, answer := a.do(r)
	if code/100 != 2 {
		a.t.Fatalf("%s by %s in %s: got %d: %v\n%s", r.method, r.manager, r.version, code, answer["message"], indented(r.body))
	}
	return answer
}

func (a *api) get(version, name string) object {
	a.t.Helper()
	return a.must(request{method: http.MethodGet, version: version, name: name})
}

// apply is a server-side apply of a spec, which must succeed.
func (a *api) apply(version, name, manager string, force bool, spec object) object {
	a.t.Helper()
	return a.must(a.applyRequest(version, name, manager, force, spec))
}

func (a *api) applyRequest(version, name, manager string, force bool, spec object) request {
	return request{method: http.MethodPatch, version: version, name: name, manager: manager, force: force, contentType: applyPatch,
		body: federatedDeployment(version, name, spec)}
}

func federatedDeployment(version, name string, spec object) object {
	return object{"apiVersion": "types.kubefed.io/" + version, "kind": "FederatedDeployment",
		"metadata": object{"name": name, "namespace": namespace}, "spec": spec}
}

// entries are the managedFields of an object.
func entries(t *testing.T, obj object) []metav1.ManagedFieldsEntry {
	t.Helper()
	var decoded struct {
		Metadata struct{ ManagedFields []metav1.ManagedFieldsEntry }
	}
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded.Metadata.ManagedFields
}

func indented(v any) string {
	data, _ := json.MarshalIndent(v, "", "  ")
	return string(data)
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
