package p4rt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/weft-sdn/weft/p4rt"
)

// probe is the schema and program of softswitch/testdata/probe.p4.
func probe(t testing.TB) (*p4rt.Schema, []byte) {
	t.Helper()
	text, err := os.ReadFile("../softswitch/testdata/probe.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &p4config.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		t.Fatal(err)
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("../softswitch/testdata/probe.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema, program
}

// pilot is a controller that keeps a target as desired.
type pilot struct {
	t       testing.TB
	x       *target
	schema  *p4rt.Schema
	session *p4rt.Session
	ctx     context.Context
	stop    func()

	mu      sync.Mutex
	cond    *sync.Cond // broadcast when the state changes
	desired []p4rt.Entity
	seen    map[p4rt.State]int // how often the session came to be in it
	losses  int                // how often it lost a connection
}

// fly starts a controller; edit may change its configuration.
func (x *target) fly(profile p4rt.Profile, edit func(*p4rt.Config)) *pilot {
	x.t.Helper()
	schema, program := probe(x.t)
	profile.NamedPorts = false // the probe's ports have numbers
	p := &pilot{t: x.t, x: x, schema: schema, seen: map[p4rt.State]int{}}
	p.cond = sync.NewCond(&p.mu)
	cfg := p4rt.Config{
		Dial: x.dial, DeviceID: 1, Schema: schema, DeviceConfig: program, Profile: profile,
		BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, CallTimeout: 5 * time.Second,
		OnPrimary: func(ctx context.Context, term *p4rt.Term) error {
			_, err := term.Reconcile(ctx, p.stages()...)
			return err
		},
		OnState: func(s p4rt.State, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen[s]++
			if s == p4rt.Disconnected && err != nil {
				p.losses++
			}
			p.cond.Broadcast()
		},
	}
	if edit != nil {
		edit(&cfg)
	}
	var err error
	if p.session, err = p4rt.NewSession(cfg); err != nil {
		x.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.session.Run(ctx)
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	x.t.Cleanup(p.stop)
	var done context.CancelFunc
	p.ctx, done = context.WithTimeout(context.Background(), 30*time.Second)
	x.t.Cleanup(done)
	return p
}

// await waits until ok, which looks at the pilot's own fields.
func (p *pilot) await(what string, ok func() bool) {
	p.t.Helper()
	stop := context.AfterFunc(p.ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cond.Broadcast()
	})
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !ok() {
		if p.ctx.Err() != nil {
			p.t.Fatalf("never %s: %v", what, p.seen)
		}
		p.cond.Wait()
	}
}

func (p *pilot) want(list []p4rt.Entity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.desired = list
}

func (p *pilot) wanted() []p4rt.Entity {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.desired
}

func (p *pilot) stages() []p4rt.Stage {
	want := p.wanted()
	of := func(keep func(p4rt.Entity) bool) func(func(p4rt.Entity) bool) {
		return func(yield func(p4rt.Entity) bool) {
			for _, e := range want {
				if keep(e) && !yield(e) {
					return
				}
			}
		}
	}
	is := func(k ...p4rt.Kind) func(p4rt.Entity) bool {
		return func(e p4rt.Entity) bool { return slices.Contains(k, e.Key().Kind) }
	}
	stages := []p4rt.Stage{{Groups: true, Clones: true, Want: of(is(p4rt.KindMulticastGroup, p4rt.KindCloneSession))}}
	if !p.session.Profile().NoMembers {
		selector := []*p4rt.ActionProfile{p.selector()}
		stages = append(stages, p4rt.Stage{Members: selector, Want: of(is(p4rt.KindMember))},
			p4rt.Stage{ActionGroups: selector, Want: of(is(p4rt.KindActionGroup))})
	}
	var tables []*p4rt.Table
	for _, name := range []string{"mac", "route", "acl", "smac", "ecmp"} {
		tables = append(tables, p.table(name))
	}
	return append(stages, p4rt.Stage{Tables: tables, Want: of(is(p4rt.KindEntry))})
}

func (p *pilot) table(name string) *p4rt.Table {
	p.t.Helper()
	t, err := p.schema.Table(name)
	if err != nil {
		p.t.Fatal(err)
	}
	return t
}

func (p *pilot) selector() *p4rt.ActionProfile {
	p.t.Helper()
	s, err := p.schema.ActionProfile("ecmp_selector")
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *pilot) action(t *p4rt.Table, name string) *p4rt.Action {
	p.t.Helper()
	a, err := t.Action(name)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// network makes a desired state: version changes some of it and leaves the rest.
func (p *pilot) network(version uint64) []p4rt.Entity {
	changes := func(i int) uint64 { // a third of all things differs between versions
		if i%3 == 0 {
			return version
		}
		return 0
	}
	r := rand.New(rand.NewPCG(version, 1))
	var out []p4rt.Entity
	for i := 1; i <= 4; i++ {
		g := &p4rt.MulticastGroup{ID: uint32(i), Cookie: changes(i)}
		for port := range uint32(i) {
			g.Replicas = append(g.Replicas, p4rt.Replica{Port: port + 1, Instance: uint32(i)})
		}
		out = append(out, g)
	}
	out = append(out, &p4rt.CloneSession{ID: 7, Replicas: []p4rt.Replica{{Port: uint32(1 + version%3)}}, Truncate: 64})
	mac := p.table("mac")
	for i := range 120 {
		if i%10 == 9 && r.IntN(2) == 0 {
			continue // some come and go
		}
		e := mac.NewEntry()
		e.Set(0, p4rt.U64(uint64(i)))
		if i%4 == 0 {
			e.Do(p.action(mac, "flood"), p4rt.U64(uint64(1+i%4)))
		} else {
			e.Do(p.action(mac, "forward"), p4rt.U64(1+(uint64(i)+changes(i))%4))
		}
		e.IdleTimeout, e.Cookie = time.Duration(i)*time.Minute, changes(i)
		out = append(out, e)
	}
	route := p.table("route")
	for i := range 40 {
		e := route.NewEntry()
		e.SetPrefix(0, p4rt.U64(uint64(10)<<24|uint64(i)<<16), 16)
		e.Do(p.action(route, "forward"), p4rt.U64(1+(uint64(i)+changes(i))%4))
		out = append(out, e)
	}
	acl := p.table("acl")
	for i := range 20 {
		e := acl.NewEntry()
		e.SetMasked(0, p4rt.U64(uint64(i)), p4rt.U64(0xff))
		e.SetRange(1, p4rt.U64(1), p4rt.U64(uint64(2+i)))
		e.Priority = int32(100 + i)
		e.Do(p.action(acl, []string{"allow", "drop"}[(uint64(i)+changes(i))%2]))
		out = append(out, e)
	}
	return append(out, p.paths(changes)...)
}

// paths are entries of the selector's table, in the style that the target has.
func (p *pilot) paths(changes func(int) uint64) []p4rt.Entity {
	ecmp, selector, profile := p.table("ecmp"), p.selector(), p.session.Profile()
	forward := p.action(ecmp, "forward")
	var out []p4rt.Entity
	if profile.NoOneShot || profile.Name == "bmv2" {
		for i := range uint32(6) {
			out = append(out, &p4rt.ActionMember{Profile: selector, ID: i + 1, Action: forward, Params: []p4rt.Value{p4rt.U64(1 + (uint64(i)+changes(int(i)))%4)}})
		}
		for i := range uint32(3) {
			out = append(out, &p4rt.ActionGroup{Profile: selector, ID: i + 1, MaxSize: 8,
				Members: []p4rt.GroupMember{{ID: 1 + i, Weight: 1}, {ID: 2 + i + uint32(changes(int(i))%3), Weight: 1}}})
		}
	}
	for i := range 9 {
		e := ecmp.NewEntry()
		e.Set(0, p4rt.U64(uint64(i)))
		switch {
		case !profile.NoOneShot && profile.Name != "bmv2":
			for k := range 2 {
				e.OneShot = append(e.OneShot, p4rt.Weighted{Action: forward, Weight: int32(1 + k), Params: []p4rt.Value{p4rt.U64(1 + (uint64(i+k)+changes(i))%4)}})
			}
		case i%2 == 0:
			e.Group = uint32(1 + i%3)
		default:
			e.Member = uint32(1 + i%6)
		}
		out = append(out, e)
	}
	return out
}

// wrong is the difference between what is wanted and what the target holds, by what the target says.
func (p *pilot) wrong() (*p4rt.Plan, error) {
	var installed []p4rt.Entity
	queries := []p4rt.Query{p4rt.AllGroups(), p4rt.AllClones()}
	if !p.session.Profile().NoMembers {
		queries = append(queries, p4rt.AllMembers(p.selector()), p4rt.AllActionGroups(p.selector()))
	}
	for _, name := range []string{"mac", "route", "acl", "smac", "ecmp"} {
		queries = append(queries, p4rt.AllEntries(p.table(name)))
	}
	err := p.session.Read(p.ctx, func(e p4rt.Entity) error { installed = append(installed, e); return nil }, queries...)
	if err != nil {
		return nil, err
	}
	return p4rt.Diff(p.stages(), slices.Values(installed))
}

// converge reconciles until the target is as wanted. It fails at the deadline.
func (p *pilot) converge() {
	p.t.Helper()
	var last error
	for {
		select {
		case <-p.session.Ready():
		case <-p.ctx.Done():
			p.t.Fatalf("never ready: %s, %v", p.session.State(), last)
		}
		rep, err := p.session.Reconcile(p.ctx, p.stages()...)
		if err == nil && len(rep.Failed) == 0 {
			plan, err := p.wrong()
			if err == nil && plan.Size() == 0 {
				return
			}
			last = fmt.Errorf("still wrong: %v %v", plan, err)
		} else {
			last = errors.Join(err, fmt.Errorf("%d failed", len(rep.Failed)))
			if len(rep.Failed) > 0 {
				last = errors.Join(last, rep.Failed[0])
			}
		}
		if p.ctx.Err() != nil {
			p.t.Fatalf("never as wanted: %v", last)
		}
	}
}
