package memberaccess

import (
	"strings"
	"unicode"
)

// Said makes one printable line of at most so many bytes, and a mark where it is cut, of what a member says: that
// is shown to people, and may be anything.
func Said(text string, limitBytes int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > limitBytes {
		text = strings.ToValidUTF8(text[:limitBytes], "") + "…"
	}
	return text
}
