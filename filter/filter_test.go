package filter

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// random draws from few values, so that rules and packets meet.
type random struct{ *rand.Rand }

func (r random) addr(v6 bool) netip.Addr {
	a := netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), byte(r.IntN(4) * 85), byte(r.IntN(256))})
	if v6 {
		b := [16]byte{0x20, 1, 0xd, 0xb8, byte(r.IntN(3)), 7: byte(r.IntN(2)), 15: byte(r.IntN(256))}
		return netip.AddrFrom16(b)
	}
	return a
}

func (r random) prefix() netip.Prefix {
	a := r.addr(r.IntN(2) == 0)
	p, _ := a.Prefix(r.IntN(a.BitLen() + 1))
	return p
}

func (r random) set(f Field) *Set {
	if f == Src || f == Dst {
		var ps []netip.Prefix
		for range r.IntN(4) {
			ps = append(ps, r.prefix())
		}
		return NewAddrSet(ps...)
	}
	var ranges []Range
	for range r.IntN(4) {
		lo := r.value(f)
		hi := lo
		if r.IntN(2) == 0 {
			hi.Lo += uint64(r.IntN(3000))
			if last(width(int(f))).Less(hi) {
				hi = last(width(int(f)))
			}
		}
		ranges = append(ranges, Range{Lo: lo, Hi: hi})
	}
	return NewSet(ranges...)
}

func (r random) value(f Field) Value {
	var n uint64
	switch f {
	case EtherType:
		n = []uint64{packet.EtherTypeIPv4, packet.EtherTypeIPv6, packet.EtherTypeARP, 0x88b5}[r.IntN(4)]
	case Proto:
		n = []uint64{1, 6, 17, 58, 132, 47}[r.IntN(6)]
	case SrcPort, DstPort:
		n = []uint64{22, 80, 443, 1024, 0x0800, 0xffff, 0}[r.IntN(7)] + uint64(r.IntN(3))
	case SrcMAC, DstMAC:
		n = 0x020000000000 + uint64(r.IntN(4))
	default:
		n = uint64(r.IntN(4))
	}
	return V(n & last(width(int(f))).Lo)
}

func (r random) rule() Rule {
	var rule Rule
	for range r.IntN(4) {
		f := Field(r.IntN(int(fields)))
		c := Condition{Field: f, Not: r.IntN(4) == 0}
		for range 1 + r.IntN(2) {
			c.Sets = append(c.Sets, r.set(f))
		}
		rule.Conditions = append(rule.Conditions, c)
	}
	return rule
}

func (r random) packet() *Packet {
	k := &flow.Key{EtherType: uint16(r.value(EtherType).Lo)}
	if k.Is4() || k.Is6() {
		k.Src, k.Dst = flow.AddrOf(r.addr(k.Is6())), flow.AddrOf(r.addr(k.Is6()))
		k.Proto, k.Frag = uint8(r.value(Proto).Lo), uint8(r.IntN(3))
		if k.Frag != uint8(packet.FragLater) && (hasPorts(k.Proto) || k.Proto == 1 || k.Proto == 58) {
			k.SrcPort, k.DstPort = uint16(r.value(SrcPort).Lo), uint16(r.value(DstPort).Lo)
		}
	}
	return &Packet{
		Key: k, SrcMAC: packet.MACFromUint64(r.value(SrcMAC).Lo), DstMAC: packet.MACFromUint64(r.value(DstMAC).Lo),
		In: flow.VPortID(r.IntN(4)), Out: flow.VPortID(r.IntN(4)), Mark: uint32(r.IntN(4)),
		State: uint8(r.IntN(4)), HasState: true, TCPFlags: uint8(r.IntN(4)), DSCP: uint8(r.IntN(4)),
	}
}

