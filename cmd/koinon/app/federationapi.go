package app

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apiserver"
	"github.com/koinon-io/koinon/pkg/federation"
	"github.com/koinon-io/koinon/pkg/federation/schemaservers"
	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/storage"
)

// groupPriority places our groups in discovery after Kubernetes' own and before custom
// resources, so that "deployments" still means apps. The preferred version of a group gets
// the highest version priority.
const (
	groupPriority   = 1500
	versionPriority = 100
)

// extension is the federation API as a part of the embedded host.
func (o *ServerOptions) extension(store *storage.Store, tunnel *tunnelPart) *host.Extension {
	var server *apiserver.Server
	return &host.Extension{
		GroupVersions: groupVersions(),
		Codec:         apiserver.StorageCodec(),
		LongRunning:   apiserver.LongRunning,
		New: func(generic *genericapiserver.Config, delegate genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
			var err error
			if server, err = o.newFederationAPI(generic, store, generic.LoopbackClientConfig, tunnel, delegate, nil); err != nil {
				return nil, err
			}
			return server.GenericAPIServer, nil
		},
		NamespaceChange: func(ctx context.Context, now, old metav1.Object) error {
			return server.NamespaceChange(ctx, now, old)
		},
	}
}

// newFederationAPI makes the federation API server. hostConfig is how it reaches the host
// that it is served through; tunnel and kindsChanged may be nil.
func (o *ServerOptions) newFederationAPI(generic *genericapiserver.Config, store *storage.Store, hostConfig *rest.Config, tunnel *tunnelPart, delegate genericapiserver.DelegationTarget, kindsChanged func([]federated.Kind)) (*apiserver.Server, error) {
	schemas, err := schemaservers.New(hostConfig, o.Namespace, tunnel.through())
	if err != nil {
		return nil, err
	}
	otherEngine, err := o.otherEngine(hostConfig)
	if err != nil {
		return nil, err
	}
	config := &apiserver.Config{Generic: generic, Extra: apiserver.ExtraConfig{
		Namespace: o.Namespace,
		Builtin:   targetschema.Builtin(host.OpenAPIDefinitions),
		Remote:    schemas.List,
		Host:      hostConfig,
		Tunnel:    tunnel.through(),

		StoredResources: func(ctx context.Context, group string) ([]string, error) {
			return store.Children(ctx, host.StoragePrefix+"/"+group+"/")
		},
		Log:          store,
		OtherEngine:  otherEngine,
		KindsChanged: kindsChanged,
	}}
	if tunnel != nil {
		config.Extra.Agents = tunnel
	}
	if kindsChanged != nil { // there is a host in front, which ends after a minute what it does not know to go on
		config.Extra.LongestTargetWatch = 50 * time.Second
	}
	completed, err := config.Complete()
	if err != nil {
		return nil, fmt.Errorf("complete the configuration of the federation API: %w", err)
	}
	server, err := completed.New(delegate)
	if err != nil {
		return nil, fmt.Errorf("make the federation API: %w", err)
	}
	return server, nil
}

// otherEngine says whether another engine than ours propagates. It is nil where that need not be
// asked: this process propagates, or one that leads it does.
func (o *ServerOptions) otherEngine(hostConfig *rest.Config) (func(context.Context) bool, error) {
	if o.runs(componentControllers) {
		return nil, nil
	}
	engine, err := federation.NewEngine(hostConfig, o.Namespace)
	if err != nil {
		return nil, err
	}
	return engine.Absent, nil
}

// groupVersions are what the federation API serves, with their places in discovery.
func groupVersions() map[schema.GroupVersion]host.Priority {
	priorities := map[schema.GroupVersion]host.Priority{}
	seen := map[string]int32{}
	for _, gv := range apiserver.GroupVersions() {
		priorities[gv] = host.Priority{Group: groupPriority, Version: versionPriority - seen[gv.Group]}
		seen[gv.Group]++
	}
	return priorities
}
