package memberclient

import (
	"encoding/json"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestWhoHoldsAnObjectIsKnownOnceItIsDeleted(t *testing.T) {
	for text, want := range map[string][]string{
		`{"metadata":{"name":"a","finalizers":["x","y"],"deletionTimestamp":"2020-01-01T00:00:00Z"}}`: {"x", "y"},
		`{"metadata":{"name":"a","finalizers":["x","y"]}}`:                                            nil, // it costs memory, and nobody asks
	} {
		var object unstructured.Unstructured
		if err := json.Unmarshal([]byte(text), &object.Object); err != nil {
			t.Fatal(err)
		}
		var item listed
		if err := json.Unmarshal([]byte(text), &item); err != nil {
			t.Fatal(err)
		}
		written, err := NewLive(&object, Keep{})
		if err != nil {
			t.Fatal(err)
		}
		read, err := item.live(Keep{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(written.Finalizers, want) || !slices.Equal(read.Finalizers, want) {
			t.Errorf("%s: got %q from an answer, %q from a list, want %q", text, written.Finalizers, read.Finalizers, want)
		}
	}
}
