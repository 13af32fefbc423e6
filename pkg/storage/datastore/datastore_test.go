package datastore

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

func TestParseDatastore(t *testing.T) {
	cases := map[string]struct {
		value     string
		kind      Kind
		name      string
		addresses []string
	}{
		"nothing means SQLite in the data directory": {"", SQLite, "sqlite database /data/koinon.db", nil},
		"a path of SQLite":                           {"sqlite:///var/lib/k.db", SQLite, "sqlite database /var/lib/k.db", nil},
		"MySQL with host and port":                   {"mysql://u:p@db.example:3307/k", MySQL, "mysql datastore at db.example:3307", []string{"db.example:3307"}},
		"MySQL without port":                         {"mysql://u:p@db.example/k", MySQL, "mysql datastore at db.example:3306", []string{"db.example:3306"}},
		"MySQL in the form of the driver":            {"mysql://u:p@tcp(db:1)/k?timeout=3s", MySQL, "mysql datastore at db:1", []string{"db:1"}},
		"a password with every separator":            {"mysql://u:a@b:c?d@db:1/k", MySQL, "mysql datastore at db:1", []string{"db:1"}},
		"OceanBase, whose user names a tenant":       {"oceanbase://root@tenant#cluster:p@ob:2883/k", MySQL, "oceanbase datastore at ob:2883", []string{"ob:2883"}},
		"OceanBase without port":                     {"oceanbase://u:p@a,b/k", MySQL, "oceanbase datastore at a:2881, b:2881", []string{"a:2881", "b:2881"}},
		"an IPv6 address":                            {"mysql://u:p@[::1]:3306/k", MySQL, "mysql datastore at [::1]:3306", []string{"[::1]:3306"}},
		"several nodes of one MySQL":                 {"mysql://u:p@a:1,b,[::1]:3/k", MySQL, "mysql datastore at a:1, b:3306, [::1]:3", []string{"a:1", "b:3306", "[::1]:3"}},
		"several nodes in the form of the driver":    {"mysql://u:p@tcp(a:1,b:2)/k?timeout=3s", MySQL, "mysql datastore at a:1, b:2", []string{"a:1", "b:2"}},
		"a socket":             {"mysql://u:p@unix(/run/mysqld/mysqld.sock)/k", MySQL, "mysql datastore at /run/mysqld/mysqld.sock", []string{"/run/mysqld/mysqld.sock"}},
		"several etcd members": {"etcd://a:2379,b:2379", Etcd, "etcd datastore at a:2379, b:2379", []string{"a:2379", "b:2379"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.value, "/data")
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind != c.kind || got.String() != c.name {
				t.Errorf("got %s %q, want %s %q", got.Kind, got, c.kind, c.name)
			}
			if diff := cmp.Diff(c.addresses, got.Addresses); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseSQLiteParameters(t *testing.T) {
	cases := map[string]struct {
		value   string
		normal  bool
		refused string
	}{
		"full by default":       {"sqlite:///k.db", false, ""},
		"normal when asked for": {"sqlite:///k.db?synchronous=normal", true, ""},
		"off is too little":     {"sqlite:///k.db?synchronous=off", false, `synchronous is "off": it must be full or normal`},
		"nothing else":          {"sqlite:///k.db?cache=shared", false, `no parameter "cache"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.value, "/data")
			if c.refused == "" && (err != nil || got.normal != c.normal) {
				t.Errorf("got normal %v, %v, want %v", got.normal, err, c.normal)
			}
			if c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("got %v, want %q", err, c.refused)
			}
		})
	}
}

// What stands between us and etcd says of itself where it is, and clients are told the reason.
func TestOnlyEtcdsOwnWordsAreAReason(t *testing.T) {
	for sentence, c := range map[string]struct {
		err  error
		want fault.Fault
	}{
		"etcd refuses a user": {
			rpctypes.ErrGRPCPermissionDenied,
			fault.Fault{Kind: fault.Denied, Reason: "permission denied"}},
		"a proxy refuses a user": {
			status.Error(codes.Unauthenticated, "10.0.0.7:2379: token of koinon@db.example is not known"),
			fault.Fault{Kind: fault.Denied, Reason: "it does not accept the user, the password or the certificate"}},
		"a proxy has no room": {
			status.Error(codes.ResourceExhausted, "10.0.0.7:2379: too many requests"),
			fault.Fault{Kind: fault.Full, Reason: "it has no room", Remedy: "compact and defragment it, raise its quota, and disarm its alarm"}},
		"a proxy that speaks as etcd does": {
			status.Error(codes.Unavailable, "etcdserver: 10.0.0.7:2379 is away"),
			fault.Fault{Kind: fault.Away, Reason: "the connection was lost"}},
		"etcd has no leader": {
			rpctypes.ErrNoLeader, fault.Fault{Kind: fault.Away, Reason: "no leader"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			if diff := cmp.Diff(c.want, EtcdFault(c.err)); diff != "" {
				t.Errorf("fault (-want +got):\n%s", diff)
			}
		})
	}
}
