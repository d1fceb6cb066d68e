package engine

import (
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// Stats count what an agent saw and did since it started.
type Stats struct {
	PacketIns  uint64 `json:"packet_ins"`  // taken from the queue
	QueueDrops uint64 `json:"queue_drops"` // packet-ins for which the queue had no room
	Malformed  uint64 `json:"malformed"`   // packet-ins that could not be parsed
	Underlay   uint64 `json:"underlay"`    // underlay frames answered or learnt from
	// UnknownKeys counts frames that came by tunnel for something of which this edge knew nothing.
	UnknownKeys uint64 `json:"unknown_keys"`
	Unhandled   uint64 `json:"unhandled"` // packet-ins that nobody wanted
	Departed    uint64 `json:"departed"`  // packet-ins of vports that had left this edge when it was their turn
	OutDrops    uint64 `json:"out_drops"` // packet-outs that the session did not take

	PacketOuts   uint64 `json:"packet_outs"`      // packet-outs that the session took
	Upcalls      uint64 `json:"upcalls"`          // packets of vports that were simulated
	Forwarded    uint64 `json:"forwarded"`        // of these, those sent on; a packet with several outcomes counts once for each: Upcalls + Further = Forwarded + Consumed + Lost, with those that wait
	Consumed     uint64 `json:"consumed"`         // answered, or taken in by a device
	Lost         uint64 `json:"lost"`             // dropped, for a reason that is counted for their vport
	Further      uint64 `json:"further"`          // outcomes beyond the first of a packet
	Ahead        uint64 `json:"ahead"`            // of these, before their turn, beside each other
	Deduped      uint64 `json:"deduped"`          // packets that were decided as one of the same flow that waited with them
	Drops        uint64 `json:"drops"`            // outcomes of simulations that were drops
	Loads        uint64 `json:"loads"`            // devices that a packet needed and that were not loaded
	LoadDrops    uint64 `json:"load_drops"`       // packets that waited for one in vain
	Held         uint64 `json:"held"`             // packets that waited for a neighbour or a device
	HeldDrops    uint64 `json:"held_drops"`       // of these, in vain
	Errors       uint64 `json:"errors"`           // ICMP errors sent
	ErrorsUnsent uint64 `json:"errors_unsent"`    // ICMP errors over the rate
	Unlogged     uint64 `json:"unlogged"`         // decisions that a rule wanted logged, over the rate
	DHCP         uint64 `json:"dhcp"`             // DHCP answers sent
	LateData     uint64 `json:"late_data"`        // segments with data that came to the agent behind their side's own FIN
	Adverts      uint64 `json:"adverts"`          // router advertisements sent without being asked
	Spoken       uint64 `json:"spoken"`           // packets that came for the sessions of router ports
	Answered     uint64 `json:"answered"`         // ARP, neighbour solicitations and pings for such ports that were answered as they came
	DHCPDrops    uint64 `json:"dhcp_drops"`       // DHCP messages that came to nothing: too many at once, or the database refused
	Learnt       uint64 `json:"learnt"`           // MACs and neighbours that went to the database
	LearnFull    uint64 `json:"learn_full"`       // MACs and addresses that were not learnt, since too many are behind their vport
	Learning     uint64 `json:"learning"`         // what was heard and is on its way to the database, now
	EffectFails  uint64 `json:"effect_fails"`     // what could not be stored: too much at once, or the database refused
	Aged         uint64 `json:"aged"`             // learnt MACs forgotten
	Installed    uint64 `json:"installed"`        // flow entries written: new ones, and those of Changed
	Removed      uint64 `json:"removed"`          // flows: something that they relied on changed
	Kept         uint64 `json:"kept"`             // flows that were decided again because of a change, to the same end: their entries were not touched
	Adopted      uint64 `json:"adopted"`          // flows installed by what the database had of them, without a packet
	RuleBlocks   uint64 `json:"rule_blocks"`      // blocks of flow rules that went to the database
	Changed      uint64 `json:"changed"`          // flows that were decided again, and whose entries were modified where they are
	Expired      uint64 `json:"expired"`          // flows: idle
	NotInstalled uint64 `json:"not_installed"`    // decisions that stay on the slow path for want of an entry that can do it, or of room
	OverShare    uint64 `json:"over_share"`       // of these, because their vport had its share of the flow tables
	NotKept      uint64 `json:"not_kept"`         // of NotInstalled, because room was scarce and it was the flow's first packet (E5)
	Unmetered    uint64 `json:"unmetered"`        // flows decided to pass links without a meter of theirs, since the edge had none left (Q1)
	EvictedShare uint64 `json:"evicted_share"`    // flows evicted since their vport had its share of a table, or of all flow entries
	EvictedTable uint64 `json:"evicted_table"`    // since a table was nearly full
	EvictedLimit uint64 `json:"evicted_limit"`    // since the edge had nearly as many as it may
	WriteFails   uint64 `json:"write_failures"`   // updates that the target did not accept
	Unanswered   uint64 `json:"unanswered"`       // submissions that the target has not acknowledged, now; 0: it has all that the agent wants
	Flows        uint64 `json:"flows"`            // installed now
	StaleMillis  uint64 `json:"stale_ms"`         // age of the oldest change of which a flow is still to be decided again; 0: there is none
	Conns        uint64 `json:"connections"`      // of which the edge owns a direction, now
	Copies       uint64 `json:"copies"`           // TCP segments with FIN or RST that went on, shown to the agent
	NATRetries   uint64 `json:"nat_retries"`      // translations that were another connection's, and were chosen anew
	NATFails     uint64 `json:"nat_fails"`        // packets dropped because no translation was free
	ConnDrops    uint64 `json:"connection_drops"` // packets dropped because their port of a bridge had begun as many connections as it may

	Unstored    uint64 `json:"unstored"`          // connections that began while the database was away, and are not stored yet, now
	LocalConns  uint64 `json:"local_connections"` // connections that began while the database was away
	LocalStored uint64 `json:"local_stored"`      // of these, and of those that the database had lost meanwhile: stored since
	LocalEnded  uint64 `json:"local_ended"`       // of these, ended since the database had others in their place, or their ports were not the edge's any more
	AwayDrops   uint64 `json:"away_drops"`        // packets dropped because the database was away, and no rule let their connection begin without it
	Aways       uint64 `json:"aways"`             // times that the database was away
	Blocks      uint64 `json:"blocks"`            // of ports for translations that the edge holds, now
	BlockPicks  uint64 `json:"block_picks"`       // translations of sources that took a port of a block
	BlockMisses uint64 `json:"block_misses"`      // translations of sources for which there was none
	BlockLapses uint64 `json:"block_lapses"`      // blocks whose lease ended

	MulticastGroups  uint64 `json:"multicast_groups"`  // of the underlay that the edge listens to, now
	MulticastReports uint64 `json:"multicast_reports"` // groups that it told its uplinks, by IGMP or MLD
	MulticastQueries uint64 `json:"multicast_queries"` // questions for members that came by its uplinks

	Traces     uint64 `json:"traces"`      // live traces that began
	TraceDrops uint64 `json:"trace_drops"` // packets of live traces that were not told, as the database did not keep up

	LinksDown  uint64 `json:"links_down"`  // ports of the target whose links are down as its telemetry tells, now
	LinksWrong uint64 `json:"links_wrong"` // times that an uplink was told to be down, and its router answered
}

type counts struct {
	multicastGroups, multicastReports, multicastQueries atomic.Uint64
	linksDown, linksWrong                               atomic.Uint64
	traces, traceDrops                                  atomic.Uint64
	unstored                                            atomic.Uint64
	localConns                                          atomic.Uint64
	localStored                                         atomic.Uint64
	localEnded                                          atomic.Uint64
	awayDrops                                           atomic.Uint64
	aways                                               atomic.Uint64
	blocks                                              atomic.Uint64
	blockPicks                                          atomic.Uint64
	blockMisses                                         atomic.Uint64
	blockLapses                                         atomic.Uint64
	conns                                               atomic.Uint64
	copies                                              atomic.Uint64
	natRetries                                          atomic.Uint64
	natFails                                            atomic.Uint64
	connDrops                                           atomic.Uint64
	packetIns                                           atomic.Uint64
	malformed                                           atomic.Uint64
	underlay                                            atomic.Uint64
	unhandled                                           atomic.Uint64
	departed                                            atomic.Uint64
	outDrops                                            atomic.Uint64
	upcalls, forwarded, consumed, lost, further         atomic.Uint64
	packetOuts                                          atomic.Uint64
	ahead                                               atomic.Uint64
	deduped                                             atomic.Uint64
	drops                                               atomic.Uint64
	held                                                atomic.Uint64
	heldDrops                                           atomic.Uint64
	errors                                              atomic.Uint64
	errorsUnsent                                        atomic.Uint64
	unlogged                                            atomic.Uint64
	dhcp                                                atomic.Uint64
	dhcpDrops                                           atomic.Uint64
	adverts                                             atomic.Uint64
	spoken                                              atomic.Uint64
	answered                                            atomic.Uint64
	lateData                                            atomic.Uint64
	learnt                                              atomic.Uint64
	learnFull                                           atomic.Uint64
	learning                                            atomic.Uint64
	effectFails                                         atomic.Uint64
	aged                                                atomic.Uint64
	loads                                               atomic.Uint64
	loadDrops                                           atomic.Uint64
	unknownKeys                                         atomic.Uint64
	installed                                           atomic.Uint64
	removed                                             atomic.Uint64
	kept                                                atomic.Uint64
	changed                                             atomic.Uint64
	adopted                                             atomic.Uint64
	ruleBlocks                                          atomic.Uint64
	flows                                               atomic.Uint64
	staleSince                                          atomic.Int64 // nanoseconds since the agent's begin; -1: no flow is stale
	expired                                             atomic.Uint64
	notInstalled                                        atomic.Uint64
	overShare                                           atomic.Uint64
	notKept                                             atomic.Uint64
	unmetered                                           atomic.Uint64
	evictedShare                                        atomic.Uint64
	evictedTable                                        atomic.Uint64
	evictedLimit                                        atomic.Uint64
	writeFails                                          atomic.Uint64
	unanswered                                          atomic.Uint64
}

// Stats returns a copy of the counts.
func (a *Agent) Stats() Stats {
	c := &a.counts
	var stale time.Duration
	if since := c.staleSince.Load(); since >= 0 {
		stale = a.core.now() - time.Duration(since)
	}
	return Stats{
		MulticastGroups: c.multicastGroups.Load(), MulticastReports: c.multicastReports.Load(), MulticastQueries: c.multicastQueries.Load(),
		LinksDown: c.linksDown.Load(), LinksWrong: c.linksWrong.Load(),
		Copies:   c.copies.Load(),
		Unstored: c.unstored.Load(), LocalConns: c.localConns.Load(), LocalStored: c.localStored.Load(), LocalEnded: c.localEnded.Load(),
		AwayDrops: c.awayDrops.Load(), Aways: c.aways.Load(),
		Blocks: c.blocks.Load(), BlockPicks: c.blockPicks.Load(), BlockMisses: c.blockMisses.Load(), BlockLapses: c.blockLapses.Load(),
		Conns: c.conns.Load(), NATRetries: c.natRetries.Load(), NATFails: c.natFails.Load(), ConnDrops: c.connDrops.Load(),
		QueueDrops:   a.queue.dropped(),
		PacketIns:    c.packetIns.Load(),
		Malformed:    c.malformed.Load(),
		Underlay:     c.underlay.Load(),
		Unhandled:    c.unhandled.Load(),
		Departed:     c.departed.Load(),
		OutDrops:     c.outDrops.Load(),
		Upcalls:      c.upcalls.Load(),
		Forwarded:    c.forwarded.Load(),
		Consumed:     c.consumed.Load(),
		Lost:         c.lost.Load(),
		Further:      c.further.Load(),
		PacketOuts:   c.packetOuts.Load(),
		Ahead:        c.ahead.Load(),
		Deduped:      c.deduped.Load(),
		Drops:        c.drops.Load(),
		Held:         c.held.Load(),
		HeldDrops:    c.heldDrops.Load(),
		Errors:       c.errors.Load(),
		ErrorsUnsent: c.errorsUnsent.Load(),
		Unlogged:     c.unlogged.Load(),
		DHCP:         c.dhcp.Load(),
		DHCPDrops:    c.dhcpDrops.Load(),
		Adverts:      c.adverts.Load(),
		Spoken:       c.spoken.Load(),
		Answered:     c.answered.Load(),
		LateData:     c.lateData.Load(),
		Learnt:       c.learnt.Load(),
		LearnFull:    c.learnFull.Load(),
		Learning:     c.learning.Load(),
		EffectFails:  c.effectFails.Load(),
		Aged:         c.aged.Load(),
		Loads:        c.loads.Load(),
		LoadDrops:    c.loadDrops.Load(),
		Traces:       c.traces.Load(),
		TraceDrops:   c.traceDrops.Load(),
		UnknownKeys:  c.unknownKeys.Load(),
		Installed:    c.installed.Load(),
		Removed:      c.removed.Load(),
		Kept:         c.kept.Load(),
		Changed:      c.changed.Load(),
		Adopted:      c.adopted.Load(),
		RuleBlocks:   c.ruleBlocks.Load(),
		Flows:        c.flows.Load(),
		StaleMillis:  uint64(stale.Milliseconds()),
		Expired:      c.expired.Load(),
		NotInstalled: c.notInstalled.Load(),
		OverShare:    c.overShare.Load(),
		NotKept:      c.notKept.Load(),
		Unmetered:    c.unmetered.Load(),
		EvictedShare: c.evictedShare.Load(),
		EvictedTable: c.evictedTable.Load(),
		EvictedLimit: c.evictedLimit.Load(),
		WriteFails:   c.writeFails.Load(),
		Unanswered:   c.unanswered.Load(),
	}
}

func reasonOf(meta uint64) flow.Reason { return flow.Reason(meta) }
