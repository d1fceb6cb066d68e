package engine

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// cached is the core of an edge with few flow entries, on a target that knows when each was matched, at a time that the test sets. Flows are told by vport and source port: each has an exact
// entry of its own.
type cached struct {
	testing.TB
	*core
	w      *fakeWriter
	at     time.Duration
	ids    [3]flow.VPortID // vm1 and vm2
	ports  [3]uint16       // their local numbers
	flows  map[cachedFlow]*cachedHits
	mu     sync.Mutex
	hits   map[uint64]*cachedHits // by entry; guarded by mu, and what is in them
	empty  bool                   // the target has lost all
	blind  bool                   // the target does not tell when entries were matched
	silent bool                   // it does not answer
	late   func()
}

type cachedFlow struct{ vm, port uint16 }

type cachedHits struct {
	f       *installedFlow
	there   bool // the target has the entry
	packets int64
	last    time.Duration
	entry   *p4rt.Entry
}

// cachedLen is the length of a frame.
const cachedLen = 14 + 20 + 8

var cachedMACs = [3]packet.MAC{1: vm1MAC, 2: vm2MAC}

func newCached(t testing.TB, flows, share int, limit int64) *cached {
	t.Helper()
	c := &cached{TB: t, core: detached(t, idleStore(t)), flows: map[cachedFlow]*cachedHits{}, hits: map[uint64]*cachedHits{}, at: time.Hour}
	c.start(context.Background(), c.ack)
	c.clock = func() time.Duration { return c.at }
	c.a.cfg.VPortShare, c.a.cfg.MaxFlows, c.a.cfg.PuntRate = share, limit, 1<<30
	c.placer = c.a.newPlacer()
	odd := make([]string, flows+1) // no mask of fewer than all bits tells one from its neighbours
	for i := range odd {
		odd[i] = strconv.Itoa(2*i + 1)
	}
	rules := "{match: {protocols: [udp], srcPorts: [" + strings.Join(odd, ", ") + "]}, action: accept}"
	network := strings.Replace(guarded, "RULES", rules, 1)
	for _, vm := range []string{"vm1", "vm2"} {
		network = strings.Replace(network, vm+", tenant: red}, spec: {", vm+", tenant: red}, spec: {filters: {ingress: guard}, ", 1)
	}
	var err error
	if c.snap, err = topology.Load("network.yaml", []byte(network)); err != nil {
		t.Fatal(err)
	}
	c.view.places = map[flow.VPortID]place{}
	lan, _ := c.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
	var changes topology.Changes
	for i, name := range []string{1: "vm1", 2: "vm2"} {
		if i == 0 {
			continue
		}
		c.ids[i] = vportOf(t, c.core, name)
		c.view.places[c.ids[i]] = place{edge: "e1", at: offload.Attachment{Port: uint16(i)}}
		changes.FDB = append(changes.FDB, topology.FDBEntry{Bridge: topology.DeviceID(lan), MAC: cachedMACs[i], Port: c.ids[i]})
		changes.BridgeNeighbours = append(changes.BridgeNeighbours, topology.BridgeNeighbour{Bridge: topology.DeviceID(lan), Addr: cachedAddr(uint16(i)), MAC: cachedMACs[i]})
	}
	c.snap, _ = c.snap.With(changes)
	c.rebuild(c.layout.all(c.view))
	for i := range c.ids {
		c.ports[i], _ = c.locals.vports.Lookup(c.ids[i])
	}
	c.w = served(c.core)
	c.outlet.send, c.core.send = c.core.send, c.outlet.put
	c.cache.read = c.read
	return c
}

func cachedAddr(vm uint16) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 1, byte(1 + vm)}) }

// read answers as a target does.
func (c *cached) read(_ context.Context, entries []*p4rt.Entry, yield func(*p4rt.Entry, p4rt.Counter) error) error {
	if c.silent {
		return context.DeadlineExceeded
	}
	asked := map[uint64]bool{}
	for _, e := range entries {
		asked[c.placer.Hash(e)] = true
	}
	if entries != nil && c.late != nil {
		c.late()
		c.late = nil
	}
	type answer struct {
		e *p4rt.Entry
		n p4rt.Counter
	}
	var all []answer
	c.mu.Lock()
	for entry, x := range c.hits {
		if !x.there || c.empty || entries != nil && !asked[entry] {
			continue
		}
		n := p4rt.Counter{Packets: x.packets, Bytes: x.packets * cachedLen, Counted: true, HitKnown: !c.blind}
		if n.HitKnown {
			n.SinceHit = c.at - x.last
		}
		all = append(all, answer{x.entry, n})
	}
	c.mu.Unlock()
	for _, x := range all {
		if err := yield(x.e, x.n); err != nil {
			return err
		}
	}
	return nil
}

