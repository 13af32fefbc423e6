package host

import (
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
)

// StoragePrefix begins the keys of everything that an API server stores.
const StoragePrefix = kubeoptions.DefaultEtcdPathPrefix

// ApplyTo applies all but the transport to a server that its etcd options were applied to,
// without health endpoints, and that has its admission control. It is here for API servers
// without an embedded host.
func (s Storage) ApplyTo(generic *genericapiserver.Config) {
	generic.RESTOptionsGetter = s.wrap(generic.RESTOptionsGetter)
	if s.Admission != nil {
		generic.AdmissionControl = admission.NewChainHandler(s.Admission, generic.AdmissionControl)
	}
	if s.Readiness != nil {
		generic.ReadyzChecks = append(generic.ReadyzChecks, s.Readiness)
	}
	// Keys that are kept elsewhere: with the health endpoints goes the check of these. It is not in /livez: a restart
	// brings nobody's keys back.
	if keys, ok := generic.ResourceTransformers.(healthz.HealthChecker); ok {
		generic.HealthzChecks = append(generic.HealthzChecks, keys)
		generic.ReadyzChecks = append(generic.ReadyzChecks, keys)
		if s.Keys != nil {
			s.Keys.checker.Store(&keys)
		}
	}
}

// wrap wraps the storage of one server in a chain.
func (s Storage) wrap(getter generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	if s.Keys != nil {
		getter = s.Keys.wrap(getter)
	}
	if s.RESTOptions == nil {
		return getter
	}
	return s.RESTOptions(getter)
}
