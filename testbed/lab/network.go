package lab

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// ScenarioOf writes a scenario without steps for a network: a host at every vport that is bound. It has the addresses of the vport, or, where that is a
// router's, one next to the router's; its gateway is the first router on its link. notes tell what has no host, and why.
func ScenarioOf(objects []*topology.Object) (text []byte, notes []string, err error) {
	objects, _ = new(topology.Set).Expand(objects, nil)
	var b strings.Builder
	fmt.Fprintf(&b, "-- %s --\n", scenario.NetworkFile)
	for _, o := range objects {
		if o.Status.Of != "" {
			continue // follows
		}
		object, err := json.Marshal(o) // which is YAML, too
		if err != nil {
			return nil, nil, fmt.Errorf("%v: %w", o.Ref(), err)
		}
		fmt.Fprintf(&b, "---\n%s\n", object)
	}
	topology.AssignIDs(objects, 0)
	snap, _ := new(topology.Snapshot).With(topology.Changes{Put: objects})
	fmt.Fprintf(&b, "-- %s --\n", scenario.HostsFile)
	taken := map[string]bool{}
	for _, o := range objects {
		spec, ok := o.Spec.(*topology.BindingSpec)
		if !ok || o.Status.Expanded {
			continue
		}
		ref := o.VPortRef(spec.VPort)
		id, _ := snap.ID(ref)
		line, err := hostLine(snap, snap.VPort(flow.VPortID(id)), taken)
		if err != nil {
			notes = append(notes, fmt.Sprintf("no host at %s/%s: %v", ref.Tenant, ref.Name, err))
			continue
		}
		fmt.Fprintln(&b, line)
	}
	return []byte(b.String()), notes, nil
}

// hostLine is the host's line of a bound vport. taken are the names of hosts so far.
func hostLine(snap *topology.Snapshot, v *topology.VPort, taken map[string]bool) (string, error) {
	name := v.Name
	if taken[name] {
		name = v.Tenant + "-" + v.Name
	}
	mac, addrs := v.MAC, v.Addrs
	var gateways []netip.Addr
	if v.Kind == topology.DeviceRouter {
		mac, addrs = neighbourMAC(v), nil
		for _, p := range v.Addrs {
			if a, ok := beside(p); ok {
				addrs, gateways = append(addrs, netip.PrefixFrom(a, p.Bits())), firstOfEach(gateways, p.Addr())
			}
		}
	} else {
		gateways = gatewaysOf(snap, v)
	}
	switch {
	case len(addrs) == 0:
		return "", fmt.Errorf("the vport has no addresses that a host could have")
	case mac.IsZero():
		mac = topology.GeneratedMAC(v.ID)
	}
	taken[name] = true
	line := fmt.Sprintf("%s vport=%s/%s mac=%v ip=%s", name, v.Tenant, v.Name, mac, join(addrs))
	if len(gateways) > 0 {
		line += " gw=" + join(gateways)
	}
	return line, nil
}

func join[T fmt.Stringer](all []T) string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = one.String()
	}
	return strings.Join(words, ",")
}

// neighbourMAC is a MAC for the host at a router port: unlike those that ports are given.
func neighbourMAC(v *topology.VPort) packet.MAC {
	mac := topology.GeneratedMAC(v.ID)
	mac[1] ^= 0xff
	return mac
}

// beside is the other address next to that of a prefix, if there is one for a host.
func beside(p netip.Prefix) (netip.Addr, bool) {
	for _, a := range []netip.Addr{p.Addr().Prev(), p.Addr().Next()} {
		network, broadcast := a == p.Masked().Addr(), a.Is4() && !p.Contains(a.Next())
		if a.IsValid() && p.Contains(a) && !network && !broadcast {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// firstOfEach adds a gateway unless there is one of its family.
func firstOfEach(gateways []netip.Addr, a netip.Addr) []netip.Addr {
	for _, g := range gateways {
		if g.Is4() == a.Is4() {
			return gateways
		}
	}
	return append(gateways, a)
}

// gatewaysOf are the addresses of the first router ports on a bridge port's link that are in a subnet of its host.
func gatewaysOf(snap *topology.Snapshot, v *topology.VPort) (gateways []netip.Addr) {
	for _, bridge := range snap.Domain(v.Device) {
		for _, id := range snap.Bridge(bridge).Ports {
			port := snap.VPort(id)
			if port == nil || port.Peer == 0 {
				continue
			}
			peer := snap.VPort(port.Peer)
			if peer == nil || peer.Kind != topology.DeviceRouter {
				continue
			}
			for _, own := range peer.Addrs {
				for _, x := range v.Addrs {
					if x.Addr().Is4() == own.Addr().Is4() && x.Contains(own.Addr()) {
						gateways = firstOfEach(gateways, own.Addr())
					}
				}
			}
		}
	}
	return gateways
}
