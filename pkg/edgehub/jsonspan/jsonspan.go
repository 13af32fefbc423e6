// Package jsonspan reads text that is known to be JSON, such as json.Valid has found it, and tells where things are in it, so that what is not looked at stays as it is, to the byte.
package jsonspan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
)

// Span is text[From:To].
type Span struct{ From, To int }

// Member finds a member of an object; nil if there is none. An API server writes none twice.
func Member(text []byte, key string) (*Span, error) {
	if i := space(text, 0); text[i] != '{' {
		return nil, fmt.Errorf("%.20q is no object", text[i:])
	}
	var found *Span
	for name, value := range Members(text) {
		if KeyOf(text, name) != key {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("it has %q twice", key)
		}
		found = &value
	}
	return found, nil
}

// Value finds what an object has under a key; of two the last, as whoever reads it has it. ok is false if there is none, or text is no object.
func Value(text []byte, key string) (at Span, ok bool) {
	if text[space(text, 0)] != '{' {
		return Span{}, false
	}
	for name, value := range Members(text) {
		if isKey(text[name.From:name.To], key) {
			at, ok = value, true
		}
	}
	return at, ok
}

// isKey reports whether a name, quoted, is a key.
func isKey(quoted []byte, key string) bool {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		return KeyOf(quoted, Span{0, len(quoted)}) == key
	}
	return string(quoted[1:len(quoted)-1]) == key
}

// Members are the names and values of an object.
func Members(text []byte) iter.Seq2[Span, Span] {
	return func(yield func(name, value Span) bool) {
		for i := space(text, space(text, 0)+1); text[i] != '}'; {
			name := Span{i, value(text, i)}
			colon := space(text, name.To)
			from := space(text, colon+1)
			v := Span{from, value(text, from)}
			if !yield(name, v) {
				return
			}
			i = next(text, v.To)
		}
	}
}

// Elements are those of a list.
func Elements(text []byte) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		for i := space(text, space(text, 0)+1); text[i] != ']'; {
			v := Span{i, value(text, i)}
			if !yield(v) {
				return
			}
			i = next(text, v.To)
		}
	}
}

// KeyOf is the name of a member.
func KeyOf(text []byte, name Span) string {
	quoted := text[name.From:name.To]
	for _, c := range quoted {
		if c == '\\' {
			var key string
			_ = json.Unmarshal(quoted, &key) // it is a string
			return key
		}
	}
	return string(quoted[1 : len(quoted)-1])
}

// space is where something is, at i or behind white space.
func space(text []byte, i int) int {
	for text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r' {
		i++
	}
	return i
}

// next is where something is behind a value and, if there is one, its comma.
func next(text []byte, i int) int {
	if i = space(text, i); text[i] == ',' {
		i = space(text, i+1)
	}
	return i
}

// value is the end of the one that begins at i.
func value(text []byte, i int) int {
	for depth := 0; ; {
		switch text[i] {
		case '"':
			i = quotation(text, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i = plain(text, i)
		}
		if depth == 0 {
			return i
		}
		for i = space(text, i); text[i] == ',' || text[i] == ':'; {
			i = space(text, i+1)
		}
	}
}

// quotation is the end of a string.
func quotation(text []byte, i int) int {
	i++
	for end := i - 1; ; { // end is of the next quotation mark, which counts if no backslash is before it
		if end < i {
			end = i + bytes.IndexByte(text[i:], '"')
		}
		escape := bytes.IndexByte(text[i:end], '\\')
		if escape < 0 {
			return end + 1
		}
		i += escape + 2
	}
}

// plain is the end of a number, true, false or null.
func plain(text []byte, i int) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case ' ', '\t', '\n', '\r', ',', ':', '}', ']':
			return i
		}
	}
	return i
}
