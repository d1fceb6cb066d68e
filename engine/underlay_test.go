package engine

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// TestUnderlayAnswers: ARP, ND and ping for own addresses and VTEPs are answered, others are not; gateways are learnt, strangers are not.
func TestUnderlayAnswers(t *testing.T) {
	v := baseView()
	var sent [][]byte
	learnt := map[netip.Addr]packet.MAC{}
	u := newUnderlay(v.self, v.links, func(_ uint16, f []byte) { sent = append(sent, append([]byte{}, f...)) },
		func(a netip.Addr, m packet.MAC) { learnt[a] = m }, func(uint16, netip.Addr, bool) {}, func(uint16, *packet.Frame) bool { return false })
	gw := packet.MAC{2, 9}
	receive := func(frame []byte) int {
		t.Helper()
		sent = nil
		var f packet.Frame
		if err := packet.Parse(frame, &f); err != nil {
			t.Fatal(err)
		}
		u.receive(256, &f)
		return len(sent)
	}
	for _, c := range []struct {
		name  string
		frame []byte
		want  int
	}{
		{"ARP for the link address", packet.AppendARPRequest(nil, gw, gateway4, netip.MustParseAddr("10.0.1.2")), 1},
		{"ARP for the VTEP", packet.AppendARPRequest(nil, gw, gateway4, v.self.VTEPs[0]), 1},
		{"ARP for another", packet.AppendARPRequest(nil, gw, gateway4, netip.MustParseAddr("10.0.1.9")), 0},
		{"NS for the VTEP", packet.AppendNS(nil, gw, gateway6, v.self.VTEPs[1]), 1},
		{"NS for another", packet.AppendNS(nil, gw, gateway6, netip.MustParseAddr("fd00:1::9")), 0},
	} {
		if got := receive(c.frame); got != c.want {
			t.Errorf("%s: %d answers, want %d", c.name, got, c.want)
		}
	}
	if learnt[gateway4] != gw || learnt[gateway6] != gw {
		t.Errorf("learnt %v", learnt)
	}
	receive(packet.AppendARPRequest(nil, packet.MAC{2, 66}, netip.MustParseAddr("10.0.1.9"), netip.MustParseAddr("10.0.1.2")))
	if len(learnt) != 2 {
		t.Errorf("a stranger was learnt: %v", learnt)
	}
	sent = nil
	u.solicit(false)
	if len(sent) != 0 {
		t.Errorf("%d requests for known gateways", len(sent))
	}
	u.solicit(true)
	if len(sent) != 2 {
		t.Errorf("%d requests, want one a family", len(sent))
	}
}
