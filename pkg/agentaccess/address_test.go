package agentaccess

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes/fake"
)

func TestWhatAServerPublishesIsReadAndReplaced(t *testing.T) {
	maps := fake.NewClientset().CoreV1().ConfigMaps(system)
	if _, err := ReadAddress(t.Context(), maps); err == nil || !strings.Contains(err.Error(), "the server has no tunnel") {
		t.Errorf("before: got %v", err)
	}
	for _, want := range []Address{{Servers: []string{"a:1", "[::1]:2"}, CA: []byte("one")}, {Servers: []string{"b:3"}, CA: []byte("two")}} {
		if err := want.Publish(t.Context(), maps); err != nil {
			t.Fatal(err)
		}
		got, err := ReadAddress(t.Context(), maps)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("got %v, (-want +got):\n%s", err, diff)
		}
		if _, err := got.Pins(); err == nil {
			t.Error("an authority that is none has a pin")
		}
	}
}
