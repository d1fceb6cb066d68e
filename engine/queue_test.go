package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// TestQueueIsFair: a vport that floods loses its own packets, and another's are taken in turn.
func TestQueueIsFair(t *testing.T) {
	q := newPacketQueue(new(residents), 0)
	for range queueLimit {
		q.push(earlyPacket{port: 1, vport: 1, reason: flow.ReasonMissFlow, data: []byte("flood")})
	}
	for range 10 {
		q.push(earlyPacket{port: 2, vport: 2, reason: flow.ReasonMissFlow, data: []byte("quiet")})
	}
	if n := q.dropped(); n != 10 {
		t.Errorf("%d packets dropped, want 10", n)
	}
	q.push(earlyPacket{port: 1, vport: 1, reason: flow.ReasonMissFlow, data: []byte("flood")})
	if n := q.dropped(); n != 11 {
		t.Errorf("%d packets dropped, want 11: the queue is full", n)
	}
	seen := map[uint16]int{}
	for _, p := range q.take(nil) {
		seen[p.vport]++
		if want := map[uint16]string{1: "flood", 2: "quiet"}[p.vport]; string(p.data) != want {
			t.Errorf("vport %d: %q, want %q", p.vport, p.data, want)
		}
		q.free(p)
	}
	if seen[2] != 10 || seen[1] != queueBatch-10 {
		t.Errorf("the first batch has %v, want all 10 of vport 2", seen)
	}
	total := queueBatch
	for {
		batch := q.take(nil)
		if len(batch) == 0 {
			break
		}
		total += len(batch)
	}
	if total != queueLimit {
		t.Errorf("%d packets taken, want %d", total, queueLimit)
	}
	if len(q.lanes) != 0 || q.turn.len() != 0 {
		t.Errorf("%d lanes, %d in turn are left of an empty queue", len(q.lanes), q.turn.len())
	}
}

// TestQueueKeepsOrder: packets of one vport are taken in the order in which they came.
func TestQueueKeepsOrder(t *testing.T) {
	q := newPacketQueue(new(residents), 0)
	for i := range byte(200) {
		q.push(earlyPacket{port: 1, vport: uint16(i % 3), reason: flow.ReasonNone, data: []byte{i}})
	}
	next := map[uint16]byte{0: 0, 1: 1, 2: 2}
	for range 4 {
		for _, p := range q.take(nil) {
			if p.data[0] != next[p.vport] {
				t.Fatalf("vport %d: packet %d, want %d", p.vport, p.data[0], next[p.vport])
			}
			next[p.vport] += 3
		}
	}
}

// TestQueueOfSingles: a full queue of lanes that hold one packet each turns newcomers away, and all that it took is there.
func TestQueueOfSingles(t *testing.T) {
	q := newPacketQueue(new(residents), 0)
	for i := range uint16(queueLimit + 10) {
		q.push(earlyPacket{port: 1, vport: i, reason: flow.ReasonMissFlow, data: []byte("one")})
	}
	total := 0
	for batch := q.take(nil); len(batch) > 0; batch = q.take(nil) {
		total += len(batch)
	}
	if total != queueLimit || q.dropped() != 10 {
		t.Errorf("%d packets taken, %d dropped, want %d and 10", total, q.dropped(), queueLimit)
	}
}

// TestPurgeCountsPackets: of what waited for a vport that left, copies of packets that went on are not counted as lost.
func TestPurgeCountsPackets(t *testing.T) {
	q := newPacketQueue(new(residents), 0)
	for _, reason := range []flow.Reason{flow.ReasonMissFlow, flow.ReasonTrackedEnd, flow.ReasonMissFlow} {
		q.push(earlyPacket{port: 1, vport: 7, reason: reason, data: []byte{1}})
	}
	if n := q.purge(7); n != 2 {
		t.Errorf("%d packets are lost, want 2", n)
	}
}

// TestAnsweredIsNotLost: a copy of a packet that was answered as it came is no drop, if the queue has no room for it, or its vport leaves.
func TestAnsweredIsNotLost(t *testing.T) {
	q := newPacketQueue(new(residents), 0)
	for range queueLimit + 10 {
		q.push(earlyPacket{port: 1, vport: 7, reason: flow.ReasonService, data: []byte{1}, answered: true})
	}
	if n := len(q.takeLost()); q.dropped() != 0 || n != 0 {
		t.Errorf("%d dropped, of %d vports", q.dropped(), n)
	}
	q.push(earlyPacket{port: 1, vport: 7, reason: flow.ReasonService, data: []byte{1}})
	if q.dropped() != 1 {
		t.Errorf("%d dropped, want the packet that was not answered", q.dropped())
	}
	if n := q.purge(7); n != 0 {
		t.Errorf("%d packets are lost with the vport", n)
	}
}

// TestTenantsTakeTurns: a tenant with many vports gets no more turns than one with few, and pays when the queue is full.
func TestTenantsTakeTurns(t *testing.T) {
	here := new(residents)
	here.set(1, newResident(101, false, 1))
	for i := range uint16(10) {
		here.set(10+i, newResident(flow.VPortID(110+i), false, 2))
	}
	q := newPacketQueue(here, 0)
	for i := range queueLimit {
		q.push(earlyPacket{port: 1, vport: 10 + uint16(i%10), reason: flow.ReasonMissFlow, data: []byte("many")})
	}
	for range 20 {
		q.push(earlyPacket{port: 1, vport: 1, reason: flow.ReasonMissFlow, data: []byte("few")})
	}
	lost := q.takeLost()
	sum := uint64(0)
	for v, n := range lost {
		if v < 110 {
			t.Errorf("vport %d lost %d packets, and its tenant had few", v, n)
		}
		sum += n
	}
	if sum != 20 || q.dropped() != 20 || q.takeLost() != nil {
		t.Errorf("%v lost, %d dropped, want 20", lost, q.dropped())
	}
	few := 0
	for _, p := range q.take(nil) {
		if p.from.vport() == 101 {
			few++
		}
	}
	if few != 20 {
		t.Errorf("%d of the first %d packets are of the tenant with one vport, want all its 20", few, queueBatch)
	}
	for _, p := range q.take(nil) {
		if p.from.tenant() != 2 {
			t.Errorf("vport %d again", p.from.vport())
		}
	}
}

// TestTenantRate: beyond its rate a tenant's packets are dropped and counted by vport, others' and those of no tenant are not.
func TestTenantRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := new(residents)
		here.set(1, newResident(101, false, 1))
		here.set(2, newResident(102, false, 1))
		here.set(3, newResident(103, false, 2))
		q := newPacketQueue(here, 100)
		second := func() map[flow.VPortID]uint64 {
			for range 80 {
				for vport := range uint16(4) {
					q.push(earlyPacket{port: 1, vport: vport, reason: flow.ReasonMissFlow, data: []byte("x")})
				}
			}
			for len(q.take(nil)) > 0 {
			}
			return q.takeLost()
		}
		for range 3 {
			if lost := second(); lost[101]+lost[102] != 60 || len(lost) != 2 {
				t.Errorf("lost %v, want 60 of the vports 101 and 102", lost)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		if lost := second(); lost[101]+lost[102] != 60 {
			t.Errorf("lost %v after an hour, want 60: what was not used is not saved up", lost)
		}
	})
}
