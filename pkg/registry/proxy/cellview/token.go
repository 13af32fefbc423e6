package cellview

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// startToken takes a string that is looked at, as much of it as is there.
func (s *scanner) startToken(p []byte) (int, error) {
	s.key = s.state == atKey || s.state == atNextKey
	if !s.key && len(s.frames) == 0 {
		if s.documents > 0 && !s.stream {
			return 0, ErrMalformed
		}
		s.documents++
	}
	end, odd := stringEnd(p[1:], false)
	if end >= 0 {
		return end + 2, s.tokenEnds(p[:end+2])
	}
	s.token, s.odd, s.state = append(s.token[:0], p...), odd, inToken
	return len(p), s.checkToken()
}

func (s *scanner) continueToken(p []byte) (int, error) {
	end, odd := stringEnd(p, s.odd)
	if end >= 0 {
		return end + 1, s.tokenEnds(append(s.token, p[:end+1]...))
	}
	s.token, s.odd = append(s.token, p...), odd
	return len(p), s.checkToken()
}

// checkToken gives up on a string that is longer than any that is known.
func (s *scanner) checkToken() error {
	switch {
	case !s.key && s.next.isText():
		if len(s.token) > maxText {
			return fmt.Errorf("%w: a message has more than %d bytes", ErrTooLarge, maxText)
		}
	case len(s.token) > maxToken:
		if !s.key {
			if _, err := s.replace(s.next, string(s.token), s.decided()); err != nil {
				return err
			}
		}
		s.out = append(s.out, s.token...)
		s.token, s.state, s.next = s.token[:0], inString, nil
	}
	return nil
}

// isText reports whether the strings at a place are longer than a name.
func (n *node) isText() bool { return n.act == words || n.act == qualified }

// tokenEnds takes a whole string, with its quotes.
func (s *scanner) tokenEnds(token []byte) error {
	if !s.key {
		return s.valueEnds(token)
	}
	s.state = atColon
	top := &s.frames[len(s.frames)-1]
	if s.next = nil; len(token) > maxToken {
		s.out = append(s.out, token...)
		return nil
	}
	if bytes.IndexByte(token, '\\') < 0 {
		s.next = top.node.fields[string(token[1:len(token)-1])]
		if s.next != nil || s.unknown == nil && !bytes.Contains(token, inExchanged) {
			s.out = append(s.out, token...)
			return s.checkTwice(top)
		}
	}
	key, ok := unquote(token)
	if !ok {
		s.out = append(s.out, token...)
		return nil
	}
	s.next = top.node.fields[key]
	if s.next == nil && s.unknown != nil {
		var err error
		if s.next, err = s.unknown(top.node, key); err != nil {
			return err
		}
	}
	s.put(token, key, renamed(top.node, key))
	return s.checkTwice(top)
}

// checkTwice refuses a key that decides about others and comes twice, whatever its values are:
// the last one counts, and others were read by the first.
func (s *scanner) checkTwice(top *frame) error {
	if !s.strict || s.next == nil || s.next.act != kind {
		return nil
	}
	if top.asked {
		return errKindTwice
	}
	top.asked = true
	return nil
}

// inExchanged is in all keys that change places.
var inExchanged = []byte("kubefed")

// renamed is the key of an object in its other spelling.
func renamed(n *node, key string) string {
	switch {
	case n.labels:
		return label(key)
	case n.owned:
		if name, ok := strings.CutPrefix(key, "f:"); ok {
			return "f:" + label(name)
		}
	}
	return key
}

func (s *scanner) valueEnds(token []byte) error {
	n := s.next
	defer s.leaveValue()
	text, ok := unquote(token)
	if !ok || !n.isText() && len(token) > maxToken {
		if _, err := s.replace(n, string(token), s.decided()); err != nil {
			return err
		}
		s.out = append(s.out, token...)
		return nil
	}
	if n.act == kind {
		s.out = append(s.out, token...)
		s.decide(text)
		return nil
	}
	mapped, err := s.replace(n, text, s.decided())
	if err != nil {
		return err
	}
	s.put(token, text, mapped)
	if n.act == own {
		s.held = -1
	}
	return nil
}

// decided reports whether the field has been read that says what the string at this place is.
func (s *scanner) decided() bool {
	at := len(s.frames) - 1
	if at > 0 && s.frames[at].array {
		at--
	}
	return at >= 0 && s.frames[at].decided
}

// decide changes the node of an object, now that its kind is known.
func (s *scanner) decide(kind string) {
	top := &s.frames[len(s.frames)-1]
	top.decided = true
	if other := top.node.switches[kind]; other != nil {
		if top.node.verify && !other.verify && other.fields["rows"] != nil {
			s.held = -1
		}
		top.node = other
	}
}

var errKindTwice = errors.New("a key that decides about others comes twice")

// put writes a string: as it was if it stays the same.
func (s *scanner) put(token []byte, was, is string) {
	if was == is {
		s.out = append(s.out, token...)
		return
	}
	s.out = appendQuoted(s.out, is)
}

// unquote returns what a string says. It reports false for what is no string of JSON.
func unquote(token []byte) (string, bool) {
	body := token[1 : len(token)-1]
	if bytes.IndexByte(body, '\\') < 0 && isPlain(body) {
		return string(body), true
	}
	var text string
	err := json.Unmarshal(token, &text)
	return text, err == nil
}

// isPlain reports whether text in quotes says just itself.
func isPlain(body []byte) bool {
	for _, c := range body {
		if c < ' ' || c >= 0x80 {
			return false
		}
	}
	return true
}

// appendQuoted writes a string as API servers do, without escapes for HTML.
func appendQuoted(out []byte, text string) []byte {
	if isPlain([]byte(text)) && !strings.ContainsAny(text, `"\`) {
		return append(append(append(out, '"'), text...), '"')
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	// A string can always be written.
	_ = e.Encode(text)
	return append(out, bytes.TrimRight(b.Bytes(), "\n")...)
}
