package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Bounds of connections.
const (
	maxConnsOf  = 1 << 16          // that packets of one port of a host began; of others, where many send: eight times that
	maxAttempts = 16               // translations that are tried before a connection is given up (N2)
	connTime    = 3 * time.Second  // that packets wait for the database
	doubtTime   = 15 * time.Second // after which a write whose outcome was not known has happened, or never will: etcd's own limit is 7 s
	sweepTime   = 5 * time.Minute  // between two looks for connections that nobody owns
	maxDoubts   = 1 << 15          // as many as the queue to the database holds: connections of which the database did not say whether they are stored, that are looked for later
	maxAnswers  = 4096             // connections that were looked for and are nobody's here, kept until the packets that wait for them are decided
)

// Directions of a connection.
const (
	forward = 0
	reply   = 1
)

// conns are the connections that an agent owns a direction of (C1): it has the flows of that direction, or had them less than the connection's timeout ago.
// The agent's own goroutine alone touches them.
//
//	packet → sim wants the connection → look → create, or own its direction → flows … idle → let go; the last owner deletes it
type conns struct {
	c        *core
	run      int64 // names this process in the database
	timeouts conntrack.Timeouts
	known    connIndex
	answers  map[conntrack.Key]*conn     // what was just looked for; nil: there is none
	waiting  map[conntrack.Key]*creation // what the database was asked for; nil: whether there is one
	unstored map[*conn]struct{}          // begun while the database was away (unstored.go)
	localsOf map[flow.VPortID]int        // of these, by the host's port that began them
	attempts map[conntrack.Key]uint32    // translations that were taken
	fresh    conntrack.Key               // of a connection that was just stored: its first packet is decided as if it were not
	live     map[int64]bool              // processes with live edges
	runs     map[string]int64            // of live edges
	serving  map[string]struct{}         // of these, those whose target is programmed
	away     bool                        // this edge is not among them
	underWay int                         // stores and looks of connections that are known
	sweeps   uint8                       // number of the last one, from one on
	stopped  time.Duration               // of when the sweep is that stopped since too many were; 0: none
	resting  []*conn                     // without a flow of a direction that is owned; each knows its place
	orphans  map[conntrack.Key]int64     // seen without owners
	gone     map[int64]bool              // processes that are gone and have words
	swept    time.Duration
	storing  int                             // of unstored: under way
	back     time.Duration                   // until then, what the database does not have is stored again: others took this edge for dead
	doubts   map[conntrack.Key]time.Duration // since when it is not known whether it is stored: the database did not say
	made     map[flow.VPortID]int            // connections that are remembered and packets of a port began
}

// creation is a connection that is about to be stored.
type creation struct {
	conntrack.Conn
	local   bool // it may begin while the database is away
	ingress flow.VPortID
}

// conn is a connection with an owned direction.
type conn struct {
	stored  state.StoredConn
	of      flow.VPortID    // whose packet began it, if that is counted
	ack     uint32          // what the last FIN of a direction that is owned acknowledged, valid iff there was one
	told    conntrack.State // what of its state the owner of the other direction was told
	writing writing
	anyPort uint8 // bits of the steps that lead to a pool's member without a port of its own
	acked   ends  // direction of the FIN that ack is of
	asked   uint8 // number of the sweep that looked for an answer; 0: none did
	local   bool  // it is not stored yet (unstored.go)
	doubt   bool  // it may be, all the same
	gone    bool  // it is stored no more: its translations may be given again
	own     [2]bool
	flows   [2]int32
	seen    [2]moment // when a direction without flows had its last packet
	place   int32     // in the list of those that rest, from one on; 0: it is not there
}

// moment is a time of the agent in milliseconds, with the high bits left out: half of a Duration, and the time since one is right for seven weeks.
type moment uint32

func momentOf(t time.Duration) moment { return moment(t.Milliseconds()) }

// until is the time from m to a later one.
func (m moment) until(later moment) time.Duration { return time.Duration(later-m) * time.Millisecond }

