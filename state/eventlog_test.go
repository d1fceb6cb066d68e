package state

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

var (
	webPort = RefObject(topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "web"})
	nic1    = EdgeObject("nic1")
)

func warning(o EventObject, reason, source string) Note {
	return Note{Type: EventWarning, Reason: reason, Object: o, Message: "why", Source: source}
}

// eventsAre waits until the log has these events, as REASON OBJECT SOURCE xCOUNT in the order of the list.
func eventsAre(t *testing.T, s *Store, f EventFilter, want ...string) []LoggedEvent {
	t.Helper()
	var got []string
	var all []LoggedEvent
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(20 * time.Millisecond); time.Now().Before(deadline); <-tick.C {
		var err error
		if all, _, err = s.Events(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, e := range all {
			got = append(got, fmt.Sprintf("%s %s %s x%d", e.Reason, e.Object, e.Source, e.Count))
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return all
		}
	}
	t.Fatalf("events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	return nil
}

// TestEventsCount: the same of one object and source is one event within the window, and another one later. Filters choose.
func TestEventsCount(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC).UnixNano())
	pass := func(d time.Duration) { now.Add(int64(d)) }
	s, _ := openStore(t, Config{
		Embedded: &EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}, Events: EventConfig{Delay: time.Millisecond},
		Now: func() time.Time { return time.Unix(0, now.Load()) },
	})
	s.Record(warning(webPort, "OverShare", "nic1"))
	pass(time.Second)
	s.Record(warning(webPort, "OverShare", "nic1"))
	s.Record(warning(webPort, "OverShare", "nic/2 a"))
	pass(time.Second)
	s.Record(Note{Reason: "EdgeLive", Object: nic1, Message: "it is\nlive", Source: "nic1"})
	all := eventsAre(t, s, EventFilter{}, "OverShare vport/acme/web nic1 x2", "OverShare vport/acme/web nic/2 a x1", "EdgeLive edge/nic1 nic1 x1")
	if d := all[0].Last.Sub(all[0].First); d != time.Second || all[0].Type != EventWarning || all[0].Message != "why" {
		t.Errorf("%+v", all[0])
	}
	if all[2].Type != EventNormal || all[2].Message != "it is: live" {
		t.Errorf("%+v", all[2])
	}
	pass(10 * time.Minute)
	s.Record(warning(webPort, "OverShare", "nic1"))
	eventsAre(t, s, EventFilter{Object: webPort, Source: "nic1"}, "OverShare vport/acme/web nic1 x2", "OverShare vport/acme/web nic1 x1")
	eventsAre(t, s, EventFilter{Tenant: "acme", Source: "nic/2 a"}, "OverShare vport/acme/web nic/2 a x1")
	eventsAre(t, s, EventFilter{Tenant: "acm"})
	eventsAre(t, s, EventFilter{Type: EventNormal}, "EdgeLive edge/nic1 nic1 x1")
	eventsAre(t, s, EventFilter{Object: nic1}, "EdgeLive edge/nic1 nic1 x1")
	resp, err := s.client.Get(t.Context(), eventPrefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		left, err := s.client.TimeToLive(t.Context(), clientv3.LeaseID(kv.Lease))
		if err != nil || kv.Lease == 0 || left.GrantedTTL < 3600 || left.GrantedTTL > 3600*9/8+1 {
			t.Errorf("%s lives for %+v, %v", kv.Key, left, err)
		}
	}
}

