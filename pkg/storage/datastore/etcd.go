package datastore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// UnfinishedKey is in an etcd as long as data is copied into it. It says from where.
const UnfinishedKey = "/koinon/unfinished-migration"

// CheckEtcd waits until an etcd answers, for at most the timeout; zero means 10 s. One that
// has only a part of what was to be copied into it is refused.
func CheckEtcd(ctx context.Context, etcd Datastore, files TLS, timeout time.Duration) error {
	client, err := OpenEtcd(ctx, etcd, files, timeout)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	unfinished, err := client.Get(ctx, UnfinishedKey)
	if err != nil {
		return fault.New("read from the "+etcd.String(), EtcdFault(err), err)
	}
	if len(unfinished.Kvs) > 0 {
		return fmt.Errorf("the %s has only a part of the data of the %s: run the command again that copied it, which goes on where it was interrupted", etcd, unfinished.Kvs[0].Value)
	}
	return nil
}

// OpenEtcd returns a client once the etcd answers, which it does within the timeout; zero
// means 10 s.
func OpenEtcd(ctx context.Context, etcd Datastore, files TLS, timeout time.Duration) (*clientv3.Client, error) {
	if err := Await(ctx, etcd, timeout, func(ctx context.Context) error { return probeEtcd(ctx, etcd, files) }); err != nil {
		return nil, err
	}
	return newEtcdClient(ctx, etcd, files)
}

// EtcdURLs are the client URLs of an etcd.
func (d Datastore) EtcdURLs(files TLS) []string {
	scheme := "http://"
	if files != (TLS{}) {
		scheme = "https://"
	}
	var urls []string
	for _, address := range d.Addresses {
		urls = append(urls, scheme+address)
	}
	return urls
}

func newEtcdClient(ctx context.Context, etcd Datastore, files TLS) (*clientv3.Client, error) {
	config, err := files.Client()
	if err != nil {
		return nil, err
	}
	return clientv3.New(clientv3.Config{Endpoints: etcd.EtcdURLs(files), TLS: config, Context: ctx, Logger: zap.NewNop()})
}

// probeEtcd reads a key. It makes a plain connection first: etcd's client would only say
// that time ran out, and log each attempt.
func probeEtcd(ctx context.Context, etcd Datastore, files TLS) error {
	if err := dialAny(ctx, etcd.Addresses); err != nil {
		return fault.New("connect to the "+etcd.String(), EtcdFault(err), err)
	}
	client, err := newEtcdClient(ctx, etcd, files)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if _, err = client.Get(ctx, "koinon-probe"); err != nil {
		return fault.New("read from the "+etcd.String(), EtcdFault(err), err)
	}
	return nil
}

// dialAny returns nil when one of the addresses takes connections.
func dialAny(ctx context.Context, addresses []string) error {
	var dialer net.Dialer
	var last error
	for _, address := range addresses {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		last = err
	}
	return last
}

// EtcdFault is the one place that knows what errors of etcd's client mean, and those of a
// connection to it.
func EtcdFault(err error) fault.Fault {
	var lookup *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.Fault{Kind: fault.Away, Reason: "connection refused"}
	case errors.As(err, &lookup):
		return fault.Fault{Kind: fault.Away, Reason: "its host name is not known"}
	case errors.Is(err, context.DeadlineExceeded):
		return silent
	}
	code, message := etcdSaid(err)
	// Clients are told what etcd itself has words for, and no other text: it may hold addresses.
	said := ""
	var known rpctypes.EtcdError
	if errors.As(rpctypes.Error(status.Error(code, message)), &known) {
		said = strings.TrimPrefix(strings.TrimPrefix(known.Error(), "etcdserver: "), "mvcc: ")
	}
	switch code {
	case codes.ResourceExhausted:
		return fault.Fault{Kind: fault.Full, Reason: cmp.Or(said, "it has no room"), Remedy: "compact and defragment it, raise its quota, and disarm its alarm"}
	case codes.Unauthenticated, codes.PermissionDenied:
		return fault.Fault{Kind: fault.Denied, Reason: cmp.Or(said, "it does not accept the user, the password or the certificate")}
	case codes.DeadlineExceeded:
		return silent
	}
	if said != "" {
		return fault.Fault{Kind: fault.Away, Reason: said}
	}
	return connectionFault(message)
}

var silent = fault.Fault{Kind: fault.Silent, Reason: "it did not answer in time"}

// etcdSaid is the gRPC code and message of an error.
func etcdSaid(err error) (codes.Code, string) {
	var etcd rpctypes.EtcdError
	if errors.As(err, &etcd) {
		return etcd.Code(), etcd.Error()
	}
	if rpc, ok := status.FromError(err); ok {
		return rpc.Code(), rpc.Message()
	}
	return codes.Unknown, err.Error()
}

// connectionFault reads what gRPC says of a connection that it could not make. It has only words
// for that, and they hold addresses.
func connectionFault(message string) fault.Fault {
	for _, known := range []struct {
		part string
		fault.Fault
	}{
		{"connection refused", fault.Fault{Kind: fault.Away, Reason: "connection refused"}},
		{"no such host", fault.Fault{Kind: fault.Away, Reason: "its host name is not known"}},
		{"authentication handshake failed", badTLS},
		{"certificate", badTLS},
		{"deadline exceeded", silent},
		{"timeout", silent},
		{"timed out", silent},
	} {
		if strings.Contains(message, known.part) {
			return known.Fault
		}
	}
	return fault.Fault{Kind: fault.Away, Reason: "the connection was lost"}
}

var badTLS = fault.Fault{Kind: fault.Away, Reason: "the TLS handshake failed", Remedy: "see that its certificate is signed by the --datastore-ca-file and names this host, and that it accepts the --datastore-cert-file"}
