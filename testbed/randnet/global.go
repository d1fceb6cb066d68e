package randnet

import (
	"net/netip"

	"github.com/weft-sdn/weft/topology"
)

// globals has some devices say that some addresses of IPv6, and all of IPv4, which are private, are globally unique.
func (w *World) globals() {
	devices := w.objects
	name := w.add(topology.KindAddressGroup, w.global()).Metadata.Name
	for _, o := range devices {
		if w.flaws.IntN(2) == 0 {
			continue
		}
		switch s := o.Spec.(type) {
		case *topology.BridgeSpec:
			s.GlobalAddresses = name
		case *topology.RouterSpec:
			s.GlobalAddresses = name
		}
	}
}

// global draws a group of addresses.
func (w *World) global() *topology.AddressGroupSpec {
	half := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: byte(w.flaws.IntN(3))}), 111+w.flaws.IntN(3)).Masked()
	return &topology.AddressGroupSpec{Addresses: []topology.AddrSpec{{Prefix: half}, {Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}}}
}

// changeGlobal draws what devices say of that: another group, or one device that says the contrary.
func (w *World) changeGlobal() *topology.Object {
	var devices []*topology.Object
	var group *topology.Object
	for _, o := range w.objects {
		switch o.Kind {
		case topology.KindBridge, topology.KindRouter:
			devices = append(devices, o)
		case topology.KindAddressGroup:
			group = o
		}
	}
	o := *devices[w.flaws.IntN(len(devices))]
	if w.flaws.IntN(3) == 0 {
		o = *group
	}
	toggled := func(was string) string {
		if was == "" {
			return group.Metadata.Name
		}
		return ""
	}
	switch s := o.Spec.(type) {
	case *topology.AddressGroupSpec:
		o.Spec = w.global()
	case *topology.BridgeSpec:
		c := *s
		c.GlobalAddresses = toggled(s.GlobalAddresses)
		o.Spec = &c
	case *topology.RouterSpec:
		c := *s
		c.GlobalAddresses = toggled(s.GlobalAddresses)
		o.Spec = &c
	}
	return &o
}
