package soak

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/state"
)

// lookAgain is how often a rig looks whether something that can't tell has happened.
const lookAgain = 50 * time.Millisecond

// eventually waits until lacks has nothing to name. A steady connection that ends is the end of it.
func (r *rig) eventually(what string, lacks func() string, held []*steady) {
	r.Helper()
	limit, told := time.Now().Add(bound), time.Now()
	for {
		missing := lacks()
		if missing == "" {
			return
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			r.tell("waiting until " + what + ": " + missing)
		}
		for _, s := range held {
			select {
			case <-s.ended:
				r.Fatalf("seed %d: steady connection, %s: %v", r.seed, s.name, s.err)
			default:
			}
		}
		if time.Now().After(limit) {
			r.Fatalf("seed %d: %s: not within %v: %s", r.seed, what, bound, missing)
		}
		time.Sleep(lookAgain)
	}
}

// alive waits until each steady connection goes on.
func (r *rig) alive(held []*steady) {
	r.Helper()
	before := make([]uint64, len(held))
	for i, s := range held {
		before[i] = s.count.Load()
	}
	r.eventually("all steady connections go on", func() string {
		for i, s := range held {
			select {
			case <-s.ended:
				return fmt.Sprintf("%s: %v", s.name, s.err)
			default:
			}
			if s.count.Load() < before[i]+2 {
				return s.name
			}
		}
		return ""
	}, held)
}

// talk is a pair of stations, and what a new connection of theirs is to come to.
type talk struct {
	from, to *machine
	version  int
	port     uint16
	may      bool
}

func (t talk) String() string {
	return fmt.Sprintf("%s to %s port %d, IPv%d", t.from.name, t.to.name, t.port, 4+2*t.version)
}

// reachable checks that all talk that may, and no others do.
func (r *rig) reachable() {
	r.Helper()
	var all []talk
	r.mu.Lock()
	out := r.traffic.machines[outside]
	for version := range 2 {
		for t := range tenants {
			for a := range vms {
				from := r.traffic.machines[t*vms+a]
				for b := range vms + 1 {
					to := out
					if b < vms {
						to = r.traffic.machines[t*vms+b]
					}
					for i, port := range allPorts() {
						if from != to && (i == 0 || (a+b)%3 == i%3) {
							all = append(all, talk{from, to, version, port, r.model.may(from.station, to.station, port)})
						}
					}
				}
			}
			all = append(all, talk{out, r.traffic.machines[t*vms], version, steadyPort, true}) // the service: a member of it
		}
	}
	r.mu.Unlock()
	limit := time.Now().Add(bound)
	r.witness.listen(true)
	work := make(chan talk)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for t := range work {
				r.check(t, limit)
			}
		})
	}
	for _, t := range all {
		work <- t
	}
	close(work)
	workers.Wait()
	r.floods(limit)
	for h, n := range r.witness.listen(false) {
		if n > 1 {
			r.fail("%s: received message %d of connection %d %d times (answer %t)", r.witness.stations[h.at].name, h.sequence, h.conn, n, h.answer)
		}
	}
	r.deeds.did("checks of who reaches whom")
}

// floods checks that what a VM says to all reaches all others on its bridge, but for those whose chain has the port closed.
func (r *rig) floods(limit time.Time) {
	for _, from := range r.traffic.machines[:outside] {
		for version := range 2 {
			for !r.flood(from, version) {
				if time.Now().After(limit) {
					r.fail("what %s says to all, IPv%d, does not reach all others on its bridge within %v of the last fault", from.name, 4+2*version, bound)
					return
				}
			}
		}
	}
}

// flood says something to all, and returns whether all heard it within a second.
func (r *rig) flood(from *machine, version int) bool {
	conn := r.traffic.shout(from, version)
	for limit := time.Now().Add(time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		all := true
		for _, m := range r.traffic.machines[:outside] {
			if m != from && m.tenant == from.tenant && lanOf(m.vm) == lanOf(from.vm) && !guarded(m.vm) {
				all = all && r.witness.hasHeard(m.station, conn)
			}
		}
		if all {
			return true
		}
	}
	return false
}

