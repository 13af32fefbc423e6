package apiserver

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	memberobjects "github.com/koinon-io/koinon/pkg/registry/federated/targets"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// ownWays are the ways to members with the accounts of the federation.
type ownWays struct{ links *links.Links }

// To implements memberobjects.Members. Who may see a federated object need have no rights to members,
// and is not told where they are.
func (w ownWays) To(ctx context.Context, member string) (memberobjects.Member, error) {
	link, err := w.links.To(ctx, member)
	if err != nil {
		return memberobjects.Member{}, withoutAddress(member, err)
	}
	transport := relay.NewTransport(member, ownLink{link}, nil)
	transport.Reticent = true
	return memberobjects.Member{Transport: transport, Replaced: link.Replaced()}, nil
}

// withoutAddress is an error without what a KubeFedCluster or a Secret says.
func withoutAddress(member string, err error) error {
	if apierrors.IsServiceUnavailable(err) {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("cluster %q cannot be reached; clusters/%s/proxy tells why those who may use it", member, member))
	}
	return err
}

// ownLink carries everything as the account of the credential, whoever asks.
type ownLink struct{ *links.Link }

// As implements relay.Link.
func (l ownLink) As(user.Info, bool) http.RoundTripper { return l.Own() }

// lookups answers what the guard of member objects asks.
type lookups struct {
	targets
	tenantOf func(namespace string) (tenancy.Tenant, error)
}

// Tenant implements memberobjects.Lookups.
func (l lookups) Tenant(namespace string) (tenancy.Tenant, error) { return l.tenantOf(namespace) }

// federationName reads the name of this federation from its KubeFedConfig.
func federationName(configs rest.Getter, namespace string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		obj, err := configs.Get(genericapirequest.WithNamespace(ctx, namespace), corev1beta1.KubeFedConfigName, fromCache)
		if err != nil {
			return "", err
		}
		config, ok := obj.(*corev1beta1.KubeFedConfig)
		if !ok {
			return "", fmt.Errorf("get KubeFedConfig %q: got a %T", corev1beta1.KubeFedConfigName, obj)
		}
		name := config.Annotations[federationv1alpha1.FederationAnnotation]
		if name == "" {
			return "", fmt.Errorf("KubeFedConfig %q has no annotation %s yet", corev1beta1.KubeFedConfigName, federationv1alpha1.FederationAnnotation)
		}
		return name, nil
	}
}
