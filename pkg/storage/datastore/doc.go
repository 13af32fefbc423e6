// Package datastore knows what the value of --datastore means, and reaches an etcd://, which is
// not embedded: API servers talk to it themselves.
//
//	where, err := datastore.Parse(value, dataDir)
//	if where.Kind == datastore.Etcd {
//		err = datastore.CheckEtcd(ctx, where, tls, 0)
//	}
//
// What it makes of a value names the datastore without user and password. All functions may be
// called concurrently.
package datastore
