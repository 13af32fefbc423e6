package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/test/bench/contender"
)

// TestMain lets processes of this program be what they are started as.
func TestMain(m *testing.M) {
	if isRole() {
		os.Exit(playRole())
	}
	quiet()
	os.Exit(m.Run())
}

// The figures of so small a run mean nothing; that there are any does, and that each is one.
func TestEveryRowMeasuresAtASmallScale(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	if _, err := contender.Built(t.TempDir()); err != nil {
		t.Skip(err) // as when nothing was built
	}
	file := filepath.Join(t.TempDir(), "tables.md")
	if err := run(t.Context(), options{small: true, rounds: 1, services: 20, lookFor: time.Minute, markdown: file}); err != nil {
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

func TestMetricsAreReadWithTheirLabelsAddedUp(t *testing.T) {
	got := metricsIn("# HELP x y\n# TYPE x gauge\nx 3\ny{a=\"b c\"} 1.5\ny{a=\"d\"} 2\nnothing\n")
	if len(got) != 2 || got["x"] != 3 || got["y"] != 3.5 {
		t.Errorf("got %v", got)
	}
}

// What is over the cable ends when it is cut, nothing new begins, and what has gone over it is counted in both directions.
func TestACableCarriesAndCountsUntilItIsCut(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }() // ends with the connection
		}
	}()
	c, err := newCable(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", c.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		return conn
	}
	echoes := func(conn net.Conn) bool {
		_, _ = conn.Write([]byte("hello"))
		_, err := io.ReadFull(conn, make([]byte, 5))
		return err == nil
	}
	first := dial()
	if !echoes(first) || c.carried.Load() != 10 || c.begun.Load() != 1 {
		t.Errorf("%d bytes were carried, of %d connections", c.carried.Load(), c.begun.Load())
	}
	c.sever()
	if _, err := first.Read(make([]byte, 1)); err == nil || echoes(dial()) {
		t.Error("something goes over a cable that is cut")
	}
	c.heal()
	if !echoes(dial()) || c.begun.Load() != 2 {
		t.Errorf("nothing goes over a cable that was mended, or it was %d connections", c.begun.Load())
	}
}
