package rawjson_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

var template = field.NewPath("spec", "template")

const (
	noFloat   = `: must be a number that a 64-bit float holds, at most about 1.8e308: clients cannot read others`
	noText    = `: must be text in UTF-8, with no half of a surrogate pair alone: decoders replace what is not`
	threeDeep = 3
)

func TestFaults(t *testing.T) {
	for sentence, test := range map[string]struct {
		in   string
		want []string
	}{
		"nothing is wrong":             {in: `{"a":[1,-2.5e+3,"\u00e9\ud83d\ude00",true,null,{}]}`},
		"a tiny number is zero":        {in: `1e-400`},
		"a large integer is a float":   {in: `12345678901234567890`},
		"the largest float":            {in: `1.7976931348623157e308`},
		"NUL is text":                  {in: `"\u0000"`},
		"an escaped backslash is no u": {in: `"\\ud800"`},
		"a number that is too large": {
			in:   `{"a":{"b":[0,1e400]}}`,
			want: []string{`spec.template.a.b[1]: Invalid value: "1e400"` + noFloat},
		},
		"an integer of 400 digits": {
			in:   strings.Repeat("7", 400),
			want: []string{`spec.template: Invalid value: "` + strings.Repeat("7", 64) + `..."` + noFloat},
		},
		"bytes that are no UTF-8": {
			in:   "{\"a\":\"\xff\"}",
			want: []string{`spec.template.a: Invalid value: "\"�\""` + noText},
		},
		"a key that is no UTF-8": {
			in:   "{\"\xff\":1}",
			want: []string{`spec.template.` + "�" + `: Invalid value: "\"�\""` + noText},
		},
		"half of a surrogate pair": {
			in: `["\ud83d\ude00","\ud83d","\ude00","\ud83dx"]`,
			want: []string{
				`spec.template[1]: Invalid value: "\"\\ud83d\""` + noText,
				`spec.template[2]: Invalid value: "\"\\ude00\""` + noText,
				`spec.template[3]: Invalid value: "\"\\ud83dx\""` + noText,
			},
		},
		"as deep as is allowed": {in: `{"a":[{}]}`},
		"deeper than that": {
			in:   `{"a":[{"b":[]}]}`,
			want: []string{`spec.template: Invalid value: "...": may have at most 3 objects and arrays around one another`},
		},
		"no JSON":           {in: `{"a":`, want: []string{`spec.template: Invalid value: "{\"a\":": must be JSON`}},
		"more than a value": {in: `1 2`, want: []string{`spec.template: Invalid value: "1 2": must be JSON`}},
	} {
		t.Run(sentence, func(t *testing.T) {
			var got []string
			for _, err := range rawjson.Value(test.in).Faults(template, threeDeep) {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDuplicates(t *testing.T) {
	many := `"k0":0`
	for i := range 40 {
		many += `,"k` + strconv.Itoa(i+1) + `":0`
	}
	for sentence, test := range map[string]struct {
		in   string
		want []string
	}{
		"none":                   {in: `{"a":{"b":1},"b":{"a":1},"c":[{"a":1},{"a":2}]}`},
		"in an object":           {in: `{"data":{"a":"1","a":"2"}}`, want: []string{"spec.template.data.a"}},
		"in an array":            {in: `{"c":[{},{"n":1,"n":1}]}`, want: []string{"spec.template.c[1].n"}},
		"written in another way": {in: `{"a":1,"\u0061":2}`, want: []string{"spec.template.a"}},
		"among many keys":        {in: `{` + many + `,"k0":1}`, want: []string{"spec.template.k0"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			if diff := cmp.Diff(test.want, rawjson.Value(test.in).Duplicates("spec.template")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatWasStoredUncheckedIsReadable(t *testing.T) {
	for sentence, test := range map[string]struct{ in, want string }{
		"what is right stays":         {`{"a":[1,"\ud800"]}`, `{"a":[1,"\ud800"]}`},
		"a number becomes its digits": {`{"x":1e400,"y":[-1e999,2]}`, `{"x":"1e400","y":["-1e999",2]}`},
		"a string":                    {"{\"a\":\"x\xffy\",\"b\":1}", "{\"a\":\"x�y\",\"b\":1}"},
		"a key":                       {"{\"\xff\":1e400}", "{\"�\":\"1e400\"}"},
		"no JSON stays":               {`{`, `{`},
	} {
		t.Run(sentence, func(t *testing.T) {
			if diff := cmp.Diff(test.want, string(rawjson.Value(test.in).Readable())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzScan compares with the libraries that clients read objects with.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2,{"b":null}],"a":1e400}`, `"\ud800"`, ` [ ] `, `-0.0`, "\"\xff\"", `{"\u0061":1,"a":2}`, `1e-999`, `[[[]]]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := rawjson.Value(data)
		if !json.Valid(data) {
			return // decoding has refused it
		}
		var tree any
		strict, err := kjson.UnmarshalStrict(data, &tree, kjson.DisallowDuplicateFields)
		if v.Faults(template, 1<<20) == nil && err != nil {
			t.Errorf("no fault was found in what clients cannot read: %v", err)
		}
		if duplicates := v.Duplicates(""); err == nil && (len(strict) > 0) != (len(duplicates) > 0) {
			t.Errorf("got duplicates %q, the library has %q", duplicates, strict)
		}
		readable := v.Readable()
		if !utf8.Valid(readable) {
			t.Errorf("%q is no UTF-8", readable)
		}
		var read any
		if err := kjson.UnmarshalCaseSensitivePreserveInts(readable, &read); err != nil {
			t.Errorf("%s cannot be read: %v", readable, err)
		}
		if _, err := v.Tree(); (err == nil) != (v.Faults(template, 0) == nil) {
			t.Errorf("got error %v for a tree with the faults %v", err, v.Faults(template, 0))
		}
		if v.Faults(template, 0) != nil {
			return
		}
		canonical, err := v.Canonical()
		if err != nil {
			t.Fatalf("canonical: %v", err)
		}
		again, err := canonical.Canonical()
		if err != nil || string(again) != string(canonical) {
			t.Errorf("%s becomes %s, then %s, %v", v, canonical, again, err)
		}
	})
}
