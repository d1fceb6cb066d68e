package engine

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestAwayLocal: while the database does not answer, what is installed goes on; connections of rules that say so begin, translated by ports of the edge's own, and others
// wait in vain, with a reason of their own. When it answers again, all that began is there, under both keys, with what was seen of it, and no translation twice.
func TestAwayLocal(t *testing.T) {
	o := newOffline(t)
	before := []conntrack.Key{o.withBlock(false), o.withBlock(true)}
	flows := o.c.a.Stats().Flows
	o.way.SetSilent(true)
	local := map[conntrack.Key][]byte{}
	for _, v6 := range []bool{false, true} {
		for n := range uint16(5) {
			frame := udpOut(v6, 2000+n, 53)
			local[o.key(frame)] = frame
			o.sends("vm1", frame)
		}
		plain := udpOut(v6, 3000, 9) // of rules that ask for states alone
		local[o.key(plain)] = plain
		o.sends("vm1", plain)
		o.sends("vm1", udpOut(v6, 4000, 7))                     // of a rule that holds
		o.sends("vm1", tcpOut(v6, 4001, packet.TCPAck, 5, 5))   // in the middle of one
		o.sends("vm1", tcpOut(v6, 5000, packet.TCPSyn, 100, 0)) // and its other half
		o.has(o.key(tcpOut(v6, 5000, 0, 0, 0)))
	}
	if !o.c.contact.lost {
		t.Error("connections began before the database was known to be away")
	}
	sources := map[netip.AddrPort]bool{}
	for k, frame := range local {
		x := o.has(k)
		a, port := o.arrives(frame)
		src, _ := addrs(k.V6)
		if !x.local || x.stored.Revision != 0 {
			t.Errorf("%v: %+v", k, x)
		}
		if at := netip.AddrPortFrom(a, port); k.DstPort == 53 && (a == src || !conntrack.InBlock(port) || sources[at]) || k.DstPort == 9 && (a != src || port != 3000) {
			t.Errorf("%v leaves from %v", k, at)
		} else {
			sources[at] = true
		}
	}
	for _, k := range before {
		if x := o.has(k); x.flows[forward] != 1 {
			t.Errorf("%v, which was there before: %+v", k, x)
		}
	}
	// The server answers, and the client ends its side: copies of FINs come from the target.
	for _, v6 := range []bool{false, true} {
		x := o.has(o.key(tcpOut(v6, 5000, 0, 0, 0)))
		ret := x.stored.Return()
		et := uint16(packet.EtherTypeIPv4)
		if v6 {
			et = packet.EtherTypeIPv6
		}
		o.sends("srv", packet.AppendTCP(nil, &packet.TCP{
			SrcMAC: srvMAC, DstMAC: outMAC, Src: ret.Src.Netip(et), Dst: ret.Dst.Netip(et), SrcPort: 80, DstPort: ret.DstPort, Flags: packet.TCPSyn | packet.TCPAck, Seq: 900, Ack: 101,
		}))
		o.at(func() {
			var f packet.Frame
			if err := packet.Parse(tcpOut(v6, 5000, packet.TCPFin|packet.TCPAck, 101, 901), &f); err != nil {
				t.Fatal(err)
			}
			o.c.ended(&f, vportOf(t, o.c, "vm1"))
		})
	}
	o.until("what waits is dropped", func() bool { return o.c.holds.n == 0 })
	vm1 := vportOf(t, o.c, "vm1")
	o.at(func() {
		if n := o.c.drops.sums[dropKey{vm1, dropAway}]; n != 4 {
			t.Errorf("%d packets were dropped since the database was away, want 4", n)
		}
	})
	if s := o.c.a.Stats(); s.Unstored != uint64(len(local))+2 || s.AwayDrops != 4 || s.Flows < flows+uint64(len(local)) {
		t.Errorf("%+v", s)
	}
	for k := range local {
		if _, there, err := o.far.FindConn(t.Context(), k); there || err != nil {
			t.Errorf("%v is stored while the database is away: %v", k, err)
		}
	}
	o.way.SetSilent(false)
	o.until("all is stored", func() bool { return len(o.c.conns.unstored) == 0 && !o.c.contact.lost })
	for k := range local {
		x := o.has(k)
		for _, key := range []conntrack.Key{k, x.stored.Return()} {
			if found, there, err := o.far.FindConn(t.Context(), key); err != nil || !there || found.Conn != x.stored.Conn || found.ForwardOwner != o.c.conns.run {
				t.Errorf("%v: the database has %+v, %v, %v, the edge %+v", key, found, there, err, x.stored)
			}
		}
	}
	for _, v6 := range []bool{false, true} {
		k := o.key(tcpOut(v6, 5000, 0, 0, 0))
		var found state.StoredConn
		o.until("the client's end is stored", func() bool { // once it is stored at all
			var err error
			found, _, err = o.far.FindConn(t.Context(), k)
			return err == nil && found.String() == "half-closed"
		})
		if found.ForwardOwner != o.c.conns.run || found.ReturnOwner != o.c.conns.run {
			t.Errorf("%v: %+v", k, found)
		}
	}
	mine, answers := map[conntrack.Key]int{}, map[conntrack.Key]bool{}
	for _, c := range o.stored() {
		mine[c.Forward]++
		if answers[c.Return()] {
			t.Errorf("two connections have the answer %v", c.Return())
		}
		answers[c.Return()] = true
	}
	for k, n := range mine {
		if _, ok := local[k]; n != 1 || !ok && !slices.Contains(before, k) && k.SrcPort < 4000 { // what was on its way of those that waited may have arrived: TestDoubts
			t.Errorf("%v is stored %d times", k, n)
		}
	}
	if s := o.c.a.Stats(); s.LocalEnded != 0 || s.LocalStored != s.LocalConns || s.Aways != 1 {
		t.Errorf("%+v", s)
	}
}

