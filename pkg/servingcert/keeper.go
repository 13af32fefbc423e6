package servingcert

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// DefaultLifetime is how long a serving certificate lives.
const DefaultLifetime = 30 * 24 * time.Hour

// Config says whom the certificate is for, and where the authorities are.
type Config struct {
	Client kubernetes.Interface
	// Namespace and SecretName are the Secret that the replicas share.
	Namespace, SecretName string
	// Hosts are the DNS names and IP addresses in the certificate.
	Hosts []string
	// Lifetime of the certificate. Default: DefaultLifetime.
	Lifetime time.Duration
	// Clock is the real one when nil.
	Clock clock.PassiveClock
}

// Keeper keeps the serving certificate of one process.
type Keeper struct {
	config      Config
	certificate *Certificate
	// known are the authorities as last seen, and trusted is the bundle that all callers have.
	// Ensure and Trusted alone use them.
	known   authorities
	trusted []byte
}

// New checks the configuration. It does no I/O.
func New(config Config) (*Keeper, error) {
	switch {
	case config.Client == nil:
		return nil, errors.New("servingcert: Client must be set")
	case config.Namespace == "" || config.SecretName == "" || len(config.Hosts) == 0:
		return nil, errors.New("servingcert: Namespace, SecretName and Hosts must be set")
	}
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	config.Lifetime = cmp.Or(config.Lifetime, DefaultLifetime)
	return &Keeper{config: config, certificate: &Certificate{hosts: config.Hosts, lifetime: config.Lifetime}}, nil
}

// ServiceHosts are the names by which API servers and pods call a Service.
func ServiceHosts(namespace, name string) []string {
	short := name + "." + namespace
	return []string{short + ".svc", short, short + ".svc.cluster.local"}
}

// Certificate is what to serve with. It is there after the first Ensure, and the same object
// ever after.
func (k *Keeper) Certificate() *Certificate { return k.certificate }

// Prepare is the first Ensure of a server that starts.
func (k *Keeper) Prepare(ctx context.Context) error {
	// The second attempt reads what another replica wrote at the time of the first.
	if _, err := k.Ensure(ctx); err == nil {
		return nil
	}
	_, err := k.Ensure(ctx)
	return err
}

// Ensure brings authorities and certificate up to date, and returns the bundle that callers
// have to trust, PEM. After a conflict with another replica, which is an error, call it again.
func (k *Keeper) Ensure(ctx context.Context) (bundle []byte, err error) {
	known, err := k.ensureAuthorities(ctx)
	if err != nil {
		return nil, err
	}
	k.known = known
	now := k.config.Clock.Now()
	renewed, err := k.certificate.renew(known, known.signer(now, k.isTrusted), now)
	if err != nil {
		return nil, err
	}
	if renewed {
		klog.FromContext(ctx).V(2).Info("Renewed the serving certificate", "expires", k.certificate.NotAfter())
	}
	return known.trust(), nil
}

// Trusted says that every caller was told of a bundle that Ensure returned. What is in it may
// sign from now on.
func (k *Keeper) Trusted(bundle []byte) { k.trusted = bundle }

// NextLook is when to call Ensure again: after the given time, or earlier if the certificate is
// due by then.
func (k *Keeper) NextLook(after time.Duration) time.Duration {
	leaf := k.certificate.leaf()
	if leaf == nil {
		return 0
	}
	return max(0, min(after, keypair.RenewAt(leaf).Sub(k.config.Clock.Now())+time.Millisecond))
}

func (k *Keeper) isTrusted(authority keypair.Pair) bool {
	return bytes.Contains(k.trusted, authority.CertificatePEM())
}
