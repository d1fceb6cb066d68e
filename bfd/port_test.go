package bfd

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// endsOf are ends of sessions by what they are of.
var endsOf = map[string]Ends{
	"IPv4":            {Local: netip.MustParseAddr("192.0.2.1"), Neighbour: netip.MustParseAddr("192.0.2.9")},
	"IPv6":            {Local: netip.MustParseAddr("2001:db8::1"), Neighbour: netip.MustParseAddr("2001:db8::9")},
	"link-local":      {Local: netip.MustParseAddr("fe80::1"), Neighbour: netip.MustParseAddr("fe80::9")},
	"several hops":    {Local: netip.MustParseAddr("192.0.2.1"), Neighbour: netip.MustParseAddr("203.0.113.9"), Multihop: true},
	"several hops v6": {Local: netip.MustParseAddr("2001:db8::1"), Neighbour: netip.MustParseAddr("2001:db8:9::9"), Multihop: true, LeastTTL: 253},
}

// datagramTo is a packet for a session, as its neighbour sends it.
func datagramTo(e Ends, p Packet, edit func(*packet.UDP)) []byte {
	u := &packet.UDP{Src: e.Neighbour, Dst: e.Local, SrcPort: firstSource, DstPort: e.port(), TTL: 255, Payload: p.Marshal()}
	if edit != nil {
		edit(u)
	}
	return packet.AppendUDP(nil, u)[packet.EthernetLen:]
}

// first is a packet of a neighbour that does not know us yet.
var first = Packet{State: Down, Multiplier: 3, Mine: 9, MinTx: 1e9, MinRx: 1e9}

// opened returns a port with one session, and how many packets wait for it.
func opened(t testing.TB, e Ends) (*Port, *Session, func() int) {
	t.Helper()
	p := NewPort(func([]byte) {})
	s, err := p.Open(e, fast(50*ms, 50*ms, 3), func(Change) {})
	if err != nil {
		t.Fatal(err)
	}
	return p, s, func() int { return len(s.in) }
}

// TestSends: datagrams leave as RFC 5881 and 5883 say: TTL 255, to the right port, from one port of the upper range as long as the session lives, and from another for another session.
func TestSends(t *testing.T) {
	for name, e := range endsOf {
		var out [][]byte
		p := NewPort(func(ip []byte) { out = append(out, slices.Clone(ip)) })
		var sources []uint16
		for i := range 20 {
			e := e
			b := e.Local.As16()
			b[15] += byte(i)
			if e.Local = netip.AddrFrom16(b); endsOf[name].Local.Is4() {
				e.Local = e.Local.Unmap()
			}
			out = nil
			s, err := p.Open(e, fast(50*ms, 50*ms, 3), func(Change) {})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				s.send(first)
			}
			var last *packet.Frame
			for _, ip := range out {
				var f packet.Frame
				etherType := []byte{0x08, 0}
				if ip[0]>>4 == 6 {
					etherType = []byte{0x86, 0xdd}
				}
				if err := packet.Parse(slices.Concat(make([]byte, 12), etherType, ip), &f); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if f.SrcAddr() != e.Local || f.DstAddr() != e.Neighbour || f.TTL() != 255 || f.DstPort != e.port() || f.SrcPort < 49152 || !f.ChecksumOK() {
					t.Errorf("%s: %+v", name, f)
				}
				if last != nil && last.SrcPort != f.SrcPort {
					t.Errorf("%s: two source ports", name)
				}
				last = &f
			}
			if len(out) != 3 || slices.Contains(sources, last.SrcPort) {
				t.Errorf("%s: %d packets, the source port of another session", name, len(out))
			}
			sources = append(sources, last.SrcPort)
		}
	}
}

