package engine

import (
	"time"

	"github.com/weft-sdn/weft/flow"
)

// Rates of what the engine sends of itself because of packets of one vport (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)).
const (
	errorRate  = 100 // ICMP errors a second
	errorBurst = 50
)

// warningRate is how often a second the log says the same of a vport.
const warningRate = 1.0 / 60

// limiter is a token bucket for each vport.
type limiter struct {
	rate, burst float64
	buckets     map[flow.VPortID]bucket
}

// bucket has the tokens of one, and when it was filled up.
type bucket struct {
	tokens float64
	at     time.Duration
}

func newLimiter(rate, burst float64) *limiter {
	return &limiter{rate, burst, map[flow.VPortID]bucket{}}
}

// allow takes a token, if there is one.
func (l *limiter) allow(v flow.VPortID, now time.Duration) bool {
	b, ok := l.buckets[v]
	if !ok {
		b = bucket{l.burst, now}
	}
	ok = b.take(l.rate, l.burst, now)
	l.buckets[v] = b
	return ok
}

// take takes a token, if there is one.
func (b *bucket) take(rate, burst float64, now time.Duration) bool {
	b.tokens = min(burst, b.tokens+rate*(now-b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// sweep forgets the buckets that are full again.
func (l *limiter) sweep(now time.Duration) {
	for v, b := range l.buckets {
		if b.tokens+l.rate*(now-b.at).Seconds() >= l.burst {
			delete(l.buckets, v)
		}
	}
}
