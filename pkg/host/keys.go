package host

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/storage/value"
)

// Keys knows whether what an EncryptionConfiguration names can encrypt. With a key management
// service (KMS) the keys are another process's. The zero value knows of no trouble; a server whose Storage has it tells it
// more. It may be used concurrently.
type Keys struct {
	checker atomic.Pointer[healthz.HealthChecker]
}

// KeysCheck is the name of its line in /readyz.
const KeysCheck = "kms-providers"

// Problem is a sentence on why nothing can be encrypted; empty if it can. It asks the service, unless that was asked some
// seconds ago.
func (k *Keys) Problem() string {
	checker := k.checker.Load()
	if checker == nil {
		return ""
	}
	err := (*checker).Check(&http.Request{})
	if err == nil {
		return ""
	}
	return "the key management service that --encryption-provider-config names does not answer as it should: " + cause(err.Error()) +
		"; what it encrypts can be neither written nor read until it does, but for what this server has the keys of"
}

// cause takes what gRPC puts around an error off it.
func cause(text string) string {
	if i := strings.LastIndex(text, "desc = "); i >= 0 {
		text = text[i+len("desc = "):]
	}
	return strings.TrimPrefix(strings.Trim(text, `"`), "transport: ")
}

// wrap has the errors of encryption say what is wrong with the keys.
func (k *Keys) wrap(getter generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	return keysGetter{getter, k}
}

type keysGetter struct {
	generic.RESTOptionsGetter
	keys *Keys
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (g keysGetter) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := g.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil || options.StorageConfig == nil || options.StorageConfig.Transformer == nil {
		return options, err
	}
	config := *options.StorageConfig
	config.Transformer = explained{config.Transformer, g.keys}
	options.StorageConfig = &config
	return options, nil
}

// explained is a Transformer whose errors are sentences.
type explained struct {
	value.Transformer
	keys *Keys
}

// TransformFromStorage implements value.Transformer.
func (t explained) TransformFromStorage(ctx context.Context, data []byte, dataCtx value.Context) ([]byte, bool, error) {
	out, stale, err := t.Transformer.TransformFromStorage(ctx, data, dataCtx)
	return out, stale, t.keys.explain(err)
}

// TransformToStorage implements value.Transformer.
func (t explained) TransformToStorage(ctx context.Context, data []byte, dataCtx value.Context) ([]byte, error) {
	out, err := t.Transformer.TransformToStorage(ctx, data, dataCtx)
	return out, t.keys.explain(err)
}

// explain returns err, or what is wrong with the keys.
func (k *Keys) explain(err error) error {
	if err == nil {
		return nil
	}
	if problem := k.Problem(); problem != "" {
		return &keysError{problem, err}
	}
	return err
}

// keysError is an error of encryption with another sentence.
type keysError struct {
	problem string
	err     error
}

func (e *keysError) Error() string { return e.problem }
func (e *keysError) Unwrap() error { return e.err }
