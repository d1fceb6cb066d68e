package topology

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

const leased = `
apiVersion: weft/v1
kind: DHCP
metadata: {name: lan, tenant: acme}
spec:
  leaseTime: 600
  domain: acme.example
  dns: [10.0.0.53, "2001:db8::53"]
  ntp: [10.0.0.123]
  mtu: 1400
  leasesPerPort: 4
  options: [{code: 66, text: tftp.example}, {code: 59, family: v6, hex: 0a0b}]
  subnets:
  - prefix: 10.0.0.0/24
    router: 10.0.0.1
    ranges: [10.0.0.100-10.0.0.109, 10.0.0.200-10.0.0.209]
    routes: [{dst: 10.9.0.0/16, via: 10.0.0.2}]
  - prefix: "2001:db8::/64"
    ranges: ["2001:db8::100-2001:db8::1ff"]
  reservations:
  - {mac: "02:00:00:00:00:05", addresses: [10.0.0.5, "2001:db8::5"], hostname: five}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: b, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/b, dhcp: lan}}
`

// TestDHCPErrors: what contradicts itself is refused, and says where.
func TestDHCPErrors(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{"leaseTime: 600", "leaseTime: 9", `spec.leaseTime: "9" is out of range; use 60 to 31622400 seconds`},
		{"mtu: 1400", "mtu: 100", `spec.mtu: "100" is out of range; use 576 to 9216 bytes of IP packet`},
		{"acme.example", "acme..example", `spec.domain: "acme..example" is no domain name; use one such as example.org`},
		{"[10.0.0.53,", "[224.0.0.1,", `spec.dns[0]: "224.0.0.1" is not the address of one host; use one such as 10.0.0.53 or 2001:db8::53`},
		{"10.0.0.100-10.0.0.109", "10.0.0.100-10.0.1.9", `spec.subnets[0].ranges[0]: "10.0.0.100-10.0.1.9" is not in 10.0.0.0/24; use FIRST-LAST within the prefix`},
		{"10.0.0.100-10.0.0.109", "10.0.0.109-10.0.0.100", `spec.subnets[0].ranges[0]: "10.0.0.109-10.0.0.100" is not an address or range of addresses such as 192.0.2.1 or 192.0.2.1-192.0.2.9`},
		{"10.0.0.100-10.0.0.109", "10.0.0.1-10.0.0.9", `spec.subnets[0].ranges[0]: "10.0.0.1-10.0.0.9" has the router 10.0.0.1; leave it out`},
		{"10.0.0.100-10.0.0.109", "10.0.0.250-10.0.0.255", `spec.subnets[0].ranges[0]: "10.0.0.250-10.0.0.255" has the network or broadcast address of 10.0.0.0/24; leave it out`},
		{"10.0.0.200-10.0.0.209", "10.0.0.105-10.0.0.209", `spec.subnets[0].ranges[1]: "10.0.0.105-10.0.0.209" overlaps another range; list an address once`},
		{"10.0.0.100-10.0.0.109", "10.0.0.100 to 109", `spec.subnets[0].ranges[0]: "10.0.0.100 to 109" is not an address or range of addresses such as 192.0.2.1 or 192.0.2.1-192.0.2.9`},
		{"router: 10.0.0.1\n", "router: 10.0.9.1\n", `spec.subnets[0].router: "10.0.9.1" is not in 10.0.0.0/24; use an address on the link`},
		{"    router: 10.0.0.1\n", "", `spec.subnets[0].server: is missing; give server, the address that answers come from, or router`},
		{"via: 10.0.0.2", `via: "2001:db8::2"`, `spec.subnets[0].routes[0].via: "2001:db8::2" is not the IPv4 address of a router; use one on the link, or 0.0.0.0 for what is on the link itself`},
		{`prefix: "2001:db8::/64"`, `prefix: 10.0.0.0/8`, `spec.subnets[1].prefix: "10.0.0.0/8" overlaps 10.0.0.0/24; an address is in one subnet`},
		{`    ranges: ["2001:db8::100-2001:db8::1ff"]`, `    server: 10.0.0.9`, `spec.subnets[1]: "2001:db8::/64" is IPv6, which takes neither router, server nor routes; set spec.advertise of the router port: IPv6 hosts learn routers from its advertisements`},
		{"[10.0.0.5,", "[10.0.7.5,", `spec.reservations[0].addresses[0]: "10.0.7.5" is in no subnet of the resource; add the subnet that it is in`},
		{"[10.0.0.5,", "[10.0.0.1,", `spec.reservations[0].addresses[0]: "10.0.0.1" is the router's or server's; use another one`},
		{"[10.0.0.5,", "[10.0.0.5, 10.0.0.6,", `spec.reservations[0].addresses[1]: "10.0.0.6" is a second address of its IP version; a host gets one of each`},
		{"hostname: five}", "hostname: five}\n  - {mac: \"02:00:00:00:00:06\", addresses: [10.0.0.5]}", `spec.reservations[1].addresses[0]: "10.0.0.5" is reserved twice; an address has one host`},
		{"hostname: five}", "hostname: five}\n  - {mac: \"02:00:00:00:00:05\", addresses: [10.0.0.6]}", `spec.reservations[1].mac: "02:00:00:00:00:05" is listed twice; list all addresses of a host together`},
		{"code: 66, text: tftp.example", "code: 6, addresses: [10.0.0.9]", `spec.options[0].code: "6" is not to be given by number; use spec.dns`},
		{"code: 66, text: tftp.example", "code: 53, hex: \"01\"", `spec.options[0].code: "53" is not to be given by number; leave it out: the protocol sets it`},
		{"code: 66, text: tftp.example", "code: 300, text: x", `spec.options[0].code: "300" is out of range; use 1 to 254`},
		{"code: 66, text: tftp.example", "code: 66, text: x, hex: \"00\"", `spec.options[0]: "66" has more than one value; give one of text, hex and addresses`},
		{"hex: 0a0b", "hex: 0a0", `spec.options[1]: "59" has a hex value that is none; give one of text, hex and addresses`},
		{"dhcp: lan", "dhcp: wan", `spec.dhcp: "wan" is no DHCP resource; define dhcp acme/wan or name an existing one`},
	} {
		if strings.Count(leased, tt.old) != 1 {
			t.Fatalf("%q is %d times in the manifest", tt.old, strings.Count(leased, tt.old))
		}
		objects, err := Decode("net.yaml", []byte(strings.Replace(leased, tt.old, tt.new, 1)))
		if err == nil {
			_, err = new(Set).Apply(objects, nil)
		}
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error()+"\n", tt.want+"\n") {
			t.Errorf("%q:\n got %v\nwant %s", tt.new, err, tt.want)
		}
	}
	snap, err := Load("net.yaml", []byte(leased))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := snap.ID(Ref{KindVPort, "acme", "vm"})
	if d := snap.DHCP(snap.VPort(flow.VPortID(id)).DHCP); d == nil || d.Name != "lan" || d.LeaseTime().Seconds() != 600 || d.LeasesPerPort() != 4 {
		t.Errorf("the resource of vm is %v", d)
	}
	objects, _ := Decode("net.yaml", []byte(leased))
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Apply(nil, []Ref{{KindDHCP, "acme", "lan"}}); err == nil || !strings.Contains(err.Error(), "is used by vport vm") {
		t.Errorf("a resource in use was deleted: %v", err)
	}
}

