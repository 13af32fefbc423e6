// Package etcdtest runs an etcd in the process of a test. It is a package of its own since
// etcd is large, and most tests of the store do without it. Its one function may be called
// from any test at the same time.
package etcdtest

import (
	"net/url"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// startTimeout is how long an etcd on a busy machine may take.
const startTimeout = 2 * time.Minute

// Start runs an empty etcd until the test ends. It returns its address on loopback and a
// client.
func Start(t *testing.T) (address string, client *clientv3.Client) {
	t.Helper()
	config := embed.NewConfig()
	config.Dir = t.TempDir()
	config.LogLevel = "panic"
	config.UnsafeNoFsync = true
	anyPort := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config.ListenClientUrls = []url.URL{anyPort}
	config.ListenPeerUrls = []url.URL{anyPort}
	config.AdvertiseClientUrls, config.AdvertisePeerUrls = config.ListenClientUrls, config.ListenPeerUrls
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(startTimeout):
		t.Fatal("etcd does not become ready")
	}
	return etcd.Clients[0].Addr().String(), v3client.New(etcd.Server)
}
