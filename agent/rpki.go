package agent

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/state"
)

// rpki tells how the RPKI caches of all edges are, or of the one that is asked for.
func (s *service) rpki(w http.ResponseWriter, r *http.Request) {
	list := RPKIList{Caches: []RPKICache{}}
	var found bool
	list.Errors, found = s.each(r, func(id string, agent edgeAgent, _ *state.View) error {
		for _, c := range agent.Caches() {
			list.Caches = append(list.Caches, RPKICache{id, c})
		}
		return nil
	})
	answerAbout(w, r, list, list.Errors, found)
}

// RPKI tells how the RPKI caches of one edge are, or of all that the agent runs if edge is empty.
func (c *Client) RPKI(ctx context.Context, edge string) (RPKIList, error) {
	var list RPKIList
	return list, c.get(ctx, of(pathRPKI, edge), &list)
}

// edgeCaches gives how the RPKI caches of an edge are.
func edgeCaches(out chan<- prometheus.Metric, edge string, agent edgeAgent) {
	up := desc("rpki_cache_up", "Whether the edge's agent has an RPKI cache's data and the connection with it.", "edge", "cache")
	vrps := desc("rpki_cache_vrps", "Prefixes with an origin that an RPKI cache told and that hold.", "edge", "cache", "family")
	lost := desc("rpki_cache_lost_total", "How often an RPKI cache was lost.", "edge", "cache")
	expired := desc("rpki_cache_expired_total", "How often what an RPKI cache told was dropped, for it was away too long.", "edge", "cache")
	for _, c := range agent.Caches() {
		is := 0.0
		if c.Up {
			is = 1
		}
		out <- prometheus.MustNewConstMetric(up, prometheus.GaugeValue, is, edge, c.Address)
		out <- prometheus.MustNewConstMetric(vrps, prometheus.GaugeValue, float64(c.V4), edge, c.Address, "ipv4")
		out <- prometheus.MustNewConstMetric(vrps, prometheus.GaugeValue, float64(c.V6), edge, c.Address, "ipv6")
		out <- prometheus.MustNewConstMetric(lost, prometheus.CounterValue, float64(c.Lost), edge, c.Address)
		out <- prometheus.MustNewConstMetric(expired, prometheus.CounterValue, float64(c.Expired), edge, c.Address)
	}
}
