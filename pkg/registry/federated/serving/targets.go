package serving

import (
	"net/http"
	"strings"

	"github.com/emicklei/go-restful/v3"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/federated/targets"
)

// watchTargets answers a watch of the targets of an object, which the library's handlers do not know.
// It reports false if there is no such kind, which they say.
func (s *Server) watchTargets(w http.ResponseWriter, req *http.Request, info *genericapirequest.RequestInfo) bool {
	storage := s.targetsOf(info.Resource)
	if storage == nil {
		return false
	}
	ctx := genericapirequest.WithNamespace(req.Context(), info.Namespace)
	path := strings.Join(info.Parts[min(3, len(info.Parts)):], "/")
	if err := storage.ServeWatch(w, req.WithContext(ctx), info.Name, path); err != nil {
		s.fail(w, req, err)
	}
	return true
}

func (s *Server) targetsOf(resource string) *targets.REST {
	s.mu.Lock()
	defer s.mu.Unlock()
	for kind, served := range s.registries {
		if kind.Resource == resource {
			return s.config.Targets.REST(kind, served.Object)
		}
	}
	return nil
}

// describeTargets has documents say that one target is asked for behind the subresource; of a path
// behind one the library thinks that it is of the same kind.
func describeTargets(container *restful.Container) {
	for _, ws := range container.RegisteredWebServices() {
		routes := ws.Routes()
		for i := range routes {
			if !strings.HasSuffix(routes[i].Path, "/"+targets.Subresource+"/{path:*}") {
				continue
			}
			one := federationv1alpha1.TargetObject{}
			routes[i].WriteSample = one
			if ok, found := routes[i].ResponseErrors[http.StatusOK]; found {
				ok.Model = one
				routes[i].ResponseErrors[http.StatusOK] = ok
			}
		}
	}
}
