package rawjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

type holder struct {
	Value rawjson.Value `json:"value,omitempty"`
}

func TestDecodedValuesAreCompactAndOtherwiseAsWritten(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"white space goes":              {in: ` { "b" : 1 , "a" : [ ] } `, want: `{"b":1,"a":[]}`},
		"white space in strings stays":  {in: `"a  b"`, want: `"a  b"`},
		"digits stay":                   {in: `12345678901234567890.50`, want: `12345678901234567890.50`},
		"null is a value":               {in: `null`, want: `null`},
		"characters of HTML are no tag": {in: `"<&>"`, want: `"<&>"`},
		"a key that comes twice stays":  {in: `{"a":1,"a":2}`, want: `{"a":1,"a":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			var got rawjson.Value
			if err := got.UnmarshalJSON([]byte(test.in)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBrokenJSONIsRefused(t *testing.T) {
	var got rawjson.Value
	if err := got.UnmarshalJSON([]byte(`{"a":`)); err == nil {
		t.Errorf("got %s, want an error", got)
	}
}

func TestAbsentValuesStayAbsent(t *testing.T) {
	for name, test := range map[string]struct {
		holder holder
		want   string
	}{
		"absent": {want: `{}`},
		"null":   {holder: holder{rawjson.Value(`null`)}, want: `{"value":null}`},
		"object": {holder: holder{rawjson.Value(`{"a":1.0}`)}, want: `{"value":{"a":1.0}}`},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(test.holder)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(data)); diff != "" {
				t.Errorf("encoded (-want +got):\n%s", diff)
			}
			var decoded holder
			if err := json.Unmarshal(data, &decoded); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.holder, decoded); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	for name, test := range map[string]struct {
		in   rawjson.Value
		want string
	}{
		"absent stays absent":         {},
		"keys are sorted, all levels": {in: rawjson.Value(`{"b":{"d":1,"c":2},"a":[{"y":1,"x":2}]}`), want: `{"a":[{"x":2,"y":1}],"b":{"c":2,"d":1}}`},
		"numbers are as custom resources keep them": {
			in:   rawjson.Value(`[1.50, 12345678901234567890, 1e3, 1.0, -0, -0.0, 1e-400, 9223372036854775807, 1152921504606846976.0, 1e21, 1E-7]`),
			want: `[1.5,12345678901234567000,1000,1,0,0,0,9223372036854775807,1152921504606847000,1e+21,1e-7]`},
		"of keys that come twice the last one stays": {in: rawjson.Value(`{"a":1,"a":2}`), want: `{"a":2}`},
		"HTML is not escaped":                        {in: rawjson.Value(`"<&>"`), want: `"<&>"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.in.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("canonical (-want +got):\n%s", diff)
			}
			if again, err := got.Canonical(); err != nil || string(again) != string(got) {
				t.Errorf("the canonical form of %s is %s, %v", got, again, err)
			}
			if test.in == nil && got != nil {
				t.Errorf("got %q, want nil", got)
			}
		})
	}
	for _, bad := range []string{`{`, `1e400`, strings.Repeat("9", 5000)} {
		if got, err := rawjson.Value(bad).Canonical(); err == nil {
			t.Errorf("got %.20s, want an error for %.20s", got, bad)
		}
	}
}

func TestIsObject(t *testing.T) {
	for value, want := range map[string]bool{`{}`: true, `[]`: false, `null`: false, `"{"`: false, ``: false} {
		if got := rawjson.Value(value).IsObject(); got != want {
			t.Errorf("%q: got %t, want %t", value, got, want)
		}
	}
}
