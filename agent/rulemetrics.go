package agent

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// edgeRules gives how many packets that came in at an edge met each rule of a chain (O2). Nothing if its agent does not say in time.
func edgeRules(out chan<- prometheus.Metric, edge string, agent edgeAgent) {
	ctx, cancel := context.WithTimeout(context.Background(), poolsTime)
	defer cancel()
	list, err := agent.RuleHits(ctx)
	if err != nil {
		return
	}
	packets := desc("edge_rule_packets_total", "Packets that came in at the edge and met a rule of a chain.", "edge", "chain", "rule")
	bytes := desc("edge_rule_bytes_total", "Their bytes.", "edge", "chain", "rule")
	for _, r := range list {
		rule := r.Rule
		if rule == "" {
			rule = "(default)"
		}
		out <- prometheus.MustNewConstMetric(packets, prometheus.CounterValue, float64(r.Packets), edge, r.Tenant+"/"+r.Name, rule)
		out <- prometheus.MustNewConstMetric(bytes, prometheus.CounterValue, float64(r.Bytes), edge, r.Tenant+"/"+r.Name, rule)
	}
}
