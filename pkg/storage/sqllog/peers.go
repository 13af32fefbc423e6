package sqllog

import (
	"context"
	"net"
	"slices"
	"time"
)

// Peer is a process that uses the database.
type Peer struct {
	// ID is unique among processes.
	ID int64
	// Address is where it is told of writes, host:port.
	Address string
	// Seen is how long ago it has announced itself.
	Seen time.Duration
}

// LocalIP is the address of this machine in the network of the database, nil if that is a
// file.
func (l *Log) LocalIP() net.IP { return l.dialect.localIP() }

// Secret is a key that all processes that use the database share.
func (l *Log) Secret(ctx context.Context) ([]byte, error) {
	var secret []byte
	if err := l.reads.QueryRowContext(ctx, "SELECT secret FROM koinon_meta WHERE id = 1").Scan(&secret); err != nil {
		return nil, l.failed("read the state of", err)
	}
	return secret, nil
}

// peerTimeout is for how long a process is a peer that has not announced itself again.
const peerTimeout = time.Minute

// Announce says that a process is there, and returns the others. Those that have not done
// so for a minute are forgotten.
func (l *Log) Announce(ctx context.Context, self Peer) ([]Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	_, err := l.writes.ExecContext(ctx, "REPLACE INTO koinon_peer (id, address, seen) VALUES (?, ?, "+l.dialect.now()+")", self.ID, []byte(self.Address))
	if err != nil {
		return nil, l.failed("write to", err)
	}
	all, err := l.peers(ctx)
	if err != nil {
		return nil, err
	}
	var peers []Peer
	var stale []int64
	for _, peer := range all {
		switch {
		case peer.Seen > peerTimeout:
			stale = append(stale, peer.ID)
		case peer.ID != self.ID:
			peers = append(peers, peer)
		}
	}
	return peers, l.Leave(ctx, stale...)
}

// Peers returns the processes that use the database.
func (l *Log) Peers(ctx context.Context) ([]Peer, error) {
	peers, err := l.peers(ctx)
	return slices.DeleteFunc(peers, func(p Peer) bool { return p.Seen > peerTimeout }), err
}

func (l *Log) peers(ctx context.Context) ([]Peer, error) {
	rows, err := l.reads.QueryContext(ctx, "SELECT id, address, "+l.dialect.now()+" - seen FROM koinon_peer")
	if err != nil {
		return nil, l.failed("read from", err)
	}
	defer func() { _ = rows.Close() }()
	var peers []Peer
	for rows.Next() {
		var peer Peer
		var address []byte
		var age int64
		if err := rows.Scan(&peer.ID, &address, &age); err != nil {
			return nil, l.failed("read from", err)
		}
		peer.Address, peer.Seen = string(address), time.Duration(max(0, age))*time.Second
		peers = append(peers, peer)
	}
	if err := rows.Err(); err != nil {
		return nil, l.failed("read from", err)
	}
	return peers, nil
}

// Leave forgets processes that are no longer there.
func (l *Log) Leave(ctx context.Context, ids ...int64) error {
	if len(ids) == 0 {
		return nil
	}
	in, args := list(ids)
	if _, err := l.writes.ExecContext(ctx, "DELETE FROM koinon_peer WHERE id IN "+in, args...); err != nil {
		return l.failed("write to", err)
	}
	return nil
}
