package cellaccess

import (
	"hash/fnv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

const (
	// lifetime is what is asked for a token. Hosts may give less. Each new one has a KubeFed
	// controller read its cluster anew, so that it is not short: who wants one to end deletes it.
	lifetime = 30 * 24 * time.Hour
	// maxGrace is how long a token is good beside its successor, if it lives for so long: until
	// every controller has seen the KubeFedCluster.
	maxGrace = time.Hour
)

// A token is replaced when 60 to 70 hundredths of its time have passed, so that not all cells are
// due at once.
const dueFrom, dueSpread = 60, 10

// credential is one of the Secrets of an account, with what its token says.
type credential struct {
	secret *corev1.Secret // nil if there is none
	claims accounts.Claims
	// good: it holds a token of this account that is bound to this Secret and has not expired.
	good bool
}

func credentialOf(secret *corev1.Secret, account types.UID, now time.Time) credential {
	c := credential{secret: secret}
	if secret == nil {
		return c
	}
	claims, ok := accounts.ReadClaims(string(secret.Data[v1beta1.TokenKey]))
	c.claims = claims
	c.good = ok && claims.AccountUID == string(account) && claims.SecretUID == string(secret.UID) &&
		secret.DeletionTimestamp == nil && now.Before(claims.Expires)
	return c
}

// due is when the token is to be replaced.
func (c credential) due() time.Time {
	if _, asked := c.secret.Annotations[federationv1alpha1.RotateAnnotation]; asked {
		return c.claims.Issued
	}
	hash := fnv.New32a()
	hash.Write([]byte(c.secret.Name)) // never fails
	hundredths := dueFrom + hash.Sum32()%dueSpread
	return c.claims.Issued.Add(c.claims.Expires.Sub(c.claims.Issued) / 100 * time.Duration(hundredths))
}

// settled is when nobody uses the token any more that this one has replaced.
func (c credential) settled() time.Time {
	return c.claims.Issued.Add(min(maxGrace, c.claims.Expires.Sub(c.claims.Issued)/6))
}

// plan is what becomes of the Secrets of an account.
type plan struct {
	// use is the one to be named by the KubeFedCluster.
	use int
	// replace it first by a new one, whatever is there.
	replace bool
	// drop the other one.
	drop bool
	// again is when to look next; zero if never.
	again time.Time
}

// decide says what becomes of the two. named is the one that the KubeFedCluster names, -1 if it names
// neither.
//
// A Secret that is named and is no good was revoked or has expired. It is not
// gone back to the other one then, which is older and may have leaked with it.
func decide(both [2]credential, named int, now time.Time) plan {
	if named < 0 {
		named = 0
		if both[1].good && (!both[0].good || both[0].claims.Issued.Before(both[1].claims.Issued)) {
			named = 1
		}
		if !both[named].good {
			return plan{use: named, replace: true, drop: both[1-named].secret != nil}
		}
	}
	current, other := both[named], both[1-named]
	switch {
	case !current.good:
		return plan{use: 1 - named, replace: true}
	case now.Before(current.due()):
	case other.good && now.Before(other.due()) && !other.claims.Issued.Before(current.claims.Issued):
		return plan{use: 1 - named, again: other.settled()}
	default:
		return plan{use: 1 - named, replace: true}
	}
	p := plan{use: named, again: current.due()}
	if other.secret != nil {
		if p.drop = !other.good || !now.Before(current.settled()); !p.drop {
			p.again = current.settled()
		}
	}
	return p
}

// A token that is no good soon after it was made is made again at once, and then later and later: what takes it
// away may do so for ever.
const minMakePause, maxMakePause = 5 * time.Second, 5 * time.Minute

// pace is when the next token of an account may be made.
type pace struct {
	last  time.Time
	pause time.Duration
}

func (p *pace) next() time.Time { return p.last.Add(p.pause) }

// made notes that one was.
func (p *pace) made(now time.Time) {
	if now.Sub(p.last) > 2*maxMakePause {
		p.pause = 0
	} else {
		p.pause = min(max(2*p.pause, minMakePause), maxMakePause)
	}
	p.last = now
}
