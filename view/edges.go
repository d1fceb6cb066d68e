package view

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
)

// Edges are the edges of a view, and those that its bindings name, in order of id.
func Edges(v *state.View) []client.Edge {
	rows := map[string]*client.Edge{}
	for id, info := range v.Known.All() {
		r := &client.Edge{ID: id, State: client.EdgeAway, Encaps: info.Encaps, MTU: info.MTU, Version: info.Version}
		if info.Multicast.IsValid() {
			r.Multicast = info.Multicast.String()
		}
		for _, a := range info.VTEPs {
			r.VTEPs = append(r.VTEPs, a.String())
		}
		rows[id] = r
	}
	for id, e := range v.Edges.All() {
		r := rows[id]
		r.State, r.Applied, r.Status = client.EdgeCurrent, e.Applied, e.Status
		switch r.Target = e.Target; {
		case e.Target != "":
			r.State = client.EdgeNoTarget
		case e.Applied < v.Conf:
			r.State = client.EdgeBehind
		case len(e.Lacks) > 0:
			r.State = client.EdgeLacking
		}
		for _, l := range e.Lacks {
			r.Lacks = append(r.Lacks, l.String())
		}
	}
	for b := range v.Bindings.All() {
		if rows[b.Edge] == nil {
			rows[b.Edge] = &client.Edge{ID: b.Edge, State: client.EdgeAway}
		}
		rows[b.Edge].VPorts++
	}
	for id, agents := range v.Agents {
		if rows[id] == nil {
			rows[id] = &client.Edge{ID: id, State: client.EdgeAway}
		}
		rows[id].Agents = edgeAgents(&agents)
	}
	sorted := make([]client.Edge, 0, len(rows))
	for r := range maps.Values(rows) {
		r.Wanted = v.Conf
		sorted = append(sorted, *r)
	}
	slices.SortFunc(sorted, func(a, b client.Edge) int { return cmp.Compare(a.ID, b.ID) })
	return sorted
}

// edgeAgents are the agents of an edge that are alive, the active one first.
func edgeAgents(a *state.Agents) (rows []client.EdgeAgent) {
	for name, info := range a.Alive {
		r := client.EdgeAgent{Name: name, Role: client.RoleStandby, Since: info.Since, Version: info.Version, Status: info.Status}
		if name == a.Active {
			r.Role, r.Since = client.RoleActive, a.Since
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(x, y client.EdgeAgent) int {
		return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(x.Name, y.Name))
	})
	return rows
}
