package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

// visit is one call, with the book open.
type visit struct {
	plugin   *Plugin
	config   *config
	args     *skel.CmdArgs
	pod      pod
	pages    *book.Pages
	delegate *delegate
	boot     string
	// changed: what DEL and GC have to write.
	changed bool
}

// meet takes over what host-local has, of a network that the book does not know: the pods that ran before the plugin was there, or before the book was damaged. Which
// of them live nobody knows before the next boot.
func (v *visit) meet() {
	if slices.Contains(v.pages.Networks, v.config.name) {
		return
	}
	v.pages.Networks, v.changed = append(v.pages.Networks, v.config.name), true
	if v.config.Delegate != "host-local" {
		return
	}
	for _, r := range hostLocalHas(v.config) {
		r.Boot = v.boot
		v.pages.Reservations = append(v.pages.Reservations, r)
	}
}

// isMine reports whether a reservation is the one that this call is about.
func (v *visit) isMine(r *book.Reservation) bool {
	return r.Network == v.config.name && r.Interface == v.args.IfName && r.UID == v.pod.uid && (r.UID != "" || r.Sandbox == v.args.ContainerID)
}

func (v *visit) add() (*current.Result, error) {
	mine, err := v.reserve()
	if err != nil {
		return nil, err
	}
	result, err := v.allocate(mine)
	if err != nil {
		return nil, v.explain(err)
	}
	got := addresses(result)
	if lost := slices.DeleteFunc(slices.Clone(mine.Addresses), func(ip netip.Addr) bool { return slices.Contains(got, ip) }); len(lost) > 0 {
		v.plugin.say("pod %s/%s has %v now, and not %v any more", v.pod.namespace, v.pod.name, got, lost)
	}
	mine.Namespace, mine.Name, mine.Addresses, mine.Gone = v.pod.namespace, v.pod.name, got, false
	mine.Sandbox, mine.Netns, mine.Boot = v.args.ContainerID, v.args.Netns, v.boot
	if err := v.pages.Save(); err != nil {
		return nil, err
	}
	return result, nil
}

// reserve finds or makes the reservation of this call. One that is new is on disk, so that a kill leaves nothing in the delegate that nobody knows of.
func (v *visit) reserve() (*book.Reservation, error) {
	mine := v.pages.Find(v.isMine)
	isNew := mine == nil
	if isNew {
		if err := v.begin(); err != nil {
			return nil, err
		}
	} else if mine.UID == "" && mine.InUse(v.boot) && len(mine.Addresses) > 0 {
		return nil, fmt.Errorf("sandbox %s has %v at %s already", mine.Sandbox, mine.Addresses, mine.Interface)
	}
	v.tidy(v.isMine)
	if isNew {
		if err := v.pages.Save(); err != nil {
			return nil, err
		}
	}
	return v.pages.Find(v.isMine), nil
}

// begin makes a reservation: out of what a pod of the same name has left, or of nothing.
func (v *visit) begin() error {
	mine := book.Reservation{Network: v.config.name, Interface: v.args.IfName, UID: v.pod.uid, Namespace: v.pod.namespace, Name: v.pod.name}
	if mine.UID == "" {
		mine.Sandbox = v.args.ContainerID
	}
	left := v.namesakes(&mine)
	if left == nil {
		v.pages.Reservations = append(v.pages.Reservations, mine)
		return nil
	}
	if err := v.delegate.tell("DEL", of(left)); err != nil {
		return err
	}
	mine.Addresses = left.Addresses
	*left = mine
	return nil
}

// namesakes says of pods of the same name that they are gone, for an API server has one of a name. It returns what one of them has left, nil if none has.
func (v *visit) namesakes(mine *book.Reservation) (left *book.Reservation) {
	if mine.UID == "" || mine.Name == "" {
		return nil
	}
	for i := range v.pages.Reservations {
		r := &v.pages.Reservations[i]
		if r.UID == "" || r.Network != mine.Network || r.Interface != mine.Interface || r.Namespace != mine.Namespace || r.Name != mine.Name {
			continue
		}
		r.Gone = true
		if left == nil && len(r.Addresses) > 0 && !r.InUse(v.boot) {
			left = r
		}
	}
	return left
}

// tidy gives back what nobody needs any more, but for one reservation.
func (v *visit) tidy(but func(*book.Reservation) bool) {
	v.pages.Reservations = slices.DeleteFunc(v.pages.Reservations, func(r book.Reservation) bool {
		ended := len(r.Addresses) == 0 || (r.UID == "" || r.Gone) && !r.InUse(v.boot)
		if r.Network != v.config.name || !ended || but(&r) {
			return false
		}
		if err := v.delegate.tell("DEL", of(&r)); err != nil {
			v.plugin.say("give back %v: %v", r.Addresses, err)
			return false
		}
		v.changed = true
		return true
	})
}

