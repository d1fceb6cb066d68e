package sim

import (
	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Connections is what is known of connections.
type Connections interface {
	// Find returns the connection that a key belongs to, nil if there is none, and whether the key is that of the other direction than its first packet's.
	// known is false if that is not known: then it is to be looked for, and the packet simulated again. hash is that of the key.
	Find(k *conntrack.Key, hash uint64) (c *conntrack.Conn, reply, known bool)
}

// Track is what a result has to do with a connection (C1–C5). The zero Track: nothing.
type Track struct {
	Used    bool          // the connection was asked for: the flow is of this connection alone
	Wait    bool          // it is not known whether there is Key: look for it. Nothing else of the result counts
	Ports   bool          // a later fragment whose ports are asked for: those of the first are to be lent to it. Nothing else of the result counts
	Key     conntrack.Key // of the packet's direction. Valid iff Used
	Reply   bool          // the packet is of the other direction than the first one
	Related bool          // it is an ICMP error about a packet of the connection
	conntrack.Progress
	Changed bool            // the packet takes the connection further
	Ack     uint32          // what a TCP segment acknowledges
	Late    bool            // it has data behind its side's own FIN (C3)
	Commit  bool            // New is to be stored before the packet leaves; then the packet's successors are of a connection that is known: simulate again
	Replace bool            // New takes the place of the connection with Key, which is over
	New     conntrack.Conn  // valid iff Commit
	Quote   conntrack.Tuple // ICMP error: what the packet that it quotes is to have where the error leaves. Valid iff Quoted
	Quoted  bool
	Client  topology.PoolClient // of the first sticky pool on the way: with New, the member that it got is to be remembered. Valid iff Client.Pool is not 0
	// Local: New may be begun while the database is away: each rule that makes it stateful says so, and the packet is one that can begin a connection alone. Valid iff Commit
	Local bool
	Needs []SourceNeed // sources that were wanted from blocks: for what New was given, there is to be more
	Ask   bool         // it is not known where the Client's last connection went: look for it. Nothing else of the result counts
}

// reset makes it the zero Track.
func (t *Track) reset() {
	if t.Commit {
		t.New = conntrack.Conn{}
	}
	if t.Quoted {
		t.Quote = conntrack.Tuple{}
	}
	if t.Client.Pool != 0 {
		t.Client = topology.PoolClient{}
	}
	t.Key, t.Progress, t.Ack = conntrack.Key{}, conntrack.Progress{}, 0
	t.Used, t.Wait, t.Ports, t.Reply, t.Related, t.Changed, t.Late = false, false, false, false, false, false, false
	t.Commit, t.Replace, t.Quoted, t.Ask, t.Local = false, false, false, false, false
	t.Needs = t.Needs[:0]
}

// tracking is what a simulation knows of its packet's connection.
type tracking struct {
	entered    topology.DeviceID
	zone       topology.DeviceID // of that device
	able       bool              // packets like this one have connections at all: IP packets to one station that a vport sent
	looked     bool              // conn is what there is
	needed     bool              // a chain on the way, or on the way back, asks for it (C2)
	translates bool              // such a chain may translate
	related    bool              // the packet is an ICMP error: the connection is that of the packet that it quotes
	quotes     bool              // it is, and is addressed to who sent what it quotes, which can be read
	reply      bool
	local      bool            // a rule that it met, and that makes the connection stateful, lets it begin without the database
	holds      bool            // another one does not
	refused    bool            // a chain refused a copy of a packet of no connection
	conn       *conntrack.Conn // nil: none
	fresh      conntrack.Conn  // what there will be, if there is none
	copies     []header
}

// header is what a copy was translated to.
type header struct {
	tuple conntrack.Tuple
	key   flow.Key
}

func (t *tracking) begin() {
	t.conn, t.entered, t.zone = nil, 0, 0
	t.able, t.looked, t.needed, t.translates, t.related, t.quotes, t.reply = false, false, false, false, false, false, false
	t.local, t.holds, t.refused = false, false, false
	t.copies = t.copies[:0]
}

// refresh makes the connection to be an empty one, unless there are static translations already, which ask for none.
func (t *tracking) refresh() {
	if len(t.copies) == 0 {
		t.fresh = conntrack.Conn{}
	}
}

// header is the header of a copy as it is now.
func (s *Simulator) header(h *hop) *flow.Key {
	if h.tuple == 0 {
		return &s.key
	}
	return &s.conns.copies[h.tuple-1].key
}

// tuple is the connection's tuple of a copy as it is now: of an ICMP error, what an answer to the packet that it quotes would have.
func (s *Simulator) tuple(h *hop) *conntrack.Tuple {
	if h.tuple == 0 {
		return &s.res.Track.Key.Tuple
	}
	return &s.conns.copies[h.tuple-1].tuple
}

// track finds the packet's connection, once. Who asks makes the flow one of its connection alone. False: the walk ends, since that must be found out first.
func (s *Simulator) track(h *hop) bool {
	c, r := &s.conns, &s.res.Track
	if c.looked {
		return true
	}
	s.readAll()
	r.Used = true
	if s.f.Frag != packet.FragNone {
		s.notInstallable("fragment of a tracked flow")
	}
	if s.lacksPorts(h) {
		return false
	}
	s.identify()
	zone, known := s.zoneOf(c.entered, &r.Key.Tuple, h)
	if !known {
		return false
	}
	c.zone, r.Key.Zone = zone, uint32(zone)
	c.refresh()
	if c.related && !c.quotes || s.Conns == nil {
		c.looked = !s.garbled(h)
		return c.looked
	}
	hash := r.Key.Hash()
	s.dep(topology.ConnDep(c.zone, hash))
	found, reply, known := s.Conns.Find(&r.Key, hash)
	if (found == nil || c.related) && s.garbled(h) {
		return false
	}
	if !known {
		r.Wait = true
		s.wait(h, "… waits to hear whether there is a connection "+r.Key.String())
		return false
	}
	c.looked, c.conn = true, found
	r.Related = c.related
	p := conntrack.Packet{Proto: s.f.Proto}
	if found != nil && p.Proto == packet.ProtoTCP {
		p = conntrack.PacketOf(s.f)
	}
	switch {
	case found == nil:
	case !c.related && (found.Begins(&p, reply) || !reply && found.Translates() && s.orphaned(found)):
		r.Replace, c.conn = true, nil
	default:
		c.reply = reply
		s.recount(h)
		r.Reply, r.Progress = c.reply, found.Progress
		if !c.related {
			r.Progress, r.Ack, r.Late = found.Next(&p, c.reply), p.Ack, found.Beyond(&p, c.reply)
			r.Changed = r.Progress != found.Progress
		}
		switch {
		case r.Over():
			s.notInstallable("connection is over")
		case r.Awaits(reply):
			s.notInstallable("the acknowledgement of a FIN is awaited")
		}
	}
	if (r.Replace || r.Changed) && s.garbled(h) {
		c.looked, c.conn, r.Replace, r.Changed = false, nil, false, false
		return false
	}
	c.fresh.Forward = r.Key
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, s.connText())
	}
	return true
}

