package sim

import (
	"strconv"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Bounds of one simulation.
const (
	MaxDevices    = 32  // on one way
	maxVisits     = 128 // devices in all, over all branches of floods and all originated packets
	maxOriginated = 16
	maxDepth      = 3 // packets originated because of packets originated …
)

// Simulator holds the memory that simulations use. One per goroutine; the zero value is ready.
//
// A packet's way through it:
//  1. Simulate: the ingress vport and the source MAC; DHCP is answered there → dhcp.go
//  2. enter: a device receives a copy by a port → bridge.go, router.go
//     filter.go: their chains, on the way in and out
//  3. send: a device emits a copy through a port → deliver, or enter the peer's device
//  4. finish: what was read and decided becomes the result
//  5. the same for each packet that was originated on the way
type Simulator struct {
	Conns   Connections // nil: there are none, and none is stored
	Attempt uint32      // how many translations of this connection were taken already: another one is chosen
	Balance Balance     // nil: nothing is known of pools but what the snapshot says
	Blocks  Blocks      // nil: there are none
	// Chosen is a connection that was just stored: its first packet, decided once more as that of a new connection, gets the translations that it has.
	Chosen *conntrack.Conn
	// Exemplar: the packet stands for others with its key. What is not in that (flags, payload, checksums) says nothing.
	Exemplar bool

	snap    *topology.Snapshot
	res     *Result
	f       *packet.Frame
	key     flow.Key
	ingress flow.VPortID
	visits  int
	runs    int   // chains
	again   bool  // the copy that a device emitted goes on by hop.port
	srcRead uint8 // bits of the addresses that were read
	dstRead uint8
	origin  *origin // the originated packet that is being simulated; nil: the packet itself, whose reads and dependencies are recorded

	work    []hop // further copies about to enter a device
	pending []origin
	ofrm    packet.Frame
	current origin
	lost    Lost
	leases  Leases
	flood   []floodStep
	members []flow.VPortID
	apart   []apart
	routers []hop
	conns   tracking
	met     filter.Packet
	chains  []*topology.Chain // that the packet met
	missing bool              // the flood reaches devices that are not loaded
}

// hop is a copy of the packet on its way, with what was rewritten so far.
type hop struct {
	port      flow.VPortID // by which it enters
	src, dst  packet.MAC   // as they are now
	rewritten bool         // MACs are no longer the packet's own: reading them is not recorded (E4)
	ttlDec    uint8        // routers passed
	devices   uint8        // devices passed
	fragment  uint16       // smallest MTU that it is cut to; 0: not cut
	branch    bool         // a copy made by a flood
	lastIn    flow.VPortID // by which the last router that forwarded it got it; 0: none did
	lastSrc   packet.MAC   // its source there
	mark      uint32       // set by a rule
	tuple     uint8        // what it was translated to: Simulator.conns; 0: nothing
	steps     uint8        // translations of its connection that are behind it
	links     flow.LinkSet // that it passed and that have a rate
}

// origin is a packet to be simulated after the one that caused it.
type origin struct {
	frame []byte
	out   flow.VPortID // port that emits it
	kind  OriginKind
	depth uint8
}

// Simulate walks f, which came in at exterior vport ingress. res is overwritten; nothing is allocated once its slices have grown.
// f must have parsed without error. It is not changed. now is for stages whose state has an age.
func (s *Simulator) Simulate(snap *topology.Snapshot, f *packet.Frame, ingress flow.VPortID, now time.Duration, res *Result) {
	s.SimulateLost(snap, f, ingress, now, Lost{}, res)
}

// SimulateLost is Simulate when something that a snapshot does not tell is known to be out of reach.
func (s *Simulator) SimulateLost(snap *topology.Snapshot, f *packet.Frame, ingress flow.VPortID, now time.Duration, lost Lost, res *Result) {
	s.begin(snap, f, ingress, res)
	s.lost = lost
	res.Mask.Ingress = flow.MaxID
	h := hop{port: ingress, src: s.key.SrcMAC, dst: s.key.DstMAC}
	if res.Trace != nil {
		res.Trace.start(f, s.key)
	}
	switch p := s.vport(ingress); {
	case p == nil:
		s.drop(&h, DropNoVPort, false)
	case !h.src.IsUnicast():
		s.readSrcMAC(&h)
		s.drop(&h, DropInvalidSource, false)
	case f.L3 != 0 && s.key.Src == s.key.Dst: // the pipeline drops it ahead of all tables: no entry needs to tell
		s.notInstallable("source is destination")
		s.drop(&h, DropLand, false)
	case s.spoofs():
		s.notInstallable("spoofed neighbour")
		s.drop(&h, DropSpoofedNeighbour, false)
	default:
		res.Guards.KnownSource = true
		if s.dhcp(p, &h) {
			break
		}
		s.conns.entered, s.conns.zone = p.Device, s.snap.Zone(p.Device)
		s.conns.able = f.L3 != 0 && !f.IsND() && !h.dst.IsMulticast() && !isMulticast(&s.key)
		s.walk(&h)
		s.settleConnection()
	}
	s.finish()
	s.simulateOriginated()
	s.end()
}

// spoofs reports whether a host names another MAC than its frame's source as its own: what it says would be learnt.
func (s *Simulator) spoofs() bool {
	if s.f.IsARP() {
		a, err := s.f.ARP()
		return err == nil && a.SenderMAC != s.key.SrcMAC
	}
	if s.f.IsND() {
		q, err := s.f.ND()
		return err == nil && !q.LinkAddr.IsZero() && q.LinkAddr != s.key.SrcMAC
	}
	return false
}

// Ask builds and simulates the request for a neighbour of a router port, as at its first miss: the retries of AskNeighbour (R4).
// res has Originated, and effects of them, only.
func (s *Simulator) Ask(snap *topology.Snapshot, port flow.VPortID, a flow.Addr, v6 bool, res *Result) {
	s.begin(snap, &s.ofrm, 0, res)
	et := uint16(packet.EtherTypeIPv4)
	if v6 {
		et = packet.EtherTypeIPv6
	}
	if p := snap.VPort(port); p != nil && p.Kind == topology.DeviceRouter {
		s.ask(p, a.Netip(et))
	}
	s.simulateOriginated()
	s.end()
}

func (s *Simulator) begin(snap *topology.Snapshot, f *packet.Frame, ingress flow.VPortID, res *Result) {
	res.reset()
	s.snap, s.f, s.ingress, s.res = snap, f, ingress, res
	s.visits, s.runs, s.origin, s.again = 0, 0, nil, false
	s.srcRead, s.dstRead = 0, 0
	s.work, s.pending, s.chains = s.work[:0], s.pending[:0], s.chains[:0]
	s.conns.begin()
	if len(f.Data) != 0 {
		s.key = flow.KeyOf(f, ingress)
	}
}

// isMulticast reports whether an IP packet is to a group, or to all: what is not one station's (RFC 1112 §4).
func isMulticast(k *flow.Key) bool {
	if k.Is6() {
		return k.Dst[0] == 0xff
	}
	return k.Dst[12]>>5 == 0x7
}

// end drops references to the caller's memory.
func (s *Simulator) end() {
	s.snap, s.f, s.res, s.origin = nil, nil, nil, nil
	s.ofrm = packet.Frame{}
	s.current, s.lost, s.leases = origin{}, Lost{}, Leases{}
	s.met.Key = nil
	clear(s.chains)
}

// walk runs a copy, and those that are made of it, until none is left on its way. It changes h.
func (s *Simulator) walk(h *hop) {
	for {
		s.again = false
		s.enter(h)
		if s.again {
			continue
		}
		if len(s.work) == 0 {
			return
		}
		*h = s.work[len(s.work)-1]
		s.work = s.work[:len(s.work)-1]
	}
}

// enter: a device receives the copy by port h.port.
func (s *Simulator) enter(h *hop) {
	p := s.vport(h.port)
	s.visits++
	h.devices++
	switch {
	case p == nil || p.Device == 0:
		s.drop(h, DropUnlinked, false)
	case p.AdminDown:
		s.drop(h, DropPortDown, false)
	case h.devices > MaxDevices || s.visits > maxVisits:
		s.drop(h, DropTooFar, false)
	case p.Kind == topology.DeviceBridge:
		s.bridge(s.snap.Bridge(p.Device), p, h)
	default:
		s.router(s.snap.Router(p.Device), p, h)
	}
}

// send: a device emits the copy through a port; nil: there is none. It is the last that a device does with it.
func (s *Simulator) send(h *hop, p *topology.VPort) {
	switch {
	case p == nil:
		s.drop(h, DropUnlinked, false)
	case p.AdminDown:
		s.drop(h, DropPortDown, false)
	case p.Exterior && s.origin == nil && s.lost.Dest == p.ID.Dest():
		s.unreachable(h, p)
	case p.NotFrom != 0 && p.NotFrom == s.ingress:
		s.drop(h, DropNested, false)
	case p.Exterior:
		s.deliver(h, p.ID.Dest())
	case p.Peer == 0:
		s.drop(h, DropUnlinked, false)
	case s.snap.Missing(p) != 0:
		s.load(h, s.snap.Missing(p))
	default:
		h.port = p.Peer
		s.again = true
		s.cross(p.Peer, h)
	}
}

// cross notes that a copy comes into a device by an interior port. What the network sends of itself is neither counted nor limited.
func (s *Simulator) cross(port flow.VPortID, h *hop) {
	if s.origin != nil {
		return
	}
	s.res.Crossed = append(s.res.Crossed, port)
	rate := s.snap.LinkRate(port)
	if rate == 0 {
		return
	}
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "over a link of "+rate.String()+"bit/s")
	}
	if h.links.Add(port) {
		return
	}
	loosest := port
	for _, p := range h.links {
		if s.snap.LinkRate(p) > s.snap.LinkRate(loosest) {
			loosest = p
		}
	}
	if loosest != port {
		h.links.Remove(loosest)
		h.links.Add(port)
	}
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "passes more than "+strconv.Itoa(flow.MaxLinks)+" links with a rate: takes nothing from the one of "+s.snap.LinkRate(loosest).String()+"bit/s")
	}
}

