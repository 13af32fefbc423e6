package federation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// TestWhoWantsANamespaceIsToldOfTheMembersWhereItWasGivenUp: a page may have 10,000 owners.
func TestWhoWantsANamespaceIsToldOfTheMembersWhereItWasGivenUp(t *testing.T) {
	page := func(members ...string) *federationv1alpha1.MemberNamespace {
		p := ownership.NewPage("shop")
		ownership.Claim(p, ownership.NamespaceOwner("shop"), members, metav1.Now())
		return p
	}
	for name, test := range map[string]struct {
		before, page *federationv1alpha1.MemberNamespace
		want         []string
	}{
		"one of three":         {page("m1", "m2", "m3"), page("m1", "m3"), []string{"m2"}},
		"one more is no less":  {page("m1"), page("m1", "m2"), nil},
		"the last one":         {page("m1"), page(), []string{"m1"}},
		"a page that is gone":  {nil, page("m2", "m1"), []string{"m1", "m2"}},
		"a page that is empty": {page(), page(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, givenUp(test.before, test.page)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
