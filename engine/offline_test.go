package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/proxy"
	"github.com/weft-sdn/weft/topology"
)

// twoNets is a router between two bridges that hides vm1 from srv, by rules of which some let connections begin while the database is away.
var twoNets = strings.Replace(network, "metadata: {name: gw, tenant: red}, spec: {}", "metadata: {name: gw, tenant: red}, spec: {filters: {egress: hide, ingress: guard}}", 1) + `
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: out, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-out, tenant: red}, spec: {device: router/gw, peer: out-gw, mac: "02:00:00:00:01:02", addresses: [10.2.0.1/24, "fd00:2::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out-gw, tenant: red}, spec: {device: bridge/out, peer: gw-out}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: srv, tenant: red}, spec: {device: bridge/out, mac: "02:00:00:00:00:03", addresses: [10.2.0.2/24, "fd00:2::2/64"]}}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: guard, tenant: red}
spec:
  rules:
  - {match: {states: [established]}, action: accept}
  - {match: {states: [new], protocols: [udp], dstPorts: [7]}, action: accept, whenAway: hold}
  - {match: {states: [new]}, action: accept, whenAway: local}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: hide, tenant: red}
spec:
  rules:
  - {match: {outPorts: [gw-out], protocols: [udp], dstPorts: [9]}, action: accept}
  - {match: {outPorts: [gw-out]}, action: snat, nat: {addresses: [10.2.0.80, "fd00:2::80"]}, whenAway: local}
`

var outMAC, srvMAC = packet.MAC{2, 0, 0, 0, 1, 2}, packet.MAC{2, 0, 0, 0, 0, 3}

// offline is an edge whose way to the database can be shut.
type offline struct {
	*testing.T
	c      *core
	ctx    context.Context
	target *p4rttest.Server
	way    *proxy.Proxy
	far    *state.Store // has a way of its own
}

func newOffline(t *testing.T) *offline {
	t.Helper()
	o := &offline{T: t, target: p4rttest.NewServer()}
	o.far = runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true, Listen: []string{"http://127.0.0.1:0"}}})
	var err error
	if o.way, err = proxy.To(o.far.Endpoints()[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.way.Close)
	near := runStore(t, state.Config{Client: state.ClientConfig{Endpoints: []string{o.way.URL()}}})
	o.c = detachedFrom(t, near, o.target.Dial)
	o.c.a.cfg.AwayAfter = 100 * time.Millisecond
	if o.c.snap, err = topology.Load("network.yaml", []byte(twoNets)); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"vm1", "vm2", "srv"} {
		o.c.view.places[vportOf(t, o.c, name)] = place{edge: "e1", at: offload.Attachment{Port: uint16(i + 1)}}
	}
	o.c.rebuild(o.c.layout.all(o.c.view))
	o.ctx = connected(t, o.c, o.target)
	t.Cleanup(func() { o.way.SetSilent(false) })
	return o
}

// newOnline is newOffline for tests of a database that is there all the time, however long a busy machine has it take.
func newOnline(t *testing.T) *offline {
	t.Helper()
	o := newOffline(t)
	o.at(func() { o.c.a.cfg.AwayAfter = time.Minute })
	return o
}

// at runs something in the agent's goroutine.
func (o *offline) at(f func()) {
	o.Helper()
	if err := o.c.a.mail.call(o.ctx, f); err != nil {
		o.Fatal(err)
	}
}

// until waits for something that the agent's goroutine sees.
func (o *offline) until(what string, is func() bool) {
	o.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok := false
		if o.at(func() { ok = is() }); ok {
			return
		}
		select {
		case <-tick.C:
		case <-o.ctx.Done():
			o.Fatalf("in vain: %s; %+v", what, o.c.a.Stats())
		}
	}
}

