package links

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"
)

// TestAnAnswerThatNobodyReadsIsHeldInPartOnly reads what a member is told by HTTP/2 of how much it may
// send before somebody reads.
func TestAnAnswerThatNobodyReadsIsHeldInPartOnly(t *testing.T) {
	certificates := httptest.NewTLSServer(http.NotFoundHandler())
	defer certificates.Close()
	member, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificates.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	window := make(chan uint32, 1)
	go func() { // ends with the member
		if conn, err := member.Accept(); err == nil {
			defer conn.Close()
			window <- initialWindow(conn)
		}
	}()
	config := &rest.Config{Host: "https://" + member.Addr().String()}
	config.Insecure = true
	link, err := NewLink("m1", config, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer link.End(ErrServerEnds)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := link.As(&user.DefaultInfo{Name: "alice"}, false).RoundTrip(request); err == nil {
		_ = answer.Body.Close()
		t.Error("the member answered")
	}
	if got := <-window; got == 0 || got > streamBytes {
		t.Errorf("the member may send %d bytes that nobody reads", got)
	}
}

// initialWindow reads what a client of HTTP/2 says of its streams in its first frame (RFC 9113, 6.5);
// 0 if it says nothing.
func initialWindow(conn net.Conn) uint32 {
	const preface, initialWindowSize = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 4
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	header := make([]byte, len(preface)+9)
	if _, err := io.ReadFull(conn, header); err != nil {
		return 0
	}
	length := header[len(preface):]
	settings := make([]byte, int(length[0])<<16|int(length[1])<<8|int(length[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		return 0
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == initialWindowSize {
			return binary.BigEndian.Uint32(settings[2:])
		}
	}
	return 0
}
