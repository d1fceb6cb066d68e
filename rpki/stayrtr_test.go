package rpki_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/testbed/rtr"
)

func vrp(prefix string, most uint8, as uint32) rpki.VRP {
	return rpki.VRP{Prefix: netip.MustParsePrefix(prefix), MaxLen: most, AS: as}
}

// startClient runs a client of caches until the test ends.
func startClient(t *testing.T, caches ...rpki.Cache) *rpki.Client {
	t.Helper()
	c := rpki.New(caches, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

// eventually waits until the first cache is so.
func eventually(t *testing.T, c *rpki.Client, what string, is func(rpki.CacheStatus) bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is(c.Status()[0]) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not so: %s; caches %+v", what, c.Status())
		}
	}
}

// TestStayRTR: a cache of another maker tells what it has, in either version of the protocol, and what changes; after it was away, too, and in another session.
func TestStayRTR(t *testing.T) {
	rtr.Need(t)
	for _, version := range []uint8{0, 1, 2} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			first := []rpki.VRP{vrp("198.51.100.0/22", 24, 64501), vrp("198.51.100.0/24", 24, 64502), vrp("2001:db8:51::/48", 48, 64501), vrp("203.0.113.0/24", 24, 0)}
			cache, err := rtr.Open(t.Output(), first, "-protocol", fmt.Sprint(version), "-rtr.refresh", "7", "-rtr.retry", "8", "-rtr.expire", "900")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cache.Close)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			c := startClient(t, rpki.Cache{Address: cache.Address})
			eventually(t, c, "it told all", func(s rpki.CacheStatus) bool { return s.Up && s.V4 == 3 && s.V6 == 1 })
			s := c.Status()[0]
			if want := min(version, 1); s.Version != want {
				t.Errorf("version %d, want %d", s.Version, want)
			}
			if version > 0 && (s.Refresh != 7 || s.Retry != 8 || s.Expire != 900) {
				t.Errorf("timers %+v", s)
			}
			check := func(prefix string, from uint32, want rpki.State) {
				t.Helper()
				if got, why := c.Validate(netip.MustParsePrefix(prefix), from); got != want {
					t.Errorf("%s of AS %d is %s (%v), want %s", prefix, from, got, why, want)
				}
			}
			check("198.51.100.0/24", 64501, rpki.Valid)
			check("198.51.100.0/24", 64502, rpki.Valid)
			check("198.51.101.0/24", 64502, rpki.Invalid)
			check("198.51.100.0/25", 64501, rpki.Invalid)
			check("203.0.113.0/24", 64501, rpki.Invalid)
			check("203.0.113.0/24", rpki.NoOrigin, rpki.Invalid)
			check("2001:db8:51::/48", 64501, rpki.Valid)
			check("2001:db8:51::/48", 64502, rpki.Invalid)
			check("2001:db8::/32", 64502, rpki.NotFound)
			check("192.0.2.0/24", 64501, rpki.NotFound)

			must(cache.Change(append(first[1:3:3], vrp("192.0.2.0/24", 24, 64503), vrp("2001:db8:52::/48", 64, 64503))))
			eventually(t, c, "it told what changed", func(s rpki.CacheStatus) bool { return s.V4 == 2 && s.V6 == 2 })
			check("198.51.101.0/24", 64502, rpki.NotFound)
			check("192.0.2.0/24", 64503, rpki.Valid)
			check("2001:db8:52:1::/64", 64503, rpki.Valid)

			cache.Stop()
			eventually(t, c, "it is away", func(s rpki.CacheStatus) bool {
				return !s.Up && s.V4 == 2 && s.V6 == 2 && s.Lost == 1 && s.Why != ""
			})
			check("192.0.2.0/24", 64503, rpki.Valid)
			must(cache.Write(first))
			must(cache.Start())
			eventually(t, c, "it is back", func(s rpki.CacheStatus) bool { return s.Up && s.V4 == 3 && s.V6 == 1 && s.Why == "" })
			check("192.0.2.0/24", 64503, rpki.NotFound)
			check("203.0.113.0/24", 64501, rpki.Invalid)
		})
	}
}
