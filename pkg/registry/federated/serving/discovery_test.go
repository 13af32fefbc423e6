package serving_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// hangUp is the answer to a client that has gone away.
type hangUp struct{ *httptest.ResponseRecorder }

func (hangUp) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// TestAClientOfDiscoveryThatHangsUpIsNoError asks as the host does that looks whether we are there.
func TestAClientOfDiscoveryThatHangsUpIsNoError(t *testing.T) {
	var mu sync.Mutex // guards handled
	var handled []error
	before := utilruntime.ErrorHandlers
	defer func() { utilruntime.ErrorHandlers = before }()
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(_ context.Context, err error, _ string, _ ...any) {
		mu.Lock()
		defer mu.Unlock()
		handled = append(handled, err)
	}}

	api := newAPI(t, nil)
	for _, path := range []string{"", "/v1beta1", "/v1beta2"} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/apis/types.kubefed.io"+path, nil)
		answer := httptest.NewRecorder()
		api.handler.ServeHTTP(answer, request)
		if answer.Code != http.StatusOK || answer.Body.Len() == 0 {
			t.Errorf("GET %s: got %d %q", request.URL, answer.Code, answer.Body)
		}
		api.handler.ServeHTTP(hangUp{httptest.NewRecorder()}, request)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, err := range handled {
		t.Errorf("logged: %v", err)
	}
}
