package cellview

import (
	"errors"
	"fmt"
)

const (
	// maxDepth is how many objects and arrays may be around one another: decoders of Go take as many.
	maxDepth = 10000
	// maxToken is the longest string, as written, that a name or key of ours can be: six bytes
	// for each of the longest user, system:serviceaccount: with a namespace and a name.
	maxToken = 6*(len(serviceAccountPrefix)+63+1+253) + 2
	// maxText is the longest text for people that is mapped, as written, or list of names.
	maxText = 1 << 20
	// maxHeld is how much of an object may come before its namespace: no object is larger.
	maxHeld = 4 << 20
)

// Errors of answers. The rest of such an answer must not be used: whoever has begun to pass it on breaks
// the connection.
var (
	// ErrForeign: the member answered an object of another namespace. Nothing of it was written.
	ErrForeign = errors.New("the member answered an object of another namespace")
	// ErrMalformed: the answer is no JSON, or ends too early.
	ErrMalformed = errors.New("the member's answer is no whole JSON")
	// ErrTooLarge: something in the answer goes beyond a bound.
	ErrTooLarge = errors.New("the member's answer goes beyond a bound")
)

type state int

const (
	atValue     state = iota // a value, or the end of an empty array
	atNextValue              // a value
	atKey                    // a key, or the end of an empty object
	atNextKey                // a key
	atColon
	afterValue // a comma or an end
	inToken    // in a string that is looked at
	inString   // in a string that is copied
	inScalar   // in a number or a word
	inSkip     // in an object or array that is copied
)

// frame is an object or array around the current place, of which something is known.
type frame struct {
	node  *node
	array bool
	// asked: the key that is its kind has been read; decided: its value too.
	asked, decided bool
}

// scanner follows JSON as it comes, in pieces of any size, copies it, and replaces
// strings at known places. It holds the names of keys it does not know and all that is below
// them in no memory at all.
type scanner struct {
	// replace maps a string.
	// decided: the field that says what the string is has been read.
	replace func(n *node, text string, decided bool) (string, error)
	// unknown judges a field that is not known, of an object some of whose are; it may be nil.
	unknown func(n *node, key string) (*node, error)
	// strict refuses a kind that comes twice.
	strict bool
	// root is the document, and stream allows any number of them.
	root   *node
	stream bool

	out    []byte
	frames []frame
	// next is the node of the value that comes.
	next  *node
	state state
	// key: the string is a key.
	key bool
	// token is the start of a string that is looked at.
	token []byte
	// odd: the last byte of a string was a backslash that escapes the next one.
	odd     bool
	skipper skipper
	// held is where in out an object starts whose namespace is not known; -1 if there is none.
	// It belongs to the frame of depth holder.
	held, holder int
	documents    int
	err          error
}

func newScanner(root *node, stream bool) *scanner {
	return &scanner{root: root, next: root, stream: stream, held: -1}
}

// feed maps a piece. What can be written is in out, up to ready.
func (s *scanner) feed(p []byte) error {
	if s.err == nil {
		s.err = s.scan(p)
	}
	if s.err == nil && s.held >= 0 && len(s.out)-s.held > maxHeld {
		s.err = fmt.Errorf("%w: an object has %d bytes before its namespace", ErrTooLarge, maxHeld)
	}
	return s.err
}

// ready is how much of out may be written.
func (s *scanner) ready() int {
	if s.held >= 0 {
		return s.held
	}
	return len(s.out)
}

// written forgets what was.
func (s *scanner) written(n int) {
	s.out = s.out[:copy(s.out, s.out[n:])]
	if s.held >= 0 {
		s.held -= n
	}
	// A watch is silent most of the time, and there are many.
	const idleBytes = 4 << 10
	if s.stream && len(s.out) == 0 && cap(s.out)+cap(s.token) > idleBytes && s.state != inToken {
		s.out, s.token = nil, nil
	}
}

// finish reports whether the documents are whole.
func (s *scanner) finish() error {
	if s.err == nil && s.state == inScalar {
		s.leaveValue()
	}
	if s.err == nil && (len(s.frames) > 0 || s.state != atValue && s.state != afterValue || s.documents == 0 && !s.stream) {
		s.err = ErrMalformed
	}
	return s.err
}

