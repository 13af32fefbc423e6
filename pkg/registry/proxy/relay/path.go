package relay

import (
	"fmt"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// CheckPath refuses escaped paths that servers on the way may read in different ways: with empty
// segments, with . or .., or with escapes of what separates and escapes. A trailing slash is all right.
func CheckPath(escaped string) error {
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok && escaped != "" {
		return fmt.Errorf("the path %.256q does not begin with a slash", escaped)
	}
	segments := strings.Split(rest, "/")
	for i, segment := range segments {
		name, err := url.PathUnescape(segment)
		switch {
		case err != nil:
			return fmt.Errorf("the path %.256q has an escape that means nothing", escaped)
		case segment == "" && i < len(segments)-1:
			return fmt.Errorf("the path %.256q has an empty segment", escaped)
		case name == ".", name == "..":
			return fmt.Errorf("the path %.256q has a segment %q", escaped, name)
		case strings.ContainsAny(name, `/\%`), strings.ContainsFunc(name, isControl):
			return fmt.Errorf(`the path %.256q has an escaped slash, backslash, percent sign or control character`, escaped)
		}
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func badPath(cluster string, err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("cluster %q: %v", cluster, err))
}
