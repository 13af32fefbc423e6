package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

var (
	configMapKind = federated.Kind{Kind: "FederatedConfigMap", Resource: "federatedconfigmaps", Namespaced: true}
	secretKind    = federated.Kind{Kind: "FederatedSecret", Resource: "federatedsecrets", Namespaced: true}
)

func typesOfTwoKinds() *Types {
	types := NewTypes()
	types.SetKinds([]federated.Kind{configMapKind, secretKind})
	return types
}

// What is in the store may be older than what is checked.
func TestAStoredObjectThatNobodyCouldReadIsReadable(t *testing.T) {
	stored := `{"kind":"FederatedSecret","apiVersion":"types.kubefed.io/v1beta2","metadata":{"name":"a"},"spec":{"template":{"x":1e400,"y":"` + "\xff" + `"},` +
		`"topologyType":"cluster","overrides":[{"topologyName":"m1","topologyOverrides":[{"path":"/x","value":` + strings.Repeat("9", 400) + `}]}]},` +
		`"status":{"targets":[{"name":"m1","remoteStatus":{"x":-1e999}}]}}`
	codec := NewCodec(typesOfTwoKinds(), configMapKind)
	obj := &typesv1beta2.FederatedObject{}
	if err := runtime.DecodeInto(codec, []byte(stored), obj); err != nil {
		t.Fatal(err)
	}
	if obj.Kind != "FederatedConfigMap" {
		t.Errorf("among config maps there is a %s", obj.Kind)
	}
	data, err := runtime.Encode(codec, obj)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatalf("a client cannot read it: %v", err)
	}
	if diff := cmp.Diff(`{"x":"1e400","y":"`+"\uFFFD"+`"}`, string(obj.Spec.Template)); diff != "" {
		t.Errorf("template (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(`{"x":"-1e999"}`, string(obj.Status.Targets[0].RemoteStatus)); diff != "" {
		t.Errorf("remote status (-want +got):\n%s", diff)
	}
}

func TestARequestForAnotherKindIsNotDecoded(t *testing.T) {
	types := typesOfTwoKinds()
	serializer := NewSerializer(types)
	for _, info := range serializer.SupportedMediaTypes() {
		for _, version := range []string{"v1beta1", "v1beta2"} {
			decoder := serializer.DecoderToVersion(info.Serializer, federated.V1beta2)
			body := `{"kind":"FederatedSecret","apiVersion":"types.kubefed.io/` + version + `","spec":{"template":{}}}`
			into := &typesv1beta2.FederatedObject{}
			into.SetGroupVersionKind(federated.V1beta2.WithKind("FederatedConfigMap"))
			if _, _, err := decoder.Decode([]byte(body), nil, into); err == nil {
				t.Errorf("%s %s: decoded a FederatedSecret into %s", info.MediaType, version, into.Kind)
			}
			into.SetGroupVersionKind(federated.V1beta2.WithKind("FederatedSecret"))
			if _, _, err := decoder.Decode([]byte(body), nil, into); err != nil {
				t.Errorf("%s %s: %v", info.MediaType, version, err)
			}
		}
	}
}

func TestStrictDecodingFindsKeysThatComeTwiceInRawValues(t *testing.T) {
	types := typesOfTwoKinds()
	body := `{"kind":"FederatedConfigMap","apiVersion":"types.kubefed.io/v1beta1",` +
		`"metadata":{"annotations":{"federation.koinon.io/topology":"{\"topologyType\":\"cell\",\"topologyType\":\"cell\"}"}},"spec":{"template":{"a":1,"a":2},"template2":1,` +
		`"overrides":[{"clusterName":"m1","clusterOverrides":[{"path":"/a","value":[{"b":1,"b":2}]}]}]},"status":{"clusters":[{"name":"m1","remoteStatus":{"c":1,"c":2}}]}}`
	strict := NewSerializer(types).SupportedMediaTypes()[0].StrictSerializer
	obj, _, err := strict.Decode([]byte(body), nil, &typesv1beta1.FederatedObject{})
	decodingErr, ok := runtime.AsStrictDecodingError(err)
	if !ok || obj == nil {
		t.Fatalf("got %v, and object %v", err, obj)
	}
	var got []string
	for _, e := range decodingErr.Errors() {
		got = append(got, e.Error())
	}
	want := []string{
		`unknown field "spec.template2"`,
		`duplicate field "metadata.annotations[federation.koinon.io/topology].topologyType"`,
		`duplicate field "spec.template.a"`,
		`duplicate field "spec.overrides[0].clusterOverrides[0].value[0].b"`,
		`duplicate field "status.clusters[0].remoteStatus.c"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStrictDecodingOfYAMLFindsKeysThatComeTwiceInTheTopology(t *testing.T) {
	body := `
kind: FederatedConfigMap
apiVersion: types.kubefed.io/v1beta1
metadata:
  annotations:
    federation.koinon.io/topology: '{"topologyType":"cell","topologyType":"edgeunit"}'
`
	yaml, found := runtime.SerializerInfoForMediaType(NewSerializer(typesOfTwoKinds()).SupportedMediaTypes(), runtime.ContentTypeYAML)
	if !found {
		t.Fatal("YAML is not served")
	}
	_, _, err := yaml.StrictSerializer.Decode([]byte(body), nil, &typesv1beta1.FederatedObject{})
	if want := `duplicate field "metadata.annotations[federation.koinon.io/topology].topologyType"`; !runtime.IsStrictDecodingError(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, _, err := yaml.Serializer.Decode([]byte(body), nil, &typesv1beta1.FederatedObject{}); err != nil {
		t.Errorf("not in strict mode: %v", err)
	}
}
