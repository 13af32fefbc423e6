package simnode

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestKubelet(t *testing.T) {
	tests := map[string]struct {
		method, path string
		code         int
		body         string
	}{
		"logs say that nothing runs": {
			method: http.MethodGet, path: "/containerLogs/shop/web-1/main", code: http.StatusOK,
			body: "container main of pod shop/web-1 is simulated: nothing runs, and this is all it says\n",
		},
		"exec is refused": {
			method: http.MethodPost, path: "/exec/shop/web-1/main?command=sh", code: http.StatusNotImplemented,
			body: nothingThere + "\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			kubeletHandler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), test.method, test.path, nil))
			if w.Code != test.code || w.Body.String() != test.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, test.code, test.body)
			}
		})
	}
}
