package host

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	"k8s.io/kubernetes/pkg/controlplane/apiserver/options"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
)

// serviceAccountIssuer is the issuer in service account tokens. It is a name, not an
// address: tokens must stay valid when the server moves to another port.
const serviceAccountIssuer = "https://kubernetes.default.svc"

// Admission are the options of admission control, with a default that fits a host without
// workloads.
type Admission struct {
	*kubeoptions.AdmissionOptions
}

// NewAdmission returns the default: namespace life cycle, webhooks and admission policies.
func NewAdmission() *Admission {
	admission := kubeoptions.NewAdmissionOptions()
	on := sets.New(
		lifecycle.PluginName,
		mutatingwebhook.PluginName,
		validatingwebhook.PluginName,
		mutatingadmissionpolicy.PluginName,
		validatingadmissionpolicy.PluginName,
	)
	admission.GenericAdmission.DefaultOffPlugins = sets.New(kubeoptions.AllOrderedPlugins...).Difference(on)
	return &Admission{AdmissionOptions: admission}
}

// completeOptions fills the upstream options from the configuration.
func completeOptions(ctx context.Context, config Config) (options.CompletedOptions, error) {
	opts := options.NewOptions()
	opts.GenericServerRunOptions = config.Generic
	opts.Audit = config.Audit
	opts.Traces = config.Traces
	opts.Features = config.Features
	opts.Admission = config.Admission.AdmissionOptions
	opts.Metrics = nil // its only use is to hide metrics, and it logs an error without a list
	opts.SystemNamespaces = append(opts.SystemNamespaces, config.SystemNamespaces...)
	opts.Authorization.Modes = []string{"RBAC"}

	opts.Etcd.StorageConfig.Transport = config.Storage.Transport
	// Its checks would be in /livez too, and have somebody kill a server whose database is
	// away. See Storage.Readiness.
	opts.Etcd.SkipHealthEndpoints = true
	opts.Etcd.EncryptionProviderConfigFilepath = config.EncryptionConfigFile
	opts.Etcd.EncryptionProviderConfigAutomaticReload = true

	opts.SecureServing.Listener = config.Listener
	opts.SecureServing.ServerCert.CertKey.CertFile = config.Certificates.Serving
	opts.SecureServing.ServerCert.CertKey.KeyFile = config.Certificates.Serving
	applyCertificates(opts, config.Certificates)

	completed, err := opts.Complete(ctx, nil, nil)
	if err != nil {
		return options.CompletedOptions{}, fmt.Errorf("complete the options of the host: %w", err)
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return options.CompletedOptions{}, fmt.Errorf("options of the host: %w", errors.Join(errs...))
	}
	return completed, nil
}

func applyCertificates(opts *options.Options, files Certificates) {
	opts.ProxyClientCertFile = files.FrontProxyClient
	opts.ProxyClientKeyFile = files.FrontProxyClient
	opts.ServiceAccountSigningKeyFile = files.ServiceAccountKey

	authentication := opts.Authentication
	authentication.ClientCert.ClientCA = files.CA
	authentication.RequestHeader.ClientCAFile = files.FrontProxyCA
	authentication.RequestHeader.AllowedNames = []string{"front-proxy-client"}
	authentication.RequestHeader.UsernameHeaders = []string{"X-Remote-User"}
	authentication.RequestHeader.UIDHeaders = []string{"X-Remote-Uid"}
	authentication.RequestHeader.GroupHeaders = []string{"X-Remote-Group"}
	authentication.RequestHeader.ExtraHeaderPrefixes = []string{"X-Remote-Extra-"}
	authentication.ServiceAccounts.Issuers = []string{serviceAccountIssuer}
	authentication.ServiceAccounts.KeyFiles = []string{files.ServiceAccountKey}
	authentication.ServiceAccounts.OptionalTokenGetter = newTokenGetter
}
