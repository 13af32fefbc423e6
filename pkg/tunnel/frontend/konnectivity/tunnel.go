package konnectivity

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"

	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
)

// front is what logs call it.
const front = "konnectivity"

// maxPending is how many dials of one stream may wait.
const maxPending = 64

// tunnel is one stream of a client.
type tunnel struct {
	*service
	stream client.ProxyService_ProxyServer
	// all are the goroutines of dials and connections.
	all sync.WaitGroup

	sending sync.Mutex // one packet after the other

	mu sync.Mutex
	// What follows is guarded by mu.

	// dials are those that wait, by the client's number, and conns those that are open, by ours.
	dials map[int64]context.CancelCauseFunc
	conns map[int64]*conn
	last  int64 // number of a connection
	left  bool
}

// receive takes packets until the client has gone.
func (t *tunnel) receive() error {
	for {
		packet, err := t.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch packet.Type {
		case client.PacketType_DIAL_REQ:
			err = t.dial(packet.GetDialRequest())
		case client.PacketType_DIAL_CLS:
			t.cancel(packet.GetCloseDial().GetRandom())
		case client.PacketType_DATA:
			data := packet.GetData()
			if c := t.conn(data.GetConnectID()); c != nil {
				err = c.take(data.GetData())
			}
		case client.PacketType_CLOSE_REQ:
			t.closed(packet.GetCloseRequest().GetConnectID())
		default:
			err = status.Errorf(codes.InvalidArgument, "a client sends no %s", packet.Type)
		}
		if err != nil {
			return err
		}
	}
}

// leave ends what the stream has, and waits until it has ended.
func (t *tunnel) leave() {
	t.mu.Lock()
	t.left = true
	for _, cancel := range t.dials {
		cancel(frontend.ErrLeft)
	}
	conns := make([]*conn, 0, len(t.conns))
	for _, c := range t.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
	t.all.Wait()
}

// send sends a packet. It waits while the client takes none, until that has gone.
func (t *tunnel) send(packet *client.Packet) error {
	t.sending.Lock()
	defer t.sending.Unlock()
	return t.stream.Send(packet)
}

// dial connects to what a client asks for, while more packets are taken.
func (t *tunnel) dial(request *client.DialRequest) error {
	number := request.GetRandom()
	ctx, cancel := context.WithCancelCause(t.stream.Context())
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dials[number] != nil || len(t.dials) >= maxPending {
		cancel(nil)
		return status.Errorf(codes.InvalidArgument, "the dial %d is under way, or %d others are, as many as may be", number, maxPending)
	}
	t.dials[number] = cancel
	t.all.Go(func() { // ends with the dial, and that with the stream
		defer cancel(nil)
		carried, err := t.open(ctx, request)
		t.answer(number, carried, err)
	})
	return nil
}

func (t *tunnel) open(ctx context.Context, request *client.DialRequest) (*frontend.Carried, error) {
	if request.GetProtocol() != "tcp" {
		return nil, &frontend.Error{Status: http.StatusBadRequest, Text: "tcp is the only protocol here"}
	}
	carried, err := t.through.Open(ctx, front, frontend.Request{Client: t.as, Target: request.GetAddress()})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, context.Canceled) {
		err = frontend.ErrLeft
	}
	return carried, err
}

// answer answers a dial.
func (t *tunnel) answer(number int64, carried *frontend.Carried, err error) {
	t.mu.Lock()
	waited := t.dials[number] != nil && !t.left
	delete(t.dials, number)
	var c *conn
	if err == nil && waited {
		t.last++
		c = newConn(t, t.last, carried)
		t.conns[c.id] = c
	}
	t.mu.Unlock()
	response := &client.DialResponse{Random: number}
	switch {
	case c != nil:
		response.ConnectID = c.id
	case err == nil:
		carried.End(frontend.ErrLeft)
		return
	case !waited:
		return
	default:
		response.Error = err.Error()
	}
	sent := t.send(&client.Packet{Type: client.PacketType_DIAL_RSP, Payload: &client.Packet_DialResponse{DialResponse: response}})
	if c == nil {
		return
	}
	if sent != nil {
		c.close()
	}
	c.carry()
}

// cancel ends a dial that the client does not want any more.
func (t *tunnel) cancel(number int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cancel := t.dials[number]; cancel != nil {
		cancel(frontend.ErrLeft)
		delete(t.dials, number)
	}
}

func (t *tunnel) conn(id int64) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conns[id]
}

// closed closes a connection as the client wants, and says so at once; of one that is closed already too.
func (t *tunnel) closed(id int64) {
	c := t.conn(id)
	if c == nil {
		t.respond(id, "")
		return
	}
	c.close()
	c.sayClosed("")
}

func (t *tunnel) respond(id int64, text string) {
	_ = t.send(&client.Packet{Type: client.PacketType_CLOSE_RSP, Payload: &client.Packet_CloseResponse{
		CloseResponse: &client.CloseResponse{ConnectID: id, Error: text},
	}})
}

func (t *tunnel) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c.id)
}
