package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion/conversiontest"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// newDeployment returns an empty FederatedDeployment as it is stored.
func newDeployment() *typesv1beta2.FederatedObject {
	return &typesv1beta2.FederatedObject{TypeMeta: metav1.TypeMeta{Kind: "FederatedDeployment", APIVersion: federated.V1beta2.String()}}
}

// The library's encoder is the measure: ours must mean the same.
func sameAsLibrary(t *testing.T, obj runtime.Object) {
	t.Helper()
	want, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if done, err := WriteJSON(obj, &got); !done || err != nil {
		t.Fatalf("WriteJSON: %v, %v", done, err)
	}
	if diff := cmp.Diff(tree(t, want), tree(t, got.Bytes())); diff != "" {
		t.Errorf("encoded object (-library +ours):\n%s", diff)
	}
}

func tree(t *testing.T, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

func TestObjectsAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	objects := conversiontest.NewObjects(1)
	for range 200 {
		o := objects.Next()
		o.TypeMeta = metav1.TypeMeta{Kind: "FederatedDeployment", APIVersion: federated.V1beta2.String()}
		sameAsLibrary(t, o)
		v1, err := conversion.ToV1beta1(o)
		if err != nil {
			t.Fatal(err)
		}
		sameAsLibrary(t, v1)
	}
}

func TestListsAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	objects := conversiontest.NewObjects(2)
	for _, n := range []int{0, 1, 500} {
		list := &typesv1beta2.FederatedObjectList{TypeMeta: metav1.TypeMeta{Kind: "FederatedDeploymentList", APIVersion: federated.V1beta2.String()}, Items: []typesv1beta2.FederatedObject{}}
		list.ResourceVersion, list.Continue = "42", "more"
		for range n {
			o := objects.Next()
			o.TypeMeta = metav1.TypeMeta{Kind: "FederatedDeployment", APIVersion: federated.V1beta2.String()}
			list.Items = append(list.Items, *o)
		}
		sameAsLibrary(t, list)
		v1, err := convert(list, federated.V1beta1.WithKind(list.Kind))
		if err != nil {
			t.Fatal(err)
		}
		sameAsLibrary(t, v1)
		sameWhenStreamed(t, list, v1)
	}
}

// sameWhenStreamed compares a list that is converted while it is written with one that
// was converted before.
func sameWhenStreamed(t *testing.T, list *typesv1beta2.FederatedObjectList, converted runtime.Object) {
	t.Helper()
	s := NewSerializer(NewTypes())
	var got, want bytes.Buffer
	if err := s.EncoderForVersion(s.SupportedMediaTypes()[0].Serializer, federated.V1beta1).Encode(list, &got); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteJSON(converted, &want); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("a list that is converted as it is written differs:\n%s", cmp.Diff(tree(t, want.Bytes()), tree(t, got.Bytes())))
	}
}

func TestStoredMeta(t *testing.T) {
	tests := map[string]string{
		"as we store it":            `{"kind":"FederatedDeployment","apiVersion":"types.kubefed.io/v1beta2","metadata":{}}`,
		"another version":           `{"kind":"FederatedDeployment","apiVersion":"types.kubefed.io/v1beta1","metadata":{}}`,
		"a kind that is escaped":    `{"kind":"Fed\u0065rated","apiVersion":"types.kubefed.io/v1beta2","metadata":{}}`,
		"in another order":          `{"metadata":{},"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment"}`,
		"with white space":          `{ "kind": "FederatedDeployment", "apiVersion": "types.kubefed.io/v1beta2"}`,
		"nothing after the version": `{"kind":"FederatedDeployment","apiVersion":"types.kubefed.io/v1beta2"}`,
		"no kind":                   `{"apiVersion":"types.kubefed.io/v1beta2"}`,
		"not JSON":                  `{"kind":"FederatedDeployment`,
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			want, wantErr := storedMeta{}.SimpleMetaFactory.Interpret([]byte(data))
			got, gotErr := storedMeta{}.Interpret([]byte(data))
			if diff := cmp.Diff(want, got); diff != "" || (wantErr == nil) != (gotErr == nil) {
				t.Errorf("kind (-library +ours):\n%s%v, %v", diff, wantErr, gotErr)
			}
		})
	}
}

