package offload_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/testbed/randnet"
	"github.com/weft-sdn/weft/topology"
)

// walks sends random frames through random networks twice: the first of a megaflow is decided by simulation, the next is handled by entries.
type walks struct {
	t   *testing.T
	n   int
	e   *edge
	sim sim.Simulator
	res sim.Result
	tally
}

// tally counts how packets were handled.
type tally struct {
	forwarded, local, tunnelled, copied, routed, dropped, rejected, v6 int
	again                                                              int // by the entry of an earlier megaflow
	guarded                                                            int // punted by a guard
	unfit                                                              int // of these, for a bad header or a martian source
	lengths                                                            int // dropped for the length of their frames
	slow                                                               int // never installed
	class, exact, wild, wildL2                                         int // entries, by lane
	shared                                                             int // handled by the entry of another station
}

const packetInLen = 14

// TestWalkEqualsPipeline: for random topologies, what the entries of a decision make of a frame is byte for byte what the software path makes of it: rewrite,
// encapsulation, VLAN tag, port, and copies. The software path is computed by itself here, and by packet-out as the engine sends it.
func TestWalkEqualsPipeline(t *testing.T) {
	r := random{rand.New(rand.NewPCG(8, 9))}
	tables := newTables(t)
	x := &walks{t: t}
	n := cases(t, 20_000)
	const perWorld = 100
	for x.n = 0; x.n < n; x.n++ {
		if x.n%perWorld == 0 {
			w := randnet.New(r.Uint64())
			if x.n/perWorld%8 == 3 {
				w.Stations()
			}
			x.e = newEdge(t, r, w, tables)
		}
		x.packet()
	}
	t.Logf("%d packets: %+v", n, x.tally)
	for name, count := range map[string]int{
		"local": x.local * 20, "tunnelled": x.tunnelled * 60, "copied": x.copied * 20, "routed": x.routed * 20, "IPv6": x.v6 * 40, "dropped": x.dropped * 10,
		"rejected": x.rejected * 50, "by an earlier entry": x.again * 50, "guarded": x.guarded * 1000, "unfit": x.unfit * 2000, "of a wrong length": x.lengths * 2000,
		"of other stations": x.shared * 20, "in lane class": x.class * 20, "in lane wild": x.wild * 20, "in lane exact": x.exact * 400,
	} {
		if count < n {
			t.Errorf("too few packets were %s: %+v", name, x.tally)
		}
	}
}

// packet sends one frame.
func (x *walks) packet() {
	s := x.e.w.Shot()
	for x.e.local[s.Key.Ingress] == 0 {
		s = x.e.w.Shot()
	}
	switch x.e.r.IntN(8) { // near where guards punt
	case 0:
		s.TTL = uint8(1 + x.e.r.IntN(4))
	case 1:
		s.Flaw = randnet.Flaw(1 + x.e.r.IntN(4))
	}
	frame := s.Frame(nil)
	var f packet.Frame
	if err := packet.Parse(frame, &f); err != nil {
		x.t.Fatalf("packet %d: %v: %x", x.n, err, frame)
	}
	in, local := x.e.at[s.Key.Ingress], x.e.local[s.Key.Ingress]
	onWire := tag(frame, in.VLAN)
	first := x.e.send(in.Port, onWire)
	x.sim.Simulate(x.e.w.Snap, &f, s.Key.Ingress, 0, &x.res)
	switch reason := punted(first, onWire); reason {
	case flow.ReasonMissSource, flow.ReasonMissScope, flow.ReasonMissFlow:
		if lane := x.install(&f, s.Key.Ingress, local); lane == 0 {
			x.slow++
			return
		}
		x.check(x.e.send(in.Port, onWire), onWire, &f, s.Key.Ingress)
		x.others(s)
	case flow.ReasonReject:
		x.again++
		if x.res.Installable && !x.res.Outcomes[0].Reject {
			x.fatal("punted to reject", &f, nil, first)
		}
	case flow.ReasonTTL, flow.ReasonLength, flow.ReasonHeader, flow.ReasonMartian:
		x.guarded++
		x.unfit += min(1, int(reason/flow.ReasonHeader))
		if x.res.Installable && x.res.Guards.Check(&f) == flow.ReasonNone {
			x.fatal("punted for "+reason.String()+", but nothing is wrong with it", &f, nil, first)
		}
	default:
		x.again++
		x.check(first, onWire, &f, s.Key.Ingress)
	}
}

