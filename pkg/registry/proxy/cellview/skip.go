package cellview

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// skipper goes over one object or array that nothing is known of. It counts brackets outside
// of strings, and does not look at what else is there, nor whether brackets match: all is copied
// as it is, and is JSON or not to whoever reads it.
type skipper struct {
	// depth is how many levels are open.
	depth int
	// quoted: the place is in a string. escaped: the byte that comes is behind a backslash in it.
	quoted, escaped bool
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// equal has the high bit of each byte of a word set that is c.
func equal(word uint64, c byte) uint64 {
	x := word ^ lowBits*uint64(c)
	return ^(x&^highBits + ^uint64(highBits) | x | ^uint64(highBits))
}

// skip returns how far it came, and whether that is the end.
func (s *skipper) skip(p []byte) (n int, done bool) {
	const wordBytes = 8
	for ; len(p)-n >= wordBytes; n += wordBytes {
		if s.word(binary.LittleEndian.Uint64(p[n:])) {
			continue
		}
		for i, c := range p[n : n+wordBytes] {
			if s.one(c) {
				return n + i + 1, true
			}
		}
	}
	for ; n < len(p); n++ {
		if s.one(p[n]) {
			return n + 1, true
		}
	}
	return n, false
}

// word takes eight bytes at once. It reports false, and takes none, if there is a backslash
// among them or the end may be.
func (s *skipper) word(word uint64) bool {
	if s.escaped || equal(word, '\\') != 0 {
		return false
	}
	// Each byte of the product counts the quotes up to it.
	quoted := equal(word, '"') >> 7 * lowBits
	if s.quoted {
		quoted ^= lowBits
	}
	outside := ^quoted << 7
	// This bit is all that [ and {, and ] and }, differ in.
	const caseBit = 0x20 * lowBits
	opens := bits.OnesCount64(equal(word|caseBit, '{') & outside)
	closes := bits.OnesCount64(equal(word|caseBit, '}') & outside)
	if closes >= s.depth {
		return false
	}
	s.depth += opens - closes
	s.quoted = quoted>>56&1 == 1
	return true
}

// one takes a byte, and reports whether it is the end.
func (s *skipper) one(c byte) bool {
	switch {
	case s.escaped:
		s.escaped = false
	case c == '"':
		s.quoted = !s.quoted
	case s.quoted:
		s.escaped = c == '\\'
	case c == '{' || c == '[':
		s.depth++
	case c == '}' || c == ']':
		s.depth--
		return s.depth == 0
	}
	return false
}

// stringEnd returns where the quote is that ends a string, -1 if it is not there. odd says
// of the byte before whether it escapes the first one; it returns the same of the last one.
func stringEnd(p []byte, odd bool) (int, bool) {
	for from := 0; ; {
		quote := bytes.IndexByte(p[from:], '"')
		end := from + quote
		if quote < 0 {
			end = len(p)
		}
		run := end
		for run > from && p[run-1] == '\\' {
			run--
		}
		escapes := end - run
		if run == from && odd {
			escapes++
		}
		switch {
		case quote < 0:
			return -1, escapes%2 == 1
		case escapes%2 == 0:
			return end, false
		}
		from, odd = end+1, false
	}
}

// scalarEnd returns where a number or word ends.
func scalarEnd(p []byte) int {
	for i, c := range p {
		switch c {
		case ',', ']', '}', ' ', '\t', '\n', '\r', '"', '{', '[', ':':
			return i
		}
	}
	return len(p)
}