// check checks one pair. What is not to arrive is asked twice: once could be lost.
func (r *rig) check(t talk, limit time.Time) {
	if !t.may {
		if r.traffic.ask(r.Context(), t.from, t.to, t.version, t.port, 2, 100*time.Millisecond) > 0 {
			r.fail("%v: is answered, and may not", t)
		}
		return
	}
	for r.traffic.ask(r.Context(), t.from, t.to, t.version, t.port, 1, time.Second) == 0 {
		if time.Now().After(limit) {
			r.fail("%v: no answer within %v of the last fault", t, bound)
			return
		}
	}
}

// gauges are those of engine.Stats that may become less.
var gauges = map[string]bool{"Flows": true, "StaleMillis": true, "Conns": true, "Unstored": true, "Blocks": true, "MulticastGroups": true, "Unanswered": true, "Learning": true}

// counters checks, until ctx ends, that what agents count never becomes less, as long as one runs.
func (r *rig) counters(ctx context.Context) {
	type seen struct {
		stats reflect.Value
		drops map[[3]any]uint64
	}
	last := map[*engine.Agent]*seen{}
	accounted := map[string]state.UsageTotals{}
	for ctx.Err() == nil {
		r.accounts(ctx, accounted)
		for _, e := range r.edges {
			agent := e.acting()
			if agent == nil {
				continue
			}
			before := last[agent]
			if before == nil {
				before = &seen{stats: reflect.ValueOf(engine.Stats{}), drops: map[[3]any]uint64{}}
				last[agent] = before
			}
			stats := reflect.ValueOf(agent.Stats())
			for i := range stats.NumField() {
				if f := stats.Type().Field(i); !gauges[f.Name] && f.Type.Kind() == reflect.Uint64 && stats.Field(i).Uint() < before.stats.Field(i).Uint() {
					r.fail("%s: %s was %d, and is %d", e.name, f.Name, before.stats.Field(i).Uint(), stats.Field(i).Uint())
				}
			}
			before.stats = stats
			ask, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			drops, err := agent.Drops(ask)
			cancel()
			for _, d := range drops {
				k := [3]any{d.VPort, d.From, d.Reason}
				if err == nil && d.Packets < before.drops[k] {
					r.fail("%s: drops of %d %s for %q were %d, and are %d", e.name, d.VPort, d.From, d.Reason, before.drops[k], d.Packets)
				}
				if err == nil {
					before.drops[k] = d.Packets
				}
			}
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// accounts checks that what is stored of a vport's usage at an edge is never less than before.
func (r *rig) accounts(ctx context.Context, before map[string]state.UsageTotals) {
	ask, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	all, err := r.store.Usage(ask, "")
	if err != nil {
		return // the database is away
	}
	for _, u := range all {
		k := fmt.Sprint(u.Edge, " ", u.ID)
		if b := before[k]; u.In.Packets < b.In.Packets || u.Out.Packets < b.Out.Packets || u.Crossed.Packets < b.Crossed.Packets {
			r.fail("usage of %s/%s at %s was %+v, and is %+v", u.Tenant, u.Name, u.Edge, b, u.UsageTotals)
		}
		before[k] = u.UsageTotals
	}
}

// usage checks that nothing is accounted twice: of no station more is stored than frames went into its ports, whichever agents have accounted them.
func (r *rig) usage() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), bound)
	defer cancel()
	all, err := r.store.Usage(ctx, "")
	r.must(err)
	in := map[string]uint64{}
	for _, u := range all {
		in[u.Tenant+"/"+u.Name] += u.In.Packets
	}
	for _, m := range r.traffic.machines {
		name := m.name
		if m.n == outside {
			name = "isp/uplink"
		}
		if sent := m.sent.Load(); in[name] > sent {
			r.fail("%s sent %d frames, and %d are accounted", m.name, sent, in[name])
		}
		r.accounted += in[name]
		r.sent += m.sent.Load()
	}
}