// ends names a direction whose FIN this edge saw.
type ends uint8

const (
	noEnd ends = iota
	forwardEnd
	replyEnd
)

// writing tells what is under way to the database.
type writing uint8

const (
	idle       writing = iota
	busy               // a change
	busyAndDue         // a change, and another is wanted
)

func newConns(c *core) *conns {
	run := c.a.cfg.Store.NewRun()
	return &conns{
		c: c, run: run, made: map[flow.VPortID]int{}, timeouts: c.a.cfg.Timeouts, known: newConnIndex(), answers: map[conntrack.Key]*conn{},
		waiting: map[conntrack.Key]*creation{}, unstored: map[*conn]struct{}{}, localsOf: map[flow.VPortID]int{}, attempts: map[conntrack.Key]uint32{}, runs: map[string]int64{}, serving: map[string]struct{}{}, live: map[int64]bool{run: true}, doubts: map[conntrack.Key]time.Duration{},
	}
}

// Find implements sim.Connections.
func (t *conns) Find(k *conntrack.Key, hash uint64) (c *conntrack.Conn, reply, known bool) {
	if t.fresh.Is(k) {
		return nil, false, true
	}
	if x, reply := t.known.find(k, hash); x != nil {
		return &x.stored.Conn, reply, true
	}
	x, ok := t.answers[*k]
	if x == nil {
		return nil, false, ok
	}
	_, reply = x.has(k)
	return &x.stored.Conn, reply, true
}

// track does what a result has to do with a connection. True: the packet waits, or is dropped, and nothing else of the result counts.
func (c *core) track(res *sim.Result, f *packet.Frame, ingress flow.VPortID, local uint16) bool {
	r := &res.Track
	switch {
	case r.Ports:
		return c.fragments.wait(c, f, ingress, local)
	case r.Wait:
		if c.hold(awaited{conn: r.Key}, f.Data, ingress, local) {
			c.conns.ask(r.Key, f, ingress)
		}
		return true
	case r.Ask:
		if c.hold(awaited{client: r.Client}, f.Data, ingress, local) {
			c.balance.look(r.Client)
		}
		return true
	case r.Commit:
		if c.conns.made[ingress] >= c.shareOf(ingress, maxConnsOf) {
			c.a.counts.connDrops.Add(1)
			c.lose(ingress, dropTooManyConns)
			return true
		}
		if c.hold(awaited{conn: r.Key}, f.Data, ingress, local) && !c.conns.beginLocal(r, ingress) && !c.contact.lost {
			c.conns.create(r, ingress)
		}
		return true
	case r.Used && !r.Related && forwards(res): // what is dropped changes nothing (C5); who complains of a packet has no flow of it
		c.conns.own(r)
		if r.Late {
			c.late(r, ingress)
		}
	}
	return false
}

// late reports data that a side of a TCP connection sends behind its own FIN (C3).
func (c *core) late(r *sim.Track, ingress flow.VPortID) {
	c.a.counts.lateData.Add(1)
	if c.warnings.allow(ingress, c.now()) {
		c.a.cfg.Logger.Warn("data on a side of a connection that had ended it", "vport", c.nameOf(ingress), "connection", r.Key.String())
	}
}

// forwards reports whether the packet goes anywhere.
func forwards(res *sim.Result) bool {
	return slices.ContainsFunc(res.Outcomes, func(o sim.Outcome) bool { return o.Verdict == sim.Forward })
}

// keep indexes a connection by both its keys.
func (t *conns) keep(x *conn) {
	t.known.add(x)
	t.c.balance.join(x)
	t.c.blocks.join(&x.stored.Conn)
	t.c.a.counts.conns.Store(uint64(t.known.n))
}

// forget forgets the connection of a key, if there is one.
func (t *conns) forget(k conntrack.Key) {
	if x := t.known.get(k); x != nil {
		t.drop(x)
	}
}

