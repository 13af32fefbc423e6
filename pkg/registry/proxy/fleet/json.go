package fleet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
)

// maxDepth is how deep values may be nested. API servers take no deeper ones in custom resources.
const maxDepth = 1000

var (
	errUnfinished = errors.New("the JSON ends too early")
	errTooDeep    = fmt.Errorf("the JSON is nested more than %d deep", maxDepth)
)

// scanner steps over JSON in memory, and checks what it steps over: no byte is passed on that a
// client could not read. It makes nothing of values.
type scanner struct {
	data  []byte
	at    int
	depth int
}

// span is a part of the data, from its first byte to the one behind its last.
type span struct{ from, to int }

func (p span) empty() bool { return p.to == 0 }

func (p span) of(data []byte) []byte { return data[p.from:p.to] }

func (s *scanner) bad(what string) error {
	return fmt.Errorf("no JSON: %s expected at byte %d", what, s.at)
}

// next returns the next byte that is no white space, and stands there; 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	switch s.next() {
	case c:
		s.at++
		return nil
	case 0:
		return errUnfinished
	}
	return s.bad(string(c))
}

// end is an error if there is more than white space left.
func (s *scanner) end() error {
	if s.next() != 0 || s.at < len(s.data) {
		return s.bad("the end")
	}
	return nil
}

// value steps over any value.
func (s *scanner) value() error {
	switch c := s.next(); {
	case c == '"':
		_, err := s.str()
		return err
	case c == '{':
		return s.object(nil)
	case c == '[':
		return s.array(s.value)
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case c == 0:
		return errUnfinished
	}
	return s.bad("a value")
}

// spanOf steps over any value, and returns where it is.
func (s *scanner) spanOf() (span, error) {
	s.next()
	from := s.at
	err := s.value()
	return span{from, s.at}, err
}

// object steps over an object. each is called with every key, standing before its value, over
// which it must step; nil steps over all.
func (s *scanner) object(each func(key []byte) error) error {
	if err := s.open('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		if s.next() == '}' && first {
			break
		}
		if s.next() != '"' {
			return s.bad("a key")
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if each == nil {
			err = s.value()
		} else {
			err = each(plain(key))
		}
		if err != nil {
			return err
		}
		if more, err := s.more('}'); err != nil {
			return err
		} else if !more {
			break
		}
	}
	return s.close()
}

// array steps over an array. each must step over one element.
func (s *scanner) array(each func() error) error {
	if err := s.open('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		if s.next() == ']' && first {
			break
		}
		if err := each(); err != nil {
			return err
		}
		if more, err := s.more(']'); err != nil {
			return err
		} else if !more {
			break
		}
	}
	return s.close()
}

func (s *scanner) open(bracket byte) error {
	if s.depth++; s.depth > maxDepth {
		return errTooDeep
	}
	return s.expect(bracket)
}

// close steps over a bracket at which the scanner stands.
func (s *scanner) close() error {
	s.at++
	s.depth--
	return nil
}

// more steps over a comma, or stands at the bracket.
func (s *scanner) more(bracket byte) (bool, error) {
	switch s.next() {
	case ',':
		s.at++
		return true, nil
	case bracket:
		return false, nil
	case 0:
		return false, errUnfinished
	}
	return false, s.bad("a comma")
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.at:], []byte(word)) {
		return s.bad(word)
	}
	s.at += len(word)
	return nil
}

// ordinary returns how many bytes at the beginning stand for themselves in a string: all but
// quotes, backslashes and control characters. It looks at eight at once.
func ordinary(text []byte) (n int) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(text)-n >= 8; n += 8 {
		x := binary.LittleEndian.Uint64(text[n:])
		quotes, slashes := x^ones*'"', x^ones*'\\'
		// The lowest bit that is set is of the first such byte.
		found := ((quotes-ones)&^quotes | (slashes-ones)&^slashes | (x-ones*' ')&^x) & highs
		if found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for n < len(text) && text[n] >= ' ' && text[n] != '"' && text[n] != '\\' {
		n++
	}
	return n
}

// str steps over the string at which the scanner stands, and returns it with its quotes.
func (s *scanner) str() ([]byte, error) {
	from := s.at
	s.at++
	for {
		rest := s.data[s.at:]
		n := ordinary(rest)
		if s.at += n; n == len(rest) {
			return nil, errUnfinished
		}
		switch rest[n] {
		case '"':
			s.at++
			return s.data[from:s.at], nil
		case '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		default:
			return nil, s.bad("no control character")
		}
	}
}

func (s *scanner) escape() error {
	rest := s.data[s.at+1:]
	if len(rest) == 0 {
		return errUnfinished
	}
	switch rest[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
		return nil
	case 'u':
		if len(rest) < 5 {
			return errUnfinished
		}
		for _, c := range rest[1:5] {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return s.bad("an escape")
			}
		}
		s.at += 6
		return nil
	}
	return s.bad("an escape")
}

func (s *scanner) number() error {
	if s.data[s.at] == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if s.digits() == 0 {
		return s.bad("a digit")
	}
	if s.peek() == '.' {
		s.at++
		if s.digits() == 0 {
			return s.bad("a digit")
		}
	}
	if c := s.peek(); c != 'e' && c != 'E' {
		return nil
	}
	s.at++
	if c := s.peek(); c == '+' || c == '-' {
		s.at++
	}
	if s.digits() == 0 {
		return s.bad("a digit")
	}
	return nil
}

// peek returns the byte at which the scanner stands, 0 at the end.
func (s *scanner) peek() byte {
	if s.at == len(s.data) {
		return 0
	}
	return s.data[s.at]
}

func (s *scanner) digits() (n int) {
	for ; '0' <= s.peek() && s.peek() <= '9'; n++ {
		s.at++
	}
	return n
}

// plain returns what a string with quotes says: most keys say what they are.
func plain(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil { // cannot be: str has checked it
		return nil
	}
	return []byte(text)
}

// text steps over a string, and returns what it says; an error for any other value but null.
func (s *scanner) text() ([]byte, error) {
	switch s.next() {
	case '"':
		quoted, err := s.str()
		if err != nil {
			return nil, err
		}
		return plain(quoted), nil
	case 'n':
		return nil, s.literal("null")
	}
	return nil, s.bad("a string")
}