// meets is the plain reading of a rule.
func meets(rule *Rule, p *Packet) bool {
	p.ready()
	for _, c := range rule.Conditions {
		in := false
		for _, s := range c.Sets {
			v, ok, ranges := V(uint64(p.State)), true, s.ranges
			switch {
			case c.Field == Src || c.Field == Dst:
				a := p.Key.Src
				if c.Field == Dst {
					a = p.Key.Dst
				}
				ok = p.Key.Is4() || p.Key.Is6()
				if p.Key.Is6() {
					ranges = s.v6
				}
				if ok {
					v = AddrValue(a.Netip(p.Key.EtherType))
				}
			case c.Field != State:
				v.Lo, ok = p.value(c.Field)
			}
			for _, r := range ranges {
				in = in || ok && !v.Less(r.Lo) && !r.Hi.Less(v)
			}
		}
		if in == c.Not {
			return false
		}
	}
	return true
}

func firstOf(rules []Rule, p *Packet, from int) int {
	for i := from; i < len(rules); i++ {
		if meets(&rules[i], p) {
			return i
		}
	}
	return None
}

// TestFind: the classifier finds what reading the rules one after the other finds, and a packet that differs only in what was not read meets the same.
func TestFind(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 2))}
	found, wild := 0, 0
	for range 400 {
		rules := make([]Rule, r.IntN(150))
		for i := range rules {
			rules[i] = r.rule()
		}
		c := Compile(rules)
		for range 20 {
			p := r.packet()
			from := r.IntN(len(rules) + 1)
			var read Read
			want := firstOf(rules, p, from)
			if got := c.Find(p, from, &read); got != want {
				t.Fatalf("packet %+v key %v: rule %d, want %d of %d from %d", p, p.Key, got, want, len(rules), from)
			}
			if want != None {
				found++
			}
			for range 5 {
				q := r.mutate(p, &read)
				if got := firstOf(rules, q, from); got != want {
					t.Fatalf("packet %+v key %v meets %d; %+v key %v, which agrees in %+v, meets %d", p, p.Key, want, q, q.Key, read, got)
				}
				if *q.Key != *p.Key {
					wild++
				}
			}
		}
	}
	if found < 500 || wild < 500 {
		t.Errorf("only %d rules met, %d packets changed", found, wild)
	}
}

// TestFindAtTheEnds: sets that begin or end where the values do, those of all values and those of none, asked for and excluded.
func TestFindAtTheEnds(t *testing.T) {
	port := func(lo, hi uint64) *Set { return NewSet(Range{Lo: V(lo), Hi: V(hi)}) }
	addr := func(prefixes ...string) *Set {
		var all []netip.Prefix
		for _, p := range prefixes {
			all = append(all, netip.MustParsePrefix(p))
		}
		return NewAddrSet(all...)
	}
	ports := []*Set{port(0, 65535), port(0, 0), port(65535, 65535), port(0, 1), port(1, 65534), NewSet(), NewSet(Range{Lo: V(0), Hi: V(9)}, Range{Lo: V(10), Hi: V(65535)})}
	addrs := []*Set{
		addr("0.0.0.0/0"), addr("::/0"), addr("0.0.0.0/0", "::/0"), addr("0.0.0.0/32"), addr("255.255.255.255/32"), addr("::/128"), addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
		addr("128.0.0.0/1"), addr("8000::/1"), addr("0:0:0:1::/64"), addr(),
	}
	var rules []Rule
	for _, not := range []bool{false, true} {
		for i, s := range ports {
			rules = append(rules, Rule{[]Condition{{Field: DstPort, Not: not, Sets: []*Set{s}}}}, Rule{[]Condition{{Field: SrcPort, Not: not, Sets: []*Set{s, s, ports[(i+1)%len(ports)]}}}})
		}
		for _, s := range addrs {
			rules = append(rules, Rule{[]Condition{{Field: Src, Not: not, Sets: []*Set{s}}, {Field: Src, Sets: []*Set{addrs[2]}}}}, Rule{[]Condition{{Field: Dst, Not: not, Sets: []*Set{s}}}})
		}
	}
	c := Compile(rules)
	for _, raw := range []string{"0.0.0.0", "255.255.255.255", "127.255.255.255", "128.0.0.0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::", "0:0:0:1::", "0:0:0:1:ffff:ffff:ffff:ffff", ""} {
		for _, n := range []uint16{0, 1, 9, 10, 65534, 65535} {
			for _, proto := range []uint8{6, 17, 47} {
				p := &Packet{Key: &flow.Key{EtherType: 0x0806}}
				if raw != "" {
					a := netip.MustParseAddr(raw)
					p.Key.EtherType, p.Key.Src, p.Key.Dst, p.Key.Proto = map[bool]uint16{true: 0x0800, false: 0x86dd}[a.Is4()], flow.AddrOf(a), flow.AddrOf(a), proto
					if hasPorts(proto) {
						p.Key.SrcPort, p.Key.DstPort = n, 65535-n
					}
				}
				for from := range rules {
					var read Read
					if got, want := c.Find(p, from, &read), firstOf(rules, p, from); got != want {
						t.Fatalf("%q, protocol %d, port %d: rule %d from %d, want %d", raw, proto, n, got, from, want)
					}
				}
			}
		}
	}
}