func (s *Simulator) rewrite(h *hop) (r flow.Rewrite) {
	s.setRewrite(h, &r)
	return r
}

// setRewrite sets what is not zero of a rewrite.
func (s *Simulator) setRewrite(h *hop, r *flow.Rewrite) {
	r.TTLDec = h.ttlDec
	if h.rewritten {
		r.SetMACs, r.SrcMAC, r.DstMAC = true, h.src, h.dst
	}
	if h.tuple != 0 {
		k := s.header(h)
		r.Translate, r.Src, r.Dst, r.SrcPort, r.DstPort = true, k.Src, k.Dst, k.SrcPort, k.DstPort
	}
}

// deliver ends the copy's walk at an exterior vport or group.
func (s *Simulator) deliver(h *hop, d flow.Dest) {
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "→ leaves at "+s.destName(d)+asWhat(s.rewrite(h)))
	}
	if s.origin == nil {
		if s.conns.related && h.tuple != 0 {
			s.res.Track.Quoted, s.res.Track.Quote = true, s.tuple(h).Reverse()
		}
		s.res.Outcomes = append(s.res.Outcomes, Outcome{})
		o := &s.res.Outcomes[len(s.res.Outcomes)-1]
		o.Verdict, o.Dest, o.Fragment, o.Links = Forward, d, h.fragment, h.links
		s.setRewrite(h, &o.Rewrite)
		return
	}
	if len(s.res.Originated) == maxOriginated {
		return
	}
	frame := s.origin.frame
	if r := s.rewrite(h); !r.IsZero() {
		n := len(s.res.arena)
		s.res.arena = append(s.res.arena, frame...)
		frame = s.res.arena[n:len(s.res.arena):len(s.res.arena)]
		r.Apply(frame, s.f)
	}
	s.res.Originated = append(s.res.Originated, Originated{Frame: frame, Dest: d, From: s.origin.out, Kind: s.origin.kind})
}

