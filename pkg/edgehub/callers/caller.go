package callers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
)

// Caller is who makes a request.
type Caller struct {
	// Local is a program of the node itself.
	Local bool
	// User is who the API server says that he is; empty of Local.
	User authenticationv1.UserInfo
	// Token is what he has shown; empty of Local.
	Token string
}

var (
	// ErrNobody: the token is nobody's, or there is none. Another one has to be shown.
	ErrNobody = errors.New("the token is not one that the API server knows")
	// ErrAway: only the API server could say, and it is away. It may be asked again.
	ErrAway = errors.New("only the API server could say, and it is away")
)

type contextKey struct{}

// With returns a context that has a caller.
func With(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From returns the caller that a context has, nil if nobody is known.
func From(ctx context.Context) *Caller {
	c, _ := ctx.Value(contextKey{}).(*Caller)
	return c
}

// BearerToken returns the token of a request, empty if there is none. It is what API servers take for it: what is between the first blank and the second.
func BearerToken(r *http.Request) string {
	parts := strings.SplitN(strings.TrimSpace(r.Header.Get("Authorization")), " ", 3)
	if len(parts) < 2 || !strings.EqualFold(parts[0], "bearer") {
		return ""
	}
	return parts[1]
}

// ServiceAccount returns who a service account is.
func ServiceAccount(namespace, name string) authenticationv1.UserInfo {
	return authenticationv1.UserInfo{
		Username: fmt.Sprintf("system:serviceaccount:%s:%s", namespace, name),
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
}

// sameUser reports whether two are the same, as far as rights depend on it.
func sameUser(a, b *authenticationv1.UserInfo) bool { return Key(a) == Key(b) }

// Key names a user by all that his rights depend on: who has the name, and other groups or scopes, is another one.
func Key(user *authenticationv1.UserInfo) string {
	text, _ := json.Marshal(authenticationv1.UserInfo{Username: user.Username, Groups: user.Groups, Extra: bearing(user.Extra)}) // of strings: never fails
	sum := sha256.Sum256(text)
	return "user:" + hex.EncodeToString(sum[:])
}

// ofTokens is what the names begin with of what Kubernetes says of a service account's token: it is new with each token, and rights do not depend on it.
const ofTokens = "authentication.kubernetes.io/"

// bearing is what is known of a user beside his name and groups, and bears on his rights, such as the scopes of a token; nil for nothing.
func bearing[V ~[]string](extra map[string]V) map[string]V {
	bears := maps.Clone(extra)
	maps.DeleteFunc(bears, func(name string, _ V) bool { return strings.HasPrefix(name, ofTokens) })
	if len(bears) == 0 {
		return nil
	}
	return bears
}
