package cli

import (
	"bytes"
	"io"
	"unicode"
)

// NewPlainWriter returns a writer of text for a terminal, without what that would take for a command: members, and whoever writes objects,
// say sentences that are printed. Line breaks and tabulators stay. Each Write has whole characters.
func NewPlainWriter(out io.Writer) io.Writer { return plainWriter{out} }

type plainWriter struct{ out io.Writer }

// Write implements io.Writer.
func (w plainWriter) Write(p []byte) (int, error) {
	if _, err := w.out.Write(bytes.Map(plain, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// plain is a character, or what is printed instead.
func plain(r rune) rune {
	if unicode.IsPrint(r) || r == '\n' || r == '\t' {
		return r
	}
	return '?'
}