// garbled drops a packet whose checksum is wrong: its header may be another's. Asked of those that would begin a connection, or take one further.
func (s *Simulator) garbled(h *hop) bool {
	if s.Exemplar || s.f.Intact() {
		return false
	}
	s.notInstallable("wrong checksum")
	s.drop(h, DropChecksum, false)
	return true
}

// identify says what the packet's tuple is: of an ICMP error, that of an answer to the packet that it quotes.
func (s *Simulator) identify() {
	c, k := &s.conns, &s.res.Track.Key
	k.Set(uint32(c.zone), &s.key)
	if !s.isICMPError() {
		return
	}
	s.notInstallable("ICMP error")
	c.related = true
	// It must be addressed to who sent what it quotes, else anybody's connection would let it pass to anybody. A redirect is no error.
	var tuple conntrack.Tuple
	tuple, c.quotes = quoted(s.f)
	c.quotes = c.quotes && tuple.Src == s.key.Dst && !packet.IsRedirect(s.f)
	k.Tuple = tuple.Reverse()
}

func (s *Simulator) connText() string {
	c := &s.conns
	switch {
	case c.conn == nil && !s.mayBegin():
		return "connection " + s.res.Track.Key.String() + ": none, and the segment begins none"
	case c.conn == nil:
		return "connection " + s.res.Track.Key.String() + ": new"
	case c.related:
		return "connection " + c.conn.Forward.String() + ": related"
	case c.reply:
		return "connection " + c.conn.Forward.String() + ": " + c.conn.State.String() + ", other direction"
	}
	return "connection " + c.conn.Forward.String() + ": " + c.conn.State.String()
}

