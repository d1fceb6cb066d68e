package main

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/agent"
)

// TestTop: rates by vport and by flow, the greatest first; of a flow that is new, or counts anew, all that it has.
func TestTop(t *testing.T) {
	flow := func(vport, match string, packets uint64) agent.Flow {
		return agent.Flow{Edge: "nic1", VPort: agent.Named{Name: vport}, Match: match, Action: "forward", To: &agent.Named{Name: "acme/web"}, Packets: packets, Bytes: 100 * packets}
	}
	before := []agent.Flow{flow("acme/a", "x", 100), flow("acme/a", "y", 50), flow("acme/b", "x", 1000)}
	now := []agent.Flow{flow("acme/a", "x", 120), flow("acme/a", "y", 10), flow("acme/b", "x", 1000), flow("acme/c", "x", 4)}
	for by, want := range map[string]string{
		byVPort: `EDGE  VPORT   BITS/S  PACKETS/S  FLOWS
nic1  acme/a  12k     15         2
nic1  acme/c  1.6k    2          1
`,
		byFlow: `EDGE  VPORT   BITS/S  PACKETS/S  FLOW
nic1  acme/a  8k      10         x → acme/web
nic1  acme/a  4k      5          y → acme/web
`,
	} {
		var b strings.Builder
		if err := printTop(&b, topRows(before, now, 2*time.Second, by), 2, by); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%swant\n%s", by, err, b.String(), want)
		}
	}
}
