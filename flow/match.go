package flow

import (
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// Match is the set of packets that agree with Key in the bits of Mask: the pattern of a megaflow. Key has no bits outside Mask.
// It is comparable: two matches of the same set are equal.
type Match struct {
	Key  Key
	Mask Mask
}

// MatchOf returns the match of a packet's key under the mask of what was read from it.
func MatchOf(k Key, m Mask) Match { return Match{Key: k.And(m), Mask: m} }

// Contains reports whether k is in the set.
func (m Match) Contains(k Key) bool { return m.Mask.agree(&m.Key, &k) }

// Overlaps reports whether some key is in both sets.
func (m Match) Overlaps(o Match) bool { return m.Key.And(o.Mask) == o.Key.And(m.Mask) }

// Within reports whether all of the set is in o.
func (m Match) Within(o Match) bool { return m.Mask.Covers(o.Mask) && o.Contains(m.Key) }

// MatchFields are the names of the fields that Match.String writes, in its order.
func MatchFields() []string {
	return []string{"vport", "src_mac", "dst_mac", "ether_type", "src", "dst", "proto", "frag", "sport", "dport"}
}

// String returns the fields with read bits in one line: field=value, or field=value/mask if not all bits were; * for none.
func (m Match) String() string {
	var b strings.Builder
	k := &m.Key
	num := func(name string, v, mask, full uint64) {
		switch mask {
		case 0:
		case full:
			fmt.Fprintf(&b, " %s=%d", name, v)
		default:
			fmt.Fprintf(&b, " %s=%#x/%#x", name, v, mask)
		}
	}
	mac := func(name string, v, mask packet.MAC) {
		switch {
		case mask.IsZero():
		case mask.IsBroadcast():
			fmt.Fprintf(&b, " %s=%v", name, v)
		default:
			fmt.Fprintf(&b, " %s=%v/%v", name, v, mask)
		}
	}
	addr := func(name string, v, mask Addr) {
		n, prefix := mask.PrefixLen(k.EtherType)
		switch ip := v.Netip(k.EtherType); {
		case mask == Addr{}:
		case prefix && ip.IsValid() && n == ip.BitLen():
			fmt.Fprintf(&b, " %s=%v", name, ip)
		case prefix && ip.IsValid():
			fmt.Fprintf(&b, " %s=%v/%d", name, ip, n)
		default:
			fmt.Fprintf(&b, " %s=%x/%x", name, v[:], mask[:])
		}
	}
	num("vport", uint64(k.Ingress), uint64(m.Mask.Ingress), MaxID)
	mac("src_mac", k.SrcMAC, m.Mask.SrcMAC)
	mac("dst_mac", k.DstMAC, m.Mask.DstMAC)
	if m.Mask.EtherType == 0xffff {
		fmt.Fprintf(&b, " ether_type=%#04x", k.EtherType)
	} else {
		num("ether_type", uint64(k.EtherType), uint64(m.Mask.EtherType), 0xffff)
	}
	addr("src", k.Src, m.Mask.Src)
	addr("dst", k.Dst, m.Mask.Dst)
	num("proto", uint64(k.Proto), uint64(m.Mask.Proto), 0xff)
	num("frag", uint64(k.Frag), uint64(m.Mask.Frag), 3)
	num("sport", uint64(k.SrcPort), uint64(m.Mask.SrcPort), 0xffff)
	num("dport", uint64(k.DstPort), uint64(m.Mask.DstPort), 0xffff)
	if b.Len() == 0 {
		return "*"
	}
	return b.String()[1:]
}
