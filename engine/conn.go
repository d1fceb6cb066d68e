package engine

import (
	"context"
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
	maxConnsOf  = 1 << 16         // that packets of one port of a bridge began
	maxAttempts = 16              // translations that are tried before a connection is given up (N2)
	connTime    = 3 * time.Second // that packets wait for the database
	sweepTime   = 5 * time.Minute // between two looks for connections that nobody owns
	maxAnswers  = 4096            // connections that were looked for and are nobody's here, kept until the packets that wait for them are decided
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
	answers  map[conntrack.Key]*conn // what was just looked for; nil: there is none
	waiting  map[conntrack.Key]struct{}
	attempts map[conntrack.Key]uint32 // translations that were taken
	fresh    conntrack.Key            // of a connection that was just stored: its first packet is decided as if it were not
	live     map[int64]bool           // processes with live edges
	edges    []string                 // live ones, sorted
	resting  map[*conn]struct{}       // without a flow of a direction that is owned
	orphans  map[conntrack.Key]int64  // seen without owners
	swept    time.Duration
	made     map[flow.VPortID]int // connections that packets of a bridge's port began
}

// conn is a connection with an owned direction.
type conn struct {
	stored  state.StoredConn
	of      flow.VPortID // whose packet began it, if that is counted
	writing writing
	anyPort uint8 // bits of the steps that lead to a pool's member without a port of its own
	own     [2]bool
	flows   [2]int32
	seen    [2]time.Duration // when a direction without flows had its last packet
}

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
		waiting: map[conntrack.Key]struct{}{}, attempts: map[conntrack.Key]uint32{}, live: map[int64]bool{run: true}, resting: map[*conn]struct{}{},
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
			c.conns.look(r.Key)
		}
		return true
	case r.Ask:
		if c.hold(awaited{client: r.Client}, f.Data, ingress, local) {
			c.balance.look(r.Client)
		}
		return true
	case r.Commit:
		if c.conns.made[ingress] >= maxConnsOf {
			c.a.counts.connDrops.Add(1)
			return true
		}
		if c.hold(awaited{conn: r.Key}, f.Data, ingress, local) {
			c.conns.create(r, ingress)
		}
		return true
	case r.Used && !r.Related && forwards(res): // what is dropped changes nothing (C5); who complains of a packet has no flow of it
		c.conns.own(r)
	}
	return false
}

// forwards reports whether the packet goes anywhere.
func forwards(res *sim.Result) bool {
	return slices.ContainsFunc(res.Outcomes, func(o sim.Outcome) bool { return o.Verdict == sim.Forward })
}

// begin does something at the database for a key, once at a time, and then goes on with the packets that wait for the key.
func (t *conns) begin(k conntrack.Key, do func(context.Context) func()) {
	if _, busy := t.waiting[k]; busy {
		return
	}
	t.waiting[k] = struct{}{}
	ctx := t.c.ctx
	t.c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, connTime)
		defer cancel()
		done := do(ctx)
		t.c.a.mail.post(func() {
			delete(t.waiting, k)
			done()
		})
	})
}

// look asks the database for a connection.
func (t *conns) look(k conntrack.Key) {
	t.begin(k, func(ctx context.Context) func() {
		found, there, err := t.c.a.cfg.Store.FindConn(ctx, k)
		return func() {
			if err != nil {
				t.failed(k, err)
				return
			}
			t.answer(k, found, there)
			t.resume(k)
		}
	})
}

// answer notes what the database said, for the packets that wait.
func (t *conns) answer(k conntrack.Key, found state.StoredConn, there bool) {
	if len(t.answers) >= maxAnswers {
		clear(t.answers)
	}
	t.answers[k] = nil
	if there {
		t.answers[k] = &conn{stored: found}
	}
}

func (t *conns) failed(k conntrack.Key, err error) {
	t.c.a.counts.effectFails.Add(1)
	t.c.a.cfg.Logger.Debug("connection is not known", "connection", k.String(), "err", err)
	if n := (awaited{conn: k}); t.c.holds.wanted[n] != nil {
		t.c.a.counts.heldDrops.Add(uint64(len(t.c.release(n).packets)))
	}
	delete(t.attempts, k)
}

// resume decides the packets that wait for a connection.
func (t *conns) resume(k conntrack.Key) {
	n := awaited{conn: k}
	if t.c.holds.wanted[n] == nil {
		delete(t.answers, k)
		delete(t.attempts, k)
		return
	}
	t.c.sim.Attempt = t.attempts[k]
	packets := t.c.release(n).packets
	for i := range packets {
		t.c.again(&packets[i], sim.Lost{})
	}
	t.c.sim.Attempt = 0
	if _, busy := t.waiting[k]; !busy {
		delete(t.answers, k)
		delete(t.attempts, k)
	}
}

