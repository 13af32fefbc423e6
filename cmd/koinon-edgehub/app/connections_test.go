package app

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestWhoHasTooManyConnectionsGetsNoMore(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimited(listener)
	l.each = 3
	defer l.Close()
	accepted := make(chan net.Conn, 100)
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	var first net.Conn
	for range 3 {
		dial()
		first = <-accepted
	}
	refused := dial()
	_ = refused.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := refused.Read(make([]byte, 1)); err == nil {
		t.Error("one more is not closed")
	}
	_, _ = first.Close(), first.Close() // which counts once
	dial()
	<-accepted
	refused = dial()
	_ = refused.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := refused.Read(make([]byte, 1)); err == nil {
		t.Error("one that was closed twice made room for two")
	}
}

func TestWhoHasTooManyRequestsUnderWayComesAgain(t *testing.T) {
	s := newShares(3, 2)
	release, began := make(chan struct{}), make(chan struct{})
	handler := s.requests(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		began <- struct{}{}
		<-release
	}))
	ask := func(from string) *httptest.ResponseRecorder {
		r, rw := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.RemoteAddr = from
		handler.ServeHTTP(rw, r)
		return rw
	}
	var under sync.WaitGroup
	for _, from := range []string{"10.0.0.1:1", "10.0.0.1:2"} {
		under.Go(func() { ask(from) }) // ends at the release
		<-began
	}
	if rw := ask("10.0.0.1:3"); rw.Code != http.StatusTooManyRequests || rw.Header().Get("Retry-After") == "" {
		t.Errorf("a third one of an address: %d: %s", rw.Code, rw.Body)
	}
	under.Go(func() { ask("10.0.0.2:1") }) // ends at the release
	<-began
	if rw := ask("10.0.0.3:1"); rw.Code != http.StatusTooManyRequests {
		t.Errorf("a fourth one of all: %d: %s", rw.Code, rw.Body)
	}
	close(release)
	under.Wait()
	under.Go(func() { ask("10.0.0.1:4") }) // ends at once
	<-began
	under.Wait()
}
