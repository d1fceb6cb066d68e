package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// Bounds of live traces at an edge (O2).
const (
	maxTraces       = 16    // at once
	maxTenantTraces = 4     // of one tenant
	maxTraceKeys    = 32    // entries that are told of one
	traceQueue      = 64    // records that wait for the database
	maxTraceRate    = 2000  // packets a second that are brought up: faster flows are followed by their counters
	maxTraceExtra   = 20000 // packets that come up with those that match
	maxTraceLook    = 4096  // flows of a vport that are looked at
	traceProbe      = 250 * time.Millisecond
	traceTellTime   = 3 * time.Second
)

// tracing follows real packets for who asks (O2). Entries of punt_class bring them up as if no flow entry matched: they are decided as first packets are, sent on through the same tables, and told.
//
//	asked ─ probe: how fast do matching flows go? ─┬─ slow: entries in the target ─ packets ─┬─ enough, too long, taken back ─ entries go ─ ended
//	                                               └─ fast: counters alone ──────────────────┘
//
// The agent's goroutine owns it; what is told is read from the target and stored by a goroutine of each trace.
type tracing struct {
	c    *core
	asks map[flow.VPortID]state.LiveTrace // as the database has them
	on   map[flow.VPortID]*liveTrace      // of vports that live here
	here map[flow.VPortID]*arrivals       // of vports elsewhere, whose packets come here
}

// liveTrace is one that this edge carries out.
type liveTrace struct {
	ask   state.LiveTrace
	until time.Duration
	seen  int    // packets that were told
	extra uint64 // packets that may have come up because of it
	over  bool   // it has ended here
	slow  bool   // packets are brought up
	to    map[string][]flow.VPortID
	tell  chan func(context.Context, func(state.TraceRecord)) // closed when it ends
}

func newTracing(c *core) *tracing {
	return &tracing{c: c, asks: map[flow.VPortID]state.LiveTrace{}, on: map[flow.VPortID]*liveTrace{}, here: map[flow.VPortID]*arrivals{}}
}

// asked takes what is asked for by now.
func (t *tracing) asked(all map[flow.VPortID]state.LiveTrace) {
	t.asks = all
	t.check()
}

// check begins and ends what is to begin and end: what is asked for, and where vports live, may be otherwise than before.
func (t *tracing) check() {
	c, now := t.c, t.c.now()
	for id, x := range t.on {
		ask, wanted := t.asks[id]
		switch {
		case !wanted || ask.Run != x.ask.Run:
			t.end(x, "it was taken back")
			delete(t.on, id)
		case x.over:
		case !c.hosts(id):
			t.end(x, "the vport does not live here any more")
		case now >= x.until:
			t.end(x, "its time is over")
		}
	}
	for id, ask := range t.asks {
		if t.on[id] == nil && c.hosts(id) && c.target.term == serving {
			t.begin(ask)
		}
	}
	for id, h := range t.here {
		ask, wanted := t.asks[id]
		if vports := ask.To[c.view.self.ID]; !wanted || ask.Run != h.ask.Run || len(vports) == 0 {
			h.end()
			delete(t.here, id)
		}
	}
	for id, ask := range t.asks {
		if vports := ask.To[c.view.self.ID]; len(vports) > 0 && t.here[id] == nil {
			t.here[id] = t.arrive(ask)
		}
	}
}

// begin finds out how fast packets that may match come.
func (t *tracing) begin(ask state.LiveTrace) {
	c := t.c
	x := &liveTrace{ask: ask, until: c.now() + ask.For, to: map[string][]flow.VPortID{}, tell: make(chan func(context.Context, func(state.TraceRecord)), traceQueue+1)} // one for the end
	t.on[ask.VPort] = x
	c.a.counts.traces.Add(1)
	t.teller(&x.ask, x.tell)
	if len(t.on) > maxTraces {
		t.end(x, fmt.Sprintf("the edge follows %d others already", maxTraces))
		return
	}
	if n := t.ofTenantOf(ask.VPort); n > maxTenantTraces {
		t.end(x, fmt.Sprintf("the edge follows %d others of its tenant already", n-1))
		return
	}
	coarse := ask.Match.WithoutAddrs()
	entries, all := t.entriesOf(ask.VPort, &coarse)
	most := c.traceRate(ask.VPort)
	told := t.toldEntries(ask.VPort, &ask.Match)
	placer := c.placer
	x.tell <- func(ctx context.Context, tell func(state.TraceRecord)) {
		rate, known := c.a.rateOf(ctx, placer, entries)
		c.a.countEntries(ctx, placer, told)
		r := state.TraceRecord{Kind: state.TraceBegan, Entries: entriesTold(told)}
		switch {
		case !known || !all:
			r.Counting = "how many its packets are, and those that come up with them, was not found out"
		case rate > most:
			r.Counting = fmt.Sprintf("its packets, and those that come up with them, are %d a second: more than %d are not brought up", rate, most)
		}
		tell(r)
		c.a.mail.post(func() { t.found(x, r.Counting == "") })
	}
}

