//go:build !linux

package mux

import "net"

// Tune does what Linux can do only.
func Tune(net.Conn) {}