// wait ends a copy's walk: what would become of it is not known yet.
func (s *Simulator) wait(h *hop, what string) {
	s.notInstallable("not known yet")
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, what)
	}
	s.res.Outcomes = append(s.res.Outcomes, Outcome{Verdict: Incomplete})
}

// lacksPorts ends the walk of a later fragment whose ports are asked for and that has none: those of the first fragment are to be lent to it.
func (s *Simulator) lacksPorts(h *hop) bool {
	if s.origin != nil || s.f.Frag != packet.FragLater || s.f.SrcPort != 0 || s.f.DstPort != 0 {
		return false
	}
	switch s.f.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP, packet.ProtoICMP, packet.ProtoICMPv6:
	default:
		return false
	}
	s.res.Track.Ports = true
	s.wait(h, "… waits for the first fragment, which has the ports")
	return true
}

// readAll reads all of the header that a connection's key, and flowHash, is made of.
func (s *Simulator) readAll() {
	if s.origin != nil {
		return
	}
	m := &s.res.Mask
	s.srcRead, s.dstRead = 128, 128
	m.EtherType, m.Proto, m.Frag, m.SrcPort, m.DstPort = 0xffff, 0xff, 3, 0xffff, 0xffff
	m.DstMAC[0] |= 1 // to a group there is none
}

// quoted returns the tuple of the packet that an ICMP error quotes.
func quoted(f *packet.Frame) (conntrack.Tuple, bool) {
	q, ok := packet.Quote(f)
	if !ok {
		return conntrack.Tuple{}, false
	}
	k := flow.Key{EtherType: f.EtherType, Src: flow.AddrOf(q.Src), Dst: flow.AddrOf(q.Dst), Proto: q.Proto, SrcPort: q.SrcPort, DstPort: q.DstPort}
	return conntrack.TupleOf(&k), true
}

// state is what a packet is to its connection, for rules. False: the walk ends.
func (s *Simulator) state(p *filter.Packet, h *hop) bool {
	p.HasState = true
	c := &s.conns
	switch {
	case s.origin != nil && s.origin.kind == OriginError:
		p.State = uint8(topology.ConnRelated)
	case s.origin != nil:
		p.State = uint8(topology.ConnEstablished)
	case !s.conns.able:
		p.State = uint8(topology.ConnNew)
	case !s.track(h):
		return false
	case c.related && c.conn == nil:
		p.State = 0 // an error about nothing that is known
	case c.related:
		p.State = uint8(topology.ConnRelated)
	case c.conn == nil && !s.mayBegin():
		p.State = 0
	case c.conn == nil:
		p.State = uint8(topology.ConnNew)
	default:
		p.State = uint8(topology.ConnEstablished)
	}
	return true
}

// mayBegin reports whether the packet may be the first of a connection.
func (s *Simulator) mayBegin() bool {
	p := conntrack.Packet{Proto: s.f.Proto, Flags: s.f.TCPFlags}
	return p.MayBegin()
}

// meets notes what chains of a device or port ask that the packet meets, or that an answer would: for connections (C2), or to translate. False: a chain is not
// loaded, and the walk ends.
func (s *Simulator) meets(chains topology.Filters, h *hop) bool {
	for _, id := range [2]topology.DeviceID{chains.Ingress, chains.Egress} {
		if id == 0 {
			continue
		}
		c := s.chainOf(id)
		if c == nil {
			s.load(h, id)
			return false
		}
		s.conns.needed = s.conns.needed || c.AsksState
		s.conns.translates = s.conns.translates || c.Translates()
		if len(c.Jumps) == 0 {
			continue
		}
		asks, missing := s.asks(id, 0)
		if missing != 0 {
			s.load(h, missing)
			return false
		}
		s.conns.needed, s.conns.translates = s.conns.needed || asks, true
	}
	return true
}

// asks reports whether a chain, or one that it jumps to, asks for connections; or what must be loaded to tell.
func (s *Simulator) asks(id topology.DeviceID, depth int) (bool, topology.DeviceID) {
	c := s.chainOf(id)
	if c == nil {
		return false, id
	}
	asks := c.AsksState
	if s.runs++; depth == maxJumps || s.runs > maxRuns {
		return true, 0
	}
	for _, next := range c.Jumps {
		more, missing := s.asks(next, depth+1)
		if missing != 0 {
			return asks, missing
		}
		asks = asks || more
	}
	return asks, 0
}

