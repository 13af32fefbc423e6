package apiserver

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/fake"
)

func TestATokenWhoseSecretIsGoneIsRevoked(t *testing.T) {
	ctx := t.Context()
	secret := func(name, id string) *corev1.Secret {
		payload := fmt.Sprintf(`{"jti":%q,"iat":%d,"exp":%d}`, id, time.Now().Unix(), time.Now().Add(time.Hour).Unix())
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "sys", Name: name, Labels: map[string]string{"federation.koinon.io/account": "cell"}},
			Data: map[string][]byte{"token": []byte("h." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".s")}}
	}
	host := fake.NewClientset(secret("cell-a.shop.a", "one"), secret("cell-a.shop.b", "two"))
	tokens, err := newCellTokens(host, "sys")
	if err != nil {
		t.Fatal(err)
	}
	go tokens.run(ctx) // ends with the test
	with := func(id string) user.Info {
		return &user.DefaultInfo{Name: "system:serviceaccount:sys:cell-a.shop", Extra: map[string][]string{credentialID: {"JTI=" + id}}}
	}
	if _, _, is := tokens.Account(&user.DefaultInfo{Name: "alice"}); is || tokens.secrets.HasSynced() {
		t.Error("Secrets are read although no account is used")
	}
	if namespace, cell, is := tokens.Account(with("one")); namespace != "shop" || cell != "a" || !is {
		t.Errorf("got %s %s %v", namespace, cell, is)
	}
	await := func(what string, is func() bool) {
		t.Helper()
		for began := time.Now(); !is(); time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatal(what)
			}
		}
	}
	await("the Secrets are not read", tokens.secrets.HasSynced)
	if err := host.CoreV1().Secrets("sys").Delete(ctx, "cell-a.shop.a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await("the token of a Secret that is gone is good", func() bool { return apierrors.IsUnauthorized(tokens.Revoked("shop", "a", with("one"))) })
	if _, err := host.CoreV1().Secrets("sys").Update(ctx, secret("cell-a.shop.b", "three"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await("a token that was replaced is good", func() bool { return apierrors.IsUnauthorized(tokens.Revoked("shop", "a", with("two"))) })
	for _, caller := range []user.Info{with("three"), with("made by hand"), &user.DefaultInfo{Name: "of a host that does not say"}} {
		if err := tokens.Revoked("shop", "a", caller); err != nil {
			t.Errorf("%v: %v", caller.GetExtra(), err)
		}
	}
}
