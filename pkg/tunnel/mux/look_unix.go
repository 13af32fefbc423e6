//go:build !windows

package mux

import "syscall"

// canLook is whether a connection can be read past its Read.
const canLook = true

// readNow reads what there is, and does not wait.
func readNow(fd uintptr, into []byte) (int, error) { return syscall.Read(int(fd), into) }
