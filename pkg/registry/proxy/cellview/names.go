package cellview

import (
	"strings"

	kubefed "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// KeptLabel is what the label kubefed.io/managed of an object in a view is in the member, and
// the other way round: the two keys change places. A controller of a cell marks its objects with
// kubefed.io/managed. Were the mark kept as it is, whoever manages the member as a whole would
// take them for orphans of his own; and the marks of what he made in the cell would make them
// orphans to the controller of the cell.
//
// It is the same for all cells: they are different namespaces, and one selector finds in
// a member what controllers of cells made. Both keys on one object stay two keys.
const KeptLabel = "federation.koinon.io/kubefed-managed"

// namespaceLabel is set by API servers on every namespace: its name.
const namespaceLabel = "kubernetes.io/metadata.name"

const (
	serviceAccountPrefix = "system:serviceaccount:"
	// serviceAccountsPrefix is that of the group of all accounts of a namespace.
	serviceAccountsPrefix = "system:serviceaccounts:"
)

// exchange maps the name of a namespace. The two names change places, in both directions, so
// that no two namespaces have one name: a namespace of the member that is really called as the
// view's is seen under the name that is free.
func (v View) exchange(namespace string) string {
	switch namespace {
	case v.Namespace:
		return v.MemberNamespace
	case v.MemberNamespace:
		return v.Namespace
	}
	return namespace
}

// label maps the key of a label, in both directions.
func label(key string) string {
	switch key {
	case kubefed.ManagedLabel:
		return KeptLabel
	case KeptLabel:
		return kubefed.ManagedLabel
	}
	return key
}

// user maps the name of a user or group, if it is that of service accounts of a namespace.
func (v View) user(name string) string {
	prefix, namespace, rest := splitUser(name)
	return prefix + v.exchange(namespace) + rest
}

// splitUser finds the namespace in the name of a user or group.
func splitUser(name string) (prefix, namespace, rest string) {
	if namespace, ok := strings.CutPrefix(name, serviceAccountsPrefix); ok {
		return serviceAccountsPrefix, namespace, ""
	}
	if account, ok := strings.CutPrefix(name, serviceAccountPrefix); ok {
		if at := strings.IndexByte(account, ':'); at >= 0 {
			return serviceAccountPrefix, account[:at], account[at:]
		}
	}
	return name, "", ""
}

// qualified maps a list such as "shop-rz00a/default, other/default".
func (v View) qualified(list string) string {
	const separator = ", "
	if !strings.Contains(list, "/") {
		return list
	}
	entries := strings.Split(list, separator)
	for i, entry := range entries {
		if namespace, name, ok := strings.Cut(entry, "/"); ok {
			entries[i] = v.exchange(namespace) + "/" + name
		}
	}
	return strings.Join(entries, separator)
}

// text maps the member's name of the namespace in a message for people. It is not exchanged:
// the view's name is a common word.
func (v View) text(message string) string {
	if v.Namespace == v.MemberNamespace || !strings.Contains(message, v.MemberNamespace) {
		return message
	}
	var b strings.Builder
	for rest := message; ; {
		at := strings.Index(rest, v.MemberNamespace)
		if at < 0 {
			b.WriteString(rest)
			return b.String()
		}
		end := at + len(v.MemberNamespace)
		if wordEnds(rest[end:]) && wordStarts(message[:len(message)-len(rest)+at]) {
			b.WriteString(rest[:at] + v.Namespace)
		} else {
			b.WriteString(rest[:end])
		}
		rest = rest[end:]
	}
}

// wordStarts reports whether a name may start behind the text.
func wordStarts(before string) bool {
	return before == "" || !isNameByte(before[len(before)-1]) && before[len(before)-1] != '.'
}

// wordEnds reports whether a name may end before the text: web.shop-rz00a.svc is one word, and
// a full stop is none.
func wordEnds(after string) bool {
	if after == "" || after[0] == '.' && (len(after) == 1 || !isNameByte(after[1])) {
		return true
	}
	return !isNameByte(after[0]) && after[0] != '.'
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
