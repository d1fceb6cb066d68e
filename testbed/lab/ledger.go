package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/testbed/wire"
)

// Line is a count in a ledger.
type Line struct {
	Name    string
	Packets uint64
}

// Stage is a place that packets pass, at an edge or in the fabric: at rest, what came in is what went out, was dropped for a reason, or was taken in (O2).
//
//	hosts ─▶ cables ─▶ ports ─▶ pipeline ─┬─▶ ports ─▶ cables ─▶ hosts
//	                     ▲         ▲      └─▶ agent: queue ─▶ decided ─▶ packet-outs ─┐
//	                   uplinks     └──────────────────────────────────────────────────┘
type Stage struct {
	Of      string // edge, or "fabric"
	Name    string
	In, Out []Line
}

// Off is how much more came in than went out.
func (s *Stage) Off() int64 { return int64(sum(s.In)) - int64(sum(s.Out)) }

// String shows the stage with the counts that are not 0.
func (s *Stage) String() string {
	show := func(lines []Line) string {
		var text []string
		for _, l := range lines {
			if l.Packets > 0 {
				text = append(text, fmt.Sprintf("%s %d", l.Name, l.Packets))
			}
		}
		return strings.Join(text, " + ")
	}
	return fmt.Sprintf("%s, %s: in %d (%s), out %d (%s)", s.Of, s.Name, sum(s.In), show(s.In), sum(s.Out), show(s.Out))
}

func sum(lines []Line) (n uint64) {
	for _, l := range lines {
		n += l.Packets
	}
	return n
}

// switched is a target that tells what became of each frame, port by port: a softswitch in this process.
type switched interface {
	switchStats() (softswitch.Stats, []softswitch.PortStatus)
}

func (t *inMemory) switchStats() (softswitch.Stats, []softswitch.PortStatus) {
	return t.server.Stats(), t.server.PortStatus()
}

// Ledger reads what became of all packets since the lab began, stage by stage. Targets have to be softswitches in this process.
func (l *Lab) Ledger(ctx context.Context) (all []Stage, err error) {
	for _, e := range l.edges {
		stages, err := e.ledger(ctx)
		if err != nil {
			return nil, fmt.Errorf("ledger of edge %s: %w", e.plan.name, err)
		}
		all = append(all, stages...)
	}
	f := l.fabric.Counters()
	var in uint64
	for _, e := range l.edges {
		for _, u := range e.uplinks {
			in += u.Gateway().Counters().Received
		}
	}
	return append(all, Stage{"fabric", "router", []Line{{"from edges", in}}, []Line{
		{"forwarded", f.Forwarded}, {"taken in", f.Local}, {"malformed", f.Malformed}, {"foreign", f.Foreign}, {"ttl exceeded", f.TTLExceeded}, {"too big", f.TooBig}, {"no route", f.NoRoute},
		{"host unreachable", f.HostUnreachable}, {"neighbour overflow", f.NeighbourOverflow},
	}}), nil
}

// cableStage is what is sent by one end of a cable.
func cableStage(of, name string, from, to *wire.End) Stage {
	a, b := from.Counters(), to.Counters()
	return Stage{of, name, []Line{{"sent", a.Sent + a.Lost + a.Overflow + a.Down}}, []Line{{"received", b.Received}, {"lost on purpose", a.Lost}, {"overflow", a.Overflow}, {"unplugged", a.Down}}}
}

// cables are the stages of what leads to an edge, each way.
func (e *edge) cables() (all []Stage) {
	cable := func(name string, own, other *wire.End) {
		all = append(all, cableStage(e.plan.name, name+" in", other, own), cableStage(e.plan.name, name+" out", own, other))
	}
	for n, a := range e.access {
		cable(fmt.Sprintf("access cable %d", n), a.cable.A(), a.cable.B())
	}
	if e.vpn != nil {
		cable("cable of VPNs", e.vpn.A(), e.vpn.B())
	}
	for i, u := range e.uplinks {
		cable(fmt.Sprintf("uplink %d", i+1), u.Edge(), u.Gateway())
	}
	return all
}

// reasonLines are what became of frames in ingress, and what was dropped, there and in egress.
func reasonLines(ingress [3]reasons, egress reasons) (why, drops []Line) {
	for side, name := range [...]string{"access", "underlay", "cpu"} {
		for r, n := range ingress[side] {
			if n == 0 {
				continue
			}
			x := Line{fmt.Sprintf("%s %v", name, flow.Reason(r)), n}
			if why = append(why, x); flow.Reason(r).IsDrop() {
				drops = append(drops, x)
			}
		}
	}
	for r, n := range egress {
		if n > 0 {
			drops = append(drops, Line{fmt.Sprintf("egress %v", flow.Reason(r)), n})
		}
	}
	return why, drops
}

