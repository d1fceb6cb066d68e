package sim

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// oneSource is an edge with one source left.
type oneSource struct {
	addr  flow.Addr
	port  uint16
	needs []SourceNeed
}

func (o *oneSource) Source(n *SourceNeed) (flow.Addr, uint16, bool) {
	o.needs = append(o.needs, *n)
	if !n.Has(o.addr) || o.port < n.First || o.port > n.Last || n.Keeps && n.Port != o.port {
		return flow.Addr{}, 0, false
	}
	return o.addr, o.port, true
}

// TestSourceFromBlock: a source comes from the edge's blocks where they have one that the rule gives, of each protocol that has ports; else it is what every edge would
// choose, of ports that nobody leases.
func TestSourceFromBlock(t *testing.T) {
	l, _ := natLab(t)
	from, to := mac("0a:01"), mac("ee:01")
	for _, tt := range []struct {
		name, src, dst, snat string
		build                func(src, dst string, port uint16) []byte
		keeps                bool
		space                conntrack.PortSpace
	}{
		{"udp", "10.1.0.11", "203.0.113.9", "192.0.2.81", func(src, dst string, port uint16) []byte { return five{src, dst, port, 53}.udp(from, to) }, false, conntrack.UDPPorts},
		{"udp6", "2001:db8:1::11", "2001:db8:113::9", "2001:db8:64::81", func(src, dst string, port uint16) []byte { return five{src, dst, port, 53}.udp(from, to) }, false, conntrack.UDPPorts},
		{"tcp", "10.1.0.11", "203.0.113.9", "192.0.2.81", func(src, dst string, port uint16) []byte {
			return packet.AppendTCP(nil, &packet.TCP{SrcMAC: from, DstMAC: to, Src: ip(src), Dst: ip(dst), SrcPort: port, DstPort: 80, Flags: packet.TCPSyn})
		}, false, conntrack.TCPPorts},
		{"echo6", "2001:db8:1::11", "2001:db8:113::9", "2001:db8:64::81", func(src, dst string, port uint16) []byte {
			b := echo(from, to, ip(src), ip(dst)) // of identifier 7
			at := len(b) - 16
			was, is := binary.BigEndian.Uint16(b[at+2:]), binary.BigEndian.Uint16(b[at+4:])
			binary.BigEndian.PutUint16(b[at+2:], packet.UpdateChecksum(was, is, port))
			binary.BigEndian.PutUint16(b[at+4:], port)
			return b
		}, false, conntrack.EchoIDs},
		{"sctp", "10.1.0.11", "203.0.113.9", "192.0.2.81", func(src, dst string, port uint16) []byte {
			b := five{src, dst, port, 53}.udp(from, to)
			b[23], b[24], b[25] = packet.ProtoSCTP, 0, 0
			binary.BigEndian.PutUint16(b[24:], packet.Checksum(b[14:34]))
			return append(b, 0, 0, 0, 0)
		}, true, conntrack.SCTPPorts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := func(port uint16, blocks Blocks) (flow.Addr, uint16) {
				l.sim.Blocks = blocks
				l.run("a1", tt.build(tt.src, tt.dst, port))
				if !l.res.Track.Commit || len(l.res.Track.New.Steps()) != 1 {
					t.Fatalf("%+v\n%v", l.res.Track, l.res.Trace)
				}
				s := l.res.Track.New.Steps()[0]
				return s.Addr, s.Port
			}
			addr := flow.AddrOf(ip(tt.snat))
			b := &oneSource{addr: addr, port: 20000}
			port, kept := uint16(4000), uint16(4000)
			if tt.keeps {
				port, kept = 20000, 20000
			}
			if a, p := source(port, b); a != addr || p != 20000 {
				t.Errorf("gets %v:%d, want 20000, the edge's own", a, p)
			}
			if len(b.needs) != 1 || len(l.res.Track.Needs) != 1 || b.needs[0] != l.res.Track.Needs[0] {
				t.Fatalf("asks for %+v, wants %+v", b.needs, l.res.Track.Needs)
			}
			if n := b.needs[0]; n.Space != tt.space || n.Keeps != tt.keeps || n.V6 != ip(tt.src).Is6() || n.First != 1024 || n.Last != 65535 || n.At(7) != addr {
				t.Errorf("asks for %+v", n)
			}
			none := &oneSource{}
			if a, p := source(port, none); a != addr || p != kept {
				t.Errorf("without a block it gets %v:%d, want its own port %d", a, p, kept)
			}
			want := uint16(20001 + 32768) // out of the ports that are leased
			if tt.keeps {
				want = 20001
			}
			if a, p := source(20001, none); a != addr || p != want {
				t.Errorf("without a block 20001 becomes %v:%d, want %d", a, p, want)
			}
		})
	}
}

// TestLocal: a connection may begin without the database if a rule that its packet meets, and that makes it stateful, says so, none says otherwise, its source is of a block, and the
// packet can be no later one.
func TestLocal(t *testing.T) {
	const hide, in = "action: snat, nat: {addresses: [192.0.2.81", "metadata: {name: nat-in, tenant: acme}\nspec:\n  rules:\n"
	block := &oneSource{addr: flow.AddrOf(ip("192.0.2.81")), port: 20000}
	syn := func(flags uint8) []byte {
		return packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("0a:01"), DstMAC: mac("ee:01"), Src: ip("10.1.0.11"), Dst: ip("203.0.113.9"), SrcPort: 4000, DstPort: 443, Flags: flags})
	}
	for _, tt := range []struct {
		name, snat, rule string
		blocks           Blocks
		flags            uint8
		want             bool
	}{
		{"translated", "local", "", block, packet.TCPSyn, true},
		{"nothing is said", "", "", block, packet.TCPSyn, false},
		{"hold", "hold", "", block, packet.TCPSyn, false},
		{"without a block", "local", "", &oneSource{}, packet.TCPSyn, false},
		{"in the middle", "local", "", block, packet.TCPAck, false},
		{"the answer to one", "local", "", block, packet.TCPSyn | packet.TCPAck, false},
		{"a state rule that is met holds", "local", "{match: {states: [new]}, action: accept}", block, packet.TCPSyn, false},
		{"a state rule that is met does not", "local", "{match: {states: [new]}, action: accept, whenAway: local}", block, packet.TCPSyn, true},
		{"a state rule that is not met holds", "local", "{match: {states: [established]}, action: accept, whenAway: hold}", block, packet.TCPSyn, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := translated
			if tt.snat != "" {
				text = strings.Replace(text, hide, "whenAway: "+tt.snat+", "+hide, 1)
			}
			if tt.rule != "" {
				text = strings.Replace(text, in, in+"  - "+tt.rule+"\n", 1)
			}
			l := newLab(t, text)
			withUplink(l)
			l.sim.Conns, l.sim.Blocks = table{}, tt.blocks
			l.run("a1", syn(tt.flags))
			if r := &l.res.Track; !r.Commit || r.Local != tt.want {
				t.Errorf("to be stored %v, may begin without the database %v, want %v\n%v", r.Commit, r.Local, tt.want, l.res.Trace)
			}
		})
	}
}