// create stores a connection (C1). Of two that want the same, or the same translation, one wins (N1, N2).
func (t *conns) create(r *sim.Track, ingress flow.VPortID) {
	k, c := r.Key, r.New
	if _, busy := t.waiting[k]; busy {
		return
	}
	c.ForwardOwner = t.run
	var old *state.StoredConn
	if x := t.known.get(k); r.Replace && x != nil {
		stored := x.stored
		old = &stored
	} else if x := t.answers[k]; r.Replace && x != nil {
		stored := x.stored
		old = &stored
	}
	stick, ended := t.c.balance.begins(r)
	t.begin(k, func(ctx context.Context) func() {
		if old != nil && old.Forward != k { // the old one began on the other side: its keys are these, the other way round
			if _, gone, err := t.c.a.cfg.Store.DeleteConn(ctx, *old, 0); err != nil || !gone {
				return func() { t.failed(k, err) }
			}
			old = nil
		}
		rev, created, err := t.c.a.cfg.Store.CreateConn(ctx, c, old, stick)
		var found state.StoredConn
		there := false
		if err == nil && !created {
			found, there, err = t.c.a.cfg.Store.FindConn(ctx, k)
		}
		return func() {
			if !created {
				rev = 0
			}
			ended(rev)
			switch {
			case err != nil:
				t.failed(k, err)
			case created:
				t.created(state.StoredConn{Conn: c, Revision: rev}, ingress)
			case there && !(old != nil && found.Revision == old.Revision): // another edge was faster: what it chose holds
				t.drop(k)
				t.answer(k, found, true)
				t.resume(k)
			default: // the translation is another connection's
				t.taken(k)
			}
		}
	})
}

// taken tries another translation.
func (t *conns) taken(k conntrack.Key) {
	if t.attempts[k]++; t.attempts[k] < maxAttempts {
		t.c.a.counts.natRetries.Add(1)
		t.drop(k)
		t.answer(k, state.StoredConn{}, false)
		t.resume(k)
		return
	}
	n := awaited{conn: k}
	if t.c.holds.wanted[n] != nil {
		t.c.a.counts.natFails.Add(uint64(len(t.c.release(n).packets)))
	}
	delete(t.attempts, k)
}

// created: the first packet leaves as that of a new connection, and its successors are those of one that is known.
func (t *conns) created(c state.StoredConn, ingress flow.VPortID) {
	k := c.Forward
	t.drop(k)
	x := &conn{stored: c, own: [2]bool{forward: true}}
	if p := t.c.snap.VPort(ingress); p != nil && p.Kind == topology.DeviceBridge {
		x.of = ingress
		t.made[ingress]++
	}
	t.keep(x)
	n := awaited{conn: k}
	if t.c.holds.wanted[n] == nil {
		t.rest(x, forward)
		return
	}
	packets := t.c.release(n).packets
	t.fresh, t.c.sim.Chosen = k, &x.stored.Conn
	t.c.first(&packets[0])
	t.fresh, t.c.sim.Chosen = conntrack.Key{}, nil
	delete(t.attempts, k)
	delete(t.answers, k)
	for i := range packets {
		t.c.successor(&packets[i], i > 0)
	}
	if x.flows[forward] == 0 {
		t.rest(x, forward)
	}
}

// keep indexes a connection by both its keys.
func (t *conns) keep(x *conn) {
	t.known.add(x)
	t.c.balance.join(x)
	t.c.a.counts.conns.Store(uint64(t.known.n))
}

// drop forgets a connection, and the flows that relied on it.
func (t *conns) drop(k conntrack.Key) {
	x := t.known.get(k)
	if x == nil {
		return
	}
	t.known.remove(x)
	delete(t.resting, x)
	t.c.balance.leave(x)
	t.c.a.counts.conns.Store(uint64(t.known.n))
	t.invalidate(&x.stored)
}

// invalidate removes the flows of a connection: their next packets are decided anew.
func (t *conns) invalidate(c *state.StoredConn) {
	for _, k := range []conntrack.Key{c.Forward, c.Return()} {
		for _, f := range t.c.flows.affected([]topology.Dep{topology.ConnDep(topology.DeviceID(k.Zone), k.Hash())}) {
			t.c.remove(f)
		}
	}
}

func directionOf(r *sim.Track) int {
	if r.Reply {
		return reply
	}
	return forward
}

// own makes this edge the owner of the packet's direction, and stores the state that the packet leads to.
func (t *conns) own(r *sim.Track) {
	x := t.known.get(r.Key)
	if x == nil {
		if x = t.answers[r.Key]; x == nil {
			return // there is none, and the packet makes none
		}
		t.keep(x)
		delete(t.answers, r.Key)
	}
	dir := directionOf(r)
	t.touch(x, dir)
	if x.own[dir] && !r.Changed {
		return
	}
	x.own[dir] = true
	if r.Changed {
		x.stored.State = r.State
		if r.State == conntrack.Closed {
			t.invalidate(&x.stored)
		}
	}
	t.store(x)
}

