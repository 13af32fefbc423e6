package identity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const (
	// firstPause and lastPause are what is waited after something went wrong, at most: it doubles, and a random part of it is waited.
	firstPause, lastPause = time.Second, time.Minute
	// checkEvery is how often it is looked whether something is due. It is short since clocks jump, and machines sleep.
	checkEvery = time.Minute
	// learnEvery is how often authorities are asked for.
	learnEvery = time.Hour
	// restAfter is how long a certificate is not renewed after it came: by a clock that is wrong it may be due at once.
	restAfter = 10 * time.Minute
	// refusedFor is how long a token that was refused is not tried again, nor a request made after one that was denied, or that got what is of no use.
	refusedFor = 10 * time.Minute
)

// Ways are how API servers are asked. Neither has to wait for a server that is away: it is tried again.
type Ways struct {
	// Node shows Identity.Certificate, and Next shows Identity.Next.
	Node, Next http.RoundTripper
	// Bootstrap brings Identity.Token.
	Bootstrap http.RoundTripper
}

// rest is for how long nothing is asked, since it was refused.
type rest struct {
	token string // it was asked with; empty: with the certificate
	since time.Time
	err   error
}

// with returns why nothing is asked with a token; nil if it may be.
func (r rest) with(token string) error {
	if r.token == token && time.Since(r.since) < refusedFor {
		return r.err
	}
	return nil
}

// Run gets a certificate, renews it, and follows the authorities of the cluster, until ctx ends.
func (i *Identity) Run(ctx context.Context, ways Ways) {
	for pause := firstPause; ctx.Err() == nil; {
		err := i.tend(ctx, ways)
		if ctx.Err() != nil {
			return
		}
		i.note(err)
		next := checkEvery
		if err != nil {
			next, pause = pause, min(2*pause, lastPause)
		} else {
			pause = firstPause
		}
		timer := time.NewTimer(next/2 + rand.N(next/2))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-i.woken:
			pause = firstPause
		}
		timer.Stop()
	}
}

// Wake has Run look at once, such as when an API server is back.
func (i *Identity) Wake() {
	select {
	case i.woken <- struct{}{}:
	default: // it does already
	}
}

// note has Status say what is wrong, and says it if it is something else than before.
func (i *Identity) note(err error) {
	i.mu.Lock()
	before := i.problem
	i.problem = err
	i.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		i.config.Logger.Warn("The identity of this node needs attention", "err", err)
	}
}

// tend does what is due. The error is what is wrong afterwards.
func (i *Identity) tend(ctx context.Context, ways Ways) error {
	wrong := both(i.writeAgain(), i.readTrust())
	err := i.tendCertificate(ctx, ways)
	switch {
	case err == nil:
		err = i.tendTrust(ctx, ways)
	case i.held() != nil: // what is wrong may last for months, in which the cluster may replace its authority
		if also := i.follow(ctx, ways.Node); errors.Is(also, errUnbelievable) {
			err = both(err, also)
		}
	}
	return both(err, wrong)
}

// follow asks for authorities, if that is due.
func (i *Identity) follow(ctx context.Context, node http.RoundTripper) error {
	if !i.learned.IsZero() && time.Since(i.learned) < learnEvery {
		return nil
	}
	err := i.learn(ctx, node)
	if err == nil {
		i.learned = time.Now()
	}
	return err
}

// tendTrust asks for authorities. That nobody answers is not what is wrong with the identity: it is tried again.
func (i *Identity) tendTrust(ctx context.Context, ways Ways) error {
	err := i.follow(ctx, ways.Node)
	switch {
	case err == nil:
	case isRefusal(err, http.StatusUnauthorized) && i.rests():
		return i.notAccepted() // nor would it accept another one
	case isRefusal(err, http.StatusUnauthorized):
		return i.bootstrap(ctx, ways.Bootstrap, i.notAccepted())
	case errors.Is(err, errUnbelievable):
		return err
	default:
		i.config.Logger.Debug("Failed to ask for the authorities of the cluster", "err", err)
	}
	return nil
}

