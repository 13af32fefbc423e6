package kubefedcluster

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// onlyRoot may do everything, and nobody else anything.
func onlyRoot(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetUser().GetName() == "root" && a.GetVerb() == "escalate" && a.GetResource() == "kubefedclusters" && a.GetName() == "m1" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func TestWhoOpensASystemNamespaceOfAMemberMayEscalate(t *testing.T) {
	clusters := &REST{authorizer: authorizer.AuthorizerFunc(onlyRoot)}
	for name, test := range map[string]struct {
		before, after []string
		refused       string
	}{
		"none":           {},
		"a new one":      {nil, []string{"koinon-system"}, "koinon-system"},
		"one more":       {[]string{"default"}, []string{"default", "kube-system"}, "kube-system"},
		"as before":      {[]string{"default", "kube-system"}, []string{"kube-system", "default"}, ""},
		"one less":       {[]string{"default", "kube-system"}, []string{"default"}, ""},
		"another write":  {[]string{"default"}, []string{"default"}, ""},
		"instead of one": {[]string{"default"}, []string{"fleet"}, "fleet"},
	} {
		t.Run(name, func(t *testing.T) {
			old, now := stored(), stored()
			old.Spec.AllowedSystemNamespaces, now.Spec.AllowedSystemNamespaces = test.before, test.after
			as := func(who string) error {
				ctx := genericapirequest.WithUser(t.Context(), &user.DefaultInfo{Name: who})
				if test.before == nil {
					return clusters.creates(nil)(ctx, now)
				}
				return clusters.updates(nil)(ctx, now, old)
			}
			if err := as("root"); err != nil {
				t.Errorf("who may was refused: %v", err)
			}
			err := as("carl")
			if test.refused == "" && err != nil || test.refused != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "spec: to open "+test.refused+",")) {
				t.Errorf("who may not got %v", err)
			}
			if err := clusters.updates(nil)(t.Context(), now, old); err != nil {
				t.Errorf("the process itself was refused: %v", err)
			}
		})
	}
}

// Behind a client certificate nothing else says where the join account is.
func TestWhoHidesTheJoinAccountsNamespaceMayEscalate(t *testing.T) {
	clusters := &REST{authorizer: authorizer.AuthorizerFunc(onlyRoot)}
	old, named, hidden, moved := stored(), stored(), stored(), stored()
	old.Spec.JoinNamespace, named.Spec.JoinNamespace, moved.Spec.JoinNamespace = "fleet", "fleet", "elsewhere"
	ctx := genericapirequest.WithUser(t.Context(), &user.DefaultInfo{Name: "carl"})
	if err := clusters.updates(nil)(ctx, named, old); err != nil {
		t.Errorf("a write that leaves it: %v", err)
	}
	if err := clusters.updates(nil)(ctx, named, stored()); err != nil {
		t.Errorf("who names it closes it: %v", err)
	}
	for name, changed := range map[string]*v1beta1.KubeFedCluster{"taken away": hidden, "another": moved} {
		if err := clusters.updates(nil)(ctx, changed, old); !apierrors.IsForbidden(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
