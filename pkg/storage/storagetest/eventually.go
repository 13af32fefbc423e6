package storagetest

import (
	"testing"
	"time"
)

// patience is for how long something may take to happen on a busy machine.
const patience = time.Minute

// Eventually polls until check is true. What says that in words.
func Eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !check(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not happen that %s", what)
		}
	}
}
