package cellview

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// target is what a path names, in the words of the client.
type target struct {
	// plain is a path that belongs to no type, as it is sent on: discovery, health.
	plain string

	group, version string
	// watch: the path has the old prefix of watches, /api/v1/watch/…
	watch bool
	// namespace is that of the path; empty for other paths, and for namespaces themselves.
	namespace string
	resource  string
	name      string
	// subresource may be followed by a path of its own: further is escaped, and starts with a
	// slash if it is not empty.
	subresource, further string
}

func (t target) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: t.group, Resource: t.resource}
}

// isNamespaces reports whether the path names namespaces, or one.
func (t target) isNamespaces() bool { return t.group == "" && t.resource == "namespaces" }

// String is the path, escaped.
func (t target) String() string {
	if t.plain != "" {
		return t.plain
	}
	segments := []string{"", "apis", t.group, t.version}
	if t.group == "" {
		segments = []string{"", "api", t.version}
	}
	if t.watch {
		segments = append(segments, "watch")
	}
	if t.namespace != "" {
		segments = append(segments, "namespaces", t.namespace)
	}
	for _, segment := range []string{t.resource, t.name, t.subresource} {
		if segment != "" {
			segments = append(segments, url.PathEscape(segment))
		}
	}
	return strings.Join(segments, "/") + t.further
}

// plainPaths have no type, and are served as the member has them.
var plainPaths = []string{"/version", "/healthz", "/livez", "/readyz", "/api", "/apis", "/openapi/v2", "/openapi/v3"}

// parse reads an escaped path. It is strict: what a server between here and the registry of the member
// could read in another way is refused.
func (v View) parse(raw string) (target, error) {
	head, further := splitProxied(raw)
	segments, err := v.segments(head)
	if err != nil {
		return target{}, err
	}
	if slices.Contains(plainPaths, raw) || strings.HasPrefix(raw, "/openapi/v3/") {
		return target{plain: raw}, nil
	}
	var t target
	switch {
	case segments[0] == "api" && len(segments) >= 2:
		t.version, segments = segments[1], segments[2:]
	case segments[0] == "apis" && len(segments) == 2:
		return target{plain: raw}, nil
	case segments[0] == "apis" && len(segments) >= 3:
		t.group, t.version, segments = segments[1], segments[2], segments[3:]
	default:
		return target{}, v.forbid("does not show %s: it shows the APIs of its namespace, /version, /healthz, /livez, /readyz and /openapi", raw)
	}
	if len(segments) == 0 {
		return target{plain: raw}, nil
	}
	if err := v.checkTail(further); err != nil {
		return target{}, err
	}
	return v.place(t, segments, further)
}

// place reads what follows the version, as API servers do.
func (v View) place(t target, segments []string, further string) (target, error) {
	if segments[0] == "watch" {
		if t.watch, segments = true, segments[1:]; len(segments) == 0 {
			return target{}, notServed()
		}
	}
	if segments[0] == "namespaces" && len(segments) > 2 && segments[2] != "status" && segments[2] != "finalize" {
		t.namespace, segments = segments[1], segments[2:]
	}
	t.resource = segments[0]
	if len(segments) > 1 {
		t.name = segments[1]
	}
	if len(segments) > 2 {
		t.subresource = segments[2]
	}
	for _, segment := range segments[min(3, len(segments)):] {
		t.further += "/" + url.PathEscape(segment)
	}
	t.further += further
	return t, nil
}

// splitProxied cuts off what follows /proxy of an object in a namespace: it is a path of another
// server, where empty segments and escapes have a meaning.
func splitProxied(raw string) (head, further string) {
	segments := strings.Split(raw, "/")
	at := 3 // behind "", api, v1
	if len(segments) > 1 && segments[1] == "apis" {
		at = 4
	}
	const proxy = 4 // namespaces, NAME, RESOURCE, NAME, proxy
	if len(segments) <= at+proxy+1 || segments[at] != "namespaces" || segments[at+proxy] != "proxy" {
		return raw, ""
	}
	head = strings.Join(segments[:at+proxy+1], "/")
	return head, raw[len(head):]
}

// segments returns those of a path, unescaped.
func (v View) segments(raw string) ([]string, error) {
	segments := strings.Split(raw, "/")
	if segments[0] != "" || len(segments) < 2 {
		return nil, v.bad("takes absolute paths only, not %q", raw)
	}
	segments = segments[1:]
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, `/\%`) ||
			strings.Count(plain, ".") != strings.Count(segment, ".") || strings.ContainsFunc(plain, isControl) {
			return nil, v.bad("takes no path with empty segments, . or .., or escapes of / . %% \\ or control characters: %q", raw)
		}
		segments[i] = plain
	}
	return segments, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// checkTail refuses a path behind /proxy that climbs, however it is read.
func (v View) checkTail(raw string) error {
	plain, err := url.PathUnescape(raw)
	for _, path := range []string{raw, plain} {
		for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			if segment == "." || segment == ".." {
				err = url.EscapeError(segment)
			}
		}
	}
	if err != nil || strings.Contains(plain, `\`) || strings.ContainsFunc(plain, isControl) || strings.Contains(strings.ToLower(raw), "%2e") {
		return v.bad("takes no path with . or .. segments, or escapes of . \\ or control characters: %q", raw)
	}
	return nil
}

// isRead reports whether a method changes nothing.
func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }
