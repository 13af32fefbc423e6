package cellaccess

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/test/simulation"
)

const (
	first  = "cell-rz00a.shop.a"
	second = "cell-rz00a.shop.b"
)

var everything = []string{
	"host/serviceaccounts/cell-rz00a.shop", "host/secrets/" + first, "host/roles/koinon:cell:rz00a", "host/rolebindings/koinon:cell:rz00a",
	"m1/clusterroles/koinon:cell:shop-rz00a", "m1/clusterrolebindings/koinon:cell:shop-rz00a", "m1/rolebindings/koinon:cell:shop-rz00a",
}

func wantUsable(r *rig, access Access, secret string) {
	r.Helper()
	if !access.Usable || access.Refused || access.Condition == nil || access.Condition.Status != metav1.ConditionTrue || access.Spec.SecretRef.Name != secret {
		r.Fatalf("got %+v with the condition %+v, want it usable with the Secret %s", access, access.Condition, secret)
	}
	if !r.good(secret) {
		r.Fatalf("the Secret %s has no token that is good", secret)
	}
}

func TestACellGetsAnAccount(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		if access := r.keeper.Of(cell()); access.Usable || access.Condition != nil {
			t.Errorf("usable before anything is there: %+v", access)
		}
		access := r.after(time.Minute)
		wantUsable(r, access, first)
		want := v1beta1.KubeFedClusterSpec{
			APIEndpoint: "https://koinon.example/apis/federation.koinon.io/v1alpha1/namespaces/shop/cells/rz00a/proxy",
			CABundle:    []byte("CA"), SecretRef: v1beta1.LocalSecretReference{Name: first},
		}
		if diff := cmp.Diff(want, access.Spec); diff != "" {
			t.Errorf("spec (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(everything, r.left()); diff != "" {
			t.Errorf("what is there (-want +got):\n%s", diff)
		}
		rules := r.host.Object(roles, "shop", "koinon:cell:rz00a")["rules"]
		wanted := []any{map[string]any{"apiGroups": []any{"federation.koinon.io"}, "resources": []any{"cells/proxy"}, "resourceNames": []any{"rz00a"},
			"verbs": []any{"get", "create", "update", "patch", "delete"}}}
		if diff := cmp.Diff(wanted, rules); diff != "" {
			t.Errorf("rules of the account (-want +got):\n%s", diff)
		}
		metadata := r.member.Object(simulation.Namespaces, "", "shop-rz00a")["metadata"].(map[string]any)
		marks := map[string]any{"federation.koinon.io/federation": "f1", "federation.koinon.io/owner": "cell/shop/rz00a"}
		if diff := cmp.Diff(marks, metadata["annotations"]); diff != "" || metadata["labels"] != nil && metadata["labels"].(map[string]any)[v1beta1.ManagedLabel] != nil {
			t.Errorf("labels %v; annotations of the namespace (-want +got):\n%s", metadata["labels"], diff)
		}
		subjects := r.member.Object(bindings, "shop-rz00a", "koinon:cell:shop-rz00a")["subjects"]
		who := []any{map[string]any{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "host:system:serviceaccount:kube-federation-system:cell-rz00a.shop"}}
		if diff := cmp.Diff(who, subjects); diff != "" {
			t.Errorf("who has the rights (-want +got):\n%s", diff)
		}
	})
}

func TestARestartAsksNobodyWhereAllIsRight(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.keeper.Of(cell())
		wantUsable(r, r.after(time.Minute), first)
		r.wrote()
		r.start()
		r.set(func() { r.asked = 0 })
		known := cell()
		known.Secret, known.Granted = first, true
		if access := r.keeper.Of(known); access.Spec.SecretRef.Name != first {
			t.Errorf("before anything was looked at: %+v", access)
		}
		wantUsable(r, r.after(time.Second), first)
		if writes := r.wrote(); len(writes) > 0 || r.requests() > 0 {
			t.Errorf("got writes %v, and %d requests to the member", writes, r.requests())
		}
		r.after(3 * time.Hour)
		if writes := r.wrote(); len(writes) > 0 || r.requests() == 0 {
			t.Errorf("within three hours: got writes %v, and %d requests to the member, want some that look", writes, r.requests())
		}
	})
}

