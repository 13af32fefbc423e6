package agentaccess

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
)

const system = "system"

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func newToken(t *testing.T, lifetime time.Duration) (string, authority.Token) {
	t.Helper()
	text, token, err := authority.NewToken(tunnel.Name{Cluster: "m1"}, now, lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return text, token
}

func TestASecretHoldsNoTokenThatCouldBeUsed(t *testing.T) {
	client := fake.NewClientset()
	text, token := newToken(t, time.Hour)
	if err := NewTokens(client.CoreV1().Secrets(system)).Add(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	kept, err := client.CoreV1().Secrets(system).Get(t.Context(), "agent-token-"+token.ID, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(text, ".")
	if kept.Type != TokenType || strings.Contains(kept.String(), secret) {
		t.Errorf("got %s", kept)
	}
}

func TestTokensThatExpiredADayAgoAreDeletedAndNothingElseIs(t *testing.T) {
	client := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "other", Labels: map[string]string{tokenLabel: ""}}})
	tokens := NewTokens(client.CoreV1().Secrets(system))
	_, old := newToken(t, time.Minute)
	_, young := newToken(t, time.Hour)
	for _, token := range []authority.Token{old, young} {
		if err := tokens.Add(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if err := tokens.Collect(t.Context(), now.Add(24*time.Hour+2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Get(t.Context(), old.ID); !errors.Is(err, authority.ErrNoToken) {
		t.Errorf("the old one: got %v", err)
	}
	if _, err := tokens.Get(t.Context(), young.ID); err != nil {
		t.Error(err)
	}
	if _, err := client.CoreV1().Secrets(system).Get(t.Context(), "other", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestASecretThatIsNoTokenIsNotUsedAsOne(t *testing.T) {
	_, token := newToken(t, time.Hour)
	for what, change := range map[string]func(*corev1.Secret){
		"its type is another":  func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque },
		"it has no hash":       func(s *corev1.Secret) { delete(s.Data, hashKey) },
		"its hash is short":    func(s *corev1.Secret) { s.Data[hashKey] = s.Data[hashKey][:10] },
		"it names no cluster":  func(s *corev1.Secret) { delete(s.Data, clusterKey) },
		"it does not expire":   func(s *corev1.Secret) { delete(s.Data, expiresKey) },
		"its time is no time":  func(s *corev1.Secret) { s.Data[madeKey] = []byte("today") },
		"its name has slashes": func(s *corev1.Secret) { s.Data[clusterKey] = []byte("m1/nodes/n1") },
	} {
		secret := tokenSecret(token)
		secret.Namespace = system
		change(secret)
		tokens := NewTokens(fake.NewClientset(secret).CoreV1().Secrets(system))
		if got, err := tokens.Take(t.Context(), token.ID, "key", now); err == nil {
			t.Errorf("%s: got %+v", what, got)
		}
	}
}