// tendCertificate gets the first certificate, or renews the one that there is.
func (i *Identity) tendCertificate(ctx context.Context, ways Ways) error {
	tried := i.tryNext(ctx, ways.Next)
	current := i.held()
	if current == nil {
		return i.bootstrap(ctx, ways.Bootstrap, errNoCertificate)
	}
	now := i.config.Now()
	outside := current.outside(now)
	if now.Before(current.due()) && outside != nil {
		// It has not begun: that is the clock, unless the API server does not accept it either.
		err := i.tendTrust(ctx, ways)
		return both(err, i.held().outside(now))
	}
	if now.Before(current.due()) {
		return nil
	}
	if i.rests() {
		return outside
	}
	if tried != nil && !((isRefusal(tried, http.StatusUnauthorized) || outside != nil) && time.Since(i.came) > refusedFor) { // else another one may be better
		return both(tried, outside)
	}
	if err := i.refused.with(""); err != nil {
		return err
	}
	next, err := i.certify(ctx, ways.Node)
	if err == nil {
		err = i.keepNext(next)
	}
	switch {
	case err == nil:
		return both(i.tryNext(ctx, ways.Next), i.held().outside(now))
	case isOver(err):
		i.refused = rest{"", time.Now(), err}
		return err
	case isRefusal(err, http.StatusUnauthorized):
		return i.bootstrap(ctx, ways.Bootstrap, i.notAccepted())
	case outside != nil:
		return fmt.Errorf("%w, and was not renewed yet: %w", outside, err)
	}
	return fmt.Errorf("the certificate of the node %q, good until %s, was not renewed yet: %w", current.node, stamp(current.tls.Leaf.NotAfter), err)
}

// tryNext has a new certificate replace the one before, once an API server has accepted it: what signs certificates may be another one than API servers believe yet. The error is why it has not.
func (i *Identity) tryNext(ctx context.Context, via http.RoundTripper) error {
	i.mu.Lock()
	next := i.next
	i.mu.Unlock()
	if next == nil {
		return nil
	}
	var list certificatesv1.CertificateSigningRequestList
	_, err := i.ask(ctx, via, http.MethodGet, requestsPath+"?limit=1", nil, &list)
	if err != nil && !isRefusal(err, http.StatusForbidden, http.StatusNotFound) {
		return fmt.Errorf("the new certificate of the node %q is not used before an API server has accepted it, and the one before is until then: %w", next.node, err)
	}
	if err := i.keep(next); err != nil {
		return err
	}
	i.taken = time.Now()
	i.config.Logger.Info("Took the new certificate of this node, which the API server accepts", "node", next.node, "until", next.tls.Leaf.NotAfter)
	i.forgetNext()
	return nil
}

// rests reports whether a certificate came just now.
func (i *Identity) rests() bool { return !i.taken.IsZero() && time.Since(i.taken) < restAfter }

// notAccepted says of a certificate that an API server does not accept why that may be.
func (i *Identity) notAccepted() error {
	current := i.held()
	if err := current.outside(i.config.Now()); err != nil {
		return err
	}
	return fmt.Errorf("the API server does not accept the certificate of the node %q", current.node)
}

// bootstrap asks for a certificate with the token. why is what it is needed for.
func (i *Identity) bootstrap(ctx context.Context, via http.RoundTripper, why error) error {
	token, err := i.Token()
	if err != nil {
		return fmt.Errorf("%w, and %w: put one, as kubeadm token create makes, %s", why, err, i.where())
	}
	if err := i.refused.with(token); err != nil {
		return err
	}
	got, err := i.certify(ctx, via)
	if err == nil {
		err = i.keep(got) // untried: the one before, if there is one, is not accepted
	}
	switch {
	case err == nil:
		i.taken = time.Now()
		i.forgetNext()
		return i.held().outside(i.config.Now())
	case isRefusal(err, http.StatusUnauthorized):
		err = fmt.Errorf("%w, and the bootstrap token %s was refused: it is wrong, or has expired. Put a new one, as kubeadm token create makes, %s: %w", why, idOf(token), i.where(), err)
		i.refused = rest{token, time.Now(), err}
		return err
	case isOver(err):
		i.refused = rest{token, time.Now(), err}
		return err
	case isRefusal(err, http.StatusForbidden):
		return fmt.Errorf("%w, and the bootstrap token %s may not ask for one: its group needs the ClusterRole system:node-bootstrapper: %w", why, idOf(token), err)
	}
	return fmt.Errorf("%w: %w", why, err)
}

// where says where the token is to be.
func (i *Identity) where() string {
	switch {
	case i.config.TokenFile != "":
		return "into " + i.config.TokenFile
	case i.config.BootstrapKubeconfig != "":
		return "into " + i.config.BootstrapKubeconfig
	}
	return "into a file, and name that to the hub"
}

// idOf is what may be said of a bootstrap token: what comes before the dot is public.
func idOf(token string) string {
	if len(token) == 23 && token[6] == '.' {
		return token[:6]
	}
	return "that is there"
}
