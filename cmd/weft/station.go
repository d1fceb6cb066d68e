package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// snapshotOf returns a valid set as a snapshot, ids assigned in order of kind and name.
func snapshotOf(set *topology.Set) *topology.Snapshot {
	objects := set.All()
	last := uint32(0)
	for _, o := range objects {
		last = max(last, o.Status.ID)
	}
	topology.AssignIDs(objects, last)
	snap, _ := new(topology.Snapshot).With(topology.Changes{Put: set.ResolvedAll(objects)})
	return snap
}

// findVPort returns the exterior vport that --vport names: TENANT/NAME, or NAME of the default tenant.
func findVPort(snap *topology.Snapshot, name string) (*topology.VPort, error) {
	if name == "" {
		return nil, usage(errors.New("--vport: is missing; name the exterior vport where the packet comes in, such as acme/app1"))
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
			return nil, fmt.Errorf("--vport %q: is an interior port; packets come in at exterior ones", name)
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
		return nil, fmt.Errorf("--vport %q: is a trunk; name it in one of its VLANs: %s", name, shortList(trunk))
	}
	if len(same) == 0 {
		same = exterior
	}
	if len(same) == 0 {
		return nil, fmt.Errorf("--vport %q: is no vport, and the network has no exterior one", name)
	}
	return nil, fmt.Errorf("--vport %q: is no vport; use %s", name, shortList(same))
}

// resolve fills in what the probe leaves out, as the host at the vport would. Assumptions are told in notes.
func (p *probe) resolve(snap *topology.Snapshot, v *topology.VPort) (a *addressed, notes []string, err error) {
	if p.ttl == 0 {
		return nil, nil, errors.New("--ttl 0: is not sent by any host; use 1 to 255")
	}
	a = &addressed{probe: p}
	if a.to, err = parseAddr("--dst", p.dst); err != nil {
		return nil, nil, err
	}
	if a.from, err = p.source(v, a.to); err != nil {
		return nil, nil, err
	}
	proto, err := p.protocol(a.to.Is6())
	if err == nil {
		err = p.check(proto)
	}
	if err != nil {
		return nil, nil, err
	}
	assumed := func(flag string, value fmt.Stringer, why string) {
		notes = append(notes, fmt.Sprintf("assumed %s %v: %s", flag, value, why))
	}
	if p.src == "" {
		assumed("--src", a.from, "the first such address of "+v.Tenant+"/"+v.Name)
	}
	switch {
	case p.srcMAC != "":
		if a.fromMAC, err = parseMAC("--src-mac", p.srcMAC); err != nil {
			return nil, nil, err
		}
	case v.Kind == topology.DeviceBridge && !v.MAC.IsZero():
		a.fromMAC = v.MAC
		assumed("--src-mac", a.fromMAC, "the host at "+v.Tenant+"/"+v.Name)
	default:
		return nil, nil, fmt.Errorf("--src-mac: is missing, and vport %s/%s does not say which host is there; use one such as 02:00:00:00:00:01", v.Tenant, v.Name)
	}
	if !p.given("proto") {
		defer func() { notes = append(notes, "assumed --proto "+p.proto+": a ping") }()
	}
	if p.dstMAC != "" {
		a.toMAC, err = parseMAC("--dst-mac", p.dstMAC)
		return a, notes, err
	}
	if proto == protocolARP {
		return a, notes, nil // to all, or to the solicited-node group
	}
	var why string
	if a.toMAC, why, err = nextHopMAC(snap, v, a.to); err != nil {
		return nil, nil, err
	}
	assumed("--dst-mac", a.toMAC, why)
	return a, notes, nil
}

func (p *probe) source(v *topology.VPort, to netip.Addr) (netip.Addr, error) {
	if p.src != "" {
		from, err := parseAddr("--src", p.src)
		if err == nil && from.Is4() != to.Is4() {
			err = fmt.Errorf("--src %q: is of another IP family than --dst %v; use the same", p.src, to)
		}
		return from, err
	}
	for _, x := range v.Addrs {
		if x.Addr().Is4() == to.Is4() && v.Kind == topology.DeviceBridge {
			return x.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("--src: is missing, and the host at vport %s/%s has no address of the family of --dst %v; give one", v.Tenant, v.Name, to)
}

func parseAddr(flag, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case text == "":
		return a, fmt.Errorf("%s: is missing; use an address such as 10.0.0.12 or fd00:10::12", flag)
	case err != nil || a.Zone() != "" || a.Is4In6():
		return a, fmt.Errorf("%s %q: is no IP address; use one such as 10.0.0.12 or fd00:10::12", flag, text)
	}
	return a, nil
}

func parseMAC(flag, text string) (packet.MAC, error) {
	m, err := packet.ParseMAC(text)
	if err != nil {
		return m, fmt.Errorf("%s %q: is no MAC; use one such as 02:00:00:00:00:01", flag, text)
	}
	return m, nil
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
		return packet.MAC{}, "", fmt.Errorf("--dst-mac: is missing, and the network does not say which host on the link has %v; give its MAC, or one that nobody has", to)
	}
	if gw := gateway(snap, domain, v, to.Is4()); gw != nil {
		return gw.MAC, "the gateway, router port " + gw.Tenant + "/" + gw.Name, nil
	}
	return packet.MAC{}, "", fmt.Errorf("--dst-mac: is missing, and there is no router port on the link of %s/%s with an address on its subnet; give a MAC", v.Tenant, v.Name)
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
