package authority

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

// Token is what is kept of a bootstrap token. Its secret is not.
type Token struct {
	// ID is the part before the dot. It is no secret.
	ID string
	// Hash is the SHA-256 of the secret, which is random and too long to be guessed: nothing slower is needed.
	Hash [sha256.Size]byte
	// Name is whom it is for.
	Name tunnel.Name
	// Made is since when it is good, Expires until when.
	Made, Expires time.Time
	// Key is the id of the key that it was used for, and Used when; empty and zero before.
	Key  string
	Used time.Time
}

// ErrNoToken is what Tokens return of tokens that they do not have.
var ErrNoToken = errors.New("there is no such token")

// Tokens keep tokens. All replicas use the same ones. authoritytest.RunTokens is what an implementation has to pass.
type Tokens interface {
	// Get returns a token.
	Get(ctx context.Context, id string) (Token, error)
	// Take notes the key and the time if none is noted, and returns the token as it is then: of many that
	// take it at once, by whatever replica, one finds its own key in it, and the others find that one's.
	Take(ctx context.Context, id, key string, at time.Time) (Token, error)
}

// encoding is of digits and lower case letters, without those that look like others.
var encoding = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

const (
	idBytes     = 5  // 8 characters
	secretBytes = 20 // 32 characters, 160 bits
)

// tokenPattern is what tokens look like.
var tokenPattern = regexp.MustCompile(`^([a-z0-9]{8})\.([a-z0-9]{32})$`)

// NewToken makes a token for a name: its text, which is shown once, and what is to be kept of it.
func NewToken(name tunnel.Name, now time.Time, lifetime time.Duration) (text string, token Token, err error) {
	if err := name.Validate(); err != nil {
		return "", Token{}, err
	}
	if lifetime <= 0 {
		return "", Token{}, fmt.Errorf("a token that is good for %s: more than 0s is needed", lifetime)
	}
	var random [idBytes + secretBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	id, secret := encoding.EncodeToString(random[:idBytes]), encoding.EncodeToString(random[idBytes:])
	return id + "." + secret, Token{ID: id, Hash: sha256.Sum256([]byte(secret)), Name: name, Made: now, Expires: now.Add(lifetime)}, nil
}

// clockSkew is how far clocks of servers may be apart.
const clockSkew = time.Minute

func refuse(code identity.Code, format string, args ...any) *identity.Refusal {
	return &identity.Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

// anew is what to do when a token is not good.
const anew = "make a new one with kubectl koinon agent"

// use returns whom a token is for, and when it was used first, once it is bound to the key of the request; whom also if it is not good any more. What it says of a token it says to
// those only who know its secret.
func use(ctx context.Context, tokens Tokens, text string, request *identity.Request, now time.Time) (name tunnel.Name, first time.Time, err error) {
	parts := tokenPattern.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return name, first, refuse(identity.TokenUnknown, "that is no token: ID.SECRET is needed, of 8 and 32 letters and digits")
	}
	id, hash := parts[1], sha256.Sum256([]byte(parts[2]))
	token, err := tokens.Get(ctx, id)
	if err != nil && !errors.Is(err, ErrNoToken) {
		return name, first, fmt.Errorf("look up the token %s: %w", id, err)
	}
	if same := subtle.ConstantTimeCompare(hash[:], token.Hash[:]) == 1; err != nil || !same {
		return name, first, refuse(identity.TokenUnknown, "the token %s is not known here, or its secret is another: %s", id, anew)
	}
	if refusal := judge(token, request, now); refusal != nil {
		return token.Name, first, refusal
	}
	key, err := identity.KeyID(request.Key)
	if err != nil {
		return name, first, err
	}
	if token, err = tokens.Take(ctx, id, key, now); err != nil {
		return name, first, fmt.Errorf("use the token %s: %w", id, err)
	}
	if subtle.ConstantTimeCompare([]byte(token.Key), []byte(key)) != 1 {
		return token.Name, first, refuse(identity.TokenUsed, "the token %s for %s was used at %s, by an agent with another key, and is good once: %s",
			id, token.Name, stamp(token.Used), anew)
	}
	return token.Name, token.Used, nil
}

// judge says why a token whose secret is right is not good for a request.
func judge(token Token, request *identity.Request, now time.Time) *identity.Refusal {
	switch {
	case now.Add(clockSkew).Before(token.Made):
		return refuse(identity.TokenEarly, "the token %s for %s is good from %s on, and the clock of this server says %s: clocks of servers differ",
			token.ID, token.Name, stamp(token.Made), stamp(now))
	case !now.Before(token.Expires):
		return refuse(identity.TokenExpired, "the token %s for %s was good until %s, and the clock of the server says %s: %s",
			token.ID, token.Name, stamp(token.Expires), stamp(now), anew)
	case request.Name != (tunnel.Name{}) && request.Name != token.Name:
		return refuse(identity.WrongName, "the token %s is for %s, and not for %s", token.ID, token.Name, request.Name)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