// TestEventsBounded: a source that talks too fast is cut off for objects of that tenant, counted; others are not. What says nothing is dropped.
func TestEventsBounded(t *testing.T) {
	var ticks atomic.Int64
	s, _ := openStore(t, Config{
		Embedded: &EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}, Events: EventConfig{Delay: time.Millisecond, Burst: 3, Known: 8},
		Now: func() time.Time { return time.Unix(1000, ticks.Add(1)) },
	})
	for i := range 10 {
		s.Record(warning(EventObject{"vport", "red", fmt.Sprint("p", i)}, "Flood", "e"))
	}
	s.Record(warning(webPort, "Flood", "e"))
	for _, n := range []Note{{}, warning(nic1, "", "e"), warning(nic1, "two words", "e"), warning(EventObject{}, "X", "e"), warning(nic1, "X", ""), warning(EventObject{"vport", "a/b", "c"}, "X", "e")} {
		s.Record(n)
	}
	eventsAre(t, s, EventFilter{}, "Flood vport/red/p0 e x1", "Flood vport/red/p1 e x1", "Flood vport/red/p2 e x1", "Flood vport/acme/web e x1")
	if got := s.EventStats(); got.Noted != 4 || got.Dropped != 7+6 {
		t.Errorf("stats %+v", got)
	}
	long := warning(nic1, "Long", "e")
	long.Message = strings.Repeat("ä", 2000) + "\xff"
	s.Record(long)
	if all := eventsAre(t, s, EventFilter{Object: nic1}, "Long edge/nic1 e x1"); len(all[0].Message) > maxEventMessage || !strings.HasSuffix(all[0].Message, "ä…") {
		t.Errorf("a message of %d bytes: …%q", len(all[0].Message), all[0].Message[len(all[0].Message)-8:])
	}
}

// TestEventLogFull: when what is known is yet to be stored, what is new is dropped; once it is stored, the oldest makes room.
func TestEventLogFull(t *testing.T) {
	_, client := startEtcd(t)
	now := time.Unix(1000, 0)
	l := newEventLog(client, EventConfig{Known: 2, Delay: time.Millisecond}, func() time.Time { return now }, nil)
	for i := range 5 {
		l.record(warning(EdgeObject(fmt.Sprint("e", i)), "X", "s"))
	}
	if l.stats.Noted != 2 || l.stats.Dropped != 3 {
		t.Fatalf("%+v", l.stats)
	}
	if err := l.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.record(warning(EdgeObject("e7"), "X", "s"))
	if l.stats.Noted != 3 || len(l.known) != 2 {
		t.Errorf("%+v, %d known", l.stats, len(l.known))
	}
}

