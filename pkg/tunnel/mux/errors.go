package mux

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Code says why a stream was not opened, or ended. It travels, so that the end which a person looks at
// knows what happened at the other.
type Code uint16

const (
	// OK is no error.
	OK Code = iota
	// Refused: the target refused the connection.
	Refused
	// Unreachable: there is no way to the target, or its name is not known.
	Unreachable
	// Timeout: the target did not answer in time.
	Timeout
	// Denied: the agent's policy does not allow the target.
	Denied
	// Overloaded: a limit was reached.
	Overloaded
	// Draining: no more streams are opened on this link.
	Draining
	// Canceled: who wanted the stream does not any more.
	Canceled
	// Broken: the target's connection broke.
	Broken
	// Violated: the peer does not keep to the protocol.
	Violated
	// Internal is a fault of ours.
	Internal
	// Absent: whoever could open it is not connected to this end.
	Absent
)

var codeNames = [...]string{"OK", "refused", "unreachable", "timeout", "denied", "overloaded", "draining", "canceled", "broken", "violated", "internal", "absent"}

func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint16(c))
}

// Error is why the other side ended a stream, or did not open it.
type Error struct {
	Code Code
	// Text is the other side's sentence. It is printable, of one line and bounded.
	Text string
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Code.String()
	}
	return e.Text
}

// CodeOf returns the code of an error: Internal if it has none.
func CodeOf(err error) Code {
	var coded *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &coded):
		return coded.Code
	}
	return Internal
}

// Why a link ended. Errors of streams of such a link are these, too.
var (
	// ErrSilent: nothing came for longer than the other side may be silent.
	ErrSilent = errors.New("the other end of the link does not answer")
	// ErrClosed: this side closed it.
	ErrClosed = errors.New("the link was closed")
	// ErrLost: the connection broke, or the other side closed it.
	ErrLost = errors.New("the link was lost")
	// ErrProtocol: the other side sent what it may not.
	ErrProtocol = errors.New("the other end of the link does not keep to the protocol")
)

// shorten bounds text to what a frame may have, without breaking a character.
func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	text = text[:maxText]
	for len(text) > 0 && !utf8.ValidString(text[len(text)-1:]) && !utf8.RuneStart(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return strings.ToValidUTF8(text, "")
}

// printable is text of the other side, to be shown.
func printable(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), " "))
}
