package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/bgp"
)

// bfdMetrics gives how the ways of BGP sessions are watched.
type bfdMetrics struct {
	edge                                                string
	out                                                 chan<- prometheus.Metric
	up, losses, detection, sent, came, dropped, refused *prometheus.Desc
}

func newBFDMetrics(edge string, out chan<- prometheus.Metric) *bfdMetrics {
	return &bfdMetrics{
		edge: edge, out: out,
		up:        desc("bfd_session_up", "Whether BFD has the way to the neighbour of a BGP session up.", "edge", "session"),
		losses:    desc("bfd_session_losses_total", "How often BFD had the way to the neighbour of a BGP session up, and then not.", "edge", "session"),
		detection: desc("bfd_session_detection_seconds", "Without a packet for so long, the way to the neighbour is lost; 0 while nothing is heard.", "edge", "session"),
		sent:      desc("bfd_session_sent_packets_total", "BFD packets sent to the neighbour of a BGP session.", "edge", "session"),
		came:      desc("bfd_session_received_packets_total", "BFD packets that came from the neighbour of a BGP session.", "edge", "session"),
		dropped:   desc("bfd_session_dropped_packets_total", "BFD packets that came from the neighbour of a BGP session and were dropped for want of room.", "edge", "session"),
		refused:   desc("bfd_session_refused_packets_total", "BFD packets that came by the port of a BGP session and were of no session, wrong, or from too far; the same for all sessions of the port.", "edge", "session"),
	}
}

// add gives those of a session, if it is watched.
func (m *bfdMetrics) add(s *bgp.Status) {
	b := s.BFD
	if b == nil {
		return
	}
	up := 0.
	if b.Up() {
		up = 1
	}
	one := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		m.out <- prometheus.MustNewConstMetric(d, kind, v, m.edge, s.Session)
	}
	one(m.up, prometheus.GaugeValue, up)
	one(m.detection, prometheus.GaugeValue, b.Detection/1000)
	one(m.losses, prometheus.CounterValue, float64(b.Losses))
	one(m.sent, prometheus.CounterValue, float64(b.Sent))
	one(m.came, prometheus.CounterValue, float64(b.Received))
	one(m.dropped, prometheus.CounterValue, float64(b.Dropped))
	one(m.refused, prometheus.CounterValue, float64(b.Refused))
}
