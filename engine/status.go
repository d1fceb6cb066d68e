package engine

import (
	"context"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Flow is an installed flow, as operators see it.
type Flow struct {
	Ingress   flow.VPortID
	Key       flow.Key // under Mask
	Mask      flow.Mask
	SourceMAC packet.MAC // must be known at the ingress vport, unless it is zero
	Guards    flow.Guards
	Act       offload.Act
	Dest      flow.Dest // valid iff Act is Forward
	Rewrite   flow.Rewrite
	Lane      offload.Lane
	Age       time.Duration
	// Packets and Bytes are those of the entry, as the target counts them. Flows that differ in their source MAC alone share an entry.
	Packets, Bytes uint64
	Depends        []string // what the decision relied on
}

// Flows returns the installed flows with the counters that the target has for them.
func (a *Agent) Flows(ctx context.Context) ([]Flow, error) {
	var flows []Flow
	var deps [][]topology.Dep // of flows; nobody changes them
	var conns []topology.Dep
	entries := map[uint64][]int{}
	var placer *offload.Placer
	err := a.mail.call(ctx, func() {
		placer = a.core.placer
		now := a.core.now()
		for f := range a.core.flows.all() {
			m, p := placer.Megaflow(f.placed), f.pattern()
			one := Flow{
				Ingress: p.key.Ingress, Key: p.key, Mask: p.mask, Guards: m.Guards, Act: m.Act, Dest: m.Dest, Rewrite: m.Rewrite, Lane: f.placed.Lane, Age: now - f.since,
			}
			if m.Guards.KnownSource {
				one.SourceMAC = p.source
			}
			entries[f.placed.Hash] = append(entries[f.placed.Hash], len(flows))
			flows, deps, conns = append(flows, one), append(deps, f.relies.deps), append(conns, f.connDep)
		}
	})
	if err != nil {
		return nil, err
	}
	for i, list := range deps { // here: packets wait for the agent's goroutine
		flows[i].Depends = make([]string, len(list))
		for j, d := range list {
			flows[i].Depends[j] = d.String()
		}
		if conns[i] != (topology.Dep{}) {
			flows[i].Depends = append(flows[i].Depends, conns[i].String())
		}
	}
	err = a.session.ReadEntries(ctx, p4rt.ReadOptions{Tables: a.tables.FlowTables(), Counters: true, Borrow: true}, func(e *p4rt.Entry, n p4rt.Counter) error {
		for _, i := range entries[placer.Hash(e)] {
			flows[i].Packets, flows[i].Bytes = uint64(n.Packets), uint64(n.Bytes)
		}
		return nil
	})
	return flows, err
}
