package openapi

import (
	"net/http"
	"time"

	restful "github.com/emicklei/go-restful/v3"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/server/routes"
	builder2 "k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/cached"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// The paths of the documents.
const (
	pathV2 = "/openapi/v2"
	pathV3 = "/openapi/v3"
)

// keep is for how long documents are kept after the last request for them: a client that
// reads several reads them one after the other.
const keep = time.Minute

// Config says what is described.
type Config struct {
	// Routes are described.
	Routes *restful.Container
	// V2 and V3 say how.
	V2 *common.Config
	V3 *common.OpenAPIV3Config
	// MoreV2, if not nil, adds to the document of Routes what is not among them.
	MoreV2 func(routes *spec.Swagger) (*spec.Swagger, error)
	// MoreV3, if not nil, adds documents of what is not among Routes.
	MoreV3 func(*handler3.OpenAPIService)
}

// Documents are those of one API server. All methods may be called concurrently.
type Documents struct {
	v2, v3 *transient
	index  *index
}

// Install serves documents at /openapi/v2 and /openapi/v3. None is made before somebody asks.
func Install(config Config, to *mux.PathRecorderMux) *Documents {
	d := &Documents{v2: &transient{make: config.makeV2}, v3: &transient{make: config.makeV3}}
	d.index = &index{of: d.v3}
	to.Handle(pathV2, d.v2)
	to.Handle(pathV3, d.index)
	to.HandlePrefix(pathV3+"/", d.v3)
	return d
}

// Changed forgets all documents: the next request makes them anew.
func (d *Documents) Changed() {
	d.v2.forget()
	d.v3.forget()
	d.index.forget()
}

// makeV2 returns a handler of the document of v2. One that cannot be made is answered with
// 503.
func (c Config) makeV2() http.Handler {
	out := mux.NewPathRecorderMux("openapi-v2")
	handler.NewOpenAPIServiceLazy(cached.Once(cached.Func(func() (*spec.Swagger, string, error) {
		document, err := builder2.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(c.Routes.RegisteredWebServices()), c.V2)
		if err != nil {
			return nil, "", err
		}
		document.Definitions = handler.PruneDefaults(document.Definitions)
		if c.MoreV2 != nil {
			document, err = c.MoreV2(document)
		}
		return document, "", err
	}))).RegisterOpenAPIVersionedService(pathV2, out)
	return out
}

// makeV3 returns a handler of the documents of v3 and of their index.
func (c Config) makeV3() http.Handler {
	out := mux.NewPathRecorderMux("openapi-v3")
	service := routes.OpenAPI{V3Config: c.V3}.InstallV3(c.Routes, out)
	if c.MoreV3 != nil {
		c.MoreV3(service)
	}
	return out
}
