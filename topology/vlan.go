package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxVLAN is the largest VLAN id of a frame (IEEE 802.1Q).
const maxVLAN = 4094

// VLANRange is the VLANs from First to Last, both included.
type VLANRange struct{ First, Last uint16 }

// UnmarshalText reads 10 and 100-199.
func (r *VLANRange) UnmarshalText(b []byte) error {
	return (*PortRange)(r).UnmarshalText(b)
}

// String returns what UnmarshalText reads.
func (r VLANRange) String() string { return PortRange(r).String() }

// MarshalText writes what UnmarshalText reads.
func (r VLANRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// vlansOf lists the VLANs of ranges in order, each once; those that no frame can have are left out.
func vlansOf(ranges []VLANRange, more ...uint16) []uint16 {
	all := slices.DeleteFunc(slices.Clone(more), func(v uint16) bool { return v == 0 || v > maxVLAN })
	for _, r := range ranges {
		for v := max(1, int(r.First)); v <= min(maxVLAN, int(r.Last)); v++ {
			all = append(all, uint16(v))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// vlans are the VLANs that a trunk carries; none if the port is no trunk.
func (s *VPortSpec) vlans() []uint16 {
	if len(s.VLANs) == 0 {
		return nil
	}
	return vlansOf(s.VLANs, s.Native)
}

// maxRate is the most frames a second that a floodRate can say.
const maxRate = 1_000_000_000

// rate checks a floodRate.
func (v *validator) rate(o *Object, rate uint32) {
	if rate > maxRate {
		v.fail(o, "spec.floodRate", strconv.FormatUint(uint64(rate), 10), "is out of range", fmt.Sprintf("use 1 to %d frames a second, or 0 for no limit", maxRate))
	}
}

// seedKey is what a bridge has one seed for: a MAC or an address in a VLAN.
type seedKey[T comparable] struct {
	vlan uint16
	of   T
}

// seeded checks the VLAN of a seed, and returns the bridge that it is of.
func (v *validator) seeded(o *Object, s *BridgeSpec, field string, vlan uint16) Ref {
	ref, vlans := o.Ref(), vlansOf(s.VLANs)
	switch {
	case len(vlans) == 0 && vlan != 0:
		v.fail(o, field+".vlan", strconv.Itoa(int(vlan)), "is of VLAN-aware bridges alone", "leave it out, or list the bridge's VLANs in spec.vlans")
	case len(vlans) > 0 && !slices.Contains(vlans, vlan):
		v.fail(o, field+".vlan", strconv.Itoa(int(vlan)), "is no VLAN of the bridge", "use those of "+VLANText(s.VLANs))
	case vlan != 0:
		ref.Name = inVLAN(ref.Name, vlan)
	}
	return ref
}

// inVLAN is the name of what an object is in one VLAN.
func inVLAN(name string, vlan uint16) string { return name + "." + strconv.Itoa(int(vlan)) }

// VLANText lists VLANs as users write them.
func VLANText(ranges []VLANRange) string {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = r.String()
	}
	return strings.Join(words, ",")
}

// vlanList checks a list of VLANs.
func (v *validator) vlanList(o *Object, ranges []VLANRange) {
	seen := map[uint16]bool{}
	for i, r := range ranges {
		field := fmt.Sprintf("spec.vlans[%d]", i)
		if r.First == 0 || r.Last > maxVLAN {
			v.fail(o, field, r.String(), "is out of range", "use 1 to 4094")
			continue
		}
		for n := int(r.First); n <= int(r.Last); n++ {
			if seen[uint16(n)] {
				v.fail(o, field, r.String(), fmt.Sprintf("has VLAN %d again", n), "list each VLAN once")
				break
			}
			seen[uint16(n)] = true
		}
	}
	if longest := inVLAN(o.Metadata.Name, maxVLAN); len(ranges) > 0 && len(longest) > maxName {
		v.fail(o, "metadata.name", o.Metadata.Name, "is too long for what has VLANs", fmt.Sprintf("use %d characters at most: what it is in a VLAN is called NAME.VLAN", maxName-5))
	}
}

// inBridge checks in which VLANs of its bridge a vport is.
func (v *validator) inBridge(o *Object, s *VPortSpec) {
	dev := v.deviceOf(o) // of the one VLAN, if there is one
	aware := dev != nil && (dev.Status.Expanded || s.VLAN != 0 && dev.Status.Of != "")
	switch {
	case s.VLAN > maxVLAN:
		v.fail(o, "spec.vlan", strconv.Itoa(int(s.VLAN)), "is out of range", "use 1 to 4094")
	case s.VLAN != 0 && len(s.VLANs) > 0:
		v.fail(o, "spec.vlan", strconv.Itoa(int(s.VLAN)), "contradicts vlans, which make the port a trunk", "leave one of them out; the VLAN that is untagged at a trunk is native")
	case s.Native > maxVLAN:
		v.fail(o, "spec.native", strconv.Itoa(int(s.Native)), "is out of range", "use 1 to 4094")
	case s.Native != 0 && (len(s.VLANs) == 0 || !s.IsExterior()):
		v.fail(o, "spec.native", strconv.Itoa(int(s.Native)), "is of exterior trunks alone", "leave it out, or list the tagged VLANs in vlans")
	case dev == nil: // reported
	case !aware && (s.VLAN != 0 || len(s.VLANs) > 0):
		field, value := "spec.vlan", strconv.Itoa(int(s.VLAN))
		if s.VLAN == 0 {
			field, value = "spec.vlans", VLANText(s.VLANs)
		}
		v.failRef(o, field, value, "is in no VLAN-aware bridge: "+s.Device+" has no vlans", "list the VLANs in spec.vlans of the bridge, or leave this out")
	case aware && s.VLAN == 0 && len(s.VLANs) == 0:
		v.failRef(o, "spec.vlan", "", "is missing: "+s.Device+" is VLAN-aware", "say in which VLAN the port is, or in vlans which ones it carries")
	}
	v.vlanList(o, s.VLANs)
	if len(s.VLANs) > 0 {
		v.trunk(o, s)
	}
}

// trunk checks what a port that carries several VLANs may have, and that its peer carries the same.
func (v *validator) trunk(o *Object, s *VPortSpec) {
	for _, x := range []struct {
		field string
		given bool
	}{
		{"spec.mac", !s.MAC.IsZero()}, {"spec.addresses", len(s.Addresses) > 0}, {"spec.dhcp", s.DHCP != ""},
		{"spec.securityGroups", len(s.SecurityGroups) > 0},
	} {
		if x.given {
			v.fail(o, x.field, "", "is not for trunks, behind which there is more than one host and network", "leave it out")
		}
	}
	if s.IsExterior() {
		return
	}
	p := v.set.Get(o.VPortRef(s.Peer))
	if p == nil {
		return // reported
	}
	if far := p.Spec.(*VPortSpec); !slices.Equal(far.vlans(), s.vlans()) {
		v.failRef(o, "spec.vlans", VLANText(s.VLANs), "are not those of peer "+s.Peer, "give both ends of the link the same")
	}
}

// part checks what is made of another object, which is checked as a whole: that what it refers to has that VLAN.
func (v *validator) part(o *Object) {
	s, ok := o.Spec.(*VPortSpec)
	if !ok {
		return
	}
	dev := v.deviceOf(o)
	if dev == nil || dev.Status.Of == "" {
		v.noVLAN(o, s)
	} else if !s.IsExterior() && v.set.Get(o.VPortRef(s.Peer)) != nil {
		v.peer(o, s, dev)
	}
}

// noVLAN tells that the vport's bridge is there but does not have its VLAN; false: that is not what is wrong.
func (v *validator) noVLAN(o *Object, s *VPortSpec) bool {
	ref, _ := deviceNamed(o, s)
	b := v.set.Get(ref)
	if b == nil || b.Kind != KindBridge {
		return false
	}
	field, hint := "spec.vlan", "list the VLANs in spec.vlans of the bridge, or leave this out"
	if o.Status.Of != "" {
		field = "spec.vlans"
	}
	if has := b.Spec.(*BridgeSpec).VLANs; len(has) > 0 {
		hint = "use those of " + VLANText(has) + ", or add it to spec.vlans of the bridge"
	}
	v.failRef(o, field, strconv.Itoa(int(s.VLAN)), "is no VLAN of "+s.Device, hint)
	return true
}