// settleConnection decides what becomes of the connection, now that the packet's fate is known: what the return flow needs is to be stored before the
// packet leaves, and only if it does (C1, C2, C5).
func (s *Simulator) settleConnection() {
	c, r := &s.conns, &s.res.Track
	var out *Outcome
	for i := range s.res.Outcomes {
		switch s.res.Outcomes[i].Verdict {
		case Forward:
			out = &s.res.Outcomes[i]
		case Incomplete:
			return
		}
	}
	if out == nil {
		r.Changed = false // what is dropped changes nothing (C5)
		if r.Used && c.conn == nil {
			s.notInstallable("there may be a connection later") // made by a packet of the other direction, at any edge
		}
		return
	}
	if !c.needed && !r.Used {
		return
	}
	if !c.looked && !s.track(&hop{port: s.ingress}) {
		last := s.res.Outcomes[len(s.res.Outcomes)-1]
		if last.Verdict != Drop {
			last = Outcome{Verdict: Incomplete}
		}
		s.res.Outcomes = append(s.res.Outcomes[:0], last)
		return
	}
	if c.conn != nil {
		s.confine()
		return
	}
	if c.related || s.Conns == nil {
		return
	}
	if c.refused { // who refused its copy is not to let in the next one, which a connection would have it do
		s.notInstallable("a copy was refused")
		return
	}
	answer := c.fresh.Return()
	ret, known := s.zoneOf(s.deviceOf(out.Dest), &answer.Tuple, &hop{port: s.ingress})
	if !known {
		s.res.Outcomes = append(s.res.Outcomes[:0], Outcome{Verdict: Incomplete})
		return
	}
	c.fresh.RetZone = uint32(ret)
	p := conntrack.PacketOf(s.f)
	c.fresh.Progress = c.fresh.Progress.Next(&p, false)
	s.notInstallable("connection not stored yet")
	if c.fresh.State == conntrack.StateNone {
		if c.fresh.Chooses() {
			s.res.Outcomes = append(s.res.Outcomes[:0], Outcome{Verdict: Drop, Drop: DropNAT})
		}
		return // it begins nothing: a reset out of nowhere
	}
	r.Progress, r.Commit, r.New = c.fresh.Progress, true, c.fresh
	r.Local = c.local && !c.holds && !r.Replace && (p.Proto != packet.ProtoTCP || p.Flags&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn)
}

// met notes a rule that makes the packet's connection stateful.
func (t *tracking) met(rule *topology.ChainRule) {
	t.local = t.local || rule.Local
	t.holds = t.holds || !rule.Local
}

// confine drops the copies of a packet of a connection's other direction that would come out elsewhere than where the connection came in: a tuple alone could
// be forged by who begins a connection in the name of another.
func (s *Simulator) confine() {
	c, arrives := &s.conns, false
	if !c.reply {
		return
	}
	for i := range s.res.Outcomes {
		o := &s.res.Outcomes[i]
		if o.Verdict != Forward {
			continue
		}
		zone, known := s.zoneOf(s.deviceOf(o.Dest), &c.conn.Forward.Tuple, &hop{port: s.ingress})
		switch {
		case !known:
			s.res.Outcomes = append(s.res.Outcomes[:0], Outcome{Verdict: Incomplete})
			return
		case uint32(zone) == c.conn.Forward.Zone:
			arrives = true
		default:
			s.notInstallable("answer to another")
			*o = Outcome{Verdict: Drop, Drop: DropForgedAnswer}
		}
	}
	s.res.Track.Changed = s.res.Track.Changed && arrives
}

// zoneOf returns what the key of a connection has for a device at which a tuple is met, whose bits were read: of addresses that are globally unique no device (C1), else the
// device, of a bridge its flood domain. False: it is not known before that is loaded whole, and the walk ends.
func (s *Simulator) zoneOf(id topology.DeviceID, t *conntrack.Tuple, h *hop) (topology.DeviceID, bool) {
	s.dep(topology.DeviceDep(id))
	group, unique, loaded := s.snap.GlobalZone(id, &t.Src, &t.Dst, t.V6)
	if group != 0 {
		s.dep(topology.DeviceDep(group))
	}
	switch {
	case !loaded:
		s.load(h, group)
		return 0, false
	case unique:
		return group, true
	}
	b := s.snap.Bridge(id)
	if b == nil {
		return id, true
	}
	if b.Zone == 0 {
		for _, d := range s.snap.MissingGroup(b.Group()) {
			s.load(h, d)
		}
	}
	return b.Zone, b.Zone != 0
}
