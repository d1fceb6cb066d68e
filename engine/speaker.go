package engine

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// Speaker speaks routing protocols for router ports that live at an edge (G1). Its packets go past what decides about others, by entries of their own.
type Speaker interface {
	// Speak has the sessions of these ports, in the order of ids, carried out and no others, as long as ctx does not end; what they learnt then stays, as another agent may go on with them. ctx
	// has the fence of what is written (state.WithFence). One goroutine calls it, each time that the list is another; it must not wait.
	Speak(ctx context.Context, ports []SpeakingPort)
	// Receive takes an IP packet that came for an own address of one of the ports. It neither keeps the packet nor waits. One goroutine calls it.
	Receive(flow.VPortID, []byte)
}

// SpeakingPort is a port with sessions. Read-only.
type SpeakingPort struct {
	Port     *topology.VPort
	Sessions []*topology.BGPSession
	Own      *topology.Own // what the router has to tell of; nil if no session redistributes, and nothing that is told depends on a route
	Unable   string        // why the edge can not forward what it would attract; empty: it can
	Forwards bool          // the target has forwarded since before this agent began
}

// redistributes reports whether a session tells by itself what the router has.
func (p *SpeakingPort) redistributes() bool {
	return slices.ContainsFunc(p.Sessions, func(b *topology.BGPSession) bool { return len(b.Redistribute) > 0 })
}

// conditional reports whether what a session tells depends on a route of the router.
func (p *SpeakingPort) conditional() (is bool) {
	for _, b := range p.Sessions {
		b.Conditional(func(netip.Prefix) { is = true })
	}
	return is
}

// speaking is what the edge's speaker is to do, followed by the agent's goroutine, and read by who takes packet-ins.
type speaking struct {
	c     *core
	ports map[flow.VPortID]SpeakingPort
	own   map[topology.DeviceID]*topology.Own // of routers with sessions that redistribute, as the speaker knows it
	pools map[topology.DeviceID]struct{}      // that own asks for, and that are kept loaded
	cut   bool                                // no gateway of the underlay answers
	said  string                              // of unable, as the speaker knows it
	dirty bool                                // the speaker does not know yet
	met   bool                                // the target is: the speaker is told nothing before, as nothing would come through
	keeps bool                                // the target holds what an agent before this one put there
	has   map[condition]bool                  // routes that something that is told depends on, as the speaker knows it
	told  atomic.Pointer[map[flow.VPortID]*topology.VPort]
	frame packet.Frame // take's: of the goroutine that takes packet-ins
	ways  spokenWays
}

func newSpeaking(c *core) *speaking {
	return &speaking{c: c, ports: map[flow.VPortID]SpeakingPort{}, pools: map[topology.DeviceID]struct{}{}}
}

// changed: a port, its sessions or where it lives may be others now. It reports whether other packets of it are the speaker's.
func (s *speaking) changed(id flow.VPortID) bool {
	c := s.c
	if c.a.cfg.Speaker == nil {
		return false
	}
	before, had := s.ports[id]
	now := SpeakingPort{Port: c.snap.VPort(id), Sessions: c.snap.BGPSessions(id)}
	has := now.Port != nil && len(now.Sessions) > 0 && c.hosts(id) && c.plugged(id)
	watched := c.view.speaks[id]
	if !has {
		delete(s.ports, id)
		delete(c.view.speaks, id)
		s.ways.forget(id)
	} else {
		s.ports[id] = now
		c.view.speaks[id] = now.watched()
	}
	s.dirty = s.dirty || has != had || has && (before.Port != now.Port || !slices.Equal(before.Sessions, now.Sessions) || now.redistributes())
	return has != had || !slices.Equal(watched, c.view.speaks[id])
}

