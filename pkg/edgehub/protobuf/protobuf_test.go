package protobuf_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"github.com/koinon-io/koinon/pkg/edgehub/protobuf"
)

// read is what a client makes of an answer.
func read(t *testing.T, body []byte) (runtime.Object, schema.GroupVersionKind) {
	t.Helper()
	types := runtime.NewScheme()
	if err := corev1.AddToScheme(types); err != nil {
		t.Fatal(err)
	}
	if err := metav1.AddMetaToScheme(types); err != nil {
		t.Fatal(err)
	}
	object, kind, err := serializer.NewSerializer(types, types).Decode(body, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return object, *kind
}

func inJSON(t *testing.T, object any) []byte {
	t.Helper()
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var pods = corev1.SchemeGroupVersion.WithKind("Pod")

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", Labels: map[string]string{"a": "b"}, ResourceVersion: "7"},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

func TestAClientReadsTheObjectThatTheViewHas(t *testing.T) {
	kind, err := protobuf.NewKind(pods)
	if err != nil {
		t.Fatal(err)
	}
	body, err := kind.Object(inJSON(t, pod("a")))
	if err != nil {
		t.Fatal(err)
	}
	got, is := read(t, body)
	got.GetObjectKind().SetGroupVersionKind(is)
	if diff := cmp.Diff(pod("a"), got); diff != "" {
		t.Error(diff)
	}
}

func TestAClientReadsTheListThatTheViewHas(t *testing.T) {
	for what, test := range map[string]struct {
		kind func() (*protobuf.Kind, error)
		want runtime.Object
	}{
		"whole":    {func() (*protobuf.Kind, error) { return protobuf.NewKind(pods) }, &corev1.PodList{}},
		"metadata": {func() (*protobuf.Kind, error) { return protobuf.Metadata(), nil }, &metav1.PartialObjectMetadataList{}},
	} {
		t.Run(what, func(t *testing.T) {
			kind, err := test.kind()
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			err = kind.List(&body, metav1.ListMeta{ResourceVersion: "9", Continue: "x"}, func(yield func([]byte, error) bool) {
				_ = yield(inJSON(t, pod("a")), nil) && yield(inJSON(t, pod("b")), nil)
			})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := read(t, body.Bytes())
			if reflect.TypeOf(got) != reflect.TypeOf(test.want) {
				t.Fatalf("it is a %T", got)
			}
			list, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			var names struct {
				Metadata metav1.ListMeta
				Items    []struct{ Metadata metav1.ObjectMeta }
			}
			if err := json.Unmarshal(list, &names); err != nil {
				t.Fatal(err)
			}
			if len(names.Items) != 2 || names.Items[1].Metadata.Name != "b" || names.Items[1].Metadata.Labels["a"] != "b" || names.Metadata.ResourceVersion != "9" || names.Metadata.Continue != "x" {
				t.Errorf("got %s", list)
			}
		})
	}
}

func TestAClientReadsTheEventThatHappened(t *testing.T) {
	status, err := protobuf.Status(&metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Code: 410})
	if err != nil {
		t.Fatal(err)
	}
	frame, err := protobuf.Event("ERROR", status)
	if err != nil {
		t.Fatal(err)
	}
	var event metav1.WatchEvent
	if length := binary.BigEndian.Uint32(frame); int(length) != len(frame)-4 {
		t.Fatalf("%d bytes are said to be %d", len(frame)-4, length)
	}
	if err := event.Unmarshal(frame[4:]); err != nil {
		t.Fatal(err)
	}
	got, _ := read(t, event.Object.Raw)
	if s, ok := got.(*metav1.Status); !ok || s.Code != 410 || event.Type != "ERROR" {
		t.Errorf("got %s of %+v", event.Type, got)
	}
}

func TestWhatHasNoProtobufFormIsRefused(t *testing.T) {
	for _, kind := range []schema.GroupVersionKind{{Group: "example.org", Version: "v1", Kind: "Widget"}, {Version: "v1", Kind: "Nosuch"}, {Group: "apps", Version: "v1beta1", Kind: "Deployment"}} {
		if _, err := protobuf.NewKind(kind); err == nil {
			t.Errorf("%s is known", kind)
		}
	}
	kind, err := protobuf.NewKind(pods)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kind.Object([]byte(`{"spec":{"containers":"none"}}`)); err == nil {
		t.Error("what is no pod was written as one")
	}
}
