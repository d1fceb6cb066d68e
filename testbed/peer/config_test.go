package peer

import (
	"net/netip"
	"strings"
	"testing"
)

// TestConfig: what is wrong is said with the object, the field, what was found and what would do; what is left out is made explicit.
func TestConfig(t *testing.T) {
	valid := func() *Config {
		return &Config{
			Maker: BIRD, Name: "isp", RouterID: netip.MustParseAddr("192.0.2.1"), AS: 64501,
			Addrs:      []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")},
			Neighbours: []Neighbour{{Addr: netip.MustParseAddr("192.0.2.2"), AS: 64502}, {Addr: netip.MustParseAddr("2001:db8::2"), AS: 64502}},
		}
	}
	c := valid()
	if err := c.complete(); err != nil {
		t.Fatal(err)
	}
	if four, six := c.Neighbours[0], c.Neighbours[1]; !four.V4 || four.V6 || six.V4 || !six.V6 {
		t.Errorf("families of neighbours: %+v", c.Neighbours)
	}
	for neighbour, local := range map[string]string{"192.0.2.2": "192.0.2.1", "198.51.100.1": "10.0.0.1", "2001:db8:1::1": "2001:db8::1"} {
		if got := c.local(netip.MustParseAddr(neighbour)); got.String() != local {
			t.Errorf("session with %s begins at %s, want %s", neighbour, got, local)
		}
	}
	for want, spoil := range map[string]func(*Config){
		`peer "ISP": name ISP: want lower case`:                         func(c *Config) { c.Name = "ISP" },
		`maker : want BIRD or FRR`:                                      func(c *Config) { c.Maker = "" },
		`router id 2001:db8::1: want an IPv4`:                           func(c *Config) { c.RouterID = netip.MustParseAddr("2001:db8::1") },
		`AS 0: want`:                                                    func(c *Config) { c.AS = 0 },
		`neighbour fe80::1%eth0: want`:                                  func(c *Config) { c.Neighbours[0].Addr = netip.MustParseAddr("fe80::1%eth0") },
		`neighbour 192.0.2.2: want an address of the interface`:         func(c *Config) { c.Addrs = c.Addrs[2:] },
		`AS of neighbour 192.0.2.2 0: want`:                             func(c *Config) { c.Neighbours[0].AS = 0 },
		`password of neighbour 2001:db8::2 (hidden): want`:              func(c *Config) { c.Neighbours[1].Password = `a"b` },
		`hold time of neighbour 192.0.2.2 2: want`:                      func(c *Config) { c.Neighbours[0].HoldTime = 2 },
		`TTL security of neighbour 192.0.2.2 true: want none with`:      func(c *Config) { c.Neighbours[0].TTLSecurity, c.Neighbours[0].Multihop = true, 2 },
		`BFD of neighbour 192.0.2.2 true: want none with TTL security,`: func(c *Config) { c.Maker = FRR; c.Neighbours[0].BFD, c.Neighbours[0].TTLSecurity = true, true },
		`multihop of neighbour 192.0.2.2 256: want 0 to 255`:            func(c *Config) { c.Neighbours[0].Multihop = 256 },
		`prepending to neighbour 192.0.2.2 10: want 0 to 9`:             func(c *Config) { c.Neighbours[0].Prepend = 10 },
		`ways [{192.0.2.0/24 192.0.2.9}]: want none of a maker other`: func(c *Config) {
			c.Maker, c.Ways = FRR, []Way{{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr("192.0.2.9")}}
		},
		`way {192.0.2.0/24 2001:db8::9}: want a prefix and a next hop`: func(c *Config) {
			c.Ways = []Way{{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr("2001:db8::9")}}
		},
		`client 192.0.2.2 of AS 64502: want the own AS`: func(c *Config) { c.Neighbours[0].Reflect = true },
		`prefix 10.0.0.1/8: want the lowest address`:    func(c *Config) { c.Announce = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} },
	} {
		c := valid()
		spoil(c)
		if err := c.complete(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestMissing: a program that is not there is named, with the package that has it.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := find(FRR, "no-such-program")
	if want := "FRR: program no-such-program is not installed: Debian has it in package frr"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
