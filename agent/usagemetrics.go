package agent

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
)

// edgeUsage gives what is accounted at an edge (O4): by tenant, and of the vports that live here what they sent. Nothing if its agent does not say in time.
func edgeUsage(out chan<- prometheus.Metric, edge string, agent edgeAgent, here func(flow.VPortID) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), poolsTime)
	defer cancel()
	list, err := agent.Usage(ctx)
	if err != nil {
		return
	}
	tenants, err := agent.TenantUsage(ctx)
	if err != nil {
		return
	}
	counter := func(of *prometheus.Desc, n uint64, values ...string) {
		out <- prometheus.MustNewConstMetric(of, prometheus.CounterValue, float64(n), values...)
	}
	sentPackets := desc("vport_sent_packets_total", "Packets that a vport at the edge has sent.", "edge", "vport")
	sentBytes := desc("vport_sent_bytes_total", "Bytes that a vport at the edge has sent.", "edge", "vport")
	for _, u := range list {
		if u.Name != "" && u.Link == "" && here(u.ID) {
			vport := u.Tenant + "/" + u.Name
			counter(sentPackets, u.In.Packets, edge, vport)
			counter(sentBytes, u.In.Bytes, edge, vport)
		}
	}
	packets := desc("usage_packets_total", "Packets that came in at the edge, by tenant, since its agent started.", "edge", "tenant", "direction")
	bytes := desc("usage_bytes_total", "Bytes that came in at the edge, by tenant, since its agent started.", "edge", "tenant", "direction")
	for tenant, sum := range tenants {
		for direction, n := range map[string]state.Tally{"sent": sum.In, "delivered": sum.Out} {
			counter(packets, n.Packets, edge, tenant, direction)
			counter(bytes, n.Bytes, edge, tenant, direction)
		}
	}
}