// deviceOf returns the device of a vport or group.
func (s *Simulator) deviceOf(d flow.Dest) topology.DeviceID {
	if p := s.snap.VPort(d.VPort()); p != nil {
		return p.Device
	}
	return topology.DeviceID(d)
}

func (s *Simulator) drop(h *hop, why DropReason, reject bool) {
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "✗ drop: "+why.String())
	}
	if s.origin == nil {
		s.res.Outcomes = append(s.res.Outcomes, Outcome{Verdict: Drop, Drop: why, Reject: reject})
	}
}

// load ends the copy's walk at a device that is not loaded: what it would do is not known.
func (s *Simulator) load(h *hop, device topology.DeviceID) {
	s.effect(Effect{Kind: Load, Device: device})
	s.res.Installable, s.res.NotInstallable = false, "device not loaded yet"
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "… waits for device "+strconv.FormatUint(uint64(device), 10)+" to be loaded")
	}
	if s.origin == nil {
		s.res.Outcomes = append(s.res.Outcomes, Outcome{Verdict: Incomplete})
	}
}

// consume ends the copy's walk at a device that took it in.
func (s *Simulator) consume(h *hop, what string) {
	s.notInstallable(what)
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "• "+what)
	}
	if s.origin == nil {
		s.res.Outcomes = append(s.res.Outcomes, Outcome{Verdict: Consumed})
	}
}

