package rawjson

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// maxFaults is how many faults of one value are told; more help nobody.
	maxFaults = 10
	// maxDuplicates is sigs.k8s.io/json's limit.
	maxDuplicates = 100
)

// Faults returns what an API server would refuse in a custom resource, or would not keep
// as it is written: numbers that no float64 holds, strings that are no Unicode text, and
// more than depthLimit objects and arrays around one another, if that is not 0. path is that
// of the value.
//
// NUL, written as \u0000, is text. Keys that come twice are found by Duplicates: what is
// done about them is the client's choice.
func (v Value) Faults(path *field.Path, depthLimit int) field.ErrorList {
	var errs field.ErrorList
	s := scanner{data: v, depthLimit: depthLimit}
	report := func(value []byte, detail string) {
		if len(errs) < maxFaults {
			errs = append(errs, field.Invalid(s.path(path), excerpt(value), detail))
		}
	}
	s.number = func(token []byte) {
		if !fitsFloat(token) {
			report(token, "must be a number that a 64-bit float holds, at most about 1.8e308: clients cannot read others")
		}
	}
	s.text = func(token []byte) {
		if !isText(token) {
			report([]byte(strings.ToValidUTF8(string(token), "\uFFFD")), "must be text in UTF-8, with no half of a surrogate pair alone: decoders replace what is not")
		}
	}
	s.deep = func() {
		if depthLimit == 0 {
			return
		}
		// The container itself would be too long a path.
		if len(errs) < maxFaults {
			errs = append(errs, field.Invalid(path, "...", fmt.Sprintf("may have at most %d objects and arrays around one another", depthLimit)))
		}
	}
	if !s.value() || s.peek() != 0 {
		return field.ErrorList{field.Invalid(path, excerpt(v), "must be JSON")}
	}
	return errs
}

// IsDeeper reports whether more than limit objects and arrays are around one another.
func (v Value) IsDeeper(limit int) bool {
	if bytes.Count(v, []byte("{"))+bytes.Count(v, []byte("[")) <= limit {
		return false
	}
	deeper := false
	s := scanner{data: v, depthLimit: limit, deep: func() { deeper = true }}
	s.value()
	return deeper
}

// Duplicates returns the path of every key that an object in the value has twice, such as
// spec.template.data.a, as sigs.k8s.io/json writes them; path is that of the value. The
// last of them is the one that counts.
func (v Value) Duplicates(path string) []string {
	var paths []string
	s := scanner{data: v}
	s.duplicate = func() {
		if len(paths) < maxDuplicates {
			paths = append(paths, path+s.suffix())
		}
	}
	s.value()
	return paths
}

func (s *scanner) suffix() string {
	var b strings.Builder
	for _, step := range s.steps {
		if step.array {
			b.WriteString("[" + strconv.Itoa(step.index) + "]")
		} else {
			b.WriteString("." + step.key)
		}
	}
	return b.String()
}

// path is where the scanner is.
func (s *scanner) path(path *field.Path) *field.Path {
	for _, step := range s.steps {
		if step.array {
			path = path.Index(step.index)
		} else {
			path = path.Child(step.key)
		}
	}
	return path
}

// Readable returns the value in a form that every JSON client can read: itself, if there
// is nothing wrong with it. In values that were stored before they were checked, a number
// that no float64 holds becomes a string of its digits, and what is no UTF-8 becomes
// U+FFFD. Values that are no JSON are returned as they are.
func (v Value) Readable() Value {
	var out []byte
	copied := 0
	s := scanner{data: v}
	replace := func(token []byte, by string) {
		out = append(out, v[copied:s.pos-len(token)]...)
		out = append(out, by...)
		copied = s.pos
	}
	s.number = func(token []byte) {
		if !fitsFloat(token) {
			replace(token, `"`+string(token)+`"`)
		}
	}
	s.text = func(token []byte) {
		if !utf8.Valid(token) {
			replace(token, strings.ToValidUTF8(string(token), "\uFFFD"))
		}
	}
	if !s.value() || out == nil {
		return v
	}
	return append(out, v[copied:]...)
}

// excerpt is the start of a value, as an error can show it.
func excerpt(raw []byte) string {
	const limitBytes = 64
	if len(raw) <= limitBytes {
		return string(raw)
	}
	return strings.ToValidUTF8(string(raw[:limitBytes]), "") + "..."
}
