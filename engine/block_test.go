package engine

import (
	"math/bits"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// begins has vm1 begin connections, and waits until they are stored.
func (o *offline) begins(v6 bool, from, n uint16) {
	o.Helper()
	for i := range n {
		o.sends("vm1", udpOut(v6, from+i, 53))
	}
	for i := range n {
		o.has(o.key(udpOut(v6, from+i, 53)))
	}
}

// TestBlocksMeetNeed (N2): once an edge has a block, sources are of blocks, no two alike and none that had to be chosen anew; the more begin, the more is leased, within the
// edge's share of the address; ports of what is over are given again.
func TestBlocksMeetNeed(t *testing.T) {
	o := newOnline(t)
	o.withBlock(false)
	o.withBlock(true)
	missed := o.c.a.Stats().BlockMisses
	const n = 300
	for _, v6 := range []bool{false, true} {
		for at := uint16(2000); at < 2000+n; at += 20 {
			o.begins(v6, at, 20)
		}
	}
	sources := map[conntrack.Step]bool{}
	outside := 0
	for _, c := range o.stored() {
		s := c.Steps()[0]
		if sources[s] {
			t.Errorf("two connections leave from %+v", s)
		}
		sources[s] = true
		if !conntrack.InBlock(s.Port) {
			outside++
		}
	}
	s := o.c.a.Stats()
	if s.NATRetries != 0 || s.NATFails != 0 || outside > 2+int(s.BlockMisses-missed) || s.BlockPicks < n || int(s.Blocks) < n/conntrack.BlockPorts {
		t.Errorf("%d sources are of no block; %+v", outside, s)
	}
	held, err := o.far.HeldBlocks(t.Context(), sourceOf(o))
	if err != nil || held[o.c.conns.run] == 0 || held[o.c.conns.run] > maxBlocksEach {
		t.Errorf("the database says that %v are held, %v", held, err)
	}
	o.at(func() {
		free := 0
		for _, b := range o.c.blocks.at {
			for _, taken := range b.taken {
				for ; taken != 0; taken &= taken - 1 {
					free--
				}
			}
			free += b.uses
		}
		if free != 0 {
			t.Errorf("ports that are taken and connections that have them differ by %d", free)
		}
		for x := range o.c.conns.known.all() {
			o.c.conns.end(x)
		}
		late := o.c.now() + blockIdle + blockLook
		o.c.blocks.lease.until, o.c.blocks.lease.next = 2*late, 2*late
		o.c.blocks.sweep(late)
		if len(o.c.blocks.at) != 0 || len(o.c.blocks.of) != 0 {
			t.Errorf("%d blocks are not given back, of which nothing is used for long", len(o.c.blocks.at))
		}
	})
	o.until("they are given back", func() bool { return len(o.c.blocks.leaving) == 0 })
	if held, err = o.far.HeldBlocks(t.Context(), sourceOf(o)); err != nil || len(held) != 0 {
		t.Errorf("the database says that %v are held, %v", held, err)
	}
}

// sourceOf is the address that vm1 gets over IPv4.
func sourceOf(o *offline) (a flow.Addr) {
	all := o.stored() // some may be going
	i := slices.IndexFunc(all, func(c state.StoredConn) bool { return !c.Forward.V6 && c.Translates() })
	if i < 0 {
		return a
	}
	return all[i].Steps()[0].Addr
}

// TestBlockReuse: a port is given once at a time in each protocol, while it may be stored, within the rule's ports, and while the lease holds for certain.
func TestBlockReuse(t *testing.T) {
	c := detached(t, idleStore(t))
	b := &block{Block: conntrack.Block{Device: 7, Index: 3}, revision: 1}
	c.blocks.at[b.Block], c.blocks.of[7] = b, []*block{b}
	c.blocks.lease.id, c.blocks.lease.until = 1, c.now()+c.a.cfg.BlockTime
	c.contact.lost = true // no more is leased
	conn := func(port uint16, proto uint8) *conntrack.Conn {
		x := &conntrack.Conn{}
		x.Forward.Proto = proto
		x.AddStep(conntrack.Step{Device: 7, Port: port})
		return x
	}
	need := sim.SourceNeed{Device: 7, Space: conntrack.UDPPorts, First: 1024, Last: 65535}
	source := func(n *sim.SourceNeed) (flow.Addr, uint16, bool) {
		c.blocks.want(n, &conntrack.Conn{}) // so that there is a supply
		return c.blocks.Source(n)
	}
	var given []uint16
	for range conntrack.BlockPorts {
		_, port, ok := source(&need)
		if !ok || slices.Contains(given, port) {
			t.Fatalf("%d, %v behind %v", port, ok, given)
		}
		given = append(given, port)
		c.blocks.join(conn(port, packet.ProtoUDP))
	}
	if _, port, ok := source(&need); ok {
		t.Fatalf("%d is given twice", port)
	}
	other := need
	other.Space = conntrack.TCPPorts
	if _, _, ok := source(&other); !ok {
		t.Error("TCP has no port though only UDP's are taken")
	}
	c.blocks.leave(conn(given[9], packet.ProtoUDP), false) // still stored: it is another edge's now
	if _, port, ok := source(&need); ok {
		t.Errorf("%d is given while it may be stored", port)
	}
	c.blocks.leave(conn(given[5], packet.ProtoUDP), true)
	if _, port, ok := source(&need); !ok || port != given[5] {
		t.Errorf("given %d, %v, want %d, whose connection is gone", port, ok, given[5])
	}
	keeps := need
	keeps.Keeps, keeps.Port = true, given[6]
	if _, _, ok := source(&keeps); ok {
		t.Error("a port that is taken is kept")
	}
	keeps.Port = given[5]
	if _, port, ok := source(&keeps); !ok || port != given[5] {
		t.Errorf("kept %d, %v", port, ok)
	}
	narrow := need
	narrow.Last = given[5]
	if _, port, ok := source(&narrow); ok {
		t.Errorf("%d of a block that is not all of the rule's ports", port)
	}
	clock := c.clock
	c.clock = func() time.Duration { return clock() + c.a.cfg.BlockTime }
	if _, port, ok := source(&need); ok {
		t.Errorf("%d of a block whose lease may have ended", port)
	}
}

// TestSuppliesEnd: what was wanted by rules as they were before edits is forgotten, though the blocks are in use.
func TestSuppliesEnd(t *testing.T) {
	c := detached(t, idleStore(t))
	b := &block{Block: conntrack.Block{Device: 7, Index: 3}, revision: 1, uses: 1}
	c.blocks.at[b.Block], c.blocks.of[7] = b, []*block{b}
	late := c.now() + blockIdle + blockLook
	c.blocks.lease.id, c.blocks.lease.until, c.blocks.lease.next = 1, 2*late, 2*late
	none := netip.IPv4Unspecified()
	for range 100 {
		n := sim.SourceNeed{Device: 7, Space: conntrack.UDPPorts, First: 1024, Last: 65535, Of: &topology.NATSpec{Addresses: []topology.AddrRange{{First: none, Last: none}}}}
		c.blocks.want(&n, &conntrack.Conn{})
		if _, _, ok := c.blocks.Source(&n); !ok {
			t.Fatal("the block is not of the address")
		}
	}
	if c.blocks.sweep(late); len(c.blocks.supplies) != 0 || len(c.blocks.at) != 1 {
		t.Errorf("%d supplies of %d blocks are left", len(c.blocks.supplies), len(c.blocks.at))
	}
}

// TestBlocksLost: an edge whose blocks the database does not know any more, as when its machine slept, finds out with the first connection that it can not store, and stores that all the same.
func TestBlocksLost(t *testing.T) {
	o := newOnline(t)
	o.withBlock(false)
	o.begins(false, 1100, 1)
	var lease state.BlockLease
	o.at(func() {
		lease = o.c.blocks.lease.id
		for _, s := range o.c.blocks.supplies {
			s.after = time.Hour // it has enough, and does not ask for more
		}
	})
	if err := o.far.EndBlocks(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	o.begins(false, 1200, 10)
	o.until("the lease is not taken for held", func() bool { return o.c.blocks.lease.id != lease }) // it is asked for once a block is gone
	if s := o.c.a.Stats(); s.NATFails != 0 || s.NATRetries == 0 || s.BlockLapses == 0 {
		t.Errorf("%+v", s)
	}
}

// TestReplacedBlockPort: the port of a connection that is over, and in the place of which another was stored, is given again.
func TestReplacedBlockPort(t *testing.T) {
	o := newOnline(t)
	o.withBlock(false)
	syn := tcpOut(false, 5000, packet.TCPSyn, 100, 0)
	k := o.key(syn)
	births := map[uint8]bool{}
	for range 5 {
		o.sends("vm1", syn)
		o.until("a new connection", func() bool {
			x := o.c.conns.known.get(k)
			return x != nil && !births[x.stored.Birth] && !x.stored.Over()
		})
		births[o.has(k).stored.Birth] = true
		o.sends("vm1", tcpOut(false, 5000, packet.TCPRst, 101, 0))
		o.until("it is over", func() bool { x := o.c.conns.known.get(k); return x.stored.Over() && x.writing == idle })
	}
	o.at(func() {
		for _, b := range o.c.blocks.at {
			if n := bits.OnesCount64(b.taken[conntrack.TCPPorts]); n != b.uses {
				t.Errorf("%d ports are taken, and connections have %d", n, b.uses)
			}
		}
	})
}
