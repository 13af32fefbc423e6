package main

import (
	"os"
	"syscall"
)

// syncData waits until what was written to a file is on disk.
func syncData(file *os.File) error { return syscall.Fdatasync(int(file.Fd())) }
