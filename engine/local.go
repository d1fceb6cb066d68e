package engine

import (
	"fmt"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
)

// Limits of local numbers: replica ids share 16 bits between vports and paths, bmv2's multicast ids have 15 bits and a group needs two.
const (
	maxVPorts = 0x7fff
	maxPaths  = 0x7fff
	maxGroups = 0x3ffe
	maxPeers  = 0xffff
)

// locals are the local numbers of an edge. One is given again only when the target has confirmed that nothing refers to it.
type locals struct {
	vports *offload.IDs[flow.VPortID]
	peers  *offload.IDs[string]
	paths  *offload.IDs[pathName]
	groups *offload.IDs[flow.Dest]
	global [maxVPorts + 1]flow.VPortID // by local number; 0: none
	purge  func(local uint16)          // no packet of a vport's number comes any more: those that wait are another's than the next to have it
}

type pathName struct {
	peer     string
	src, dst netip.Addr
	port     uint16
}

func newLocals(purge func(local uint16)) *locals {
	return &locals{
		vports: offload.NewIDs[flow.VPortID](maxVPorts), peers: offload.NewIDs[string](maxPeers),
		paths: offload.NewIDs[pathName](maxPaths), groups: offload.NewIDs[flow.Dest](maxGroups), purge: purge,
	}
}

// ingress returns the vport of a local number, 0 if there is none.
func (n *locals) ingress(local uint16) flow.VPortID {
	if int(local) >= len(n.global) {
		return 0
	}
	return n.global[local]
}

// references are the numbers that a part of the layout uses.
type references struct{ drop []func() (confirm func()) }

// release gives the numbers up; confirm, when the target has acknowledged the deletes, makes those that nobody uses free.
func (r *references) release() (confirm []func()) {
	for _, drop := range r.drop {
		if c := drop(); c != nil {
			confirm = append(confirm, c)
		}
	}
	r.drop = nil
	return confirm
}

func acquire[K comparable](r *references, ids *offload.IDs[K], k K, what string) (uint16, error) {
	id, _, ok := ids.Acquire(k)
	if !ok {
		return 0, fmt.Errorf("%w: too many %s", offload.ErrNoID, what)
	}
	r.drop = append(r.drop, func() func() {
		if _, last := ids.Release(k); !last {
			return nil
		}
		return func() { ids.Confirm(id) }
	})
	return id, nil
}

// vport is acquire for a vport, which can then be found by its number.
func (n *locals) vport(r *references, id flow.VPortID) (uint16, error) {
	local, _, ok := n.vports.Acquire(id)
	if !ok {
		return 0, fmt.Errorf("%w: more than %d vports", offload.ErrNoID, maxVPorts)
	}
	n.global[local] = id
	r.drop = append(r.drop, func() func() {
		if _, last := n.vports.Release(id); !last {
			return nil
		}
		n.global[local] = 0
		return func() {
			n.purge(local)
			n.vports.Confirm(local)
		}
	})
	return local, nil
}
