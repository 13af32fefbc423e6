package manifest

import (
	"strings"
	"testing"
)

func TestWhichFieldsMayBeTheMembers(t *testing.T) {
	for pointer, want := range map[string]string{
		"/spec/caBundle":                     "",
		"/webhooks/*/clientConfig/caBundle":  "",
		"/spec/template/example.com~1volume": "",
		"/secrets":                           "",
		"/data/ca.crt":                       "",
		"/spec/*/caBundle":                   "",
		"/spec/servers/*":                    "",
		"/spec/servers/0":                    "",
		"/spec/a-b":                          "",
		"/data/*":                            "",

		"":                              "must be a JSON pointer",
		"spec/caBundle":                 "must be a JSON pointer",
		"/spec/":                        "must be a JSON pointer",
		"/":                             "must be a JSON pointer",
		"/spec/a~2b":                    "must be a JSON pointer",
		"/spec/\xff":                    "must be a JSON pointer",
		"/*":                            "must begin with a field of the object",
		"/*/caBundle":                   "must begin with a field of the object",
		"/spec":                         "must name a field below /spec",
		"/spec/*":                       "must name a field below /spec",
		"/spec/*/*":                     "must name a field below /spec",
		"/spec/servers/-":               "must not have the step -",
		"/spec/servers/-/caBundle":      "must not have the step -",
		"/metadata/labels":              "must be below /spec or another field",
		"/status":                       "must be below /spec or another field",
		"/kind":                         "must be below /spec or another field",
		"/apiVersion":                   "must be below /spec or another field",
		"/" + strings.Repeat("a", 2000): "must be at most 1024 bytes",
	} {
		got := NewFieldPointerProblem(pointer)
		if (want == "") != (got == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%.40q: got %q, want it to begin with %q", pointer, got, want)
		}
		if stored := FieldPointerProblem(pointer); stored != got && !strings.HasPrefix(want, "must not have the step -") {
			t.Errorf("%.40q: where it is stored already: got %q, want %q", pointer, stored, got)
		}
	}
}
