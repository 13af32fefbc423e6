package memberaccess

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// issued is when tokens of these tests were made.
var issued = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func tokenOf(t *testing.T, subject string, lifetime time.Duration, more map[string]any) string {
	t.Helper()
	claims := map[string]any{"sub": subject, "iat": issued.Unix(), "kubernetes.io": more}
	if lifetime != 0 {
		claims["exp"] = issued.Add(lifetime).Unix()
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".c2ln"
}

const subject = "system:serviceaccount:koinon-system:koinon"

func TestTokensThatAreRenewed(t *testing.T) {
	bound := map[string]any{"uid": "u", "name": "n"}
	for name, test := range map[string]struct {
		token, want string
	}{
		"a service account's that ends":                    {tokenOf(t, subject, time.Hour, nil), ""},
		"one that is bound to a Secret":                    {tokenOf(t, subject, time.Hour, map[string]any{"secret": bound}), ""},
		"one that does not end needs none":                 {tokenOf(t, subject, 0, nil), "its token does not end"},
		"one that ends as it is made":                      {tokenOf(t, subject, -time.Hour, nil), "its token does not say for how long it is good"},
		"one of a pod, which the kubelet renews":           {tokenOf(t, subject, time.Hour, map[string]any{"pod": bound}), "its token is that of a pod, which the kubelet of the pod renews"},
		"a person's, of an identity provider":              {tokenOf(t, "alice", time.Hour, nil), "its token is no service account's"},
		"what says nothing":                                {"opaque", "its token is no service account's"},
		"none: a client certificate":                       {"", "it has no token"},
		"a service account's of which no name can be read": {tokenOf(t, "system:serviceaccount:koinon-system", time.Hour, nil), "its token is no service account's"},
	} {
		said := ""
		if _, err := RenewalOf(&rest.Config{BearerToken: test.token}); err != nil {
			said = err.Error()
		}
		if said != test.want {
			t.Errorf("%s: it is not renewed since %q, want %q", name, said, test.want)
		}
	}
}

func TestATokenIsAskedForAsTheOldOneWas(t *testing.T) {
	r, _ := RenewalOf(&rest.Config{BearerToken: tokenOf(t, subject, 30*time.Hour, map[string]any{"secret": map[string]any{"uid": "u", "name": "n"}})})
	spec := r.Request().Spec
	if *spec.ExpirationSeconds != 30*60*60 || spec.BoundObjectRef == nil || spec.BoundObjectRef.Kind != "Secret" || spec.BoundObjectRef.Name != "n" || spec.BoundObjectRef.UID != "u" {
		t.Errorf("got %+v", spec)
	}
	for _, member := range []string{"m1", "m2", "a-third"} {
		if due := r.Due(member).Sub(issued); due < 21*time.Hour || due >= 24*time.Hour {
			t.Errorf("the token of %s is due after %s, want 70 to 80 hundredths of 30h", member, due)
		}
	}
}

func TestWhatAMemberGivesInThePlaceOfATokenIsChecked(t *testing.T) {
	old := tokenOf(t, subject, time.Hour, nil)
	r, _ := RenewalOf(&rest.Config{BearerToken: old})
	now := issued.Add(45 * time.Minute)
	for token, want := range map[string]string{
		tokenOf(t, subject, 2*time.Hour, nil):                                   "",
		tokenOf(t, "system:serviceaccount:kube-system:admin", 2*time.Hour, nil): "of another account",
		tokenOf(t, subject, 0, nil):                                             "does not say when it ends",
		"opaque":                                                                "does not say when it ends",
		old:                                                                     "the same token",
		tokenOf(t, subject, time.Minute, nil):                                   "ended at 2026-01-01T00:01:00Z",
		tokenOf(t, subject, time.Hour, map[string]any{"x": strings.Repeat("x", 1<<20)}): "bytes, more than 16384",
	} {
		err := r.Check(token, now)
		if (err != nil) != (want != "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestATokenIsReplacedWhereItIs(t *testing.T) {
	old := tokenOf(t, subject, time.Hour, nil)
	r, _ := RenewalOf(&rest.Config{BearerToken: old})
	const kubeconfig = `{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],
		clusters: [{name: c, cluster: {server: "https://x", tls-server-name: other}}], users: [{name: v, user: {token: another}}, {name: u, user: {token: TOKEN}}]}`
	secretOf := func(key, text string) *corev1.Secret {
		return &corev1.Secret{Data: map[string][]byte{key: []byte(text), "more": []byte("stays")}}
	}
	for name, secret := range map[string]*corev1.Secret{
		"a token":                          secretOf(v1beta1.TokenKey, old+"\n"),
		"the current user of a kubeconfig": secretOf(v1beta1.KubeconfigKey, strings.Replace(kubeconfig, "TOKEN", old, 1)),
	} {
		got, err := r.Replace(secret, "new")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var all string
		for _, data := range got.Data {
			all += string(data)
		}
		if strings.Contains(all, old) || !strings.Contains(all, "new") || !strings.Contains(all, "stays") {
			t.Errorf("%s: got %s", name, all)
		}
		if strings.Contains(kubeconfig, "another") && len(got.Data[v1beta1.KubeconfigKey]) > 0 && (!strings.Contains(all, "another") || !strings.Contains(all, "other")) {
			t.Errorf("%s: what else was in it is gone: %s", name, all)
		}
	}
	for name, secret := range map[string]*corev1.Secret{
		"another token":                  secretOf(v1beta1.TokenKey, "x"),
		"nothing":                        {},
		"a kubeconfig with another":      secretOf(v1beta1.KubeconfigKey, kubeconfig),
		"what is no kubeconfig any more": secretOf(v1beta1.KubeconfigKey, "{"),
	} {
		if _, err := r.Replace(secret, "new"); !errors.Is(err, ErrOtherToken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A token that is renewed is near its end only once it should have been renewed: one of an hour would always be.
func TestATokenThatIsRenewedIsNearItsEndOnceItShouldHaveBeen(t *testing.T) {
	for name, test := range map[string]struct {
		subject  string
		lifetime time.Duration
		after    time.Duration
		want     bool
	}{
		"renewed, of an hour, as it is due":             {subject, time.Hour, 50 * time.Minute, false},
		"renewed, of an hour, later":                    {subject, time.Hour, 51 * time.Minute, true},
		"renewed, of a year, two months before its end": {subject, 8760 * time.Hour, 7400 * time.Hour, false},
		"not renewed, of an hour":                       {"alice", time.Hour, 0, true},
		"not renewed, of a month, in its first week":    {"alice", 720 * time.Hour, 168 * time.Hour, false},
		"not renewed, of a month, in its last weeks":    {"alice", 720 * time.Hour, 400 * time.Hour, true},
	} {
		endings := Endings(&rest.Config{BearerToken: tokenOf(t, test.subject, test.lifetime, nil)})
		if len(endings) != 1 || endings[0].Kind != EndingToken || endings[0].Near(issued.Add(test.after)) != test.want {
			t.Errorf("%s: got %+v, want that it is near: %v", name, endings, test.want)
		}
	}
}
