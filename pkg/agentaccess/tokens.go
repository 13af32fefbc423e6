package agentaccess

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
)

const (
	// TokenType is the type of the Secret of a token.
	TokenType corev1.SecretType = "federation.koinon.io/agent-token"
	// tokenPrefix begins its name, before the ID.
	tokenPrefix = "agent-token-"
	// tokenLabel of it says for which cluster it is, for whoever looks.
	tokenLabel = "federation.koinon.io/agent-token"
	// collectAfter is how long a token is kept that has expired: who uses it is told that until then.
	collectAfter = 24 * time.Hour
)

// Keys of the Secret. Times are RFC 3339.
const (
	hashKey    = "hash" // hexadecimal SHA-256 of the secret
	clusterKey = "cluster"
	nodeKey    = "node"
	madeKey    = "made"
	expiresKey = "expires"
	keyKey     = "used-for"
	usedKey    = "used"
)

// tokenID is what an ID looks like. It comes from the network, and becomes a part of a name.
var tokenID = regexp.MustCompile(`^[a-z0-9]{8}$`)

// Tokens are authority.Tokens in Secrets.
type Tokens struct {
	secrets corev1client.SecretInterface
}

var _ authority.Tokens = (*Tokens)(nil)

// NewTokens takes the Secrets of the system namespace.
func NewTokens(secrets corev1client.SecretInterface) *Tokens { return &Tokens{secrets} }

// Add keeps a token.
func (t *Tokens) Add(ctx context.Context, token authority.Token) error {
	if _, err := t.secrets.Create(ctx, tokenSecret(token), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("keep the token in a Secret of the system namespace: %w", err)
	}
	return nil
}

// Get implements authority.Tokens.
func (t *Tokens) Get(ctx context.Context, id string) (authority.Token, error) {
	_, token, err := t.get(ctx, id)
	return token, err
}

func (t *Tokens) get(ctx context.Context, id string) (*corev1.Secret, authority.Token, error) {
	if !tokenID.MatchString(id) {
		return nil, authority.Token{}, authority.ErrNoToken
	}
	secret, err := t.secrets.Get(ctx, tokenPrefix+id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, authority.Token{}, authority.ErrNoToken
	}
	if err != nil {
		return nil, authority.Token{}, fmt.Errorf("read its Secret: %w", err)
	}
	token, err := tokenOf(secret)
	return secret, token, err
}

// Take implements authority.Tokens: the API server takes one update only of a version of the Secret.
func (t *Tokens) Take(ctx context.Context, id, key string, at time.Time) (authority.Token, error) {
	for {
		secret, token, err := t.get(ctx, id)
		if err != nil || token.Key != "" {
			return token, err
		}
		token.Key, token.Used = key, at
		taken := secret.DeepCopy()
		taken.Data = tokenSecret(token).Data
		updated, err := t.secrets.Update(ctx, taken, metav1.UpdateOptions{})
		switch {
		case apierrors.IsConflict(err): // somebody else has taken it, or it was deleted
			continue
		case apierrors.IsNotFound(err):
			return authority.Token{}, authority.ErrNoToken
		case err != nil:
			return authority.Token{}, fmt.Errorf("note in its Secret that it was used: %w", err)
		}
		return tokenOf(updated)
	}
}

// Of returns the tokens of a name that are kept, by when they were made.
func (t *Tokens) Of(ctx context.Context, name tunnel.Name) ([]authority.Token, error) {
	list, err := t.secrets.List(ctx, metav1.ListOptions{LabelSelector: tokenLabel})
	if err != nil {
		return nil, fmt.Errorf("list the tokens of agents: %w", err)
	}
	var found []authority.Token
	for i := range list.Items {
		if token, err := tokenOf(&list.Items[i]); err == nil && token.Name == name {
			found = append(found, token)
		}
	}
	slices.SortFunc(found, func(a, b authority.Token) int { return a.Made.Compare(b.Made) })
	return found, nil
}

