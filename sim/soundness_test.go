package sim

import (
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/randnet"
	"github.com/weft-sdn/weft/topology"
)

// sound tries decisions in one random network after the other.
type sound struct {
	t     *testing.T
	at    string // which network and packet
	w     *randnet.World
	sim   Simulator
	frame packet.Frame
	buf   []byte
	a, b  Result
	tally
}

// tally counts what was tried, to tell that the test tries enough.
type tally struct {
	packets, installable                             int
	bridged, group, routed, twoRouters, drop, reject int
	v6, sourced, ecmp                                int // of the routed
	mutants, wild, flipped                           int // wild: bits of decisions that were not read; flipped: bits in which mutants differ
	ttl, length, source, header, martian             int // edges of guards
	passed, filtered                                 int // by chains
	translated                                       int
	needed, tried                                    int
	errors                                           int // mutants that are ICMP errors
}

// simulate returns false if there can be no such packet.
func (x *sound) simulate(s *randnet.Shot, r *Result) bool {
	x.buf = s.Frame(x.buf)
	if packet.Parse(x.buf, &x.frame) != nil || x.frame.IsARP() || x.frame.IsND() {
		return false
	}
	s.Key = flow.KeyOf(&x.frame, s.Key.Ingress)
	if isLand(&x.frame) { // the pipeline drops it ahead of all entries
		return false
	}
	x.sim.Simulate(x.w.Snap, &x.frame, s.Key.Ingress, 0, r)
	if len(r.Outcomes) == 0 {
		x.t.Fatalf("%s: no outcome", x.at)
	}
	return true
}

func isLand(f *packet.Frame) bool { return f.L3 != 0 && f.SrcAddr() == f.DstAddr() }

// same reports whether b is the decision that a is. It may have been found by reading other bits: what tells that a rule is not met differs.
func (x *sound) same() bool {
	return slices.Equal(x.a.Outcomes, x.b.Outcomes) && x.a.Guards == x.b.Guards && x.b.Installable
}

func (x *sound) fatal(what string, shots ...randnet.Shot) {
	x.t.Helper()
	explain(x.t, x.w, &x.sim, shots...)
	x.t.Fatalf("%s: %s", x.at, what)
}

// mutant tries another packet of the same megaflow.
func (x *sound) mutant(s randnet.Shot) {
	v := x.w.Mutate(s, x.a.Mask, x.a.Guards)
	if !x.simulate(&v, &x.b) || x.a.Guards.Check(&x.frame) != flow.ReasonNone || !x.a.Mask.Matches(s.Key, v.Key) {
		return // the packet can't have such a key
	}
	x.mutants++
	count(&x.errors, x.frame.IsICMP() && packet.IsICMPError(&x.frame))
	x.flipped += distance(s.Key, v.Key)
	if !x.same() {
		x.fatal("same megaflow, but other outcome", s, v)
	}
	if x.learns(&x.b) && !x.learns(&x.a) {
		x.fatal("the pipeline would keep a source from being learnt", s, v)
	}
}

// learns reports whether a result teaches the first bridge its source.
func (x *sound) learns(r *Result) bool {
	return slices.ContainsFunc(r.Effects, func(e Effect) bool { return e.Kind == Learn && e.Port == x.sim.ingress })
}

// edges tries each guard where it just holds, and where it just does not: there the decision is another one, so that the guard is not idle.
func (x *sound) edges(s randnet.Shot) {
	g := x.a.Guards
	if s.Key.EtherType == packet.EtherTypeIPv4 || s.Key.EtherType == packet.EtherTypeIPv6 {
		if g.MinTTL > 0 {
			x.ttl++
			x.edge(s, func(v *randnet.Shot, beyond int) { v.TTL = g.MinTTL + 1 - uint8(beyond) }, flow.ReasonTTL)
			x.edge(s, func(v *randnet.Shot, beyond int) { v.Flaw = randnet.FlawCut * randnet.Flaw(beyond) }, flow.ReasonFrameLength)
			x.unfit(s)
		}
		if g.MaxLen > 0 {
			x.length++
			x.edge(s, func(v *randnet.Shot, beyond int) { v.Len = int(g.MaxLen) + beyond }, flow.ReasonLength)
			x.edge(s, func(v *randnet.Shot, beyond int) { v.Flaw = randnet.FlawTrailer * randnet.Flaw(beyond) }, flow.ReasonFrameLength)
		}
	}
	if at := x.w.Snap.VPort(s.Key.Ingress); g.KnownSource && at.Kind == topology.DeviceBridge && !at.AdminDown {
		v := s
		v.Key.SrcMAC = packet.MAC{2, 9, 9, 9, 9, 9}
		x.source++
		if !x.simulate(&v, &x.b) || x.b.Installable && !x.learns(&x.b) {
			x.fatal("an unknown source teaches nothing", s, v)
		}
	}
}

