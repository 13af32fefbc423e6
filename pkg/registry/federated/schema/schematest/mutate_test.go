package schematest

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What may stand anywhere was put there itself, and not a copy: once in some thousand documents it
// came to be inside itself, and the walk through it did not end.
func TestAMutationChangesNothingButItsDocument(t *testing.T) {
	before, err := json.Marshal(strange)
	if err != nil {
		t.Fatal(err)
	}
	document := []byte(`{"components": {"schemas": {"a": {"properties": {"b": {"type": "object"}}}}}}`)
	random := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		document := Mutate(random, document)
		if len(document) > 1<<20 {
			t.Fatalf("a document of %d bytes", len(document))
		}
	}
	after, err := json.Marshal(strange)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("what may stand anywhere has changed (-before +after):\n%s", diff)
	}
}
