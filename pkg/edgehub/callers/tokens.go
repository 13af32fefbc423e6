package callers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
	"unicode"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
)

const (
	// trusted is how long what the API server said of a token counts; kubelet does the same.
	trusted = 2 * time.Minute
	// refused is how long a token that is nobody's is not asked about again.
	refused = 10 * time.Second
	// maxTokens are kept, on disk, and as many refusals in memory. A node has 110 pods, with some tokens each, and each has a new one each hour.
	maxTokens = 4096
	// maxTokensOf are kept of one user: all pods may have one service account, and some may issue themselves as many as they like.
	maxTokensOf = 1024
	// maxNewest is of how many users a token is known with which to ask for them.
	maxNewest = 1024
	// maxToken is how long a token may be, in bytes.
	maxToken = 16 << 10
	// maxAsking is how many tokens are asked about at once: who shows one after the other costs the API server no more. As many are of those that are known already, who wait for nobody else.
	maxAsking = 8
)

// Tokens knows whose a token is.
type Tokens struct {
	client Doer
	away   func() bool
	now    func() time.Time
	known  *notes.Shelf[holder]
	// asking has as many as are asked about now, and anew those of them that were good before.
	asking, anew chan struct{}

	mu sync.Mutex
	// What follows is guarded by mu. Keys are those of known.

	checked map[string]time.Time // when the API server said last that a token is good
	nobody  map[string]time.Time // when it said last that one is not
	newest  map[string]newest    // by user
}

// newest is the token that somebody has shown, or was issued, last.
type newest struct {
	token string
	// at is when it was shown last.
	at time.Time
}

// holder is whose a token is.
type holder struct {
	User authenticationv1.UserInfo `json:"user"`
	// Expires is when, by the clock of whoever made the token; zero if never.
	Expires time.Time `json:"expires,omitzero"`
	// Pod is the one that it is good as long as; zero if it is good without any.
	Pod Pod `json:"pod,omitzero"`
}

// Pod is one that a token is bound to.
type Pod struct {
	UID string `json:"uid"`
	// Node is where it is; empty if that is not said, as older API servers do not.
	Node string `json:"node,omitempty"`
}

// NewTokens returns what a book knows of tokens. away reports whether the API server is known to be away.
func NewTokens(book *notes.Book, client Doer, away func() bool) (*Tokens, error) {
	known, err := notes.NewShelf[holder](book, "tokens", maxTokens)
	known.Bound(func(_ string, of holder) string { return of.User.Username }, maxTokensOf)
	return &Tokens{
		client: client, away: away, now: time.Now, known: known, asking: make(chan struct{}, maxAsking), anew: make(chan struct{}, maxAsking),
		checked: map[string]time.Time{}, nobody: map[string]time.Time{}, newest: map[string]newest{},
	}, err
}

// nameOf is what a token is kept as.
func nameOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Identify returns whose a token is. The error is ErrNobody or ErrAway.
func (t *Tokens) Identify(ctx context.Context, token string) (authenticationv1.UserInfo, error) {
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, unicode.IsSpace) { // with blanks in it an API server may take it for another one, in a thousand ways
		return authenticationv1.UserInfo{}, ErrNobody
	}
	name := nameOf(token)
	of, known := t.known.Get(name)
	switch {
	case known && t.since(t.checked, name) < trusted:
		t.shown(&of.User, token)
		return of.User, nil
	case t.since(t.nobody, name) < refused:
		return authenticationv1.UserInfo{}, ErrNobody
	case t.away():
		return t.remembered(token, ErrAway)
	}
	turns := t.asking
	if known {
		turns = t.anew
	}
	user, err := t.review(ctx, token, turns)
	if errors.Is(err, ErrAway) {
		return t.remembered(token, err)
	}
	return user, err
}

// remembered is whose a token was.
func (t *Tokens) remembered(token string, why error) (authenticationv1.UserInfo, error) {
	of, known := t.known.Get(nameOf(token))
	if !known {
		return of.User, fmt.Errorf("whose token it is: %w", why)
	}
	t.shown(&of.User, token)
	return of.User, nil
}

// Remembered returns whose a token was when the API server said so last; false if it never did.
func (t *Tokens) Remembered(token string) (authenticationv1.UserInfo, bool) {
	of, ok := t.known.Get(nameOf(token))
	return of.User, ok
}

// review asks the API server, when it is its turn.
func (t *Tokens) review(ctx context.Context, token string, turns chan struct{}) (authenticationv1.UserInfo, error) {
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
		return authenticationv1.UserInfo{}, fmt.Errorf("%w: %w", ErrAway, ctx.Err())
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
	at, err := create(ctx, t.client, "/apis/authentication.k8s.io/v1/tokenreviews", review)
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	if !review.Status.Authenticated || review.Status.User.Username == "" {
		if at.IsZero() {
			at = t.now()
		}
		t.refuse(token, at)
		return authenticationv1.UserInfo{}, ErrNobody
	}
	t.learn(token, &review.Status.User)
	return review.Status.User, nil
}

