package state

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// Binding says where an exterior vport lives (K2, K3): an interface of an edge, and the VLAN on it; 0 is untagged.
// It is derived from a Binding object, in the transaction that stores the object, with the vport by id.
type Binding struct {
	VPort     flow.VPortID      `json:"vport"`
	Device    topology.DeviceID `json:"device"` // of the vport
	Edge      string            `json:"edge"`
	Interface string            `json:"interface"`
	VLAN      uint16            `json:"vlan,omitempty"`
	Tenant    string            `json:"tenant"` // of the object, with Name
	Name      string            `json:"name"`
}

func (b Binding) iface() string { return ifaceKey(b.Edge, b.Interface, b.VLAN) }

// decodeBinding reads a binding as it is stored, twice: by device and by place.
func decodeBinding(key string, value []byte) (Binding, error) {
	var b Binding
	if err := json.Unmarshal(value, &b); err != nil {
		return Binding{}, fmt.Errorf("%w: key %s: %w", ErrCodec, key, err)
	}
	if !b.VPort.IsValid() || b.Edge == "" || b.Interface == "" || key != bindKey(b.Device, b.VPort) && key != b.iface() {
		return Binding{}, fmt.Errorf("%w: key %s holds %+v", ErrCodec, key, b)
	}
	return b, nil
}

// bindingOf returns what a Binding object of the set means; false if it is no binding, or absent.
func bindingOf(set *topology.Set, ref topology.Ref) (Binding, bool) {
	o := set.Get(ref)
	if o == nil {
		return Binding{}, false
	}
	spec, ok := o.Spec.(*topology.BindingSpec)
	if !ok {
		return Binding{}, false
	}
	vport := set.Get(o.VPortRef(spec.VPort))
	if vport == nil {
		return Binding{}, false
	}
	return Binding{
		VPort: flow.VPortID(vport.Status.ID), Device: deviceOf(set, vport), Edge: spec.Edge, Interface: spec.Interface, VLAN: spec.VLAN,
		Tenant: o.Tenant(), Name: o.Metadata.Name,
	}, true
}

// Bindings is where the vports live: immutable, in shards, so that a change copies little.
type Bindings struct {
	shards map[flow.VPortID]map[flow.VPortID]Binding // by id >> 8
	n      int
}

// Get returns the place of a vport; false if it is bound nowhere.
func (b *Bindings) Get(v flow.VPortID) (Binding, bool) {
	r, ok := b.shards[v>>8][v]
	return r, ok
}

// Len returns the number of bound vports.
func (b *Bindings) Len() int { return b.n }

// All returns all bindings, in no order.
func (b *Bindings) All() iter.Seq[Binding] {
	return func(yield func(Binding) bool) {
		for _, s := range b.shards {
			for _, r := range s {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Edge returns the bindings of one edge in order of vport.
func (b *Bindings) Edge(edge string) []Binding {
	var out []Binding
	for r := range b.All() {
		if r.Edge == edge {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Binding) int { return int(a.VPort) - int(b.VPort) })
	return out
}

// with returns the bindings after changes; a nil Binding removes.
func (b *Bindings) with(changes map[flow.VPortID]*Binding) *Bindings {
	if len(changes) == 0 {
		return b
	}
	next := &Bindings{shards: make(map[flow.VPortID]map[flow.VPortID]Binding, len(b.shards)+1), n: b.n}
	maps.Copy(next.shards, b.shards)
	copied := map[flow.VPortID]bool{}
	for v, c := range changes {
		shard := next.shards[v>>8]
		if !copied[v>>8] {
			copied[v>>8] = true
			fresh := make(map[flow.VPortID]Binding, len(shard)+1)
			maps.Copy(fresh, shard)
			next.shards[v>>8], shard = fresh, fresh
		}
		next.n -= len(shard)
		if c == nil {
			delete(shard, v)
		} else {
			shard[v] = *c
		}
		next.n += len(shard)
	}
	return next
}
