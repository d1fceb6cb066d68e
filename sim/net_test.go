package sim

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// twoTiers: VMs a1, a2 (and b1 on a linked bridge) – tenant router – provider router – uplink. Both families.
const twoTiers = `
apiVersion: weft/v1
kind: Bridge
metadata: {name: web, tenant: acme}
spec:
  macs: []
---
apiVersion: weft/v1
kind: Bridge
metadata: {name: back, tenant: acme}
spec: {}
---
apiVersion: weft/v1
kind: Router
metadata: {name: edge, tenant: acme}
spec:
  routes:
  - {dst: 0.0.0.0/0, via: 100.64.0.1, port: edge-up}
  - {dst: "::/0", via: "2001:db8:64::1", port: edge-up}
  - {dst: 192.0.2.0/25, kind: reject}
  - {dst: 192.0.2.128/25, kind: blackhole}
---
apiVersion: weft/v1
kind: Router
metadata: {name: core, tenant: isp}
spec:
  routes:
  - {dst: 10.1.0.0/24, via: 100.64.0.2, port: core-acme}
  - {dst: "2001:db8:1::/64", via: "2001:db8:64::2", port: core-acme}
  - {dst: 203.0.113.0/24, via: 198.51.100.1, port: uplink}
  - {dst: "2001:db8:113::/48", via: "2001:db8:51::1", port: uplink}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a1, tenant: acme}, spec: {device: bridge/web, mac: "02:00:00:00:0a:01", addresses: [10.1.0.11/24, "2001:db8:1::11/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a2, tenant: acme}, spec: {device: bridge/web, mac: "02:00:00:00:0a:02", addresses: [10.1.0.12/24, "2001:db8:1::12/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a3, tenant: acme}, spec: {device: bridge/web}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: b1, tenant: acme}, spec: {device: bridge/back}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: web-back, tenant: acme}, spec: {device: bridge/web, peer: back-web}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: back-web, tenant: acme}, spec: {device: bridge/back, peer: web-back}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: web-edge, tenant: acme}, spec: {device: bridge/web, peer: edge-web}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: edge-web, tenant: acme}, spec: {device: router/edge, peer: web-edge, mac: "02:00:00:00:ee:01", addresses: [10.1.0.1/24, "2001:db8:1::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: edge-up, tenant: acme}, spec: {device: router/edge, peer: isp/core-acme, mac: "02:00:00:00:ee:02", addresses: [100.64.0.2/30, "2001:db8:64::2/126"], mtu: 1300}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: core-acme, tenant: isp}, spec: {device: router/core, peer: acme/edge-up, mac: "02:00:00:00:cc:01", addresses: [100.64.0.1/30, "2001:db8:64::1/126"], mtu: 1300}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: uplink, tenant: isp}, spec: {device: router/core, mac: "02:00:00:00:cc:02", addresses: [198.51.100.2/24, "2001:db8:51::2/64"], mtu: 1400}}
`

type lab struct {
	t    testing.TB
	snap *topology.Snapshot
	sim  Simulator
	res  Result
}

func newLab(t testing.TB, yaml string) *lab {
	t.Helper()
	s, err := topology.Load("net.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, snap: s}
}

func (l *lab) change(c topology.Changes) []topology.Dep {
	var deps []topology.Dep
	l.snap, deps = l.snap.With(c)
	return deps
}

func (l *lab) id(kind topology.Kind, tenant, name string) uint32 {
	l.t.Helper()
	id, ok := l.snap.ID(topology.Ref{Kind: kind, Tenant: tenant, Name: name})
	if !ok {
		l.t.Fatalf("no %s %s/%s", kind, tenant, name)
	}
	return id
}

// port finds a vport of either tenant.
func (l *lab) port(name string) flow.VPortID {
	l.t.Helper()
	for _, tenant := range []string{"acme", "isp"} {
		if id, ok := l.snap.ID(topology.Ref{Kind: topology.KindVPort, Tenant: tenant, Name: name}); ok {
			return flow.VPortID(id)
		}
	}
	l.t.Fatalf("no vport %s", name)
	return 0
}

func (l *lab) bridge(name string) topology.DeviceID {
	return topology.DeviceID(l.id(topology.KindBridge, "acme", name))
}

// run simulates a frame and returns the result, which lives until the next run.
func (l *lab) run(from string, frame []byte) *Result {
	l.t.Helper()
	var f packet.Frame
	if err := packet.Parse(frame, &f); err != nil {
		l.t.Fatal(err)
	}
	l.res.Trace = new(Trace)
	l.sim.Simulate(l.snap, &f, l.port(from), 0, &l.res)
	return &l.res
}

func mac(s string) packet.MAC { return packet.MustParseMAC("02:00:00:00:" + s) }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

type udp struct {
	from, to packet.MAC
	src, dst string
	ttl      uint8
	size     int // payload
	df       bool
}

func (u udp) frame() []byte {
	return packet.AppendUDP(nil, &packet.UDP{
		SrcMAC: u.from, DstMAC: u.to, Src: ip(u.src), Dst: ip(u.dst), SrcPort: 1000, DstPort: 2000, TTL: u.ttl, DontFragment: u.df, Payload: make([]byte, u.size),
	})
}

func parse(t testing.TB, b []byte) *packet.Frame {
	t.Helper()
	f := new(packet.Frame)
	if err := packet.Parse(b, f); err != nil {
		t.Fatal(err)
	}
	return f
}
