package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// issued starts an agent whose certificate is due, and ends it: the arguments start it again.
func issued(t *testing.T, path string, tn *authoritytest.Tunnel) (args []string) {
	t.Helper()
	dir := t.TempDir()
	tn.SetClock(-6 * 24 * time.Hour)
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(tn.Tokens.New(t, m1, tn.Now(), time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
	args = []string{
		"--server", tn.Address, "--ca-pin", tn.Pin().String(), "--state-dir", filepath.Join(dir, "state"), "--token-file", token,
		"--apiserver", tunneltest.Target(t, "x"), "--drain-timeout", "0s",
	}
	first := start(t, path, args...)
	tn.Linked(t, m1, 1)
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.end(t); err != nil {
		t.Fatal(err)
	}
	tn.Linked(t, m1, 0)
	return args
}

// The agent can write no file any more when its certificate is due. It goes on with the new one, and says that it could not keep it.
func TestAnAgentThatCannotWriteFilesIsRenewed(t *testing.T) {
	path, tn := build(t), authoritytest.Start(t, nil)
	args := issued(t, path, tn)
	var all unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &all); err != nil {
		t.Fatal(err)
	}
	limit := all
	limit.Cur = 16 // what is begun is not finished, as on a disk that is full
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	tn.SetClock(0)
	second := start(t, path, args...)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &all); err != nil {
		t.Fatal(err)
	}
	var link server.Link
	authoritytest.Eventually(t, "it has a link with a certificate that was renewed", func() bool {
		links := tn.Links()
		if len(links) == 1 {
			link = links[0]
		}
		return len(links) == 1 && link.ValidUntil.After(time.Now().Add(6*24*time.Hour))
	})
	if !strings.Contains(second.output(), "Failed to keep the new certificate") {
		t.Error("it does not say that it could not keep the certificate")
	}
	conn, err := tn.Dial(t.Context(), m1, "tcp", tunnel.APIServer)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.end(t); err != nil {
		t.Errorf("it ended with %v", err)
	}
	third := start(t, path, args...) // with what was kept before
	tn.Linked(t, m1, 1)
	_ = third.Process.Signal(syscall.SIGTERM)
	if err := third.end(t); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("it ended with %v", err)
	}
}
