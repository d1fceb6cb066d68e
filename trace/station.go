package trace

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// findVPort returns the exterior vport that a packet comes in at: TENANT/NAME, or NAME of the default tenant.
func findVPort(snap *topology.Snapshot, name string) (*topology.VPort, error) {
	if name == "" {
		return nil, fail("vport", "", "is missing", "name the exterior vport where the packet comes in, such as acme/app1")
	}
	tenant, short, found := strings.Cut(name, "/")
	if !found {
		tenant, short = topology.DefaultTenant, name
	}
	var same, exterior, trunk []string
	for v := range snap.VPorts() {
		full := v.Tenant + "/" + v.Name
		switch {
		case v.Tenant == tenant && v.Name == short && !v.Exterior:
			return nil, fail("vport", name, "is an interior port", "packets come in at exterior ones")
		case v.Tenant == tenant && v.Name == short:
			return v, nil
		case v.Exterior && v.Tenant == tenant && strings.HasPrefix(v.Name, short+"."):
			trunk = append(trunk, full)
		case v.Exterior && v.Tenant == tenant:
			same = append(same, full)
			fallthrough
		case v.Exterior:
			exterior = append(exterior, full)
		}
	}
	if len(trunk) > 0 {
		return nil, fail("vport", name, "is a trunk", "name it in one of its VLANs: "+shortList(trunk))
	}
	if len(same) == 0 {
		same = exterior
	}
	if len(same) == 0 {
		return nil, fail("vport", name, "is no vport, and the network has no exterior one", "")
	}
	return nil, fail("vport", name, "is no vport", "use "+shortList(same))
}

// resolve fills in what a packet leaves out, as the host at the vport would. What is assumed is told.
func resolve(snap *topology.Snapshot, v *topology.VPort, given client.Packet) (a *addressed, assumed []client.Assumption, err error) {
	p := newProbe(given)
	a = &addressed{probe: p}
	if a.to, err = parseAddr("dst", p.Dst); err != nil {
		return nil, nil, err
	}
	if a.from, err = p.source(v, a.to); err != nil {
		return nil, nil, err
	}
	proto, err := p.protocol(a.to.Is6())
	if err == nil {
		err = check(&given, proto)
	}
	if err != nil {
		return nil, nil, err
	}
	assume := func(field string, value fmt.Stringer, why string) {
		assumed = append(assumed, client.Assumption{Field: field, Value: value.String(), Why: why})
	}
	if p.Src == "" {
		assume("src", a.from, "the first such address of "+v.Tenant+"/"+v.Name)
	}
	switch {
	case p.SrcMAC != "":
		if a.fromMAC, err = parseMAC("srcMAC", p.SrcMAC); err != nil {
			return nil, nil, err
		}
	case v.Kind == topology.DeviceBridge && !v.MAC.IsZero():
		a.fromMAC = v.MAC
		assume("srcMAC", a.fromMAC, "the host at "+v.Tenant+"/"+v.Name)
	default:
		return nil, nil, fail("srcMAC", "", fmt.Sprintf("is missing, and vport %s/%s does not say which host is there", v.Tenant, v.Name), "use one such as 02:00:00:00:00:01")
	}
	if given.Proto == "" {
		defer func() {
			assumed = append(assumed, client.Assumption{Field: "proto", Value: p.Proto, Why: "a ping"})
		}()
	}
	if p.DstMAC != "" {
		a.toMAC, err = parseMAC("dstMAC", p.DstMAC)
		return a, assumed, err
	}
	if proto == protocolARP {
		return a, assumed, nil // to all, or to the solicited-node group
	}
	var why string
	if a.toMAC, why, err = nextHopMAC(snap, v, a.to); err != nil {
		return nil, nil, err
	}
	assume("dstMAC", a.toMAC, why)
	return a, assumed, nil
}

func (p *probe) source(v *topology.VPort, to netip.Addr) (netip.Addr, error) {
	if p.Src != "" {
		from, err := parseAddr("src", p.Src)
		if err == nil && from.Is4() != to.Is4() {
			err = fail("src", p.Src, "is of another IP family than dst, "+to.String(), "use the same")
		}
		return from, err
	}
	for _, x := range v.Addrs {
		if x.Addr().Is4() == to.Is4() && v.Kind == topology.DeviceBridge {
			return x.Addr(), nil
		}
	}
	return netip.Addr{}, fail("src", "", fmt.Sprintf("is missing, and the host at vport %s/%s has no address of the family of dst, %v", v.Tenant, v.Name, to), "give one")
}

func parseAddr(field, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case text == "":
		return a, fail(field, "", "is missing", "use an address such as 10.0.0.12 or fd00:10::12")
	case err != nil || a.Zone() != "" || a.Is4In6():
		return a, fail(field, text, "is no IP address", "use one such as 10.0.0.12 or fd00:10::12")
	}
	return a, nil
}

func parseMAC(field, text string) (packet.MAC, error) {
	m, err := packet.ParseMAC(text)
	if err != nil {
		return m, fail(field, text, "is no MAC", "use one such as 02:00:00:00:00:01")
	}
	return m, nil
}

// shortList names some of many.
func shortList(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" or one of %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// nextHopMAC returns the MAC that the host at v sends to for an address: the router's whose port v is; on a bridge that of the destination if
// it is on the host's link, and else that of a router port on the link.
func nextHopMAC(snap *topology.Snapshot, v *topology.VPort, to netip.Addr) (packet.MAC, string, error) {
	switch {
	case to.IsMulticast():
		return packet.MulticastMAC(to), "the group's", nil
	case v.Kind == topology.DeviceRouter:
		return v.MAC, "router port " + v.Tenant + "/" + v.Name, nil
	}
	domain := snap.Domain(v.Device)
	onLink := to.IsLinkLocalUnicast()
	for _, x := range v.Addrs {
		onLink = onLink || x.Contains(to)
	}
	if onLink {
		for _, id := range domain {
			if m, ok := snap.Bridge(id).Neighbour(to); ok {
				return m, "neighbour of " + v.Tenant + "/" + v.Name + " on the link", nil
			}
		}
		return packet.MAC{}, "", fail("dstMAC", "", fmt.Sprintf("is missing, and the network does not say which host on the link has %v", to), "give its MAC, or one that nobody has")
	}
	if gw := gateway(snap, domain, v, to.Is4()); gw != nil {
		return gw.MAC, "the gateway, router port " + gw.Tenant + "/" + gw.Name, nil
	}
	return packet.MAC{}, "", fail("dstMAC", "", fmt.Sprintf("is missing, and there is no router port on the link of %s/%s with an address on its subnet", v.Tenant, v.Name), "give a MAC")
}

// gateway returns the first router port on the link that has an address in a subnet of v's host.
func gateway(snap *topology.Snapshot, domain []topology.DeviceID, v *topology.VPort, v4 bool) *topology.VPort {
	for _, id := range domain {
		for _, port := range snap.Bridge(id).Ports {
			peer := peerOf(snap, port)
			if peer == nil || peer.Kind != topology.DeviceRouter {
				continue
			}
			for _, own := range peer.Addrs {
				for _, x := range v.Addrs {
					if x.Addr().Is4() == v4 && x.Contains(own.Addr()) {
						return peer
					}
				}
			}
		}
	}
	return nil
}

func peerOf(snap *topology.Snapshot, id flow.VPortID) *topology.VPort {
	if p := snap.VPort(id); p != nil && p.Peer != 0 {
		return snap.VPort(p.Peer)
	}
	return nil
}
