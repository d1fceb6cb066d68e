package engine

import (
	"context"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// balance is what an edge knows of pools beside the snapshot (N4): sim.Balance. The agent's own goroutine alone touches it.
type balance struct {
	c     *core
	turns map[turnOf]uint32
	loads map[memberOf]uint32
	last  map[topology.PoolClient]lastMember // what the database said not long ago
	asked map[topology.PoolClient]struct{}
}

type turnOf struct {
	pool topology.DeviceID
	v6   bool
}

// memberOf is a member of a pool; the zero value is none.
type memberOf struct {
	pool   topology.DeviceID
	member topology.MemberKey
}

// lastMember is the member that a client had last, if it is known to have had one. What is stored depends on its revision: it may be out of date.
type lastMember struct {
	state.Sticky
	stuck bool
	until time.Duration // it is asked for again
}

func newBalance(c *core) *balance {
	return &balance{c, map[turnOf]uint32{}, map[memberOf]uint32{}, map[topology.PoolClient]lastMember{}, map[topology.PoolClient]struct{}{}}
}

// Turn implements sim.Balance.
func (b *balance) Turn(pool topology.DeviceID, v6 bool) uint32 { return b.turns[turnOf{pool, v6}] }

// Load implements sim.Balance.
func (b *balance) Load(pool topology.DeviceID, m topology.MemberKey) uint32 {
	return b.loads[memberOf{pool, m}]
}

// Last implements sim.Balance.
func (b *balance) Last(c topology.PoolClient) (topology.MemberKey, bool, bool) {
	l, known := b.last[c]
	return l.Member, l.stuck, known || b.c.contact.lost // nobody is waited for who does not answer
}

// look asks the database for a client's member, and then goes on with the packets that wait for that.
func (b *balance) look(client topology.PoolClient) {
	if _, busy := b.asked[client]; busy {
		return
	}
	b.asked[client] = struct{}{}
	b.c.contact.asked()
	ctx := b.c.ctx
	b.c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, connTime)
		defer cancel()
		found, stuck, err := b.c.a.cfg.Store.FindSticky(ctx, client)
		b.c.a.mail.post(func() {
			delete(b.asked, client)
			b.c.contact.told(err)
			if err != nil {
				b.c.a.counts.effectFails.Add(1)
				b.c.a.cfg.Logger.Debug("client's member is not known", "client", topology.MemberKey{Addr: client.Addr, V6: client.V6}, "err", err)
			} else {
				b.remember(lastMember{Sticky: found, stuck: stuck})
			}
			b.resume(client, err == nil)
		})
	})
}

func (b *balance) remember(l lastMember) {
	if len(b.last) >= maxAnswers {
		clear(b.last)
	}
	l.until = b.c.now() + connTime
	b.last[l.Client] = l
}

// resume decides the packets that wait for a client's member.
func (b *balance) resume(client topology.PoolClient, known bool) {
	n := awaited{client: client}
	if b.c.holds.wanted[n] == nil {
		return
	}
	if !known {
		b.c.giveUpOn(n)
		return
	}
	packets := b.c.release(n).packets
	for i := range packets {
		b.c.again(&packets[i], sim.Lost{})
	}
}

// begins notes that a connection is about to be stored, and returns the member to remember for its client, nil if none is, and what to call when it is
// stored, or is not.
func (b *balance) begins(r *sim.Track) (stick *state.Sticky, ended func(revision int64)) {
	members := b.of(&r.New)
	for _, m := range members {
		if m.pool != 0 {
			b.loads[m]++
			b.turns[turnOf{m.pool, m.member.V6}]++
		}
	}
	if p := b.c.snap.Pool(r.Client.Pool); p != nil && p.Sticky > 0 {
		for _, m := range members {
			if m.pool == p.ID {
				stick = &state.Sticky{Client: r.Client, Member: m.member, Timeout: p.Sticky, Revision: b.last[r.Client].Revision}
			}
		}
	}
	return stick, func(revision int64) {
		for _, m := range members {
			b.less(m)
		}
		switch {
		case stick == nil:
		case revision == 0:
			delete(b.last, stick.Client) // it may be another by now
		default:
			stored := *stick
			stored.Revision = revision
			b.remember(lastMember{Sticky: stored, stuck: true})
		}
	}
}