// send has a VM send a packet of a flow to the other one, and reports whether an entry matched it.
func (c *cached) send(vm, port uint16) bool {
	k := cachedFlow{vm, port}
	x := c.flows[k]
	if x == nil {
		x = &cachedHits{}
		c.flows[k] = x
	}
	c.mu.Lock()
	there := x.there
	if there {
		x.packets++
		x.last = c.at
	}
	c.mu.Unlock()
	if there {
		return true
	}
	c.upcallOnly(vm, port)
	c.settled()
	return false
}

// upcallOnly has a packet decided.
func (c *cached) upcallOnly(vm, port uint16) {
	to := 3 - vm
	var f packet.Frame
	frame := packet.AppendUDP(nil, &packet.UDP{SrcMAC: cachedMACs[vm], DstMAC: cachedMACs[to], Src: cachedAddr(vm), Dst: cachedAddr(to), SrcPort: 2*port + 1, DstPort: 2, TTL: 9})
	if err := packet.Parse(frame, &f); err != nil {
		c.Fatal(err)
	}
	c.upcall(&f, c.ids[vm], c.ports[vm], flow.ReasonMissFlow)
	x := c.flows[cachedFlow{vm, port}]
	if x.f = c.core.flows.find(flow.KeyOf(&f, c.ids[vm]), c.res.Mask); x.f != nil {
		x.entry = c.placer.Entry(x.f.placed)
		c.mu.Lock()
		c.hits[x.f.placed.Hash] = x
		c.mu.Unlock()
	}
}

// settled lets what is being read be read, and has the target take what was written.
func (c *cached) settled() {
	if len(c.w.sent) > 0 {
		all := c.w.sent
		c.w.sent = nil
		for _, u := range all {
			for _, x := range flatten(u.stages) {
				if e, ok := x.Entity.(*p4rt.Entry); ok && x.Op != p4rt.Modify {
					c.entered(c.placer.Hash(e), x.Op == p4rt.Insert)
				}
			}
			c.answered(u, false, nil)
		}
	}
	for c.cache.reading || c.cache.checking || c.outlet.reading || c.outlet.turn {
		<-c.a.mail.wake
		c.a.mail.deliver()
	}
	if len(c.w.sent) > 0 {
		c.settled()
	}
}

// entered has the target insert or delete an entry.
func (c *cached) entered(entry uint64, there bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.hits[entry]; x != nil {
		x.there, x.packets, x.last = there, 0, c.at
	}
}

// later lets time go by.
func (c *cached) later(d time.Duration) {
	c.at += d
	c.paceRounds()
	c.relieve()
	c.settled()
}

// has returns the flows of a VM that have an entry, by port.
func (c *cached) has(vm uint16) (ports []uint16) {
	for k, x := range c.flows {
		if k.vm == vm && x.there {
			ports = append(ports, k.port)
		}
	}
	slices.Sort(ports)
	return ports
}

// fill has a VM send two packets of each of some flows.
func (c *cached) fill(vm uint16, from, to int) {
	for port := from; port < to; port++ {
		c.send(vm, uint16(port))
		c.send(vm, uint16(port))
		c.at += time.Second
	}
}

// TestIdleByCounters (E8): of a target without idle timeouts a flow goes when its entry has counted nothing for its time, and not before, whoever reads the counters besides.
func TestIdleByCounters(t *testing.T) {
	c := newCached(t, 2000, 100, 64)
	c.blind, c.a.cfg.Profile.NoIdle = true, true
	for _, table := range c.a.tables.FlowTables() {
		table.SupportsIdle = false
	}
	c.send(1, 7)
	x := c.flows[cachedFlow{1, 7}]
	for range 20 {
		c.later(c.a.cfg.IdleTimeout / 4)
		c.send(1, 7)
		c.count(x.f.placed.Hash, tallied(uint64(x.packets), uint64(x.packets)*cachedLen), c.now()) // as who asks for drops
		c.later(c.a.cfg.IdleTimeout / 4)
	}
	if s := c.a.Stats(); s.Expired > 0 || !x.there {
		t.Fatalf("%d flows expired that were matched all the time", s.Expired)
	}
	c.later(c.a.cfg.IdleTimeout / 2)
	c.later(c.a.cfg.IdleTimeout / 2)
	if s := c.a.Stats(); s.Expired != 1 || x.there {
		t.Errorf("%d flows expired, want the one that was matched by nothing any more", s.Expired)
	}
}

