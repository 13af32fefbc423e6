package enroll

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
)

// The disk is full when the certificate is due: the agent does not lose it, and keeps the new one once there is room.
func TestACertificateIsRenewedAlthoughTheDiskIsFull(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	tn.SetClock(-6 * 24 * time.Hour) // what it gets is due at once
	var full atomic.Bool
	state, err := NewDir(filepath.Join(t.TempDir(), "state"), func(path string, data []byte, mode os.FileMode) error {
		if full.Load() {
			return &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
		}
		return os.WriteFile(path, data, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
	k := keeper(t, tn, state, func(c *Config) { c.Token = token(tn.Tokens.New(t, m1, tn.Now(), time.Hour)) })
	if err := start(t, k); err != nil {
		t.Fatal(err)
	}
	first := k.held()
	kept, err := state.Read(agentFile)
	if err != nil {
		t.Fatal(err)
	}
	tn.SetClock(0)
	full.Store(true)
	k.checkEvery = time.Millisecond
	renewed := make(chan bool, 100)
	k.OnRenewed(func() { renewed <- true })
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	defer running.Wait()
	defer cancel()
	authoritytest.Eventually(t, "it is renewed", func() bool { return k.held() != first })
	<-renewed
	second := k.held()
	if _, until := k.Certificate(); !until.After(first.chain[0].NotAfter) {
		t.Errorf("it is good until %s", until)
	}
	if text, err := state.Read(agentFile); err != nil || string(text) != string(kept) {
		t.Errorf("what was kept is lost: %v", err)
	}
	full.Store(false)
	authoritytest.Eventually(t, "it is kept", func() bool {
		again, err := state.Read(agentFile)
		if err != nil {
			return false
		}
		found, err := parseHeld(again)
		return err == nil && found.chain[0].Equal(second.chain[0])
	})
	if k.held() != second {
		t.Error("it was renewed again and again")
	}
}

// A first certificate that cannot be kept is asked for again with the key that is: the token is not lost.
func TestAFullDiskDoesNotCostTheToken(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	var writes atomic.Int32
	state, err := NewDir(filepath.Join(t.TempDir(), "state"), func(path string, data []byte, mode os.FileMode) error {
		if n := writes.Add(1); n == 1 || n == 3 { // the pending key, and then the certificate
			return &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
		}
		return os.WriteFile(path, data, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
	k := keeper(t, tn, state, func(c *Config) { c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)) })
	for range 2 {
		if err := k.load(); !errors.As(err, new(*missingError)) {
			t.Fatalf("got %v", err)
		}
		if err := k.first(t.Context(), &missingError{errors.New("none")}); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v", err)
		}
	}
	if err := start(t, k); err != nil {
		t.Fatal(err)
	}
}
