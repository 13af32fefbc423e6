package accounts_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
)

func TestAccountsAreToldByTheirNames(t *testing.T) {
	const system = "kube-federation-system"
	for user, want := range map[string][2]string{
		accounts.UserName(system, "shop", "rz00a"):                       {"shop", "rz00a"},
		"system:serviceaccount:kube-federation-system:cell-rz00a.shop":   {"shop", "rz00a"},
		"system:serviceaccount:kube-federation-system:koinon":            {},
		"system:serviceaccount:kube-federation-system:cell-rz00a":        {},
		"system:serviceaccount:kube-federation-system:cell-u.s.edgeunit": {},
		"system:serviceaccount:shop:cell-rz00a.shop":                     {},
		"cell-rz00a.shop": {},
	} {
		namespace, cell, ok := accounts.CellOf(system, user)
		if ok != (want != [2]string{}) || ok && [2]string{namespace, cell} != want {
			t.Errorf("%s: got %q %q %v, want %q", user, namespace, cell, ok, want)
		}
	}
}

func TestNoTwoCellsShareAName(t *testing.T) {
	seen := map[string]string{}
	for _, cell := range [][2]string{{"shop", "rz00a"}, {"shop", "rz00a-a"}, {"a", "shop"}, {"b", "shop"}, {"shop-a", "rz00a"}, {"a", "a"}, {"a", "b"}} {
		secrets := accounts.SecretNames(cell[0], cell[1])
		for _, name := range []string{accounts.Name(cell[0], cell[1]), secrets[0], secrets[1]} {
			if other, ok := seen[name]; ok {
				t.Errorf("%s is the name of something of %v and of %s", name, cell, other)
			}
			seen[name] = cell[0] + "/" + cell[1]
			if faults := validation.NameIsDNSSubdomain(name, false); len(faults) > 0 {
				t.Errorf("%s: %v", name, faults)
			}
		}
	}
}

func TestInMembersNobodyIsSomebodyElse(t *testing.T) {
	for name, want := range map[string]string{
		"alice": "alice", "system:masters": "host:system:masters", "kubeadm:cluster-admins": "host:kubeadm:cluster-admins", "host:system:masters": "host:host:system:masters",
	} {
		if got := accounts.InMembers(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestClaims(t *testing.T) {
	token := func(payload string) string {
		return "h." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".s"
	}
	got, ok := accounts.ReadClaims(token(`{"jti":"id","iat":1000,"exp":4600,"kubernetes.io":{"serviceaccount":{"name":"n","uid":"account"},"secret":{"name":"n","uid":"secret"}}}`))
	want := accounts.Claims{ID: "id", Issued: time.Unix(1000, 0), Expires: time.Unix(4600, 0), AccountUID: "account", SecretName: "n", SecretUID: "secret"}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("got %v (-want +got):\n%s", ok, diff)
	}
	for sentence, token := range map[string]string{
		"nothing": "", "a bare token": "sesame", "no base64": "h.%.s", "no JSON": token("x"), "no expiry": token(`{"iat":1000}`), "four parts": token(`{"exp":1}`) + ".x",
	} {
		if got, ok := accounts.ReadClaims(token); ok {
			t.Errorf("%s: got %v", sentence, got)
		}
	}
}
