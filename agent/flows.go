package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// nameFlows gives an edge's flows the names that they have in a view, and sorts them.
func nameFlows(edge string, v *state.View, flows []engine.Flow) []Flow {
	out := make([]Flow, 0, len(flows))
	for i := range flows {
		out = append(out, nameFlow(edge, v, &flows[i]))
	}
	slices.SortFunc(out, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(a.VPort.Name, b.VPort.Name), cmp.Compare(a.Match, b.Match), cmp.Compare(a.Guards, b.Guards))
	})
	return out
}

func nameFlow(edge string, v *state.View, f *engine.Flow) Flow {
	key, mask := f.Key, f.Mask
	key.Ingress, mask.Ingress = 0, 0 // it has a field of its own
	out := Flow{
		Edge: edge, VPort: Named{uint32(f.Ingress), vportName(v.Topology, f.Ingress)}, Match: flow.MatchOf(key, mask).String(),
		Guards: guardText(f), Action: actionText(f.Act), Lane: f.Lane.String(), Packets: f.Packets, Bytes: f.Bytes, AgeSeconds: f.Age.Seconds(), Depends: f.Depends,
	}
	if f.Act != offload.Forward {
		return out
	}
	if f.Rewrite != (flow.Rewrite{}) {
		out.Rewrite = f.Rewrite.String()
	}
	out.To = &Named{ID: uint32(f.Dest), Name: vportName(v.Topology, f.Dest.VPort())}
	members := []flow.VPortID{f.Dest.VPort()}
	if v.Topology.IsGroup(f.Dest) {
		out.To.Name = "all of " + groupName(v.Topology, f.Dest)
		members = v.Topology.GroupMembers(f.Dest)
	}
	for _, m := range members {
		if b, ok := v.Bindings.Get(m); ok {
			out.At = append(out.At, placeText(b))
		}
	}
	slices.Sort(out.At)
	return out
}

// placeText is an interface of an edge in short: nic1:eth1, or nic1:eth1.100 for a VLAN.
func placeText(b state.Binding) string {
	text := b.Edge + ":" + b.Interface
	if b.VLAN != 0 {
		text += fmt.Sprintf(".%d", b.VLAN)
	}
	return text
}

func vportName(snap *topology.Snapshot, id flow.VPortID) string {
	if p := snap.VPort(id); p != nil {
		return p.Tenant + "/" + p.Name
	}
	return "vport " + id.String()
}

func groupName(snap *topology.Snapshot, d flow.Dest) string {
	if b := snap.Bridge(topology.DeviceID(d)); b != nil {
		return "bridge " + b.Tenant + "/" + b.Name
	}
	return fmt.Sprintf("group %d", d)
}

func actionText(a offload.Act) string {
	switch a {
	case offload.Forward:
		return "forward"
	case offload.Punt:
		return "punt"
	}
	return "drop"
}

func guardText(f *engine.Flow) string {
	var words []string
	if f.Guards.MinTTL != 0 {
		words = append(words, fmt.Sprintf("ttl > %d", f.Guards.MinTTL))
	}
	if f.Guards.MaxLen != 0 {
		words = append(words, fmt.Sprintf("length ≤ %d", f.Guards.MaxLen))
	}
	if !f.SourceMAC.IsZero() {
		words = append(words, "from "+f.SourceMAC.String())
	}
	return strings.Join(words, ", ")
}
