package access

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
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
		addresses: buckets[netip.Prefix]{burst: burstPerAddress, pause: pausePerAddress, of: map[netip.Prefix]*rate.Limiter{}},
		users:     buckets[UserName]{burst: burstPerUser, pause: pausePerUser, of: map[UserName]*rate.Limiter{}},
	}
}

// buckets holds those from whom attempts failed lately.
type buckets[K comparable] struct {
	burst int
	pause time.Duration
	of    map[K]*rate.Limiter
}

// left reports whether one more attempt may fail.
func (b *buckets[K]) left(k K, now time.Time) bool {
	l := b.of[k]
	return l == nil || l.TokensAt(now) >= 1
}

// fail counts an attempt that failed; false: there is no room.
func (b *buckets[K]) fail(k K, now time.Time) bool {
	l := b.of[k]
	if l == nil {
		if len(b.of) >= maxBuckets {
			for other, l := range b.of {
				if l.TokensAt(now) >= float64(b.burst) {
					delete(b.of, other)
				}
			}
			if len(b.of) >= maxBuckets {
				return false
			}
		}
		l = rate.NewLimiter(rate.Every(b.pause), b.burst)
		b.of[k] = l
	}
	l.AllowN(now, 1)
	return true
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

// succeeded forgets what failed: he knows the password.
func (t *throttle) succeeded(from netip.Addr, user UserName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.addresses.of, network(from))
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