// ledger reads the stages of an edge.
func (e *edge) ledger(ctx context.Context) (all []Stage, err error) {
	target, ok := e.target.(switched)
	if !ok {
		return nil, errors.New("its target does not tell what became of each frame")
	}
	var fromPorts, toPorts []Line
	all = e.cables()
	// The agent first: what it has was counted by its target before.
	stats, err := e.agent.stats(ctx)
	if err != nil {
		return nil, err
	}
	dropped, err := e.agent.drops(ctx)
	if err != nil {
		return nil, err
	}
	ingress, egress, err := e.reader.reasonCounts(ctx)
	if err != nil {
		return nil, err
	}
	sw, ports := target.switchStats()
	stage := func(name string, in, out []Line) { all = append(all, Stage{e.plan.name, name, in, out}) }
	var cables []Line
	for _, p := range ports {
		fromPorts = append(fromPorts, Line{"port " + p.Name, p.RxPackets - min(p.RxPackets, p.RxDrops)})
		toPorts = append(toPorts, Line{"port " + p.Name, p.TxPackets}, Line{"not taken by port " + p.Name, p.TxDrops})
		cables = append(cables, Line{"port " + p.Name, p.RxPackets})
	}
	var plugged []Line
	for _, s := range all {
		if strings.HasSuffix(s.Name, " in") {
			plugged = append(plugged, Line{s.Name, s.Out[0].Packets})
		}
	}
	stage("ports", plugged, cables)
	m := sw.Pipeline
	outs := Line{"packet-outs", sw.PacketOuts}
	stage("received by the pipeline", append(slices.Clone(fromPorts), outs), []Line{{"received", m.Received}})
	why, drops := reasonLines(ingress, egress)
	stage("ingress", []Line{{"received", m.Received}}, why)
	stage("drops of the pipeline", []Line{{"dropped", m.Dropped}}, drops)
	stage("replication", []Line{{"received", m.Received}, {"copies", m.Copies}}, []Line{{"replicated", m.Replicated}, {"emitted", m.Emitted}, {"dropped", m.Dropped}, {"no group", m.NoGroup}})
	stage("emitted", []Line{{"emitted", m.Emitted}}, append(toPorts, Line{"no such port", sw.NoPort}, Line{"packet-ins", sw.PacketIns}, Line{"packet-ins without room", sw.PacketInsDropped}, Line{"malformed packet-ins", sw.PacketInMalformed}))
	stage("packet-ins", []Line{{"packet-ins", sw.PacketIns}}, []Line{{"taken", stats.PacketIns}, {"overload", stats.QueueDrops}, {"for sessions", stats.Spoken}, {"answered", stats.Answered}})
	stage("agent", []Line{{"taken", stats.PacketIns}}, []Line{{"upcalls", stats.Upcalls}, {"malformed", stats.Malformed}, {"underlay", stats.Underlay}, {"unhandled", stats.Unhandled}, {"unknown keys", stats.UnknownKeys}, {"departed", stats.Departed}, {"copies", stats.Copies}})
	stage("decisions", []Line{{"upcalls", stats.Upcalls}, {"further outcomes", stats.Further}}, []Line{{"forwarded", stats.Forwarded}, {"consumed", stats.Consumed}, {"lost", stats.Lost}})
	stage("packet-outs", []Line{{"sent", stats.PacketOuts}}, []Line{outs, {"refused", sw.PacketOutRefused}})
	var told []Line
	for _, d := range dropped {
		told = append(told, Line{strings.TrimSpace(d.VPort + " " + d.Reason), d.Packets})
	}
	// A copy that would go back to where the frame came from is none that anybody misses: no edge tells of it.
	drops = slices.DeleteFunc(slices.Clone(drops), func(x Line) bool { return x.Name == fmt.Sprintf("egress %v", flow.ReasonPruned) })
	stage("drops by reason", append(drops, Line{"lost in the agent", stats.Lost}, Line{"overload", stats.QueueDrops}, Line{"malformed", stats.Malformed}, Line{"unhandled", stats.Unhandled},
		Line{"unknown keys", stats.UnknownKeys}, Line{"departed", stats.Departed}), told)
	return all, nil
}
