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
	// never is why nobody renews it; nil if it is renewed.
	never error
	// underWay is that the member was asked for another one, and has not answered.
	underWay bool
	// problem is a sentence on why the last time was for nothing.
	problem string
	// made is the token that the member made in the place of this one, as it is written into the Secret: the connection that has it knows that it is new.
	made string
	// unheeded is a sentence on why nothing comes of a Secret that asks for another token.
	unheeded string
}

// pause is the time between two attempts.
func (r *renewing) pause() time.Duration {
	return min(max(r.Lifetime()/50, minRenewPause), maxRenewPause)
}

// rest is for how long a token that was made in a renewal is good, whatever clock says that it is due: each renewal has everything of the
// member listed anew.
func (r *renewing) rest() time.Duration { return r.Lifetime() / 10 }

// isDue reports whether the token is to be renewed. The caller holds the lock.
func (m *member) isDue(now time.Time) bool {
	token := &m.renewing
	return !m.clock(now).Before(token.Due(m.Name)) && !now.Before(m.renewed.Add(token.rest()))
}

// isKept reports whether the token was renewed so lately that nobody has to see to it, whatever clock says that it ends soon: the next renewal
// is under way, or has failed, before that is over. The caller holds the lock.
func (m *member) isKept(now time.Time) bool { return now.Before(m.renewed.Add(2 * m.renewing.rest())) }

// renew has the token of a member renewed if that is due, or somebody has asked for it, and notes what is in the way. It waits for
// nobody: the checks of a member that answers them go on while it does not answer this.
func (r *Registry) renew(m *member, ready bool) {
	if m.Conn == nil || r.SecretClient == nil {
		return
	}
	asked := r.isAskedFor(m)
	r.mu.Lock()
	defer r.mu.Unlock()
	now, token := time.Now(), &m.renewing
	if token.never != nil {
		token.unheeded = ""
		if asked {
			token.unheeded = fmt.Sprintf("the annotation %s asks for another token, and nobody makes one, since %v: join the member again with --token-lifetime, write another credential into the Secret, or remove the annotation",
				federationv1alpha1.RotateAnnotation, token.never)
		}
		return
	}
	if token.underWay || now.Before(m.renewedAgain) {
		return
	}
	if !m.isDue(now) && !asked {
		token.problem = ""
		return
	}
	if !ready {
		token.problem = "the member is not ready"
		return
	}
	m.renewedAgain = now.Add(token.pause()) // also if it succeeds: the Secret's event ends this epoch
	token.underWay = true
	// Ends with renewTimeout, or m.ctx.
	r.wg.Go(func() { r.renewBeside(m) })
}

// renewBeside renews the token of a member. What comes of it is in the status with the next check.
func (r *Registry) renewBeside(m *member) {
	ctx, cancel := context.WithTimeout(m.ctx, renewTimeout)
	defer cancel()
	err := r.renewNow(ctx, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	token := &m.renewing
	token.underWay = false
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
	asked := time.Now()
	made, err := m.Conn.RequestToken(ctx, token.Namespace, token.Account, token.Request())
	if err != nil {
		return notRenewed(err, token)
	}
	if err := token.Check(made, r.clockThatMade(m, made, asked)); err != nil {
		return err
	}
	updated, err := token.Replace(secret, made)
	if err != nil {
		return err
	}
	delete(updated.Annotations, federationv1alpha1.RotateAnnotation)
	r.mu.Lock()
	token.made = made
	r.mu.Unlock()
	if _, err := r.SecretClient.Update(ctx, updated, metav1.UpdateOptions{}); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return err
		}
		return fmt.Errorf("write the token into Secret %q: %s", m.secret, memberclient.Problem(err))
	}
	return nil
}

// clockThatMade is the time of a member that has just made a token, which says something of its clock.
func (r *Registry) clockThatMade(m *member, token string, asked time.Time) time.Time {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if ahead, ok := memberaccess.AheadOf(token, asked, now); ok {
		m.issuerAhead = &ahead
	}
	return m.clock(now)
}

// clock is the time of a member, by which its tokens end: the later one of what its answers say, and what the last token said that it
// made. Where something in between answers with a Date of its own, the tokens know better; of a clock that was set since, the answers do. While
// neither says anything it is ours. The caller holds the lock.
func (m *member) clock(now time.Time) time.Time {
	said := m.issuerAhead
	if m.Conn != nil {
		if ahead, ok := m.Conn.Ahead(); ok && (said == nil || ahead > *said) {
			said = &ahead
		}
	}
	if said == nil {
		return now
	}
	return now.Add(*said)
}

// clockOf is the time by which something ends. The caller holds the lock.
func (m *member) clockOf(what memberaccess.Ending, now time.Time) time.Time {
	if what.Kind == memberaccess.EndingToken {
		return m.clock(now)
	}
	return now
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

// ending is why somebody has to see to the credential of a member. The caller holds the lock.
func (m *member) ending(now time.Time) (e ending) {
	var said []string
	if m.renewing.unheeded != "" {
		said = append(said, m.renewing.unheeded)
		e.reason = v1beta1.ReasonTokenNotRenewed
	}
	for _, what := range m.endings {
		isToken := what.Kind == memberaccess.EndingToken
		failed, kept := isToken && m.renewing.problem != "", isToken && m.isKept(now)
		now := m.clockOf(what, now)
		if !failed && (kept || !what.Near(now)) {
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
