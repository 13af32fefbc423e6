package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

const (
	// renewTimeout bounds one renewal: a request to the member, and one to the host.
	renewTimeout = 20 * time.Second
	// A renewal that failed is tried again when a fiftieth of the token's time has passed, within these.
	minRenewPause, maxRenewPause = 10 * time.Second, 5 * time.Minute
)

// renewing is the token of a member, and what became of its renewal.
type renewing struct {
	memberaccess.Renewal
	// can is that it is a token that is renewed.
	can bool
	// problem is a sentence on why the last time was for nothing.
	problem string
}

// pause is the time between two attempts.
func (r *renewing) pause() time.Duration {
	return min(max(r.Lifetime()/50, minRenewPause), maxRenewPause)
}

// renew renews the token of a member if that is due, or somebody has asked for it, and notes what is in the way. It is called
// by the goroutine of watch.
func (r *Registry) renew(m *member, ready bool) {
	now, token := time.Now(), &m.renewing
	if !token.can || r.SecretClient == nil || now.Before(m.renewedAgain) {
		return
	}
	if now.Before(token.Due(m.Name)) && !r.isAskedFor(m) {
		token.problem = ""
		return
	}
	if !ready {
		token.problem = "the member is not ready"
		return
	}
	r.mu.Lock()
	m.renewedAgain = now.Add(token.pause()) // also if it succeeds: the Secret's event ends this epoch
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(m.ctx, renewTimeout)
	defer cancel()
	err := r.renewNow(ctx, m)
	switch {
	case m.ctx.Err() != nil:
		return
	case err == nil:
		renewals.WithLabelValues("success").Inc()
		token.problem = ""
		klog.FromContext(m.ctx).V(2).Info("Renewed the token of a member", "member", m.Name, "secret", m.secret)
	case apierrors.IsConflict(err) || apierrors.IsNotFound(err) || errors.Is(err, memberaccess.ErrOtherToken):
		token.problem = "" // the Secret is another by now, whose event ends this epoch
	default:
		renewals.WithLabelValues("error").Inc()
		if problem := err.Error(); problem != token.problem {
			token.problem = problem
			klog.FromContext(m.ctx).Error(err, "Failed to renew the token of a member", "member", m.Name)
		}
	}
}

// isAskedFor reports whether the Secret of a member asks for another token now.
func (r *Registry) isAskedFor(m *member) bool {
	secret, err := r.Secrets.Get(m.secret)
	if err != nil {
		return false
	}
	_, asked := secret.Annotations[federationv1alpha1.RotateAnnotation]
	return asked
}

// renewNow has the member make a token, and writes it in the place of the old one.
func (r *Registry) renewNow(ctx context.Context, m *member) error {
	token := &m.renewing
	secret, err := r.Secrets.Get(m.secret)
	if err != nil {
		return err
	}
	if _, err := token.Replace(secret, ""); err != nil { // before anything is asked for in vain
		return err
	}
	made, err := m.Conn.RequestToken(ctx, token.Namespace, token.Account, token.Request())
	if err != nil {
		return notRenewed(err, token)
	}
	if err := token.Check(made, time.Now()); err != nil {
		return err
	}
	updated, err := token.Replace(secret, made)
	if err != nil {
		return err
	}
	delete(updated.Annotations, federationv1alpha1.RotateAnnotation)
	if _, err := r.SecretClient.Update(ctx, updated, metav1.UpdateOptions{}); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return err
		}
		return fmt.Errorf("write the token into Secret %q: %s", m.secret, memberclient.Problem(err))
	}
	return nil
}

// notRenewed is the sentence of a member that makes no token. What it answers is not taken for an answer of the host.
func notRenewed(err error, token *renewing) error {
	switch {
	case apierrors.IsUnauthorized(err):
		return errors.New("the member refuses this token (401 Unauthorized): it has ended, or its account is gone")
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the account %s/%s may not make tokens of itself there (create serviceaccounts/token, 403 Forbidden)", token.Namespace, token.Account)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the member has no service account %s/%s, or no way to make tokens (404 Not Found)", token.Namespace, token.Account)
	}
	return fmt.Errorf("the member makes none: %s", memberclient.Problem(err))
}

// ending is why somebody has to see to the credential of a member.
func (m *member) ending(now time.Time) (e ending) {
	var said []string
	for _, what := range m.endings {
		failed := what.Kind == memberaccess.EndingToken && m.renewing.problem != ""
		if !failed && !what.Near(now) {
			continue
		}
		sentence := what.Sentence(now)
		if failed {
			sentence += ", and was not renewed: " + m.renewing.problem
			e.reason = v1beta1.ReasonTokenNotRenewed
		}
		said = append(said, sentence)
	}
	if len(said) == 0 {
		return ending{}
	}
	if e.reason == "" {
		e.reason = v1beta1.ReasonCredentialsEnd
	}
	e.message = fmt.Sprintf("of Secret %q: %s", m.secret, strings.Join(said, "; "))
	return e
}