func TestTokensAreRotatedWithoutAGap(t *testing.T) {
	for sentence, longest := range map[string]time.Duration{
		"as was asked":          lifetime,
		"the host gives a day":  24 * time.Hour,
		"the host gives little": 10 * time.Minute,
	} {
		t.Run(sentence, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.longest = longest
				r.start()
				r.keeper.Of(cell())
				wantUsable(r, r.after(20*time.Second), first)
				for _, names := range [][2]string{{first, second}, {second, first}} {
					due := r.due(names[0])
					if claims, _, _ := r.claims(names[0]); due.Before(claims.Issued.Add(longest*6/10)) || due.After(claims.Issued.Add(longest*7/10)) {
						t.Fatalf("the token is due %s after it was issued", due.Sub(claims.Issued))
					}
					r.stop()
					time.Sleep(time.Until(due) - 30*time.Second)
					r.start()
					known := cell()
					known.Secret, known.Granted = names[0], true
					r.keeper.Of(known)
					wantUsable(r, r.after(15*time.Second), names[0])
					access := r.after(30 * time.Second)
					wantUsable(r, access, names[1])
					if !r.good(names[0]) {
						t.Error("the old token is good no more, and somebody may still use it")
					}
					wantUsable(r, r.after(min(longest/5, 2*time.Hour)), names[1])
					if r.host.Object(simulation.Secrets, system, names[0]) != nil {
						t.Error("the old Secret is still there")
					}
				}
			})
		})
	}
}

func TestWhoWantsAnotherTokenNowGetsIt(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.keeper.Of(cell())
		wantUsable(r, r.after(time.Minute), first)
		if _, err := r.host.Change(simulation.Secrets, system, first, func(object map[string]any) {
			object["metadata"].(map[string]any)["annotations"].(map[string]any)["federation.koinon.io/rotate"] = "now"
		}); err != nil {
			t.Fatal(err)
		}
		wantUsable(r, r.after(time.Minute), second)
		if !r.good(first) {
			t.Error("the old token is good no more")
		}
		wantUsable(r, r.after(2*time.Hour), second)
		if r.host.Object(simulation.Secrets, system, first) != nil {
			t.Error("the old Secret is still there")
		}
	})
}

func TestWhoDeletesASecretOrAnAccountHasRevokedTheToken(t *testing.T) {
	for sentence, revoke := range map[string]func(r *rig){
		"the Secret":          func(r *rig) { r.host.Remove(simulation.Secrets, system, first) },
		"the service account": func(r *rig) { r.host.Remove(serviceAccounts, system, "cell-rz00a.shop") },
	} {
		t.Run(sentence, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.start()
				r.keeper.Of(cell())
				wantUsable(r, r.after(time.Minute), first)
				revoke(r)
				// The name is another, so that a KubeFed controller reads it.
				wantUsable(r, r.after(time.Minute), second)
				wantUsable(r, r.after(2*time.Hour), second)
				if r.host.Object(simulation.Secrets, system, first) != nil {
					t.Error("the old Secret is there")
				}
				r.host.Remove(simulation.Secrets, system, second)
				wantUsable(r, r.after(time.Minute), first)
			})
		})
	}
}

func TestWhatTheEndpointIsIsFollowed(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.keeper.Of(cell())
		wantUsable(r, r.after(time.Minute), first)
		r.set(func() { r.ca = "another CA" })
		access := r.after(3 * time.Minute)
		wantUsable(r, access, first)
		data := r.host.Object(simulation.Secrets, system, first)["data"].(map[string]any)
		if string(access.Spec.CABundle) != "another CA" || data["ca.crt"] != "YW5vdGhlciBDQQ==" {
			t.Errorf("got the authorities %q, and %v in the Secret", access.Spec.CABundle, data["ca.crt"])
		}
		r.endpoint.URL = "https://elsewhere.example"
		r.start()
		known := cell()
		known.Secret, known.Granted = first, true
		r.keeper.Of(known)
		wantUsable(r, r.after(time.Minute), first)
		annotations := r.host.Object(simulation.Secrets, system, first)["metadata"].(map[string]any)["annotations"].(map[string]any)
		if got := annotations["federation.koinon.io/api-endpoint"].(string); !strings.HasPrefix(got, "https://elsewhere.example/apis/") {
			t.Errorf("the Secret is for %s", got)
		}
	})
}

func TestWhatIsOfACellThatIsGoneIsCollected(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.keeper.Of(cell())
		wantUsable(r, r.after(time.Minute), first)
		r.stop()
		r.set(func() { delete(r.cells, "shop/rz00a") }) // and nobody sees it
		r.put(r.host, simulation.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "m1"}})
		r.start()
		time.Sleep(time.Minute)
		if diff := cmp.Diff(everything[4:], r.left()); diff != "" {
			t.Errorf("what is there (-want +got):\n%s", diff)
		}
		if r.host.Object(simulation.Secrets, system, "m1") == nil {
			t.Error("a Secret of somebody else is gone")
		}
	})
}

