package p4rt_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch"
)

// pairs are targets with the profile that knows their ways.
var pairs = []struct {
	name    string
	quirks  softswitch.Quirks
	profile p4rt.Profile
}{
	{"strict", softswitch.Quirks{}, p4rt.Softswitch()},
	{"bmv2", softswitch.BMv2(), p4rt.BMv2()},
	{"stratum", softswitch.Stratum(), p4rt.Stratum()},
	{"pins", softswitch.PINS(), p4rt.PINS()},
}

var errCut = status.Error(codes.Unavailable, "cut")

// part applies the first half of a batch.
func part(r *p4.WriteRequest, apply func(*p4.WriteRequest) error) {
	half := proto.CloneOf(r)
	half.Updates = half.Updates[:len(half.Updates)/2]
	_ = apply(half) // nobody is told
}

// faults go wrong while a target is brought from one state to another.
var faults = []struct {
	name string
	// serve misbehaves in the n-th Write; later ones are served well.
	serve func(x *target, n int) func(context.Context, *p4.WriteRequest, func(*p4.WriteRequest) error) error
	after func(x *target, p *pilot)
}{
	{name: "none"},
	{name: "batch cut in the middle", serve: once(func(x *target, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
		part(r, apply)
		return errCut
	})},
	{name: "answer lost", serve: once(func(x *target, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
		_ = apply(r)
		return errCut
	})},
	{name: "nothing done, nothing said", serve: once(func(*target, *p4.WriteRequest, func(*p4.WriteRequest) error) error { return errCut })},
	{name: "lie: done, said failed", serve: once(func(x *target, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
		_ = apply(r)
		return status.Error(codes.Internal, "lie")
	})},
	{name: "lie: not done, said done", serve: once(func(*target, *p4.WriteRequest, func(*p4.WriteRequest) error) error { return nil })},
	{name: "failed without details", serve: once(func(x *target, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
		part(r, apply)
		return status.Error(codes.Unknown, "no details")
	})},
	{name: "connection lost in the middle", serve: once(func(x *target, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
		part(r, apply)
		go x.restart(true) // it waits for this call to end
		return errCut
	})},
	{name: "restart without entries in the middle", serve: once(func(x *target, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
		part(r, apply)
		go x.restart(false)
		return errCut
	})},
	{name: "restart with entries", after: func(x *target, p *pilot) { x.restart(true) }},
	{name: "restart without entries", after: func(x *target, p *pilot) { x.restart(false) }},
	{name: "too slow", serve: func(_ *target, n int) func(context.Context, *p4.WriteRequest, func(*p4.WriteRequest) error) error {
		var seen atomic.Int64
		return func(ctx context.Context, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
			if seen.Add(1) != int64(n) {
				return apply(r)
			}
			part(r, apply)
			<-ctx.Done() // until the controller gives up
			return errCut
		}
	}},
	{name: "slow throughout", serve: func(*target, int) func(context.Context, *p4.WriteRequest, func(*p4.WriteRequest) error) error {
		return func(_ context.Context, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
			<-time.After(10 * time.Millisecond)
			return apply(r)
		}
	}},
}

// once misbehaves in the n-th Write alone.
func once(f func(*target, *p4.WriteRequest, func(*p4.WriteRequest) error) error) func(*target, int) func(context.Context, *p4.WriteRequest, func(*p4.WriteRequest) error) error {
	return func(x *target, n int) func(context.Context, *p4.WriteRequest, func(*p4.WriteRequest) error) error {
		var seen atomic.Int64
		return func(_ context.Context, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
			if seen.Add(1) != int64(n) {
				return apply(r)
			}
			return f(x, r, apply)
		}
	}
}

// TestFaults: whatever goes wrong on the way from one state to another, the target comes to be as
// wanted, and nothing that is right is deleted.
func TestFaults(t *testing.T) {
	for _, pair := range pairs {
		for _, fault := range faults {
			t.Run(pair.name+"/"+fault.name, func(t *testing.T) {
				t.Parallel()
				x := newTarget(t, pair.quirks)
				profile := pair.profile
				profile.MaxBatch = 32 // so that a state takes several Writes
				p := x.fly(profile, func(c *p4rt.Config) { c.CallTimeout = time.Second })
				p.want(p.network(1))
				p.converge()
				rounds := 4
				if testing.Short() {
					rounds = 2
				}
				for n := 1; n <= rounds; n++ {
					before := x.holdings()
					x.forget()
					if fault.serve != nil {
						x.setFault(fault.serve(x, n))
					}
					p.want(p.network(uint64(1 + n)))
					if fault.after != nil {
						fault.after(x, p)
					}
					p.converge()
					x.setFault(nil)
					p.converge() // a lie may have come last
					x.spared(before)
				}
			})
		}
	}
}

