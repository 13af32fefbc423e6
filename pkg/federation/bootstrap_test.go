package federation

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/klog/v2"
)

// TestAnAPIThatIsStartingIsNoError is for the log of a first start: behind a host, it takes some
// seconds until the host passes requests on.
func TestAnAPIThatIsStartingIsNoError(t *testing.T) {
	for name, test := range map[string]struct {
		away time.Duration
		want bool
	}{
		"it is there at once":        {0, false},
		"it is there after a moment": {8 * time.Second, false},
		"it stays away":              {time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logged []string
				logger := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
				started := time.Now()
				err := (&Manager{}).untilDone(klog.NewContext(t.Context(), logger), "Failed to prepare", func(context.Context) error {
					if time.Since(started) < test.away {
						return errors.New("the server is currently unable to handle the request")
					}
					return nil
				})
				if err != nil || len(logged) > 0 != test.want {
					t.Errorf("got %v and the log %q", err, logged)
				}
			})
		})
	}
}