// ofTenantOf counts the traces of the vports of a vport's tenant.
func (t *tracing) ofTenantOf(v flow.VPortID) (n int) {
	of := t.c.snap.VPort(v)
	for id := range t.on {
		if p := t.c.snap.VPort(id); p != nil && of != nil && p.Tenant == of.Tenant {
			n++
		}
	}
	return n
}

// traceRate is how many packets a second of a vport may be brought up to be followed: no more than half of what it, or its tenant, may have brought up at all, so that none is lost by that.
func (c *core) traceRate(v flow.VPortID) uint64 {
	most := min(maxTraceRate, c.view.paceOf(v)/2)
	if n := c.a.cfg.TenantRate; n > 0 {
		most = min(most, int64(n)/2)
	}
	return uint64(most)
}

// found: it is known how fast packets come. From now on they come up, if they may.
func (t *tracing) found(x *liveTrace, slow bool) {
	if x.over || t.on[x.ask.VPort] != x {
		return
	}
	if x.slow = slow; slow {
		t.install(x)
	}
}

// install brings the entries of a trace to the target, or takes them away.
func (t *tracing) install(x *liveTrace) {
	v, c := x.ask.VPort, t.c
	delete(c.view.traced, v)
	if x.slow && !x.over {
		for _, et := range x.ask.Match.EtherTypes() {
			c.view.traced[v] = append(c.view.traced[v], offload.Traced{EtherType: et, Proto: x.ask.Match.ProtoOf(et), SPort: x.ask.Match.SPort, DPort: x.ask.Match.DPort})
		}
	}
	c.rebuild(map[subject]struct{}{vportSubject(v): {}})
}

// end ends a trace at this edge: its entries go, and then it is told what the target has counted.
func (t *tracing) end(x *liveTrace, why string) {
	if x.over {
		return
	}
	x.over = true
	if x.slow {
		t.install(x)
	}
	c, placer := t.c, t.c.placer
	told := t.toldEntries(x.ask.VPort, &x.ask.Match)
	last := state.TraceRecord{Kind: state.TraceEnded, Why: why, Passed: x.extra}
	to := maps.Clone(x.to)
	f := func(ctx context.Context, tell func(state.TraceRecord)) {
		c.a.countEntries(ctx, placer, told)
		last.Entries = entriesTold(told)
		for edge := range to {
			_ = c.a.cfg.Store.LeadTrace(ctx, &x.ask, edge, nil) // they go with the lease at the latest
		}
		tell(last)
	}
	x.tell <- f // there is room: saw leaves one
	close(x.tell)
}

// saw is told of each packet that is decided, before it leaves.
func (t *tracing) saw(res *sim.Result, f *packet.Frame, ingress flow.VPortID, reason flow.Reason) {
	x := t.on[ingress]
	if x == nil || x.over || !x.slow {
		return
	}
	switch reason {
	case flow.ReasonARP, flow.ReasonND, flow.ReasonDHCP, flow.ReasonGroupControl, flow.ReasonService:
		return // for the network itself
	}
	key := flow.KeyOf(f, ingress)
	all := flow.ExactMask(key.EtherType)
	if !x.ask.Match.Meets(&key, &all) {
		if x.extra++; x.extra >= maxTraceExtra {
			t.end(x, fmt.Sprintf("%d others that come up with them passed: name ports, or a protocol", x.extra))
		}
		return
	}
	c, placer := t.c, t.c.placer
	if len(x.tell) >= traceQueue {
		c.a.counts.traceDrops.Add(1)
		if x.extra++; x.extra >= maxTraceExtra {
			t.end(x, "the database does not keep up")
		}
		return
	}
	p := &state.TracedPacket{Frame: headersOf(f), Len: len(f.Data), Hash: flow.Hash(f), Reason: reason, Sends: len(res.Originated)}
	for i := range res.Outcomes {
		p.Outcomes = append(p.Outcomes, t.sent(&res.Outcomes[i], p.Hash))
	}
	x.seen++
	var told []toldEntry
	if e := t.entryFor(&key, f); e != nil {
		told = []toldEntry{t.told(e)}
	}
	r := state.TraceRecord{Kind: state.TracePacket, At: time.Now().UTC(), Packet: p}
	var lead map[string][]flow.VPortID
	for _, o := range p.Outcomes {
		if v := o.Dest.VPort(); o.Edge != "" && o.Edge != c.view.self.ID && !c.snap.IsGroup(o.Dest) && !slices.Contains(x.to[o.Edge], v) {
			x.to[o.Edge] = append(x.to[o.Edge], v)
			lead = maps.Clone(x.to)
			for e, list := range lead {
				lead[e] = slices.Clone(list)
			}
		}
	}
	x.tell <- func(ctx context.Context, tell func(state.TraceRecord)) {
		c.a.countEntries(ctx, placer, told)
		if len(told) > 0 {
			p.Entry = &told[0].TraceEntry
		}
		for edge, vports := range lead {
			_ = c.a.cfg.Store.LeadTrace(ctx, &x.ask, edge, vports) // the other end is not told then, which who asks sees
		}
		tell(r)
	}
	if x.seen >= x.ask.Packets {
		t.end(x, "as many packets came as were asked for")
	}
}