// TestAssignable: a reserved address is for its host alone, and a host with one gets nothing else.
func TestAssignable(t *testing.T) {
	snap, err := Load("net.yaml", []byte(leased))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := snap.ID(Ref{KindDHCP, "acme", "lan"})
	d := snap.DHCP(DeviceID(id))
	five, six := packet.MAC{2, 0, 0, 0, 0, 5}, packet.MAC{2, 0, 0, 0, 0, 6}
	for _, tt := range []struct {
		mac  packet.MAC
		addr string
		want bool
	}{
		{five, "10.0.0.5", true}, {six, "10.0.0.5", false}, {five, "10.0.0.100", false}, {six, "10.0.0.100", true}, {six, "10.0.0.110", false},
		{six, "10.0.0.209", true}, {six, "10.0.1.100", false}, {five, "2001:db8::5", true}, {six, "2001:db8::1ff", true}, {six, "2001:db8::200", false},
	} {
		if got := d.Assignable(tt.mac, netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%s for %v: %t", tt.addr, tt.mac, got)
		}
	}
	// Whatever the host, the ranges in its order are all addresses, once each.
	for m := range byte(40) {
		seen := map[netip.Addr]bool{}
		for _, r := range d.Ranges(packet.MAC{2, 0, 0, 0, 1, m}, false) {
			for n := range r.Size() {
				if a := r.At(n); seen[a] || !d.Assignable(six, a) {
					t.Fatalf("%v at %v: twice, or not to be given", m, a)
				} else {
					seen[a] = true
				}
			}
		}
		if len(seen) != 20 {
			t.Fatalf("MAC %d: %d addresses, want 20", m, len(seen))
		}
	}
}

func TestAddrRange(t *testing.T) {
	for _, tt := range []struct {
		text string
		size uint64
		last string
	}{
		{"10.0.0.5-10.0.0.5", 1, "10.0.0.5"},
		{"10.0.0.250-10.0.1.5", 12, "10.0.1.5"},
		{"2001:db8::ffff:ffff:ffff:fff0-2001:db8:0:1::f", 32, "2001:db8:0:1::f"},
		{"2001:db8::-2001:db8::ffff:ffff:ffff:ffff", math.MaxUint64, "2001:db8::ffff:ffff:ffff:fffe"},
		{"2001:db8::-2001:db9::", math.MaxUint64, "2001:db8::ffff:ffff:ffff:fffe"},
	} {
		var r AddrRange
		if err := r.UnmarshalText([]byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		if r.Size() != tt.size || r.At(tt.size-1).String() != tt.last || r.String() != tt.text && tt.size > 1 {
			t.Errorf("%v: %d addresses, the last %v", r, r.Size(), r.At(r.Size()-1))
		}
		if !r.Contains(r.First) || !r.Contains(r.Last) || r.Contains(r.First.Prev()) || r.Contains(r.Last.Next()) {
			t.Errorf("%v: Contains", r)
		}
	}
}