// drop forgets a connection, and the flows that relied on it.
func (t *conns) drop(x *conn) {
	t.known.remove(x)
	t.wake(x)
	if x.of != 0 {
		if t.made[x.of]--; t.made[x.of] == 0 {
			delete(t.made, x.of)
		}
	}
	t.c.balance.leave(x)
	t.c.blocks.leave(&x.stored.Conn, x.gone || x.local && !x.doubt)
	if x.local && x.doubt && len(t.doubts) < maxDoubts {
		t.doubts[x.stored.Forward] = t.c.now()
	}
	t.settledLocal(x)
	t.c.a.counts.conns.Store(uint64(t.known.n))
	t.invalidate(&x.stored)
}

// invalidate removes the flows of a connection: their next packets are decided anew.
func (t *conns) invalidate(c *state.StoredConn) {
	t.cut(c.Forward)
	t.cut(c.Return())
}

// cut removes the flows of a direction.
func (t *conns) cut(k conntrack.Key) {
	for _, f := range t.c.flows.ofConnection(topology.ConnDep(topology.DeviceID(k.Zone), k.Hash())) {
		t.c.remove(f)
	}
}

// meet takes note of some edges, of which those are alive that live has.
func (t *conns) meet(live state.EdgeMap[state.Edge], edges map[string]struct{}) {
	for id := range edges {
		e, alive := live.Get(id)
		if was, had := t.runs[id]; had && (!alive || was != e.Run) {
			delete(t.runs, id)
			if !slices.Contains(slices.Collect(maps.Values(t.runs)), was) {
				delete(t.live, was)
			}
		}
		if alive {
			t.runs[id] = e.Run
			t.live[e.Run] = true
		}
		if alive && e.Target == "" {
			t.serving[id] = struct{}{}
		} else {
			delete(t.serving, id)
		}
	}
	t.live[t.run] = true
	_, here := t.runs[t.c.view.self.ID]
	if here && t.away {
		t.recheck()
	}
	t.away = !here
}

// serves reports whether an edge is alive, and its target programmed.
func (t *conns) serves(edge string) bool {
	_, is := t.serving[edge]
	return is
}

// isFirst reports whether this edge is the first of those that are alive, in order.
func (t *conns) isFirst() bool {
	own := t.c.view.self.ID
	if _, alive := t.runs[own]; !alive {
		return false
	}
	for id := range t.runs {
		if id < own {
			return false
		}
	}
	return true
}

// of returns the connection that a result is about, nil if there is none.
func (t *conns) of(r *sim.Track) *conn {
	if !r.Used {
		return nil
	}
	return t.known.get(r.Key)
}

// flowAdded and flowGone count the flows of a connection's directions.
func (t *conns) flowAdded(f *installedFlow, r *sim.Track) {
	x := t.of(r)
	if x == nil {
		return
	}
	f.conn, f.direction = x, uint8(directionOf(r))
	x.flows[f.direction]++
}

func (t *conns) flowGone(f *installedFlow) {
	x := f.conn
	if x == nil {
		return
	}
	if x.flows[f.direction]--; x.flows[f.direction] == 0 && t.known.get(x.stored.Forward) == x {
		t.rest(x, int(f.direction))
	}
}

// idleSince corrects when a direction had its last packet: its flow was idle for that long.
func (t *conns) idleSince(f *installedFlow, idle time.Duration) {
	if x := f.conn; x != nil && x.flows[f.direction] == 0 {
		x.seen[f.direction] -= momentOf(idle)
	}
}

// tracked completes a flow of a connection: how long it may be idle, and whether the target is to show the ends of TCP.
func (c *core) tracked(m *offload.Megaflow, r *sim.Track) {
	if !r.Used {
		return
	}
	m.Tracked = m.Act == offload.Forward && m.Key.Proto == packet.ProtoTCP
	if t := c.conns.timeouts.Of(r.State); t > 0 {
		m.Idle = t
	}
}