func TestTemplatesAreCopiedByteForByte(t *testing.T) {
	template := rawjson.Value(`{"z":1.50,"a":"<&>","n":12345678901234567890}`)
	o := newDeployment()
	o.Spec.Template = template
	var got bytes.Buffer
	if _, err := WriteJSON(o, &got); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), string(template)) {
		t.Errorf("template %s is not in %s", template, got.String())
	}
}

// benchmarkList is a list as it is in the watch cache: each object has its own 9 KiB.
func benchmarkList(n int) *typesv1beta2.FederatedObjectList {
	list := &typesv1beta2.FederatedObjectList{TypeMeta: metav1.TypeMeta{Kind: "FederatedDeploymentList", APIVersion: federated.V1beta2.String()}}
	template := `{"spec":{"filler":"` + strings.Repeat("x", 4096) + `"}}`
	fields := `{"f:spec":{` + strings.Repeat(`"f:field":{},`, 330) + `"f:replicas":{}}}`
	for i := range n {
		o := newDeployment()
		o.Name, o.Namespace, o.ResourceVersion = fmt.Sprintf("web-%d", i), "shop", strconv.Itoa(i)
		o.Labels = map[string]string{"app": o.Name, "team": "shop"}
		o.Annotations = map[string]string{"federation.koinon.io/namespace-uid": "c9d4bb0a-135c-401b-acb2-788a9f541e1d"}
		managed := &metav1.FieldsV1{}
		managed.SetRawBytes([]byte(fields))
		o.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl", Operation: "Update", APIVersion: federated.V1beta2.String(), FieldsType: "FieldsV1", FieldsV1: managed}}
		o.Spec.TopologyType = typesv1beta2.TopologyCell
		o.Spec.Template = rawjson.Value(template)
		o.Spec.Placement = &typesv1beta2.Placement{Topologies: []typesv1beta2.TopologyReference{{Name: "rz00a"}, {Name: "rz01a"}, {Name: "rz02a"}}}
		o.Spec.Overrides = []typesv1beta2.Override{{TopologyName: "rz00a", TopologyOverrides: []typesv1beta2.OverridePatch{{Op: "replace", Path: "/spec/replicas", Value: rawjson.Value("3")}}}}
		list.Items = append(list.Items, *o)
	}
	return list
}

func BenchmarkEncodeList(b *testing.B) {
	list := benchmarkList(10_000)
	for _, version := range []string{"v1beta2", "v1beta1"} {
		b.Run(version, func(b *testing.B) {
			encoder := encoderFor(version)
			for b.Loop() {
				if err := encoder.Encode(list, discard{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkListOverHTTPS is a list from objects in memory to the last byte that a client has
// read. "nothing to encode" is as many bytes that are there already: what TLS and HTTP/2 take.
func BenchmarkListOverHTTPS(b *testing.B) {
	list := benchmarkList(10_000)
	var size countWriter
	if err := encoderFor("v1beta1").Encode(list, &size); err != nil {
		b.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version := strings.TrimPrefix(r.URL.Path, "/")
		if version != "" {
			_ = encoderFor(version).Encode(list, w) // the client finds out
			return
		}
		part := make([]byte, partBytes)
		for range int(size) / len(part) {
			_, _ = w.Write(part)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for name, version := range map[string]string{"nothing to encode": "", "v1beta2": "v1beta2", "v1beta1": "v1beta1"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				response, err := server.Client().Get(server.URL + "/" + version)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					b.Fatal(err)
				}
				response.Body.Close()
			}
		})
	}
}

func encoderFor(version string) runtime.Encoder {
	s := NewSerializer(NewTypes())
	gv := federated.V1beta2
	gv.Version = version
	return s.EncoderForVersion(s.SupportedMediaTypes()[0].Serializer, gv)
}

// countWriter counts bytes.
type countWriter int

func (c *countWriter) Write(p []byte) (int, error) {
	*c += countWriter(len(p))
	return len(p), nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