// TestFullTable: what has no room says so by each target's own code, and nothing else suffers.
func TestFullTable(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, pair.quirks)
			p := x.fly(pair.profile, nil)
			<-p.session.Ready()
			smac := p.table("smac") // of 64
			var us []p4rt.Update
			var all []p4rt.Entity
			for i := range 70 {
				e := smac.NewEntry()
				e.Set(0, p4rt.U64(uint64(i)))
				e.Do(p.action(smac, "allow"))
				us, all = append(us, p4rt.Update{Op: p4rt.Insert, Entity: e}), append(all, e)
			}
			results, err := p.session.Write(p.ctx, us)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if want := map[bool]p4rt.Outcome{true: p4rt.Applied, false: p4rt.Full}[i < 64]; r.Outcome != want {
					t.Errorf("%d: %s, want %s", i, r.Outcome, want)
				}
			}
			// Six others are wanted instead: they find room once the old ones have gone.
			p.want(all[6:])
			p.converge()
		})
	}
}

// TestControllersFighting: two controllers with fences of their own outbid each other again and
// again; the target ends as the last winner wants it.
func TestControllersFighting(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, pair.quirks)
			var pilots [2]*pilot
			for i := range pilots {
				fence, err := p4rt.OpenFence(filepath.Join(t.TempDir(), "fence"))
				if err != nil {
					t.Fatal(err)
				}
				pilots[i] = x.fly(pair.profile, func(c *p4rt.Config) { c.Election = fence.Election })
				pilots[i].want(pilots[i].network(uint64(10 + i)))
				pilots[i].converge() // it claims when it connects: not in the middle of a round
			}
			for round := range 6 {
				p := pilots[round%2]
				p.session.Campaign()
				p.converge()
			}
			loser, winner := pilots[0], pilots[1]
			// It was primary four times and is not now: it has heard of each that ended.
			loser.await("demoted", func() bool { return loser.seen[p4rt.Backup] >= loser.seen[p4rt.Ready] })
			us := []p4rt.Update{{Op: p4rt.Delete, Entity: winner.wanted()[0]}}
			if _, err := loser.session.Write(loser.ctx, us); err == nil {
				t.Error("the loser can still write")
			}
			winner.converge()
			winner.stop()
			loser.session.Campaign()
			loser.converge()
		})
	}
}

// TestElectionIDReuse: a second controller with the same id is not let in until the first has left.
func TestElectionIDReuse(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, pair.quirks)
			first := x.fly(pair.profile, nil)
			first.want(first.network(1))
			first.converge()
			second := x.fly(pair.profile, nil)
			second.want(second.network(2))
			second.await("refused", func() bool { return second.losses >= 3 }) // it keeps trying
			if first.session.State() != p4rt.Ready {
				t.Errorf("the first controller is %s", first.session.State())
			}
			first.converge()
			first.stop()
			second.converge()
		})
	}
}

// TestStepDown: a controller that steps down is a backup until it campaigns, over reconnects too.
func TestStepDown(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	p := x.fly(p4rt.Softswitch(), nil)
	p.want(p.network(1))
	p.converge()
	p.session.StepDown()
	p.await("a backup", func() bool { return p.seen[p4rt.Backup] == 1 })
	x.restart(true)
	p.await("a backup again", func() bool { return p.seen[p4rt.Backup] == 2 })
	if _, err := p.session.Write(p.ctx, nil); err == nil {
		t.Error("a backup can write")
	}
	p.session.Campaign()
	p.converge()
}

// TestResolve: what became of updates whose answer was lost is read back.
func TestResolve(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, pair.quirks)
			p := x.fly(pair.profile, nil)
			p.want(p.network(1))
			p.converge()
			random := rand.New(rand.NewPCG(1, 2))
			// Inserts of what is there (the same and other), of what is not; deletes of both.
			var us []p4rt.Update
			var want []p4rt.Outcome
			next := p.network(2)
			have := map[p4rt.Key]bool{}
			for _, e := range p.wanted() {
				have[e.Key()] = true
			}
			for _, e := range next {
				if x, ok := e.(*p4rt.Entry); ok && x.Table.Alias == "mac" && !have[e.Key()] && random.IntN(2) == 0 {
					us = append(us, p4rt.Update{Op: p4rt.Insert, Entity: e})
					want = append(want, p4rt.Applied)
				}
			}
			applied := len(us)
			lost := next[5].(*p4rt.Entry).Clone() // never sent
			lost.Set(0, p4rt.U64(5000))
			us = append(us, p4rt.Update{Op: p4rt.Insert, Entity: lost}, p4rt.Update{Op: p4rt.Delete, Entity: lost},
				p4rt.Update{Op: p4rt.Insert, Entity: p.wanted()[8]})
			want = append(want, p4rt.NotSent, p4rt.Applied, p4rt.Applied)
			x.setFault(func(_ context.Context, r *p4.WriteRequest, apply func(*p4.WriteRequest) error) error {
				r.Updates = r.Updates[:applied]
				_ = apply(r)
				return errCut
			})
			results, err := p.session.Write(p.ctx, us)
			if err == nil {
				t.Fatal("the answer was not lost")
			}
			for i := range results { // the batch was split where a key came twice
				if results[i].Outcome == p4rt.NotSent {
					results[i].Outcome = p4rt.Unknown
				}
			}
			x.setFault(nil)
			if err := p.session.Resolve(p.ctx, us, results); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(outcomes(results)); got != fmt.Sprint(want) {
				t.Errorf("got %s, want %v", got, want)
			}
		})
	}
}
