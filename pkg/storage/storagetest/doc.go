// Package storagetest starts databases for tests, and breaks them: MariaDB that is killed,
// paused or made read-only, a Galera cluster, a primary with its replica, a proxy that cuts
// connections at a chosen step of the protocol, and disks that are full or read-only.
//
//	database := storagetest.StartMariaDB(t)
//	proxy := storagetest.StartProxy(t, database.Address)
//	dsn := "mysql://" + proxy.DSN("koinon")
//	proxy.Arm(storagetest.CutBeforeLastAnswer, "COMMIT")
//
// It is not linked into any binary. What it starts belongs to one test and ends with it, and
// no process outlives the test binary. Functions may be called from any test at the same
// time; the methods of a server are for one goroutine at a time, those of a Proxy for any.
package storagetest
