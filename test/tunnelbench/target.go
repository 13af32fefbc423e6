package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// What a client wants of the target is the first byte that it sends.
const (
	wantFlood   = 'd' // bytes without end
	wantSink    = 'u' // to be read
	wantEcho    = 'e'
	wantRequest = 'r' // requestBytes are answered with responseBytes, over and over
	wantDeaf    = 's' // nothing is read any more
	wantCounts  = 'c' // eight bytes each: how many were sunk, and how many flooded, by all connections so far
)

const (
	requestBytes, responseBytes = 128, 1024
	pieceBytes                  = 64 << 10
)

// target is what clients connect to.
type target struct {
	sunk, flooded atomic.Int64
	over          chan struct{}
}

// Addresses of the target, as it says first.
const (
	addressTCP   = "tcp"
	addressTLS   = "tls"
	addressHTTPS = "https"
)

func playTarget(ctx context.Context, r role) (*player, error) {
	pair, err := loadPair(r.Dir, serverTLS)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	t := &target{over: make(chan struct{})}
	addresses := map[string]string{}
	var listeners []net.Listener
	for _, kind := range []string{addressTCP, addressTLS, addressHTTPS} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addresses[kind] = l.Addr().String()
		listeners = append(listeners, l)
	}
	var all sync.WaitGroup // they end with the listeners
	all.Go(func() { t.serve(listeners[0]) })
	all.Go(func() {
		t.serve(tls.NewListener(listeners[1], &tls.Config{Certificates: config.Certificates, MinVersion: tls.VersionTLS13}))
	})
	web := &http.Server{Handler: http.HandlerFunc(answerGet), TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), BaseContext: func(net.Listener) context.Context { return ctx }}
	all.Go(func() { _ = web.ServeTLS(listeners[2], "", "") })
	return &player{
		ready: answer{Addresses: addresses},
		do: func(context.Context, order) (answer, error) {
			return answer{}, errors.New("the target takes no orders but about its memory")
		},
		close: func() {
			close(t.over)
			for _, l := range listeners {
				_ = l.Close()
			}
			_ = web.Close()
			all.Wait()
		},
	}, nil
}

var body = []byte(`{"kind":"ConfigMap","apiVersion":"v1","data":{"settings":"` + strings.Repeat("some words of it. ", responseBytes/18) + `"}}`)

func answerGet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func (t *target) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go t.answer(conn) // ends with the connection, or the process
	}
}

func (t *target) answer(conn net.Conn) {
	defer conn.Close()
	var want [1]byte
	if _, err := io.ReadFull(conn, want[:]); err != nil {
		return
	}
	piece := make([]byte, pieceBytes)
	switch want[0] {
	case wantFlood:
		t.pass(&t.flooded, piece, conn.Write)
	case wantSink:
		t.pass(&t.sunk, piece, conn.Read)
	case wantEcho:
		_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, piece)
	case wantRequest:
		for {
			if _, err := io.ReadFull(conn, piece[:requestBytes]); err != nil {
				return
			}
			if _, err := conn.Write(piece[:responseBytes]); err != nil {
				return
			}
		}
	case wantDeaf:
		<-t.over
	case wantCounts:
		counts := binary.BigEndian.AppendUint64(nil, uint64(t.sunk.Load()))
		_, _ = conn.Write(binary.BigEndian.AppendUint64(counts, uint64(t.flooded.Load())))
	}
}

func (t *target) pass(count *atomic.Int64, piece []byte, do func([]byte) (int, error)) {
	for {
		n, err := do(piece)
		count.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// counts asks the target how many bytes were sunk and flooded so far.
func counts(ctx context.Context, address string) (sunk, flooded int64, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	var both [16]byte
	if _, err = conn.Write([]byte{wantCounts}); err == nil {
		_, err = io.ReadFull(conn, both[:])
	}
	if err != nil {
		return 0, 0, fmt.Errorf("the counts of the target: %w", err)
	}
	return int64(binary.BigEndian.Uint64(both[:])), int64(binary.BigEndian.Uint64(both[8:])), nil
}
