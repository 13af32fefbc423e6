//go:build unix

package app

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// What it is told is ignored from then on: these signals come when they like, also after the test.
func TestASessionThatEndsTellsAndTellingItTwiceKillsNothing(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("these tests run under nohup, or again")
	}
	ctx := UntilTold(t.Context())
	for range 2 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
	}
}
