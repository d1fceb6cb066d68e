package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
)

// counter is a count of an edge's agent as a metric: weft_edge_NAME_total{edge}.
type counter struct {
	name, help string
	value      func(*engine.Stats) uint64
}

// counters are all counts of engine.Stats, by their names there.
func counters() []counter {
	return []counter{
		{"packet_ins", "Packets that the target sent to the agent.", func(s *engine.Stats) uint64 { return s.PacketIns }},
		{"queue_drops", "Packet-ins for which the agent's queue had no room.", func(s *engine.Stats) uint64 { return s.QueueDrops }},
		{"malformed", "Packet-ins that could not be parsed.", func(s *engine.Stats) uint64 { return s.Malformed }},
		{"underlay", "Frames of the underlay that were answered or learnt from.", func(s *engine.Stats) uint64 { return s.Underlay }},
		{"unhandled", "Packet-ins that nobody wanted.", func(s *engine.Stats) uint64 { return s.Unhandled }},
		{"departed", "Packet-ins of vports that had left the edge when it was their turn.", func(s *engine.Stats) uint64 { return s.Departed }},
		{"out_drops", "Packets for the target that its session did not take.", func(s *engine.Stats) uint64 { return s.OutDrops }},
		{"upcalls", "Packets of vports that were decided in software.", func(s *engine.Stats) uint64 { return s.Upcalls }},
		{"packet_outs", "Packets that were sent by way of the target.", func(s *engine.Stats) uint64 { return s.PacketOuts }},
		{"forwarded", "Of the packets of vports that were decided in software, those sent on; one with several outcomes counts once for each.", func(s *engine.Stats) uint64 { return s.Forwarded }},
		{"consumed", "Of these, those that were answered, or taken in by a device.", func(s *engine.Stats) uint64 { return s.Consumed }},
		{"lost", "Of these, those that were dropped, each for a reason that is counted.", func(s *engine.Stats) uint64 { return s.Lost }},
		{"further", "Outcomes beyond the first of a packet that was decided in software.", func(s *engine.Stats) uint64 { return s.Further }},
		{"ahead", "Of these, packets that were simulated before their turn, beside others.", func(s *engine.Stats) uint64 { return s.Ahead }},
		{"deduped", "Packets that were decided as one of the same flow that waited with them.", func(s *engine.Stats) uint64 { return s.Deduped }},
		{"drops", "Decisions to drop.", func(s *engine.Stats) uint64 { return s.Drops }},
		{"held", "Packets that waited for a neighbour's answer.", func(s *engine.Stats) uint64 { return s.Held }},
		{"loads", "Devices that a packet needed and that were not loaded.", func(s *engine.Stats) uint64 { return s.Loads }},
		{"load_drops", "Packets that waited for a device in vain.", func(s *engine.Stats) uint64 { return s.LoadDrops }},
		{"unknown_keys", "Frames that came by tunnel for something that was not loaded.", func(s *engine.Stats) uint64 { return s.UnknownKeys }},
		{"held_drops", "Packets that waited for a neighbour in vain.", func(s *engine.Stats) uint64 { return s.HeldDrops }},
		{"errors", "ICMP errors sent.", func(s *engine.Stats) uint64 { return s.Errors }},
		{"errors_unsent", "ICMP errors that were over the rate.", func(s *engine.Stats) uint64 { return s.ErrorsUnsent }},
		{"connection_drops", "Packets dropped because their port of a bridge had begun as many connections as it may.", func(s *engine.Stats) uint64 { return s.ConnDrops }},
		{"copies", "TCP segments with FIN or RST of tracked connections that went on, shown to the agent.", func(s *engine.Stats) uint64 { return s.Copies }},
		{"nat_retries", "Translations that were another connection's, and were chosen anew.", func(s *engine.Stats) uint64 { return s.NATRetries }},
		{"nat_fails", "Packets dropped because no translation was free.", func(s *engine.Stats) uint64 { return s.NATFails }},
		{"local_connections", "Connections that began while the database was away.", func(s *engine.Stats) uint64 { return s.LocalConns }},
		{"local_stored", "Connections that the database did not have because it was away, or took this edge for dead, and that were stored since.", func(s *engine.Stats) uint64 { return s.LocalStored }},
		{"local_ended", "Connections that the database did not have, and that ended since another had their place, or their ports were not the edge's any more.", func(s *engine.Stats) uint64 { return s.LocalEnded }},
		{"away_drops", "Packets dropped because the database was away and no rule let their connection begin without it.", func(s *engine.Stats) uint64 { return s.AwayDrops }},
		{"aways", "Times that the database left questions unanswered for too long.", func(s *engine.Stats) uint64 { return s.Aways }},
		{"block_picks", "Translations of sources that took a port of a leased block.", func(s *engine.Stats) uint64 { return s.BlockPicks }},
		{"block_misses", "Translations of sources for which no leased port was left.", func(s *engine.Stats) uint64 { return s.BlockMisses }},
		{"block_lapses", "Blocks of ports whose lease ended.", func(s *engine.Stats) uint64 { return s.BlockLapses }},
		{"dhcp", "DHCP answers sent.", func(s *engine.Stats) uint64 { return s.DHCP }},
		{"dhcp_drops", "DHCP messages that came to nothing.", func(s *engine.Stats) uint64 { return s.DHCPDrops }},
		{"late_data", "TCP segments with data behind their side's own FIN.", func(s *engine.Stats) uint64 { return s.LateData }},
		{"multicast_reports", "Multicast groups of the underlay that were reported by IGMP or MLD.", func(s *engine.Stats) uint64 { return s.MulticastReports }},
		{"multicast_queries", "Questions of the underlay for members of multicast groups.", func(s *engine.Stats) uint64 { return s.MulticastQueries }},
		{"spoken", "Packets that came for BGP sessions of router ports.", func(s *engine.Stats) uint64 { return s.Spoken }},
		{"answered", "ARP, neighbour solicitations and pings for router ports with BGP sessions that were answered as they came.", func(s *engine.Stats) uint64 { return s.Answered }},
		{"adverts", "Router advertisements sent without being asked.", func(s *engine.Stats) uint64 { return s.Adverts }},
		{"unlogged", "Decisions that a rule wanted logged, over the rate.", func(s *engine.Stats) uint64 { return s.Unlogged }},
		{"learnt", "MACs and neighbours that went to the database.", func(s *engine.Stats) uint64 { return s.Learnt }},
		{"learn_full", "MACs and addresses that were not learnt: too many are behind their vport.", func(s *engine.Stats) uint64 { return s.LearnFull }},
		{"effect_fails", "What was learnt and could not be stored.", func(s *engine.Stats) uint64 { return s.EffectFails }},
		{"aged", "Learnt MACs that were forgotten.", func(s *engine.Stats) uint64 { return s.Aged }},
		{"installed", "Flow entries wanted: new ones, adopted ones and modified ones.", func(s *engine.Stats) uint64 { return s.Installed }},
		{"removed", "Flows removed: something that they relied on changed.", func(s *engine.Stats) uint64 { return s.Removed }},
		{"kept", "Flows decided again because of a change, to the same end: their entries were not touched.", func(s *engine.Stats) uint64 { return s.Kept }},
		{"changed", "Flows decided again because of a change, whose entries were modified where they are.", func(s *engine.Stats) uint64 { return s.Changed }},
		{"adopted", "Flows installed by what the database had of them, without a packet.", func(s *engine.Stats) uint64 { return s.Adopted }},
		{"rule_blocks", "Blocks of flow rules that were written to the database.", func(s *engine.Stats) uint64 { return s.RuleBlocks }},
		{"expired", "Flows removed: idle.", func(s *engine.Stats) uint64 { return s.Expired }},
		{"not_installed", "Decisions that stayed on the slow path.", func(s *engine.Stats) uint64 { return s.NotInstalled }},
		{"over_share", "Of these, because their vport had its share of the flow tables.", func(s *engine.Stats) uint64 { return s.OverShare }},
		{"not_kept", "Of these, because room was scarce and it was the flow's first packet.", func(s *engine.Stats) uint64 { return s.NotKept }},
		{"unmetered", "Flows decided to pass links without a meter of theirs, since the edge had none left.", func(s *engine.Stats) uint64 { return s.Unmetered }},
		{"links_wrong", "Times that an uplink was told to be down, and its router answered.", func(s *engine.Stats) uint64 { return s.LinksWrong }},
		{"traces", "Live traces that began.", func(s *engine.Stats) uint64 { return s.Traces }},
		{"trace_drops", "Packets of live traces that were not told, as the database did not keep up.", func(s *engine.Stats) uint64 { return s.TraceDrops }},
		{"write_failures", "Updates that the target did not accept.", func(s *engine.Stats) uint64 { return s.WriteFails }},
	}
}

