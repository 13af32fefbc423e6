package memberclient

import (
	"io"
	"net/http"
	"testing"
)

func TestTheVersionOfAMemberIsAskedForOnceAndWhenItIsBack(t *testing.T) {
	asked, answer := 0, "ok"
	member := &fakeMember{
		healthz: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) },
		version: func(w http.ResponseWriter, _ *http.Request) {
			asked++
			_, _ = io.WriteString(w, `{"gitVersion":"v1.36.`+string(rune('0'+asked))+`"}`)
		},
	}
	conn := serve(t, member)
	for i, step := range []struct {
		answer, version string
	}{{"ok", "v1.36.1"}, {"ok", "v1.36.1"}, {"no", ""}, {"ok", "v1.36.2"}, {"ok", "v1.36.2"}} {
		answer = step.answer
		healthy, version, err := conn.Health(t.Context())
		if err != nil || healthy != (step.answer == "ok") || version != step.version {
			t.Errorf("check %d: got %v, %q and error %v, want version %q", i, healthy, version, err, step.version)
		}
	}
}
