package seats

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestStatusKeepsTheKindOfAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code int32
	}{
		"an answer of the API": {err: apierrors.NewTooManyRequests("storage is initializing", 1), code: http.StatusTooManyRequests},
		"any other error":      {err: errors.New("no answer"), code: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			var got *apierrors.StatusError
			if !errors.As(status(fmt.Errorf("read: %w", test.err)), &got) || got.ErrStatus.Code != test.code {
				t.Errorf("got %v, want code %d", got, test.code)
			}
		})
	}
}