// TestEvictLeastRecentlyMatched (E5): where room is tight an eighth of the entries go, those that were matched longest ago, whether the target tells or only counts; what was matched
// between the round that found it and its eviction stays.
func TestEvictLeastRecentlyMatched(t *testing.T) {
	for _, blind := range []bool{false, true} {
		c := newCached(t, 2000, 100, 64)
		c.blind = blind
		c.fill(1, 1, 60) // 59 flows: one more is tight
		c.later(roundTime)
		for port := uint16(1); port <= 20; port++ { // the oldest are matched again
			c.send(1, port)
		}
		c.later(2 * roundTime) // a round reads that
		c.late = func() {
			for port := uint16(21); port <= 24; port++ {
				c.send(1, port)
			}
		}
		if n := len(c.has(1)); n != 59 {
			t.Fatalf("%d flows, want 59", n)
		}
		c.at += time.Second
		c.fill(1, 60, 61)
		got := c.has(1)
		if len(got) != 56 {
			t.Errorf("blind %v: %d flows are left, want 56: %v", blind, len(got), got)
		}
		for port := uint16(1); port <= 24; port++ {
			if !slices.Contains(got, port) {
				t.Errorf("blind %v: flow %d was matched lately and is gone", blind, port)
			}
		}
		if !blind && (slices.Contains(got, 25) || slices.Contains(got, 26) || slices.Contains(got, 27) || slices.Contains(got, 28)) {
			t.Errorf("blind %v: of flows 25 to 28, matched longest ago, some are left: %v", blind, got)
		}
		if s := c.a.Stats(); s.EvictedLimit != 4 || s.EvictedShare+s.EvictedTable != 0 {
			t.Errorf("blind %v: evicted %d, %d, %d; want 4 by the limit", blind, s.EvictedLimit, s.EvictedShare, s.EvictedTable)
		}
	}
}

// TestDoorkeeper (E5): where room is scarce a flow that comes once gets no entry, and one that comes again does; with room the first packet has one at once.
func TestDoorkeeper(t *testing.T) {
	c := newCached(t, 2000, 100, 64)
	for port := uint16(1); port <= 56; port++ {
		c.send(1, port)
	}
	if n := len(c.has(1)); n != 56 {
		t.Fatalf("%d flows with room, want an entry for each of 56", n)
	}
	for port := uint16(100); port < 1100; port++ {
		c.send(1, port)
	}
	if n, s := len(c.has(1)), c.a.Stats(); n != 56 || s.NotKept != 1000 || s.EvictedLimit != 0 {
		t.Errorf("after a scan: %d flows, %d not kept, %d evicted; want 56, 1000 and 0", n, s.NotKept, s.EvictedLimit)
	}
	c.send(1, 100)
	if !c.send(1, 100) {
		t.Error("a flow that came again has no entry")
	}
	c.at += 3 * doorTurns
	c.send(1, 200)
	if c.send(1, 200) {
		t.Error("a flow is known after three turns of the doorkeeper")
	}
}

// TestEvictOwn (E5): a vport that has its share gives its own entries for its new ones, however many it has, and none of another's; where the edge is nearly full, who has most gives.
func TestEvictOwn(t *testing.T) {
	c := newCached(t, 2000, 25, 256) // 64 each
	c.fill(2, 1, 41)
	c.fill(1, 1, 1000)
	if got := c.has(2); len(got) != 40 {
		t.Errorf("a neighbour's flood has left %d flows of 40", len(got))
	}
	if n := len(c.has(1)); n < 48 || n > 64 {
		t.Errorf("%d flows of who has its share, want nearly 64", n)
	}
	if s := c.a.Stats(); s.EvictedShare < 900 || s.EvictedLimit+s.EvictedTable != 0 {
		t.Errorf("%d evicted by share, %d otherwise; want 935 or more, and 0", s.EvictedShare, s.EvictedLimit+s.EvictedTable)
	}

	c = newCached(t, 2000, 90, 128)
	c.fill(2, 1, 41)
	c.fill(1, 1, 1000)
	if got := c.has(2); len(got) != 40 {
		t.Errorf("where the edge is full %d flows of 40 are left of who has fewer", len(got))
	}
	if s := c.a.Stats(); s.EvictedLimit == 0 || s.EvictedShare != 0 {
		t.Errorf("%d evicted by the limit, %d by share", s.EvictedLimit, s.EvictedShare)
	}
}

// TestEvictYoung (E5): while the target does not tell, or nothing was read yet, some of the new ones go, by chance; nothing goes beyond what has to.
func TestEvictYoung(t *testing.T) {
	c := newCached(t, 2000, 100, 64)
	c.silent = true
	c.cache.choose = func(n int) int { return n - 1 }
	c.fill(1, 1, 200)
	n, s := len(c.has(1)), c.a.Stats()
	if n < 52 || n > 64 || s.EvictedLimit == 0 || s.Flows != uint64(n) {
		t.Errorf("%d flows, %d evicted, %d by the count; want nearly 64, and some evicted", n, s.EvictedLimit, s.Flows)
	}
}

// TestEvictedIsNotExpired (B3): a learnt MAC of which all flows were evicted has its time from then on.
func TestEvictedIsNotExpired(t *testing.T) {
	c := newCached(t, 2000, 100, 64)
	c.fill(1, 1, 70)
	if s := c.a.Stats(); s.EvictedLimit == 0 || s.Expired != 0 {
		t.Fatalf("%d evicted, %d expired", s.EvictedLimit, s.Expired)
	}
	backing := 0
	for _, e := range c.aging.entries {
		backing += e.flows
	}
	if backing != len(c.has(1)) {
		t.Errorf("%d flows back the learnt MAC, want the %d that are left", backing, len(c.has(1)))
	}
}
