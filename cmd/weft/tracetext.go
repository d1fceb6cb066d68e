package main

import (
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// traced is what weft trace tells; its JSON form is that of -o json.
type traced struct {
	Assumed     []string    `json:"assumed,omitempty"` // what the flags left out
	Packet      string      `json:"packet"`
	Steps       []traceStep `json:"steps"`
	Outcomes    []outcome   `json:"outcomes"` // several of a packet whose copies differ
	Match       string      `json:"match"`    // the packets that share the decision
	Guards      string      `json:"guards"`   // what each of them must meet besides
	Installable bool        `json:"installable"`
	Kept        string      `json:"not_installable,omitempty"` // why not
	Effects     []string    `json:"effects,omitempty"`
	Originated  []string    `json:"originated,omitempty"`
	Read        string      `json:"read"`    // fields that devices looked at
	Depends     []string    `json:"depends"` // what of the network it relies on
}

// traceStep is one thing that happened.
type traceStep struct {
	Device string `json:"device,omitempty"` // empty: to the packet as a whole
	Port   string `json:"port,omitempty"`   // by which the device got the copy
	What   string `json:"what"`
}

// outcome is what becomes of a copy.
type outcome struct {
	Verdict  string `json:"verdict"`           // forward, drop, consumed, incomplete
	To       string `json:"to,omitempty"`      // of forward: vport, or "all of" a bridge
	Reason   string `json:"reason,omitempty"`  // of drop
	Rewrite  string `json:"rewrite,omitempty"` // of forward
	Fragment uint16 `json:"fragment,omitempty"`
	text     string
}

// trace simulates the probe.
func trace(snap *topology.Snapshot, vport string, p *probe) (*traced, error) {
	v, err := findVPort(snap, vport)
	if err != nil {
		return nil, err
	}
	a, notes, err := p.resolve(snap, v)
	if err != nil {
		return nil, usage(err)
	}
	data, err := a.frame()
	if err != nil {
		return nil, usage(err)
	}
	var f packet.Frame
	if err := packet.Parse(data, &f); err != nil {
		return nil, fmt.Errorf("the packet: %w", err)
	}
	var s sim.Simulator
	res := sim.Result{Trace: new(sim.Trace)}
	s.Simulate(snap, &f, v.ID, 0, &res)
	return tell(snap, &f, v, notes, &res), nil
}

// tell puts what a simulation gave into words.
func tell(snap *topology.Snapshot, f *packet.Frame, v *topology.VPort, assumed []string, r *sim.Result) *traced {
	name := v.Tenant + "/" + v.Name
	t := &traced{
		Assumed: assumed, Packet: packetText(f), Guards: guards(r.Guards), Installable: r.Installable, Kept: r.NotInstallable,
		Match: strings.Replace(flow.MatchOf(flow.KeyOf(f, v.ID), r.Mask).String(), "vport="+v.ID.String(), "vport="+name, 1),
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
		t.Steps = append(t.Steps, traceStep{st.Device, st.Port, st.What})
	}
	for _, o := range r.Outcomes {
		one := outcome{Verdict: o.Verdict.String(), text: verdict(snap, o)}
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

// text is the trace for people.
func (t *traced) text(verbose bool) string {
	var b strings.Builder
	for _, n := range t.Assumed {
		b.WriteString(n + "\n")
	}
	b.WriteString(t.Packet + "\n")
	at := traceStep{}
	for _, st := range t.Steps {
		switch {
		case st.Device == "":
			b.WriteString(st.What + "\n")
		case st.Device != at.Device || st.Port != at.Port:
			fmt.Fprintf(&b, "  %s, in by %s\n    %s\n", st.Device, st.Port, st.What)
		default:
			fmt.Fprintf(&b, "    %s\n", st.What)
		}
		at = st
	}
	b.WriteByte('\n')
	line := func(name, value string) { fmt.Fprintf(&b, "%-11s %s\n", name, value) }
	for _, o := range t.Outcomes {
		line("verdict", o.text)
		if o.Rewrite != "" {
			line("rewrite", o.Rewrite)
		}
	}
	line("match", t.Match)
	line("guards", t.Guards)
	if t.Kept != "" {
		line("kept", "not as an entry: "+t.Kept)
	}
	for _, e := range t.Effects {
		line("effects", e)
	}
	for _, o := range t.Originated {
		line("originated", o)
	}
	if verbose {
		line("read", t.Read)
		for _, d := range t.Depends {
			line("depends", d)
		}
	}
	return b.String()
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