func (s *scanner) scan(p []byte) error {
	from := 0 // what is before is in out
	for i := 0; i < len(p); {
		switch s.state {
		case inSkip, inString, inScalar:
			n, err := s.pass(p[i:])
			if err != nil {
				return err
			}
			i += n
			continue
		case inToken:
			n, err := s.continueToken(p[i:])
			if err != nil {
				return err
			}
			i += n
			from = i
			continue
		}
		c := p[i]
		if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
			i++
			continue
		}
		if c == '"' && s.looksAt() {
			s.out = append(s.out, p[from:i]...)
			n, err := s.startToken(p[i:])
			if err != nil {
				return err
			}
			i += n
			from = i
			continue
		}
		if s.starts(c) {
			// What is held starts here.
			s.out = append(s.out, p[from:i]...)
			from = i
		}
		if err := s.structure(c); err != nil {
			return err
		}
		i++
	}
	s.out = append(s.out, p[from:]...)
	return nil
}

// pass goes over what is copied as it is, and returns how far it came.
func (s *scanner) pass(p []byte) (int, error) {
	switch s.state {
	case inSkip:
		n, done := s.skipper.skip(p)
		if done {
			s.leaveValue()
		}
		if s.skipper.depth > maxDepth {
			return 0, fmt.Errorf("%w: more than %d objects and arrays are around one another", ErrTooLarge, maxDepth)
		}
		return n, nil
	case inString:
		end, odd := stringEnd(p, s.odd)
		if s.odd = odd; end < 0 {
			return len(p), nil
		}
		s.leaveString()
		return end + 1, nil
	default:
		n := scalarEnd(p)
		if n < len(p) {
			s.leaveValue()
		}
		return n, nil
	}
}

// looksAt reports whether the string that comes is a key or value that something is known of.
func (s *scanner) looksAt() bool {
	switch s.state {
	case atKey, atNextKey:
		return true
	case atValue, atNextValue:
		return s.next != nil && s.next.act != none
	}
	return false
}

// starts reports whether an object comes that is to be held.
func (s *scanner) starts(c byte) bool {
	return c == '{' && s.held < 0 && s.next != nil && s.next.verify && (s.state == atValue || s.state == atNextValue)
}

// structure takes a byte between values.
func (s *scanner) structure(c byte) error {
	switch s.state {
	case atValue, atNextValue:
		return s.value(c)
	case atColon:
		if c == ':' {
			s.state = atNextValue
			return nil
		}
	case atKey:
		if c == '}' {
			s.leave()
			return nil
		}
	case afterValue:
		return s.separator(c)
	}
	return ErrMalformed
}

func (s *scanner) value(c byte) error {
	if len(s.frames) == 0 {
		if s.documents > 0 && !s.stream {
			return ErrMalformed
		}
		s.documents++
	}
	switch {
	case c == '{' || c == '[':
		return s.enter(c)
	case c == '"':
		s.state, s.odd, s.key = inString, false, false
	case c == ']' && s.state == atValue && len(s.frames) > 0:
		s.leave()
	case c == '-' || c >= '0' && c <= '9' || c == 't' || c == 'f' || c == 'n':
		s.state = inScalar
	default:
		return ErrMalformed
	}
	return nil
}

// enter starts an object or array.
func (s *scanner) enter(c byte) error {
	n := s.next
	if n == nil || c == '[' && n.elem == nil || c == '{' && n.fields == nil && !n.labels && !n.owned {
		s.state, s.skipper = inSkip, skipper{depth: 1}
		return nil
	}
	if n.verify && c == '{' && s.held < 0 {
		s.held, s.holder = len(s.out), len(s.frames)
	}
	s.frames = append(s.frames, frame{node: n, array: c == '['})
	if c == '[' {
		s.state, s.next = atValue, n.elem
	} else {
		s.state = atKey
	}
	return nil
}

func (s *scanner) separator(c byte) error {
	if len(s.frames) == 0 {
		return ErrMalformed
	}
	top := &s.frames[len(s.frames)-1]
	switch {
	case c == ',' && top.array:
		s.state, s.next = atNextValue, top.node.elem
	case c == ',':
		s.state = atNextKey
	case c == '}' && !top.array, c == ']' && top.array:
		s.leave()
	default:
		return ErrMalformed
	}
	return nil
}

// leave ends an object or array.
func (s *scanner) leave() {
	s.frames = s.frames[:len(s.frames)-1]
	if s.held >= 0 && s.holder == len(s.frames) {
		// It names no namespace: it is in no other one.
		s.held = -1
	}
	s.leaveValue()
}

func (s *scanner) leaveValue() {
	s.state = afterValue
	if len(s.frames) == 0 {
		s.state, s.next = atValue, s.root
	}
}

func (s *scanner) leaveString() {
	if s.key {
		s.state = atColon
	} else {
		s.leaveValue()
	}
}
