package access

import (
	"net/netip"
	"sync"
	"time"
)

// throttle bounds how often passwords are guessed: per address more strictly than per user, so that who guesses does not lock out the user. It counts for one server.
type throttle struct {
	now func() time.Time

	mu        sync.Mutex
	addresses buckets[netip.Prefix]
	users     buckets[UserName]
}

// Failed attempts that are let through at once, and how long until one more is; and how many addresses or users are remembered.
const (
	burstPerAddress = 10
	pausePerAddress = 6 * time.Second
	burstPerUser    = 30
	pausePerUser    = 6 * time.Second
	maxBuckets      = 10_000
)

func newThrottle(now func() time.Time) *throttle {
	return &throttle{
		now:       now,
		addresses: buckets[netip.Prefix]{burst: burstPerAddress, pause: pausePerAddress, of: map[netip.Prefix]bucket{}},
		users:     buckets[UserName]{burst: burstPerUser, pause: pausePerUser, of: map[UserName]bucket{}},
	}
}

// buckets holds those from whom attempts failed lately.
type buckets[K comparable] struct {
	burst int
	pause time.Duration // until one failed attempt counts no more
	of    map[K]bucket
}

// bucket is how many failed attempts count, as of a time. (rate.Limiter has no way to give back what was taken a while ago.)
type bucket struct {
	failed float64
	at     time.Time
}

// failed are the attempts that count now.
func (b *buckets[K]) failed(k K, now time.Time) float64 {
	l := b.of[k]
	return max(0, l.failed-max(0, now.Sub(l.at).Seconds()/b.pause.Seconds()))
}

// left reports whether one more attempt may fail.
func (b *buckets[K]) left(k K, now time.Time) bool {
	return b.failed(k, now)+1 <= float64(b.burst)
}

// fail counts an attempt that failed; false: there is no room.
func (b *buckets[K]) fail(k K, now time.Time) bool {
	if _, known := b.of[k]; !known && len(b.of) >= maxBuckets {
		for other := range b.of {
			if b.failed(other, now) == 0 {
				delete(b.of, other)
			}
		}
		if len(b.of) >= maxBuckets {
			return false
		}
	}
	b.of[k] = bucket{b.failed(k, now) + 1, now}
	return true
}

// giveBack is that one of the attempts did not fail.
func (b *buckets[K]) giveBack(k K, now time.Time) {
	if n := b.failed(k, now) - 1; n > 0 {
		b.of[k] = bucket{n, now}
	} else {
		delete(b.of, k)
	}
}

// take asks for an attempt, which counts as failed until it is given back.
func (t *throttle) take(from netip.Addr, user UserName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, net := t.now(), network(from)
	if !t.addresses.left(net, now) || !t.users.left(user, now) {
		return false
	}
	return t.addresses.fail(net, now) && t.users.fail(user, now) // no room to count it: it is not let through
}

// takeUser is take of somebody who is in already, and guesses the password of the user that he is.
func (t *throttle) takeUser(user UserName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	return t.users.left(user, now) && t.users.fail(user, now)
}

func (t *throttle) userSucceeded(user UserName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.users.of, user)
}

// succeeded forgets what failed for the user: he knows the password. Of his address this attempt alone did not fail: else one account would do to guess others' passwords
// without limit.
func (t *throttle) succeeded(from netip.Addr, user UserName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addresses.giveBack(network(from), t.now())
	delete(t.users.of, user)
}

// network is what one customer has of an address: all of an IPv4 address, 64 bits of an IPv6 address.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