// others sends the same from the other stations behind the vport, as if they had flows of their own there: an entry that handles it has to do what is decided of them, too.
func (x *walks) others(s randnet.Shot) {
	in, local := x.e.at[s.Key.Ingress], x.e.local[s.Key.Ingress]
	if x.e.w.Snap.VPort(s.Key.Ingress).Kind == topology.DeviceRouter { // any source will do
		return
	}
	for _, m := range x.e.w.KnownSources(s.Key.Ingress) {
		if m == s.Key.SrcMAC {
			continue
		}
		s.Key.SrcMAC = m
		var f packet.Frame
		if err := packet.Parse(s.Frame(nil), &f); err != nil {
			x.t.Fatal(err)
		}
		onWire, known := tag(f.Data, in.VLAN), x.e.tables.KnownSource(local, m)
		got := x.e.send(in.Port, onWire)
		if punted(got, onWire) == flow.ReasonMissSource {
			x.e.apply(inserts(known))
			got = x.e.send(in.Port, onWire)
			x.e.apply([]p4rt.Update{{Op: p4rt.Delete, Entity: known}})
		}
		switch punted(got, onWire) {
		case flow.ReasonMissScope, flow.ReasonMissFlow, flow.ReasonTTL, flow.ReasonLength, flow.ReasonHeader, flow.ReasonMartian:
			continue
		}
		x.shared++
		x.sim.Simulate(x.e.w.Snap, &f, s.Key.Ingress, 0, &x.res)
		if x.res.Outcomes[0].Drop != sim.DropLand && x.res.Outcomes[0].Reject != (punted(got, onWire) == flow.ReasonReject) {
			x.fatal("another station's reject", &f, nil, got)
		}
		x.check(got, onWire, &f, s.Key.Ingress)
	}
}

// punted returns why a frame came out at the CPU port, unchanged.
func punted(out []sent, frame []byte) flow.Reason {
	if len(out) != 1 || out[0].port != offload.CPUPort || !bytes.Equal(out[0].frame[packetInLen:], frame) {
		return flow.ReasonNone
	}
	return flow.Reason(out[0].frame[4])
}

// install places the decision as the engine does. It returns 0 if it stays on the slow path.
func (x *walks) install(f *packet.Frame, ingress flow.VPortID, local uint16) offload.Lane {
	teaches := slices.ContainsFunc(x.res.Effects, func(e sim.Effect) bool { return e.Kind == sim.Learn })
	if !x.res.Installable || teaches { // a source is learnt first, and then it is another decision
		return 0
	}
	m := offload.Megaflow{Key: flow.KeyOf(f, ingress), Mask: x.res.Mask, Guards: x.res.Guards, Prio: int32(1 + x.n)}
	switch o := x.res.Outcomes[0]; {
	case o.Verdict == sim.Forward:
		m.Act, m.Dest, m.Rewrite = offload.Forward, o.Dest, o.Rewrite
	case o.Reject:
		m.Act = offload.Punt
	}
	placed, stages, err := x.e.placer.Place(m, local)
	if errors.Is(err, offload.ErrNotCovered) || errors.Is(err, offload.ErrOccupied) {
		return 0
	}
	if err != nil {
		x.t.Fatalf("packet %d: %v", x.n, err)
	}
	x.e.apply(stages...)
	*map[offload.Lane]*int{offload.LaneClass: &x.class, offload.LaneExact: &x.exact, offload.LaneWild: &x.wild, offload.LaneWildL2: &x.wildL2}[placed.Lane]++
	return placed.Lane
}

// check compares what the entries made of a frame with the software path.
func (x *walks) check(got []sent, onWire []byte, f *packet.Frame, ingress flow.VPortID) {
	if x.res.Outcomes[0].Drop == sim.DropLand {
		if len(got) != 0 {
			x.fatal("source is destination, but it goes on", f, nil, got)
		}
		return
	}
	if x.res.Outcomes[0].Drop == sim.DropFrameLength {
		x.lengths++
		if len(got) != 0 {
			x.fatal("a frame of a wrong length goes on", f, nil, got)
		}
		return
	}
	if !x.res.Installable {
		x.fatal("an entry handled what is not installable", f, nil, got)
	}
	if x.res.Outcomes[0].Reject {
		x.rejected++
		if punted(got, onWire) != flow.ReasonReject {
			x.fatal("want a punt to reject", f, nil, got)
		}
		return
	}
	hash := flow.Hash(f)
	var want, byCPU []sent
	for _, o := range x.res.Outcomes {
		if o.Verdict != sim.Forward {
			continue
		}
		frame := bytes.Clone(f.Data)
		o.Rewrite.Apply(frame, f)
		want = append(want, x.e.deliver(frame, o.Dest, ingress, hash)...)
		header := []byte{1, 0, 0, 0}
		header = binary.BigEndian.AppendUint16(header, x.e.local[ingress])
		header = binary.BigEndian.AppendUint16(header, hash)
		header = binary.BigEndian.AppendUint32(header, uint32(o.Dest))
		byCPU = append(byCPU, x.e.send(offload.CPUPort, append(header, frame...))...)
		x.count(&o, f)
	}
	if x.res.Outcomes[0].Verdict == sim.Drop {
		x.dropped++
	}
	for _, l := range [][]sent{want, got, byCPU} {
		slices.SortFunc(l, func(a, b sent) int { return cmp.Or(cmp.Compare(a.port, b.port), bytes.Compare(a.frame, b.frame)) })
	}
	same := func(a, b sent) bool { return a.port == b.port && bytes.Equal(a.frame, b.frame) }
	if !slices.EqualFunc(want, got, same) {
		x.fatal("pipeline", f, want, got)
	}
	if !slices.EqualFunc(want, byCPU, same) {
		x.fatal("packet-out", f, want, byCPU)
	}
}