func TestACellThatGoesTakesItsAccountAlong(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.keeper.Of(cell())
		wantUsable(r, r.after(time.Minute), first)
		if r.keeper.Drop(cell()) {
			t.Error("gone before anything was removed")
		}
		time.Sleep(time.Minute)
		if !r.keeper.Drop(cell()) || len(r.left()) > 0 {
			t.Errorf("left after a minute: %v", r.left())
		}
		if r.member.Object(simulation.Namespaces, "", "shop-rz00a") == nil {
			t.Error("the namespace is gone")
		}
		// The same cell made again.
		r.keeper.Of(cell())
		wantUsable(r, r.after(time.Minute), first)
	})
}

func TestAMemberThatDoesNotAnswerHoldsNoCell(t *testing.T) {
	for sentence, change := range map[string]func(r *rig){
		"it hangs":            func(r *rig) { r.member.SetFaults(simulation.Fault{Hang: true}) },
		"it is known as away": func(r *rig) { r.set(func() { r.health = membership.Offline }) },
	} {
		t.Run(sentence, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.start()
				r.keeper.Of(cell())
				wantUsable(r, r.after(time.Minute), first)
				change(r)
				r.keeper.Drop(cell())
				time.Sleep(time.Minute)
				if !r.keeper.Drop(cell()) {
					t.Error("the cell is held")
				}
				if diff := cmp.Diff(everything[4:], r.left()); diff != "" {
					t.Errorf("what is there (-want +got):\n%s", diff)
				}
				r.member.SetFaults()
			})
		})
	}
}

func TestAMemberThatIsAwayIsAskedAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.member.SetFaults(simulation.Fault{Code: http.StatusServiceUnavailable})
		r.start()
		r.keeper.Of(cell())
		access := r.after(time.Minute)
		if access.Usable || access.Refused || access.Condition == nil || access.Condition.Reason != "MemberNotReached" {
			t.Errorf("got %+v with %+v", access, access.Condition)
		}
		r.member.SetFaults()
		wantUsable(r, r.after(5*time.Minute), first)
		// What was given stands, as far as is known.
		r.member.SetFaults(simulation.Fault{Code: http.StatusServiceUnavailable})
		wantUsable(r, r.after(5*time.Hour), first)
	})
}

func TestAMemberThatRefusesSaysSoInTheCell(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.set(func() {
			r.inMember = func(w http.ResponseWriter, request *http.Request) bool {
				if request.Method != http.MethodPost || !strings.Contains(request.URL.Path, "rbac.authorization.k8s.io") {
					return false
				}
				answerStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, `clusterroles "koinon:cell:shop-rz00a" is forbidden: user "koinon" is attempting to grant RBAC permissions not currently held`)
				return true
			}
		})
		r.start()
		r.keeper.Of(cell())
		access := r.after(time.Minute)
		want := `member "m1" does not let the federation give the account of the cell its rights, which takes cluster-admin there: clusterroles "koinon:cell:shop-rz00a" is forbidden: user "koinon" is attempting to grant RBAC permissions not currently held`
		if access.Usable || !access.Refused || access.Condition == nil || access.Condition.Reason != "RightsRefused" || access.Condition.Message != want {
			t.Errorf("got %+v with %+v", access, access.Condition)
		}
		r.set(func() { r.inMember = nil })
		wantUsable(r, r.after(15*time.Minute), first)
	})
}

func TestAHostThatRefusesSaysSoInTheCell(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.set(func() { r.refuse["serviceaccounts"] = true })
		r.start()
		r.keeper.Of(cell())
		access := r.after(time.Minute)
		want := `the account of the cell has no token: make the service account "cell-rz00a.shop": you may not`
		if access.Usable || access.Condition == nil || access.Condition.Reason != "NoCredential" || access.Condition.Message != want {
			t.Errorf("got %+v with %+v", access, access.Condition)
		}
		if writes := r.wrote(); len(writes) > 2 {
			t.Errorf("within a minute it was tried %d times", len(writes))
		}
		r.set(func() { r.refuse = map[string]bool{} })
		wantUsable(r, r.after(15*time.Minute), first)
	})
}

// TestACellIsNotHeldByAHostThatShowsNoAccounts: with the manifests of an earlier release caches are never
// filled, and nobody runs.
func TestACellIsNotHeldByAHostThatShowsNoAccounts(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.stop()
		access := r.keeper.Of(cell())
		if access.Usable || access.Refused || access.Condition != nil || access.Spec.SecretRef.Name != first {
			t.Errorf("got %+v", access)
		}
		if !r.keeper.Drop(cell()) {
			t.Error("the cell is held")
		}
	})
}

