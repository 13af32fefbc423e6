package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
)

// addAddress has an address be one of this machine, on loopback, where it needs no kernel module and no manager of networks looks: pods of the node reach it by their default route, and
// nobody else does. That it is there already is as it should be. It stays when the hub ends: kubelet and pods have connections there.
func addAddress(address netip.Addr) error {
	if isOwn(address) {
		return nil
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback device: %w", err)
	}
	bits := address.BitLen()
	if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(bits, bits)}}); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("add the address %s to the loopback device: %w", address, err)
	}
	return nil
}
