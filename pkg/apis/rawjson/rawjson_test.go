package rawjson_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

type holder struct {
	Value rawjson.Value `json:"value,omitempty"`
}

func encode(t *testing.T, v any) string {
	t.Helper()
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(buf.Bytes()))
}

func TestDecodedValuesKeepTheirBytes(t *testing.T) {
	for sentence, tc := range map[string]struct {
		data string
		want rawjson.Value
	}{
		"absent is nil":               {`{}`, nil},
		"null is a value":             {`{"value":null}`, rawjson.Value("null")},
		"white space goes":            {`{"value": { "a" : [ 1 , 2 ] } }`, rawjson.Value(`{"a":[1,2]}`)},
		"white space in strings not":  {`{"value":" a "}`, rawjson.Value(`" a "`)},
		"the order of keys stays":     {`{"value":{"b":1,"a":2}}`, rawjson.Value(`{"b":1,"a":2}`)},
		"digits stay":                 {`{"value":1.50}`, rawjson.Value(`1.50`)},
		"letters and escapes stay":    {`{"value":"<\u003c\/"}`, rawjson.Value(`"<\u003c\/"`)},
		"the empty object is no null": {`{"value":{}}`, rawjson.Value(`{}`)},
	} {
		t.Run(sentence, func(t *testing.T) {
			var std, kube holder
			if err := json.Unmarshal([]byte(tc.data), &std); err != nil {
				t.Fatal(err)
			}
			if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(tc.data), &kube); err != nil {
				t.Fatal(err)
			}
			for decoder, got := range map[string]holder{"encoding/json": std, "sigs.k8s.io/json": kube} {
				if diff := cmp.Diff(tc.want, got.Value); diff != "" {
					t.Errorf("%s (-want +got):\n%s", decoder, diff)
				}
				var again holder
				if err := json.Unmarshal([]byte(encode(t, got)), &again); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(got, again); diff != "" {
					t.Errorf("%s, after a round trip (-want +got):\n%s", decoder, diff)
				}
			}
		})
	}
}

func TestDecodingCopies(t *testing.T) {
	data := []byte(`{"a":1}`)
	var v rawjson.Value
	if err := v.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	data[2] = 'b'
	if string(v) != `{"a":1}` {
		t.Errorf("got %s: the value shares the decoder's buffer", v)
	}
}

func TestCanonical(t *testing.T) {
	for sentence, tc := range map[string]struct{ in, want rawjson.Value }{
		"nil stays nil":             {nil, nil},
		"null stays null":           {rawjson.Value(`null`), rawjson.Value(`null`)},
		"keys are sorted, deeply":   {rawjson.Value(`{"b":[{"d":1,"c":2}],"a":null}`), rawjson.Value(`{"a":null,"b":[{"c":2,"d":1}]}`)},
		"numbers keep their digits": {rawjson.Value(`[1.50,1e400,12345678901234567890]`), rawjson.Value(`[1.50,1e400,12345678901234567890]`)},
		"escapes become letters":    {rawjson.Value(`"\u003c\/é"`), rawjson.Value(`"</é"`)},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := tc.in.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := rawjson.Value(`{`).Canonical(); err == nil {
		t.Error("half an object has a canonical form")
	}
}

func FuzzCanonicalIsStable(f *testing.F) {
	f.Add([]byte(`{"b":[1.0,{"a":"<"}],"a":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v rawjson.Value
		if json.Unmarshal(data, &v) != nil {
			return
		}
		once, err := v.Canonical()
		if err != nil {
			return // such as an object nested too deeply
		}
		twice, err := once.Canonical()
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s became %s and then %s (%v)", v, once, twice, err)
		}
	})
}
