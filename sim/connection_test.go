package sim

import (
	"slices"
	"testing"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// TestConnectionOverLinkedBridges: the answer to a packet that was flooded is of its connection, whichever of the linked bridges it enters.
func TestConnectionOverLinkedBridges(t *testing.T) {
	l, conns := attacked(t, filtering(twoTiers, "a1", "egress: guard"))
	tcp := func(reply bool, flags uint8) []byte {
		p := packet.TCP{SrcMAC: mac("0a:01"), DstMAC: mac("0b:01"), Src: ip("10.1.0.11"), Dst: ip("10.1.0.50"), SrcPort: 999, DstPort: 22, Flags: flags}
		if reply {
			p = packet.TCP{SrcMAC: mac("0b:01"), DstMAC: mac("0a:01"), Src: ip("10.1.0.50"), Dst: ip("10.1.0.11"), SrcPort: 22, DstPort: 999, Flags: flags}
		}
		return packet.AppendTCP(nil, &p)
	}
	l.run("a1", tcp(false, packet.TCPSyn))
	l.commit(conns)
	l.change(topology.Changes{FDB: []topology.FDBEntry{{Bridge: l.bridge("back"), MAC: mac("0b:01"), Port: l.port("b1")}, {Bridge: l.bridge("web"), MAC: mac("0b:01"), Port: l.port("web-back")}}})
	if r := l.run("a1", tcp(false, packet.TCPSyn)); r.Track.Commit {
		t.Fatalf("begins anew: %+v\n%v", r.Track, r.Trace)
	}
	if r := l.run("b1", tcp(true, packet.TCPSyn|packet.TCPAck)); r.Outcomes[0].Verdict != Forward || !r.Track.Reply || !slices.Contains(r.Deps, topology.DeviceDep(l.bridge("back"))) {
		t.Errorf("the answer: %+v, %+v\n%v", r.Outcomes, r.Track, r.Trace)
	}
}

// TestEchoWithoutIdentifier: two hosts that ping with identifier 0 from behind one address get identifiers of their own.
func TestEchoWithoutIdentifier(t *testing.T) {
	for _, tt := range []struct{ name, a1, a2, to string }{{"IPv4", "10.1.0.11", "10.1.0.12", "203.0.113.9"}, {"IPv6", "2001:db8:1::11", "2001:db8:1::12", "2001:db8:113::9"}} {
		l, conns := natLab(t)
		ping := func(src string, from packet.MAC) []byte {
			b := packet.AppendEchoRequest(nil, ip(src), ip(tt.to), 0, 1)
			gw := mac("ee:01")
			copy(b, gw[:])
			copy(b[6:], from[:])
			return b
		}
		l.run("a1", ping(tt.a1, mac("0a:01")))
		first := l.commit(conns)
		distinct := map[conntrack.Key]bool{first.Return(): true}
		for l.sim.Attempt = 0; l.sim.Attempt < 16; l.sim.Attempt++ {
			r := l.run("a2", ping(tt.a2, mac("0a:02")))
			distinct[r.Track.New.Return()] = true
		}
		if len(distinct) < 10 {
			t.Errorf("%s: 16 attempts give %d keys", tt.name, len(distinct))
		}
	}
}
