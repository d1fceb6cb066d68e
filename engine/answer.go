package engine

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// answering has who asks router ports with sessions by ARP or ND for an own address of theirs, or pings it, answered as the packet comes (G1): first packets of flows, and whatever the agent's goroutine is busy with, do not
// delay what a neighbour may take the session's end from. What is answered is the simulation's word, as at any other port, so chains and all else hold; the agent's goroutine is given a copy, to hear what is to be learnt
// from it. What takes more than a snapshot to decide (a device that is not loaded, a connection) is not answered here. The goroutine that takes packet-ins owns it.
type answering struct {
	speaking *speaking
	worker   *worker
	frame    packet.Frame
	buf      []byte
	result   sim.Result
}

func newAnswering(a *Agent, s *speaking) *answering {
	return &answering{speaking: s, worker: newWorker(a)}
}

// answer answers a packet-in if it is such a question. It reports whether it did.
func (x *answering) answer(in *earlyPacket) bool {
	switch in.reason {
	case flow.ReasonService, flow.ReasonMissSource, flow.ReasonMissScope, flow.ReasonMissFlow: // a ping meets no entry
	default:
		return false
	}
	a, f := x.worker.a, &x.frame
	p, snap := x.speaking.port(in.vport), a.snap.Load()
	if p == nil || snap == nil {
		return false
	}
	whole := packetIn{vport: in.vport, from: a.here.get(in.vport), data: in.data}
	if whole.from.vport() != p.ID || whole.parse(f) != nil || !asks(p, f) {
		return false
	}
	x.buf = append(x.buf[:0], f.Data...)
	f.Data = x.buf
	f.Untag()
	if !x.worker.consumes(snap, f, p.ID, &x.result) || len(x.result.Originated) == 0 {
		return false
	}
	a.counts.answered.Add(1)
	for i := range x.result.Originated {
		o := &x.result.Originated[i]
		if packet.ParseUntagged(o.Frame, f) == nil {
			a.sendDest(o.Frame, o.Dest, 0, flow.Hash(f), 0)
		}
	}
	return true
}

// asks reports whether a frame asks for an own address of a port, or pings it.
func asks(p *topology.VPort, f *packet.Frame) bool {
	switch {
	case f.IsARP():
		q, err := f.ARP()
		return err == nil && q.Op == packet.ARPRequest && p.HasAddr(q.TargetIP)
	case f.IsND():
		q, err := f.ND()
		return err == nil && q.Type == packet.ICMPv6NeighSol && p.HasAddr(q.Target)
	}
	return f.IsEchoRequest() && p.HasAddr(f.DstAddr())
}

// consumes simulates a packet, and reports whether a device takes it in, by the snapshot alone.
func (w *worker) consumes(snap *topology.Snapshot, f *packet.Frame, ingress flow.VPortID, res *sim.Result) bool {
	w.asked, w.pooled = false, false
	w.sim.Simulate(snap, f, ingress, w.a.core.now(), res)
	return !w.asked && !w.pooled && missing(res.Effects) == 0 && len(res.Outcomes) == 1 && res.Outcomes[0].Verdict == sim.Consumed
}

// overhear takes the copy of a packet that was answered, and counted, as it came: what is learnt from it, and its account.
func (c *core) overhear(p *packetIn, x *ahead, snap *topology.Snapshot) {
	ingress, f := p.from.vport(), &x.frame
	if x.malformed || !c.numbered || ingress == 0 || ingress != c.locals.ingress(p.vport) {
		return
	}
	defer c.turned(c.turn(p.life, false, f, ingress))
	res := x.result
	if res == nil || snap != c.snap {
		f.Untag()
		c.sim.Simulate(c.snap, f, ingress, c.now(), &c.res)
		res = &c.res
	}
	if missing(res.Effects) != 0 {
		return
	}
	c.logRules(res, f, ingress)
	c.carryOut(res.Effects, ingress)
	c.tracing.saw(res, f, ingress, p.reason)
	c.slow(res, ingress, len(f.Data))
	for i := range res.Originated {
		c.usage.delivered(res.Originated[i].Dest, 0, amount{Packets: 1, Bytes: uint64(len(res.Originated[i].Frame))})
	}
}