// sends has a port's host send a frame.
func (o *offline) sends(port string, frame []byte) {
	o.Helper()
	o.at(func() {
		var f packet.Frame
		if err := packet.Parse(frame, &f); err != nil {
			o.Fatal(err)
		}
		id := vportOf(o.T, o.c, port)
		local, _ := o.c.locals.vports.Lookup(id)
		o.c.upcall(&f, id, local, flow.ReasonMissFlow)
	})
}

func addrs(v6 bool) (src, dst netip.Addr) {
	if v6 {
		return netip.MustParseAddr("fd00:1::2"), netip.MustParseAddr("fd00:2::2")
	}
	return netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.2.0.2")
}

// udpOut is a datagram of vm1 to srv.
func udpOut(v6 bool, sport, dport uint16) []byte {
	src, dst := addrs(v6)
	return packet.AppendUDP(nil, &packet.UDP{SrcMAC: vm1MAC, DstMAC: gwMAC, Src: src, Dst: dst, SrcPort: sport, DstPort: dport, TTL: 9, Payload: fmt.Appendf(nil, "port %d", sport)})
}

func tcpOut(v6 bool, sport uint16, flags uint8, seq, ack uint32) []byte {
	src, dst := addrs(v6)
	return packet.AppendTCP(nil, &packet.TCP{SrcMAC: vm1MAC, DstMAC: gwMAC, Src: src, Dst: dst, SrcPort: sport, DstPort: 80, Flags: flags, Seq: seq, Ack: ack})
}

// key is the connection's of a frame of vm1.
func (o *offline) key(frame []byte) (k conntrack.Key) {
	o.Helper()
	var f packet.Frame
	if err := packet.Parse(frame, &f); err != nil {
		o.Fatal(err)
	}
	of := flow.KeyOf(&f, 0)
	lan, _ := o.c.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
	k.Set(uint32(o.c.snap.Zone(topology.DeviceID(lan))), &of)
	return k
}

// has waits until the agent knows a connection, and returns it.
func (o *offline) has(k conntrack.Key) (x conn) {
	o.Helper()
	o.until("connection "+k.String(), func() bool {
		y := o.c.conns.known.get(k)
		if y != nil {
			x = *y
		}
		return y != nil
	})
	return x
}

// arrives waits for a frame of vm1 on its way to srv, and returns its source there.
func (o *offline) arrives(frame []byte) (a netip.Addr, port uint16) {
	o.Helper()
	var want packet.Frame
	if err := packet.Parse(frame, &want); err != nil {
		o.Fatal(err)
	}
	payload := want.Data[want.L4+8:]
	if !o.target.Wait(o.ctx, func(v p4rttest.View) bool {
		for _, p := range v.PacketsOut {
			var f packet.Frame
			if packet.ParseUntagged(p.Payload, &f) == nil && f.Proto == want.Proto && f.EtherType == want.EtherType && f.DstPort == want.DstPort && f.Dst() == srvMAC && f.L4 != 0 && slices.Equal(f.Data[f.L4+8:], payload) {
				a, port = f.SrcAddr(), f.SrcPort
				return f.Intact()
			}
		}
		return false
	}) {
		o.Fatal("a packet did not arrive")
	}
	return a, port
}

// withBlock has a connection begun, so that the edge has a block.
func (o *offline) withBlock(v6 bool) conntrack.Key {
	o.Helper()
	frame := udpOut(v6, 1000, 53)
	o.sends("vm1", frame)
	k := o.key(frame)
	o.has(k)
	o.until("a block", func() bool {
		return slices.ContainsFunc(o.c.blocks.of[k0(o)], func(b *block) bool { return b.V6 == v6 })
	})
	return k
}

// k0 is the id of the router that translates.
func k0(o *offline) uint32 {
	id, _ := o.c.snap.ID(topology.Ref{Kind: topology.KindRouter, Tenant: "red", Name: "gw"})
	return id
}

func (o *offline) stored() (all []state.StoredConn) {
	o.Helper()
	if err := o.far.Connections(o.Context(), func(c state.StoredConn) error { all = append(all, c); return nil }); err != nil {
		o.Fatal(err)
	}
	return all
}
