package engine

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/state"
)

// TestSentOtherwise: agents of one edge that are configured alike tell the same; whatever has others send otherwise is a difference, the rest is none.
func TestSentOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*state.EdgeInfo)
		want   bool
	}{
		"nothing":   {func(*state.EdgeInfo) {}, false},
		"its run":   {func(i *state.EdgeInfo) { i.Run, i.Version, i.Status = 8, "2", "unix:/b" }, false},
		"VTEPs":     {func(i *state.EdgeInfo) { i.VTEPs = vtep(2) }, true},
		"tunnels":   {func(i *state.EdgeInfo) { i.Encaps = []string{"gre", "vxlan"} }, true},
		"MTU":       {func(i *state.EdgeInfo) { i.MTU = 9000 }, true},
		"multicast": {func(i *state.EdgeInfo) { i.Multicast = netip.Prefix{} }, true},
	} {
		a := state.EdgeInfo{ID: "e1", VTEPs: vtep(1), Encaps: []string{"vxlan", "gre"}, Multicast: sets4, MTU: 1500, Run: 7, Version: "1", Status: "unix:/a"}
		b := a
		if c.change(&b); sentOtherwise(&a, &b) != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
}
