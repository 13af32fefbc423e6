package app

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/host"
)

// The host knows nothing of federated kinds but the name of the one that it encrypts.
func TestWhatIsEncryptedIsWhatSecretsAreFederatedUnder(t *testing.T) {
	if want := (schema.GroupResource{Group: v1beta1.FederatedGroup, Resource: v1beta1.FederatedSecrets}); host.FederatedSecrets != want {
		t.Errorf("%s is encrypted, and Secrets are federated as %s", host.FederatedSecrets, want)
	}
}
