package links

import (
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/transport"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// impersonation is how a caller is called in members.
func impersonation(caller user.Info) transport.ImpersonationConfig {
	config := transport.ImpersonationConfig{UserName: accounts.InMembers(caller.GetName()), UID: caller.GetUID(), Extra: caller.GetExtra()}
	for _, group := range caller.GetGroups() {
		if group != user.AllAuthenticated { // members add their own
			config.Groups = append(config.Groups, accounts.InMembers(group))
		}
	}
	return config
}

// CheckCaller refuses a caller whom members would take for somebody else, with an error of the API.
// Members are told in headers who asks, and HTTP/1.1, which exec goes by, takes white space from the
// ends of a header: the group " system:masters" would be system:masters there, and a user without
// anything else in his name would be nobody, so that the credential's own account acts. Control
// characters are no part of a header at all.
//
// A group is not left out instead: rules of admission may refuse what its members do.
func CheckCaller(caller user.Info) error {
	if !plain(caller.GetName()) {
		return unnamable(fmt.Sprintf("the user name %q", caller.GetName()))
	}
	if !plain(caller.GetUID()) {
		return unnamable(fmt.Sprintf("the UID %q", caller.GetUID()))
	}
	for _, group := range caller.GetGroups() {
		if !plain(group) {
			return unnamable(fmt.Sprintf("the group %q", group))
		}
	}
	for key, values := range caller.GetExtra() {
		for _, value := range values {
			if !plain(value) {
				return unnamable(fmt.Sprintf("a value of the extra %q", key))
			}
		}
	}
	return nil
}

func unnamable(what string) error {
	return apierrors.NewForbidden(v1alpha1.Resource("clusters"), "", fmt.Errorf(
		"members are told in headers who asks, and %s begins or ends with white space, or has control characters", what))
}

// plain reports whether the value of a header arrives as it was sent.
func plain(value string) bool {
	return value == strings.Trim(value, " \t") && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// refusing answers no request.
type refusing struct{ err error }

// RoundTrip implements http.RoundTripper.
func (r refusing) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
	return nil, r.err
}