// of returns the members that a connection goes to, by its steps.
func (b *balance) of(c *conntrack.Conn) (members [conntrack.MaxSteps]memberOf) {
	for i, s := range c.Steps() {
		if s.Pool == 0 {
			continue
		}
		id := topology.DeviceID(s.Pool)
		members[i] = memberOf{id, topology.MemberKey{Addr: s.Addr, Port: s.Port, V6: c.Forward.V6}}
		if p := b.c.snap.Pool(id); p != nil {
			if m := p.Member(s.Addr, s.Port, c.Forward.V6); m != nil {
				members[i].member = m.MemberKey
			}
		}
	}
	return members
}

// join and leave count the connections that this edge knows.
func (b *balance) join(x *conn) {
	x.anyPort = 0
	for i, m := range b.of(&x.stored.Conn) {
		if m.pool == 0 {
			continue
		}
		b.loads[m]++
		if m.member.Port == 0 {
			x.anyPort |= 1 << i
		}
	}
}

func (b *balance) leave(x *conn) {
	for i := range x.stored.Steps() {
		b.less(x.member(i))
	}
}

func (b *balance) less(m memberOf) {
	if m.pool == 0 {
		return
	}
	if b.loads[m]--; b.loads[m] == 0 {
		delete(b.loads, m)
	}
}

// member returns the member that a step leads to, as it was when the connection joined: the pool may be another by now.
func (x *conn) member(i int) memberOf {
	s := &x.stored.Steps()[i]
	if s.Pool == 0 {
		return memberOf{}
	}
	m := memberOf{topology.DeviceID(s.Pool), topology.MemberKey{Addr: s.Addr, Port: s.Port, V6: x.stored.Forward.V6}}
	if x.anyPort>>i&1 != 0 {
		m.member.Port = 0
	}
	return m
}

// changed: a pool is another now, or gone.
func (b *balance) changed(id topology.DeviceID) {
	if p := b.c.snap.Pool(id); p != nil {
		b.cut(p)
	}
}

// cut ends the connections to members that are down, or have drained for as long as they may; their clients' next packets begin anew, elsewhere. One that this
// edge comes to know later ends with the next sweep.
func (b *balance) cut(p *topology.Pool) {
	now := time.Now()
	down := map[memberOf]struct{}{}
	for i := range p.Members {
		m := memberOf{p.ID, p.Members[i].MemberKey}
		if b.loads[m] > 0 && p.Members[i].Ended(now) {
			down[m] = struct{}{}
		}
	}
	if len(down) == 0 {
		return
	}
	var ends []*conn
	for x := range b.c.conns.known.all() {
		for i := range x.stored.Steps() {
			if _, ok := down[x.member(i)]; ok {
				ends = append(ends, x)
				break
			}
		}
	}
	for _, x := range ends {
		b.c.conns.end(x)
	}
}

// sweep ends connections to members whose time to drain is over, and forgets what the database said a while ago, and counts of pools that are gone.
func (b *balance) sweep(now time.Duration) {
	for p := range b.c.snap.Pools() {
		b.cut(p)
	}
	for client, l := range b.last {
		if now >= l.until {
			delete(b.last, client)
		}
	}
	for t := range b.turns {
		if b.c.snap.Pool(t.pool) == nil {
			delete(b.turns, t)
		}
	}
}

// end removes a connection, here and in the database, whatever its state is.
func (t *conns) end(x *conn) {
	stored, local := x.stored, x.local
	if t.drop(x); !local {
		t.erase(stored)
	}
}

// erase removes a connection from the database that this process has no more.
func (t *conns) erase(stored state.StoredConn) {
	ctx, run := t.c.ctx, t.run
	t.c.effects.wg.Go(func() {
		for {
			now, gone, err := t.c.a.cfg.Store.DeleteConn(ctx, stored, stored.Owners(run)...)
			switch {
			case err == nil && (gone || now.Revision == 0 || now.Birth != stored.Birth):
				return
			case err == nil: // its other direction has an owner by now
				stored = now
			case !t.c.effects.pause(ctx):
				return
			}
		}
	})
}