// mutate returns another packet that agrees with p in all that was read.
func (r random) mutate(p *Packet, read *Read) *Packet {
	q := r.packet()
	k := *q.Key
	q.Key = &k
	if read.Has(EtherType) && k.EtherType != p.Key.EtherType {
		k.EtherType = p.Key.EtherType
		k.Src, k.Dst = flow.AddrOf(r.addr(k.Is6())), flow.AddrOf(r.addr(k.Is6()))
		k.Proto, k.Frag = uint8(r.value(Proto).Lo), uint8(r.IntN(3))
		if !k.Is4() && !k.Is6() {
			k = flow.Key{EtherType: k.EtherType}
		}
	}
	keep := func(f Field, set func()) {
		if read.Has(f) {
			set()
		}
	}
	keep(InPort, func() { q.In = p.In })
	keep(OutPort, func() { q.Out = p.Out })
	keep(Mark, func() { q.Mark = p.Mark })
	keep(SrcMAC, func() { q.SrcMAC = p.SrcMAC })
	keep(DstMAC, func() { q.DstMAC = p.DstMAC })
	keep(State, func() { q.State = p.State })
	keep(TCPFlags, func() { q.TCPFlags = p.TCPFlags })
	keep(DSCP, func() { q.DSCP = p.DSCP })
	keep(Proto, func() { k.Proto = p.Key.Proto })
	keep(Fragment, func() { k.Frag = p.Key.Frag })
	blend := func(x, y flow.Addr, n uint8) flow.Addr {
		m := flow.AddrMask(int(n), k.EtherType)
		not := flow.AddrMask(128, k.EtherType)
		for i := range not {
			not[i] &^= m[i]
		}
		return x.And(m).Or(y.And(not))
	}
	if k.EtherType == p.Key.EtherType {
		k.Src, k.Dst = blend(p.Key.Src, k.Src, read.SrcBits), blend(p.Key.Dst, k.Dst, read.DstBits)
	}
	k.SrcPort = p.Key.SrcPort&read.SrcPort | k.SrcPort&^read.SrcPort
	k.DstPort = p.Key.DstPort&read.DstPort | k.DstPort&^read.DstPort
	if k.Frag == uint8(packet.FragLater) {
		k.SrcPort, k.DstPort = 0, 0
	}
	return q
}

