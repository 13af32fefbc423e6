package jsonspan

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// read reads an object or a list by spans alone, but for what is in neither.
func read(t *testing.T, text []byte) any {
	t.Helper()
	switch text[0] {
	case '{':
		all := map[string]any{}
		for name, value := range Members(text) {
			key := KeyOf(text, name)
			all[key] = read(t, text[value.From:value.To])
			if at, ok := Value(text, key); !ok || at.From < value.From {
				t.Errorf("%s: the value of %q is found at %v, %t", text, key, at, ok)
			}
		}
		return all
	case '[':
		all := []any{}
		for at := range Elements(text) {
			all = append(all, read(t, text[at.From:at.To]))
		}
		return all
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

// What is found is what encoding/json finds.
func FuzzSpans(f *testing.F) {
	for _, text := range []string{`{"a":[1,"b\"]}",{"c\u0041":null}],"d":{}}`, ` [ true , -1e5,"\\" , "\\\"" ] `, `{"a\"":"","a\"":1}`, `"\\\\"`, `{"x":"` + strings.Repeat(`\n`, 100) + `"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) || !utf8.Valid(text) {
			return
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			return
		}
		from := space(text, 0)
		if got := read(t, text[from:value(text, from)]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	})
}

// A text of which each character is escaped takes no longer than its length.
func TestEscapesAreReadOnce(t *testing.T) {
	text := []byte(`{"a":"` + strings.Repeat(`\n`, 8<<20) + `","b":1}`)
	if at, ok := Value(text, "b"); !ok || string(text[at.From:at.To]) != "1" {
		t.Errorf("%v %t", at, ok)
	}
}
