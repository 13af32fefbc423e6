// Package storefaults breaks what is under the store while clients use it, and checks every
// answer and every event afterwards: see package history for what has to hold.
//
// Each test takes a few seconds. KOINON_LONG=1 makes the load of each last
// KOINON_LONG_SECONDS, 120 if that is not set. KOINON_SEED repeats a plan of faults and
// requests, though not their timing. Tests against MariaDB and Galera are skipped where
// these are not installed; one test wants to be root, for a small file system.
//
//	go test -race -v ./test/storefaults/... -run Galera
package storefaults