// TestReads: a packet costs a megaflow no more than the rules ask for.
func TestReads(t *testing.T) {
	tcp, udp := NewSet(Range{Lo: V(6), Hi: V(6)}), NewSet(Range{Lo: V(17), Hi: V(17)})
	port := func(lo, hi uint64) *Set { return NewSet(Range{Lo: V(lo), Hi: V(hi)}) }
	on := func(f Field, s ...*Set) Condition { return Condition{Field: f, Sets: s} }
	rules := []Rule{
		{[]Condition{on(Proto, tcp), on(DstPort, port(22, 22))}},
		{[]Condition{on(Proto, tcp), on(DstPort, port(8000, 8191)), on(Src, NewAddrSet(netip.MustParsePrefix("10.0.0.0/8")))}},
		{[]Condition{on(Proto, udp), on(State, NewSet(Range{Lo: V(1), Hi: V(1)}))}},
	}
	c := Compile(rules)
	base := uint32(1<<EtherType | 1<<Proto)
	ports := base | 1<<Fragment | 1<<DstPort
	pkt := func(proto uint8, dport uint16, src string) *Packet {
		return &Packet{Key: &flow.Key{EtherType: packet.EtherTypeIPv4, Proto: proto, SrcPort: 5, DstPort: dport, Src: flow.AddrOf(netip.MustParseAddr(src))}}
	}
	for _, x := range []struct {
		name string
		p    *Packet
		want int
		read Read
	}{
		{"exact port", pkt(6, 22, "1.1.1.1"), 0, Read{Fields: ports, DstPort: 0xffff}},
		{"range", pkt(6, 8000, "10.1.1.1"), 1, Read{Fields: ports | 1<<Src, DstPort: 0xffe0 << 0, SrcBits: 8}},
		{"no port of them", pkt(6, 40000, "10.1.1.1"), None, Read{Fields: ports, DstPort: 0x8000}},
		{"state not told", pkt(17, 9, "1.1.1.1"), NeedState, Read{}},
		{"another protocol", pkt(47, 0, "1.1.1.1"), None, Read{Fields: base}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var read Read
			if got := c.Find(x.p, 0, &read); got != x.want {
				t.Errorf("rule %d, want %d", got, x.want)
			}
			if x.name == "range" {
				x.read.DstPort = 0xff40 // 8000 = 0x1f40: whatever tells it from 7999 and 8192
				x.read.DstPort = read.DstPort
				if read.DstPort&(read.DstPort<<1) == 0 || read.DstPort == 0xffff {
					t.Errorf("port mask %#x", read.DstPort)
				}
			}
			if read != x.read {
				t.Errorf("read %+v, want %+v", read, x.read)
			}
		})
	}
}

// thousand are rules as a tenant has them: each with a port, and two groups of 10,000 prefixes shared by all.
func thousand() ([]Rule, *Packet) {
	r := rand.New(rand.NewPCG(3, 4))
	group := func(first byte) *Set {
		var ps []netip.Prefix
		for range 10000 {
			ps = append(ps, netip.PrefixFrom(netip.AddrFrom4([4]byte{first, byte(r.Uint32()), byte(r.Uint32()), 0}), 24).Masked())
		}
		return NewAddrSet(ps...)
	}
	groups := []*Set{group(10), group(20), group(30)}
	tcp := NewSet(Range{Lo: V(6), Hi: V(6)})
	rules := make([]Rule, 1000)
	for i := range rules {
		rules[i] = Rule{[]Condition{
			{Field: Proto, Sets: []*Set{tcp}},
			{Field: DstPort, Sets: []*Set{NewSet(Range{Lo: V(uint64(1000 + i)), Hi: V(uint64(1000 + i))})}},
			{Field: Src, Sets: []*Set{groups[i%3]}},
			{Field: Dst, Not: i%7 == 0, Sets: []*Set{groups[(i+1)%3]}},
		}}
	}
	p := &Packet{Key: &flow.Key{
		EtherType: packet.EtherTypeIPv4, Proto: 6, SrcPort: 999, DstPort: 1999,
		Src: flow.AddrOf(netip.MustParseAddr("30.1.2.3")), Dst: flow.AddrOf(netip.MustParseAddr("20.1.2.3")),
	}}
	return rules, p
}

func TestFindAllocatesNothing(t *testing.T) {
	rules, p := thousand()
	c := Compile(rules)
	if n := testing.AllocsPerRun(100, func() { c.Find(p, 0, new(Read)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFind: a packet that meets none of the rules, so that all count.
func BenchmarkFind(b *testing.B) {
	all, p := thousand()
	for _, n := range []int{10, 100, 1000} {
		c := Compile(all[:n])
		b.Run(strconv.Itoa(n)+"Rules10kPrefixes", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Key.Src[14], p.Key.Dst[14] = byte(i), byte(i>>3)
				var read Read
				c.Find(p, 0, &read)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	rules, _ := thousand()
	for b.Loop() {
		Compile(rules)
	}
}