// allocate has the delegate give addresses that are nobody else's.
func (v *visit) allocate(mine *book.Reservation) (*current.Result, error) {
	asked := mine.Addresses
	if v.pod.asked || v.config.asked {
		asked = nil
	}
	for range len(v.pages.Reservations) + 1 {
		result, err := v.request(mine, asked, v.args.Args)
		if err != nil {
			return nil, err
		}
		other := v.owner(addresses(result), mine)
		if other == nil {
			return result, nil
		}
		// The delegate has lost whose they are.
		if err := v.delegate.tell("DEL", of(mine)); err != nil {
			return nil, err
		}
		if _, err := v.request(other, other.Addresses, of(other).args); err != nil {
			v.plugin.say("tell %s that %v are given: %v", v.config.Delegate, other.Addresses, err)
		}
	}
	return nil, fmt.Errorf("%s gives nothing but addresses that others have", v.config.Delegate)
}

// request asks the delegate for addresses, or, without those that it will not give, for others.
func (v *visit) request(r *book.Reservation, asked []netip.Addr, args string) (*current.Result, error) {
	to := of(r)
	if err := v.delegate.tell("DEL", to); err != nil {
		return nil, err
	}
	to.args = args
	for {
		result, err := v.delegate.add(to, asked)
		without := refused(err, asked)
		if len(without) == 0 {
			return result, err
		}
		v.plugin.say("%v", err)
		asked = slices.DeleteFunc(slices.Clone(asked), func(ip netip.Addr) bool { return slices.Contains(without, ip) })
	}
}

// owner returns the reservation of another that has one of the addresses, nil if there is none.
func (v *visit) owner(ips []netip.Addr, mine *book.Reservation) *book.Reservation {
	return v.pages.Find(func(r *book.Reservation) bool {
		return r != mine && r.Network == mine.Network && slices.ContainsFunc(ips, func(ip netip.Addr) bool { return slices.Contains(r.Addresses, ip) })
	})
}

// exhausted is how host-local says that there are no addresses left.
const exhausted = "no IP addresses available"

// explain says of a range with no addresses left how many are kept for pods that do not run.
func (v *visit) explain(err error) error {
	if !strings.Contains(err.Error(), exhausted) {
		return err
	}
	all, idle := 0, 0
	for _, r := range v.pages.Reservations {
		if r.Network == v.config.name && len(r.Addresses) > 0 {
			all++
			if !r.InUse(v.boot) {
				idle++
			}
		}
	}
	return fmt.Errorf("%w; of %d reservations in %s %d are kept for pods that have no sandbox now, and if those are gone nobody has said so: "+
		"koinon-edgehub does, or koinon-ipam release", err, all, v.config.StateDir, idle)
}

func addresses(result *current.Result) []netip.Addr {
	var ips []netip.Addr
	for _, ip := range result.IPs {
		if addr, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			ips = append(ips, addr.Unmap())
		}
	}
	return ips
}

func (v *visit) del() error {
	v.detach(func(r *book.Reservation) bool {
		unknown := r.Sandbox == "" && r.UID != "" && r.UID == v.pod.uid
		return r.Interface == v.args.IfName && (r.Sandbox == v.args.ContainerID || unknown)
	})
	v.tidy(func(*book.Reservation) bool { return false })
	if v.changed {
		if err := v.pages.Save(); err != nil {
			v.plugin.say("sandbox %s is gone, which could not be written: %v", v.args.ContainerID, err)
		}
	}
	// What was given before the plugin was there is known by the sandbox's own ID.
	return v.delegate.tell("DEL", attachment{v.args.ContainerID, v.args.IfName, v.args.Args})
}

// detach says of sandboxes that they are gone.
func (v *visit) detach(gone func(*book.Reservation) bool) {
	for i := range v.pages.Reservations {
		r := &v.pages.Reservations[i]
		if r.Network == v.config.name && r.Boot != "" && gone(r) {
			r.Detach()
			v.changed = true
		}
	}
}

func (v *visit) check() error {
	mine := v.pages.Find(v.isMine)
	if mine == nil { // it is from before the plugin was there
		return v.delegate.tell("CHECK", attachment{v.args.ContainerID, v.args.IfName, v.args.Args})
	}
	if mine.Sandbox != "" && mine.Sandbox != v.args.ContainerID {
		return fmt.Errorf("%v are those of sandbox %s, and not of %s", mine.Addresses, mine.Sandbox, v.args.ContainerID)
	}
	return v.delegate.tell("CHECK", of(mine))
}

func (v *visit) gc() error {
	there := v.config.attachments
	v.detach(func(r *book.Reservation) bool {
		return r.Sandbox != "" && !slices.Contains(there, types.GCAttachment{ContainerID: r.Sandbox, IfName: r.Interface})
	})
	v.tidy(func(*book.Reservation) bool { return false })
	if v.changed {
		if err := v.pages.Save(); err != nil {
			return err
		}
	}
	newer, err := v.delegate.speaks11()
	if err != nil || !newer {
		return err
	}
	for _, r := range v.pages.Reservations {
		if r.Network == v.config.name {
			there = append(there, types.GCAttachment{ContainerID: r.ID(), IfName: r.Interface})
		}
	}
	return v.delegate.gc(there)
}
