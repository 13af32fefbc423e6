// Package storage is the store of a Koinon server: Kine over SQLite or MySQL, embedded in
// the process, or a real etcd that is only dialled. Both the embedded host and the Koinon
// API server get the same thing from it, an etcd client configuration:
//
//	store, err := storage.Open(ctx, storage.Config{DataDir: dir})
//	...
//	defer store.Close()
//	etcdOptions.StorageConfig.Transport = store.Transport()
//
// An embedded store has no address: every client connection is one end of a socket pair
// whose other end is handed to the gRPC server of the store, so there is no port, no
// socket file and nothing that another user of the machine could connect to.
//
// What it refuses to do: it does not know about Kubernetes objects, does not encrypt (that
// is EncryptionConfiguration, one layer up), and never puts a data source name into an
// error or a log line, because it may hold a password.
//
// This is the only package that links Kine and the SQL drivers. Kine's endpoint package is
// not used: it links seven drivers where two are needed.
//
// A Store may be used by any number of goroutines. Close may be called once, after
// everything that uses the store has stopped.
package storage