// Revoke deletes the tokens of a name; those of a cluster are those of its nodes too. It returns how many were not used.
func (t *Tokens) Revoke(ctx context.Context, name tunnel.Name) (unused int, err error) {
	list, err := t.secrets.List(ctx, metav1.ListOptions{LabelSelector: tokenLabel})
	if err != nil {
		return 0, fmt.Errorf("list the tokens of agents: %w", err)
	}
	var errs []error
	for i := range list.Items {
		secret := &list.Items[i]
		token, err := tokenOf(secret)
		if err != nil || token.Name.Cluster != name.Cluster || name.Node != "" && token.Name.Node != name.Node {
			continue
		}
		err = t.secrets.Delete(ctx, secret.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &secret.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete the token %s of %s: %w", token.ID, token.Name, err))
		} else if token.Key == "" {
			unused++
		}
	}
	return unused, errors.Join(errs...)
}

// Collect deletes tokens that expired a day ago.
func (t *Tokens) Collect(ctx context.Context, now time.Time) error {
	list, err := t.secrets.List(ctx, metav1.ListOptions{LabelSelector: tokenLabel})
	if err != nil {
		return fmt.Errorf("list the tokens of agents: %w", err)
	}
	var errs []error
	for i := range list.Items {
		secret := &list.Items[i]
		token, err := tokenOf(secret)
		if err != nil || now.Before(token.Expires.Add(collectAfter)) {
			continue // what somebody else has labeled stays
		}
		err = t.secrets.Delete(ctx, secret.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &secret.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete the token %s, which has expired: %w", token.ID, err))
		}
	}
	return errors.Join(errs...)
}

// tokenSecret is what is kept of a token.
func tokenSecret(token authority.Token) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: tokenPrefix + token.ID, Labels: map[string]string{tokenLabel: ""}},
		Type:       TokenType,
		Data: map[string][]byte{
			hashKey: []byte(hex.EncodeToString(token.Hash[:])), clusterKey: []byte(token.Name.Cluster), nodeKey: []byte(token.Name.Node),
			madeKey: stamp(token.Made), expiresKey: stamp(token.Expires),
		},
	}
	if token.Key != "" {
		secret.Data[keyKey], secret.Data[usedKey] = []byte(token.Key), stamp(token.Used)
	}
	return secret
}

func stamp(t time.Time) []byte { return []byte(t.UTC().Format(time.RFC3339)) }

// tokenOf reads what tokenSecret made.
func tokenOf(secret *corev1.Secret) (authority.Token, error) {
	if secret.Type != TokenType || len(secret.Name) <= len(tokenPrefix) {
		return authority.Token{}, fmt.Errorf("the Secret %q is no token: its type is not %s", secret.Name, TokenType)
	}
	token := authority.Token{
		ID: secret.Name[len(tokenPrefix):], Key: string(secret.Data[keyKey]),
		Name: tunnel.Name{Cluster: string(secret.Data[clusterKey]), Node: string(secret.Data[nodeKey])},
	}
	if err := token.Name.Validate(); err != nil {
		return authority.Token{}, fmt.Errorf("the Secret %q: %w", secret.Name, err)
	}
	if n, err := hex.Decode(token.Hash[:], secret.Data[hashKey][:min(len(secret.Data[hashKey]), 2*len(token.Hash))]); err != nil || n != len(token.Hash) {
		return authority.Token{}, fmt.Errorf("the Secret %q has no SHA-256 under %q", secret.Name, hashKey)
	}
	for key, into := range map[string]*time.Time{madeKey: &token.Made, expiresKey: &token.Expires, usedKey: &token.Used} {
		if key == usedKey && token.Key == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, string(secret.Data[key]))
		if err != nil {
			return authority.Token{}, fmt.Errorf("the Secret %q has no time under %q", secret.Name, key)
		}
		*into = at
	}
	return token, nil
}