// notInstallable notes the first reason why the result holds for this packet alone.
func (s *Simulator) notInstallable(why string) {
	if s.origin == nil && s.res.NotInstallable == "" {
		s.res.NotInstallable = why
	}
}

// finish settles the outcomes of the packet itself. A copy that was dropped while others go on is no outcome.
func (s *Simulator) finish() {
	r := s.res
	if s.dstRead > 0 {
		r.Mask.Dst = flow.AddrMask(int(s.dstRead), s.key.EtherType)
	}
	if s.srcRead > 0 {
		r.Mask.Src = flow.AddrMask(int(s.srcRead), s.key.EtherType)
	}
	forwards, others, drops := 0, 0, 0
	for i := range r.Outcomes {
		switch r.Outcomes[i].Verdict {
		case Forward:
			forwards++
		case Drop:
			drops++
		default:
			others++
		}
	}
	if drops > 0 && len(r.Outcomes) > 1 {
		keep := r.Outcomes[:0]
		for i, o := range r.Outcomes {
			if o.Verdict != Drop || forwards+others == 0 && i == 0 {
				keep = append(keep, o)
			}
		}
		r.Outcomes = keep
	}
	if forwards > 1 || forwards == 1 && others > 0 {
		s.notInstallable("several different copies")
	}
	if forwards == 1 && r.Outcomes[0].Rewrite.TTLDec > flow.MaxTTLDec {
		s.notInstallable("passes too many routers")
	}
	r.Installable = r.NotInstallable == ""
	if r.Trace != nil {
		r.Trace.finish(s)
	}
}

// originate queues a packet that port out emits. frame was appended to the arena.
func (s *Simulator) originate(frame []byte, out flow.VPortID, kind OriginKind) {
	depth := uint8(1)
	if s.origin != nil {
		depth = s.origin.depth + 1
	}
	if depth > maxDepth || len(s.pending) == maxOriginated {
		return
	}
	s.pending = append(s.pending, origin{frame: frame, out: out, kind: kind, depth: depth})
}

// built takes the bytes that were appended to the arena since it had n.
func (s *Simulator) built(arena []byte, n int) []byte {
	s.res.arena = arena
	return arena[n:len(arena):len(arena)]
}

func (s *Simulator) simulateOriginated() {
	s.conns.begin() // what devices say is of no connection
	for i := 0; i < len(s.pending); i++ {
		s.current = s.pending[i]
		s.origin = &s.current
		if packet.Parse(s.current.frame, &s.ofrm) != nil {
			continue
		}
		s.f = &s.ofrm
		s.key = flow.KeyOf(s.f, 0)
		h := hop{src: s.key.SrcMAC, dst: s.key.DstMAC, port: s.current.out}
		if s.res.Trace != nil {
			s.res.Trace.originated(s, &h)
		}
		s.again = false
		if s.send(&h, s.vport(s.current.out)); s.again {
			s.walk(&h)
		}
	}
}
