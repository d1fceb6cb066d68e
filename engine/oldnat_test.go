package engine

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

const natNet = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: web, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: red}, spec: {filters: {ingress: nat}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: red}, spec: {device: router/gw, peer: lan-gw, mac: "02:00:00:00:01:01", addresses: [10.0.1.1/16]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: red}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-web, tenant: red}, spec: {device: router/gw, peer: web-gw, mac: "02:00:00:00:01:02", addresses: [10.2.0.1/16]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: web-gw, tenant: red}, spec: {device: bridge/web, peer: gw-web}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.1.2/16]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: red}, spec: {device: bridge/web, filters: {egress: fw}, mac: "02:00:00:00:00:02", addresses: [10.2.0.3/16]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: nat, tenant: red}, spec: {rules: [NAT]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: fw, tenant: red}, spec: {rules: [FW]}}
`

// TestEditBehindOldTranslation: an edit of a chain concerns flows of a connection that keeps a translation of which the rule is gone: the chain sees what is not in their keys.
func TestEditBehindOldTranslation(t *testing.T) {
	c := detached(t, idleStore(t))
	c.start(t.Context(), func(int64, []state.Lack) {})
	text := func(nat, fw string) string { return strings.NewReplacer("NAT", nat, "FW", fw).Replace(natNet) }
	state0 := "{match: {states: [established]}, action: continue}"
	dnat := "{match: {dst: [192.0.2.80]}, action: dnat, nat: {addresses: [10.2.0.3]}}"
	fw0 := "{match: {protocols: [tcp]}, action: accept}"
	var err error
	if c.snap, err = topology.Load("n.yaml", []byte(text(state0+", "+dnat, fw0))); err != nil {
		t.Fatal(err)
	}
	vm1, vm2 := vportOf(t, c, "vm1"), vportOf(t, c, "vm2")
	c.view.places = map[flow.VPortID]place{vm1: {edge: "e1", at: offload.Attachment{Port: 1}}, vm2: {edge: "e1", at: offload.Attachment{Port: 2}}}
	lan, _ := c.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
	c.snap, _ = c.snap.With(topology.Changes{FDB: []topology.FDBEntry{{Bridge: topology.DeviceID(lan), MAC: vm1MAC, Port: vm1}}, BridgeNeighbours: []topology.BridgeNeighbour{
		{Bridge: topology.DeviceID(lan), Addr: netip.MustParseAddr("10.0.1.2"), MAC: vm1MAC}}, Neighbours: []topology.Neighbour{{Port: vportOf(t, c, "gw-web"), Addr: netip.MustParseAddr("10.2.0.3"), MAC: vm2MAC, State: topology.NeighbourOK}}})
	c.rebuild(c.layout.all(c.view))
	served(c)
	var f packet.Frame
	frame := packet.AppendUDP(nil, &packet.UDP{SrcMAC: vm1MAC, DstMAC: gwMAC, Src: netip.MustParseAddr("10.0.1.2"), Dst: netip.MustParseAddr("192.0.2.80"), SrcPort: 1000, DstPort: 2, TTL: 9})
	if err := packet.Parse(frame, &f); err != nil {
		t.Fatal(err)
	}
	c.sim.Simulate(c.snap, &f, vm1, c.now(), &c.res)
	if !c.res.Track.Wait {
		t.Fatalf("%+v", c.res)
	}
	c.conns.answers[c.res.Track.Key] = nil
	c.sim.Simulate(c.snap, &f, vm1, c.now(), &c.res)
	if !c.res.Track.Commit {
		t.Fatalf("%+v", c.res)
	}
	x := &conn{stored: state.StoredConn{Conn: c.res.Track.New, Revision: 1}, own: [2]bool{true, false}}
	x.stored.ForwardOwner = c.conns.run
	clear(c.conns.answers)
	c.conns.keep(x)
	up := func() {
		local, _ := c.locals.vports.Lookup(vm1)
		_ = packet.Parse(append([]byte(nil), frame...), &f)
		c.upcall(&f, vm1, local, flow.ReasonMissFlow)
	}
	up()
	if a, ok := act(t, c); !ok || a != offload.Forward {
		t.Fatalf("%v %v %+v", a, ok, c.res)
	}
	conf := int64(0)
	edit := func(nat, fw, which string) {
		objects, err := topology.Decode("n.yaml", []byte(text(nat, fw)))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.Kind == topology.KindChain && o.Metadata.Name == which {
				id, _ := c.snap.ID(topology.Ref{Kind: topology.KindChain, Tenant: "red", Name: which})
				o.Status.ID = id
				next, deps := c.snap.With(topology.Changes{Put: []*topology.Object{o}})
				conf++
				c.world(state.Change{View: &state.View{Topology: next, Conf: conf}, Deps: deps})
			}
		}
	}
	edit(state0, fw0, "nat") // the connection is older than the rules, and goes on
	a, ok := act(t, c)
	if !ok || a != offload.Forward {
		t.Fatalf("after its rule went the connection's flow is %v, %v", a, ok)
	}
	edit(state0, "{match: {dst: [10.2.0.3]}, action: drop}, "+fw0, "fw")
	if a, ok = act(t, c); ok && a == offload.Forward {
		t.Error("what the chain drops by now goes on")
	}
}
