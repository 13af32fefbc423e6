package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAPageOfAnotherOriginHasNothingWritten(t *testing.T) {
	const here, elsewhere = "https://koinon.example", "https://evil.example"
	for name, test := range map[string]struct {
		method string
		header map[string]string
		// alone and hosted say whether the request is let through.
		alone, hosted bool
	}{
		"kubectl writes":                           {"POST", nil, true, true},
		"a page of ours writes":                    {"POST", map[string]string{"Origin": here, "Sec-Fetch-Site": "same-origin"}, true, true},
		"a person types an address":                {"GET", map[string]string{"Sec-Fetch-Site": "none"}, true, true},
		"another page reads":                       {"GET", map[string]string{"Sec-Fetch-Site": "cross-site"}, true, true},
		"another page writes":                      {"POST", map[string]string{"Origin": elsewhere, "Sec-Fetch-Site": "cross-site"}, false, false},
		"another page of the same site deletes":    {"DELETE", map[string]string{"Origin": elsewhere, "Sec-Fetch-Site": "same-site"}, false, false},
		"another page connects to a process":       {"GET", map[string]string{"Origin": elsewhere, "Sec-Fetch-Site": "cross-site", "Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}, false, false},
		"a page of ours connects to a process":     {"GET", map[string]string{"Origin": here, "Connection": "Upgrade", "Upgrade": "websocket"}, true, true},
		"a client that names the host as origin":   {"POST", map[string]string{"Origin": here}, true, true},
		"an old browser, which says only its page": {"POST", map[string]string{"Origin": elsewhere}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			for hosted, want := range map[bool]bool{false: test.alone, true: test.hosted} {
				through := false
				api := withoutOtherOrigins(hosted, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { through = true }))
				request := httptest.NewRequestWithContext(t.Context(), test.method, here+"/api/v1/namespaces/a/pods/b/exec", nil)
				for key, value := range test.header {
					request.Header.Set(key, value)
				}
				answer := httptest.NewRecorder()
				api.ServeHTTP(answer, request)
				if through != want || !want && answer.Code != http.StatusForbidden {
					t.Errorf("hosted %v: let through is %v, want %v; it is answered %d %s", hosted, through, want, answer.Code, answer.Body)
				}
			}
		})
	}
}
