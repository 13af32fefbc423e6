package carrier_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
)

// BenchmarkBulk is one stream from the agent, by each way. All ends are in this process.
func BenchmarkBulk(b *testing.B) {
	for _, way := range []carrier.Way{carrier.Direct, carrier.WebSocket} {
		for _, direction := range []string{"down", "up"} {
			b.Run(string(way)+"/"+direction, func(b *testing.B) { bulk(b, way, direction == "down") })
		}
	}
}

const benchBytes = 1 << 20

func bulk(b *testing.B, way carrier.Way, down bool) {
	tn, name := authoritytest.Start(b, nil), tunnel.Name{Cluster: "m1"}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	var target sync.WaitGroup
	target.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if !down {
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		for piece := make([]byte, 256<<10); err == nil; {
			_, err = conn.Write(piece)
		}
	})
	policy, err := agent.NewPolicy(nil, listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	a, err := agent.New(agent.Config{Servers: []string{tn.Address}, TLS: tn.AgentTLS(b, name), Policy: policy, Transport: way, Logger: authoritytest.Quiet})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	target.Go(func() { _ = a.Run(ctx) })
	defer target.Wait()
	defer cancel()
	tn.Linked(b, name, 1)
	conn, err := tn.Dial(ctx, name, "tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	b.SetBytes(benchBytes)
	for piece := make([]byte, benchBytes); b.Loop(); {
		if down {
			_, err = io.ReadFull(conn, piece)
		} else {
			_, err = conn.Write(piece)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
