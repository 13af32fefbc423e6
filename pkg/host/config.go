package host

import (
	"context"
	"errors"
	"net"
	"net/http"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
)

// Config is what a host needs. Every field without a remark is required.
type Config struct {
	// Listener is where it serves HTTPS. Run closes it.
	Listener net.Listener
	// Storage is where it keeps its objects.
	Storage Storage
	// EncryptionConfigFile is an EncryptionConfiguration.
	EncryptionConfigFile string
	// Certificates are files that are read again when they change.
	Certificates Certificates

	// Generic, Audit, Traces, Features and Admission are the libraries' own options.
	Generic   *genericoptions.ServerRunOptions
	Audit     *genericoptions.AuditOptions
	Traces    *genericoptions.TracingOptions
	Features  *genericoptions.FeatureOptions
	Admission *Admission

	// SystemNamespaces are kept in existence beside default, kube-system and kube-public.
	// May be empty.
	SystemNamespaces []string
	// ClusterRoles are made, and kept as complete as they are here, beside Kubernetes' own: what
	// somebody adds to one stays, and one with the annotation
	// rbac.authorization.kubernetes.io/autoupdate: "false" is left alone. May be empty.
	ClusterRoles []rbacv1.ClusterRole
	// Controllers says whether the controllers run in this process.
	Controllers bool
	// Shared says that other servers use the same storage, so that the controllers must
	// elect a leader.
	Shared bool
	// Administrators is a group that may do everything, by RBAC. Empty means none.
	Administrators string
	// Extension is one more API server. Nil means none.
	Extension *Extension
	// Front wraps everything that the host serves, before authentication. Nil means
	// nothing.
	Front func(api http.Handler) http.Handler
}

// Storage is how a host keeps its objects. All but the transport may be nil.
type Storage struct {
	Transport storagebackend.TransportConfig
	// RESTOptions wraps how each resource gets at its storage.
	RESTOptions func(generic.RESTOptionsGetter) generic.RESTOptionsGetter
	// Admission is asked before admission control.
	Admission admission.Interface
	// Readiness says in /readyz whether the storage can be used. Neither /livez nor
	// /healthz depend on it.
	Readiness healthz.HealthChecker
	// Keys are told of what encrypts, and say in errors what is wrong with it.
	Keys *Keys
}

// Certificates are the files of a PKI. A file named Serving or FrontProxyClient holds the
// certificate and its key.
type Certificates struct {
	CA                string
	FrontProxyCA      string
	Serving           string
	FrontProxyClient  string
	ServiceAccountKey string
}

// Extension is an API server that is served by the host as if it were its own.
type Extension struct {
	// GroupVersions are served through the extension; each gets an APIService of its own
	// without a Service. The numbers order discovery as they do in an APIService.
	GroupVersions map[schema.GroupVersion]Priority
	// Codec encodes objects for storage.
	Codec runtime.Codec
	// LongRunning picks requests to the extension that go on for as long as somebody wants them to,
	// beside watches and proxies. Nil picks none.
	LongRunning request.LongRunningRequestCheck
	// NamespaceChange is asked about every update of a namespace, after New; an error of the API refuses
	// it. Nil refuses none.
	NamespaceChange func(ctx context.Context, now, old metav1.Object) error
	// New makes the server. It gets a copy of the host's configuration that is its own to
	// change; storage options are already set. What it does not know it passes to delegate.
	New func(generic *genericapiserver.Config, delegate genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error)
}

// Priority orders groups, and versions in a group; higher comes first.
type Priority struct {
	Group   int32
	Version int32
}

func (c *Config) validate() error {
	switch {
	case c.Listener == nil:
		return errors.New("host: a listener is required")
	case c.Generic == nil, c.Audit == nil, c.Traces == nil, c.Features == nil, c.Admission == nil:
		return errors.New("host: the options of the libraries are required")
	case len(c.Storage.Transport.ServerList) == 0:
		return errors.New("host: a store is required")
	}
	return nil
}
