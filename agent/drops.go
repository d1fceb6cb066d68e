package agent

import (
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/state"
)

// nameDrops gives what was dropped at an edge the names that vports have in a view.
func nameDrops(edge string, v *state.View, drops []engine.Drop) []Drop {
	out := make([]Drop, len(drops))
	for i, d := range drops {
		out[i] = Drop{Edge: edge, From: d.From, Reason: d.Reason, Packets: d.Packets}
		if d.VPort != 0 {
			out[i].VPort = &Named{uint32(d.VPort), vportName(v.Topology, d.VPort)}
		}
	}
	return out
}
