// Package target reads what a URL of the Kubernetes API is about.
package target

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Target is what a URL is about.
type Target struct {
	Group, Version, Resource     string
	Namespace, Name, Subresource string // empty if there is none
}

// Parse returns what a URL is about; false if it is not about objects, or not written as programs do.
func Parse(u *url.URL) (Target, bool) {
	if strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") { // a slash that divides nothing
		return Target{}, false
	}
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/"), "/")
	if slices.Contains(parts, "") {
		return Target{}, false
	}
	var t Target
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		t.Version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		t.Group, t.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return Target{}, false
	}
	if parts[0] == "watch" || parts[0] == "proxy" { // what API servers had before
		return Target{}, false
	}
	// namespaces/NAME/finalize and namespaces/NAME/status are no resources of a namespace.
	if parts[0] == "namespaces" && len(parts) >= 3 && (len(parts) > 3 || parts[2] != "finalize" && parts[2] != "status") {
		t.Namespace, parts = parts[1], parts[2:]
	}
	for at, into := range []*string{&t.Resource, &t.Name, &t.Subresource} {
		if at < len(parts) {
			*into = parts[at]
		}
	}
	return t, len(parts) <= 3 && t.isPlain()
}

// isPlain reports whether everything is as Kubernetes' names are: only then is the path that is made of it the API server's path of the same.
func (t *Target) isPlain() bool {
	for _, part := range []string{t.Group, t.Version, t.Resource, t.Namespace, t.Subresource} {
		if part == "." || part == ".." || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			return false
		}
	}
	if t.Name == "." || t.Name == ".." {
		return false
	}
	return !strings.ContainsFunc(t.Name, func(r rune) bool { return r == '%' || r == utf8.RuneError || unicode.IsControl(r) })
}

// Collection is the path of the list that has what is asked for.
func (t *Target) Collection() string {
	path := "/api/" + t.Version
	if t.Group != "" {
		path = "/apis/" + t.Group + "/" + t.Version
	}
	if t.Namespace != "" {
		path += "/namespaces/" + t.Namespace
	}
	return path + "/" + t.Resource
}
