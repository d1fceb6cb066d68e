package gnmi

import (
	"fmt"
	"slices"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// leaf is one value that the switch has.
type leaf struct {
	path  []*gpb.PathElem
	text  string // of the path
	value any    // string, bool, uint64, float64
	kind  leafKind
}

type leafKind uint8

const (
	configLeaf  leafKind = iota
	stateLeaf            // changes now and then
	counterLeaf          // changes with every frame: sampled, never told on change
)

// component is the name of the switch among the components.
const component = "softswitch"

// leaves are all values, by path.
func (s *Server) leaves() []leaf {
	b := builder{}
	for _, p := range s.config.Switch.Ports() {
		b.addInterface(&p)
	}
	b.at = []*gpb.PathElem{{Name: "components"}, {Name: "component", Key: map[string]string{"name": component}}}
	b.add(stateLeaf, component, "name")
	b.add(configLeaf, component, "config", "name")
	b.add(stateLeaf, component, "state", "name")
	b.add(stateLeaf, "INTEGRATED_CIRCUIT", "state", "type")
	b.add(configLeaf, s.config.DeviceID, "integrated-circuit", "config", "node-id")
	b.add(stateLeaf, s.config.DeviceID, "integrated-circuit", "state", "node-id")
	return b.out
}

// builder gathers leaves below one element.
type builder struct {
	at  []*gpb.PathElem
	out []leaf
}

func (b *builder) add(kind leafKind, value any, names ...string) {
	path := slices.Clone(b.at)
	for _, n := range names {
		path = append(path, &gpb.PathElem{Name: n})
	}
	b.out = append(b.out, leaf{path: path, text: show(path), value: value, kind: kind})
}

func (b *builder) addInterface(p *Port) {
	b.at = []*gpb.PathElem{{Name: "interfaces"}, {Name: "interface", Key: map[string]string{"name": p.Name}}}
	up := func(x bool) string { return map[bool]string{true: "UP", false: "DOWN"}[x] }
	number := uint64(p.Number)
	b.add(stateLeaf, p.Name, "name")
	b.add(configLeaf, p.Name, "config", "name")
	b.add(configLeaf, "ethernetCsmacd", "config", "type")
	b.add(configLeaf, p.Enabled, "config", "enabled")
	b.add(configLeaf, number, "config", "id")
	b.add(stateLeaf, p.Name, "state", "name")
	b.add(stateLeaf, "ethernetCsmacd", "state", "type")
	b.add(stateLeaf, p.Enabled, "state", "enabled")
	b.add(stateLeaf, number, "state", "id")
	b.add(stateLeaf, number, "state", "ifindex")
	b.add(stateLeaf, up(p.Enabled), "state", "admin-status")
	b.add(stateLeaf, up(p.Up), "state", "oper-status")
	if !p.LastChange.IsZero() {
		b.add(stateLeaf, uint64(p.LastChange.UnixNano()), "state", "last-change")
	}
	for _, c := range []struct {
		name  string
		value uint64
	}{
		{"in-pkts", p.InPackets}, {"in-octets", p.InBytes}, {"in-discards", p.InDiscards},
		{"out-pkts", p.OutPackets}, {"out-octets", p.OutBytes}, {"out-discards", p.OutDiscards},
	} {
		b.add(counterLeaf, c.value, "state", "counters", c.name)
	}
	b.addImpairment(p)
}

// addImpairment adds the leaves of weft's own model.
func (b *builder) addImpairment(p *Port) {
	c := &p.Impairment
	for _, part := range []struct {
		name string
		kind leafKind
	}{{"config", configLeaf}, {"state", stateLeaf}} {
		b.add(part.kind, c.Loss, "impairment", part.name, "loss")
		b.add(part.kind, microseconds(c.Delay), "impairment", part.name, "delay")
		b.add(part.kind, microseconds(c.Jitter), "impairment", part.name, "jitter")
		b.add(part.kind, c.Reorder, "impairment", part.name, "reorder")
		b.add(part.kind, c.Rate, "impairment", part.name, "rate")
		b.add(part.kind, uint64(c.Limit), "impairment", part.name, "limit")
		b.add(part.kind, c.Seed, "impairment", part.name, "seed")
	}
}

// microseconds is the unit of delays in the model.
func microseconds(d time.Duration) uint64 { return uint64(d / time.Microsecond) }

// selected are the leaves at or below a path; none is an error unless the path has wildcards, which may
// match nothing.
func (s *Server) selected(path []*gpb.PathElem) ([]leaf, error) {
	var out []leaf
	for _, l := range s.leaves() {
		if covers(path, l.path) {
			out = append(out, l)
		}
	}
	if len(out) == 0 && !wild(path) {
		return nil, fmt.Errorf("%s does not exist", show(path))
	}
	return out, nil
}
