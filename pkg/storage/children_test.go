package storage

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChildrenAreWhatHasKeys(t *testing.T) {
	store, client := open(t, Config{DataDir: t.TempDir()})
	for _, key := range []string{"/registry/a.io/", "/registry/a.io0/x/y", "/registry/b.io/x/y"} {
		create(t, client, key+"z", "value")
	}
	for i := range 20 {
		for _, resource := range []string{"ones", "ones-more", "twos"} {
			create(t, client, fmt.Sprintf("/registry/a.io/%s/namespace/%d", resource, i), "value")
		}
	}
	got, err := store.Children(t.Context(), "/registry/a.io/")
	if diff := cmp.Diff([]string{"ones", "ones-more", "twos", "z"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := store.Children(t.Context(), "/registry/c.io/"); len(got) != 0 || err != nil {
		t.Errorf("of a prefix without keys: got %v, %v", got, err)
	}
}