// TestReceives: of what comes for BFD a session has what is its own, right, and from near enough; nothing else does anything.
func TestReceives(t *testing.T) {
	for name, e := range endsOf {
		p, s, waiting := opened(t, e)
		mine := s.Status().Mine
		known := first
		known.State, known.Yours = Up, mine
		other := e
		other.Neighbour = e.Neighbour.Next()
		far := uint8(254)
		if e.Multihop {
			far = max(e.LeastTTL, 1) - 1
		}
		broken := func(edit func(b []byte)) []byte {
			b := known.Marshal()
			edit(b)
			return datagramTo(e, known, func(u *packet.UDP) { u.Payload = b })
		}
		for _, x := range []struct {
			what  string
			ip    []byte
			taken bool // by the session
		}{
			{"first packet", datagramTo(e, first, nil), true},
			{"known", datagramTo(e, known, nil), true},
			{"from the least TTL", datagramTo(e, known, func(u *packet.UDP) { u.TTL = max(far+1, 1) }), true},
			{"padded", append(datagramTo(e, known, nil), 0, 0, 0, 0), true},
			{"longer than its length says", datagramTo(e, known, func(u *packet.UDP) { u.Payload = append(u.Payload, 1, 2, 3, 4) }), true},
			{"from too far", datagramTo(e, known, func(u *packet.UDP) { u.TTL = far }), e.Multihop && e.LeastTTL == 0},
			{"first packet from too far", datagramTo(e, first, func(u *packet.UDP) { u.TTL = far }), e.Multihop && e.LeastTTL == 0},
			{"another discriminator", datagramTo(e, Packet{State: Up, Multiplier: 3, Mine: 9, Yours: mine + 1}, nil), false},
			{"of another", datagramTo(other, known, nil), false},
			{"first of another", datagramTo(other, first, nil), false},
			{"first packet that is up", datagramTo(e, Packet{State: Up, Multiplier: 3, Mine: 9}, nil), false},
			{"without a discriminator", broken(func(b []byte) { copy(b[4:8], []byte{0, 0, 0, 0}) }), false},
			{"multiplier 0", broken(func(b []byte) { b[2] = 0 }), false},
			{"version 0", broken(func(b []byte) { b[0] &= 0x1f }), false},
			{"version 2", broken(func(b []byte) { b[0] = b[0]&0x1f | 2<<5 }), false},
			{"authenticated", broken(func(b []byte) { b[1] |= flagAuthenticated }), false},
			{"multipoint", broken(func(b []byte) { b[1] |= flagMultipoint }), false},
			{"length beyond the end", broken(func(b []byte) { b[3] = 25 }), false},
			{"length too short", broken(func(b []byte) { b[3] = 23 }), false},
			{"cut", datagramTo(e, known, func(u *packet.UDP) { u.Payload = u.Payload[:23] }), false},
			{"empty", datagramTo(e, known, func(u *packet.UDP) { u.Payload = nil }), false},
			{"wrong checksum", func() []byte { b := datagramTo(e, known, nil); b[len(b)-1] ^= 1; return b }(), false},
			{"to the other port", datagramTo(e, known, func(u *packet.UDP) { u.DstPort = SingleHop + Multihop - u.DstPort }), false},
		} {
			before, refused := waiting(), p.Refused()
			if !p.Receive(x.ip) {
				t.Errorf("%s: %s: is not for BFD", name, x.what)
			}
			if taken := waiting() > before; taken != x.taken || taken == (p.Refused() > refused) {
				t.Errorf("%s: %s: taken %v, want %v; %d refused", name, x.what, taken, x.taken, p.Refused()-refused)
			}
			for waiting() > 0 {
				<-s.in
			}
		}
		for what, ip := range map[string][]byte{
			"other datagram": datagramTo(e, known, func(u *packet.UDP) { u.DstPort = 53 }), "cut": datagramTo(e, known, nil)[:30], "nothing": nil,
			"cut in the middle": func() []byte { b := datagramTo(e, known, nil); return b[:len(b)-1] }(),
		} {
			if p.Receive(ip) {
				t.Errorf("%s: %s: is taken for BFD", name, what)
			}
		}
		for range inbox + 5 {
			p.Receive(datagramTo(e, known, nil))
		}
		if st := s.Status(); st.Dropped != 5 {
			t.Errorf("%s: %d dropped of a full inbox, want 5", name, st.Dropped)
		}
		for waiting() > 0 {
			<-s.in
		}
		p.Close(s)
		if p.Receive(datagramTo(e, known, nil)); waiting() > 0 {
			t.Errorf("%s: a session that is closed is given a packet", name)
		}
	}
}

// TestOpen: there is one session between two ends, over one hop and over several.
func TestOpen(t *testing.T) {
	e := endsOf["IPv4"]
	p, s, _ := opened(t, e)
	if _, err := p.Open(e, Config{}, nil); err == nil {
		t.Error("two sessions between the same ends")
	}
	e.Multihop = true
	other, err := p.Open(e, Config{}, nil)
	if err != nil || other.Status().Mine == s.Status().Mine {
		t.Errorf("one over several hops: %v", err)
	}
	p.Close(s)
	e.Multihop = false
	if _, err := p.Open(e, Config{}, nil); err != nil {
		t.Errorf("after it was closed: %v", err)
	}
}

// FuzzReceive: whatever comes, a session has packets that are whole, its own, and from near.
func FuzzReceive(f *testing.F) {
	e := endsOf["IPv4"]
	p, s, waiting := opened(f, e)
	six := endsOf["several hops v6"]
	if _, err := p.Open(six, Config{}, nil); err != nil {
		f.Fatal(err)
	}
	known := first
	known.Yours = s.Status().Mine
	f.Add(datagramTo(e, first, nil))
	f.Add(datagramTo(e, known, nil))
	f.Add(datagramTo(six, first, nil))
	f.Add(datagramTo(e, known, func(u *packet.UDP) { u.TTL = 1 }))
	f.Fuzz(func(t *testing.T, ip []byte) {
		p.Receive(ip)
		for waiting() > 0 {
			in := <-s.in
			d, ok := parseDatagram(ip)
			if !ok || !d.sound || d.ttl != 255 || d.src != e.Neighbour || d.dst != e.Local || in.Mine == 0 || in.Multiplier == 0 {
				t.Fatalf("%x was taken: %+v of %+v", ip, in, d)
			}
		}
	})
}

// FuzzParse: a packet that is read is written so again, as far as this end writes.
func FuzzParse(f *testing.F) {
	f.Add(first.Marshal())
	f.Add((&Packet{State: Up, Diagnostic: Expired, Poll: true, Multiplier: 255, Mine: 1, Yours: 1<<32 - 1, MinTx: 50 * ms, MinRx: 0}).Marshal())
	f.Add(append(first.Marshal(), 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(p.Marshal())
		p.Independent, p.Demand = false, false
		if err != nil || again != p {
			t.Fatalf("%x: %+v, written and read again: %+v, %v", b, p, again, err)
		}
		m, _ := newMachine(fast(50*ms, 50*ms, 3), 7).receive(p)
		if m.detection() <= 0 || m.interval() < 0 || m.state == AdminDown {
			t.Fatalf("%+v makes %+v", p, m)
		}
	})
}
