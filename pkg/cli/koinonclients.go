package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	kubefedclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	edgeclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/edge/v1alpha1"
	federationclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/federation/v1alpha1"
)

// koinonClients are clients of Koinon's API and of the host's, as the caller.
type koinonClients struct {
	config        *rest.Config
	http          *http.Client
	kubefed       kubefedclient.KubeFedCoreV1beta1Interface
	federation    federationclient.FederationV1alpha1Interface
	edge          edgeclient.EdgeV1alpha1Interface
	core          corev1client.CoreV1Interface
	authorization authorizationv1client.AuthorizationV1Interface
	metadata      metadata.Interface
}

func (s *source) newKoinonClients() (c *koinonClients, err error) {
	config, err := s.restConfig(s.server)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.Timeout, config.QPS = s.timeout, -1
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	c = &koinonClients{config: config}
	if c.http, err = rest.HTTPClientFor(config); err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", s.server, err)
	}
	var errs [6]error
	c.kubefed, errs[0] = kubefedclient.NewForConfigAndClient(config, c.http)
	c.federation, errs[1] = federationclient.NewForConfigAndClient(config, c.http)
	c.edge, errs[2] = edgeclient.NewForConfigAndClient(config, c.http)
	c.core, errs[3] = corev1client.NewForConfigAndClient(config, c.http)
	c.authorization, errs[4] = authorizationv1client.NewForConfigAndClient(config, c.http)
	c.metadata, errs[5] = metadata.NewForConfigAndClient(metadata.ConfigFor(config), c.http)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", s.server, err)
	}
	return c, nil
}

// right is something that a command is going to do.
type right struct {
	verb, namespace string
	resource        schema.GroupResource
}

func (r right) String() string {
	said := r.verb + " " + r.resource.String()
	if r.namespace != "" {
		said += " in namespace " + r.namespace
	}
	return said
}

// missing asks a server which rights the caller has not, in their order. What cannot be asked is an error.
func missing(ctx context.Context, reviews authorizationv1client.SelfSubjectAccessReviewInterface, rights []right) (not []string, err error) {
	allowed, errs := make([]bool, len(rights)), make([]error, len(rights))
	var group sync.WaitGroup
	for i, r := range rights {
		group.Go(func() {
			resource, subresource, _ := strings.Cut(r.resource.Resource, "/")
			review, err := reviews.Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: r.verb, Namespace: r.namespace, Group: r.resource.Group, Resource: resource, Subresource: subresource,
				},
			}}, metav1.CreateOptions{})
			if errs[i] = err; err == nil {
				allowed[i] = review.Status.Allowed
			}
		})
	}
	group.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	for i, r := range rights {
		if !allowed[i] {
			not = append(not, r.String())
		}
	}
	return not, nil
}
