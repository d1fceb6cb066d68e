package lab

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// accountReads is how often an edge is read at most until its hosts sent nothing meanwhile.
const accountReads = 5

// Account implements scenario.Network.
func (l *Lab) Account(ctx context.Context) ([]scenario.Accounts, error) {
	all := make([]scenario.Accounts, len(l.edges))
	for i, e := range l.edges {
		a := &all[i]
		for range accountReads {
			if err := e.account(ctx, a); err != nil {
				return nil, fmt.Errorf("%w: %w", scenario.ErrLab, err)
			}
			if a.HostFrames == e.hostFrames() {
				break
			}
		}
	}
	return all, nil
}

// hostFrames counts what the hosts plugged in at an edge sent, and what came out of VPNs there.
func (e *edge) hostFrames() (n uint64) {
	if e.vpn != nil {
		n = e.vpn.B().Counters().Sent
	}
	for _, a := range e.access {
		n += a.cable.B().Counters().Sent
	}
	return n
}

// account reads what an edge counts, its hosts' frames first.
func (e *edge) account(ctx context.Context, a *scenario.Accounts) error {
	*a = scenario.Accounts{Edge: e.plan.name, HostFrames: e.hostFrames(), Lossy: e.target.lossy()}
	counts, err := e.counts(ctx)
	if err != nil {
		return err
	}
	stats, err := e.agent.stats(ctx)
	if err != nil {
		return fmt.Errorf("agent of edge %s: %w", e.plan.name, err)
	}
	a.FastPath, a.Punts, a.Drops, a.Entries = counts.fastPath, counts.punts, counts.drops, counts.entries
	a.Upcalls, a.PuntDrops, a.Installed = stats.Upcalls+stats.Spoken+stats.Answered, counts.puntDrops+stats.QueueDrops+stats.Departed, stats.Installed
	a.Unanswered = stats.Unanswered
	return nil
}

// Counter implements scenario.Network.
func (l *Lab) Counter(ctx context.Context, of, name string) (uint64, error) {
	if value, ok, err := l.Machines.HostCounter(of, name); ok {
		return value, err
	}
	if of == "fabric" {
		return pick(of, name, fieldsOf(l.fabric.Counters()))
	}
	e, err := l.edge(of)
	if err != nil {
		return 0, err
	}
	if vport, reason, ok := dropsOf(name); ok {
		return l.dropped(ctx, of, vport, reason)
	}
	values, err := e.counters(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", scenario.ErrLab, err)
	}
	return pick("edge "+of, name, values)
}

// dropsOf reports whether a counter of an edge is what it dropped of a vport's packets for a reason: "TENANT/NAME REASON".
func dropsOf(name string) (vport, reason string, ok bool) {
	vport, reason, ok = strings.Cut(name, " ")
	return vport, reason, ok && strings.Contains(vport, "/")
}

func (l *Lab) dropped(ctx context.Context, edge, vport, reason string) (n uint64, err error) {
	drops, err := l.Drops(ctx, edge)
	for _, d := range drops {
		if d.VPort == vport && d.Reason == reason {
			n += d.Packets
		}
	}
	return n, err
}

// checkDropsOf tells if a vport, of which drops are asked for, is none of the network.
func (l *Lab) checkDropsOf(vport string) error {
	ref := vportRef(vport)
	if !slices.ContainsFunc(l.plan.objects, func(o *topology.Object) bool { return o.Ref() == ref }) {
		return fmt.Errorf("there is no %v", ref)
	}
	return nil
}

// counters are all that an edge can tell: the agent's statistics, what was counted at its target and at its ports.
func (e *edge) counters(ctx context.Context) (map[string]uint64, error) {
	counts, err := e.counts(ctx)
	if err != nil {
		return nil, err
	}
	stats, err := e.agent.stats(ctx)
	if err != nil {
		return nil, err
	}
	return e.values(&counts, &stats), nil
}

// values gives what was counted by name.
func (e *edge) values(counts *targetCounts, stats *engine.Stats) map[string]uint64 {
	values := fieldsOf(*stats)
	values["simulated_drops"] = stats.Drops
	values["fast_path"], values["drops"], values["entries"] = counts.fastPath, counts.drops+counts.puntDrops, counts.entries
	for i := range len(reasons{}) {
		r := flow.Reason(i)
		switch name := r.String(); {
		case unicode.IsDigit(rune(name[0])) || r == flow.ReasonNone:
		case r.IsDrop():
			values["drop_"+name] = counts.because(r)
		default:
			values["punt_"+name] = counts.because(r)
		}
	}
	for _, a := range e.access {
		values["stray_frames"] += a.trunk.Stray()
		values["forged_frames"] += a.trunk.Forged()
	}
	for i, u := range e.uplinks {
		name, edge, router := fmt.Sprintf("uplink_%d_", i+1), u.Edge().Counters(), u.Gateway().Counters()
		values[name+"sent"], values[name+"received"] = edge.Sent, edge.Received
		values[name+"lost"] = edge.Down + edge.Lost + edge.Overflow + router.Down + router.Lost + router.Overflow
	}
	return values
}

// checkCounters tells of the first step that names a counter that is not there.
func (l *Lab) checkCounters() error {
	for _, leg := range l.cfg.Scenario.Legs {
		for _, step := range leg.Steps {
			c, ok := step.Op.(scenario.Counters)
			if !ok {
				continue
			}
			if vport, _, ok := dropsOf(c.Name); ok {
				if err := l.checkDropsOf(vport); err != nil {
					return fmt.Errorf("line %d: %w", step.Line, err)
				}
				continue
			}
			known, of := scenario.HostCounters(), "host "+c.Of
			hosts := make([]string, len(l.cfg.Scenario.Hosts))
			for i, h := range l.cfg.Scenario.Hosts {
				hosts[i] = h.Name
			}
			switch e, err := l.edge(c.Of); {
			case slices.Contains(hosts, c.Of):
			case c.Of == "fabric":
				known, of = slices.Sorted(maps.Keys(fieldsOf(fabric.Counters{}))), c.Of
			case err == nil:
				known, of = slices.Sorted(maps.Keys(e.values(&targetCounts{}, &engine.Stats{}))), "edge "+c.Of
			default:
				return fmt.Errorf("line %d: no edge or host %s; there are edges %s, hosts %s and fabric", step.Line, c.Of,
					strings.Join(l.Edges(), ", "), strings.Join(hosts, ", "))
			}
			if !slices.Contains(known, c.Name) {
				return fmt.Errorf("line %d: %s has no counter %q; it has %s", step.Line, of, c.Name, strings.Join(known, ", "))
			}
		}
	}
	return nil
}

// fieldsOf are the unsigned fields of a struct by name: as in JSON, or in snake case.
func fieldsOf(s any) map[string]uint64 {
	values := map[string]uint64{}
	for field, v := range reflect.ValueOf(s).Fields() {
		if v.CanUint() {
			values[cmp.Or(field.Tag.Get("json"), snake(field.Name))] = v.Uint()
		}
	}
	return values
}

// snake writes PacketIns as packet_ins, TTLExceeded as ttl_exceeded.
func snake(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, c := range letters {
		begins := unicode.IsUpper(c) && (i > 0 && unicode.IsLower(letters[i-1]) || i > 0 && i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if begins {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

func pick(of, name string, values map[string]uint64) (uint64, error) {
	if value, ok := values[name]; ok {
		return value, nil
	}
	return 0, fmt.Errorf("%w: %s has no counter %q; it has %s", scenario.ErrLab, of, name, strings.Join(slices.Sorted(maps.Keys(values)), ", "))
}
