package offload_test

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
)

// TestBFDPunted: in the pipeline, the entry of each kind of BFD brings its datagrams up as those of a service, and no others.
func TestBFDPunted(t *testing.T) {
	tables := newTables(t)
	src, dst := packet.MAC{2, 1}, packet.MAC{2, 2}
	kinds := []offload.BFDKind{{}, {V6: true}, {Multihop: true}, {V6: true, Multihop: true}}
	for _, installed := range kinds {
		m := newMachine(t)
		m.apply(inserts(tables.PortMap(offload.Attachment{Port: 1}, 5)...), inserts(tables.PortMap(offload.Attachment{Port: 2}, 6)...), inserts(tables.BGPPunted(5)...), inserts(tables.BFDPunted(5, installed)))
		for _, sent := range kinds {
			u := packet.UDP{SrcMAC: src, DstMAC: dst, Src: netip.MustParseAddr("192.0.2.9"), Dst: netip.MustParseAddr("192.0.2.1"), SrcPort: 50000, DstPort: 3784, TTL: 255, Payload: make([]byte, 24)}
			if sent.V6 {
				u.Src, u.Dst = netip.MustParseAddr("fe80::9"), netip.MustParseAddr("fe80::1")
			}
			if sent.Multihop {
				u.DstPort = 4784
			}
			for _, port := range []uint16{1, 2} {
				frame := packet.AppendUDP(nil, &u)
				if got := punted(m.send(port, frame), frame) == flow.ReasonService; got != (sent == installed && port == 1) {
					t.Errorf("entry of %+v, packet of %+v by port %d: for a service %v", installed, sent, port, got)
				}
			}
			u.SrcPort, u.DstPort = u.DstPort, u.SrcPort
			if frame := packet.AppendUDP(nil, &u); punted(m.send(1, frame), frame) == flow.ReasonService {
				t.Errorf("entry of %+v: a datagram from the port of %+v comes up, too", installed, sent)
			}
		}
	}
}