// unfit tries what no router forwards, of a packet that one does.
func (x *sound) unfit(s randnet.Shot) {
	if s.Key.Is4() {
		x.header++
		for _, flaw := range []randnet.Flaw{randnet.FlawChecksum, randnet.FlawLength} {
			x.edge(s, func(v *randnet.Shot, beyond int) { v.Flaw = flaw * randnet.Flaw(beyond) }, flow.ReasonHeader)
		}
	}
	if x.a.Mask.Src != (flow.Addr{}) {
		return
	}
	x.martian++
	never := flow.Addr{12: 127, 15: 1}
	if s.Key.Is6() {
		never = flow.Addr{0xfe, 0x80, 15: 1}
	}
	x.edge(s, func(v *randnet.Shot, beyond int) {
		if beyond == 1 {
			v.Key.Src = never
		}
	}, flow.ReasonMartian)
}

func (x *sound) edge(s randnet.Shot, set func(v *randnet.Shot, beyond int), want flow.Reason) {
	v := s
	v.TTL, v.Len, v.Flaw = 64, 60, randnet.FlawNone
	set(&v, 0)
	if !x.simulate(&v, &x.b) || x.a.Guards.Check(&x.frame) != flow.ReasonNone || !x.same() {
		x.fatal("guard "+want.String()+" holds, but other outcome", s, v)
	}
	set(&v, 1)
	if !x.simulate(&v, &x.b) || x.a.Guards.Check(&x.frame) != want || x.same() {
		x.fatal("guard "+want.String()+" does not hold, but nothing changes", s, v)
	}
}

// last flips the last bit of the destination that was read. It should matter, most of the time.
func (x *sound) last(s randnet.Shot) {
	n, ok := x.a.Mask.Dst.PrefixLen(s.Key.EtherType)
	if !ok || n == 0 {
		return
	}
	x.tried++
	if s.Key.Is4() {
		n += 96
	}
	s.Key.Dst[(n-1)/8] ^= 1 << (7 - (n-1)%8)
	if x.simulate(&s, &x.b) {
		count(&x.needed, !slices.Equal(x.a.Outcomes, x.b.Outcomes) || x.a.Mask != x.b.Mask)
	}
}

// count tells kinds of decisions apart.
func (x *sound) count(s *randnet.Shot) {
	o, m := x.a.Outcomes[0], x.a.Mask
	x.installable++
	x.wild += m.Wild()
	count(&x.drop, o.Verdict == Drop && !o.Reject)
	count(&x.reject, o.Reject)
	chained := slices.ContainsFunc(x.a.Deps, func(d topology.Dep) bool {
		return d.Kind() == topology.DepDevice && x.w.Snap.Chain(topology.DeviceID(d.A())) != nil
	})
	count(&x.passed, chained && o.Verdict == Forward)
	count(&x.filtered, o.Drop == DropFiltered)
	count(&x.translated, o.Rewrite.Translate)
	if o.Verdict != Forward {
		return
	}
	count(&x.group, x.w.Snap.IsGroup(o.Dest))
	count(&x.bridged, o.Rewrite.TTLDec == 0)
	if o.Rewrite.TTLDec == 0 {
		return
	}
	x.routed++
	hashed := m.Proto == 0xff && m.SrcPort == 0xffff
	count(&x.twoRouters, o.Rewrite.TTLDec > 1)
	count(&x.v6, s.Key.Is6())
	count(&x.ecmp, hashed)
	count(&x.sourced, !hashed && m.Src != flow.Addr{})
}

