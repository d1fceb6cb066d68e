package lab

import (
	"context"
	"fmt"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
)

// targetCounts is a reading of a target: what became of the frames that came from hosts, and why any others did not go on.
type targetCounts struct {
	fastPath  uint64 // forwarded by an entry
	punts     uint64 // sent to the agent
	drops     uint64 // dropped, for a reason that is counted, or lost before the pipeline
	puntDrops uint64 // of the punts, lost behind it
	entries   uint64
	ingress   [3]reasons // by side
	egress    reasons
}

// counts reads a target.
func (e *edge) counts(ctx context.Context) (c targetCounts, err error) {
	entries, err := e.reader.flowEntries(ctx)
	if err == nil {
		c.ingress, c.egress, err = e.reader.reasonCounts(ctx)
	}
	if err != nil {
		return c, fmt.Errorf("edge %s: %w", e.plan.name, err)
	}
	c.entries, c.fastPath = uint64(entries), c.ingress[offload.SideAccess][flow.ReasonNone]
	for i, n := range c.ingress[offload.SideAccess] {
		switch r := flow.Reason(i); {
		case r == flow.ReasonNone:
		case r.IsDrop():
			c.drops += n
		default:
			c.punts += n
		}
	}
	frames, packetIns := e.target.lost()
	c.drops, c.puntDrops = c.drops+frames, packetIns
	return c, nil
}

// because counts the packets of all sides for which a reason was given.
func (c *targetCounts) because(r flow.Reason) uint64 {
	n := c.egress[r]
	for _, side := range c.ingress {
		n += side[r]
	}
	return n
}
