package authority

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

const (
	// DefaultLifetime is how long a certificate of an agent is good.
	DefaultLifetime = 7 * 24 * time.Hour
	// minLifetime leaves agents time between renewals.
	minLifetime = 4 * time.Hour
	// Backdate is how much earlier than now it begins to be: clocks differ.
	Backdate = time.Hour
)

// Config says how an Authority works. Signer, CA and Tokens are required.
type Config struct {
	// Signer returns the certificate and key of the authority of agents, anew for each certificate.
	Signer func() (*x509.Certificate, crypto.Signer, error)
	// CA returns the authorities of servers, PEM, which agents are to trust; while they are replaced, the old ones and the new.
	CA func() ([]byte, error)
	// Tokens are those for first certificates.
	Tokens Tokens
	// Allowed returns why a certificate that is valid may not be renewed, as server.Config's does. Nil allows all.
	Allowed func(name tunnel.Name, certificate *x509.Certificate) error
	// Issued, if not nil, is told of each certificate.
	Issued func(name tunnel.Name, certificate *x509.Certificate)
	// Refused, if not nil, is told of each certificate that is not issued although whoever asked has proved which name is his.
	Refused func(name tunnel.Name, from string, why error)
	// Lifetime of certificates is DefaultLifetime if it is 0.
	Lifetime time.Duration
	// Now is time.Now if it is nil.
	Now func() time.Time
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Authority signs certificates of agents, and is the handler of the endpoint.
type Authority struct {
	config Config
	// attempts bounds requests with tokens, and renewals those with certificates: who guesses does not
	// keep agents from renewing.
	attempts, renewals *rate.Limiter

	mu sync.Mutex
	// names bound renewals of each name; guarded by mu.
	names map[tunnel.Name]*rate.Limiter
}

const (
	// Of requests with tokens and of those with certificates, so many a second, and so many at once.
	attemptsPerSecond, attemptsAtOnce = 20, 200
	renewalsPerSecond, renewalsAtOnce = 50, 500
	// Of each name, one in so long, and so many at once: it may have several agents.
	renewalOfNameEvery, renewalsOfNameAtOnce = 10 * time.Second, 10
	// maxNames is how many names are kept count of.
	maxNames = 20_000
)

// New returns an authority.
func New(config Config) (*Authority, error) {
	if config.Signer == nil || config.CA == nil || config.Tokens == nil {
		return nil, errors.New("authority of agents: a signer, the CA of servers and tokens are required")
	}
	if config.Lifetime == 0 {
		config.Lifetime = DefaultLifetime
	}
	if config.Lifetime < minLifetime {
		return nil, fmt.Errorf("authority of agents: a lifetime of %s: %s or more is needed, since certificates begin %s early", config.Lifetime, minLifetime, Backdate)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	return &Authority{
		config: config, names: map[tunnel.Name]*rate.Limiter{},
		attempts: rate.NewLimiter(attemptsPerSecond, attemptsAtOnce), renewals: rate.NewLimiter(renewalsPerSecond, renewalsAtOnce),
	}, nil
}

// Sign makes a certificate for a name, which is enrolled now.
func (a *Authority) Sign(name tunnel.Name, key crypto.PublicKey) (*x509.Certificate, error) {
	return a.signFor(name, key, a.config.Now())
}

// signFor makes a certificate for a name that was enrolled at a time.
func (a *Authority) signFor(name tunnel.Name, key crypto.PublicKey, enrolled time.Time) (*x509.Certificate, error) {
	if err := name.Validate(); err != nil {
		return nil, err
	}
	issuer, signer, err := a.config.Signer()
	if err != nil {
		return nil, fmt.Errorf("the authority of agents: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	now := a.config.Now()
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), URIs: []*url.URL{name.URI(), enrolledURI(enrolled)},
		NotBefore: now.Add(-Backdate).UTC(), NotAfter: earlier(now.Add(a.config.Lifetime), issuer.NotAfter).UTC(), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if !now.Before(template.NotAfter) {
		return nil, fmt.Errorf("the authority of agents ended at %s", stamp(issuer.NotAfter))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key, signer)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate of %s: %w", name, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read a certificate of %s: %w", name, err)
	}
	return certificate, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// IssuedAt is when a certificate was made, which is later than it begins to be good.
func IssuedAt(certificate *x509.Certificate) time.Time { return certificate.NotBefore.Add(Backdate) }

// enrolledScheme is that of the URI that says when the first certificate of an agent was issued for a token: koinon-enrolled:TIME (RFC 3339).
const enrolledScheme = "koinon-enrolled"

func enrolledURI(at time.Time) *url.URL { return &url.URL{Scheme: enrolledScheme, Opaque: stamp(at)} }

// EnrolledAt is when the token was used that a certificate goes back to, however often it was renewed since: what is revoked until then is compared
// with this, so that who renews before all servers have heard of it gains nothing. A certificate that does not say it was not renewed
// from one that does, and goes back to when it was made. It is zero if it cannot be read.
func EnrolledAt(certificate *x509.Certificate) time.Time {
	at := IssuedAt(certificate)
	for _, uri := range certificate.URIs {
		if uri.Scheme != enrolledScheme {
			continue
		}
		said, err := time.Parse(time.RFC3339, uri.Opaque)
		if err != nil {
			return time.Time{}
		}
		at = earlier(at, said)
	}
	return at
}

// mayRenew reports whether a name may have another certificate now.
func (a *Authority) mayRenew(name tunnel.Name) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	limiter := a.names[name]
	if limiter == nil {
		if len(a.names) >= maxNames {
			clear(a.names) // rather a few renewals more than memory without bound
		}
		limiter = rate.NewLimiter(rate.Every(renewalOfNameEvery), renewalsOfNameAtOnce)
		a.names[name] = limiter
	}
	return limiter.Allow() && a.renewals.Allow()
}
