package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
)

// TestMain lets processes of this program be what they are started as.
func TestMain(m *testing.M) {
	if isRole() {
		os.Exit(playRole())
	}
	os.Exit(m.Run())
}

// The figures of so small a run mean nothing; that there are any does. Without KOINON_LONG konnectivity is left out: compiling it takes minutes, and
// its modules a network.
func TestEveryRowMeasuresAtASmallScale(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tables.md")
	theirs := os.Getenv("KOINON_LONG") != ""
	if err := run(t.Context(), options{small: true, rounds: 1, markdown: file, konnectivity: theirs}); err != nil {
		t.Fatal(err)
	}
	tables, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if !strings.Contains(string(tables), "## "+r.name+"\n") {
			t.Errorf("there is no row %s in\n%s", r.name, tables)
		}
	}
}

func TestARatioToWhatWasNotMeasuredIsNotThere(t *testing.T) {
	s := &sheet{Report: report.New(wayNames...)}
	m := report.Measure{Group: "Bulk", Name: "1 from the target", Unit: "MiB/s"}
	s.add(wayConnect, m, 600)
	s.beside(m, wayTheirs, wayConnect)
	s.atMost("a third", s.Median(wayConnect, m)/s.Median(wayTheirs, m), 1.0/3)
	var got strings.Builder
	if err := s.write(&got); err != nil {
		t.Fatal(err)
	}
	if text := got.String(); s.err != nil || strings.Contains(text, "÷") || strings.Contains(text, "Aim") || !strings.Contains(text, "600") {
		t.Errorf("got %v, %s", s.err, text)
	}
}

// What the relay adds is delay, and what it takes away is nothing.
func TestTheRelayDelaysAndLosesNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	const delay = 30 * time.Millisecond
	r, err := newRelay(listener.Addr().String(), delay)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	began := time.Now()
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("there and back took %s, and is %s long", took, 2*delay)
	}
}

func TestAProcessThatSaysNothingIsAnErrorWithItsLog(t *testing.T) {
	b := &bench{}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := b.startRole(ctx, t.TempDir(), "nobody", role{Play: "nobody"})
	if err == nil || !strings.Contains(err.Error(), `there is no role "nobody"`) {
		t.Errorf("got %v", err)
	}
}
