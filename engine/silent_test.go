package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// TestSilentGateway: a gateway that doesn't answer is told once, and that it answers after all; one that answers in time never is.
func TestSilentGateway(t *testing.T) {
	v := baseView()
	var told []string
	u := newUnderlay(v.self, v.links, func(uint16, []byte) {}, func(netip.Addr, packet.MAC) {}, func(port uint16, g netip.Addr, answers bool) {
		told = append(told, fmt.Sprint(port, g, answers))
	}, func(uint16, *packet.Frame) bool { return false })
	receive := func(frame []byte) {
		t.Helper()
		var f packet.Frame
		if err := packet.Parse(frame, &f); err != nil {
			t.Fatal(err)
		}
		u.receive(256, &f)
	}
	mac := packet.MAC{2, 9}
	u.solicit(false)
	receive(packet.AppendARPRequest(nil, mac, gateway4, netip.MustParseAddr("10.0.1.2")))
	if u.complete() {
		t.Error("complete without IPv6")
	}
	for range 3 * silentAfter {
		u.solicit(false)
	}
	if want := []string{fmt.Sprint(256, gateway6, false)}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if !u.complete() {
		t.Error("a gateway that never answers is waited for")
	}
	receive(packet.AppendNS(nil, mac, gateway6, v.self.VTEPs[1]))
	if want := fmt.Sprint(256, gateway6, true); len(told) != 2 || told[1] != want {
		t.Errorf("told %v, want %v last", told, want)
	}
}
