package render

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

var (
	patchSeed  = flag.Uint64("patch-seed", 0, "seed of the random patches; 0 takes the time")
	patchCases = flag.Int("patch-cases", 1000, "how many random patches are compared")
)

// TestPatchesAreThoseOfTheLibrary compares with the library that KubeFed applies overrides
// with, also for which patch is the first that fails.
func TestPatchesAreThoseOfTheLibrary(t *testing.T) {
	seed := *patchSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-patch-seed=%d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	failed := 0
	for range *patchCases {
		template := map[string]any{"spec": g.tree(4), "data": g.object(3)}
		var patches []v1beta2.OverridePatch
		for range 1 + g.IntN(8) {
			patches = append(patches, g.patch(template))
		}
		if compareWithLibrary(t, template, patches) {
			failed++
		}
		if t.Failed() {
			t.Fatalf("template %s\npatches %s", marshal(t, template), marshal(t, patches))
		}
	}
	if failed == 0 || failed == *patchCases {
		t.Errorf("%d of %d lists of patches failed: that compares too little", failed, *patchCases)
	}
}

// compareWithLibrary reports whether the patches fail.
func compareWithLibrary(t *testing.T, template map[string]any, patches []v1beta2.OverridePatch) (failed bool) {
	t.Helper()
	operations := ready(t, patches)
	before := marshal(t, template)
	got, gotErr := patched(t.Context(), template, [][]operation{operations})
	if after := marshal(t, template); after != before {
		t.Errorf("the template has become %s", after)
	}
	for i := range operations {
		if after := marshal(t, ready(t, patches)[i].value); marshal(t, operations[i].value) != after {
			t.Errorf("the value of patch %d has been modified", i)
		}
	}

	data, culprit, err := oneByOne(t, []byte(before), operations)
	if err != nil {
		var refused *OverrideError
		if !errors.As(gotErr, &refused) {
			t.Errorf("got error %v, the library fails at patch %d: %v", gotErr, culprit, err)
			return true
		}
		if refused.Patch != culprit {
			t.Errorf("got patch %d to blame: %v; the library fails at patch %d: %v", refused.Patch, refused, culprit, err)
		}
		missing := !strings.Contains(refused.Problem, "index")
		if want := errors.Is(err, jsonpatch.ErrMissing); missing != want && !fromEnd(operations[culprit].path) {
			t.Errorf("got problem %q, the library says %v", refused.Problem, err)
		}
		return true
	}
	if gotErr != nil {
		t.Errorf("got error %v, the library applies the patches: %s", gotErr, data)
		return false
	}
	want := compacted(t, data)
	if diff := cmp.Diff(want, marshal(t, got)); diff != "" {
		t.Errorf("(-library +got):\n%s", diff)
	}
	if all, err := atOnce([]byte(before), operations); err != nil {
		t.Errorf("all at once the library says %v", err)
	} else if all != nil && want != compacted(t, all) {
		t.Errorf("all at once the library gives %s", all)
	}
	return false
}

// atOnce applies operations that are right with the library, and returns nil if that panics.
func atOnce(data []byte, operations []operation) (out []byte, err error) {
	defer func() {
		if recover() != nil {
			out, err = nil, nil
		}
	}()
	return inLibrary(data, operations)
}

// oneByOne applies operations with the library, and returns the index of the one that fails.
// It knows two mistakes of the library in the way it was used: a replace of a missing field
// whose name begins with - added it, and what led through a null that a patch had set was
// a panic when all patches were applied at once.
func oneByOne(t *testing.T, data []byte, operations []operation) ([]byte, int, error) {
	t.Helper()
	for i := range operations {
		op := &operations[i]
		if op.op == "replace" && fromEnd(op.path) && isObject(t, data, op.steps[:len(op.steps)-1]) {
			clone := *op
			clone.op = "remove"
			if _, err := inLibrary(data, []operation{clone}); err != nil {
				return nil, i, err
			}
		}
		next, err := inLibrary(data, operations[i:i+1])
		if err != nil {
			return nil, i, err
		}
		data = next
	}
	return data, 0, nil
}

// fromEnd reports whether the last step of a path is an index from the end of a list, or
// the place behind it.
func fromEnd(path string) bool {
	return strings.HasPrefix(path[strings.LastIndex(path, "/")+1:], "-")
}

