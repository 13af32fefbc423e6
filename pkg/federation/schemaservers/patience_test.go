package schemaservers

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

// TestASlowMemberDoesNotHoldUpTheSchemasOfOthers: it is asked for some time, not for some
// time for each group.
func TestASlowMemberDoesNotHoldUpTheSchemasOfOthers(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(server.Close)
	now := testingclock.NewFakePassiveClock(time.Now())
	client := &http.Client{Transport: &patient{next: http.DefaultTransport, clock: now}}
	for i, test := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {patience - time.Second, true}, {2 * time.Second, false}, {time.Hour, false}} {
		now.SetTime(now.Now().Add(test.after))
		before := asked
		response, err := client.Get(server.URL)
		if err == nil {
			_ = response.Body.Close()
		}
		if (err == nil) != test.want || (asked > before) != test.want {
			t.Errorf("request %d: got error %v, asked %v, want it asked: %v", i, err, asked > before, test.want)
		}
	}
}
