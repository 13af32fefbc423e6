package enroll

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

const (
	// firstPause and lastPause are what is waited between tries to get the first certificate, at most: a random part of it.
	firstPause, lastPause = time.Second, 30 * time.Second
	// checkEvery is how often it is looked whether a certificate is due, or another agent has renewed it. It is
	// short since clocks jump and machines sleep.
	checkEvery = time.Minute
)

// Config says how a Keeper works. Servers, State, and CA or Pins are required.
type Config struct {
	// Servers are addresses, HOST:PORT. They are asked one after the other.
	Servers []string
	// ServerName is what their certificates have to name; empty is the HOST of each.
	ServerName string
	// State keeps what is to outlive the process.
	State State
	// Token returns the token for the first certificate, and nothing if there is none. Nil is none.
	Token func() (string, error)
	// Name is whom the token should be for; zero is whomever it is for.
	Name tunnel.Name
	// CA returns authorities of servers, PEM. If it is nil, Pins have to be given.
	CA func() ([]byte, error)
	// Pins are of authorities of servers.
	Pins []identity.Pin
	// Dialer makes connections to servers; nil is one that goes any way.
	Dialer *carrier.Dialer
	// Now is time.Now if it is nil.
	Now func() time.Time
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Keeper keeps an agent's certificate.
type Keeper struct {
	config Config
	dialer *carrier.Dialer
	// renewed is what Run calls.
	renewed func()
	// checkEvery is the constant, but for tests.
	checkEvery time.Duration
	// said is what Run has said last of the state.
	said string

	mu sync.Mutex
	// current is guarded by mu; nil before the first.
	current *held
	// authorities are what the state says, PEM; guarded by mu.
	authorities []byte
	// unkept: the state does not have what is used, since it could not be written; guarded by mu.
	unkept bool
}

// New returns a keeper that does nothing before Start.
func New(config Config) (*Keeper, error) {
	if len(config.Servers) == 0 || config.State == nil {
		return nil, errors.New("certificate of the agent: servers and a state are required")
	}
	if config.Dialer == nil {
		config.Dialer = &carrier.Dialer{}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	return &Keeper{config: config, dialer: config.Dialer, renewed: func() {}, checkEvery: checkEvery}, nil
}

// OnRenewed has Run call f when there is another certificate. It is for before Run.
func (k *Keeper) OnRenewed(f func()) { k.renewed = f }

// finalError is one that trying again does not mend.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

func isFinal(err error) bool {
	var final *finalError
	var refusal *identity.Refusal
	return errors.As(err, &final) || errors.As(err, &refusal) && refusal.Final() || isMismatch(err)
}

// Start returns once there is a certificate that is good: that of the state, or else one for the token. It tries again
// what may pass, and returns errors that will not.
func (k *Keeper) Start(ctx context.Context) error {
	for pause := firstPause; ; pause = min(pause*3/2, lastPause) {
		err := k.load()
		if err == nil {
			return nil
		}
		var missing *missingError
		if errors.As(err, &missing) {
			err = k.first(ctx, missing)
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case isFinal(err):
			return err
		}
		k.config.Logger.Warn("Failed to get a certificate, and will try again", "err", err)
		if !sleep(ctx, rand.N(pause)) {
			return ctx.Err()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// missingError is why a first certificate is needed.
type missingError struct{ error }

// load takes the certificate of the state, if it is newer than what is used.
func (k *Keeper) load() error {
	text, err := k.config.State.Read(agentFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &missingError{fmt.Errorf("there is no certificate in %s", k.config.State)}
	case err != nil:
		return fmt.Errorf("the certificate of this agent: %w", err)
	}
	found, err := parseHeld(text)
	if err != nil {
		return &missingError{fmt.Errorf("%s in %s cannot be used: %w", agentFile, k.config.State, err)}
	}
	if err := found.expired(k.config.Now()); err != nil {
		return &missingError{err}
	}
	authorities, err := k.config.State.Read(caFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the authority of the server: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if found.newer(k.current) {
		k.current, k.authorities, k.unkept = found, authorities, false
	}
	return nil
}

// first gets a certificate for the token.
func (k *Keeper) first(ctx context.Context, why *missingError) error {
	token := ""
	if k.config.Token != nil {
		var err error
		if token, err = k.config.Token(); err != nil {
			return &finalError{fmt.Errorf("%w, and there is no token: %w", why, err)}
		}
	}
	if token == "" {
		return &finalError{fmt.Errorf("%w, and there is no token to get one for: kubectl koinon agent makes one", why)}
	}
	key, err := k.pendingKey()
	if err != nil {
		return err
	}
	if err := k.request(ctx, key, k.config.Name, token, k.firstTrust); err != nil {
		return fmt.Errorf("%w: %w", why, err)
	}
	return nil
}

// pendingKey is the key that the first certificate is asked for with. It is kept before it is used.
func (k *Keeper) pendingKey() (crypto.Signer, error) {
	text, err := k.config.State.Read(pendingFile)
	if err == nil {
		if key, err := identity.ParseKey(text); err == nil {
			return key, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	if text, err = identity.EncodeKey(key); err != nil {
		return nil, err
	}
	return key, k.config.State.Write(pendingFile, text)
}

// request asks one server after the other for a certificate for a key, and keeps it.
func (k *Keeper) request(ctx context.Context, key crypto.Signer, name tunnel.Name, token string, trust func(server string) (*tls.Config, error)) error {
	csr, err := identity.NewRequest(key, name)
	if err != nil {
		return &finalError{err}
	}
	var failed error
	for _, server := range k.config.Servers {
		config, err := trust(server)
		var issued *identity.Issued
		if err == nil {
			issued, err = k.askCertificate(ctx, server, config, token, csr)
		}
		switch {
		case err == nil:
			return k.keep(issued, key)
		case isFinal(err) || ctx.Err() != nil:
			return err
		}
		if err = fmt.Errorf("the server at %s: %w", server, err); failed != nil {
			err = fmt.Errorf("%w; %w", failed, err)
		}
		failed = err
	}
	return failed
}

// keep has a certificate used, once it cannot get lost: the first. One that was renewed is used although the state cannot be written.
func (k *Keeper) keep(issued *identity.Issued, key crypto.Signer) error {
	chain, err := identity.ParseCertificates([]byte(issued.Certificate))
	if err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	got, err := newHeld(chain, key)
	if err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	if err := got.expired(k.config.Now()); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	if _, err := pool([]byte(issued.CA)); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	// The key that the token was used for is kept until its certificate is.
	wrong := k.write(got, []byte(issued.CA))
	if wrong == nil {
		wrong = k.config.State.Remove(pendingFile)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if wrong != nil {
		if k.current == nil || k.current.expired(k.config.Now()) != nil {
			return wrong // asked for again with the key that is kept
		}
		// The one before is kept, and ends while the disk is full. It will be kept when there is room.
		k.config.Logger.Warn("Failed to keep the new certificate of this agent; it is used all the same, and another start uses the one before until that ends",
			"state", k.config.State.String(), "err", wrong)
	}
	k.current, k.authorities, k.unkept = got, []byte(issued.CA), wrong != nil
	k.config.Logger.Info("Got a certificate", "name", got.name.String(), "until", got.chain[0].NotAfter)
	return nil
}

// write has the state keep a certificate and the authorities of servers.
func (k *Keeper) write(h *held, authorities []byte) error {
	text, err := h.encode()
	if err != nil {
		return err
	}
	if err := k.config.State.Write(caFile, authorities); err != nil {
		return err
	}
	return k.config.State.Write(agentFile, text)
}

// Renew gets another certificate for the one that there is.
func (k *Keeper) Renew(ctx context.Context) error {
	key, err := identity.NewKey()
	if err != nil {
		return err
	}
	name, _ := k.Certificate()
	return k.request(ctx, key, name, "", func(string) (*tls.Config, error) { return k.TLS() })
}

// Run renews the certificate when it is due, until ctx ends. If that fails for so long that it ends, a new token is
// used if there is one.
func (k *Keeper) Run(ctx context.Context) {
	for ok := true; ok; ok = sleep(ctx, k.checkEvery) {
		before := k.held()
		if err := k.check(ctx, before); err != nil && ctx.Err() == nil {
			k.config.Logger.Error("Failed to renew the certificate", "name", before.name.String(), "until", before.chain[0].NotAfter, "err", err)
		}
		if k.held() != before {
			k.renewed()
		}
	}
}

func (k *Keeper) held() *held {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// check renews the certificate if nobody else has and it is due. A state that lost what is used is given it back.
func (k *Keeper) check(ctx context.Context, before *held) error {
	err := k.load()
	if err == nil && k.held() != before {
		return nil
	}
	k.mend(err, before)
	now := k.config.Now()
	switch why := before.expired(now); {
	case why != nil:
		return k.first(ctx, &missingError{why})
	case now.Before(before.due()):
		return nil
	}
	return k.Renew(ctx)
}

// mend says what is wrong with the state, once, and puts back what is not in it any more. It is called by Run alone.
func (k *Keeper) mend(wrong error, using *held) {
	said := ""
	if wrong != nil {
		said = wrong.Error()
	}
	if said != "" && said != k.said {
		k.config.Logger.Warn("The certificate of this agent cannot be read where it is kept: without it another start needs a token", "err", said)
	}
	k.said = said
	k.mu.Lock()
	unkept, authorities := k.unkept, k.authorities
	k.mu.Unlock()
	var missing *missingError
	if !errors.As(wrong, &missing) && !unkept || using.expired(k.config.Now()) != nil {
		return
	}
	if err := k.write(using, authorities); err != nil {
		k.config.Logger.Warn("Failed to put the certificate back", "err", err)
		return
	}
	k.mu.Lock()
	k.unkept = false
	k.mu.Unlock()
	k.config.Logger.Info("Put the certificate back", "state", k.config.State.String())
}

// Certificate is whom the agent stands for and until when, once Start has returned.
func (k *Keeper) Certificate() (name tunnel.Name, until time.Time) {
	current := k.held()
	if current == nil {
		return tunnel.Name{}, time.Time{}
	}
	return current.name, current.chain[0].NotAfter
}

// TLS is for agent.Config.
func (k *Keeper) TLS() (*tls.Config, error) {
	k.mu.Lock()
	current, texts := k.current, [][]byte{}
	if len(k.authorities) > 0 {
		texts = append(texts, k.authorities)
	}
	k.mu.Unlock()
	if current == nil {
		return nil, errors.New("this agent has no certificate yet")
	}
	if err := current.expired(k.config.Now()); err != nil {
		return nil, err
	}
	if k.config.CA != nil {
		text, err := k.config.CA()
		if err != nil {
			k.config.Logger.Warn("Failed to read the authority of the server; what the server said last is used", "err", err)
		} else {
			texts = append(texts, text)
		}
	}
	roots, err := pool(texts...)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{current.tls()}, RootCAs: roots, ServerName: k.config.ServerName}, nil
}
