package rawjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// scanner goes over the tokens of a value and tells handlers what it meets. It allocates
// for keys and places only. Values that are no JSON end it early: decoding has refused
// them before.
type scanner struct {
	data  []byte
	pos   int
	steps []step

	// number is told a number, as it is written; pos is behind it.
	number func(token []byte)
	// text is told a string or a key, as it is written, with its quotes; pos is behind it.
	text func(token []byte)
	// duplicate is told a key that its object has already; the key is the last step.
	duplicate func()
	// deep is told once per container that is nested more than depthLimit deep. What is in
	// it is scanned all the same.
	deep func()
	// depthLimit counts objects and arrays around a value; 0 is none.
	depthLimit int
}

// step leads from a container to a value in it.
type step struct {
	key   string
	index int // if the container is an array, which has no keys
	array bool
}

func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// value scans one value. It reports false where the data is no JSON.
func (s *scanner) value() bool {
	switch c := s.peek(); {
	case c == '{':
		return s.object()
	case c == '[':
		return s.array()
	case c == '"':
		token, ok := s.string()
		if ok && s.text != nil {
			s.text(token)
		}
		return ok
	case c == '-' || '0' <= c && c <= '9':
		token := s.until()
		if s.number != nil {
			s.number(token)
		}
		return true
	case c == 't' || c == 'f' || c == 'n':
		s.until()
		return true
	}
	return false
}

// until returns a number or a word.
func (s *scanner) until() []byte {
	start := s.pos
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return s.data[start:s.pos]
		}
		s.pos++
	}
	return s.data[start:]
}

// string returns a string with its quotes.
func (s *scanner) string() ([]byte, bool) {
	start := s.pos
	for s.pos++; s.pos < len(s.data); s.pos++ {
		switch s.data[s.pos] {
		case '\\':
			s.pos++
		case '"':
			s.pos++
			return s.data[start:s.pos], true
		}
	}
	return nil, false
}

func (s *scanner) enter() {
	s.steps = append(s.steps, step{})
	if s.deep != nil && len(s.steps) == s.depthLimit+1 {
		s.deep()
	}
}

func (s *scanner) leave() bool {
	s.pos++
	s.steps = s.steps[:len(s.steps)-1]
	return true
}

func (s *scanner) array() bool {
	s.enter()
	s.pos++
	if s.peek() == ']' {
		return s.leave()
	}
	for i := 0; ; i++ {
		s.steps[len(s.steps)-1] = step{index: i, array: true}
		if !s.value() {
			return false
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			return s.leave()
		default:
			return false
		}
	}
}

func (s *scanner) object() bool {
	s.enter()
	s.pos++
	if s.peek() == '}' {
		return s.leave()
	}
	var seen keys
	for {
		if !s.key(&seen) || !s.value() {
			return false
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			return s.leave()
		default:
			return false
		}
	}
}

// key scans a key and its colon.
func (s *scanner) key(seen *keys) bool {
	if s.peek() != '"' {
		return false
	}
	token, ok := s.string()
	if !ok {
		return false
	}
	key := unquote(token)
	s.steps[len(s.steps)-1] = step{key: key}
	if s.text != nil {
		s.text(token)
	}
	if s.duplicate != nil && seen.add(key) {
		s.duplicate()
	}
	if s.peek() != ':' {
		return false
	}
	s.pos++
	return true
}

// keys are those of one object. Most objects have few.
type keys struct {
	few  []string
	many map[string]bool
}

// add reports whether the key was there.
func (k *keys) add(key string) bool {
	const fewest = 16
	if k.many == nil {
		for _, known := range k.few {
			if known == key {
				return true
			}
		}
		if k.few = append(k.few, key); len(k.few) > fewest {
			k.many = make(map[string]bool, 4*fewest)
			for _, known := range k.few {
				k.many[known] = true
			}
		}
		return false
	}
	there := k.many[key]
	k.many[key] = true
	return there
}

// unquote returns the text of a string token.
func unquote(token []byte) string {
	inner := token[1 : len(token)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var text string
	if err := json.Unmarshal(token, &text); err != nil {
		return string(inner)
	}
	return text
}

// fitsFloat reports whether a number can be read by clients: whether it is an int64 or a
// float64. Tiny numbers are: they are zero.
func fitsFloat(token []byte) bool {
	const certain = 300 // digits, without an exponent, are less than the largest float64
	if len(token) < certain && !bytes.ContainsAny(token, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(string(token), 64)
	return err == nil
}

// isText reports whether a string token, or all of a value, stands for text: UTF-8, in
// which every surrogate has its other half. Decoders put U+FFFD for what is not, so that it
// is lost.
func isText(token []byte) bool {
	if !utf8.Valid(token) {
		return false
	}
	for {
		at := bytes.IndexByte(token, '\\')
		if at < 0 || at+1 >= len(token) {
			return true
		}
		token = token[at:]
		if token[1] != 'u' {
			token = token[2:]
			continue
		}
		switch r := escaped(token); {
		case 0xD800 <= r && r < 0xDC00:
			if low := escaped(token[6:]); low < 0xDC00 || low > 0xDFFF {
				return false
			}
			token = token[12:]
		case 0xDC00 <= r && r <= 0xDFFF:
			return false
		default:
			token = token[min(6, len(token)):]
		}
	}
}

// escaped returns the number of a \uXXXX that the token begins with, and else -1.
func escaped(token []byte) int {
	if len(token) < 6 || token[0] != '\\' || token[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(token[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int(n)
}
