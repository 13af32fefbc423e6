package mux

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// secure returns two ends of a link over TLS 1.3 on loopback. Each stream is served by serve.
func secure(b *testing.B, serve func(*Stream)) pair {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	var p pair
	var made sync.WaitGroup
	begin := func(s **Session, conn net.Conn, server bool, config Config) {
		made.Go(func() {
			batch := NewBatch(conn)
			settings := &tls.Config{MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true, InsecureSkipVerify: true,
				Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
			secured := tls.Client(batch, settings)
			if server {
				secured = tls.Server(batch, settings)
			}
			var err error
			if *s, err = New(context.Background(), secured, batch, config); err != nil {
				b.Error(err)
			}
		})
	}
	dialed := make(chan net.Conn, 1)
	go func() {
		conn, _ := net.Dial("tcp", listener.Addr().String())
		dialed <- conn
	}()
	accepted, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	begin(&p.here, accepted, true, Config{})
	begin(&p.there, <-dialed, false, Config{Made: true, MaxStreams: 20_000, Accept: func(_ context.Context, in *Incoming) { serve(in.Accept()) }})
	made.Wait()
	b.Cleanup(func() { _ = p.here.Close(); _ = p.there.Close() })
	return p
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkBulk sends one piece after another to one stream, with the processor time of both ends.
func BenchmarkBulk(b *testing.B) {
	p := secure(b, func(st *Stream) { _, _ = io.Copy(io.Discard, st) })
	st, err := p.here.Open(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	piece := make([]byte, 32<<10)
	b.SetBytes(int64(len(piece)))
	before := processorTime()
	n := 0
	for b.Loop() {
		if _, err := st.Write(piece); err != nil {
			b.Fatal(err)
		}
		n++
	}
	gib := float64(n) * float64(len(piece)) / (1 << 30)
	b.ReportMetric((processorTime()-before).Seconds()/gib, "cpu-s/GiB")
}

// BenchmarkPingPong is a byte there and back, alone and beside bulk.
func BenchmarkPingPong(b *testing.B) {
	for _, bulk := range []int{0, 1, 4} {
		b.Run(map[int]string{0: "alone", 1: "beside 1", 4: "beside 4"}[bulk], func(b *testing.B) {
			p := secure(b, func(st *Stream) { _, _ = io.Copy(st, st) })
			for range bulk {
				st, err := p.here.Open(b.Context(), "")
				if err != nil {
					b.Fatal(err)
				}
				go func() { _, _ = io.Copy(st, endless{}) }()
				go func() { _, _ = io.Copy(io.Discard, st) }()
			}
			st, err := p.here.Open(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			one := []byte{1}
			for b.Loop() {
				if _, err := st.Write(one); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(st, one); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens and closes a stream.
func BenchmarkOpen(b *testing.B) {
	p := secure(b, func(st *Stream) { _, _ = io.Copy(st, st); _ = st.Close() })
	before := processorTime()
	n := 0
	for b.Loop() {
		st, err := p.here.Open(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		_ = st.Close()
		n++
	}
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(n), "cpu-µs/op")
}

// BenchmarkIdle is the memory of a stream that is open, with a goroutine that serves it.
func BenchmarkIdle(b *testing.B) {
	p := secure(b, func(st *Stream) { _, _ = io.Copy(st, st); _ = st.Close() })
	const n = 10_000
	for b.Loop() {
		before := heap()
		var streams []*Stream
		for range n {
			st, err := p.here.Open(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			streams = append(streams, st)
		}
		b.ReportMetric(float64(heap()-before)/n/2, "bytes/end")
		for _, st := range streams {
			_ = st.Close()
		}
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}
