package app

import (
	"net"
	"net/netip"
)

// isOwn reports whether an address is one of this machine.
func isOwn(address netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(address.AsSlice()) {
			return true
		}
	}
	return false
}
