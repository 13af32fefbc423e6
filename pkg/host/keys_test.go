package host

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/value"
)

// service encrypts nothing, and may be away.
type service struct {
	value.Transformer
	healthz.HealthChecker
}

func (service) TransformerForResource(schema.GroupResource) value.Transformer { return nil }

func (service) TransformToStorage(context.Context, []byte, value.Context) ([]byte, error) {
	return nil, errors.New("got unexpected nil transformer")
}

func TestAnErrorOfEncryptionSaysWhatIsWrongWithTheKeys(t *testing.T) {
	var away error
	of := service{HealthChecker: healthz.NamedCheck(KeysCheck, func(*http.Request) error { return away })}
	server := &genericapiserver.Config{ResourceTransformers: of}
	keys := &Keys{}
	if got := keys.Problem(); got != "" {
		t.Errorf("before a server has told it, it says %q", got)
	}
	Storage{Keys: keys}.ApplyTo(server)
	if len(server.ReadyzChecks) != 1 || len(server.HealthzChecks) != 1 || len(server.LivezChecks) != 0 {
		t.Errorf("keys are in %d checks of /readyz, %d of /healthz and %d of /livez", len(server.ReadyzChecks), len(server.HealthzChecks), len(server.LivezChecks))
	}
	getter := Storage{Keys: keys}.wrap(generic.RESTOptions{StorageConfig: &storagebackend.ConfigForResource{Config: storagebackend.Config{Transformer: of}}})
	options, err := getter.GetRESTOptions(schema.GroupResource{Resource: "secrets"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	write := func() string {
		_, err := options.StorageConfig.Transformer.TransformToStorage(t.Context(), nil, nil)
		return err.Error()
	}
	if got := write(); got != "got unexpected nil transformer" {
		t.Errorf("with keys that are there the error is %q", got)
	}
	away = errors.New(`kms-provider-0: rpc error: code = DeadlineExceeded desc = latest balancer error: connection error: desc = "transport: Error while dialing: dial unix /kms.sock: connect: no such file or directory"`)
	const want = "the key management service that --encryption-provider-config names does not answer as it should: Error while dialing: dial unix /kms.sock: connect: no such file or directory; "
	if got := write(); !strings.HasPrefix(got, want) || keys.Problem() != got {
		t.Errorf("without keys the error is %q, want %q", got, want)
	}
}
