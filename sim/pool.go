package sim

import (
	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Balance is what an edge knows of pools that a snapshot does not tell (N4): a choice that does not follow from the packet comes in as data.
type Balance interface {
	// Turn returns how many connections of a family the edge has given to members of a pool.
	Turn(pool topology.DeviceID, v6 bool) uint32
	// Load returns how many connections that the edge knows of a member has.
	Load(pool topology.DeviceID, m topology.MemberKey) uint32
	// Last returns the member that a client's last connection went to; stuck is false if none is remembered. known is false if that is not known: then it
	// is to be looked for, and the packet simulated again.
	Last(c topology.PoolClient) (m topology.MemberKey, stuck, known bool)
}

// stickyTries is how often a connection that could not be stored is given to the client's member all the same: another edge may just have chosen that.
const stickyTries = 4

// balance gives the first packet of a connection a member of the rule's pool. False: it gets none. Then the walk is over, or the pool has none of the
// packet's family and the rule does nothing.
func (s *Simulator) balance(rule *topology.ChainRule, in *topology.VPort, h *hop) (step conntrack.Step, ok, goesOn bool) {
	s.dep(topology.DeviceDep(rule.Pool))
	p := s.snap.Pool(rule.Pool)
	if p == nil {
		s.load(h, rule.Pool)
		return step, false, false
	}
	t := s.tuple(h)
	own, open := 0, 0
	for i := range p.Members {
		if m := &p.Members[i]; m.V6 == t.V6 {
			own++
			if m.Open() {
				open++
			}
		}
	}
	switch {
	case own == 0 && len(p.Members) > 0:
		return step, false, true
	case open == 0:
		if s.res.Trace != nil {
			s.res.Trace.add(s, h, "pool "+p.Tenant+"/"+p.Name+": no member is up")
		}
		s.refuse(in, h, packet.HostUnreachable)
		s.drop(h, DropNoMember, true)
		return step, false, false
	}
	m, known := s.stuck(p, t, h)
	if !known {
		return step, false, false
	}
	if m == nil {
		m = s.member(p, t)
	}
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "pool "+p.Tenant+"/"+p.Name+": member "+m.String())
	}
	step = conntrack.Step{Addr: m.Addr, Port: t.DstPort, Pool: uint32(p.ID)}
	if m.Port != 0 && t.HasPort(true) {
		step.Port = m.Port
	}
	return step, true, true
}

// orphaned reports whether a connection goes to a member that is down: its next packet begins another. There is no dependency on that: who keeps flows ends
// such connections when a member goes down.
func (s *Simulator) orphaned(c *conntrack.Conn) bool {
	for i := range c.Steps() {
		step := &c.Steps()[i]
		if step.Pool == 0 {
			continue
		}
		if p := s.snap.Pool(topology.DeviceID(step.Pool)); p != nil {
			if m := p.Member(step.Addr, step.Port, c.Forward.V6); m != nil && m.Down {
				return true
			}
		}
	}
	return false
}

// stuck returns the member that the client of a sticky pool had last, nil if there is none, or if it gets no connections any more. known is false if that is
// not known: the walk is over.
func (s *Simulator) stuck(p *topology.Pool, t *conntrack.Tuple, h *hop) (m *topology.Member, known bool) {
	r := &s.res.Track
	if p.Sticky == 0 || r.Client != (topology.PoolClient{}) && r.Client.Pool != p.ID {
		return nil, true // the second sticky pool on one way has no memory
	}
	r.Client = topology.PoolClient{Pool: p.ID, Addr: t.Src, V6: t.V6}
	if s.Balance == nil {
		return nil, true
	}
	last, stuck, known := s.Balance.Last(r.Client)
	if !known {
		r.Ask = true
		s.wait(h, "… waits to hear which member of pool "+p.Tenant+"/"+p.Name+" the client had")
		return nil, false
	}
	for i := range p.Members {
		if m := &p.Members[i]; stuck && m.MemberKey == last && m.Open() && s.Attempt < stickyTries {
			return m, true
		}
	}
	return nil, true
}

// member chooses among the open members of the packet's family, of which there is one at least. By hash it is weighted rendezvous, as in spread.go: a member that goes
// loses its own connections, and no other connection goes elsewhere.
func (s *Simulator) member(p *topology.Pool, t *conntrack.Tuple) *topology.Member {
	attempt := uint64(s.Attempt)
	if p.Sticky != 0 {
		attempt -= min(attempt, stickyTries-1)
	}
	hash := clientHash(t)
	switch p.Method {
	case topology.MethodTurn:
		if s.Balance != nil {
			return turn(p, t.V6, uint64(s.Balance.Turn(p.ID, t.V6))+attempt)
		}
	case topology.MethodSource:
	default:
		hi, lo := t.Dst.Halves()
		hash = mix(mix(hash^hi, lo), uint64(t.SrcPort)<<32|uint64(t.DstPort)<<8|uint64(t.Proto))
	}
	if attempt > 0 {
		hash = mix(hash, attempt)
	}
	least := p.Method == topology.MethodLeast && s.Balance != nil
	var best *topology.Member
	var bestNumber, bestLoad uint64
	for i := range p.Members {
		m := &p.Members[i]
		if m.V6 != t.V6 || !m.Open() {
			continue
		}
		hi, lo := m.Addr.Halves()
		number := mix(hash^mix(hi^mix2, lo), uint64(m.Port)^mix3)
		load := uint64(0)
		if least {
			load = uint64(s.Balance.Load(p.ID, m.MemberKey)) + 1 + attempt*uint64(i)
		}
		if best != nil {
			a, b := load*uint64(best.Weight), bestLoad*uint64(m.Weight)
			if a > b || a == b && !wins(number, m.Weight, bestNumber, best.Weight) {
				continue
			}
		}
		best, bestNumber, bestLoad = m, number, load
	}
	return best
}

// wins reports whether number a wins against number b, by weight: the lesser logarithm for its weight does, as in spread.go, and of two that are the same the
// number itself decides. So, of equal weights, the greater number wins, and no logarithm is needed.
func wins(a uint64, weightA uint8, b uint64, weightB uint8) bool {
	if weightA == weightB {
		return a > b
	}
	x, y := minusLog2(a)*uint64(weightB), minusLog2(b)*uint64(weightA)
	return x < y || x == y && a > b
}

func clientHash(t *conntrack.Tuple) uint64 {
	hi, lo := t.Src.Halves()
	return mix(hi, lo)
}

// turn returns the nth open member of a family in turn: of as many turns as their weights together, each has as many as its weight, spread over them.
func turn(p *topology.Pool, v6 bool, n uint64) *topology.Member {
	total := uint64(0)
	for i := range p.Members {
		if m := &p.Members[i]; m.V6 == v6 && m.Open() {
			total += uint64(m.Weight)
		}
	}
	x := n % total * stride(total) % total
	for i := range p.Members {
		m := &p.Members[i]
		switch {
		case m.V6 != v6 || !m.Open():
		case x < uint64(m.Weight):
			return m
		default:
			x -= uint64(m.Weight)
		}
	}
	return nil
}

// stride is a step that meets each of n places once, and the next ones far from the last ones: the golden ratio of n, or the next one that has no factor in
// common with it.
func stride(n uint64) uint64 {
	const golden = 0x9e3779b9 // 2³² over the golden ratio
	for s := max(1, n*golden>>32); ; s++ {
		a, b := s, n
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return s
		}
	}
}
