package randnet

import (
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// Part is what a store loads with some devices of a world: their objects with peers resolved, and what was learnt there.
func (w *World) Part(devices map[topology.DeviceID]bool) topology.Changes {
	byID := map[uint32]*topology.Object{}
	for _, o := range w.objects {
		byID[o.Status.ID] = o
	}
	// A vport's device is that of the whole network.
	in := func(p flow.VPortID) bool { return devices[w.Snap.VPort(p).Device] }
	var c topology.Changes
	for _, o := range w.objects {
		if o.Kind != topology.KindVPort {
			if devices[topology.DeviceID(o.Status.ID)] {
				c.Put = append(c.Put, o)
			}
			continue
		}
		v := w.Snap.VPort(flow.VPortID(o.Status.ID))
		if !devices[v.Device] {
			continue
		}
		resolved := *o
		if q := w.Snap.VPort(v.Peer); q != nil {
			spec := byID[uint32(q.ID)].Spec.(*topology.VPortSpec)
			resolved.Status.Peer = &topology.Peer{ID: uint32(q.ID), Device: uint32(q.Device), Kind: byID[uint32(q.Device)].Kind, MAC: spec.MAC, Addresses: spec.Addresses, AdminDown: spec.AdminDown}
		}
		c.Put = append(c.Put, &resolved)
	}
	c.FDB = slices.DeleteFunc(slices.Clone(w.learnt.FDB), func(e topology.FDBEntry) bool { return !devices[e.Bridge] })
	c.BridgeNeighbours = slices.DeleteFunc(slices.Clone(w.learnt.BridgeNeighbours), func(e topology.BridgeNeighbour) bool { return !devices[e.Bridge] })
	c.Neighbours = slices.DeleteFunc(slices.Clone(w.learnt.Neighbours), func(e topology.Neighbour) bool { return !in(e.Port) })
	return c
}
