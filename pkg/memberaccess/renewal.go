package memberaccess

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// A token is renewed when dueFrom to dueFrom+dueSpread hundredths of its time have passed: whoever else renews it
// most often does so earlier. missedAt is when it is said that it was not.
const dueFrom, dueSpread, missedAt = 70, 10, 85

// maxTokenBytes bounds a token, which a member makes and the host keeps: API servers' are some 1 KiB.
const maxTokenBytes = 16 << 10

// Renewal is a token of a service account that ends, as what its account renews it. It holds the token.
type Renewal struct {
	// Namespace and Account are those of the service account, in the member.
	Namespace, Account string

	token  string
	claims accounts.Claims
}

// RenewalOf returns how the token of a configuration is renewed. The error is a sentence on why nobody renews its credential.
func RenewalOf(config *rest.Config) (Renewal, error) {
	claims, _ := accounts.ReadAnyClaims(config.BearerToken)
	r := Renewal{token: config.BearerToken, claims: claims}
	r.Namespace, r.Account = claims.ServiceAccount()
	switch {
	case config.BearerToken == "":
		return Renewal{}, errors.New("it has no token")
	case r.Account == "":
		return Renewal{}, errors.New("its token is no service account's")
	case claims.Expires.IsZero():
		return Renewal{}, errors.New("its token does not end")
	case claims.PodUID != "":
		return Renewal{}, errors.New("its token is that of a pod, which the kubelet of the pod renews")
	case claims.Issued.IsZero() || !claims.Expires.After(claims.Issued):
		return Renewal{}, errors.New("its token does not say for how long it is good")
	}
	return r, nil
}

// AccountUID is that of the service account; empty if the token does not say.
func (r Renewal) AccountUID() types.UID { return types.UID(r.claims.AccountUID) }

// at is when so many hundredths of its time have passed.
func (r Renewal) at(hundredths uint32) time.Time {
	return r.claims.Issued.Add(r.Lifetime() / 100 * time.Duration(hundredths))
}

// Lifetime is for how long the token was made.
func (r Renewal) Lifetime() time.Duration { return r.claims.Expires.Sub(r.claims.Issued) }

// Due is when the token of a member is to be renewed: the same for whoever asks, and another for each member.
func (r Renewal) Due(member string) time.Time {
	hash := fnv.New32a()
	hash.Write([]byte(member)) // never fails
	return r.at(dueFrom + hash.Sum32()%dueSpread)
}

// Request is what the member is asked for: a token that is as good as this one was.
func (r Renewal) Request() *authenticationv1.TokenRequest {
	seconds := int64(r.Lifetime() / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if r.claims.SecretUID != "" {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{
			Kind: "Secret", APIVersion: "v1", Name: r.claims.SecretName, UID: types.UID(r.claims.SecretUID),
		}
	}
	return request
}

// Check says what is wrong with a token that the member gave in its place: a member is not trusted to know what it does. now is
// by the member's clock. The error holds nothing of either token.
func (r Renewal) Check(token string, now time.Time) error {
	claims, ok := accounts.ReadClaims(token)
	switch {
	case len(token) > maxTokenBytes:
		return fmt.Errorf("the member gave a token of %d bytes, more than %d", len(token), maxTokenBytes)
	case !ok:
		return errors.New("the member gave a token that does not say when it ends")
	case claims.Subject != r.claims.Subject:
		return errors.New("the member gave a token of another account")
	case token == r.token:
		return errors.New("the member gave the same token again")
	case !claims.Expires.After(now):
		return fmt.Errorf("the member gave a token that ended at %s, which is past by its own clock", claims.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// ErrOtherToken says that a Secret has another token than the one that was to be replaced: somebody has renewed it.
var ErrOtherToken = errors.New("the Secret has another token by now")

// Replace returns the Secret with another token in the place of this one, under the key that it is under. It returns
// ErrOtherToken if it is not there.
func (r Renewal) Replace(secret *corev1.Secret, token string) (*corev1.Secret, error) {
	secret = secret.DeepCopy()
	data := secret.Data[v1beta1.KubeconfigKey]
	if len(data) == 0 {
		if string(bytes.TrimSpace(secret.Data[v1beta1.TokenKey])) != r.token {
			return nil, ErrOtherToken
		}
		secret.Data[v1beta1.TokenKey] = []byte(token)
		return secret, nil
	}
	kubeconfig, err := clientcmd.Load(data)
	if err != nil {
		return nil, ErrOtherToken // it is none any more
	}
	current := kubeconfig.Contexts[kubeconfig.CurrentContext]
	if current == nil || kubeconfig.AuthInfos[current.AuthInfo] == nil || strings.TrimSpace(kubeconfig.AuthInfos[current.AuthInfo].Token) != r.token {
		return nil, ErrOtherToken
	}
	kubeconfig.AuthInfos[current.AuthInfo].Token = token
	if secret.Data[v1beta1.KubeconfigKey], err = clientcmd.Write(*kubeconfig); err != nil {
		return nil, fmt.Errorf("write the kubeconfig of Secret %q: %w", secret.Name, err)
	}
	return secret, nil
}