// watched are the kinds of BFD that watch the port's sessions, each once, in order.
func (p *SpeakingPort) watched() (kinds []offload.BFDKind) {
	for _, s := range p.Sessions {
		if k := (offload.BFDKind{V6: s.PeerAddress.Is6(), Multihop: s.BFDMultihop(p.Port)}); s.BFD.On() && !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	slices.SortFunc(kinds, offload.BFDKind.Compare)
	return kinds
}

// poolChanged: a pool, or what its monitor says, may be otherwise.
func (s *speaking) poolChanged(id topology.DeviceID) {
	if _, asked := s.pools[id]; asked {
		s.dirty = true
	}
}

// cutOff is told whether no gateway of the underlay answers.
func (s *speaking) cutOff(cut bool) {
	if s.cut = cut; s.c.ctx != nil {
		s.tell()
	}
}

// unable says why the edge can not forward to others, if there are any: what it is told to attract would be lost.
func (s *speaking) unable() string {
	switch {
	case len(s.c.view.edges) == 0:
	case s.cut:
		return "no gateway of the edge's uplinks answers"
	case len(s.c.view.links) > 0 && !slices.ContainsFunc(s.c.view.links, func(u Uplink) bool { return !s.c.isDown(u.Port) }):
		return "all uplinks of the edge are down"
	}
	return ""
}

// meet is told that the target holds all that it is to hold; keeps: and did so, but for what changed meanwhile, when it was met.
func (s *speaking) meet(keeps bool) {
	s.met, s.keeps = true, keeps
	s.tell()
}

// tell has the speaker know.
func (s *speaking) tell() {
	if !s.met {
		return
	}
	unable, has := s.unable(), s.conditions()
	if !maps.Equal(has, s.has) {
		s.dirty, s.has = true, has
	}
	if !s.dirty && (unable == s.said || len(s.ports) == 0) {
		return
	}
	s.dirty, s.said = false, unable
	list, own := make([]SpeakingPort, 0, len(s.ports)), make(map[flow.VPortID]*topology.VPort, len(s.ports))
	routers, pools := map[topology.DeviceID]*topology.Own{}, map[topology.DeviceID]struct{}{}
	for _, id := range slices.Sorted(maps.Keys(s.ports)) {
		p := s.ports[id]
		if router := p.Port.Device; p.redistributes() || p.conditional() {
			if _, is := routers[router]; !is {
				routers[router] = s.c.snap.Own(router, s.own[router])
			}
			if p.Own = routers[router]; p.Own != nil {
				for _, pool := range p.Own.Pools {
					pools[pool] = struct{}{}
				}
			}
		}
		p.Unable, p.Forwards = unable, s.keeps
		list = append(list, p)
		own[id] = p.Port
	}
	s.own = routers
	s.keep(pools)
	s.told.Store(&own)
	s.c.a.cfg.Speaker.Speak(s.c.ctx, list)
}

// condition is a prefix that a router is to have a route to. Comparable.
type condition struct {
	router topology.DeviceID
	prefix netip.Prefix
}

// conditions are the routes that something that sessions tell depends on: whether they are there. Nil if there are none.
func (s *speaking) conditions() (has map[condition]bool) {
	for _, p := range s.ports {
		r := s.c.snap.Router(p.Port.Device)
		for _, b := range p.Sessions {
			b.Conditional(func(prefix netip.Prefix) {
				if has == nil {
					has = map[condition]bool{}
				}
				has[condition{p.Port.Device, prefix}] = r != nil && r.Routes.Whole().Reaches(prefix)
			})
		}
	}
	return has
}

// keep has the pools loaded that the health of addresses asks for, and no others.
func (s *speaking) keep(pools map[topology.DeviceID]struct{}) {
	for id := range pools {
		if _, had := s.pools[id]; !had {
			s.c.devices.keep(id)
		}
	}
	for id := range s.pools {
		if _, has := pools[id]; !has {
			s.c.devices.drop(id)
		}
	}
	s.pools = pools
}

// port returns the port with sessions that has a local number, nil if that is another's.
func (s *speaking) port(local uint16) *topology.VPort {
	told := s.told.Load()
	if told == nil {
		return nil
	}
	return (*told)[s.c.a.here.get(local).vport()]
}

// take hands a packet-in to the speaker. It reports whether nobody else is to have it: errors are for the engine, too, and neighbour discovery is not for the speaker (answer.go).
func (s *speaking) take(local uint16, reason flow.Reason, data []byte) bool {
	if reason != flow.ReasonService && reason != flow.ReasonICMPError {
		return false
	}
	p, f := s.port(local), &s.frame
	if p == nil || packet.Parse(data, f) != nil || f.L3 == 0 || f.IsND() || !p.HasAddr(f.DstAddr()) {
		return false
	}
	s.c.a.cfg.Speaker.Receive(p.ID, f.Data[f.L3:])
	if reason != flow.ReasonService {
		return false
	}
	s.c.a.counts.spoken.Add(1)
	return true
}

// Speak sends an IP packet from an own address of a router port that lives here, out of that port if its destination is on the link, else as the router's routes say. It neither keeps the packet nor
// waits; while the neighbour's MAC is not known, it is asked for, and the packet is lost.
func (a *Agent) Speak(port flow.VPortID, ip []byte) {
	frame := spokenFrame(ip)
	dest, hash, went := a.core.speaking.ways.find(port, frame)
	if went {
		a.sendDest(frame, dest, 0, hash, 0)
	}
	a.mail.post(func() { a.core.speaking.send(port, frame, went) })
}

// send is Speak in the agent's goroutine. A packet that went already is only accounted for, and its way looked at again.
func (s *speaking) send(port flow.VPortID, frame []byte, went bool) {
	c := s.c
	if _, speaks := s.ports[port]; !speaks || len(frame) == packet.EthernetLen {
		return
	}
	c.sim.Speak(c.snap, port, frame, &c.asks)
	if d := missing(c.asks.Effects); d != 0 {
		c.touch(d) // the stack sends it again
		return
	}
	s.ways.learn(port, frame, &c.asks)
	c.carryOut(c.asks.Effects, 0)
	if !went {
		c.originate(&c.asks, 0)
		return
	}
	for i := range c.asks.Originated {
		if o := &c.asks.Originated[i]; o.Kind == sim.OriginSpeaker {
			c.usage.delivered(o.Dest, 0, amount{Packets: 1, Bytes: uint64(len(o.Frame))})
		} else {
			c.sendOriginated(c.asks.Originated[i:i+1], 0)
		}
	}
}
