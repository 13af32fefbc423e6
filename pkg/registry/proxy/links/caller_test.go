package links

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"
)

// told is what a member reads of who asks.
type told struct {
	User, UID     string
	Groups, Extra []string
}

// tellingMember says on the channel who asked it.
func tellingMember(t *testing.T) (*Link, <-chan told) {
	t.Helper()
	asked := make(chan told, 1)
	member := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- told{r.Header.Get("Impersonate-User"), r.Header.Get("Impersonate-Uid"), r.Header["Impersonate-Group"], r.Header["Impersonate-Extra-Acme.com%2fteam"]}
	}))
	member.EnableHTTP2 = true
	member.StartTLS()
	t.Cleanup(member.Close)
	config := &rest.Config{Host: member.URL, BearerToken: "all-powerful", TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	link, err := NewLink("m1", config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.End(ErrServerEnds) })
	return link, asked
}

// askAs sends one request as a caller.
func askAs(t *testing.T, link *Link, caller user.Info, upgraded bool) error {
	t.Helper()
	url, err := link.URL("/version", "")
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := link.As(caller, upgraded).RoundTrip(request)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

const team = "acme.com/team"

func TestMembersAreToldWhoAsksAsHeIsCalled(t *testing.T) {
	link, asked := tellingMember(t)
	for name, test := range map[string]struct {
		caller user.DefaultInfo
		want   told
	}{
		"a user alone": {user.DefaultInfo{Name: "alice"}, told{User: "alice"}},
		"letters of all the world": {
			user.DefaultInfo{Name: "https://issuer#Jörg Müller", UID: "ü 1", Groups: []string{"日本", "CN=a,OU=b\\, c"}},
			told{User: "https://issuer#Jörg Müller", UID: "ü 1", Groups: []string{"日本", "CN=a,OU=b\\, c"}},
		},
		"white space that is no ASCII": {
			user.DefaultInfo{Name: "alice", Groups: []string{"\u00a0system:masters", "dev\u2003"}},
			told{User: "alice", Groups: []string{"\u00a0system:masters", "dev\u2003"}},
		},
		"an empty group": {user.DefaultInfo{Name: "alice", Groups: []string{"", "dev"}}, told{User: "alice", Groups: []string{"", "dev"}}},
		"names of Kubernetes' own": {
			user.DefaultInfo{Name: "system:admin", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}},
			told{User: "host:system:admin", Groups: []string{"host:system:masters"}},
		},
		"extra": {
			user.DefaultInfo{Name: "alice", Extra: map[string][]string{team: {"a b", "ü,c"}}},
			told{User: "alice", Extra: []string{"a b", "ü,c"}},
		},
	} {
		for protocol, upgraded := range map[string]bool{"HTTP/2": false, "HTTP/1.1": true} {
			t.Run(name+" by "+protocol, func(t *testing.T) {
				if err := askAs(t, link, &test.caller, upgraded); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, <-asked); diff != "" {
					t.Errorf("the member was told (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestWhoWouldBeSomebodyElseInMembersIsRefused: a server takes white space from the ends of headers.
// The group " system:masters", which means nothing here, had every right in members where the
// protocol was changed, as for exec.
func TestWhoWouldBeSomebodyElseInMembersIsRefused(t *testing.T) {
	link, asked := tellingMember(t)
	for name, test := range map[string]struct {
		caller user.DefaultInfo
		named  string
	}{
		"a group with a space before it":  {user.DefaultInfo{Name: "m", Groups: []string{"dev", " system:masters"}}, `the group " system:masters"`},
		"a group with a tab before it":    {user.DefaultInfo{Name: "m", Groups: []string{"\tsystem:masters"}}, `the group "\tsystem:masters"`},
		"a group with a space behind it":  {user.DefaultInfo{Name: "m", Groups: []string{"dev "}}, `the group "dev "`},
		"a user with a space before him":  {user.DefaultInfo{Name: " system:admin"}, `the user name " system:admin"`},
		"a user who is nothing but space": {user.DefaultInfo{Name: " "}, `the user name " "`},
		"a user on two lines":             {user.DefaultInfo{Name: "m\r\nn"}, `the user name "m\r\nn"`},
		"a UID with a space behind it":    {user.DefaultInfo{Name: "m", UID: "1 "}, `the UID "1 "`},
		"extra with a control character":  {user.DefaultInfo{Name: "m", Extra: map[string][]string{team: {"a", "b\x7f"}}}, `a value of the extra "acme.com/team"`},
	} {
		for protocol, upgraded := range map[string]bool{"HTTP/2": false, "HTTP/1.1": true} {
			t.Run(name+" by "+protocol, func(t *testing.T) {
				err := askAs(t, link, &test.caller, upgraded)
				if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.named+" begins or ends with white space") {
					t.Errorf("got %v, want Forbidden that names %s", err, test.named)
				}
				select {
				case got := <-asked:
					t.Errorf("the member was asked by %+v", got)
				default:
				}
			})
		}
	}
}
