// Package storage is the store of a Koinon server: SQLite or MySQL behind etcd's API,
// embedded in the process, or a real etcd that is only dialled. Both the embedded host and the Koinon
// API server get the same thing from it, an etcd client configuration:
//
//	store, err := storage.Open(ctx, storage.Config{DataDir: dir})
//	...
//	defer store.Close()
//	etcdOptions.StorageConfig.Transport = store.Transport()
//	config.RESTOptionsGetter = store.RESTOptions(config.RESTOptionsGetter)
//	config.ReadyzChecks = append(config.ReadyzChecks, store.Readiness())
//
// The last two lines, and Admission, make an API server say 503 and why when the store
// cannot be used: answers.go has what clients are told, decorate.go where.
//
// What --datastore says is in package datastore, what can be wrong with a store in package fault.
//
// Below it, from the outside to the inside: embedded puts Kine's etcd front over an engine,
// which keeps the state in memory (mvcc) and the truth in a log in the database (sqllog),
// and hears from other servers on the same database (notice). docs/store.md has the whole.
//
// What it refuses to do: it does not know about Kubernetes objects, does not encrypt (that
// is EncryptionConfiguration, one layer up), and never puts a data source name into an
// error or a log line, because it may hold a password.
//
// Only packages below this one link Kine and the SQL drivers.
//
// A Store may be used by any number of goroutines. Close may be called once, after
// everything that uses the store has stopped.
package storage
