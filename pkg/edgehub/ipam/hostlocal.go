package ipam

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/utils"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

// hostLocalDir is where host-local has its files unless ipam.dataDir says otherwise, with a directory for each network.
const hostLocalDir = "/var/lib/cni/networks"

// hostLocalHas returns what host-local's files say is given, with nothing but a network, an interface, addresses and a UID or a sandbox. A file is named for its
// address, and has a container ID and an interface on a line each.
func hostLocalHas(c *config) []book.Reservation {
	dir := hostLocalDir
	if text, ok := c.ipam["dataDir"]; ok {
		_ = json.Unmarshal(text, &dir) // host-local says what is wrong with it
	}
	files, _ := os.ReadDir(filepath.Join(dir, c.name))
	var all []book.Reservation
	for _, file := range files {
		ip, err := netip.ParseAddr(file.Name())
		if err != nil {
			continue // its lock, and the address that was given last
		}
		text, err := os.ReadFile(filepath.Join(dir, c.name, file.Name()))
		if err != nil {
			continue
		}
		id, ifname, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		id = strings.TrimSpace(id)
		if ifname == "" {
			ifname = "eth0" // versions before 0.8 did not say; it is found by the ID alone
		}
		if utils.ValidateContainerID(id) == nil && utils.ValidateInterfaceName(ifname) == nil {
			all = withAddress(all, book.Reservation{Network: c.name, Interface: ifname, UID: book.UIDOf(id), Sandbox: id}, ip)
		}
	}
	return all
}

// withAddress adds an address to a reservation among others, or adds that.
func withAddress(all []book.Reservation, of book.Reservation, ip netip.Addr) []book.Reservation {
	if of.UID != "" {
		of.Sandbox = "" // nobody knows which
	}
	for i := range all {
		if all[i].ID() == of.ID() && all[i].Interface == of.Interface {
			all[i].Addresses = append(all[i].Addresses, ip)
			return all
		}
	}
	of.Addresses = []netip.Addr{ip}
	return append(all, of)
}
