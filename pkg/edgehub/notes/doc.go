// Package notes keeps what the hub has to know while the cloud is away and what is in no view: which token is whose, who may what, what was answered to reads that
// no view can have, and what is to be written when the cloud is back.
//
// A Book is one file, a store.Store of its own: whole or not at all, with checksums. A Shelf of it has values of one type by name, all of them in memory. It is bounded, and
// when it is full whatever was put first is gone first. Put is on the disk after the next Flush. A file that is damaged costs what cannot be read
// of it; what is in memory is written again.
//
// Everything may be called concurrently.
package notes