// sent is an outcome, and which way it goes.
func (t *tracing) sent(o *sim.Outcome, hash uint16) state.TraceSent {
	c := t.c
	out := state.TraceSent{Verdict: o.Verdict.String()}
	switch o.Verdict {
	case sim.Drop:
		out.Reason = o.Drop.String()
	case sim.Forward:
		out.Dest, out.Rewrite = o.Dest, o.Rewrite.String()
		at, there := c.view.places[o.Dest.VPort()]
		if !there || c.snap.IsGroup(o.Dest) {
			return out
		}
		if out.Edge = at.edge; at.edge == c.view.self.ID {
			out.Port = at.at.Port
			return out
		}
		peer, known := c.layout.parts[peerSubject(at.edge)]
		e := c.view.edges[at.edge]
		if known && len(peer.paths) > 0 {
			way := peer.names[int(hash>>12)%len(peer.paths)]
			out.Port, out.Tunnel, out.Src, out.Dst = way.port, e.Tunnel.String(), way.src, way.dst
		}
	}
	return out
}

// entryFor is the flow whose entry a packet would meet, nil if there is none.
func (t *tracing) entryFor(key *flow.Key, f *packet.Frame) (best *installedFlow) {
	some, _ := t.c.flows.someFrom(key.Ingress, maxTraceLook)
	for _, x := range some {
		p := x.pattern()
		g := x.placed.Guards
		if key.And(p.mask) != p.key || g.KnownSource && p.source != key.SrcMAC {
			continue
		}
		if best == nil || x.placed.Lane < best.placed.Lane || x.placed.Lane == best.placed.Lane && x.placed.Prio > best.placed.Prio {
			best = x
		}
	}
	return best
}

// toldEntry is an entry that is told, and what it is at the target.
type toldEntry struct {
	state.TraceEntry
	entry *p4rt.Entry
}

// told is the entry of a flow.
func (t *tracing) told(f *installedFlow) toldEntry {
	c := t.c
	m, p := c.placer.Megaflow(f.placed), f.pattern()
	e := c.placer.Entry(f.placed)
	key, mask := p.key, p.mask
	key.Ingress, mask.Ingress = 0, 0
	x := state.TraceEntry{Table: strings.TrimPrefix(e.Table.Name, "ingress."), Match: flow.MatchOf(key, mask).String(), Action: "drop", VPort: f.ingress()}
	switch m.Act {
	case offload.Forward:
		x.Action, x.Dest = "forward", m.Dest
		if m.Rewrite != (flow.Rewrite{}) {
			x.Rewrite = m.Rewrite.String()
		}
	case offload.Punt:
		x.Action = "punt"
	}
	return toldEntry{x, e}
}

// flowsOf are flows of a vport whose packets may match. all: there are no others.
func (t *tracing) flowsOf(v flow.VPortID, m *state.TraceMatch) (out []*installedFlow, all bool) {
	some, all := t.c.flows.someFrom(v, maxTraceLook)
	for _, f := range some {
		if p := f.pattern(); m.Meets(&p.key, &p.mask) {
			out = append(out, f)
		}
	}
	return out, all
}

// entriesOf are the entries of flows of a vport whose packets may match. all: there are no others.
func (t *tracing) entriesOf(v flow.VPortID, m *state.TraceMatch) (out []*p4rt.Entry, all bool) {
	flows, all := t.flowsOf(v, m)
	for _, f := range flows {
		out = append(out, t.c.placer.Entry(f.placed))
	}
	return out, all
}

// toldEntries are those of them that are told, in order, with a frame of each.
func (t *tracing) toldEntries(v flow.VPortID, m *state.TraceMatch) (out []toldEntry) {
	flows, _ := t.flowsOf(v, m)
	for _, f := range flows {
		e := t.told(f)
		e.Frame = f.placed.Key.AppendFrame(nil)
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b toldEntry) int { return strings.Compare(a.Table+a.Match, b.Table+b.Match) })
	return out[:min(len(out), maxTraceKeys)]
}

