package wire

import (
	"bytes"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// A router that finds no route knows no version either.
func TestAStatusNamesItsKindForEveryVersion(t *testing.T) {
	serializer := NewSerializer(NewTypes())
	status := apierrors.NewGenericServerResponse(404, "", schema.GroupResource{}, "", "", 0, false).Status()
	for _, version := range []runtime.GroupVersioner{schema.GroupVersion{}, federated.V1beta1, federated.V1beta2, schema.GroupVersion{Version: "v1"}} {
		for _, info := range serializer.SupportedMediaTypes() {
			var out bytes.Buffer
			if err := serializer.EncoderForVersion(info.Serializer, version).Encode(&status, &out); err != nil {
				t.Fatal(err)
			}
			got := strings.NewReplacer(`"`, "", " ", "").Replace(out.String())
			if !strings.Contains(got, "kind:Status") || !strings.Contains(got, "apiVersion:v1") || !strings.Contains(got, "reason:NotFound") {
				t.Errorf("for %v in %s: got %s", version, info.MediaType, out.String())
			}
		}
	}
}