func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	for name, test := range map[string]struct {
		put  func(r *rig)
		want string
	}{
		"a service account": {func(r *rig) {
			r.put(r.host, serviceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "cell-rz00a.shop"}})
		}, `service account "cell-rz00a.shop" of namespace "kube-federation-system" is in the way`},
		"a Secret": {func(r *rig) {
			r.put(r.host, simulation.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: first}})
		}, `Secret "cell-rz00a.shop.a" of namespace "kube-federation-system" is in the way`},
		"a role": {func(r *rig) {
			r.put(r.host, roles, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "koinon:cell:rz00a"}})
		}, `role "koinon:cell:rz00a" of namespace "shop": another object of that name is in the way`},
		"a role in the member": {func(r *rig) {
			r.put(r.member, clusterRoles, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "koinon:cell:shop-rz00a"}})
		}, `the ClusterRole "koinon:cell:shop-rz00a" there was not made by a federation; somebody has to delete it`},
		"the namespace": {func(r *rig) {
			r.put(r.member, simulation.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop-rz00a", Annotations: ownership.Marks("f2", cell().owner())}})
		}, `the annotation federation.koinon.io/federation says that it belongs to another federation`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				test.put(r)
				before := r.left()
				r.start()
				r.keeper.Of(cell())
				access := r.after(time.Minute)
				if access.Usable || access.Condition == nil || !strings.Contains(access.Condition.Message, test.want) {
					t.Errorf("got %+v with %+v, want %q", access, access.Condition, test.want)
				}
				r.keeper.Drop(cell())
				time.Sleep(time.Minute)
				if diff := cmp.Diff(before, r.left()); diff != "" {
					t.Errorf("what is there (-before +after):\n%s", diff)
				}
			})
		})
	}
}

func TestTheNextOwnerOfANamespaceReplacesWhatIsLeft(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.put(r.member, simulation.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop-rz00a"}})
		meta := metav1.ObjectMeta{Name: "koinon:cell:shop-rz00a", Namespace: "shop-rz00a", Annotations: ownership.Marks("f0", ownership.UnitOwner("cell", "bank", "b"))}
		r.put(r.member, bindings, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "host:system:serviceaccount:kube-federation-system:cell-b.bank"}}})
		r.start()
		r.keeper.Of(cell())
		wantUsable(r, r.after(time.Minute), first)
		binding := r.member.Object(bindings, "shop-rz00a", "koinon:cell:shop-rz00a")
		subjects := binding["subjects"].([]any)
		if len(subjects) != 1 || !strings.HasSuffix(subjects[0].(map[string]any)["name"].(string), ":cell-rz00a.shop") || binding["roleRef"].(map[string]any)["name"] != "cluster-admin" {
			t.Errorf("got %v", binding)
		}
	})
}

func TestDriftIsRepaired(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.keeper.Of(cell())
		wantUsable(r, r.after(time.Minute), first)
		r.host.Remove(bindings, "shop", "koinon:cell:rz00a")
		r.member.Remove(clusterBindings, "", "koinon:cell:shop-rz00a")
		if _, err := r.member.Change(clusterRoles, "", "koinon:cell:shop-rz00a", func(object map[string]any) { object["rules"] = []any{} }); err != nil {
			t.Fatal(err)
		}
		wantUsable(r, r.after(3*time.Hour), first)
		if diff := cmp.Diff(everything, r.left()); diff != "" || len(r.member.Object(clusterRoles, "", "koinon:cell:shop-rz00a")["rules"].([]any)) != 1 {
			t.Errorf("what is there (-want +got):\n%s", diff)
		}
	})
}

func TestWhereOurEnginePropagatesNothingIsMadeBeforeTheNamespaceIsSeen(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.other = false
		r.start()
		r.keeper.Of(cell())
		access := r.after(time.Hour / 2)
		if r.requests() > 0 || access.Condition != nil || access.Spec.SecretRef.Name != first || len(r.left()) > 0 {
			t.Errorf("%d requests to the member; got %+v with %+v, and %v", r.requests(), access, access.Condition, r.left())
		}
		r.put(r.member, simulation.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "shop-rz00a", Labels: map[string]string{v1beta1.ManagedLabel: "true"}, Annotations: ownership.Marks("f1", cell().owner()),
		}})
		r.conn.Watch(memberclient.Type{Resource: namespaceResource, Kind: "Namespace"}, memberclient.Keep{})
		time.Sleep(time.Minute)
		r.keeper.NamespaceSeen("m1", "shop-rz00a")
		wantUsable(r, r.after(time.Minute), first)
	})
}

