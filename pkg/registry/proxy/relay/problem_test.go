package relay

import (
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// What an agent says names addresses of the member's network: users of a cell do not see it. Nothing was sent, so that a write may be
// sent again.
func TestWhatAnAgentSaysIsForWhoSeesTheMember(t *testing.T) {
	err := memberaccess.NotDialed("its agent cannot connect to the API server there: the agent does not find api.internal")
	for reticent, want := range map[bool]string{
		false: `cluster "m1" does not answer: its agent cannot connect to the API server there: the agent does not find api.internal`,
		true:  `cluster "m1" does not answer`,
	} {
		got := problem("m1", http.MethodPost, err, reticent)
		if got.Error() != want || !apierrors.IsServiceUnavailable(got) {
			t.Errorf("reticent %t: got %v, want %s", reticent, got, want)
		}
		if seconds, again := apierrors.SuggestsClientDelay(got); !again || seconds != retrySeconds {
			t.Errorf("reticent %t: Retry-After is %d, %t", reticent, seconds, again)
		}
	}
}