// TestAwayKilled: a database whose connections break, and that takes no others, is away as one that does not answer is.
func TestAwayKilled(t *testing.T) {
	o := newOffline(t)
	o.withBlock(false)
	o.way.SetCut(true)
	frame, holds := udpOut(false, 2000, 53), udpOut(false, 2000, 7)
	o.sends("vm1", frame)
	o.sends("vm1", holds)
	x := o.has(o.key(frame))
	if a, port := o.arrives(frame); a != netip.MustParseAddr("10.2.0.80") || port != x.stored.Steps()[0].Port || !x.local {
		t.Errorf("leaves from %v:%d, %+v", a, port, x)
	}
	o.until("what waits is dropped", func() bool { return o.c.holds.n == 0 })
	if s := o.c.a.Stats(); s.AwayDrops != 1 || s.Unstored != 1 {
		t.Errorf("%+v", s)
	}
	o.way.SetCut(false)
	o.until("it is stored", func() bool { return len(o.c.conns.unstored) == 0 && !o.c.contact.lost })
	if found, there, err := o.far.FindConn(t.Context(), x.stored.Forward); err != nil || !there || found.Conn != x.stored.Conn {
		t.Errorf("%+v, %v, %v", found, there, err)
	}
	o.sends("vm1", udpOut(false, 2001, 7))
	o.has(o.key(udpOut(false, 2001, 7)))
}

// TestAwayConflict: what another edge stored meanwhile holds: the flows of what began here go, and its next packet is what is stored.
func TestAwayConflict(t *testing.T) {
	o := newOffline(t)
	o.withBlock(false)
	o.way.SetSilent(true)
	same, answer := udpOut(false, 2000, 53), udpOut(false, 2001, 53)
	for _, f := range [][]byte{same, answer} {
		o.sends("vm1", f)
	}
	x, y := o.has(o.key(same)), o.has(o.key(answer))
	theirs := conntrack.Conn{Forward: x.stored.Forward, RetZone: x.stored.RetZone, Progress: x.stored.Progress, ForwardOwner: 7}
	step := x.stored.Steps()[0]
	step.Port = 60000
	theirs.AddStep(step)
	forged := conntrack.Conn{Forward: y.stored.Return(), RetZone: 99, Progress: y.stored.Progress, ForwardOwner: 7} // somebody begins one with the key of the answer
	for _, c := range []conntrack.Conn{theirs, forged} {
		if _, created, err := o.far.CreateConn(t.Context(), c, nil, nil, nil); err != nil || !created {
			t.Fatal(created, err)
		}
	}
	o.way.SetSilent(false)
	o.until("both have ended", func() bool { return o.c.a.Stats().LocalEnded == 2 })
	if s := o.c.a.Stats(); s.Unstored != 0 || s.LocalStored != 0 {
		t.Errorf("%+v", s)
	}
	o.at(func() {
		for _, z := range []conn{x, y} {
			if o.c.conns.known.get(z.stored.Forward) != nil || len(o.c.flows.ofConnection(topology.ConnDep(topology.DeviceID(z.stored.Forward.Zone), z.stored.Forward.Hash()))) != 0 {
				t.Errorf("%v is still there", z.stored.Forward)
			}
		}
	})
	src, dst := addrs(false)
	again := packet.AppendUDP(nil, &packet.UDP{SrcMAC: vm1MAC, DstMAC: gwMAC, Src: src, Dst: dst, SrcPort: 2000, DstPort: 53, TTL: 9, Payload: []byte("again")})
	o.sends("vm1", again)
	if a, port := o.arrives(again); a != netip.MustParseAddr("10.2.0.80") || port != 60000 {
		t.Errorf("the next packet leaves from %v:%d, want what is stored", a, port)
	}
}

