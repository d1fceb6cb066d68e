package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// maxLacks bounds what is told of what an edge can not do.
const maxLacks = 64

// lackList names what the edge can not do, in order.
func (c *core) lackList() []state.Lack {
	var all []state.Lack
	for _, s := range slices.SortedFunc(maps.Keys(c.lacks), compareSubjects) {
		if len(all) == maxLacks {
			return append(all, state.Lack{Object: "others", Why: fmt.Sprintf("%d more can not be done", len(c.lacks)-maxLacks)})
		}
		l := state.Lack{Why: c.lacks[s]}
		l.Tenant, l.Object = c.subjectName(s)
		all = append(all, l)
	}
	return all
}

// subjectName returns the object that a subject is for, and its tenant.
func (c *core) subjectName(s subject) (tenant, object string) {
	ref := topology.Ref{}
	switch s.kind {
	case subjectSelf:
		return "", "edge/" + c.view.self.ID
	case subjectPeer:
		return "", "edge/" + s.edge
	case subjectVPort, subjectLink:
		id := flow.VPortID(s.id)
		if s.kind == subjectLink {
			id = s.links[0] // to which it leads
		}
		if p := c.snap.VPort(id); p != nil {
			ref = topology.Ref{Kind: topology.KindVPort, Tenant: p.Tenant, Name: p.Name}
		}
	case subjectGroup:
		if b := c.snap.Bridge(topology.DeviceID(s.id)); b != nil {
			ref = topology.Ref{Kind: topology.KindBridge, Tenant: b.Tenant, Name: b.Name}
		}
	}
	if ref.Kind == "" {
		return "", fmt.Sprintf("id %d", s.id)
	}
	return ref.Tenant, strings.ToLower(string(ref.Kind)) + "/" + ref.Tenant + "/" + ref.Name
}
