package fleet

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzScannerTakesWhatIsJSON(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, `[1,2]`, `{"a":[{"b":null}],"c":-1.5e+3}`, `"\u00e4\n"`, `01`, `1.`, `1e`, `-`, `"`, `"\x"`, `"\u12"`, `{"a"}`, `{"a":1,}`, `[1,]`,
		"\"\x01\"", `{"a":tru}`, ` { "a" : [ ] } `, `[1 2]`, `{,}`, `}`, ``, `nul`, "[\xff]", "\"\xff\"", `-0`, `0.0E-0`, `"0123456789\"abcdefgh\\"`, "\"01234567\x1f\"", "\"0123456789ä€𐍈\"", `"01234567`, "\"0123456\x7f\xff\x80\"",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &scanner{data: data}
		err := s.value()
		if err == nil {
			err = s.end()
		}
		if got, want := err == nil, json.Valid(data); got != want && !strings.Contains(string(data), strings.Repeat("[", 900)) {
			t.Errorf("%q: valid %v (%v), want %v", data, got, err, want)
		}
	})
}

func TestNestingIsBounded(t *testing.T) {
	s := &scanner{data: []byte(strings.Repeat(`[`, 100_000))}
	if err := s.value(); err != errTooDeep { //nolint:errorlint // it is returned as it is
		t.Errorf("got %v", err)
	}
}

func TestAnObjectIsAnnotated(t *testing.T) {
	for name, tc := range map[string]struct{ object, want string }{
		"without annotations": {
			`{"metadata":{"name":"x"},"spec":{}}`,
			`{"metadata":{"annotations":{"federation.koinon.io/cluster":"m1"},"name":"x"},"spec":{}}`,
		},
		"with null": {
			`{"metadata":{"name":"x","annotations": null}}`,
			`{"metadata":{"name":"x","annotations": {"federation.koinon.io/cluster":"m1"}}}`,
		},
		"with none": {
			`{"metadata":{"annotations":{ },"name":"x"}}`,
			`{"metadata":{"annotations":{"federation.koinon.io/cluster":"m1"},"name":"x"}}`,
		},
		"with some": {
			`{"metadata":{"annotations":{"a":"b"},"name":"x"}}`,
			`{"metadata":{"annotations":{"federation.koinon.io/cluster":"m1","a":"b"},"name":"x"}}`,
		},
		"that names another cluster": {
			`{"metadata":{"annotations":{"federation.koinon.io/cluster":"m2","a":"b"},"name":"x"}}`,
			`{"metadata":{"annotations":{"federation.koinon.io/cluster":"m1","a":"b"},"name":"x"}}`,
		},
		"that names another cluster in other letters": {
			`{"metadata":{"annotations":{"a":"b","federation.koinon.io\/\u0063luster":"m2"},"name":"x"}}`,
			`{"metadata":{"annotations":{"federation.koinon.io/cluster":"m1","a":"b"},"name":"x"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := scanObject(&scanner{data: []byte(tc.object)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(o.appendTo(nil, note("m1"), "", ""))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnObjectOfAListIsGivenItsKind(t *testing.T) {
	o, err := scanObject(&scanner{data: []byte(`{"metadata":{"name":"x","namespace":"n"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"Pod","apiVersion":"v1","metadata":{"annotations":{"federation.koinon.io/cluster":"m1"},"name":"x","namespace":"n"}}`
	if diff := cmp.Diff(want, string(o.appendTo(nil, note("m1"), "Pod", "v1"))); diff != "" {
		t.Error(diff)
	}
	if o.namespace() != "n" || o.name() != "x" {
		t.Errorf("it is %s of %s", o.name(), o.namespace())
	}
}

func TestAnObjectIsRefused(t *testing.T) {
	for name, object := range map[string]string{
		"without a name":           `{"metadata":{}}`,
		"without metadata":         `{"spec":{}}`,
		"with two names":           `{"metadata":{"name":"a","name":"b"}}`,
		"with two metadata":        `{"metadata":{"name":"a"},"metadata":{"name":"b"}}`,
		"with a name in two forms": `{"metadata":{"name":"a","n\u0061me":"b"}}`,
		"with a slash in its name": `{"metadata":{"name":"a/b"}}`,
		"with a number for a name": `{"metadata":{"name":1}}`,
		"that is an array":         `[]`,
		"with an empty kind":       `{"kind":"","metadata":{"name":"a"}}`,
		"that ends too early":      `{"metadata":{"name":"a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if o, err := scanObject(&scanner{data: []byte(object)}); err == nil {
				t.Errorf("it was taken, as %q", o.key)
			}
		})
	}
}

// What is answered is what a tree with the annotation in it would be.
func FuzzAnAnnotatedObjectSaysTheSame(f *testing.F) {
	for _, text := range []string{
		`{"metadata":{"name":"x"}}`, `{"metadata":{"name":"x","annotations":null},"a":[1,{"b":"\u00e4"}]}`, ` { "metadata" : { "annotations" : { } , "name" : "x" } } `,
		`{"metadata":{"annotations":{"federation.koinon.io/cluster":"m2","a":"b","a":"c"},"name":"x","namespace":"n"},"kind":"Pod"}`,
		`{"a":1e400,"metadata":{"name":"x","annotations":{"\ud800":"b"}}}`, `{"apiVersion":"v1","metadata":{"name":"\u0078"}}`,
	} {
		f.Add([]byte(text))
	}
	tree := func(data []byte) (map[string]any, error) {
		var out map[string]any
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		return out, d.Decode(&out)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &scanner{data: data}
		o, err := scanObject(s)
		if err != nil || s.end() != nil {
			return
		}
		want, err := tree(data)
		if err != nil {
			t.Fatalf("%q was taken: %v", data, err)
		}
		metadata, _ := want["metadata"].(map[string]any)
		annotations, _ := metadata["annotations"].(map[string]any)
		if annotations == nil {
			annotations = map[string]any{}
		}
		annotations[ClusterAnnotation] = "m1"
		metadata["annotations"] = annotations
		if o.kind == "" {
			want["kind"] = "K"
			if o.apiVersion == "" {
				want["apiVersion"] = "v"
			}
		}
		got, err := tree(o.appendTo(nil, note("m1"), "K", "v"))
		if err != nil {
			t.Fatalf("%q became %q: %v", data, o.appendTo(nil, note("m1"), "K", "v"), err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", data, diff)
		}
	})
}
