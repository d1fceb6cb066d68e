package engine

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
)

// Limits of local numbers: SIZE_VPORTS of p4src; replica ids share 16 bits between vports and paths, bmv2's multicast ids have 15 bits and a group needs two.
const (
	maxVPorts = 0xfff
	maxPaths  = 0x7fff
	maxGroups = 0x3ffe
	maxPeers  = 0xffff
	maxSets   = 0x1000 // SIZE_TUNNEL_TERM, but for the edge's own addresses
)

// locals are the local numbers of an edge. One is given again only when the target has confirmed that nothing refers to it.
type locals struct {
	vports *offload.IDs[flow.VPortID]
	peers  *offload.IDs[string]
	paths  *offload.IDs[pathName]
	groups *offload.IDs[flow.Dest]
	sets   *offload.IDs[flow.Dest] // whose multicast addresses are the edge's too: as many as there is room for, by no number
	here   *residents
	purge  func(local uint16) // no packet of a vport's number comes any more: those that wait are another's than the next to have it

	given func(local uint16, id flow.VPortID) // a vport has the number from now on
	leave func(local uint16, confirm func())  // none has it any more: confirm makes it free
}

// resident is a vport that lives at the edge, as those need it who see its packets: its id, whether its frames come with the tag of its attachment, and a number
// for its tenant. The zero value is none.
type resident uint64

const residentTagged resident = 1 << 24

func newResident(id flow.VPortID, tagged bool, tenant uint32) resident {
	r := resident(id) | resident(tenant)<<32
	if tagged {
		r |= residentTagged
	}
	return r
}

func (r resident) vport() flow.VPortID { return flow.VPortID(r & flow.MaxID) }
func (r resident) tagged() bool        { return r&residentTagged != 0 }
func (r resident) tenant() uint32      { return uint32(r >> 32) }

// residents are the vports at the edge by local number. The agent's own goroutine writes; anybody may read.
type residents struct {
	pages [(maxVPorts + 1) / residentPage]atomic.Pointer[[residentPage]atomic.Uint64]
}

const residentPage = 256

// get returns the vport of a local number, the zero value if there is none.
func (r *residents) get(local uint16) resident {
	if local > maxVPorts {
		return 0
	}
	page := r.pages[local/residentPage].Load()
	if page == nil {
		return 0
	}
	return resident(page[local%residentPage].Load())
}

func (r *residents) set(local uint16, v resident) {
	at := &r.pages[local/residentPage]
	if at.Load() == nil {
		at.Store(new([residentPage]atomic.Uint64))
	}
	at.Load()[local%residentPage].Store(uint64(v))
}

// clear forgets all of them.
func (r *residents) clear() {
	for i := range r.pages {
		r.pages[i].Store(nil)
	}
}

type pathName struct {
	peer     string
	src, dst netip.Addr
	port     uint16
}

func newLocals(here *residents, purge func(local uint16)) *locals {
	return &locals{
		here:   here,
		vports: offload.NewIDs[flow.VPortID](maxVPorts), peers: offload.NewIDs[string](maxPeers),
		paths: offload.NewIDs[pathName](maxPaths), groups: offload.NewIDs[flow.Dest](maxGroups), sets: offload.NewIDs[flow.Dest](maxSets), purge: purge,
		given: func(uint16, flow.VPortID) {}, leave: func(_ uint16, confirm func()) { confirm() },
	}
}

// ingress returns the vport of a local number, 0 if there is none.
func (n *locals) ingress(local uint16) flow.VPortID { return n.here.get(local).vport() }

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
func (n *locals) vport(r *references, id flow.VPortID, tagged bool, tenant uint32) (uint16, error) {
	local, fresh, ok := n.vports.Acquire(id)
	if !ok {
		return 0, fmt.Errorf("%w: more than %d vports", offload.ErrNoID, maxVPorts)
	}
	n.here.set(local, newResident(id, tagged, tenant))
	if fresh {
		n.given(local, id)
	}
	r.drop = append(r.drop, func() func() {
		if _, last := n.vports.Release(id); !last {
			return nil
		}
		n.here.set(local, 0)
		return func() {
			n.purge(local)
			n.leave(local, func() { n.vports.Confirm(local) })
		}
	})
	return local, nil
}
