package topology

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
)

// Public is addresses that an object has outside of a router's links: of a FloatingIP, a SNATGateway, or a chain that translates destinations. A router near the owner keeps it among its own
// records, so that who speaks BGP for the router knows of it without having the owner loaded (docs/decisions/0016-told-by-itself.md). Read-only.
type Public struct {
	Router DeviceID       `json:"-"`               // that keeps it: one with exterior ports, next to the owner
	Of     Ref            `json:"-"`               // the FloatingIP, SNATGateway or Chain
	Owner  DeviceID       `json:"-"`               // the router that translates
	Ports  []flow.VPortID `json:"ports,omitempty"` // of Router, that lead to Owner; none: it is Owner itself
	Addrs  []PublicAddr   `json:"addrs"`
	Down   string         `json:"down,omitempty"` // why nobody is there; empty: somebody is
}

// PublicAddr is one of them, or a prefix of them.
type PublicAddr struct {
	Prefix netip.Prefix `json:"prefix"`
	Pools  []DeviceID   `json:"pools,omitempty"` // one of which must have a member that is up; none: it does not stand for a pool alone
}

// PublicKey names a Public of a router. Comparable.
type PublicKey struct {
	Owner DeviceID
	Of    Ref
}

// Key returns the name.
func (p *Public) Key() PublicKey { return PublicKey{p.Owner, p.Of} }

// PublicChange is a Public that came, changed or went.
type PublicChange struct {
	Router DeviceID
	Key    PublicKey
	Public *Public // nil: it went
}

// publics are those of a router.
type publics struct {
	of    shardMap[PublicKey, *Public]
	pools map[DeviceID]int // that they stand for, and how many of them do
}

// learnPublics takes what came and went.
func (e *edit) learnPublics(changes []PublicChange) {
	if len(changes) == 0 {
		return
	}
	table := tableEdit[publics]{target: &e.s.publics}
	edits := map[DeviceID]*shardEdit[PublicKey, *Public]{}
	fresh := map[DeviceID]*publics{}
	for i := range changes {
		c := &changes[i]
		p := fresh[c.Router]
		if p == nil {
			p = &publics{}
			if old := e.s.publics.get(uint32(c.Router)); old != nil {
				*p = publics{old.of, maps.Clone(old.pools)}
			}
			fresh[c.Router], edits[c.Router] = p, &shardEdit[PublicKey, *Public]{target: &p.of}
			table.set(uint32(c.Router), p)
		}
		was, _ := p.of.get(c.Key)
		p.count(was, -1)
		p.count(c.Public, 1)
		if c.Public == nil {
			edits[c.Router].remove(c.Key)
		} else {
			edits[c.Router].set(c.Key, c.Public)
		}
	}
	for id := range fresh {
		e.announce(id)
	}
}

func (p *publics) count(x *Public, n int) {
	if x == nil {
		return
	}
	for _, a := range x.Addrs {
		for _, pool := range a.Pools {
			if p.pools == nil {
				p.pools = map[DeviceID]int{}
			}
			if p.pools[pool] += n; p.pools[pool] == 0 {
				delete(p.pools, pool)
			}
		}
	}
}

// announce notes that what a router's sessions tell by themselves may be otherwise.
func (e *edit) announce(router DeviceID) {
	r := e.s.Router(router)
	if r == nil || len(e.s.bgp) == 0 {
		return
	}
	for _, p := range r.Ports {
		if slices.ContainsFunc(e.s.bgp[p], func(b *BGPSession) bool { return len(b.Redistribute) > 0 }) {
			e.note(BindingDep(p))
		}
	}
}
