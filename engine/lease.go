package engine

import (
	"context"
	"errors"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Bounds and times of DHCP.
const (
	maxLeases     = 1024             // messages under way to the database
	maxLeasesFrom = 16               // of one vport
	maxLeasesNext = 8                // of one client, that wait for its first
	leaseRate     = 20               // messages a second of one vport that go to the database …
	leaseBurst    = 60               // … and at once
	leaseTime     = 5 * time.Second  // how long a message may take; hosts ask again
	leaseTries    = 8                // decisions about one message: others change the leases meanwhile
	offerTime     = 60 * time.Second // how long an offered address is kept
	declinedTime  = 10 * time.Minute // how long a declined one is
	leaseMargin   = 30 * time.Second // a lease ends in the database that much after it ends at the host, at least: more than leaseTime
)

// leases are the DHCP messages under way to the database, one for each client and IP version.
type leases struct {
	busy map[leaseKey]*leaseJob
	from map[flow.VPortID]int
	rate *limiter
}

type leaseKey struct {
	client state.LeaseClient
	v6     bool
}

func newLeases() leases {
	return leases{map[leaseKey]*leaseJob{}, map[flow.VPortID]int{}, newLimiter(leaseRate, leaseBurst)}
}

// leaseJob is a DHCP message on its way: read what there is, decide, store, answer; and again if it was not so any more.
type leaseJob struct {
	heldPacket
	leaseKey
	begun time.Duration
	tries int
	view  state.LeaseView
	next  []heldPacket // of the same client, to be decided afterwards
}

// lease takes a DHCP message whose answer needs the database. It reports whether it is one. A client's next messages wait for its first, and each is
// answered (RFC 2131 section 4.3.1); one for which there is no room is dropped: hosts ask again.
func (c *core) lease(res *sim.Result, data []byte, ingress flow.VPortID, local uint16) bool {
	e, ok := leaseEffect(res)
	if !ok {
		return false
	}
	j := &leaseJob{leaseKey: leaseKey{state.LeaseClient{VPort: ingress, MAC: e.MAC}, e.Addr.Is6()}, begun: c.now()}
	if before := c.leases.busy[j.leaseKey]; before != nil && len(before.next) < maxLeasesNext {
		before.next = append(before.next, heldPacket{append([]byte(nil), data...), ingress, local, c.lives.matched, due{}, ""})
		return true
	} else if before != nil || len(c.leases.busy) >= maxLeases || c.leases.from[ingress] >= maxLeasesFrom || !c.leases.rate.allow(ingress, c.now()) {
		c.a.counts.dhcpDrops.Add(1)
		c.lose(ingress, dropDHCPRate)
		return true
	}
	j.heldPacket = heldPacket{append([]byte(nil), data...), ingress, local, c.lives.matched, due{}, ""}
	c.leases.busy[j.leaseKey] = j
	c.leases.from[ingress]++
	c.lives.now.settled(sim.Consumed.String(), "")
	c.leaseStep(j, e, res.Originated)
	return true
}

// leaseEffect returns the effect of a result that concerns a lease.
func leaseEffect(res *sim.Result) (sim.Effect, bool) {
	for _, e := range res.Effects {
		switch e.Kind {
		case sim.ReadLease, sim.OfferLease, sim.BindLease, sim.ReleaseLease, sim.DeclineLease:
			return e, true
		}
	}
	return sim.Effect{}, false
}

// leaseEnd ends a message's way. lost: it came to nothing.
func (c *core) leaseEnd(j *leaseJob, lost bool) {
	delete(c.leases.busy, j.leaseKey)
	if c.leases.from[j.ingress]--; c.leases.from[j.ingress] == 0 {
		delete(c.leases.from, j.ingress)
	}
	if !lost {
		c.a.counts.consumed.Add(1)
	} else {
		c.a.counts.dhcpDrops.Add(1)
		c.lose(j.ingress, dropDHCPRate)
	}
	if len(j.next) > 0 {
		c.a.mail.post(func() { // not before the answer to this one
			for i := range j.next {
				c.again(&j.next[i], sim.Lost{}) // the second waits for the first, and so on
			}
		})
	}
}

// leaseStep does what a decision wants of the database. Its answer leaves when that is stored, and not otherwise.
func (c *core) leaseStep(j *leaseJob, e sim.Effect, answer []sim.Originated) {
	d := c.snap.DHCP(e.Device)
	if d == nil {
		c.leaseEnd(j, true)
		return
	}
	store, view := c.a.cfg.Store, j.view
	switch e.Kind {
	case sim.ReadLease:
		q := state.LeaseQuery{Resource: d, Client: j.client, V6: j.v6, Search: e.Search, Try: j.tries}
		if !e.Addr.IsUnspecified() {
			q.Wish = e.Addr
		}
		c.leaseAsync(j, func(ctx context.Context) (err error) { view, err = store.ReadLease(ctx, q); return err }, func() {
			j.view = view
			c.leaseDecide(j, d)
		})
		return
	case sim.OfferLease:
		c.leaseWrite(j, answer, func(ctx context.Context) error {
			return store.WriteLease(ctx, &view, e.Addr, state.LeaseOffered, offerTime)
		})
	case sim.BindLease:
		ttl := d.LeaseTime() + max(leaseMargin, d.LeaseTime()/16)
		c.leaseWrite(j, answer, func(ctx context.Context) error { return store.WriteLease(ctx, &view, e.Addr, state.LeaseBound, ttl) })
	case sim.ReleaseLease:
		c.leaseWrite(j, answer, func(ctx context.Context) error { _, err := store.ReleaseLease(ctx, d, j.client, e.Addr); return err })
	case sim.DeclineLease:
		c.leaseWrite(j, answer, func(ctx context.Context) error {
			was, err := store.DeclineLease(ctx, d, j.client, e.Addr, declinedTime)
			if was {
				c.a.cfg.Logger.Warn("host declined an address: another has it", "resource", d.String(), "address", e.Addr, "mac", j.client.MAC, "vport_id", j.client.VPort)
			}
			return err
		})
	}
}

// leaseWrite stores, and then sends the answer.
func (c *core) leaseWrite(j *leaseJob, answer []sim.Originated, write func(context.Context) error) {
	var answers []sim.Originated
	for _, o := range answer {
		o.Frame = append([]byte(nil), o.Frame...)
		answers = append(answers, o)
	}
	c.leaseAsync(j, write, func() {
		c.leaseEnd(j, false)
		c.sendOriginated(answers, j.ingress)
	})
}

// leaseAsync runs what waits for the database in a goroutine of its own, and goes on with then. A conflict has the message decided anew.
func (c *core) leaseAsync(j *leaseJob, run func(context.Context) error, then func()) {
	ctx, cancel := context.WithTimeout(c.ctx, leaseTime-(c.now()-j.begun))
	c.effects.wg.Go(func() {
		defer cancel()
		err := run(ctx)
		c.a.mail.post(func() {
			switch {
			case errors.Is(err, state.ErrConflict) && j.tries < leaseTries:
				j.tries++
				c.leaseAgain(j, sim.Leases{})
			case err != nil || c.now()-j.begun > leaseMargin/2: // too late: the lease began when it was stored
				c.leaseEnd(j, true)
			default:
				then()
			}
		})
	})
}

// leaseDecide decides a message by what was read.
func (c *core) leaseDecide(j *leaseJob, d *topology.DHCP) {
	v := &j.view
	l := sim.Leases{Read: true, Bound: v.Held.Use == state.LeaseBound, Free: v.Free, Full: v.Full}
	if v.Held.Use != state.LeaseFree {
		l.Held = v.Held.Addr
	}
	l.WishFree = v.Wish.Use == state.LeaseFree || v.Wish.Use != state.LeaseDeclined && v.Wish.Client == j.client
	if fixed, ok := d.Fixed(j.client.MAC, j.v6); ok && v.Wish.Addr == fixed && v.Wish.Use != state.LeaseDeclined {
		l.WishFree = l.WishFree || v.Wish.Client.MAC == j.client.MAC // it follows its host
	}
	c.leaseAgain(j, l)
}

// leaseAgain simulates a message again, with what was read; the zero value: it is to be read anew.
func (c *core) leaseAgain(j *leaseJob, l sim.Leases) {
	var f packet.Frame
	p := c.snap.VPort(j.ingress)
	if packet.ParseUntagged(j.data, &f) != nil || c.locals.ingress(j.local) != j.ingress || p == nil {
		c.leaseEnd(j, true)
		return
	}
	c.sim.SimulateLease(c.snap, &f, p, c.now(), l, &c.res)
	if e, ok := leaseEffect(&c.res); ok && (e.Kind != sim.ReadLease || !l.Read) {
		c.leaseStep(j, e, c.res.Originated)
		return
	}
	c.leaseEnd(j, false)
	for _, o := range c.res.Outcomes {
		if o.Verdict == sim.Drop {
			c.dropped(j.ingress, o.Drop)
		}
	}
	c.sendOriginated(c.res.Originated, j.ingress)
}

// serveDHCP notes whether a vport has a DHCP resource. It reports whether that is new.
func (c *core) serveDHCP(id flow.VPortID) bool {
	p := c.snap.VPort(id)
	_, had := c.view.dhcp[id]
	has := p != nil && p.DHCP != 0
	if has {
		c.view.dhcp[id] = struct{}{}
	} else {
		delete(c.view.dhcp, id)
	}
	return has != had
}
