package konnectivity_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	wire "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend/konnectivity"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// echoes opens streams of a link whose other end echoes.
type echoes struct{ session *mux.Session }

func (e echoes) Open(ctx context.Context, _ tunnel.Name, _, address string) (*mux.Stream, error) {
	return e.session.Open(ctx, address)
}

func newEchoes(f *testing.F) echoes {
	f.Helper()
	here, there := net.Pipe()
	var far *mux.Session
	var made sync.WaitGroup
	made.Go(func() {
		far, _ = mux.New(f.Context(), there, nil, mux.Config{Made: true, MaxStreams: 10_000, Accept: func(_ context.Context, in *mux.Incoming) {
			var address string
			if json.Unmarshal(in.Request, &address) != nil || address == "10.0.0.2:80" {
				in.Refuse(mux.Refused, "connection refused")
				return
			}
			st := in.Accept()
			_, _ = io.Copy(st, st)
			_ = st.Close()
		}})
	})
	near, err := mux.New(f.Context(), here, nil, mux.Config{})
	made.Wait()
	if err != nil || far == nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return echoes{near}
}

// packets is a stream on which a client sends what it has, and takes what comes.
type packets struct {
	grpc.ServerStream
	t    *testing.T
	ctx  context.Context
	rest []byte

	mu sync.Mutex
	// What follows is guarded by mu.

	asked, answered map[int64]int
}

func (p *packets) Context() context.Context { return p.ctx }

// Recv makes a packet of the next bytes: how long it is, and what protobuf makes of that.
func (p *packets) Recv() (*wire.Packet, error) {
	if len(p.rest) == 0 {
		return nil, io.EOF
	}
	n := min(int(p.rest[0]), len(p.rest)-1)
	packet := &wire.Packet{}
	err := proto.Unmarshal(p.rest[1:1+n], packet)
	p.rest = p.rest[1+n:]
	if err == nil && packet.Type == wire.PacketType_DIAL_REQ {
		p.mu.Lock()
		p.asked[packet.GetDialRequest().GetRandom()]++
		p.mu.Unlock()
	}
	return packet, err
}

func (p *packets) Send(packet *wire.Packet) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch packet.Type {
	case wire.PacketType_DIAL_RSP:
		random := packet.GetDialResponse().GetRandom()
		if p.answered[random]++; p.answered[random] > p.asked[random] {
			p.t.Errorf("the dial %d was answered %d times, and asked for %d times", random, p.answered[random], p.asked[random])
		}
	case wire.PacketType_CLOSE_RSP, wire.PacketType_DATA:
	default:
		p.t.Errorf("a server sends no %s", packet.Type)
	}
	return nil
}

// FuzzPackets sends what it makes of random bytes: the stream ends when its client has gone, and nothing is carried then.
func FuzzPackets(f *testing.F) {
	seed := func(all ...*wire.Packet) {
		var bytes []byte
		for _, packet := range all {
			text, err := proto.Marshal(packet)
			if err != nil || len(text) > 255 {
				f.Fatal(len(text), err)
			}
			bytes = append(append(bytes, byte(len(text))), text...)
		}
		f.Add(bytes)
	}
	dial := func(random int64, address string) *wire.Packet {
		return &wire.Packet{Type: wire.PacketType_DIAL_REQ, Payload: &wire.Packet_DialRequest{DialRequest: &wire.DialRequest{Protocol: "tcp", Address: address, Random: random}}}
	}
	data := func(id int64, text string) *wire.Packet {
		return &wire.Packet{Type: wire.PacketType_DATA, Payload: &wire.Packet_Data{Data: &wire.Data{ConnectID: id, Data: []byte(text)}}}
	}
	end := func(id int64) *wire.Packet {
		return &wire.Packet{Type: wire.PacketType_CLOSE_REQ, Payload: &wire.Packet_CloseRequest{CloseRequest: &wire.CloseRequest{ConnectID: id}}}
	}
	seed(dial(7, "10.0.0.1:80"), data(1, "hello"), end(1))
	seed(dial(7, "10.0.0.1:80"), dial(7, "10.0.0.1:80"))
	seed(dial(7, "10.0.0.2:80"), dial(8, "../..:80"), dial(9, ""), data(5, "x"), end(0), end(-1))
	seed(dial(7, "10.0.0.1:80"), &wire.Packet{Type: wire.PacketType_DIAL_CLS, Payload: &wire.Packet_CloseDial{CloseDial: &wire.CloseDial{Random: 7}}})
	seed(&wire.Packet{Type: wire.PacketType_DIAL_RSP}, &wire.Packet{Type: wire.PacketType_DATA}, &wire.Packet{Type: wire.PacketType_DIAL_REQ})
	through := newEchoes(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		front, err := frontend.New(frontend.Config{Opener: through, Policy: all{}, Logger: tunneltest.Quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer front.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := &packets{t: t, ctx: ctx, rest: text, asked: map[int64]int{}, answered: map[int64]int{}}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = konnectivity.Proxy(front, frontend.Client{Tenant: "m1", Within: m1}, p)
		}()
		select {
		case <-ended:
		case <-time.After(tunneltest.Patience):
			t.Fatal("it goes on without its client")
		}
		if n := front.Carried(); n > 0 {
			t.Errorf("%d connections are carried on", n)
		}
	})
}
