package randnet

import (
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// chains adds groups and chains, some of which jump to others, and has devices and vports run some.
func (w *World) chains() {
	var devices []*topology.Object
	for _, o := range w.objects {
		if o.Kind == topology.KindBridge || o.Kind == topology.KindRouter || o.Kind == topology.KindVPort {
			devices = append(devices, o)
		}
	}
	var names, addrs, ports []string
	for range 2 {
		addrs = append(addrs, w.add(topology.KindAddressGroup, w.addressGroup()).Metadata.Name)
		ports = append(ports, w.add(topology.KindPortGroup, &topology.PortGroupSpec{Ports: w.vports(3)}).Metadata.Name)
	}
	for range 3 {
		s := &topology.ChainSpec{Default: []string{"", "accept", "drop"}[w.rng.IntN(3)]}
		for range w.rng.IntN(8) {
			s.Rules = append(s.Rules, w.rule(names, addrs, ports))
		}
		names = append(names, w.add(topology.KindChain, s).Metadata.Name)
	}
	draw := func() string {
		if w.rng.IntN(9) > 0 {
			return ""
		}
		return names[w.rng.IntN(len(names))]
	}
	for _, o := range devices {
		f := topology.FilterSpec{Ingress: draw(), Egress: draw()}
		switch s := o.Spec.(type) {
		case *topology.BridgeSpec:
			s.Filters = f
		case *topology.RouterSpec:
			s.Filters = f
		case *topology.VPortSpec:
			s.Filters = f
		}
	}
	if w.rng.IntN(2) == 0 {
		w.translations()
	}
	w.settleUses()
}

// settleUses tells all objects what the names in them stand for.
func (w *World) settleUses() {
	uses := map[string]uint32{}
	for _, o := range w.objects {
		uses[o.Ref().String()] = o.Status.ID
	}
	for _, o := range w.objects {
		o.Status.Uses = uses
	}
}

func (w *World) addressGroup() *topology.AddressGroupSpec {
	s := new(topology.AddressGroupSpec)
	for range 1 + w.rng.IntN(5) {
		s.Addresses = append(s.Addresses, topology.AddrSpec{Prefix: w.prefix(w.rng.IntN(2) == 0)})
	}
	return s
}

// vports draws names of vports.
func (w *World) vports(n int) []string {
	var all, drawn []string
	for _, o := range w.objects {
		if o.Kind == topology.KindVPort {
			all = append(all, o.Metadata.Name)
		}
	}
	for range n {
		drawn = append(drawn, all[w.rng.IntN(len(all))])
	}
	return drawn
}

// rule draws a rule of few conditions, some of them negated.
func (w *World) rule(chains, addrs, ports []string) topology.RuleSpec {
	r := topology.RuleSpec{Priority: uint32(w.rng.IntN(3)), Action: []string{"accept", "accept", "drop", "reject", "return", "continue", "mark", "jump"}[w.rng.IntN(8)]}
	switch {
	case r.Action == "mark":
		r.Mark = uint32(w.rng.IntN(3))
	case r.Action == "jump" && len(chains) == 0:
		r.Action = "accept"
	case r.Action == "jump":
		r.Chain = chains[w.rng.IntN(len(chains))]
	}
	r.Match.Protocols = [][]topology.Protocol{nil, {packet.ProtoTCP}, {packet.ProtoUDP, packet.ProtoSCTP}, {99}}[w.rng.IntN(4)]
	for range 1 + w.rng.IntN(2) {
		side := &r.Match
		if w.rng.IntN(3) == 0 {
			side = &r.Not
		}
		w.condition(side, addrs, ports, len(r.Match.Protocols) > 0 && r.Match.Protocols[0] != 99)
	}
	return r
}

func (w *World) condition(m *topology.MatchSpec, addrs, ports []string, l4 bool) {
	first := uint16(w.rng.Uint32())
	portRange := topology.PortRange{First: first, Last: max(first, first+uint16(w.rng.IntN(30000)))}
	switch w.rng.IntN(10) {
	case 0:
		m.Src = append(m.Src, topology.AddrSpec{Prefix: w.prefix(w.rng.IntN(2) == 0)})
	case 1:
		m.Dst = append(m.Dst, topology.AddrSpec{Prefix: w.prefix(w.rng.IntN(2) == 0)})
	case 2:
		m.SrcGroups = append(m.SrcGroups, addrs[w.rng.IntN(len(addrs))])
	case 3:
		m.DstGroups = append(m.DstGroups, addrs[w.rng.IntN(len(addrs))])
	case 4:
		m.InPortGroups = append(m.InPortGroups, ports[w.rng.IntN(len(ports))])
	case 5:
		m.OutPorts = w.vports(2)
	case 6:
		m.Marks = append(m.Marks, uint32(w.rng.IntN(3)))
	case 7:
		m.SrcMACs = append(m.SrcMACs, append(w.macs, w.mac())[w.rng.IntN(len(w.macs)+1)])
	case 8:
		if l4 {
			m.SrcPorts = append(m.SrcPorts, portRange)
		}
	default:
		if l4 {
			m.DstPorts = append(m.DstPorts, portRange)
		}
	}
}

// changeChain draws a change of a chain or group.
func (w *World) changeChain() *topology.Object {
	var all []*topology.Object
	var names, addrs, ports []string
	for _, o := range w.objects {
		switch o.Kind {
		case topology.KindChain:
			if !translates(o) {
				all, names = append(all, o), append(names, o.Metadata.Name)
			}
		case topology.KindAddressGroup:
			all, addrs = append(all, o), append(addrs, o.Metadata.Name)
		case topology.KindPortGroup:
			ports = append(ports, o.Metadata.Name)
		}
	}
	o := *all[w.rng.IntN(len(all))]
	if o.Kind == topology.KindAddressGroup {
		o.Spec = w.addressGroup()
		return &o
	}
	s := *o.Spec.(*topology.ChainSpec)
	var before []string // chains that can not lead back
	for _, n := range names {
		if n == o.Metadata.Name {
			break
		}
		before = append(before, n)
	}
	s.Rules = append([]topology.RuleSpec{w.rule(before, addrs, ports)}, s.Rules...)
	o.Spec = &s
	return &o
}
