package filter

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// mask draws which bits of a key are known: leading ones of addresses and ports.
func (r random) mask(k *flow.Key) (m flow.Mask) {
	if r.IntN(8) == 0 {
		return m
	}
	m.EtherType = 0xffff
	n := 32
	if k.Is6() {
		n = 128
	}
	if r.IntN(2) == 0 {
		m.Proto, m.Frag = 0xff, 3
		m.SrcPort, m.DstPort = 0xffff<<(r.IntN(3)*r.IntN(9)), 0xffff<<(r.IntN(3)*r.IntN(9))
	}
	m.Src, m.Dst = flow.AddrMask(r.IntN(n+1), k.EtherType), flow.AddrMask(r.IntN(n+1), k.EtherType)
	return m
}

// TestMayMeet: a rule that a packet meets may be met by the packets of each pattern that it has, and has its port among its ports, if these are few; of many others it is known
// that they meet it not.
func TestMayMeet(t *testing.T) {
	r := random{rand.New(rand.NewPCG(5, 6))}
	met, refused, ports := 0, 0, 0
	for range 200_000 {
		rule, p := r.rule(), r.packet()
		m := r.mask(p.Key)
		k := p.Key.And(m) // nothing else is known of the packet
		may := rule.MayMeet(&k, &m)
		few, ok := rule.Ports(16)
		switch is := meets(&rule, p); {
		case is && !may:
			t.Fatalf("%+v: met by %v, not by what has its bits in %v", rule, p.Key, m)
		case is && ok && !slices.Contains(few, uint32(p.Key.Proto)<<16|uint32(p.Key.DstPort)):
			t.Fatalf("%+v: met by %v, which has none of the ports %x", rule, p.Key, few)
		case is:
			met++
		case !may:
			refused++
		}
		if ok {
			ports++
		}
	}
	if met < 1000 || refused < 10_000 || ports < 1000 {
		t.Errorf("%d met, %d can't be met, %d with few ports: too few to tell", met, refused, ports)
	}
}
