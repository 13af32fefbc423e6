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

// IsInner reports whether what answers a path is behind the member's API server: a pod, a service or
// a node, through the subresource proxy.
func IsInner(path string) bool {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case len(segments) > 2 && segments[0] == "api":
		segments = segments[2:] // api/v1
	case len(segments) > 3 && segments[0] == "apis":
		segments = segments[3:] // apis/GROUP/VERSION
	default:
		return false
	}
	if len(segments) > 3 && segments[0] == "namespaces" && segments[2] != "proxy" {
		segments = segments[2:]
	}
	return len(segments) > 2 && segments[2] == "proxy" // TYPE/NAME/proxy
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func badPath(cluster string, err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("cluster %q: %v", cluster, err))
}
