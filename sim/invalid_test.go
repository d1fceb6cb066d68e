package sim

import (
	"fmt"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// TestInvalidSegments: segments whose flags do not go together, and ends out of nowhere, are in no state and begin no connection; nor do packets whose checksum is
// wrong, which are dropped before anything is looked for. Where no rule asks for connections, all of them pass.
func TestInvalidSegments(t *testing.T) {
	const syn, ack, fin, rst, psh, urg = packet.TCPSyn, packet.TCPAck, packet.TCPFin, packet.TCPRst, 8, 32
	for _, v := range []struct{ src, dst string }{{"10.1.0.12", "10.1.0.11"}, {"2001:db8:1::12", "2001:db8:1::11"}} {
		segment := func(flags uint8) []byte {
			return packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("0a:02"), DstMAC: mac("0a:01"), Src: ip(v.src), Dst: ip(v.dst), SrcPort: 999, DstPort: 22, Flags: flags})
		}
		for _, x := range []struct {
			flags  uint8
			begins bool
		}{
			{syn, true}, {syn | psh, true}, {syn | urg, true}, {ack, true}, {syn | ack, true}, {ack | psh, true},
			{0, false}, {psh | urg, false}, {fin, false}, {fin | psh | urg, false}, {fin | ack, false}, {rst, false}, {rst | ack, false},
			{syn | fin, false}, {syn | rst, false}, {syn | fin | ack, false}, {syn | rst | ack, false}, {fin | rst, false}, {0xff, false},
		} {
			l, _ := attacked(t, filtering(twoTiers, "a1", "egress: guard"))
			r := l.run("a2", segment(x.flags))
			if passes := r.Outcomes[0].Verdict == Forward; passes != x.begins || r.Track.Commit != x.begins || r.Installable {
				t.Errorf("%s, flags %#x: %+v, %+v\n%v", v.src, x.flags, r.Outcomes, r.Track, r.Trace)
			}
			if l = newLab(t, twoTiers); l.run("a2", segment(x.flags)).Outcomes[0].Verdict != Forward || !l.res.Installable {
				t.Errorf("%s, flags %#x, without chain: %+v", v.src, x.flags, l.res.Outcomes)
			}
		}
	}
}

// TestWrongChecksum: a packet whose checksum is wrong neither begins a connection nor takes one further, whatever the rules of the chain say.
func TestWrongChecksum(t *testing.T) {
	for _, v := range []struct{ src, dst string }{{"10.1.0.12", "10.1.0.11"}, {"2001:db8:1::12", "2001:db8:1::11"}} {
		begin := packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("0a:02"), DstMAC: mac("0a:01"), Src: ip(v.src), Dst: ip(v.dst), SrcPort: 999, DstPort: 22, Flags: packet.TCPSyn})
		end := packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("0a:02"), DstMAC: mac("0a:01"), Src: ip(v.src), Dst: ip(v.dst), SrcPort: 999, DstPort: 22, Flags: packet.TCPRst})
		datagram := packet.AppendUDP(nil, &packet.UDP{SrcMAC: mac("0a:02"), DstMAC: mac("0a:01"), Src: ip(v.src), Dst: ip(v.dst), SrcPort: 999, DstPort: 53, Payload: []byte("name")})
		echo := packet.AppendEchoRequest(nil, ip(v.src), ip(v.dst), 7, 1)
		to, from := mac("0a:01"), mac("0a:02")
		copy(echo, to[:])
		copy(echo[6:], from[:])
		broken := func(frame []byte) []byte {
			b := append([]byte(nil), frame...)
			b[parse(t, b).L4+4] ^= 1 // of the sequence number, length or identifier
			return b
		}
		for _, filters := range []string{"egress: guard", "ingress: guard"} { // the answer meets the latter
			for i, frame := range [][]byte{begin, datagram, echo} {
				l, _ := attacked(t, filtering(twoTiers, "a1", filters))
				if r := l.run("a2", broken(frame)); len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropChecksum || r.Track.Commit || r.Installable {
					t.Errorf("%s, frame %d, %s: %+v, %+v\n%v", v.src, i, filters, r.Outcomes, r.Track, r.Trace)
				}
			}
		}
		l, conns := attacked(t, filtering(twoTiers, "a1", "egress: guard"))
		l.run("a2", begin)
		l.commit(conns)
		if r := l.run("a2", broken(end)); r.Outcomes[0].Drop != DropChecksum || r.Track.Changed {
			t.Errorf("%s, an end: %+v, %+v", v.src, r.Outcomes, r.Track)
		}
		if r := l.run("a2", end); r.Outcomes[0].Verdict != Forward || !r.Track.Changed {
			t.Errorf("%s, an end whose checksum is right: %+v, %+v", v.src, r.Outcomes, r.Track)
		}
		none := fmt.Sprintf("%s, without chain", v.src)
		if l := newLab(t, twoTiers); l.run("a2", broken(begin)).Outcomes[0].Verdict != Forward {
			t.Errorf("%s: %+v", none, l.res.Outcomes)
		}
	}
}
