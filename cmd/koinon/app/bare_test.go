package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAWebhookServerIsReadyFromItsFirstAttemptUntilItEnds(t *testing.T) {
	b := &bare{options: NewServerOptions()}
	health := b.health()
	check := func(when string, ready int) {
		t.Helper()
		for path, want := range map[string]int{"/livez": http.StatusOK, "/healthz": http.StatusOK, "/readyz": ready} {
			answer := httptest.NewRecorder()
			health.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			if answer.Code != want {
				t.Errorf("%s: %s is %d, want %d", when, path, answer.Code, want)
			}
		}
	}
	check("before the webhooks were told", http.StatusServiceUnavailable)
	b.attempted.Store(true)
	check("after that", http.StatusOK)
	b.ending.Store(true)
	check("when it was told to end", http.StatusServiceUnavailable)
}
