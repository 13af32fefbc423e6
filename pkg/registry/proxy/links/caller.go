package links

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/transport"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// impersonation is how a caller is called in members.
func impersonation(caller user.Info) transport.ImpersonationConfig {
	config := transport.ImpersonationConfig{UserName: Foreign(caller.GetName()), UID: caller.GetUID(), Extra: caller.GetExtra()}
	for _, group := range caller.GetGroups() {
		if group != user.AllAuthenticated { // members add their own
			config.Groups = append(config.Groups, Foreign(group))
		}
	}
	return config
}

// unsayable says what of a caller no header can say as it is; nil if there is nothing. HTTP/1.1 cuts
// off spaces around a value: the group " system:masters" would be another one in the member.
func unsayable(member string, caller user.Info) error {
	refuse := func(what, value string) error {
		return apierrors.NewForbidden(v1alpha1.Resource("clusters/proxy"), member,
			fmt.Errorf("%s %.256q cannot be sent to a cluster: it is empty, or has spaces around it or control characters", what, value))
	}
	if !sayable(caller.GetName()) {
		return refuse("the user name", caller.GetName())
	}
	if uid := caller.GetUID(); uid != "" && !sayable(uid) {
		return refuse("the UID", uid)
	}
	for _, group := range caller.GetGroups() {
		if !sayable(group) {
			return refuse("the group", group)
		}
	}
	extra := caller.GetExtra()
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		for _, value := range extra[key] {
			if value != "" && !sayable(value) {
				return refuse(fmt.Sprintf("the extra %.256q with the value", key), value)
			}
		}
	}
	return nil
}

func sayable(value string) bool {
	return value != "" && strings.TrimSpace(value) == value && !strings.ContainsFunc(value, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// refusing answers every request with an error.
type refusing struct{ err error }

// RoundTrip implements http.RoundTripper.
func (r refusing) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		_ = request.Body.Close() // as transports do
	}
	return nil, r.err
}

// hostPrefix begins names of the host that would mean somebody else in a member.
const hostPrefix = "host:"

// Foreign is what a user or group of the host is called in members. Names that Kubernetes gives by
// itself mean somebody else there: the host's system:masters are not a member's, and its service
// accounts are not the member's of the same name. No two names become the same.
func Foreign(name string) string {
	for _, reserved := range []string{"system:", "kubeadm:", hostPrefix} {
		if strings.HasPrefix(name, reserved) {
			return hostPrefix + name
		}
	}
	return name
}
