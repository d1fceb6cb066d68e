package lab

import (
	"context"
	"fmt"
	"sync"

	"github.com/weft-sdn/weft/flow"
)

// tally keeps the sum of what flow entries counted, those that are gone included: a target forgets an entry's counter with the entry.
type tally struct {
	mu      sync.Mutex
	last    map[string]uint64 // packets by entry
	retired uint64
}

// add takes a reading and returns the sum over all entries so far that forward.
func (t *tally) add(entries []flowEntry) (sum uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := make(map[string]uint64, len(entries))
	for _, e := range entries {
		if e.forward {
			now[e.key] = e.packets
			sum += e.packets
		}
	}
	for key, packets := range t.last {
		if now[key] < packets { // gone, or made anew since
			t.retired += packets
		}
	}
	t.last = now
	return sum + t.retired
}

// afterHit are the reasons that stop a packet that hit a forwarding entry.
var afterHit = [...]flow.Reason{flow.ReasonTTL, flow.ReasonLength, flow.ReasonNoRewrite, flow.ReasonNoLocation, flow.ReasonNoPeer, flow.ReasonLocationDrop}

// hostDrops are the reasons for which frames of hosts are dropped. What is dropped behind the decision (in egress) was forwarded.
var hostDrops = [...]flow.Reason{flow.ReasonParserError, flow.ReasonUnknownPort, flow.ReasonFlowDrop, flow.ReasonClassDrop, flow.ReasonLocationDrop}

// targetCounts is a reading of a target.
type targetCounts struct {
	fastPath, drops, entries uint64
	ingress, egress          reasons
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
	c.entries, c.fastPath = uint64(len(entries)), e.tally.add(entries)
	for _, r := range afterHit {
		c.fastPath -= min(c.fastPath, c.ingress[r])
	}
	for _, r := range hostDrops {
		c.drops += c.ingress[r]
	}
	c.drops += e.target.lost()
	return c, nil
}
