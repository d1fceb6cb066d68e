package agent

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/vpn"
)

// VPNStatus is a VPN at an edge that may have it.
type VPNStatus struct {
	Edge string `json:"edge"`
	vpn.Status
}

// VPNList is the answer of /v1/vpn.
type VPNList struct {
	VPNs   []VPNStatus `json:"vpns"`
	Errors []EdgeError `json:"errors,omitempty"`
}

// vpns tells how the VPNs are at all edges, or at the one that is asked for.
func (s *service) vpns(w http.ResponseWriter, r *http.Request) {
	list := VPNList{VPNs: []VPNStatus{}}
	var found bool
	list.Errors, found = s.each(r, func(id string, agent edgeAgent, _ *state.View) error {
		for _, st := range agent.VPNs() {
			list.VPNs = append(list.VPNs, VPNStatus{id, st})
		}
		return nil
	})
	answerAbout(w, r, list, list.Errors, found)
}

// VPNs tells how the VPNs are at one edge, or at all that the agent runs if edge is empty.
func (c *Client) VPNs(ctx context.Context, edge string) (VPNList, error) {
	var list VPNList
	return list, c.get(ctx, of(pathVPN, edge), &list)
}

// edgeVPNs gives how the VPNs are that an edge may have.
func edgeVPNs(out chan<- prometheus.Metric, edge string, agent edgeAgent) {
	held := desc("vpn_held", "Whether the edge holds a VPN that it may have.", "edge", "vpn")
	up := desc("vpn_up", "Whether a peer of a VPN that the edge holds has answered within three minutes.", "edge", "vpn")
	takeovers := desc("vpn_takeovers_total", "How often the edge took a VPN.", "edge", "vpn")
	handshake := desc("vpn_peer_handshake_timestamp_seconds", "When a peer of a VPN that the edge holds last completed a handshake.", "edge", "vpn", "peer")
	received := desc("vpn_peer_received_bytes_total", "Bytes that a peer of a VPN sent, encrypted, since the edge took it.", "edge", "vpn", "peer")
	sent := desc("vpn_peer_sent_bytes_total", "Bytes that a peer of a VPN was sent, encrypted, since the edge took it.", "edge", "vpn", "peer")
	dropped := desc("vpn_dropped_packets_total", "Packets that a VPN dropped at the edge, by reason, since its agent began.", "edge", "vpn", "reason")
	for _, s := range agent.VPNs() {
		is := func(yes bool) float64 {
			if yes {
				return 1
			}
			return 0
		}
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{edge, s.VPN}, labels...)...)
		}
		counter := func(d *prometheus.Desc, v uint64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{edge, s.VPN}, labels...)...)
		}
		holds := s.State == vpn.Up || s.State == vpn.Calling
		gauge(held, is(holds))
		counter(takeovers, s.Takeovers)
		if s.Takeovers > 0 {
			for _, d := range s.Drops.All() {
				counter(dropped, d.Packets, d.Reason)
			}
		}
		if !holds {
			continue
		}
		gauge(up, is(s.State == vpn.Up))
		for _, p := range s.Peers {
			if !p.Handshake.IsZero() {
				gauge(handshake, float64(p.Handshake.UnixMilli())/1000, p.Name)
			}
			counter(received, p.Received, p.Name)
			counter(sent, p.Sent, p.Name)
		}
	}
}