// touch notes a packet of a direction.
func (t *conns) touch(x *conn, dir int) {
	if x.flows[dir] == 0 {
		t.rest(x, dir)
	}
}

// rest: a direction has no flows; from now on its timeout counts.
func (t *conns) rest(x *conn, dir int) {
	x.seen[dir] = t.c.now()
	t.resting[x] = struct{}{}
}

// store writes a connection with this edge's owned directions.
func (t *conns) store(x *conn) {
	if x.writing != idle {
		x.writing = busyAndDue
		return
	}
	x.writing = busy
	want := x.stored
	if x.own[forward] {
		want.ForwardOwner = t.run
	} else if want.ForwardOwner == t.run {
		want.ForwardOwner = 0
	}
	if x.own[reply] {
		want.ReturnOwner = t.run
	} else if want.ReturnOwner == t.run {
		want.ReturnOwner = 0
	}
	gone := !t.live[want.ForwardOwner] && !t.live[want.ReturnOwner]
	tell := int64(0)
	if want.State == conntrack.Closed || gone {
		tell = t.other(&want)
	}
	ctx := t.c.ctx
	t.c.effects.wg.Go(func() {
		var now state.StoredConn
		var done bool
		var err error
		for {
			if gone {
				now, done, err = t.c.a.cfg.Store.DeleteConn(ctx, want, tell)
			} else {
				now, done, err = t.c.a.cfg.Store.UpdateConn(ctx, want, tell)
			}
			if err == nil || ctx.Err() != nil {
				break
			}
			t.c.a.counts.effectFails.Add(1)
			timer := time.NewTimer(effectRetry)
			select {
			case <-ctx.Done():
				timer.Stop()
			case <-timer.C:
			}
		}
		t.c.a.mail.post(func() { t.storedConn(x, now, done, gone, want.State) })
	})
}

// other is the process that owns the other direction, 0 if it is this one or nobody.
func (t *conns) other(c *state.StoredConn) int64 {
	for _, owner := range []int64{c.ForwardOwner, c.ReturnOwner} {
		if owner != t.run && t.live[owner] {
			return owner
		}
	}
	return 0
}

// storedConn takes the database's word.
func (t *conns) storedConn(x *conn, now state.StoredConn, done, deleted bool, wanted conntrack.State) {
	again := x.writing == busyAndDue
	x.writing = idle
	k := x.stored.Forward
	if t.known.get(k) != x {
		return
	}
	switch {
	case done && deleted, !done && now.Revision == 0:
		t.drop(k)
		return
	case done:
		state := x.stored.State
		x.stored = now
		if again {
			x.stored.State = state
		}
	default: // another process changed it: both are right
		state := x.stored.State.Join(wanted).Join(now.State)
		t.adopt(x, now)
		if x.stored.State != state {
			x.stored.State = state
			if state == conntrack.Closed {
				t.invalidate(&x.stored)
			}
		}
		again = true
	}
	if !x.own[forward] && !x.own[reply] && !again {
		t.drop(k)
		return
	}
	if again {
		t.store(x)
	}
}

// adopt takes what another process stored.
func (t *conns) adopt(x *conn, now state.StoredConn) {
	closed := now.State == conntrack.Closed && x.stored.State != conntrack.Closed
	if now.Forward != x.stored.Forward || now.Return() != x.stored.Return() { // another in its place: translated otherwise
		t.invalidate(&x.stored)
		t.known.remove(x)
		t.c.balance.leave(x)
		x.stored = now
		t.keep(x)
	}
	x.stored = now
	if closed {
		t.invalidate(&x.stored)
	}
}

// meet takes the edges that are alive.
func (t *conns) meet(live map[string]state.Edge) {
	clear(t.live)
	t.live[t.run] = true
	for _, e := range live {
		t.live[e.Run] = true
	}
	t.edges = slices.Sorted(maps.Keys(live))
}

// flowAdded and flowGone count the flows of a connection's directions.
func (t *conns) flowAdded(f *installedFlow, r *sim.Track) {
	x := t.known.get(r.Key)
	if x == nil {
		return
	}
	f.conn, f.direction = x, directionOf(r)
	x.flows[f.direction]++
}

func (t *conns) flowGone(f *installedFlow) {
	x := f.conn
	if x == nil {
		return
	}
	if x.flows[f.direction]--; x.flows[f.direction] == 0 && t.known.get(x.stored.Forward) == x {
		t.rest(x, f.direction)
	}
}