// TestEventsOverTheRate: what one source tells too fast costs others nothing, and sources that are quiet again leave room for new ones.
func TestEventsOverTheRate(t *testing.T) {
	_, client := startEtcd(t)
	now := time.Unix(1000, 0)
	l := newEventLog(client, EventConfig{Known: 4, Rate: 1, Burst: 2, Delay: time.Millisecond}, func() time.Time { return now }, nil)
	flush := func() {
		t.Helper()
		if err := l.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.record(warning(EdgeObject("kept"), "X", "quiet"))
	for i := range 20 {
		flush()
		l.record(warning(EdgeObject(fmt.Sprint("e", i)), "X", "loud"))
	}
	if e := l.known[noteID{EdgeObject("kept"), "X", "quiet"}]; e == nil || len(l.known) != 3 {
		t.Errorf("%d events are known, the quiet one's %v; want 3 with it", len(l.known), e)
	}
	for _, source := range []string{"a", "b", "c", "d", "e"} {
		now = now.Add(10 * time.Second)
		flush()
		before := l.stats.Noted
		l.record(warning(EdgeObject("x"), "X", source))
		if l.stats.Noted != before+1 {
			t.Errorf("source %s, with %d limits known: not noted", source, len(l.limits))
		}
	}
}

// TestEventsWait: what happened while the database did not answer is stored once it does, with what came meanwhile; and what is left at the end, too.
func TestEventsWait(t *testing.T) {
	_, client := startEtcd(t)
	l := newEventLog(client, EventConfig{Delay: time.Millisecond}, time.Now, nil)
	l.record(warning(nic1, "First", "e"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.flush(gone); err == nil || l.stats.Failed != 1 || len(l.dirty) != 1 {
		t.Fatalf("%v: %+v, %d dirty", err, l.stats, len(l.dirty))
	}
	l.record(warning(nic1, "First", "e"))
	l.record(warning(nic1, "Second", "e"))
	if err := l.run(gone); err != nil { // it has ended: what is left is stored
		t.Fatal(err)
	}
	resp, err := client.Get(t.Context(), eventPrefix, clientv3.WithPrefix())
	if err != nil || len(resp.Kvs) != 2 {
		t.Fatalf("%d events, %v", len(resp.Kvs), err)
	}
	for _, kv := range resp.Kvs {
		e, err := decodeEvent(string(kv.Key), kv.Value)
		if err != nil || e.Reason == "First" && e.Count != 2 {
			t.Errorf("%+v, %v", e, err)
		}
	}
}

// TestEventLeaseLost: a lease that somebody took away is not one that later events have.
func TestEventLeaseLost(t *testing.T) {
	_, client := startEtcd(t)
	l := newEventLog(client, EventConfig{}, time.Now, nil)
	l.record(warning(nic1, "First", "e"))
	if err := l.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, lease := range l.leases.leases {
		if _, err := client.Revoke(t.Context(), lease.id); err != nil {
			t.Fatal(err)
		}
	}
	l.record(warning(nic1, "Second", "e"))
	if err := l.flush(t.Context()); err == nil {
		t.Fatal("stored under a lease that is gone")
	}
	if err := l.flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWatchEvents: each time that an event is stored it is told, once, also when the history between is gone.
func TestWatchEvents(t *testing.T) {
	s, _ := openStore(t, Config{Embedded: &EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}, Events: EventConfig{Delay: time.Millisecond}})
	s.Record(warning(nic1, "Early", "e"))
	eventsAre(t, s, EventFilter{}, "Early edge/nic1 e x1")
	_, after, err := s.Events(t.Context(), EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	s.Record(warning(nic1, "Before", "e"))
	all := eventsAre(t, s, EventFilter{}, "Early edge/nic1 e x1", "Before edge/nic1 e x1")
	if _, err := s.client.Compact(t.Context(), all[1].Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	told := make(chan LoggedEvent)
	running(t, func(ctx context.Context) error {
		return s.WatchEvents(ctx, EventFilter{Object: nic1}, after-1, func(e LoggedEvent) error {
			select {
			case told <- e:
			case <-ctx.Done():
			}
			return nil
		})
	})
	if e := within(t, told); e.Reason != "Before" && e.Reason != "Early" { // both are newer than what was asked for
		t.Fatalf("%+v", e)
	}
	s.Record(warning(webPort, "Other", "e"))
	s.Record(warning(nic1, "After", "e"))
	for e := within(t, told); e.Reason != "After"; e = within(t, told) {
		if e.Reason == "Other" {
			t.Fatalf("told of %v", e.Object)
		}
	}
	s.Record(warning(nic1, "After", "e"))
	if e := within(t, told); e.Reason != "After" || e.Count != 2 {
		t.Errorf("%+v", e)
	}
}

// FuzzDecodeEvent: whatever is stored is refused, or is an event that is stored there.
func FuzzDecodeEvent(f *testing.F) {
	e := LoggedEvent{First: time.Unix(7, 0).UTC(), Last: time.Unix(8, 0).UTC(), Count: 2, Note: warning(webPort, "OverShare", "nic1")}
	value, err := json.Marshal(&e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(eventKey(&e), value)
	f.Add(eventPrefix, []byte("{}"))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		got, err := decodeEvent(key, value)
		if err == nil && !strings.HasPrefix(key, objectEvents(got.Object)) {
			t.Errorf("key %q has an event of %v", key, got.Object)
		}
	})
}

// TestEventObjects: what an event is about is written as it is read.
func TestEventObjects(t *testing.T) {
	for _, o := range []EventObject{nic1, webPort, RefObject(topology.Ref{Kind: topology.KindBGPSession, Tenant: "a", Name: "b.c"})} {
		if got, err := ParseEventObject(o.String()); err != nil || got != o {
			t.Errorf("%v is read as %v, %v", o, got, err)
		}
	}
	for _, text := range []string{"", "edge", "edge/", "vport/web", "vport//web", "thing/a/b", "vport/a/b/c", "edge/a/b"} {
		if o, err := ParseEventObject(text); err == nil {
			t.Errorf("%q is %v", text, o)
		}
	}
}
