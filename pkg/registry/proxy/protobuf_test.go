package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

func TestBodiesInProtobufAreReadWholeOrRefused(t *testing.T) {
	encoded := func(object runtime.Object) []byte {
		var out bytes.Buffer
		if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(object, &out); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	configMap := encoded(&corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "shop"}, Data: map[string]string{"k": "v"}})
	// A field 15 of a later release, in the object inside of its wrapping.
	var wrapped runtime.Unknown
	if err := wrapped.Unmarshal(configMap[protobufMagic:]); err != nil {
		t.Fatal(err)
	}
	wrapped.Raw = append(wrapped.Raw, 15<<3|2, 1, 'x')
	later, err := wrapped.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	wrapped.APIVersion = "example.org/v1"
	foreign, err := wrapped.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		body       []byte
		media      string
		want, fail string
	}{
		"an object":                       {configMap, runtime.ContentTypeProtobuf, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"shop"},"data":{"k":"v"}}` + "\n", ""},
		"nothing":                         {nil, runtime.ContentTypeProtobuf, "", ""},
		"JSON stays as it is":             {[]byte(`{"a": 1}`), runtime.ContentTypeJSON, `{"a": 1}`, ""},
		"a field of a later release":      {append(configMap[:protobufMagic:protobufMagic], later...), runtime.ContentTypeProtobuf, "", "has fields of ConfigMap that are not known here"},
		"a type that is not known":        {append(configMap[:protobufMagic:protobufMagic], foreign...), runtime.ContentTypeProtobuf, "", "of a type that is not known here"},
		"what is no protobuf":             {[]byte("{}"), runtime.ContentTypeProtobuf, "", "no object in protobuf"},
		"the beginning of one and no end": {configMap[:len(configMap)/2], runtime.ContentTypeProtobuf, "", "no object in protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			header, body, err := asJSON(http.Header{"Content-Type": {test.media}}, bytes.NewReader(test.body))
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Fatalf("got %v, want %q", err, test.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil || string(got) != test.want || header.Get("Content-Type") != runtime.ContentTypeJSON {
				t.Errorf("got %q as %q, %v; want %q", got, header.Get("Content-Type"), err, test.want)
			}
		})
	}
}