func (x *walks) count(o *sim.Outcome, f *packet.Frame) {
	add := func(n *int, b bool) {
		if b {
			*n++
		}
	}
	_, local := x.e.at[o.Dest.VPort()]
	_, remote := x.e.behind[o.Dest.VPort()]
	x.forwarded++
	add(&x.local, local)
	add(&x.tunnelled, remote)
	add(&x.copied, !local && !remote)
	add(&x.routed, o.Rewrite.TTLDec > 0)
	add(&x.v6, o.Rewrite.TTLDec > 0 && f.Is6())
}

func (x *walks) fatal(what string, f *packet.Frame, want, got []sent) {
	x.t.Helper()
	show := func(l []sent) (s string) {
		for _, o := range l {
			s += fmt.Sprintf("\n  port %d %x", o.port, o.frame)
		}
		return s
	}
	x.t.Fatalf("packet %d: %s\nframe %x\noutcomes %+v, %s\nwant%s\ngot%s", x.n, what, f.Data, x.res.Outcomes, x.res.NotInstallable, show(want), show(got))
}

// TestGuardedDrop: what expires, or is too long, at a router ahead of the one that drops is punted for its answer (R3); the rest is dropped.
func TestGuardedDrop(t *testing.T) {
	tables := newTables(t)
	for _, fam := range []string{"v4", "v6"} {
		m, p := newMachine(t), offload.NewPlacer(tables, 100)
		src, dst := packet.MAC{2, 1}, packet.MAC{2, 2}
		m.apply(inserts(tables.PortMap(offload.Attachment{Port: 1}, 5)...), inserts(tables.KnownSource(5, src)), inserts(tables.GuardedDrop()))
		s := randnet.Shot{Key: flow.Key{Ingress: 77, SrcMAC: src, DstMAC: dst, EtherType: packet.EtherTypeIPv4, Src: flow.Addr{12: 10, 15: 1}, Proto: packet.ProtoUDP}, TTL: 3, Len: 400}
		if fam == "v6" {
			s.Key.EtherType, s.Key.Src = packet.EtherTypeIPv6, flow.Addr{0: 0x20, 15: 1}
		}
		mask := flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast(), EtherType: 0xffff, Dst: flow.AddrMask(24, s.Key.EtherType)}
		placed, stages, err := p.Place(offload.Megaflow{Key: s.Key, Mask: mask, Guards: flow.Guards{MinTTL: 2, MaxLen: 400}, Act: offload.Drop, Prio: 1}, 5)
		if err != nil {
			t.Fatal(err)
		}
		m.apply(stages...)
		for _, c := range []struct {
			ttl  uint8
			len  int
			want flow.Reason
		}{{3, 400, flow.ReasonNone}, {2, 400, flow.ReasonTTL}, {3, 401, flow.ReasonLength}, {1, 500, flow.ReasonTTL}} {
			s.TTL, s.Len = c.ttl, c.len
			frame := s.Frame(nil)
			if out := m.send(1, frame); punted(out, frame) != c.want || c.want == flow.ReasonNone && len(out) != 0 {
				t.Errorf("%s ttl %d length %d: %d frames, punted for %v, want %v", fam, c.ttl, c.len, len(out), punted(out, frame), c.want)
			}
		}
		stages, confirm := p.Remove(placed)
		m.apply(stages...)
		if confirm != nil {
			confirm()
		}
		for _, name := range []string{"ingress.flow_wild_" + fam, "ingress.l2_guard", "egress.l2_rewrite", "ingress.dst_class"} {
			if table, ok := m.Table(name); !ok || table.Len() != 0 {
				t.Errorf("%s: table %s keeps an entry", fam, name)
			}
		}
	}
}
