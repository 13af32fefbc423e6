//go:build !linux

package app

import (
	"fmt"
	"net/netip"
)

// addAddress does nothing if an address is one of this machine; it has to be, here.
func addAddress(address netip.Addr) error {
	if !isOwn(address) {
		return fmt.Errorf("%s is no address of this machine: add it to one of its network interfaces", address)
	}
	return nil
}