// idleSince corrects when a direction had its last packet: its flow was idle for that long.
func (t *conns) idleSince(f *installedFlow, idle time.Duration) {
	if x := f.conn; x != nil && x.flows[f.direction] == 0 {
		x.seen[f.direction] -= idle
	}
}

// sweep lets go of directions that had no packet for the connection's timeout (C7).
func (t *conns) sweep(now time.Duration) {
	for x := range t.resting {
		timeout, owned, let := t.timeouts.Of(x.stored.State), false, false
		for dir := range x.own {
			switch {
			case !x.own[dir] || x.flows[dir] > 0:
			case now-x.seen[dir] >= timeout:
				x.own[dir], let = false, true
			default:
				owned = true
			}
		}
		if let {
			t.store(x)
		}
		if !owned {
			delete(t.resting, x)
		}
	}
	if now-t.swept >= sweepTime {
		t.swept = now
		t.sweepOrphans()
	}
}

// sweepOrphans has the first of the live edges look for connections of processes that are gone.
func (t *conns) sweepOrphans() {
	if len(t.edges) == 0 || t.edges[0] != t.c.view.self.ID {
		return
	}
	ctx, live, seen := t.c.ctx, map[int64]bool{t.run: true}, t.orphans
	for run := range t.live {
		live[run] = true
	}
	t.c.effects.wg.Go(func() {
		next, n, err := t.c.a.cfg.Store.SweepConns(ctx, live, seen)
		t.c.a.mail.post(func() {
			if t.orphans = next; err == nil && n > 0 {
				t.c.a.cfg.Logger.Info("connections that nobody owned are removed", "connections", n)
			}
		})
	})
}

// told: another edge changed connections that this one owns a direction of.
func (t *conns) told(words []state.Told) {
	words = slices.DeleteFunc(slices.Clone(words), func(w state.Told) bool { return w.Run != t.run })
	if len(words) == 0 {
		return
	}
	ctx := t.c.ctx
	t.c.effects.wg.Go(func() {
		for _, w := range words {
			found, there, err := t.c.a.cfg.Store.FindConn(ctx, w.Key)
			if err != nil {
				continue // the word stays, and the flow's timeout ends it
			}
			t.c.a.mail.post(func() { t.heard(w.Key, found, there) })
			_ = t.c.a.cfg.Store.Heard(ctx, w)
		}
	})
}

// heard takes what a connection has become.
func (t *conns) heard(k conntrack.Key, found state.StoredConn, there bool) {
	x := t.known.get(k)
	switch {
	case x == nil:
	case !there || found.Forward != x.stored.Forward || found.Return() != x.stored.Return():
		t.drop(k)
	case found.Revision > x.stored.Revision:
		t.adopt(x, found)
	}
}

// ended takes the copy of a TCP segment with FIN or RST that went on: the connection's state changes, and nothing else.
func (c *core) ended(f *packet.Frame, ingress flow.VPortID) {
	f.Untag()
	c.sim.Simulate(c.snap, f, ingress, c.now(), &c.res)
	if r := &c.res.Track; r.Used && !r.Wait && c.conns.known.get(r.Key) != nil && forwards(&c.res) {
		c.conns.own(r)
	}
}

// first sends the packet for which a connection was stored, as that of a new connection.
func (c *core) first(p *heldPacket) {
	var f packet.Frame
	if packet.Parse(p.data, &f) != nil || c.locals.ingress(p.local) != p.ingress {
		c.a.counts.heldDrops.Add(1)
		return
	}
	f.Untag()
	c.sim.Simulate(c.snap, &f, p.ingress, c.now(), &c.res)
	c.logRules(&c.res, &f, p.ingress)
	c.carryOut(c.res.Effects, p.ingress)
	hash, piece := flow.Hash(&f), fragmentOf(&f, p.ingress)
	for i := range c.res.Outcomes {
		c.emit(&c.res.Outcomes[i], &f, p.local, hash, i == len(c.res.Outcomes)-1)
	}
	c.fragments.came(c, &f, piece)
}

// successor installs what is decided of the packets that follow, and sends this one too, if it is one of them.
func (c *core) successor(p *heldPacket, send bool) {
	if send {
		c.again(p, sim.Lost{})
		return
	}
	var f packet.Frame
	if packet.Parse(p.data, &f) != nil || c.locals.ingress(p.local) != p.ingress {
		return
	}
	f.Untag()
	c.sim.Simulate(c.snap, &f, p.ingress, c.now(), &c.res)
	learns := slices.ContainsFunc(c.res.Effects, func(e sim.Effect) bool { return e.Kind == sim.Learn })
	if c.res.Installable && c.res.Track.Used && !learns {
		c.install(&c.res, flow.KeyOf(&f, p.ingress), p.local)
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
