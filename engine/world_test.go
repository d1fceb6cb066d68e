package engine

import (
	"context"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestEverythingEndsWhatIsGone: a view of which nothing is known to be as it was ends what went on for ports and pools that it does not have.
func TestEverythingEndsWhatIsGone(t *testing.T) {
	c := detached(t, idleStore(t))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); c.effects.wait() })
	c.start(ctx, func(int64, []state.Lack) {})
	c.a.cfg.Speaker = heard{}
	const port, pool = flow.VPortID(500), topology.DeviceID(501)
	c.speaking.ports[port] = SpeakingPort{Port: &topology.VPort{ID: port}}
	c.view.speaks[port] = nil
	c.portLinks.owing[port] = true
	c.devices.keep(pool)
	c.monitors.watches[pool] = &watching{c: c, pool: pool}
	c.world(state.Change{All: true, View: &state.View{Topology: c.snap, Bindings: new(state.Bindings)}})
	_, speaks := c.view.speaks[port]
	if len(c.speaking.ports) != 0 || speaks {
		t.Errorf("%d ports of the speaker are left; punted: %v", len(c.speaking.ports), speaks)
	}
	if len(c.monitors.watches) != 0 || len(c.portLinks.owing) != 0 {
		t.Errorf("%d monitors and %d links are left", len(c.monitors.watches), len(c.portLinks.owing))
	}
}
