package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// limitedRow are two links in a row, of 64M and 8M: vm1 is in front of both, vm2 between them, vm3 behind.
const limitedRow = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: wan, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: far, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out, tenant: red}, spec: {device: bridge/lan, peer: in, rate: 64M}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: in, tenant: red}, spec: {device: bridge/wan, peer: out}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: on, tenant: red}, spec: {device: bridge/wan, peer: off, rate: 8M}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: off, tenant: red}, spec: {device: bridge/far, peer: on}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01"}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: red}, spec: {device: bridge/wan, mac: "02:00:00:00:00:02"}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm3, tenant: red}, spec: {device: bridge/far, mac: "02:00:00:00:00:03"}}
`

// row is an agent's core that serves vm1 to vm3 of limitedRow.
type row struct {
	*sharing
	in, both flow.LinkSet
}

func newRow(t *testing.T) *row {
	r := &row{sharing: newSharing(t)}
	served(r.core)
	r.change(limitedRow)
	r.link = vportOf(t, r.core, "in")
	r.in = flow.LinkSetOf(r.link)
	r.both = flow.LinkSetOf(r.link, vportOf(t, r.core, "off"))
	return r
}

// change configures the network anew, and has all flows decided again that pass its links.
func (r *row) change(yaml string) {
	r.configure(yaml)
	behind := map[string][3]string{"lan": {"vm1", "out", "out"}, "wan": {"in", "vm2", "on"}, "far": {"off", "off", "vm3"}}
	var known topology.Changes // nothing is to be learnt, or flooded
	for bridge, ports := range behind {
		n, _ := r.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: bridge})
		for i, port := range ports {
			mac := packet.MAC{2, 0, 0, 0, 0, byte(i + 1)}
			known.FDB = append(known.FDB, topology.FDBEntry{Bridge: topology.DeviceID(n), MAC: mac, Port: vportOf(r.t, r.core, port)})
			known.BridgeNeighbours = append(known.BridgeNeighbours, topology.BridgeNeighbour{Bridge: topology.DeviceID(n), Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), MAC: mac})
		}
	}
	r.snap, _ = r.snap.With(known)
	var deps []topology.Dep
	for p := range r.snap.VPorts() {
		deps = append(deps, topology.VPortDep(p.ID))
	}
	r.view.places = map[flow.VPortID]place{}
	for i, name := range []string{"vm1", "vm2", "vm3"} {
		r.view.places[vportOf(r.t, r.core, name)] = place{edge: "e1", at: offload.Attachment{Port: uint16(i + 1)}}
	}
	r.rebuild(r.layout.all(r.view))
	r.doubtAll(deps, r.snap)
	r.recheck(0)
}

func (r *row) send(to byte) {
	src, dst := netip.MustParseAddr("10.0.0.1"), netip.AddrFrom4([4]byte{10, 0, 0, to})
	fromVM1(r.t, r.core, packet.MAC{2, 0, 0, 0, 0, to}, src, dst, 7)
}

// meters checks what flows take from, and the rates of the meters for that.
func (r *row) meters(what string, of map[flow.LinkSet]topology.BitRate) {
	r.t.Helper()
	cells := map[p4rt.Key]p4rt.Entity{}
	r.layout.entities(func(e p4rt.Entity) { cells[e.Key()] = e })
	var passes []flow.LinkSet
	for f := range r.flows.all() {
		links := r.placer.Megaflow(f.placed).Links
		passes = append(passes, links)
		rate, wanted := of[links]
		if !wanted {
			r.t.Errorf("%s: a flow takes from the meter of %v", what, links)
			continue
		}
		if cell := r.a.tables.LinkRate(r.placer.Links().Number(links), int64(rate)); cells[cell.Key()] == nil || !same(cells[cell.Key()], cell) {
			r.t.Errorf("%s: the meter of %v is %v, want %v", what, links, cells[cell.Key()], rate)
		}
	}
	for links := range of {
		if !slices.Contains(passes, links) {
			r.t.Errorf("%s: no flow takes from the meter of %v, but from %v", what, links, passes)
		}
	}
}

// TestMeterOfSeveralLinks (Q1): flows over two links have a meter of their own, with what they have at the tighter one; the other link is for what they leave. They are decided again when a link's rate appears
// or goes, a rate that changes is their meter's at once, and the meter goes with the last of them.
func TestMeterOfSeveralLinks(t *testing.T) {
	r := newRow(t)
	r.send(3)
	r.meters("the first packet over both", map[flow.LinkSet]topology.BitRate{r.both: 8e6})
	r.send(2)
	r.meters("one over the first alone", map[flow.LinkSet]topology.BitRate{r.both: 8e6, r.in: 56e6})
	for id, want := range map[string]topology.BitRate{"in": 64e6, "off": 8e6} {
		if got := r.linkRates.links[vportOf(t, r.core, id)].tells; got != want {
			t.Errorf("of the link to %s %v is wanted, want %v", id, got, want)
		}
	}
	r.told(topology.LinkDemand{Edge: "e2", Wants: 64e6})
	r.meters("another edge has a half of the first", map[flow.LinkSet]topology.BitRate{r.both: 8e6, r.in: 24e6})
	r.change(strings.Replace(limitedRow, "rate: 8M", "rate: 4M", 1))
	r.meters("the second has less", map[flow.LinkSet]topology.BitRate{r.both: 4e6, r.in: 60e6})
	r.change(strings.Replace(limitedRow, ", rate: 8M", "", 1))
	r.meters("the second has no rate", map[flow.LinkSet]topology.BitRate{r.in: 56e6})
	for range mostIdle + 1 {
		r.at += time.Second
		r.linkRates.saw(r.both, 1000, r.at)
	}
	r.linkRates.sweep()
	r.meters("what flows took from before is left", map[flow.LinkSet]topology.BitRate{r.in: 64e6})
	if r.linkRates.sets[r.both] != nil || r.placer.Links().Number(r.both) != 0 {
		t.Error("what no flow takes from has a meter")
	}
	r.change(limitedRow)
	r.meters("it has one again, and others may have begun", map[flow.LinkSet]topology.BitRate{r.both: 1e6, r.in: 64e6})
}

// TestNoMeterForSeveralLinks (Q1): where no meter is left for flows over several links they take from the tightest one's, and have their own as soon as there is one.
func TestNoMeterForSeveralLinks(t *testing.T) {
	r := newRow(t)
	links, others := r.placer.Links(), flow.VPortID(1_000_000)
	for n := others; !links.Full(); n++ {
		links.Acquire(flow.LinkSetOf(n))
	}
	r.send(3)
	tight := flow.LinkSetOf(vportOf(t, r.core, "off"))
	r.meters("no meter is left", map[flow.LinkSet]topology.BitRate{tight: 8e6})
	if n := r.a.Stats(); n.Unmetered != 1 || n.NotInstalled != 0 {
		t.Errorf("%d decided to have none, %d not installed", n.Unmetered, n.NotInstalled)
	}
	r.linkRates.sweep()
	r.meters("none is still", map[flow.LinkSet]topology.BitRate{tight: 8e6})
	free, _ := links.Release(flow.LinkSetOf(others))
	links.Confirm(free)
	r.linkRates.sweep()
	r.send(3) // where it could not be decided without a packet
	if links.Number(r.both) == 0 {
		t.Error("the free meter is not used")
	}
	for f := range r.flows.all() {
		if got := r.placer.Megaflow(f.placed).Links; got != r.both {
			t.Errorf("a flow takes from the meter of %v", got)
		}
	}
}
