package api

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/view"
)

// What tenants are told of the network at work is made anew of what they may know: a field that is not named here is not told. conceal_test.go has which are.

// tenantTrace is a trace as a tenant is told it: of others' devices on the way it is told that there is one; and then nothing of what was read, which tells what is there: a route of a bit more, a rule for a port.
func tenantTrace(t *client.Trace, own string, conceal func(string) string) *client.Trace {
	out := &client.Trace{Packet: t.Packet, Installable: t.Installable, Kept: conceal(t.Kept), Steps: []client.TraceStep{}, Outcomes: []client.TraceEnd{}, Depends: []string{}}
	for _, a := range t.Assumed {
		out.Assumed = append(out.Assumed, client.Assumption{Field: a.Field, Value: a.Value, Why: conceal(a.Why)})
	}
	through := passesOthers(t, own)
	for _, st := range t.Steps {
		if st.Device != "" && !isOwn(st.Device, own) {
			if n := len(out.Steps); n == 0 || out.Steps[n-1].Device != access.Anothers {
				out.Steps = append(out.Steps, client.TraceStep{Device: access.Anothers, What: "goes on there"})
			}
			continue
		}
		out.Steps = append(out.Steps, client.TraceStep{Device: st.Device, Port: conceal(st.Port), What: conceal(st.What)})
	}
	for _, o := range t.Outcomes {
		end := client.TraceEnd{Verdict: o.Verdict, To: conceal(o.To), Reason: conceal(o.Reason), Text: conceal(o.Text), Fragment: o.Fragment}
		if end.To == o.To && !through { // else it has addresses and MACs of the other
			end.Rewrite = o.Rewrite
		}
		out.Outcomes = append(out.Outcomes, end)
	}
	whole := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(text string) bool { return conceal(text) != text })
	}
	if !through {
		out.Match, out.Guards, out.Read, out.Depends = conceal(t.Match), t.Guards, t.Read, append(out.Depends, whole(t.Depends)...)
	}
	out.Effects, out.Originated = whole(t.Effects), whole(t.Originated)
	return out
}

// isOwn reports whether a device such as "bridge acme/lan" is a tenant's.
func isOwn(device, own string) bool {
	name := device[strings.LastIndexByte(device, ' ')+1:]
	return view.TenantOf(name) == own
}

// tenantFlow is a flow of a tenant's as it is told it: where it goes to another, or through another's device, nothing of what was read, and is rewritten, there.
func tenantFlow(f *agent.Flow, own string, snap *topology.Snapshot) agent.Flow {
	out := agent.Flow{Edge: f.Edge, VPort: f.VPort, Action: f.Action, Lane: f.Lane, Packets: f.Packets, Bytes: f.Bytes, AgeSeconds: f.AgeSeconds}
	mine := !slices.ContainsFunc(f.Depends, func(text string) bool { return !isOwnDependency(text, own, snap) }) && len(f.Depends) > 0
	if f.To != nil {
		if isOwn(f.To.Name, own) {
			out.To, out.At = f.To, f.At
		} else {
			out.To, mine = &agent.Named{Name: access.Anothers}, false
		}
	}
	if mine {
		out.Match, out.Guards, out.Rewrite = f.Match, f.Guards, f.Rewrite
	}
	return out
}

// dependencies are the forms that topology.Dep has, up to the number of what it is of.
var dependencies = regexp.MustCompile(`^(device|vport|router|bridge|group|binding of vport|a connection into device) ([0-9]+)\b`)

// isOwnDependency reports whether what a decision relied on is a tenant's. What is not understood, or not there any more, is not.
func isOwnDependency(text, own string, snap *topology.Snapshot) bool {
	m := dependencies.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	n, err := strconv.ParseUint(m[2], 10, 32)
	if err != nil {
		return false
	}
	if strings.HasSuffix(m[1], "vport") {
		v := snap.VPort(flow.VPortID(n))
		return v != nil && v.Tenant == own
	}
	r, ok := snap.Ref(topology.DeviceID(n))
	return ok && r.Tenant == own
}

// tenantConnection is a connection that enters a device of a tenant's as it is told it: one that leaves another's device, without what it becomes on the way.
func tenantConnection(c *client.Connection, own string) client.Connection {
	out := client.Connection{Protocol: c.Protocol, Source: c.Source, Destination: c.Destination, Enters: c.Enters, Leaves: access.Anothers, State: c.State, Forward: c.Forward, Return: c.Return}
	if view.TenantOf(c.Leaves) == own {
		out.Leaves, out.Becomes = c.Leaves, c.Becomes
	}
	return out
}
