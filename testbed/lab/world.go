package lab

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// world stands in for the shared database in labs that run without one: it applies objects, and the effects of all agents one after the other, and
// gives every agent each new snapshot.
type world struct {
	edges   []*Edge
	effects chan []sim.Effect
	drops   uint64 // effects that found the queue full

	mu     sync.Mutex
	snap   *topology.Snapshot
	places map[flow.VPortID]engine.Place
	nextID uint32
}

func newWorld() *world {
	return &world{effects: make(chan []sim.Effect, 4096), snap: new(topology.Snapshot), places: make(map[flow.VPortID]engine.Place), nextID: 1}
}

// take is the agents' Effects callback.
func (w *world) take(effects []sim.Effect) {
	select {
	case w.effects <- effects:
	default:
		w.mu.Lock()
		w.drops++
		w.mu.Unlock()
	}
}

// run carries out effects until ctx ends.
func (w *world) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case effects := <-w.effects:
			if c := w.changes(effects); len(c.FDB)+len(c.BridgeNeighbours)+len(c.Neighbours) > 0 {
				w.publish(c)
			}
		}
	}
}

// changes turns effects into changes; what configuration seeds is never changed by learning, and an asked neighbour that is known stays.
func (w *world) changes(effects []sim.Effect) (c topology.Changes) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range effects {
		switch e.Kind {
		case sim.Learn:
			if b := w.snap.Bridge(e.Device); b != nil && !b.SeededMAC(e.MAC) {
				c.FDB = append(c.FDB, topology.FDBEntry{Bridge: e.Device, MAC: e.MAC, Port: e.Port})
			}
		case sim.LearnBridgeNeighbour:
			if b := w.snap.Bridge(e.Device); b != nil && !b.SeededNeighbour(e.Addr) {
				c.BridgeNeighbours = append(c.BridgeNeighbours, topology.BridgeNeighbour{Bridge: e.Device, Addr: e.Addr, MAC: e.MAC})
			}
		case sim.LearnNeighbour:
			if _, state := w.snap.Neighbour(e.Port, e.Addr); e.Unasked && state != topology.NeighbourAsked {
				continue
			}
			c.Neighbours = append(c.Neighbours, topology.Neighbour{Port: e.Port, Addr: e.Addr, MAC: e.MAC, State: topology.NeighbourOK})
		case sim.AskNeighbour:
			if _, state := w.snap.Neighbour(e.Port, e.Addr); state == topology.NeighbourAbsent {
				c.Neighbours = append(c.Neighbours, topology.Neighbour{Port: e.Port, Addr: e.Addr, State: topology.NeighbourAsked})
			}
		}
	}
	return c
}

func (w *world) publish(c topology.Changes) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next, changed := w.snap.With(c)
	w.snap = next
	w.tell(changed)
}

func (w *world) tell(changed []topology.Dep) {
	for _, e := range w.edges {
		var others []engine.Edge
		for _, o := range w.edges {
			if o != e {
				others = append(others, o.Edge)
			}
		}
		e.Agent.SetWorld(w.snap, changed, others, maps.Clone(w.places))
	}
}

// Apply reads objects, gives them ids and publishes them at once. Bindings name edges of the lab and access ports ("1", "2", …).
func (l *Lab) Apply(file string, manifest []byte) error {
	objects, err := topology.Decode(file, manifest)
	if err != nil {
		return err
	}
	w := l.world
	w.mu.Lock()
	defer w.mu.Unlock()
	var put []*topology.Object
	for _, o := range objects {
		if o.Kind != topology.KindBinding && o.Kind != topology.KindFabric {
			o.Status.ID = w.nextID
			if id, ok := w.snap.ID(o.Ref()); ok {
				o.Status.ID = id
			} else {
				w.nextID++
			}
		}
		put = append(put, o)
	}
	next, changed := w.snap.With(topology.Changes{Put: put})
	w.snap = next
	for _, o := range objects {
		spec, ok := o.Spec.(*topology.BindingSpec)
		if !ok {
			continue
		}
		id, ok := w.snap.ID(o.VPortRef(spec.VPort))
		if !ok {
			return fmt.Errorf("%s: binding %s: there is no vport %s", file, o.Metadata.Name, spec.VPort)
		}
		var number uint16
		if _, err := fmt.Sscanf(spec.Interface, "%d", &number); err != nil {
			return fmt.Errorf("%s: binding %s: interface %q: want the number of an access port", file, o.Metadata.Name, spec.Interface)
		}
		w.places[flow.VPortID(id)] = engine.Place{Edge: spec.Edge, Attachment: offload.Attachment{Port: number, VLAN: spec.VLAN}}
	}
	w.tell(changed)
	return nil
}

// Settle waits until every edge has what was applied and a path to every other.
func (l *Lab) Settle(ctx context.Context) error {
	for _, e := range l.Edges {
		if err := e.Agent.WaitApplied(ctx); err != nil {
			return err
		}
		if err := e.Agent.WaitReachable(ctx); err != nil {
			return err
		}
	}
	return nil
}