// evictions are the reasons for which flows are evicted.
func evictions() []counter {
	return []counter{
		{"share", "their vport had its share of a table, or of maxFlows", func(s *engine.Stats) uint64 { return s.EvictedShare }},
		{"table", "a table was nearly full", func(s *engine.Stats) uint64 { return s.EvictedTable }},
		{"limit", "the edge had nearly maxFlows", func(s *engine.Stats) uint64 { return s.EvictedLimit }},
	}
}

// collector gives the state of the process to Prometheus when it asks.
type collector struct{ s *service }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("weft_"+name, help, labels, nil)
}

// Describe names no metric: which there are is up to Collect.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect gives all metrics.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	gauge(desc("build_info", "1; the version is the label.", "version"), 1, c.s.version)
	store := c.s.store.Load()
	gauge(desc("database_up", "Whether the database was reached since the process started."), truth(store != nil))
	view := c.s.view()
	if view != nil {
		gauge(desc("database_revision", "Revision of the database up to which the process has read."), float64(view.Revision))
		out <- prometheus.MustNewConstMetric(desc("database_bad_values_total", "Values of the database that were not understood."), prometheus.CounterValue, float64(store.BadValues()))
		poolMembers(out, view.Topology)
	}
	if store != nil {
		n := store.EventStats()
		out <- prometheus.MustNewConstMetric(desc("events_total", "What happened and was recorded for the event log."), prometheus.CounterValue, float64(n.Noted))
		out <- prometheus.MustNewConstMetric(desc("events_lost_total", "What happened and is not in the event log: it came too fast."), prometheus.CounterValue, float64(n.Dropped))
	}
	c.s.traceMetrics(out)
	for _, r := range c.s.runners {
		st := r.status(view)
		gauge(desc("edge_serving", "Whether the target is programmed and the edge is live.", "edge"), truth(st.State == Serving), st.ID)
		if r.cfg.HA {
			acts, terms := r.acting()
			gauge(desc("edge_active", "Whether this agent acts for the edge, of several that may; 0: it stands by.", "edge"), truth(acts), st.ID)
			out <- prometheus.MustNewConstMetric(desc("edge_terms_total", "How often this agent began to act for the edge.", "edge"), prometheus.CounterValue, float64(terms), st.ID)
			if view != nil {
				gauge(desc("edge_agents", "Agents of the edge that are alive, the one that acts among them.", "edge"), float64(len(view.Agents[st.ID].Alive)), st.ID)
			}
		}
		gauge(desc("edge_applied_revision", "Revision of the network that the edge has acknowledged.", "edge"), float64(st.Applied), st.ID)
		gauge(desc("edge_wanted_revision", "Revision of the last change of the network.", "edge"), float64(st.Wanted), st.ID)
		agent := r.running()
		if agent == nil {
			continue
		}
		stats := agent.Stats()
		if c := agent.Telemetry(); c != nil {
			edgeInterfaces(out, &r.cfg, c.Status(), c.Interfaces())
		}
		gauge(desc("edge_links_down", "Ports of the target whose links are down, as its telemetry tells.", "edge"), float64(stats.LinksDown), st.ID)
		gauge(desc("edge_flows", "Flows installed now.", "edge"), float64(stats.Flows), st.ID)
		gauge(desc("edge_stale_seconds", "Age of the oldest change of which a flow is still to be decided again.", "edge"), float64(stats.StaleMillis)/1000, st.ID)
		gauge(desc("edge_unanswered_submissions", "Submissions that the target has not acknowledged.", "edge"), float64(stats.Unanswered), st.ID)
		gauge(desc("edge_learning", "What was heard and is on its way to the database.", "edge"), float64(stats.Learning), st.ID)
		gauge(desc("edge_connections", "Connections of which the edge owns a direction.", "edge"), float64(stats.Conns), st.ID)
		gauge(desc("edge_unstored_connections", "Connections of the edge that the database does not have yet.", "edge"), float64(stats.Unstored), st.ID)
		gauge(desc("edge_multicast_groups", "Multicast groups of the underlay that the edge listens to.", "edge"), float64(stats.MulticastGroups), st.ID)
		gauge(desc("edge_blocks", "Blocks of ports that the edge has leased for translations.", "edge"), float64(stats.Blocks), st.ID)
		if view != nil && !r.standsBy() {
			edgePools(out, st.ID, agent, view.Topology)
			edgeRules(out, st.ID, agent)
			edgeSessions(out, st.ID, agent)
			edgeCaches(out, st.ID, agent)
			edgeVPNs(out, st.ID, agent)
			edgeDrops(out, st.ID, agent, view)
			edgeUsage(out, st.ID, agent, func(id flow.VPortID) bool {
				b, ok := view.Bindings.Get(id)
				return ok && b.Edge == st.ID
			})
		}
		for _, k := range evictions() {
			out <- prometheus.MustNewConstMetric(desc("edge_evicted_total", "Flows whose entries made room, by reason.", "edge", "reason"), prometheus.CounterValue, float64(k.value(&stats)), st.ID, k.name)
		}
		for _, k := range counters() {
			out <- prometheus.MustNewConstMetric(desc("edge_"+k.name+"_total", k.help, "edge"), prometheus.CounterValue, float64(k.value(&stats)), st.ID)
		}
	}
}
