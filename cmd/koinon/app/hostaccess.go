package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// hostTimeout is how long the host has to answer at the start.
const hostTimeout = 10 * time.Second

// connectHost returns how to reach the host, and one sentence when it does not take us.
func (o *ServerOptions) connectHost(ctx context.Context) (*rest.Config, error) {
	config, err := o.loadHostConfig()
	if err != nil {
		return nil, err
	}
	if err := checkExpiry(config, time.Now()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host: %w", err)
	}
	_, err = client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	return config, explainHost(config.Host, err)
}

func (o *ServerOptions) loadHostConfig() (*rest.Config, error) {
	if o.InCluster {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("--in-cluster is given, but this is no pod with a service account: %w", err)
		}
		return config, nil
	}
	if _, err := os.Stat(o.HostKubeconfig); err != nil {
		return nil, fmt.Errorf("--host-kubeconfig is not readable: %w", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.HostKubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--host-kubeconfig %s is no kubeconfig: %w", o.HostKubeconfig, err)
	}
	return config, nil
}

// checkExpiry finds a client certificate whose time is over: all that the host would say is
// "unauthorized".
func checkExpiry(config *rest.Config, now time.Time) error {
	config = rest.CopyConfig(config)
	if err := rest.LoadTLSFiles(config); err != nil {
		return fmt.Errorf("--host-kubeconfig: %w", err)
	}
	if len(config.CertData) == 0 {
		return nil
	}
	certificate, err := keypair.ParseCertificate(config.CertData)
	if err != nil {
		return fmt.Errorf("--host-kubeconfig: its client certificate %w", err)
	}
	if now.After(certificate.NotAfter) {
		return fmt.Errorf("--host-kubeconfig: its client certificate for %q expired on %s; get a new kubeconfig from the host %s", certificate.Subject.CommonName, certificate.NotAfter.Format(time.DateTime), config.Host)
	}
	return nil
}

// explainHost says what an error of the first request means for the operator.
func explainHost(host string, err error) error {
	var unknownAuthority x509.UnknownAuthorityError
	switch {
	case err == nil:
		return nil
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
		return fmt.Errorf("the host %s does not accept the credentials of --host-kubeconfig: they have expired or belong to another cluster (%w)", host, err)
	case errors.As(err, &unknownAuthority):
		return fmt.Errorf("the host %s shows a certificate that the authority in --host-kubeconfig did not sign: the kubeconfig belongs to another cluster (%w)", host, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the host %s did not answer within %s", host, hostTimeout)
	}
	return fmt.Errorf("the host %s of --host-kubeconfig does not answer: %w", host, err)
}
