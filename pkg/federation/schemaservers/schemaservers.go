// Package schemaservers finds the API servers that know the schema of a custom kind: the host,
// and members that are ready. It asks through the API and keeps nothing; what a schema means
// is for the caller.
//
// A Servers may be used concurrently.
package schemaservers

import (
	"context"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

const (
	// maxMembers is how many members are asked for a schema that the host lacks.
	// Members that differ in their custom resources have them in common, or nearly so.
	maxMembers = 5
	timeout    = 10 * time.Second
)

// Servers are the API servers to ask for the schemas of custom kinds.
type Servers struct {
	host      rest.Interface
	kube      kubernetes.Interface
	koinon    versioned.Interface
	namespace string
	tunnel    memberaccess.Tunnel
}

// New takes how to reach the host. The members are found through it, in the system namespace; those that are reached
// through their agents are asked through the tunnel, which may be nil.
func New(config *rest.Config, namespace string, tunnel memberaccess.Tunnel) (*Servers, error) {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	host, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the schemas of the host: %w", err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host: %w", err)
	}
	koinon, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the federation API: %w", err)
	}
	return &Servers{host: host.RESTClient(), kube: kube, koinon: koinon, namespace: namespace, tunnel: tunnel}, nil
}

// List returns the host and after it the first members that are ready. A member that
// cannot be had is left out.
func (s *Servers) List(ctx context.Context) []rest.Interface {
	servers := []rest.Interface{s.host}
	clusters, err := s.koinon.KubeFedCoreV1beta1().KubeFedClusters(s.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: "!" + federationv1alpha1.TopologyLabel, ResourceVersion: "0",
	})
	if err != nil {
		klog.FromContext(ctx).V(4).Info("Listed no members for their schemas", "err", err)
		return servers
	}
	for i := range clusters.Items {
		if len(servers) > maxMembers {
			break
		}
		if !isReady(&clusters.Items[i]) {
			continue
		}
		if member, err := s.member(ctx, &clusters.Items[i]); err == nil {
			servers = append(servers, member)
		}
	}
	return servers
}

func (s *Servers) member(ctx context.Context, cluster *corev1beta1.KubeFedCluster) (rest.Interface, error) {
	secret, err := s.kube.CoreV1().Secrets(s.namespace).Get(ctx, cluster.Spec.SecretRef.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	config, err := memberclient.Config(cluster, secret, time.Now())
	if err != nil {
		return nil, err
	}
	if dial := memberaccess.Dialer(cluster, config, s.tunnel, nil); dial != nil {
		memberaccess.DialWith(config, dial)
	}
	config.Timeout = timeout
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &patient{next: next, clock: clock.RealClock{}} })
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return client.RESTClient(), nil
}

func isReady(cluster *corev1beta1.KubeFedCluster) bool {
	for _, condition := range cluster.Status.Conditions {
		if condition.Type == corev1beta1.ClusterReady {
			return condition.Status == "True"
		}
	}
	return false
}
