package serve

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcd serves a single etcd with its default flags, but for where it listens.
func etcd(ctx context.Context, o Options) error {
	config := embed.NewConfig()
	config.Dir = filepath.Join(o.Dir, "etcd")
	config.ListenClientUrls = unix(o.Socket)
	config.AdvertiseClientUrls = config.ListenClientUrls
	config.ListenPeerUrls = unix(o.Socket + ".peer")
	config.AdvertisePeerUrls = config.ListenPeerUrls
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer server.Close()
	select {
	case err := <-server.Err():
		return err
	case <-server.Server.StopNotify():
		return errors.New("etcd stopped by itself")
	case <-ctx.Done():
		return nil
	}
}

func unix(path string) []url.URL { return []url.URL{{Scheme: "unix", Path: path}} }
