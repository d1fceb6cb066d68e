// Package trace follows one packet through the virtual devices of a snapshot, and tells in words what becomes of it.
package trace

import (
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// Follow simulates one packet that comes in at an exterior vport. What is wrong with the packet is a *topology.FieldError, of a field of client.Packet.
func Follow(snap *topology.Snapshot, p client.Packet) (*client.Trace, error) {
	v, err := findVPort(snap, p.VPort)
	if err != nil {
		return nil, err
	}
	a, assumed, err := resolve(snap, v, p)
	if err != nil {
		return nil, err
	}
	data, err := a.frame()
	if err != nil {
		return nil, err
	}
	var f packet.Frame
	if err := packet.Parse(data, &f); err != nil {
		return nil, fail("", "", "makes no packet: "+err.Error(), "")
	}
	var s sim.Simulator
	res := sim.Result{Trace: new(sim.Trace)}
	s.Simulate(snap, &f, v.ID, 0, &res)
	return tell(snap, &f, v, assumed, &res), nil
}

// tell puts what a simulation gave into words.
func tell(snap *topology.Snapshot, f *packet.Frame, v *topology.VPort, assumed []client.Assumption, r *sim.Result) *client.Trace {
	name := v.Tenant + "/" + v.Name
	t := &client.Trace{
		Assumed: assumed, Packet: packetText(f), Guards: guards(r.Guards), Installable: r.Installable, Kept: r.NotInstallable,
		Match: strings.Replace(flow.MatchOf(flow.KeyOf(f, v.ID), r.Mask).String(), "vport="+v.ID.String(), "vport="+name, 1),
	}
	if r.Installable && f.L3 != 0 && !r.Mask.SrcMAC.IsZero() {
		t.Installable, t.Kept = false, "a rule asks for the source MAC"
	}
	for _, st := range r.Trace.Steps {
		if read, ok := strings.CutPrefix(st.What, "read "); ok && st.Sum {
			t.Read = read
		}
		if st.Sum {
			continue
		}
		if strings.HasPrefix(st.What, "originated by ") {
			st.What, _, _ = strings.Cut(st.What, ": ") // what it is, Originated says
		}
		t.Steps = append(t.Steps, client.TraceStep{Device: st.Device, Port: st.Port, What: st.What})
	}
	for _, o := range r.Outcomes {
		one := client.TraceEnd{Verdict: o.Verdict.String(), Text: verdict(snap, o)}
		switch o.Verdict {
		case sim.Forward:
			one.To, one.Rewrite, one.Fragment = destName(snap, o.Dest), o.Rewrite.String(), o.Fragment
		case sim.Drop:
			one.Reason = o.Drop.String()
		}
		t.Outcomes = append(t.Outcomes, one)
	}
	for _, e := range r.Effects {
		t.Effects = append(t.Effects, effect(snap, e))
	}
	for _, o := range r.Originated {
		t.Originated = append(t.Originated, originated(snap, o))
	}
	for _, d := range r.Deps {
		t.Depends = append(t.Depends, dependText(snap, d))
	}
	return t
}

// packetText is a packet in short: TCP 10.0.0.1:40000 → 10.0.0.2:80, TTL 64, 40 bytes.
func packetText(f *packet.Frame) string {
	if f.IsARP() {
		return "ARP request " + ends(f)
	}
	if f.IsND() {
		return "neighbour solicitation " + ends(f)
	}
	name := fmt.Sprintf("IP protocol %d", f.Proto)
	switch f.Proto {
	case packet.ProtoTCP:
		name = "TCP"
	case packet.ProtoUDP:
		name = "UDP"
	case packet.ProtoSCTP:
		name = "SCTP"
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if name = "ICMP"; f.Is6() {
			name = "ICMPv6"
		}
		t, c := f.ICMPType()
		if name += fmt.Sprintf(" type %d code %d", t, c); f.IsEchoRequest() {
			name = strings.Fields(name)[0] + " echo request"
		}
	}
	return fmt.Sprintf("%s %s, TTL %d, %d bytes", name, ends(f), f.TTL(), f.IPLen())
}

// ends says between whom a packet goes.
func ends(f *packet.Frame) string {
	if f.IsARP() {
		if a, err := f.ARP(); err == nil && a.Op == packet.ARPRequest {
			return fmt.Sprintf("who has %v? tell %v", a.TargetIP, a.SenderIP)
		} else if err == nil {
			return fmt.Sprintf("%v is at %v", a.SenderIP, a.SenderMAC)
		}
	}
	if f.IsND() {
		if n, err := f.ND(); err == nil && n.Type == packet.ICMPv6NeighSol {
			return fmt.Sprintf("who has %v? tell %v", n.Target, n.Src)
		} else if err == nil {
			return fmt.Sprintf("%v is at %v", n.Target, n.LinkAddr)
		}
	}
	if f.L3 == 0 {
		return fmt.Sprintf("%v → %v", f.Src(), f.Dst())
	}
	switch f.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP:
		if f.Is6() {
			return fmt.Sprintf("[%v]:%d → [%v]:%d", f.SrcAddr(), f.SrcPort, f.DstAddr(), f.DstPort)
		}
		return fmt.Sprintf("%v:%d → %v:%d", f.SrcAddr(), f.SrcPort, f.DstAddr(), f.DstPort)
	}
	return fmt.Sprintf("%v → %v", f.SrcAddr(), f.DstAddr())
}

// dependText is a dependency with the names that its numbers have.
func dependText(snap *topology.Snapshot, d topology.Dep) string {
	device, vport := func() string { return deviceName(snap, topology.DeviceID(d.A())) }, func() string { return portName(snap, flow.VPortID(d.A())) }
	switch d.Kind() {
	case topology.DepDevice:
		return device()
	case topology.DepVPort:
		return "vport " + vport()
	case topology.DepRoute:
		return fmt.Sprintf("%s: route to %v/%d", device(), d.Addr(), d.Bits())
	case topology.DepFDB:
		return fmt.Sprintf("%s: where %v is", device(), d.MAC())
	case topology.DepBridgeNeighbour:
		return fmt.Sprintf("%s: neighbour %v", device(), d.Addr())
	case topology.DepNeighbour:
		return fmt.Sprintf("router port %s: neighbour %v", vport(), d.Addr())
	case topology.DepGroup:
		return device() + ": its ports"
	case topology.DepBinding:
		return "binding of vport " + vport()
	}
	return d.String()
}
