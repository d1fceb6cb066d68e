package softswitch

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// sameSet compares entities in any order.
func sameSet() cmp.Options {
	wire := proto.MarshalOptions{Deterministic: true}
	return cmp.Options{protocmp.Transform(), cmpopts.SortSlices(func(a, b *p4v1.Entity) bool {
		x, _ := wire.Marshal(a)
		y, _ := wire.Marshal(b)
		return bytes.Compare(x, y) < 0
	})}
}

// differ compares entities in any order; it is much faster than cmp if they are equal.
func differ(want, got []*p4v1.Entity) string {
	wire := proto.MarshalOptions{Deterministic: true}
	count := map[string]int{}
	for sign, list := range map[int][]*p4v1.Entity{1: want, -1: got} {
		for _, e := range list {
			raw, _ := wire.Marshal(e)
			count[string(raw)] += sign
		}
	}
	for _, n := range count {
		if n != 0 {
			return cmp.Diff(want, got, sameSet())
		}
	}
	return ""
}

// samples fills several tables and returns the entries.
func samples(c *controller) []*p4v1.TableEntry {
	acl := func(action string, priority int32, match ...*p4v1.FieldMatch) *p4v1.TableEntry {
		e := c.entry("acl", direct(c.action(action)), match...)
		e.Priority = priority
		return e
	}
	cookie := c.macEntry(1, 1)
	cookie.ControllerMetadata = 7
	blob := c.macEntry(2, 1)
	blob.Metadata, blob.IdleTimeoutNs = []byte{0, 1, 2}, 5e9
	both := c.entry("mac", direct(c.action("drop")), exact(1, 3))
	both.ControllerMetadata, both.Metadata = 8, []byte{1}
	list := []*p4v1.TableEntry{
		cookie, blob, both,
		acl("drop", 10), // matches anything
		acl("drop", 10, ternary(1, []byte{0x12, 0}, []byte{0xff, 0})),
		acl("allow", 11, ternary(1, []byte{0}, []byte{1})),
		acl("allow", 12, within(2, []byte{1}, []byte{1, 0xff})),
		acl("metered", 13, optional(3, 0)),
		acl("metered", 13, ternary(1, []byte{1}, []byte{1}), within(2, []byte{0}, []byte{5}), optional(3, 8, 0)),
		c.entry("route", direct(c.action("forward", []byte{1, 0xff})), lpm(1, 8, 10, 0, 0, 0)),
		c.entry("route", direct(c.action("drop")), lpm(1, 32, 0)),
		c.entry("route", direct(c.action("drop"))), // default route
	}
	var updates []*p4v1.Update
	for _, e := range list {
		updates = append(updates, insert(e))
	}
	c.write(updates...)
	return list
}

func entities(list ...*p4v1.TableEntry) []*p4v1.Entity {
	var out []*p4v1.Entity
	for _, e := range list {
		out = append(out, entity(e))
	}
	return out
}