func TestNothingIsGivenInANamespaceThatIsSomebodyElses(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.holders[place("m1", "shop-rz00a")] = ownership.NamespaceOwner("shop-rz00a")
		r.start()
		r.keeper.Of(cell())
		if access := r.after(time.Minute); access.Usable || r.requests() > 0 {
			t.Errorf("got %+v after %d requests to the member", access, r.requests())
		}
	})
}

func TestTokensThatDoNotLastAreMadeLaterAndLater(t *testing.T) {
	strip := func(r *rig) {
		for _, name := range []string{first, second} {
			secret := r.host.Object(simulation.Secrets, system, name)
			if data, _ := secret["data"].(map[string]any); data["token"] != nil {
				delete(data, "token")
				if err := r.host.Put(simulation.Secrets, secret); err != nil {
					r.Fatal(err)
				}
			}
		}
	}
	for sentence, test := range map[string]struct {
		behind time.Duration
		often  func(r *rig)
		usable bool
	}{
		"the host's clock is behind, so that they are due at once":     {50 * time.Minute, func(*rig) {}, true},
		"the host's clock is behind, so that they have expired":        {2 * time.Hour, func(*rig) {}, false},
		"somebody else takes them out of the Secrets as they are made": {0, strip, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.set(func() { r.longest, r.behind = time.Hour, test.behind })
				r.start()
				r.keeper.Of(cell())
				for range 600 {
					time.Sleep(100 * time.Millisecond)
					test.often(r)
				}
				access := r.after(0)
				if test.usable {
					wantUsable(r, access, access.Spec.SecretRef.Name)
				} else if access.Condition == nil || access.Condition.Reason != "NoCredential" || !strings.Contains(access.Condition.Message, "soon after they were made") {
					t.Errorf("got %+v", access.Condition)
				}
				if r.tokens > 6 {
					t.Errorf("%d tokens were made in a minute", r.tokens)
				}
				r.set(func() { r.behind = 0 })
				access = r.after(15 * time.Minute)
				wantUsable(r, access, access.Spec.SecretRef.Name)
				before := r.tokens
				if time.Sleep(15 * time.Minute); r.tokens != before {
					t.Errorf("more tokens are made where all is right: %d", r.tokens-before)
				}
			})
		})
	}
}

// numbered is a cell of m1 by its number.
func numbered(r *rig, i int) Cell {
	c := Named("shop", fmt.Sprintf("n%d", i))
	c.Member, c.MemberNamespace = "m1", "shop-"+c.Name
	r.set(func() { r.cells[c.String()], r.holders[place(c.Member, c.MemberNamespace)] = true, c.owner() })
	return c
}

func TestCellsOfOneMemberWaitForEachOtherOnly(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		var cells []Cell
		for i := range 200 {
			cells = append(cells, numbered(r, i))
			r.keeper.Of(cells[i])
		}
		time.Sleep(20 * time.Second) // 1,600 requests, of which the member is sent 200 per second
		for _, c := range cells {
			if access := r.keeper.Of(c); !access.Usable {
				t.Fatalf("%s: %+v", c, access.Condition)
			}
		}
	})
}

func TestMembersThatDoNotAnswerHoldUpNoOther(t *testing.T) {
	inBubble(t, func(r *rig) {
		config := r.member.InProcess()
		config.Transport = simulation.InProcess(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() }))
		var err error
		if r.hanging, err = memberclient.NewConn(r.Context(), config, func(schema.GroupVersionResource, memberclient.Event) {}); err != nil {
			t.Fatal(err)
		}
		defer r.hanging.Close()
		r.start()
		for i := range 100 {
			c := numbered(r, i)
			c.Member = fmt.Sprintf("away%d", i)
			r.set(func() { r.holders[place(c.Member, c.MemberNamespace)] = c.owner() })
			r.keeper.Of(c)
		}
		time.Sleep(5 * time.Minute)
		r.keeper.Of(cell())
		wantUsable(r, r.after(15*time.Second), first)
	})
}

func TestCellsThatGoDoNotWaitForAMemberOneByOne(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		var cells []Cell
		for i := range 100 {
			cells = append(cells, numbered(r, i))
			r.keeper.Of(cells[i])
		}
		time.Sleep(time.Minute)
		r.member.SetFaults(simulation.Fault{Hang: true})
		for _, c := range cells {
			r.keeper.Drop(c)
		}
		time.Sleep(leaveTimeout + 15*time.Second)
		for _, c := range cells {
			if !r.keeper.Drop(c) {
				t.Fatalf("%s is held", c)
			}
		}
		r.member.SetFaults()
	})
}
