package agent

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/state"
)

// dropsTime is how long a target has to say what it dropped when Prometheus asks.
const dropsTime = 2 * time.Second

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

// edgeDrops gives what an edge dropped; what entries dropped as of the last round. What its target does not say in time is as it was read last.
func edgeDrops(out chan<- prometheus.Metric, edge string, agent edgeAgent, v *state.View) {
	ctx, cancel := context.WithTimeout(context.Background(), dropsTime)
	defer cancel()
	drops, _ := agent.RoundDrops(ctx)
	of := desc("edge_dropped_packets_total", "Packets dropped, by the vport that sent them, or else by where they came from, and by reason.", "edge", "vport", "from", "reason")
	for _, d := range nameDrops(edge, v, drops) {
		vport := ""
		if d.VPort != nil {
			vport = d.VPort.Name
		}
		out <- prometheus.MustNewConstMetric(of, prometheus.CounterValue, float64(d.Packets), edge, vport, d.From, d.Reason)
	}
}
