package api

import (
	"slices"

	"github.com/weft-sdn/weft/client"
)

// tenantLive is what a live trace tells as a tenant is told it: without what others' devices do, the provider's underlay, and what others' packets add to.
func tenantLive(e *client.LiveEvent, own string, conceal func(string) string) client.LiveEvent {
	out := client.LiveEvent{Kind: e.Kind, At: e.At, Edge: e.Edge, Place: e.Place, Counting: conceal(e.Counting), Why: conceal(e.Why), Packets: e.Packets, Passed: e.Passed}
	for i := range e.Entries {
		out.Entries = append(out.Entries, tenantEntry(&e.Entries[i], own, conceal, true))
	}
	if e.Packet != nil {
		out.Packet = tenantPacket(e.Packet, own, conceal)
	}
	for _, a := range e.Arrivals {
		if a.VPort != "" && isOwn(a.VPort, own) {
			out.Arrivals = append(out.Arrivals, client.LiveArrival{Edge: a.Edge, VPort: a.VPort, Absent: a.Absent})
		}
	}
	return out
}

// tenantPacket is a packet that was followed as a tenant is told it.
func tenantPacket(p *client.FollowedOne, own string, conceal func(string) string) *client.FollowedOne {
	out := &client.FollowedOne{N: p.N, Text: p.Text, Sends: p.Sends, Outcomes: []client.LiveEnd{}}
	through := p.Simulation == nil || passesOthers(p.Simulation, own)
	for _, o := range p.Outcomes {
		end := client.LiveEnd{TraceEnd: client.TraceEnd{Verdict: o.Verdict, To: conceal(o.To), Reason: conceal(o.Reason), Text: conceal(o.Text), Fragment: o.Fragment}}
		if end.To != o.To {
			through = true
		} else {
			end.Place = o.Place
			if !through {
				end.Rewrite = o.Rewrite
			}
		}
		out.Outcomes = append(out.Outcomes, end)
	}
	if p.Simulation != nil {
		out.Simulation = tenantTrace(p.Simulation, own, conceal)
	}
	if p.Entry != nil {
		x := tenantEntry(p.Entry, own, conceal, through)
		out.Entry = &x
	}
	if p.Differs != "" { // it has all that was taken out
		out.Differs = "what the edge did is not what the network says"
	}
	return out
}

// tenantEntry is an entry as a tenant is told it. through: what is not known of it otherwise, its packets pass others' devices.
func tenantEntry(x *client.LiveEntry, own string, conceal func(string) string, through bool) client.LiveEntry {
	out := client.LiveEntry{
		Table: x.Table, Action: x.Action, To: conceal(x.To), Packets: x.Packets, Bytes: x.Bytes, MorePackets: x.MorePackets, MoreBytes: x.MoreBytes, Absent: x.Absent,
	}
	if x.Simulation != nil {
		through = passesOthers(x.Simulation, own)
		out.Simulation = tenantTrace(x.Simulation, own, conceal)
	}
	if !through && out.To == x.To {
		out.Match, out.Rewrite = x.Match, x.Rewrite
	}
	return out
}

// passesOthers reports whether a traced packet meets devices of others.
func passesOthers(t *client.Trace, own string) bool {
	return slices.ContainsFunc(t.Steps, func(st client.TraceStep) bool { return st.Device != "" && !isOwn(st.Device, own) })
}
