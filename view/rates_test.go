package view_test

import (
	"reflect"
	"testing"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/view"
)

const ratedNetwork = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: wan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out, tenant: acme}, spec: {device: bridge/lan, peer: in, rate: 50M}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: in, tenant: acme}, spec: {device: bridge/wan, peer: out}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/lan, rate: 8M}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/lan}}
`

// TestRates: a vport's rate, and a link's each way with what edges that use it have of it; by name a link is found by either end.
func TestRates(t *testing.T) {
	snap, err := topology.Load("network.yaml", []byte(ratedNetwork))
	if err != nil {
		t.Fatal(err)
	}
	in, _ := snap.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "in"})
	port := flow.VPortID(in)
	snap, _ = snap.With(topology.Changes{Demands: []topology.LinkDemand{{Port: port, Edge: "nic2", Wants: 20e6}, {Port: port, Edge: "nic1", Wants: 50e6}}})
	v := &state.View{Topology: snap}
	there := client.Rate{VPort: "acme/in", Link: "acme/out", Rate: 50e6, Shares: []client.RateShare{{Edge: "nic1", Share: 30e6, Wants: 50e6}, {Edge: "nic2", Share: 20e6, Wants: 20e6}}}
	back, host := client.Rate{VPort: "acme/out", Link: "acme/in", Rate: 50e6}, client.Rate{VPort: "acme/vm1", Rate: 8e6}
	for of, want := range map[view.Of][]client.Rate{
		{}:                     {there, back, host},
		{Tenant: "acme"}:       {there, back, host},
		{Tenant: "globex"}:     {},
		{Name: "acme/in"}:      {there, back},
		{Name: "acme/out"}:     {there, back},
		{Name: "acme/vm1"}:     {host},
		{Name: "acme/vm2"}:     {},
		{Name: "acme/nothing"}: {},
	} {
		if got := view.Rates(v, of); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %+v, want %+v", of, got, want)
		}
	}
	rows := []view.UsageRow{{VPort: "acme/vm1"}, {VPort: "acme/vm2"}}
	if view.AddRates(rows, view.Rates(v, view.Of{})); rows[0].Rate != 8e6 || rows[1].Rate != 0 {
		t.Errorf("usage with rates: %+v", rows)
	}
}
