package p4rt_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch"
)

// run lets the switch move packets until the test ends.
func (x *target) run() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.sw.Run(ctx) }()
	x.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			x.t.Error(err)
		}
	})
}

// apply expects every update to be applied, stage by stage.
func (p *pilot) apply(updates ...p4rt.Update) {
	p.t.Helper()
	for _, stage := range p4rt.InOrder(updates) {
		results, err := p.session.Write(p.ctx, stage)
		if err != nil {
			p.t.Fatal(err)
		}
		if err := p4rt.Failures(stage, results); err != nil {
			p.t.Fatal(err)
		}
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// samples are one of each kind of entity, with the query that reads it back.
func (p *pilot) samples() []struct {
	entity p4rt.Entity
	query  p4rt.Query
} {
	t, s := p.t, p.schema
	meter, counter := must[*p4rt.MeterArray](t)(s.Meter("port_meter")), must[*p4rt.CounterArray](t)(s.Counter("port_counter"))
	register, ips := must[*p4rt.RegisterArray](t)(s.Register("last")), must[*p4rt.ValueSet](t)(s.ValueSet("ip_types"))
	digest := must[*p4rt.Digest](t)(s.Digest("learn_t"))
	ecmp := p.table("ecmp")
	forward := p.action(ecmp, "forward")
	config := &p4rt.MeterConfig{CIR: 100, CBurst: 10, PIR: 200, PBurst: 20}
	grouped, shot := ecmp.NewEntry(), p.table("acl").NewEntry()
	grouped.Set(0, p4rt.U64(1))
	grouped.Group = 3
	shot.Set(2, p4rt.U64(0x800))
	shot.Do(p.action(p.table("acl"), "metered"))
	shot.Priority, shot.Meter, shot.Cookie = 9, config, 1<<40
	return []struct {
		entity p4rt.Entity
		query  p4rt.Query
	}{
		{&p4rt.MulticastGroup{ID: 5, Cookie: 77, Replicas: []p4rt.Replica{{Port: 1, Instance: 2}, {Port: 2, Instance: 2}},
			Backups: map[p4rt.Replica][]p4rt.Replica{{Port: 1, Instance: 2}: {{Port: 3, Instance: 4}, {Port: 4, Instance: 5}}}}, p4rt.AllGroups()},
		{&p4rt.CloneSession{ID: 6, Replicas: []p4rt.Replica{{Port: 1}}, Class: 3, Truncate: 100,
			Backups: map[p4rt.Replica][]p4rt.Replica{{Port: 1}: {{Port: 2}}}}, p4rt.AllClones()},
		{&p4rt.ActionMember{Profile: p.selector(), ID: 2, Action: forward, Params: []p4rt.Value{p4rt.U64(4)}}, p4rt.AllMembers(p.selector())},
		{&p4rt.ActionGroup{Profile: p.selector(), ID: 3, MaxSize: 8, Members: []p4rt.GroupMember{{ID: 2, Weight: 3, Watch: p4rt.WatchPort(2)}}},
			p4rt.AllActionGroups(p.selector())},
		{grouped, p4rt.AllEntries(ecmp)},
		{shot, p4rt.AllEntries(p.table("acl"))},
		{&p4rt.MeterCell{Array: meter, Index: 3, Config: config}, p4rt.MeterCells(meter, 3)},
		{&p4rt.CounterCell{Array: counter, Index: 4, Packets: 5, Bytes: 600}, p4rt.CounterCells(counter, 4)},
		{&p4rt.RegisterCell{Array: register, Index: 5, Value: p4rt.U64(0xfffff)}, p4rt.RegisterCells(register, 5)},
		{&p4rt.ValueSetMembers{Set: ips, Members: [][]p4rt.Match{{{Value: p4rt.U64(0x86dd), Mask: p4rt.Ones(16)}}}}, p4rt.MembersOf(ips)},
		{&p4rt.DigestConfig{Digest: digest, MaxTimeout: time.Second, MaxList: 7, AckTimeout: time.Minute}, p4rt.DigestConfigs()},
	}
}

func opOf(e p4rt.Entity) p4rt.Op {
	switch e.(type) {
	case *p4rt.MeterCell, *p4rt.CounterCell, *p4rt.RegisterCell, *p4rt.ValueSetMembers, *p4rt.DirectCounter, *p4rt.DirectMeter:
		return p4rt.Modify
	}
	return p4rt.Insert
}

// TestEveryKind: each kind of entity is written to a strict target, reads back the same, and can be
// taken away.
func TestEveryKind(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	p := x.fly(p4rt.Softswitch(), nil)
	<-p.session.Ready()
	var set, gone []p4rt.Update
	for _, s := range p.samples() {
		set = append(set, p4rt.Update{Op: opOf(s.entity), Entity: s.entity})
		if opOf(s.entity) == p4rt.Insert {
			gone = append(gone, p4rt.Update{Op: p4rt.Delete, Entity: s.entity})
		}
	}
	slices.Reverse(set) // InOrder finds the order
	p.apply(set...)
	for _, s := range p.samples() {
		var got []p4rt.Entity
		if err := p.session.Read(p.ctx, func(e p4rt.Entity) error { got = append(got, e); return nil }, s.query); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Key() != s.entity.Key() || got[0].String() != s.entity.String() {
			t.Errorf("reads as %v, want %s", got, s.entity)
			continue
		}
		if plan, err := p4rt.Diff(p.everything(s.entity), slices.Values(got)); err != nil || plan.Size() != 0 && !volatile(s.entity) {
			t.Errorf("%s differs from itself: %+v, %v", s.entity, plan, err)
		}
	}
	p.apply(gone...)
	if left := x.holdings(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func volatile(e p4rt.Entity) bool {
	switch e.(type) {
	case *p4rt.CounterCell, *p4rt.RegisterCell:
		return true
	}
	return false
}

// everything is stages that own all kinds; the right one wants e.
func (p *pilot) everything(e p4rt.Entity) []p4rt.Stage {
	s := p.schema
	meter, _ := s.Meter("port_meter")
	ips, _ := s.ValueSet("ip_types")
	stage := p4rt.Stage{Groups: true, Clones: true, Digests: true, Members: []*p4rt.ActionProfile{p.selector()},
		ActionGroups: []*p4rt.ActionProfile{p.selector()}, Meters: []*p4rt.MeterArray{meter}, ValueSets: []*p4rt.ValueSet{ips},
		Tables: []*p4rt.Table{p.table("ecmp"), p.table("acl")}}
	if !volatile(e) {
		stage.Want = func(yield func(p4rt.Entity) bool) { yield(e) }
	}
	return []p4rt.Stage{stage}
}

// TestReconcileResets: meters and value sets that are not wanted go back to their defaults.
func TestReconcileResets(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	p := x.fly(p4rt.Softswitch(), nil)
	<-p.session.Ready()
	var set []p4rt.Update
	for _, s := range p.samples() {
		set = append(set, p4rt.Update{Op: opOf(s.entity), Entity: s.entity})
	}
	p.apply(set...)
	stages := p.everything(&p4rt.CounterCell{})
	stages[0].Tables = nil // first what refers to the rest
	if rep, err := p.session.Reconcile(p.ctx, p4rt.Stage{Tables: []*p4rt.Table{p.table("ecmp"), p.table("acl")}}); err != nil || rep.Deleted != 2 {
		t.Fatalf("%+v, %v", rep, err)
	}
	rep, err := p.session.Reconcile(p.ctx, stages...)
	if err != nil || len(rep.Failed) > 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	for _, s := range p.samples() {
		if volatile(s.entity) {
			continue
		}
		err := p.session.Read(p.ctx, func(e p4rt.Entity) error {
			switch e := e.(type) {
			case *p4rt.MeterCell:
				if e.Config == nil {
					return nil
				}
			case *p4rt.ValueSetMembers:
				if len(e.Members) == 0 {
					return nil
				}
			}
			return errors.New(e.String())
		}, s.query)
		if err != nil {
			t.Error(err)
		}
	}
}

// TestDirectResources: counters and meters of entries, by themselves and with the entry.
func TestDirectResources(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	p := x.fly(p4rt.Softswitch(), nil)
	<-p.session.Ready()
	mac, acl := p.table("mac"), p.table("acl")
	counted, metered := mac.NewEntry(), acl.NewEntry()
	counted.Set(0, p4rt.U64(7))
	counted.Do(p.action(mac, "drop"))
	metered.Priority = 5
	metered.Do(p.action(acl, "metered"))
	config := p4rt.MeterConfig{CIR: 1, CBurst: 2, PIR: 3, PBurst: 4}
	p.apply(
		p4rt.Update{Op: p4rt.Modify, Entity: &p4rt.DirectCounter{Entry: counted, Packets: 11, Bytes: 1200}},
		p4rt.Update{Op: p4rt.Modify, Entity: &p4rt.DirectMeter{Entry: metered, Config: &config}},
		p4rt.Update{Op: p4rt.Insert, Entity: counted}, p4rt.Update{Op: p4rt.Insert, Entity: metered})
	var counters []p4rt.Counter
	if err := p.session.ReadDirectCounters(p.ctx, mac, func(e *p4rt.Entry, c p4rt.Counter) error {
		if e.Key() != counted.Key() {
			t.Errorf("counter of %s", e)
		}
		counters = append(counters, c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]p4rt.Counter{{Packets: 11, Bytes: 1200, Counted: true}}, counters); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	var meters []*p4rt.MeterConfig
	if err := p.session.ReadDirectMeters(p.ctx, acl, func(_ *p4rt.Entry, m *p4rt.MeterConfig) error {
		meters = append(meters, m)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*p4rt.MeterConfig{&config}, meters); diff != "" {
		t.Errorf("meters (-want +got):\n%s", diff)
	}
	// An entry's meter is part of what it does: a reconcile that wants none takes it away.
	want := func(yield func(p4rt.Entity) bool) { yield(metered) }
	rep, err := p.session.Reconcile(p.ctx, p4rt.Stage{Tables: []*p4rt.Table{acl}, Want: want})
	if err != nil || rep.Modified != 1 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestDigests: lists come with values by field, and equal messages wait for the acknowledgement.
func TestDigests(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	x.run()
	lists := make(chan *p4rt.DigestList, 10)
	p := x.fly(p4rt.Softswitch(), func(c *p4rt.Config) {
		c.Digest = func(l *p4rt.DigestList) bool {
			lists <- l
			return len(l.Messages) > 0 && l.Messages[0][0] == p4rt.U64(1)
		}
	})
	<-p.session.Ready()
	digest := must[*p4rt.Digest](t)(p.schema.Digest("learn_t"))
	p.apply(p4rt.Update{Op: p4rt.Insert, Entity: &p4rt.DigestConfig{Digest: digest, AckTimeout: time.Hour}})
	send := func(src byte) {
		t.Helper()
		if n, err := x.ends[2].Send([][]byte{{0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, src, 0x12, 0x34}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	next := func() *p4rt.DigestList {
		t.Helper()
		select {
		case l := <-lists:
			return l
		case <-p.ctx.Done():
			t.Fatal("no digest")
			return nil
		}
	}
	send(1)
	l := next()
	if diff := cmp.Diff([][]p4rt.Value{{p4rt.U64(1), p4rt.U64(2)}}, l.Messages); diff != "" || l.Digest != digest {
		t.Errorf("digest (-want +got):\n%s", diff)
	}
	send(2) // is not acknowledged
	held := next()
	send(2) // is suppressed
	send(3)
	if l := next(); l.Messages[0][0] != p4rt.U64(3) {
		t.Errorf("got %v, want that of 3", l.Messages)
	}
	if err := p.session.AckDigest(p.ctx, held); err != nil {
		t.Fatal(err)
	}
	for marker := byte(4); ; marker++ { // until the acknowledgement is there
		send(2)
		send(marker)
		if next().Messages[0][0] == p4rt.U64(2) {
			break
		}
	}
	if s := p.session.Stats(); s.Digests < 4 || s.MalformedIn != 0 {
		t.Errorf("%+v", s)
	}
}

// TestPacketsByName: packet metadata by the names of the p4info.
func TestPacketsByName(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	x.run()
	type seen struct {
		port, mark p4rt.Value
		err        error
	}
	got := make(chan seen, 1)
	p := x.fly(p4rt.Softswitch(), func(c *p4rt.Config) {
		c.PacketIn = func(in *p4rt.PacketIn) {
			var s seen
			s.port, _ = in.Named("ingress_port")
			s.mark, _ = in.Named("mark")
			_, s.err = in.Named("nothing")
			got <- s
		}
	})
	<-p.session.Ready()
	mac := p.table("mac")
	e := mac.NewEntry()
	e.Set(0, p4rt.U64(9))
	e.Do(p.action(mac, "punt"), p4rt.U64(1), p4rt.U64(0xabc))
	p.apply(p4rt.Update{Op: p4rt.Insert, Entity: e})
	frame := []byte{0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 1, 0x12, 0x34}
	if _, err := x.ends[3].Send([][]byte{frame}); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-got:
		if s.port != p4rt.U64(3) || s.mark != p4rt.U64(0xabc) || !errors.Is(s.err, p4rt.ErrNoSuchMetadata) {
			t.Errorf("%+v", s)
		}
	case <-p.ctx.Done():
		t.Fatal("no packet-in")
	}
	if err := p.session.PacketOutNamed(p.ctx, frame, map[string]p4rt.Value{"egress_port": p4rt.U64(4)}); err != nil {
		t.Fatal(err)
	}
	buffer, sizes := [][]byte{make([]byte, 9300)}, make([]int, 1)
	if _, err := x.ends[4].Recv(buffer, sizes); err != nil || sizes[0] != len(frame) {
		t.Errorf("%d bytes, %v", sizes[0], err)
	}
	if err := p.session.PacketOutNamed(p.ctx, frame, map[string]p4rt.Value{"nothing": {}}); !errors.Is(err, p4rt.ErrNoSuchMetadata) {
		t.Errorf("unknown name: %v", err)
	}
	if v, err := p.session.Capabilities(p.ctx); err != nil || v != "1.5.0" {
		t.Errorf("capabilities %q, %v", v, err)
	}
}

// TestNames: values of a type that is translated to strings are names, on the wire and back.
func TestNames(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	x.run()
	got := make(chan string, 1)
	var schema *p4rt.Schema
	p := x.fly(p4rt.Softswitch(), func(c *p4rt.Config) {
		info := proto.CloneOf(c.Schema.Info())
		nameport(info)
		schema = must[*p4rt.Schema](t)(p4rt.NewSchema(info))
		c.Schema, c.OnPrimary, c.Profile.NamedPorts = schema, nil, true
		c.PacketIn = func(in *p4rt.PacketIn) {
			v, _ := in.Named("ingress_port")
			got <- schema.Text(v)
		}
	})
	p.schema = schema
	<-p.session.Ready()
	mac := p.table("mac")
	e, punt := mac.NewEntry(), mac.NewEntry()
	e.Set(0, p4rt.U64(9))
	e.Do(p.action(mac, "forward"), must[p4rt.Value](t)(schema.Name("p3")))
	punt.Set(0, p4rt.U64(8))
	punt.Do(p.action(mac, "punt"), p4rt.U64(1), p4rt.U64(1))
	group := &p4rt.MulticastGroup{ID: 1, Replicas: []p4rt.Replica{{Name: "p1"}},
		Backups: map[p4rt.Replica][]p4rt.Replica{{Name: "p1"}: {{Name: "p2"}}}}
	p.apply(p4rt.Update{Op: p4rt.Insert, Entity: e}, p4rt.Update{Op: p4rt.Insert, Entity: punt}, p4rt.Update{Op: p4rt.Insert, Entity: group})
	want := func(yield func(p4rt.Entity) bool) { _ = yield(e) && yield(punt) && yield(group) }
	rep, err := p.session.Reconcile(p.ctx, p4rt.Stage{Groups: true, Tables: []*p4rt.Table{mac}, Want: want})
	if err != nil || rep.Kept != 3 || rep.Modified+rep.Deleted+rep.Inserted != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	if _, err := x.ends[2].Send([][]byte{{0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0x12, 0x34}}); err != nil {
		t.Fatal(err)
	}
	if name := <-got; name != "p2" {
		t.Errorf("packet-in from %q, want p2", name)
	}
	if err := p.session.PacketOutNamed(p.ctx, make([]byte, 20), map[string]p4rt.Value{"egress_port": must[p4rt.Value](t)(schema.Name("p4"))}); err != nil {
		t.Fatal(err)
	}
	buffer, sizes := [][]byte{make([]byte, 9300)}, make([]int, 1)
	if _, err := x.ends[4].Recv(buffer, sizes); err != nil || sizes[0] != 20 {
		t.Errorf("%d bytes, %v", sizes[0], err)
	}
	bad := e.Clone()
	bad.Params[0] = p4rt.U64(1 << 30) // a number that is no name
	res, err := p.session.Write(p.ctx, []p4rt.Update{{Op: p4rt.Modify, Entity: bad}})
	if err != nil || res[0].Outcome != p4rt.Invalid {
		t.Errorf("no name: %v, %v", res, err)
	}
}

// nameport makes ports strings in a p4info.
func nameport(info *p4config.P4Info) {
	named := &p4config.P4NamedType{Name: "PortId_t"}
	info.TypeInfo.NewTypes = map[string]*p4config.P4NewTypeSpec{"PortId_t": {Representation: &p4config.P4NewTypeSpec_TranslatedType{
		TranslatedType: &p4config.P4NewTypeTranslation{Uri: "example/PortId_t", SdnType: &p4config.P4NewTypeTranslation_SdnString_{SdnString: &p4config.P4NewTypeTranslation_SdnString{}}}}}}
	for _, a := range info.GetActions() {
		for _, q := range a.GetParams() {
			if q.GetName() == "port" {
				q.Bitwidth, q.TypeName = 0, named
			}
		}
	}
	for _, h := range info.GetControllerPacketMetadata() {
		for _, q := range h.GetMetadata() {
			if q.GetBitwidth() == 9 {
				q.Bitwidth, q.TypeName = 0, named
			}
		}
	}
}

// TestRoles: two roles share a target, each with its own primary and its own entities.
func TestRoles(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	boss := x.fly(p4rt.Softswitch(), nil)
	<-boss.session.Ready()
	limits, err := structpb.NewStruct(map[string]any{"entities": []any{"ingress.mac"}})
	if err != nil {
		t.Fatal(err)
	}
	config, err := anypb.New(limits)
	if err != nil {
		t.Fatal(err)
	}
	flows := x.fly(p4rt.Softswitch(), func(c *p4rt.Config) { c.Role, c.RoleConfig, c.OnPrimary = "flows", config, nil })
	select {
	case <-flows.session.Ready():
	case <-flows.ctx.Done():
		t.Fatal("role flows has no primary")
	}
	entry := func(p *pilot, table string) *p4rt.Entry {
		e := p.table(table).NewEntry()
		e.Set(0, p4rt.U64(1))
		e.Do(p.action(e.Table, map[string]string{"mac": "drop", "smac": "allow"}[table]))
		return e
	}
	res, err := flows.session.Write(flows.ctx, []p4rt.Update{{Op: p4rt.Insert, Entity: entry(flows, "mac")}, {Op: p4rt.Insert, Entity: entry(flows, "smac")}})
	if err != nil || res[0].Outcome != p4rt.Applied || res[1].Outcome != p4rt.Refused {
		t.Errorf("%v, %v", res, err)
	}
	boss.apply(p4rt.Update{Op: p4rt.Insert, Entity: entry(boss, "smac")})
	seen := 0
	if err := flows.session.ReadEntries(flows.ctx, p4rt.ReadOptions{}, func(e *p4rt.Entry, _ p4rt.Counter) error { seen++; return nil }); err != nil || seen != 1 {
		t.Errorf("the role sees %d entries, %v", seen, err)
	}
}
