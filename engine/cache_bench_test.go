package engine

import (
	"container/list"
	"math/rand/v2"
	"testing"
	"time"
)

// The trace of BenchmarkEvictHitRatio.
const (
	evictFlows   = 1 << 14               // that are alive at a time: the working set
	evictPorts   = 30_000                // of which those are a window that moves
	evictPackets = 3_000_000             // of which the first third fills the cache
	evictDrift   = 100                   // packets after which one of the flows is replaced by a new one
	evictGap     = 50 * time.Microsecond // between two packets
	evictSkew    = 1.01                  // Zipf's exponent
)

// evictTrace calls each with the flow of each packet: of those alive, by a law of Zipf, the least popular of them replaced one by one, and popularity wandering with that.
func evictTrace(each func(i int, flow uint16)) {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, evictSkew, 1, evictFlows-1)
	alive := make([]uint16, evictFlows)
	next := uint16(0)
	fresh := func() uint16 {
		next = next%evictPorts + 1
		return next
	}
	for _, i := range random.Perm(evictFlows) {
		alive[i] = fresh()
	}
	for i := range evictPackets {
		if i%evictDrift == 0 { // a new one comes at any rank, and the one that was there goes
			alive[random.IntN(evictFlows)] = fresh()
		}
		each(i, alive[zipf.Uint64()])
	}
}

// lru is a cache that knows of each packet.
type lru struct {
	size  int
	order list.List // of flows, the one that came last at the front
	at    map[uint16]*list.Element
}

func (l *lru) hit(flow uint16) bool {
	if e := l.at[flow]; e != nil {
		l.order.MoveToFront(e)
		return true
	}
	if l.at[flow] = l.order.PushFront(flow); l.order.Len() > l.size {
		delete(l.at, l.order.Remove(l.order.Back()).(uint16))
	}
	return false
}

// BenchmarkEvictHitRatio reports
//
//   - evict_hit_ratio: packets that an entry matched, in parts of those that an LRU of the same size had matched that sees each packet. An edge has half as many entries as flows are alive
//   - evict_hits: in parts of all packets; evict_hits_lru: of the LRU
//   - evict_rounds_per_s: rounds of reading back, in the trace's time
func BenchmarkEvictHitRatio(b *testing.B) {
	for b.Loop() {
		c := newCached(b, evictPorts, 100, evictFlows/2)
		best := &lru{size: evictFlows / 2, at: map[uint16]*list.Element{}}
		hits, most, all, rounds := 0, 0, 0, 0
		begin := c.at
		ended := c.cache.ended
		evictTrace(func(i int, flow uint16) {
			c.at += evictGap
			if i%20_000 == 0 { // each second
				c.paceRounds()
				c.relieve()
				c.settled()
			}
			ours, theirs := c.send(1, flow), best.hit(flow)
			if c.cache.ended != ended {
				ended = c.cache.ended
				rounds++
			}
			if i < evictPackets/3 {
				return
			}
			all++
			if ours {
				hits++
			}
			if theirs {
				most++
			}
		})
		if s := c.a.Stats(); s.EvictedLimit == 0 || c.core.flows.len() > evictFlows/2 {
			b.Fatalf("%d flows, %+v", c.core.flows.len(), s)
		}
		b.ReportMetric(float64(hits)/float64(most), "evict_hit_ratio:ratio")
		b.ReportMetric(float64(hits)/float64(all), "evict_hits:ratio")
		b.ReportMetric(float64(most)/float64(all), "evict_hits_lru:ratio")
		b.ReportMetric(float64(rounds)/(c.at-begin).Seconds(), "evict_rounds_per_s:1/s")
	}
}
