package view

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Of chooses what a view shows: what is of a tenant, and of one device or vport. Empty: of any.
type Of struct {
	Tenant string
	Name   string // TENANT/NAME of a device or vport
}

func (o Of) has(tenant, name string) bool {
	return (o.Tenant == "" || o.Tenant == tenant) && (o.Name == "" || o.Name == tenant+"/"+name)
}

// Places are where vports live, in order of name.
func Places(v *state.View, of Of) []client.Place {
	rows := []client.Place{}
	for b := range v.Bindings.All() {
		p := v.Topology.VPort(b.VPort)
		if p == nil || !of.has(p.Tenant, p.Name) {
			continue
		}
		rows = append(rows, client.Place{VPort: p.Tenant + "/" + p.Name, ID: uint32(p.ID), Edge: b.Edge, Interface: b.Interface, VLAN: b.VLAN, Live: v.Edges.Has(b.Edge)})
	}
	slices.SortFunc(rows, func(a, b client.Place) int { return cmp.Compare(a.VPort, b.VPort) })
	return rows
}

// FDB is what bridges know of where MACs are.
func FDB(v *state.View, of Of) []client.FDBEntry {
	rows := []client.FDBEntry{}
	for b := range v.Topology.Bridges() {
		if !of.has(b.Tenant, b.Name) {
			continue
		}
		for m, p := range b.MACs() {
			rows = append(rows, client.FDBEntry{Bridge: b.Tenant + "/" + b.Name, MAC: m.String(), VPort: portName(v.Topology, p), Seeded: b.SeededMAC(m)})
		}
	}
	slices.SortFunc(rows, func(a, b client.FDBEntry) int {
		return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), cmp.Compare(a.MAC, b.MAC))
	})
	return rows
}

// Neighbours is which MACs bridges and ports of routers know addresses at.
func Neighbours(v *state.View, of Of) []client.Neighbour {
	rows := []client.Neighbour{}
	for b := range v.Topology.Bridges() {
		if !of.has(b.Tenant, b.Name) {
			continue
		}
		for a, m := range b.Neighbours() {
			rows = append(rows, client.Neighbour{Device: "bridge " + b.Tenant + "/" + b.Name, Address: a, MAC: m.String(), Seeded: b.SeededNeighbour(a)})
		}
	}
	for p := range v.Topology.VPorts() {
		router := v.Topology.Router(p.Device)
		if router == nil || !of.has(p.Tenant, p.Name) && !of.has(router.Tenant, router.Name) || of.Tenant != "" && of.Tenant != p.Tenant {
			continue
		}
		for a, m := range v.Topology.Neighbours(p.ID) {
			n := client.Neighbour{Device: "router " + router.Tenant + "/" + router.Name, VPort: p.Tenant + "/" + p.Name, Address: a}
			if m != (packet.MAC{}) {
				n.MAC = m.String()
			}
			rows = append(rows, n)
		}
	}
	slices.SortFunc(rows, func(a, b client.Neighbour) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.VPort, b.VPort), a.Address.Compare(b.Address))
	})
	return rows
}

// Routes are those of routers that are chosen, by prefix, where they come from, and which of them packets take.
func Routes(v *state.View, of Of, origin string) []client.Route {
	rows := []client.Route{}
	for r := range v.Topology.Routers() {
		if !of.has(r.Tenant, r.Name) {
			continue
		}
		from := len(rows)
		for x := range r.Routes.All() {
			if x.Origin == topology.OriginBuiltin || origin != "" && origin != x.Origin.String() {
				continue
			}
			row := client.Route{Router: r.Tenant + "/" + r.Name, Dst: x.Dst, Src: x.Src, Via: x.Via, Kind: x.Kind.String(), Origin: x.Origin.String(), Weight: x.Weight, Metric: x.Metric}
			if x.Port != 0 {
				row.VPort = portName(v.Topology, x.Port)
			}
			rows = append(rows, row)
		}
		slices.SortFunc(rows[from:], func(a, b client.Route) int {
			return cmp.Or(a.Dst.Addr().Compare(b.Dst.Addr()), a.Dst.Bits()-b.Dst.Bits(), cmp.Compare(rankOf(a.Origin), rankOf(b.Origin)), cmp.Compare(a.Metric, b.Metric), a.Via.Compare(b.Via))
		})
		for i := from; i < len(rows); i++ {
			rows[i].InForce = i == from || !sameWay(&rows[i-1], &rows[i]) || rows[i-1].InForce && rows[i-1].Origin == rows[i].Origin && rows[i-1].Metric == rows[i].Metric
		}
	}
	return rows
}

func rankOf(origin string) int {
	for o := topology.OriginLocal; o <= topology.OriginBuiltin; o++ {
		if o.String() == origin {
			return int(o)
		}
	}
	return -1
}

// sameWay reports whether two routes are for the same packets.
func sameWay(a, b *client.Route) bool { return a.Dst == b.Dst && a.Src == b.Src }

// Health is how the members of a pool are.
func Health(pool *topology.Object, h state.PoolHealth, now time.Time) []client.Member {
	s, ok := pool.Spec.(*topology.PoolSpec)
	if !ok {
		return nil
	}
	rows := make([]client.Member, 0, len(s.Members))
	for _, m := range s.Members {
		x, checked := h.Members[topology.MemberAt(m.Address, m.Port)]
		row := client.Member{Pool: pool.Tenant() + "/" + pool.Metadata.Name, Address: m.Address, Port: m.Port, State: "up", Drains: m.Drain || !m.DrainUntil.IsZero()}
		row.Drained = !m.DrainUntil.IsZero() && !now.Before(m.DrainUntil)
		switch {
		case s.Monitor != nil && x.Down:
			row.State, row.Why = "down", x.Why
		case s.Monitor != nil && !checked:
			row.State = "not probed yet"
		}
		rows = append(rows, row)
	}
	return rows
}

// TenantOf is the tenant of TENANT/NAME.
func TenantOf(name string) string {
	tenant, _, _ := strings.Cut(name, "/")
	return tenant
}

// Applied is which edges have a revision, as far as it concerns tenants; none: all.
func Applied(v *state.View, revision int64, tenants map[string]bool) client.Applied {
	a := client.Applied{Revision: revision, Applied: v.Whole >= revision, Edges: v.Edges.Len()}
	for id, e := range v.Edges.All() {
		if e.Applied < revision {
			a.Behind = append(a.Behind, id)
			a.Applied = false
		}
		for _, l := range e.Lacks {
			if l.Tenant == "" || len(tenants) == 0 || tenants[l.Tenant] {
				a.Lacks = append(a.Lacks, "edge "+id+": "+l.String())
			}
		}
	}
	away := map[string]bool{}
	for b := range v.Bindings.All() {
		p := v.Topology.VPort(b.VPort)
		if !v.Edges.Has(b.Edge) && p != nil && (len(tenants) == 0 || tenants[p.Tenant]) {
			away[b.Edge] = true
		}
	}
	a.Away = slices.Sorted(maps.Keys(away))
	slices.Sort(a.Behind)
	slices.Sort(a.Lacks)
	return a
}