// inLibrary says what op does in operations of the library. Its replace takes a missing
// member for an add, which RFC 6902 and KubeFed refuse, and so does a remove that comes first.
// An index from the end would move by that.
func inLibrary(data []byte, operations []operation) ([]byte, error) {
	var patch jsonpatch.Patch
	for i := range operations {
		op, steps := &operations[i], []string{operations[i].op}
		if op.op == "replace" && !fromEnd(op.path) {
			steps = []string{"remove", "add"}
		}
		for _, step := range steps {
			one := jsonpatch.Operation{}
			for name, value := range map[string]any{"op": step, "path": op.path, "value": op.value} {
				data, err := json.Marshal(value)
				if err != nil {
					return nil, err
				}
				one[name] = (*json.RawMessage)(&data)
			}
			patch = append(patch, one)
		}
	}
	return patch.Apply(data)
}

func isObject(t *testing.T, data []byte, steps []string) bool {
	t.Helper()
	tree := map[string]any{}
	if err := decode(data, &tree); err != nil {
		t.Fatal(err)
	}
	var parent container = &object{tree}
	for _, step := range steps {
		if parent = parent.enter(step); parent == nil {
			return false
		}
	}
	_, ok := parent.(*object)
	return ok
}

// ready makes operations of patches that admission would accept.
func ready(t *testing.T, patches []v1beta2.OverridePatch) []operation {
	t.Helper()
	var out []operation
	for i := range patches {
		op, refused := newOperation(0, i, &patches[i], deployment)
		if refused != nil || op == nil {
			t.Fatalf("patch %d: got %v, %v", i, op, refused)
		}
		out = append(out, *op)
	}
	return out
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func compacted(t *testing.T, data []byte) string {
	t.Helper()
	tree := map[string]any{}
	if err := decode(data, &tree); err != nil {
		t.Fatal(err)
	}
	return marshal(t, tree)
}

// generator makes trees and patches that meet often.
type generator struct{ *rand.Rand }

var (
	someKeys    = []string{"a", "b", "c", "a/b", "m~n", "~1", "~01", "", "0", "1", "-", "-1", "<é>", "%41"}
	someIndexes = []string{"0", "1", "2", "-", "-1", "-2", "-0", "+1", "01", "9", "-9", "x", "", "1.0", "99999999999999999999"}
	someNumbers = []string{"0", "-0", "1", "1.0", "1.10", "1e3", "12345678901234567890", "0.1e-7"}
)

func pick[T any](g generator, from []T) T { return from[g.IntN(len(from))] }

func (g generator) tree(depth int) any {
	switch n := g.IntN(10); {
	case depth > 0 && n < 4:
		return g.object(depth - 1)
	case depth > 0 && n < 7:
		return g.list(depth - 1)
	}
	return pick(g, []any{nil, true, false, "", "text", "<&>\u2028", json.Number(pick(g, someNumbers))})
}

func (g generator) object(depth int) map[string]any {
	out := map[string]any{}
	for range g.IntN(5) {
		out[pick(g, someKeys)] = g.tree(depth)
	}
	return out
}

func (g generator) list(depth int) []any {
	out := []any{}
	for range g.IntN(4) {
		out = append(out, g.tree(depth))
	}
	return out
}

// patch leads through the tree for some steps, and then often elsewhere.
func (g generator) patch(tree map[string]any) v1beta2.OverridePatch {
	path := "/" + pick(g, []string{"spec", "spec", "data", "none"})
	at := tree[path[1:]]
	for range g.IntN(5) {
		step := pick(g, someKeys)
		switch v := at.(type) {
		case map[string]any:
			if keys := slices.Sorted(maps.Keys(v)); len(keys) > 0 && g.IntN(5) > 0 {
				step = pick(g, keys)
			}
			at = v[step]
		case []any:
			step = pick(g, someIndexes)
			if at = nil; len(v) > 0 && g.IntN(3) > 0 {
				i := g.IntN(len(v))
				step, at = fmt.Sprint(i), v[i]
			}
		}
		path += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
	}
	value, err := json.Marshal(g.tree(2))
	if err != nil {
		panic(err)
	}
	return v1beta2.OverridePatch{Op: pick(g, []string{"", "add", "add", "remove", "replace"}), Path: path, Value: rawjson.Value(value)}
}
