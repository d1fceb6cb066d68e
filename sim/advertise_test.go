package sim

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// TestAdvertise: a router port answers solicitations as it is told to, and is silent if it is not; the answer is byte for byte as RFC 4861 has it.
func TestAdvertise(t *testing.T) {
	l := newLab(t, `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: web, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: r, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a1, tenant: acme}, spec: {device: bridge/web}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a2, tenant: acme}, spec: {device: bridge/web, peer: r1}}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: r1, tenant: acme}
spec: {device: router/r, peer: a2, mtu: 1400, mac: "02:00:00:00:ee:01", addresses: [10.1.0.1/24, "2001:db8:1::1/64"], advertise: {mode: stateless, dns: ["2001:db8:1::53"], lifetime: 900}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: r2, tenant: acme}, spec: {device: router/r, addresses: ["2001:db8:2::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: r3, tenant: acme}, spec: {device: router/r, addresses: ["2001:db8:3::1/64"], advertise: {mode: dhcp}}}
`)
	host := mac("0a:01")
	solicit := func(src netip.Addr) []byte {
		b := []byte{133, 0, 0, 0, 0, 0, 0, 0}
		if !src.IsUnspecified() {
			b = append(append(b, 1, 1), host[:]...)
		}
		c := packet.PseudoSum(src, ip("ff02::2"), packet.ProtoICMPv6, len(b)).Add(b).Fold()
		b[2], b[3] = byte(c>>8), byte(c)
		frame := slices.Concat([]byte{0x33, 0x33, 0, 0, 0, 2}, host[:], []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(b)), 58, 255}, src.AsSlice(), ip("ff02::2").AsSlice(), b)
		return frame
	}
	res := l.run("a1", solicit(topology.LinkLocal(host)))
	if len(res.Originated) != 1 || res.Originated[0].Dest != l.port("a1").Dest() && !l.snap.IsGroup(res.Originated[0].Dest) {
		t.Fatalf("answer: %+v\n%v", res.Originated, res.Trace)
	}
	frame := res.Originated[0].Frame
	f := parse(t, frame)
	want := slices.Concat([]byte{134, 0, 0, 0, 64, 0x40, 900 >> 8, 900 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0xee, 1, 5, 1, 0, 0, 0, 0, 1400 >> 8, 1400 & 0xff,
		3, 4, 64, 0xc0, 0, 9, 0x3a, 0x80, 0, 9, 0x3a, 0x80, 0, 0, 0, 0}, ip("2001:db8:1::").AsSlice(), []byte{25, 3, 0, 0, 0, 0, 7, 8}, ip("2001:db8:1::53").AsSlice())
	got := slices.Clone(frame[f.L4:])
	got[2], got[3] = 0, 0
	if !bytes.Equal(got, want) || !f.ChecksumOK() || f.DstAddr() != topology.LinkLocal(host) || f.TTL() != 255 || f.Dst() != host {
		t.Errorf("advertisement\n%x, want\n%x", got, want)
	}
	if res := l.run("a1", solicit(netip.IPv6Unspecified())); len(res.Originated) != 1 || parse(t, res.Originated[0].Frame).DstAddr() != packet.AllNodes() {
		t.Errorf("to a host without address: %+v", res.Originated)
	}
	if res := l.run("r2", solicit(topology.LinkLocal(host))); len(res.Originated) != 0 || res.Outcomes[0].Drop != DropNotOurAddress {
		t.Errorf("a port that does not advertise: %+v", res.Outcomes)
	}
	res = l.run("r3", solicit(topology.LinkLocal(host)))
	frame = res.Originated[0].Frame
	if f := parse(t, frame); frame[f.L4+5] != 0xc0 || frame[f.L4+35] != 0x80 {
		t.Errorf("DHCPv6: flags %#x, of the prefix %#x", frame[f.L4+5], frame[f.L4+35])
	}
}
