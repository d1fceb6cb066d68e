package bgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestDamper: what changes now and then is not held back, what goes on is, and is free again when it has been quiet for long enough; how many are known is bounded.
func TestDamper(t *testing.T) {
	paths := func(prefixes ...string) (list []*apiutil.Path) {
		for _, p := range prefixes {
			list = append(list, &apiutil.Path{Nlri: must(msg.NewIPAddrPrefix(netip.MustParsePrefix(p)))})
		}
		return list
	}
	four, six := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")
	now := time.Unix(1, 0)
	var d damper
	for range 1000 {
		now = now.Add(time.Second)
		if d.take(paths(four.String()), false, now) {
			t.Fatal("a change a second is held back")
		}
	}
	for i := range 100 {
		now = now.Add(10 * time.Millisecond)
		d.take(paths(six.String()), false, now)
		if _, held := d.holds(six, now); held != (i >= suppressFrom) { // the penalty has sunk a bit meanwhile
			t.Fatalf("change %d: held back: %v", i+1, held)
		}
	}
	if _, held := d.holds(four, now); held {
		t.Error("another prefix is held back")
	}
	if n, total := d.counts(); n != 1 || total != 1 {
		t.Errorf("%d held back, %d times", n, total)
	}
	if why, _ := d.holds(six, now); why != "it changed 100 times; held back for 25 s more if it does not change" {
		t.Error(why)
	}
	if free, more := d.released(now.Add(24 * time.Second)); len(free) != 0 || !more {
		t.Errorf("free too soon: %v, %v", free, more)
	}
	if free, more := d.released(now.Add(26 * time.Second)); len(free) != 1 || free[0] != six || more {
		t.Errorf("not free: %v, %v", free, more)
	}
	for i := range 3 * mostDamped {
		d.take(paths(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32).String()), false, now)
	}
	if len(d.flaps) > mostDamped {
		t.Errorf("%d prefixes are known", len(d.flaps))
	}
	now = now.Add(time.Minute)
	d.take(paths("172.16.0.0/12"), false, now)
	if len(d.flaps) > 2 {
		t.Errorf("%d prefixes are known that are quiet", len(d.flaps))
	}
}

// TestDamperOfSeveral: of a neighbour that tells several paths to a prefix, what it tells for the first time does not count; what it tells again, or withdraws, does.
func TestDamperOfSeveral(t *testing.T) {
	now := time.Unix(1, 0)
	var d damper
	take := func(prefix string, id uint32, withdrawn bool) bool {
		p := &apiutil.Path{Nlri: must(msg.NewIPAddrPrefix(netip.MustParsePrefix(prefix))), RemoteID: id, Withdrawal: withdrawn}
		return d.take([]*apiutil.Path{p}, true, now)
	}
	for id := range uint32(3 * mostPaths) {
		if take("198.51.100.0/24", id, false) {
			t.Fatalf("path %d, which is new, counts", id)
		}
	}
	for i := range suppressFrom {
		if held := take("198.51.100.0/24", uint32(i%2), false); held != (i == suppressFrom-1) {
			t.Fatalf("told again %d times: held back: %v", i+1, held)
		}
	}
	for i := range suppressFrom {
		if take("2001:db8::/32", 7, false) {
			t.Fatalf("told anew %d times: held back", i+1)
		}
		if held := take("2001:db8::/32", 7, true); held != (i == suppressFrom-1) {
			t.Fatalf("withdrawn %d times: held back: %v", i+1, held)
		}
	}
}