func entriesTold(all []toldEntry) []state.TraceEntry {
	out := make([]state.TraceEntry, 0, len(all))
	for i := range all {
		out = append(out, all[i].TraceEntry)
	}
	return out
}

// countEntries reads what the target has of some entries.
func (a *Agent) countEntries(ctx context.Context, placer *offload.Placer, told []toldEntry) {
	entries := make([]*p4rt.Entry, 0, len(told))
	for i := range told {
		entries = append(entries, told[i].entry)
	}
	read, err := a.readCounters(ctx, placer, entries)
	if err != nil {
		return
	}
	for i := range told {
		n, there := read[placer.Hash(told[i].entry)]
		told[i].Packets, told[i].Bytes, told[i].Absent = n.Packets, n.Bytes, !there
	}
}

// rateOf is how many packets a second meet some entries now. false: that was not found out.
func (a *Agent) rateOf(ctx context.Context, placer *offload.Placer, entries []*p4rt.Entry) (uint64, bool) {
	if len(entries) == 0 {
		return 0, true
	}
	before, err := a.readCounters(ctx, placer, entries)
	if err != nil {
		return 0, false
	}
	began := time.Now()
	timer := time.NewTimer(traceProbe)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return 0, false
	}
	after, err := a.readCounters(ctx, placer, entries)
	if err != nil {
		return 0, false
	}
	var n uint64
	for _, e := range entries {
		k := placer.Hash(e)
		if was, is := before[k].Packets, after[k].Packets; is > was {
			n += is - was
		}
		delete(after, k) // flows may share an entry
	}
	return uint64(float64(n) / time.Since(began).Seconds()), true
}

// teller runs what a trace has to read and tell, in order, in a goroutine of its own until the channel is closed.
func (t *tracing) teller(ask *state.LiveTrace, todo <-chan func(context.Context, func(state.TraceRecord))) {
	c, parent := t.c, t.c.ctx
	of := *ask
	n := 0
	c.effects.wg.Go(func() {
		for {
			var f func(context.Context, func(state.TraceRecord))
			var more bool
			select {
			case f, more = <-todo:
			case <-parent.Done():
			}
			if !more {
				return
			}
			ctx, cancel := context.WithTimeout(parent, traceTellTime)
			f(ctx, func(r state.TraceRecord) {
				if r.Edge, r.N = c.view.self.ID, n; r.At.IsZero() {
					r.At = time.Now().UTC()
				}
				n++
				if err := c.a.cfg.Store.TellTrace(ctx, &of, r); err != nil {
					c.a.cfg.Logger.Debug("what a live trace found is not told", "err", err) // its lease is over, or the database is away
				}
			})
			cancel()
		}
	})
}

// maxHeaders is how much of a packet is told: its headers, and nothing of what they carry.
const maxHeaders = 192

// headersOf is a frame without its payload. Its checksum is as right, or wrong, as it was, if there are zeros in place of that.
func headersOf(f *packet.Frame) []byte {
	n, sum := len(f.Data), 0
	switch {
	case f.L4 != 0 && f.Proto == packet.ProtoTCP:
		n, sum = f.L4+packet.TCPLen, f.L4+16
		if len(f.Data) > f.L4+12 {
			n = f.L4 + int(f.Data[f.L4+12]>>4)*4
		}
	case f.L4 != 0 && f.IsICMP() && !isEcho(f): // an error has headers behind its own
	case f.L4 != 0:
		n = f.L4 + packet.UDPLen // also that of ICMP
		switch f.Proto {
		case packet.ProtoSCTP:
			n = f.L4 + 12
		case packet.ProtoUDP:
			sum = f.L4 + 6
		case packet.ProtoICMP, packet.ProtoICMPv6:
			sum = f.L4 + 2
		}
	case f.L3 != 0 && f.Is4():
		n = f.L3 + packet.IPv4Len
	case f.L3 != 0 && f.Is6():
		n = f.L3 + packet.IPv6Len
	}
	n = min(n, len(f.Data), maxHeaders)
	head := slices.Clone(f.Data[:n])
	if sum != 0 && sum+2 <= n && (head[sum]|head[sum+1] != 0 || f.Proto != packet.ProtoUDP) { // RFC 768: 0 is none
		c := uint32(binary.BigEndian.Uint16(head[sum:])) + uint32(^packet.Checksum(f.Data[n:]))
		c = c&0xffff + c>>16
		binary.BigEndian.PutUint16(head[sum:], uint16(c))
	}
	return head
}

// isEcho reports whether an ICMP message is a ping's, there or back: what it carries is payload.
func isEcho(f *packet.Frame) bool {
	if f.IsEchoRequest() {
		return true
	}
	t, _ := f.ICMPType()
	return f.Is4() && t == packet.ICMPEchoReply || f.Is6() && t == packet.ICMPv6EchoReply
}
