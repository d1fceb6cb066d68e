package gnmi

import (
	"slices"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	serve "github.com/weft-sdn/weft/gnmi"
)

// component is the name of the switch among the components.
const component = "softswitch"

// leaves are all values, by path.
func (s *Server) leaves() []serve.Leaf {
	b := builder{}
	for _, p := range s.config.Switch.Ports() {
		b.addInterface(&p)
	}
	b.at = []*gpb.PathElem{{Name: "components"}, {Name: "component", Key: map[string]string{"name": component}}}
	b.add(serve.StateLeaf, component, "name")
	b.add(serve.ConfigLeaf, component, "config", "name")
	b.add(serve.StateLeaf, component, "state", "name")
	b.add(serve.StateLeaf, "INTEGRATED_CIRCUIT", "state", "type")
	b.add(serve.ConfigLeaf, s.config.DeviceID, "integrated-circuit", "config", "node-id")
	b.add(serve.StateLeaf, s.config.DeviceID, "integrated-circuit", "state", "node-id")
	return b.out
}

// builder gathers leaves below one element.
type builder struct {
	at  []*gpb.PathElem
	out []serve.Leaf
}

func (b *builder) add(kind serve.Kind, value any, names ...string) {
	path := slices.Clone(b.at)
	for _, n := range names {
		path = append(path, &gpb.PathElem{Name: n})
	}
	b.out = append(b.out, serve.NewLeaf(kind, value, path))
}

func (b *builder) addInterface(p *Port) {
	b.at = []*gpb.PathElem{{Name: "interfaces"}, {Name: "interface", Key: map[string]string{"name": p.Name}}}
	up := func(x bool) string { return map[bool]string{true: "UP", false: "DOWN"}[x] }
	number := uint32(p.Number)
	b.add(serve.StateLeaf, p.Name, "name")
	b.add(serve.ConfigLeaf, p.Name, "config", "name")
	b.add(serve.ConfigLeaf, "ethernetCsmacd", "config", "type")
	b.add(serve.ConfigLeaf, p.Enabled, "config", "enabled")
	b.add(serve.ConfigLeaf, number, "config", "id")
	b.add(serve.StateLeaf, p.Name, "state", "name")
	b.add(serve.StateLeaf, "ethernetCsmacd", "state", "type")
	b.add(serve.StateLeaf, p.Enabled, "state", "enabled")
	b.add(serve.StateLeaf, number, "state", "id")
	b.add(serve.StateLeaf, number, "state", "ifindex")
	b.add(serve.StateLeaf, up(p.Enabled), "state", "admin-status")
	b.add(serve.StateLeaf, up(p.Up), "state", "oper-status")
	if !p.LastChange.IsZero() {
		b.add(serve.StateLeaf, uint64(p.LastChange.UnixNano()), "state", "last-change")
	}
	for _, c := range []struct {
		name  string
		value uint64
	}{
		{"in-pkts", p.InPackets}, {"in-octets", p.InBytes}, {"in-discards", p.InDiscards},
		{"out-pkts", p.OutPackets}, {"out-octets", p.OutBytes}, {"out-discards", p.OutDiscards},
	} {
		b.add(serve.CounterLeaf, c.value, "state", "counters", c.name)
	}
	b.addImpairment(p)
}

// addImpairment adds the leaves of weft's own model.
func (b *builder) addImpairment(p *Port) {
	c := &p.Impairment
	for _, part := range []struct {
		name string
		kind serve.Kind
	}{{"config", serve.ConfigLeaf}, {"state", serve.StateLeaf}} {
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