// TestAwayDoubt: a connection that was on its way to the database when that went away begins as it was to be stored: whether or not that arrives, it is there once.
func TestAwayDoubt(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		o := newOffline(t)
		o.withBlock(false)
		o.way.SetSilent(true)
		frame := udpOut(false, 2000, 53)
		k := o.key(frame)
		o.sends("vm1", frame)
		x := o.has(k)
		if !x.doubt {
			t.Errorf("%+v", x)
		}
		if arrives {
			if _, created, err := o.far.CreateConn(t.Context(), x.stored.Conn, nil, nil, nil); err != nil || !created {
				t.Fatal(created, err)
			}
		}
		o.way.SetSilent(false)
		o.until("it is stored", func() bool { return len(o.c.conns.unstored) == 0 })
		if found, there, err := o.far.FindConn(t.Context(), k); err != nil || !there || found.Conn != x.stored.Conn {
			t.Errorf("arrives %v: %+v, %v, %v, want %+v", arrives, found, there, err, x.stored.Conn)
		}
		if s := o.c.a.Stats(); s.LocalStored != 1 || s.LocalEnded != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestAwayWithoutBlock: a source that the edge has no block for is never chosen without the database, nor once its lease may have ended: what began with one ends then.
func TestAwayWithoutBlock(t *testing.T) {
	o := newOffline(t)
	o.withBlock(true)
	o.way.SetSilent(true)
	o.sends("vm1", udpOut(false, 2000, 53)) // blocks are of one address
	frame, plain := udpOut(true, 2000, 53), udpOut(true, 3000, 9)
	o.sends("vm1", frame)
	o.sends("vm1", plain)
	k, kept := o.key(frame), o.key(plain)
	o.has(k)
	o.has(kept)
	o.until("it is dropped", func() bool { return o.c.a.Stats().AwayDrops == 1 })
	o.at(func() {
		if o.c.conns.known.get(o.key(udpOut(false, 2000, 53))) != nil {
			t.Error("a source was chosen that is of no block")
		}
		late := o.c.blocks.lease.until
		o.c.blocks.sweep(late - 1)
		if o.c.conns.known.get(k) == nil {
			t.Error("it ended before its block did")
		}
		o.c.blocks.sweep(late)
		if x := o.c.conns.known.get(k); x != nil || len(o.c.blocks.at) != 0 {
			t.Errorf("it outlives its block: %+v", x)
		}
		if o.c.conns.known.get(kept) == nil {
			t.Error("one that has no source of a block ended with it")
		}
	})
	if s := o.c.a.Stats(); s.LocalEnded != 1 || s.BlockLapses == 0 || s.Blocks != 0 {
		t.Errorf("%+v", s)
	}
	o.sends("vm1", udpOut(true, 2001, 53))
	o.until("it is dropped", func() bool { return o.c.a.Stats().AwayDrops == 2 })
	o.way.SetSilent(false)
	o.until("the other is stored", func() bool { return len(o.c.conns.unstored) == 0 })
	if _, there, err := o.far.FindConn(t.Context(), kept); err != nil || !there {
		t.Errorf("%v, %v", there, err)
	}
}

// TestUnwatched: a database that refuses answers; one that only some questions have no answer from is not away.
func TestUnwatched(t *testing.T) {
	c := detached(t, idleStore(t))
	x := c.contact
	x.asked()
	x.asked()
	x.told(nil)
	x.since -= 2 * c.a.cfg.AwayAfter
	x.told(state.ErrFull)
	if x.check(); x.lost || x.waiting {
		t.Errorf("all questions are answered: %+v", x)
	}
	x.asked()
	x.told(errors.New("no answer"))
	if x.check(); x.lost {
		t.Errorf("not for long enough: %+v", x)
	}
}

// TestDoubtsAreSettledInTurn: connections of which it is not known whether they are stored are looked for some at a time, and not while the database is away.
func TestDoubtsAreSettledInTurn(t *testing.T) {
	o := newOffline(t)
	o.way.SetSilent(true) // no answer comes
	o.at(func() {
		now := doubtTime + o.c.now()
		for i := range 2 * maxStoring {
			o.c.conns.doubts[conntrack.Key{Zone: 1, Tuple: conntrack.Tuple{SrcPort: uint16(i + 1)}}] = 0
		}
		o.c.contact.lost = true
		if o.c.conns.sweep(now); len(o.c.conns.waiting) != 0 {
			t.Errorf("%d are looked for while the database is away", len(o.c.conns.waiting))
		}
		o.c.contact.lost = false
		if o.c.conns.sweep(now); len(o.c.conns.waiting) != maxStoring {
			t.Errorf("%d are looked for at once, want %d", len(o.c.conns.waiting), maxStoring)
		}
	})
}
