package soak

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain runs the tests, or, as a child of them, a member of the cluster.
func TestMain(m *testing.M) {
	if spec := os.Getenv(memberVariable); spec != "" {
		fmt.Fprintln(os.Stderr, runMember(spec))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Lengths of a round's chaos.
const (
	shortRound = 4 * time.Second
	longRound  = 20 * time.Second
	busyRound  = 18 * time.Second // with all checks, of a short one
)

// TestSoak has everything fail by a schedule, under traffic and changes, and checks what must hold: one round with a seed that is always the same, and one with
// another each time. WEFT_SEED has the schedule of a seed alone; WEFT_SOAK, such as 10m, has rounds for so long, each with a seed of its own, from WEFT_SEED on.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	seed, given := uint64(1), os.Getenv("WEFT_SEED")
	if given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("WEFT_SEED: %v", err)
		}
	}
	if long := os.Getenv("WEFT_SOAK"); long != "" {
		length, err := time.ParseDuration(long)
		if err != nil {
			t.Fatalf("WEFT_SOAK: %v", err)
		}
		if given == "" {
			seed = rand.Uint64N(1_000_000)
		}
		soak(t, length, seed)
		return
	}
	r, begin := newRig(t, seed), time.Now()
	r.round(shortRound)
	if took := time.Since(begin); given == "" && !t.Failed() && took > busyRound {
		t.Logf("the machine is busy, the round took %v: there is no second one", took)
	} else if given == "" && !t.Failed() {
		r.seed = rand.Uint64N(1_000_000)
		r.round(shortRound)
	}
	r.leftovers()
	r.report()
}

// soak has rounds for a time.
func soak(t *testing.T, length time.Duration, seed uint64) {
	r := newRig(t, seed)
	begin, told := time.Now(), time.Now()
	for ; time.Since(begin) < length && !t.Failed(); r.seed++ {
		r.accounted, r.sent = 0, 0
		r.round(longRound)
		if t.Failed() {
			break
		}
		r.leftovers()
		r.deeds.did("rounds")
		if time.Since(told) >= time.Minute {
			told = time.Now()
			fmt.Printf("%s %v: %s\n", told.Format(time.TimeOnly), told.Sub(begin).Round(time.Second), r.summary())
		}
	}
	r.report()
}

// round has faults, changes and traffic for a time, then none, and checks.
func (r *rig) round(length time.Duration) {
	r.Helper()
	fmt.Printf("seed %d: WEFT_SEED=%[1]d has the same faults and changes\n", r.seed)
	r.mu.Lock()
	r.model = newModel() // whatever rounds were before
	r.mu.Unlock()
	r.reconfigure()
	r.settled()
	var held []*steady
	talking, hangUp := context.WithCancel(r.Context())
	defer hangUp()
	for t := range tenants {
		one := func(vm int) *machine { return r.traffic.machines[t*vms+vm] }
		out := r.traffic.machines[outside]
		for version := range 2 {
			for _, pair := range [][2]*machine{{one(0), one(1)}, {one(1), one(3)}, {one(3), one(0)}, {one(0), out}, {one(3), out}} {
				held = append(held, r.traffic.hold(talking, pair[0], pair[1], version))
			}
		}
	}
	r.eventually("all steady connections stand", func() string {
		for _, s := range held {
			if s.count.Load() == 0 {
				return s.name
			}
		}
		return ""
	}, held)
	r.chaos(length)
	over := time.Now()
	r.settled()
	r.alive(held)
	r.recovery = max(r.recovery, time.Since(over))
	r.reachable()
	hangUp()
	for _, s := range held {
		<-s.ended
		r.gap = max(r.gap, s.longest)
		if s.err != nil {
			r.fail("steady connection, %s: %v after %d exchanges", s.name, s.err, s.count.Load())
		}
	}
	r.fresh()
	r.usage()
}

// chaos is what happens in a round.
func (r *rig) chaos(length time.Duration) {
	ctx, cancel := context.WithTimeout(r.Context(), length)
	defer cancel()
	stream := func(n uint64) *rand.Rand { return streamOf(r.seed, n) }
	var all sync.WaitGroup
	for i, lane := range lanes {
		random := stream(uint64(i))
		all.Go(func() {
			for pause(ctx, some(random, time.Second)); ctx.Err() == nil; pause(ctx, some(random, time.Second)) {
				f := lane(random)
				r.tell("fault: " + f.what)
				r.deeds.did(f.kind)
				if err := f.do(r, ctx); err != nil {
					r.fail("%s: %v", f.what, err)
					return
				}
				r.tell("over:  " + f.what)
			}
		})
	}
	all.Go(func() { r.churn(ctx, stream(churnStream)) })
	for i := range uint64(4) {
		all.Go(func() { r.traffic.chatter(ctx, stream(chatStream+i)) })
	}
	all.Go(func() { r.counters(ctx) })
	all.Wait()
	r.mu.Lock()
	r.model.settle()
	r.mu.Unlock()
	r.reconfigure()
}

// Streams of a seed; those below are the lanes'.
const (
	churnStream = 100
	chatStream  = 200
)

// streamOf is one of the sequences of choices that a seed gives.
func streamOf(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }

// TestSchedule: a seed gives the same faults and changes each time, another one others; all kinds of them come.
func TestSchedule(t *testing.T) {
	kinds := map[string]bool{}
	schedule := func(seed uint64) (all []string) {
		for i, lane := range lanes {
			random := streamOf(seed, uint64(i))
			for range 200 {
				f := lane(random)
				all, kinds[f.kind] = append(all, f.what), true
			}
		}
		m, random := newModel(), streamOf(seed, churnStream)
		for i := range 200 {
			all = append(all, m.change(random))
			if i%20 != 0 {
				continue
			}
			if _, err := m.objects(); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	first := schedule(1)
	if !slices.Equal(first, schedule(1)) {
		t.Error("one seed, two schedules")
	}
	if slices.Equal(first, schedule(2)) {
		t.Error("two seeds, one schedule")
	}
	if len(kinds) != 18 {
		t.Errorf("%d kinds of faults, want 18: %v", len(kinds), slices.Sorted(maps.Keys(kinds)))
	}
}

// tell says what happens, if somebody wants to know.
func (r *rig) tell(what string) {
	if os.Getenv("WEFT_SOAK_LOG") != "" {
		fmt.Printf("%s %s\n", time.Now().Format("15:04:05.000"), what)
	}
}

// summary says what was done.
func (r *rig) summary() string {
	r.deeds.mu.Lock()
	defer r.deeds.mu.Unlock()
	var parts []string
	kinds := slices.SortedFunc(maps.Keys(r.deeds.n), func(a, b string) int { return cmp.Or(cmp.Compare(r.deeds.n[b], r.deeds.n[a]), cmp.Compare(a, b)) })
	for _, k := range kinds {
		parts = append(parts, fmt.Sprintf("%d %s", r.deeds.n[k], k))
	}
	t := r.traffic
	return fmt.Sprintf("%d frames checked (%d flooded), %d of %d datagrams answered, %d exchanges over TCP, of which one took %v at most; all worked again %v behind the last fault at most, %d of %d frames accounted; %s",
		r.witness.frames.Load(), r.witness.foreign.Load(), t.answered.Load(), t.asked.Load(), t.exchanged.Load(), r.gap.Round(time.Millisecond), r.recovery.Round(time.Millisecond), r.accounted, r.sent, strings.Join(parts, ", "))
}

func (r *rig) report() { r.Log(r.summary()) }
