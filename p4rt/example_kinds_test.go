package p4rt_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch"
)

// TestREADMEKinds runs the README's example of selectors, replication, meters and packets on
// the softswitch with its test program.
func TestREADMEKinds(t *testing.T) {
	x := newTarget(t, softswitch.Quirks{})
	x.run()
	packets := make(chan string, 1)
	p := x.fly(p4rt.Softswitch(), func(c *p4rt.Config) {
		c.PacketIn = func(in *p4rt.PacketIn) {
			from, _ := in.Named("ingress_port")
			packets <- fmt.Sprintf("%d bytes from port %d", len(in.Payload), from.Lo)
		}
	})
	session, schema, ctx := p.session, p.schema, p.ctx
	<-session.Ready()
	got := kinds(ctx, session, schema)
	want := []string{"version 1.5.0",
		"member 1 of ecmp_selector: forward(port=0x1)",
		"group 7 of ecmp_selector, 1 members",
		"multicast group 5 of 2 replicas"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	writer(ctx, session, schema)
	if n := len(slices.Collect(entriesOf(t, p, "smac"))); n != 1 {
		t.Errorf("%d entries by the writer, want 1", n)
	}
	frame := append([]byte{0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 9}, 0x12, 0x34)
	mac := p.table("mac").NewEntry()
	mac.Set(0, p4rt.U64(9))
	mac.Do(p.action(p.table("mac"), "punt"), p4rt.U64(3), p4rt.U64(4))
	p.apply(p4rt.Update{Op: p4rt.Insert, Entity: mac})
	if _, err := x.ends[2].Send([][]byte{frame}); err != nil {
		t.Fatal(err)
	}
	if got := <-packets; got != "14 bytes from port 2" {
		t.Errorf("packet-in: %s", got)
	}
}

// entriesOf reads a table.
func entriesOf(t *testing.T, p *pilot, name string) func(func(p4rt.Entity) bool) {
	return func(yield func(p4rt.Entity) bool) {
		err := p.session.Read(p.ctx, func(e p4rt.Entity) error { yield(e); return nil }, p4rt.AllEntries(p.table(name)))
		if err != nil {
			t.Error(err)
		}
	}
}

func kinds(ctx context.Context, session *p4rt.Session, schema *p4rt.Schema) (lines []string) {
	show := func(v any) { lines = append(lines, fmt.Sprint(v)) }
	version, err := session.Capabilities(ctx)
	if err != nil {
		log.Fatal(err)
	}
	show("version " + version)
	ecmp, _ := schema.Table("ecmp")
	selector, _ := schema.ActionProfile("ecmp_selector")
	meter, _ := schema.Meter("port_meter")
	forward, _ := ecmp.Action("forward")
	entry := ecmp.NewEntry()
	entry.Set(0, p4rt.U64(0x0800))
	entry.Group = 7
	updates := []p4rt.Update{ // InOrder finds the order
		{Op: p4rt.Insert, Entity: entry},
		{Op: p4rt.Insert, Entity: &p4rt.ActionGroup{Profile: selector, ID: 7, MaxSize: 8,
			Members: []p4rt.GroupMember{{ID: 1, Weight: 2, Watch: p4rt.WatchPort(1)}}}}, // only while port 1 is up
		{Op: p4rt.Insert, Entity: &p4rt.ActionMember{Profile: selector, ID: 1, Action: forward, Params: []p4rt.Value{p4rt.U64(1)}}},
		{Op: p4rt.Insert, Entity: &p4rt.MulticastGroup{ID: 5, Replicas: []p4rt.Replica{{Port: 1, Instance: 1}, {Port: 2, Instance: 1}},
			Backups: map[p4rt.Replica][]p4rt.Replica{{Port: 1, Instance: 1}: {{Port: 3, Instance: 1}}}}},
		{Op: p4rt.Modify, Entity: &p4rt.MeterCell{Array: meter, Index: 3, Config: &p4rt.MeterConfig{CIR: 1e6, CBurst: 1500, PIR: 2e6, PBurst: 3000}}},
	}
	for _, stage := range p4rt.InOrder(updates) {
		results, err := session.Write(ctx, stage)
		if err != nil {
			log.Fatal(err)
		}
		if err := p4rt.Failures(stage, results); err != nil {
			log.Fatal(err)
		}
	}
	err = session.Read(ctx, func(e p4rt.Entity) error {
		show(e)
		return nil
	}, p4rt.AllMembers(selector), p4rt.AllActionGroups(selector), p4rt.AllGroups())
	if err != nil {
		log.Fatal(err)
	}
	return lines
}

func writer(ctx context.Context, session *p4rt.Session, schema *p4rt.Schema) {
	smac, _ := schema.Table("smac")
	allow, _ := smac.Action("allow")
	writer := p4rt.NewWriter(session, p4rt.WriterConfig{})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- writer.Run(running) }()
	entry := smac.NewEntry()
	entry.Set(0, p4rt.U64(0x0a0000000001))
	entry.Do(allow)
	// Any number of goroutines may do so; the Writer makes batches of what they bring.
	results, err := writer.Write(ctx, []p4rt.Update{{Op: p4rt.Insert, Entity: entry}})
	if err != nil || results[0].Outcome != p4rt.Applied {
		log.Fatal(results, err)
	}
	stop()
	<-ended
}