// Issued notes that the API server has issued a token to kubelet, for itself.
func (t *Tokens) Issued(token string, user authenticationv1.UserInfo) { t.learn(token, &user) }

// Kept notes a token that was issued before, and was kept: whoever has no other is asked for with it.
func (t *Tokens) Kept(token string, user authenticationv1.UserInfo) { t.shown(&user, token) }

// learn notes whose a token is.
func (t *Tokens) learn(token string, user *authenticationv1.UserInfo) {
	name := nameOf(token)
	c := claimsOf(token)
	now := holder{*user, time.Time{}, c.pod(user)}
	if c.Expires > 0 {
		now.Expires = time.Unix(c.Expires, 0)
	}
	if before, ok := t.known.Get(name); !ok || !sameUser(&before.User, user) || before.Pod != now.Pod {
		t.known.Put(name, now)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(t.checked, name)
	delete(t.nobody, name)
	t.setNewest(user.Username, token)
}

// claims are what a token says that the API server has found good, as far as it matters here.
type claims struct {
	Expires    int64 `json:"exp"` // zero if it never does, or does not say
	Kubernetes struct {
		Pod  struct{ UID string }  `json:"pod"`
		Node struct{ Name string } `json:"node"`
	} `json:"kubernetes.io"`
}

// claimsOf reads a token; of one that says nothing they are empty.
func claimsOf(token string) (c claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &c) != nil {
		return claims{}
	}
	return c
}

// pod is the one that a token is bound to, by what it says itself, or else by what the API server says of its holder.
func (c *claims) pod(user *authenticationv1.UserInfo) Pod {
	if of := c.Kubernetes; of.Pod.UID != "" {
		return Pod{of.Pod.UID, of.Node.Name}
	}
	first := func(name string) string { return append(user.Extra[ofTokens+name], "")[0] }
	return Pod{first("pod-uid"), first("node-name")}
}

// refuse notes that a token is nobody's. One that has expired was somebody's, and is so again while the API server is away: it may go before its holder has got another
// one. One that has not expired was revoked. at is when it was refused, by the clock of whoever did: that of this machine may be off by years.
func (t *Tokens) refuse(token string, at time.Time) {
	name := nameOf(token)
	if of, ok := t.known.Get(name); ok && (of.Expires.IsZero() || at.Before(of.Expires)) {
		t.known.Delete(name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(t.nobody, name)
	delete(t.checked, name)
	maps.DeleteFunc(t.newest, func(_ string, n newest) bool { return n.token == token })
}

// Forget forgets the tokens of pods that are gone: the API server would refuse them.
func (t *Tokens) Forget(gone func(Pod) bool) {
	for _, e := range t.known.All() {
		if e.Value.Pod.UID != "" && gone(e.Value.Pod) {
			t.forget(e.Name)
		}
	}
}

// forget forgets the token that is kept as name.
func (t *Tokens) forget(name string) {
	t.known.Delete(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.checked, name)
	maps.DeleteFunc(t.newest, func(_ string, n newest) bool { return nameOf(n.token) == name })
}

// doubt has the API server be asked anew whose a token is, when it is shown again.
func (t *Tokens) doubt(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.checked, nameOf(token))
}

// note notes that something was said of a token now. What is noted is about tokens of the last minutes: all of it may go when it is too much. mu must be held.
func (t *Tokens) note(said map[string]time.Time, name string) {
	if len(said) >= maxTokens {
		clear(said)
	}
	said[name] = t.now()
}

// shown notes the token that somebody has shown last.
func (t *Tokens) shown(user *authenticationv1.UserInfo, token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.newest[user.Username]; ok && t.isFresh(n.token) {
		token = n.token
	}
	t.setNewest(user.Username, token)
}

// setNewest notes with which token to ask for somebody. Of too many users, the one who was not here for longest is forgotten. mu must be held.
func (t *Tokens) setNewest(user, token string) {
	if _, ok := t.newest[user]; !ok && len(t.newest) >= maxNewest {
		oldest, since := "", t.now()
		for of, n := range t.newest {
			if oldest == "" || n.at.Before(since) {
				oldest, since = of, n.at
			}
		}
		delete(t.newest, oldest)
	}
	t.newest[user] = newest{token, t.now()}
}

// isFresh reports whether the API server has just said that a token is good. mu must be held.
func (t *Tokens) isFresh(token string) bool {
	at, ok := t.checked[nameOf(token)]
	return ok && t.now().Sub(at) < trusted
}

// Newest returns the token with which to ask the API server for somebody; empty if there is none that it has not refused.
func (t *Tokens) Newest(user string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.newest[user].token
}

// since is how long ago something was said; very long if never. A clock that was set back makes it that too.
func (t *Tokens) since(said map[string]time.Time, name string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := said[name]
	if since := t.now().Sub(at); ok && since >= 0 {
		return since
	}
	return 1<<63 - 1
}
