package notice

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// Table is where processes find each other; *sqllog.Log is one.
type Table interface {
	Secret(ctx context.Context) ([]byte, error)
	LocalIP() net.IP
	Announce(ctx context.Context, self sqllog.Peer) ([]sqllog.Peer, error)
	Leave(ctx context.Context, ids ...int64) error
}

const (
	magic       = "KN1\x00"
	bodyBytes   = len(magic) + 3*8
	macBytes    = 16
	noticeBytes = bodyBytes + macBytes

	// announceInterval is how often a process says that it is there, and looks for others.
	announceInterval = 15 * time.Second
	// leaveTimeout bounds the farewell of a process that ends.
	leaveTimeout = time.Second
)

// Network sends notices to the peers and receives theirs. Make one with Join.
type Network struct {
	table  Table
	secret []byte
	self   sqllog.Peer
	conn   *net.UDPConn
	sent   atomic.Int64

	received chan int64
	// refresh wakes the announcer when somebody unknown sends a notice.
	refresh chan struct{}
	mu      sync.Mutex
	peers   map[int64]*net.UDPAddr
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Join opens a socket on the machine's address in the network of the database, and tells
// the peers that it is there. It returns nil without an error if there is no network.
func Join(ctx context.Context, table Table) (*Network, error) {
	ip := table.LocalIP()
	if ip == nil {
		return nil, nil
	}
	secret, err := table.Secret(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
	if err != nil {
		return nil, fmt.Errorf("listen for notices of other servers: %w", err)
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	n := &Network{
		table: table, secret: secret, conn: conn,
		self:     sqllog.Peer{ID: rand.Int64(), Address: net.JoinHostPort(ip.String(), strconv.Itoa(port))},
		received: make(chan int64, 1),
		refresh:  make(chan struct{}, 1),
	}
	ctx, n.stop = context.WithCancel(context.WithoutCancel(ctx))
	n.announce(ctx)
	n.Send(0)
	n.running.Go(n.receive)                     // it ends when Leave closes the socket
	n.running.Go(func() { n.runAnnounce(ctx) }) // Leave ends it
	return n, nil
}

// Leave ends it.
func (n *Network) Leave() {
	n.stop()
	_ = n.conn.Close()
	n.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	_ = n.table.Leave(ctx, n.self.ID) // it will be forgotten anyway
}

// Received gets the revisions that peers have written. While nobody reads it, the latest
// one waits.
func (n *Network) Received() <-chan int64 { return n.received }

// Peers is how many other processes there are.
func (n *Network) Peers() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.peers)
}

// Send tells the peers of a revision. It does not wait for anything.
func (n *Network) Send(revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.peers) == 0 {
		return
	}
	notice := n.sign(revision)
	for _, address := range n.peers {
		_, _ = n.conn.WriteToUDP(notice, address) // it may be lost on the way as well
	}
}

func (n *Network) sign(revision int64) []byte {
	notice := append(make([]byte, 0, noticeBytes), magic...)
	notice = binary.BigEndian.AppendUint64(notice, uint64(n.self.ID))
	notice = binary.BigEndian.AppendUint64(notice, uint64(revision))
	notice = binary.BigEndian.AppendUint64(notice, uint64(n.sent.Add(1)))
	return append(notice, n.mac(notice)...)
}

func (n *Network) mac(body []byte) []byte {
	mac := hmac.New(sha256.New, n.secret)
	mac.Write(body)
	return mac.Sum(nil)[:macBytes]
}

// verify returns sender and revision of a notice, false if it is none.
func (n *Network) verify(notice []byte) (sender, revision int64, ok bool) {
	if len(notice) != noticeBytes || string(notice[:len(magic)]) != magic {
		return 0, 0, false
	}
	if !hmac.Equal(notice[bodyBytes:], n.mac(notice[:bodyBytes])) {
		return 0, 0, false
	}
	sender = int64(binary.BigEndian.Uint64(notice[len(magic):]))
	revision = int64(binary.BigEndian.Uint64(notice[len(magic)+8:]))
	return sender, revision, true
}

func (n *Network) receive() {
	buffer := make([]byte, noticeBytes+1)
	for {
		size, _, err := n.conn.ReadFromUDP(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		sender, revision, ok := n.verify(buffer[:size])
		if err != nil || !ok || sender == n.self.ID {
			continue
		}
		if !n.knows(sender) {
			wake(n.refresh)
		}
		select {
		case <-n.received: // only the latest matters
		default:
		}
		n.received <- revision
	}
}

func (n *Network) knows(id int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peers[id] != nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (n *Network) runAnnounce(ctx context.Context) {
	ticker := time.NewTicker(announceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-n.refresh:
		case <-ctx.Done():
			return
		}
		n.announce(ctx)
	}
}

// announce keeps the peers as they are when the database does not answer.
func (n *Network) announce(ctx context.Context) {
	peers, err := n.table.Announce(ctx, n.self)
	if err != nil {
		klog.FromContext(ctx).V(4).Info("Could not look for other servers on the datastore", "err", err)
		return
	}
	addresses := map[int64]*net.UDPAddr{}
	for _, peer := range peers {
		if address, err := net.ResolveUDPAddr("udp", peer.Address); err == nil {
			addresses[peer.ID] = address
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers = addresses
}