// TestSoundness (E4): a packet that agrees with another in the bits that were read, and meets the guards, has the same outcomes; each guard is where the
// outcome changes. Number of packets: WEFT_SOUNDNESS_CASES, WEFT_SOUNDNESS_SEED. That bits which were read matter is tested too.
func TestSoundness(t *testing.T) {
	x := &sound{t: t, sim: Simulator{Exemplar: true}} // checksums do not follow what is flipped
	cases := envInt(t, "WEFT_SOUNDNESS_CASES", 20_000)
	seed := uint64(envInt(t, "WEFT_SOUNDNESS_SEED", 1))
	const perWorld, mutants = 40, 5
	for n := 0; n < cases; n += perWorld {
		x.w = randnet.New(seed*1_000_003 + uint64(n))
		conns := table{}
		x.sim.Conns = conns
		if n/perWorld%4 == 3 {
			x.w.Translate()
		}
		if n/perWorld%8 == 1 {
			x.w.Stations()
		}
		for i := range perWorld {
			x.at = fmt.Sprintf("seed %d world %d packet %d", seed, n, i)
			s := x.w.Shot()
			if !x.simulate(&s, &x.a) {
				if isLand(&x.frame) {
					continue
				}
				t.Fatalf("%s: %+v makes no frame", x.at, s)
			}
			x.packets++
			if x.a.Track.Commit {
				conns.add(x.a.Track.New)
				x.simulate(&s, &x.a)
			}
			if !x.a.Installable {
				continue
			}
			x.count(&s)
			for range mutants {
				x.mutant(s)
			}
			x.edges(s)
			x.last(s)
		}
	}
	t.Logf("%+v", x.tally)
	t.Logf("%d packets, %d mutants in %d wild bits, %d guards at their edge; %d of %d bits of a decision are wild on average",
		x.packets, x.mutants, x.flipped, x.ttl+x.length+x.source, x.wild/max(x.installable, 1), flow.KeyBits)
	x.enough(cases)
}

// enough checks that all kinds of decisions were among those tried.
func (x *sound) enough(cases int) {
	for name, n := range map[string]int{
		"installable": x.installable * 3, "bridged": x.bridged * 10, "flooded": x.group * 25, "dropped": x.drop * 10, "rejected": x.reject * 50,
		"routed": x.routed * 12, "by two routers": x.twoRouters * 400, "IPv6": x.v6 * 25, "by source": x.sourced * 150, "by hash": x.ecmp * 100,
		"mutants": x.mutants, "at a TTL": x.ttl * 10, "of a bad header": x.header * 25, "martian": x.martian * 25, "at a length": x.length * 12, "of unknown source": x.source * 3,
		"passed by chains": x.passed * 30, "filtered": x.filtered * 100, "translated": x.translated * 400, "of the megaflow of an ICMP error": x.errors * 100,
	} {
		if n < cases {
			x.t.Errorf("too few packets were %s: %+v", name, x.tally)
		}
	}
	if x.needed*2 < x.tried {
		x.t.Errorf("masks are wider than they should be: the last bit of the destination mattered in %d of %d", x.needed, x.tried)
	}
}

// distance returns the number of bits in which two keys differ.
func distance(a, b flow.Key) int {
	n := bits.OnesCount64(a.SrcMAC.Uint64()^b.SrcMAC.Uint64()) + bits.OnesCount64(a.DstMAC.Uint64()^b.DstMAC.Uint64()) +
		bits.OnesCount16(a.EtherType^b.EtherType) + bits.OnesCount8(a.Proto^b.Proto) + bits.OnesCount8(a.Frag^b.Frag) +
		bits.OnesCount16(a.SrcPort^b.SrcPort) + bits.OnesCount16(a.DstPort^b.DstPort)
	for i := range a.Src {
		n += bits.OnesCount8(a.Src[i]^b.Src[i]) + bits.OnesCount8(a.Dst[i]^b.Dst[i])
	}
	return n
}

func count(n *int, b bool) {
	if b {
		*n++
	}
}

func explain(t *testing.T, w *randnet.World, sim *Simulator, shots ...randnet.Shot) {
	for i := range shots {
		var f packet.Frame
		r := Result{Trace: new(Trace)}
		if err := packet.Parse(shots[i].Frame(nil), &f); err != nil {
			t.Fatal(err)
		}
		sim.Simulate(w.Snap, &f, shots[i].Key.Ingress, 0, &r)
		t.Logf("\n%v%v", r.Trace, fmt.Sprintf("%+v", r.Outcomes))
	}
}

func envInt(t *testing.T, name string, def int) int {
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
