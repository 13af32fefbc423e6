package cellaccess

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/test/simulation"
)

// kill is when a server is killed: writes fail from one on.
type kill struct {
	// after is how many are done before, and applied whether one more is done and not answered.
	after   int
	applied bool
}

// killed returns where the answer to a write goes: to w, to nobody, or nil if it is not done. The server
// is gone in the last two, which one that fails stands for.
func (r *rig) killed(w http.ResponseWriter) http.ResponseWriter {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.kill == nil:
		return w
	case r.kill.after > 0:
		r.kill.after--
		return w
	}
	answerStatus(w, http.StatusInternalServerError, "", "the server is gone")
	if r.kill.applied {
		r.kill.applied = false
		return httptest.NewRecorder()
	}
	return nil
}

// asks makes a token due.
func (r *rig) asks(secret string) {
	r.Helper()
	object := r.host.Object(simulation.Secrets, system, secret)
	object["metadata"].(map[string]any)["annotations"].(map[string]any)[federationv1alpha1.RotateAnnotation] = "now"
	if err := r.host.Put(simulation.Secrets, object); err != nil {
		r.Fatal(err)
	}
}

func TestWhereverAServerIsKilledTheNextOneGoesOn(t *testing.T) {
	const writes = 11 // no step has more
	for after := range writes {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("after %d writes, applied %v", after, applied), func(t *testing.T) {
				inBubble(t, func(r *rig) {
					known := cell()
					// step has one server be killed in the middle of something, and another one do it.
					step := func(do func()) {
						r.start()
						r.set(func() { r.kill = &kill{after, applied} })
						do()
						time.Sleep(time.Minute)
						r.stop()
						r.set(func() { r.kill = nil })
						r.start()
						do()
						time.Sleep(3 * time.Hour) // all grace is over
					}
					keep := func() {
						access := r.keeper.Of(known)
						known.Secret, known.Granted = access.Spec.SecretRef.Name, access.Usable
					}
					step(keep)
					keep()
					wantUsable(r, r.keeper.Of(known), known.Secret)
					if r.tokens > 2 {
						t.Errorf("made %d tokens", r.tokens)
					}
					old := known.Secret
					r.asks(old)
					step(keep)
					keep()
					wantUsable(r, r.keeper.Of(known), known.Secret)
					if left := r.left(); len(left) != len(everything) || r.tokens > 4 {
						t.Errorf("there is %v after %d tokens", left, r.tokens)
					}
					step(func() { r.keeper.Drop(known) })
					left := r.left()
					inHost := strings.HasPrefix(strings.Join(left, " "), "host") // what stays in the member nobody can use
					if !r.keeper.Drop(known) || inHost {
						t.Errorf("left: %v", left)
					}
				})
			})
		}
	}
}
