package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// Subresource is what all resources of this package are.
const Subresource = "proxy"

// Front has requests to proxies pass the API server's handlers without their query, and keeps
// their URL for the proxy. Those handlers refuse dryRun, whoever it is meant for (kubernetes#66083),
// and would take others for their own.
func Front(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, ok := request.RequestInfoFrom(r.Context())
		if !ok || !info.IsResourceRequest || info.APIGroup != v1alpha1.GroupName || info.Subresource != Subresource {
			api.ServeHTTP(w, r)
			return
		}
		inner := r.WithContext(context.WithValue(r.Context(), urlKey{}, r.URL))
		withoutQuery := *r.URL
		withoutQuery.RawQuery = ""
		inner.URL = &withoutQuery
		api.ServeHTTP(w, inner)
	})
}

type urlKey struct{}

// route is what a request's URL says.
type route struct {
	// prefix is the path that ends with the subresource; path, escaped, and query are what follows.
	prefix, path, rawQuery string
}

// routeOf splits the URL of a request that Front has passed.
func routeOf(ctx context.Context) (route, error) {
	info, ok := request.RequestInfoFrom(ctx)
	original, kept := ctx.Value(urlKey{}).(*url.URL)
	if !ok || !kept {
		return route{}, apierrors.NewInternalError(fmt.Errorf("a request to a proxy came by another way than Front"))
	}
	prefix := "/" + info.APIPrefix + "/" + info.APIGroup + "/" + info.APIVersion
	if info.Namespace != "" {
		prefix += "/namespaces/" + info.Namespace
	}
	prefix += "/" + info.Resource + "/" + info.Name + "/" + Subresource
	path, ok := strings.CutPrefix(original.EscapedPath(), prefix)
	if !ok || path != "" && path[0] != '/' {
		return route{}, apierrors.NewBadRequest(fmt.Sprintf("the path must begin with %s, without escapes and empty segments", prefix))
	}
	if path == "" {
		path = "/"
	}
	if err := relay.CheckPath(path); err != nil {
		return route{}, apierrors.NewBadRequest(fmt.Sprintf("%s %q: %v", strings.TrimSuffix(info.Resource, "s"), info.Name, err))
	}
	return route{prefix: prefix, path: path, rawQuery: original.RawQuery}, nil
}
