package membership

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/memberaccess"
)

func TestWhyATokenIsNotRenewedIsSaid(t *testing.T) {
	accounts := schema.GroupResource{Resource: "serviceaccounts"}
	token := &renewing{Renewal: memberaccess.Renewal{Namespace: "koinon-system", Account: "koinon"}}
	for name, c := range map[string]struct {
		answer error
		want   string
	}{
		"the token is of no use any more": {apierrors.NewUnauthorized("no"), "the member refuses this token (401 Unauthorized): it has ended, or its account is gone"},
		"the right is missing": {apierrors.NewForbidden(accounts, "koinon", errors.New("no")),
			"the account koinon-system/koinon may not make tokens of itself there (create serviceaccounts/token, 403 Forbidden)"},
		"the account is gone": {apierrors.NewNotFound(accounts, "koinon"), "the member has no service account koinon-system/koinon, or no way to make tokens (404 Not Found)"},
		"something else":      {errors.New("no room"), "the member makes none: no room"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := notRenewed(c.answer, token).Error(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
