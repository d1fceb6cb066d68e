package agent

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/topology"
)

// poolsTime is how long an agent has to say what it knows of pools.
const poolsTime = time.Second

// poolMembers gives how many members of each pool that the process has loaded are in each state.
func poolMembers(out chan<- prometheus.Metric, s *topology.Snapshot) {
	members := desc("pool_members", "Members of a pool, by state: up, draining (it gets no new connections), down.", "pool", "state")
	for p := range s.Pools() {
		n := map[string]int{"up": 0, "draining": 0, "down": 0}
		for i := range p.Members {
			switch m := &p.Members[i]; {
			case m.Down:
				n["down"]++
			case m.Drain:
				n["draining"]++
			default:
				n["up"]++
			}
		}
		for state, n := range n {
			out <- prometheus.MustNewConstMetric(members, prometheus.GaugeValue, float64(n), p.Tenant+"/"+p.Name, state)
		}
	}
}

// edgePools gives what an edge has to do with pools. Nothing if its agent does not say in time.
func edgePools(out chan<- prometheus.Metric, edge string, agent edgeAgent, s *topology.Snapshot) {
	ctx, cancel := context.WithTimeout(context.Background(), poolsTime)
	defer cancel()
	list, err := agent.Pools(ctx)
	if err != nil {
		return
	}
	picks := desc("edge_pool_picks_total", "Connections for which the edge chose a member of a pool.", "edge", "pool")
	conns := desc("edge_pool_connections", "Connections to a member of a pool that the edge knows.", "edge", "pool", "member")
	for _, x := range list {
		p := s.Pool(x.Pool)
		if p == nil {
			continue // it is gone
		}
		name := p.Tenant + "/" + p.Name
		out <- prometheus.MustNewConstMetric(picks, prometheus.CounterValue, float64(x.Picks), edge, name)
		for _, m := range x.Members {
			out <- prometheus.MustNewConstMetric(conns, prometheus.GaugeValue, float64(m.Conns), edge, name, m.Member.String())
		}
	}
}