func TestReadFilters(t *testing.T) {
	c := newLab(t).primary()
	list := samples(c)
	fixed := c.entry("fixed", direct(c.action("drop")), exact(1, 0x88, 0xcc))
	fixed.IsConst = true
	table := func(name string) *p4v1.TableEntry { return c.entry(name, nil) }
	priority := func(e *p4v1.TableEntry, p int32) *p4v1.TableEntry { e.Priority = p; return e }
	for _, tc := range []struct {
		name  string
		query *p4v1.TableEntry
		want  []*p4v1.Entity
	}{
		{"all tables", &p4v1.TableEntry{}, entities(append([]*p4v1.TableEntry{fixed}, list...)...)},
		{"one table", table("mac"), entities(list[:3]...)},
		{"no entries", table("smac"), nil},
		{"constant table", table("fixed"), entities(fixed)},
		{"one entry", c.entry("mac", nil, exact(1, 0, 0, 2)), entities(list[1])},
		{"absent entry", c.entry("mac", nil, exact(1, 9)), nil},
		{"priority", priority(table("acl"), 10), entities(list[3], list[4])},
		{"match and priority", priority(c.entry("acl", nil, optional(3, 0)), 13), entities(list[7])},
		{"match, any priority", c.entry("acl", nil, optional(3, 0)), entities(list[7])},
		{"action", c.entry("acl", direct(&p4v1.Action{ActionId: c.action("metered").GetActionId()})), entities(list[7], list[8])},
		{"cookie", &p4v1.TableEntry{TableId: list[0].TableId, ControllerMetadata: 8}, entities(list[2])},
		{"metadata", &p4v1.TableEntry{TableId: list[0].TableId, Metadata: []byte{0, 1, 2}}, entities(list[1])},
		{"lpm", c.entry("route", nil, lpm(1, 8, 10, 0, 0, 0)), entities(list[9])},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, c.read(entity(tc.query)), sameSet()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadErrorsAreInOrderAfterTheEntities(t *testing.T) {
	c := newLab(t).primary()
	c.write(insert(c.macEntry(1, 1)))
	got, _, err := c.tryRead(
		entity(c.entry("mac", nil)), entity(&p4v1.TableEntry{TableId: 5}), entity(c.entry("mac", nil)),
		&p4v1.Entity{}, entity(&p4v1.TableEntry{Priority: 3}),
		entity(&p4v1.DirectCounterEntry{TableEntry: c.macEntry(9, 1)}),
		entity(&p4v1.DirectCounterEntry{TableEntry: c.entry("acl", nil)}),
		entity(&p4v1.CounterEntry{CounterId: c.id("port_counter"), Index: &p4v1.Index{Index: 16}}))
	if len(got) != 2 {
		t.Errorf("%d entities, want 2", len(got))
	}
	want := []codes.Code{codes.OK, codes.InvalidArgument, codes.OK, codes.InvalidArgument, codes.InvalidArgument,
		codes.NotFound, codes.InvalidArgument, codes.OutOfRange}
	if diff := cmp.Diff(want, codesOf(err)); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if _, err := c.client.Read(context.Background(), &p4v1.ReadRequest{DeviceId: 1}); err != nil {
		t.Fatal(err)
	}
	stream, err := c.client.Read(context.Background(), &p4v1.ReadRequest{DeviceId: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.NotFound {
		t.Errorf("other device: %v, want NotFound", err)
	}
}

func TestLongReadsComeInPages(t *testing.T) {
	c := newLab(t).primary()
	blob := make([]byte, 1000)
	var updates []*p4v1.Update
	for i := range 1000 {
		e := c.entry("mac", direct(c.action("drop")), exact(1, canonical([]byte{byte(i >> 8), byte(i)})...))
		e.Metadata = blob
		updates = append(updates, insert(e))
	}
	c.write(updates...)
	got, pages, err := c.tryRead(entity(c.entry("mac", nil)))
	if err != nil || len(got) != 1000 {
		t.Fatalf("%d entities, %v", len(got), err)
	}
	if total := 1000 * 1000; pages < total/pageSize {
		t.Errorf("%d pages for about %d bytes, want at most %d bytes each", pages, total, pageSize)
	}
}

func TestDirectAndIndirectResources(t *testing.T) {
	c := newLab(t).primary()
	acl := c.entry("acl", direct(c.action("metered")), optional(3, 8))
	acl.Priority = 1
	meter := &p4v1.MeterConfig{Cir: 1, Cburst: 2, Pir: 3, Pburst: 4}
	mac := c.macEntry(1, 1)
	c.write(insert(acl), insert(mac))
	count := &p4v1.CounterData{PacketCount: 3, ByteCount: 400}
	c.write(modify(&p4v1.DirectMeterEntry{TableEntry: acl, Config: meter}),
		modify(&p4v1.DirectCounterEntry{TableEntry: mac, Data: count}),
		modify(&p4v1.CounterEntry{CounterId: c.id("port_counter"), Index: index(2), Data: count}),
		modify(&p4v1.MeterEntry{MeterId: c.id("port_meter"), Config: meter}),
		modify(&p4v1.RegisterEntry{RegisterId: c.id("last"), Index: index(7), Data: bitstring([]byte{1, 2})}),
		modify(&p4v1.ValueSetEntry{ValueSetId: c.id("ip_types"), Members: []*p4v1.ValueSetMember{{Match: []*p4v1.FieldMatch{exact(1, 0x86, 0xdd)}}}}))
	for _, tc := range []struct {
		query, want any
	}{
		{&p4v1.DirectMeterEntry{TableEntry: acl}, &p4v1.DirectMeterEntry{TableEntry: directKey(acl), Config: meter}},
		{&p4v1.DirectMeterEntry{}, &p4v1.DirectMeterEntry{TableEntry: directKey(acl), Config: meter}},
		{&p4v1.DirectCounterEntry{TableEntry: c.entry("mac", nil)}, &p4v1.DirectCounterEntry{TableEntry: directKey(mac), Data: count}},
		{&p4v1.CounterEntry{CounterId: c.id("port_counter"), Index: index(2)}, &p4v1.CounterEntry{CounterId: c.id("port_counter"), Index: index(2), Data: count}},
		{&p4v1.MeterEntry{MeterId: c.id("port_meter"), Index: index(5)}, &p4v1.MeterEntry{MeterId: c.id("port_meter"), Index: index(5), Config: meter}},
		{&p4v1.RegisterEntry{RegisterId: c.id("last"), Index: index(7)}, &p4v1.RegisterEntry{RegisterId: c.id("last"), Index: index(7), Data: bitstring([]byte{1, 2})}},
		{&p4v1.ValueSetEntry{}, &p4v1.ValueSetEntry{ValueSetId: c.id("ip_types"), Members: []*p4v1.ValueSetMember{{Match: []*p4v1.FieldMatch{exact(1, 0x86, 0xdd)}}}}},
	} {
		if diff := cmp.Diff([]*p4v1.Entity{entity(tc.want)}, c.read(entity(tc.query)), protocmp.Transform()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.query, diff)
		}
	}
	if n := len(c.read(entity(&p4v1.CounterEntry{CounterId: c.id("port_counter")}))); n != 16 {
		t.Errorf("counter has %d cells, want 16", n)
	}
	// meter_config unset in a MODIFY resets the meter; the default reads back as unset.
	c.write(modify(acl))
	query := proto.CloneOf(acl)
	query.MeterConfig = meter
	if diff := cmp.Diff(entities(acl), c.read(entity(query)), protocmp.Transform()); diff != "" {
		t.Errorf("reset meter (-want +got):\n%s", diff)
	}
}

func TestIdleEntriesAreToldAgainAndAgain(t *testing.T) {
	c := newLab(t).primary()
	e := c.macEntry(1, 2)
	e.IdleTimeoutNs, e.Metadata, e.ControllerMetadata = int64(3*time.Second), []byte("m"), 9
	forever := c.macEntry(2, 2)
	c.write(insert(e), insert(forever))
	since := func() time.Duration {
		t.Helper()
		got := c.read(entity(&p4v1.TableEntry{TableId: e.TableId, Match: e.Match, TimeSinceLastHit: &p4v1.TableEntry_IdleTimeout{}}))
		return time.Duration(got[0].GetTableEntry().GetTimeSinceLastHit().GetElapsedNs())
	}
	step := func(d time.Duration, want bool) {
		t.Helper()
		c.advance(d)
		c.server.sweep()
		c.arbitrate(1) // its answer comes after a notice, if there is one
		msgs := []*p4v1.StreamMessageResponse{c.recv()}
		if want {
			msgs = append(msgs, c.recv())
		}
		found := false
		for _, m := range msgs {
			if n := m.GetIdleTimeoutNotification(); n != nil {
				found = true
				if diff := cmp.Diff([]*p4v1.TableEntry{e}, n.GetTableEntry(), protocmp.Transform()); diff != "" {
					t.Errorf("notice (-want +got):\n%s", diff)
				}
				if n.GetTimestamp() != c.clock().UnixNano() {
					t.Errorf("timestamp %d, want %d", n.GetTimestamp(), c.clock().UnixNano())
				}
			}
		}
		if found != want {
			t.Errorf("notice: %v, want %v", found, want)
		}
	}
	step(2*time.Second, false)
	if got := since(); got != 2*time.Second {
		t.Errorf("time since last hit %v, want 2s", got)
	}
	c.inject(1, frame(1, 3))
	c.frames(2, 1)
	step(2*time.Second, false) // was hit 2 s ago
	step(time.Second, true)
	step(2*time.Second, false)
	step(time.Second, true) // again after another timeout
}

func TestDigestsNeedAcknowledgement(t *testing.T) {
	c := newLab(t).primary()
	id := c.id("learn_t")
	config := &p4v1.DigestEntry_Config{MaxTimeoutNs: 1e9, MaxListSize: 2, AckTimeoutNs: 10e9}
	c.write(insert(&p4v1.DigestEntry{DigestId: id, Config: config}), insert(c.macEntry(1, 2)))
	digest := func(n int) *p4v1.DigestList {
		t.Helper()
		d := c.recv().GetDigest()
		if d == nil || len(d.GetData()) != n {
			t.Fatalf("digest = %v, want %d messages", d, n)
		}
		return d
	}
	send := func(src ...byte) {
		t.Helper()
		for _, b := range src {
			c.inject(1, frame(1, b))
			c.frames(2, 1)
		}
	}
	quiet := func() {
		t.Helper()
		c.server.sweep()
		c.arbitrate(1)
		c.want(ok)
	}
	send(5, 5, 6) // a list is full with two distinct messages
	first := digest(2)
	want := &p4v1.P4Data{Data: &p4v1.P4Data_Struct{Struct: &p4v1.P4StructLike{Members: []*p4v1.P4Data{bitstring([]byte{5}), bitstring([]byte{1})}}}}
	if diff := cmp.Diff(want, first.GetData()[0], protocmp.Transform()); diff != "" {
		t.Errorf("digest message (-want +got):\n%s", diff)
	}
	send(5, 6) // not acknowledged: suppressed
	quiet()
	c.send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{DigestAck: &p4v1.DigestListAck{DigestId: id, ListId: first.GetListId()}}})
	quiet()
	send(5)
	quiet()
	c.advance(time.Second)
	c.server.sweep()
	if second := digest(1); second.GetListId() == first.GetListId() {
		t.Errorf("list id %d again", second.GetListId())
	}
	c.advance(10 * time.Second) // the acknowledgement is overdue
	c.server.sweep()
	send(5)
	c.advance(time.Second)
	c.server.sweep()
	digest(1)
	c.send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{DigestAck: &p4v1.DigestListAck{DigestId: 3}}})
	if got := c.recv().GetError(); codes.Code(got.GetCanonicalCode()) != codes.InvalidArgument || got.GetDigestListAck() == nil {
		t.Errorf("ack of an unknown digest: %v", got)
	}
}
