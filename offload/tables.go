package offload

import (
	"fmt"

	"github.com/weft-sdn/weft/p4rt"
)

// table is a table of the pipeline whose keys and actions were found in the p4info as p4src declares them.
type table struct {
	*p4rt.Table
	actions map[string]*p4rt.Action
}

// action names an action and its parameters in order.
type action struct {
	name   string
	params []string
}

// Tables are the tables of p4src, resolved against a target's p4info.
type Tables struct {
	Schema *p4rt.Schema

	portMap, portTags            table
	tunnelTerm4, tunnelTerm6     table
	peerList4, peerList6         table
	srcClass, dstClass           table
	puntClass                    table
	exact4, exact6               table
	wild4, wild6, wildL2         table
	l2Guard, location, peer      table
	replica, l2Rewrite, underlay table
	nat4, nat6                   table

	ingressReasons, egressReasons *p4rt.CounterArray

	ingressVPortDrops, egressVPortDrops *p4rt.CounterArray

	punts, floods          *p4rt.MeterArray
	sends, receives, links *p4rt.MeterArray

	linkLoad *p4rt.CounterArray
}

// flowActions are the three that every flow table has.
func flowActions(name string) []action {
	return []action{
		{"ingress.forward_" + name, []string{"dest", "l2_rewrite", "ttl_dec"}},
		{"ingress.drop_" + name, nil},
		{"ingress.punt_" + name, []string{"reason", "tag"}},
	}
}

// exactActions are the same where a flow may be translated and tracked.
func exactActions(name string) []action {
	a := flowActions(name)
	a[0].params = append(a[0].params, "nat", "tracked")
	return a
}

// NewTables resolves the tables. Its error says which table, key field, action or parameter the p4info lacks.
func NewTables(schema *p4rt.Schema) (*Tables, error) {
	t := &Tables{Schema: schema}
	l3 := []string{"scope", "src", "dst", "ip_proto", "sport", "dport", "frag"}
	tuple := []string{"src", "dst", "sport", "dport"}
	encap := []string{"kind", "src", "dst", "src_mac", "dst_mac", "mtu"}
	for _, want := range []struct {
		into    *table
		name    string
		keys    []string
		actions []action
	}{
		{&t.portMap, "ingress.port_map", []string{"port", "vid", "tagged"}, []action{{"ingress.set_vport", []string{"vport"}}}},
		{&t.portTags, "ingress.port_tags", []string{"port"}, []action{{"ingress.keep_tag", []string{"vport"}}}},
		{&t.tunnelTerm4, "ingress.tunnel_term_v4", []string{"kind", "vtep"}, []action{{"ingress.terminate", nil}}},
		{&t.tunnelTerm6, "ingress.tunnel_term_v6", []string{"kind", "vtep"}, []action{{"ingress.terminate", nil}}},
		{&t.peerList4, "ingress.peer_list_v4", []string{"src"}, []action{{"ingress.known_peer", nil}}},
		{&t.peerList6, "ingress.peer_list_v6", []string{"src"}, []action{{"ingress.known_peer", nil}}},
		{&t.srcClass, "ingress.src_class", []string{"vport", "src_mac"}, []action{{"ingress.known_source", nil}}},
		{&t.dstClass, "ingress.dst_class", []string{"vport", "dst_mac"}, append(flowActions("dst_class"), action{"ingress.set_scope", []string{"scope"}})},
		{&t.puntClass, "ingress.punt_class", []string{"vport", "ether_type", "ip_proto", "sport", "dport", "tcp_flags", "frag"},
			[]action{{"ingress.class_punt", []string{"reason"}}, {"ingress.class_drop", nil}}},
		{&t.exact4, "ingress.flow_exact_v4", l3, exactActions("flow_exact_v4")},
		{&t.exact6, "ingress.flow_exact_v6", l3, exactActions("flow_exact_v6")},
		{&t.wild4, "ingress.flow_wild_v4", l3, flowActions("flow_wild_v4")},
		{&t.wild6, "ingress.flow_wild_v6", l3, flowActions("flow_wild_v6")},
		{&t.wildL2, "ingress.flow_wild_l2", []string{"scope", "src_mac", "dst_mac", "ether_type"}, flowActions("flow_wild_l2")},
		{&t.l2Guard, "ingress.l2_guard", []string{"l2_rewrite"}, []action{{"ingress.set_mtu", []string{"mtu"}}}},
		{&t.location, "ingress.location", []string{"dest", "by_tunnel"}, []action{
			{"ingress.to_port", []string{"port", "vport", "tagged", "vid"}}, {"ingress.to_peer", []string{"peer"}},
			{"ingress.to_group", []string{"group"}}, {"ingress.location_drop", nil}}},
		{&t.peer, "ingress.peer", []string{"peer", "bucket"}, []action{{"ingress.set_path", []string{"path", "port"}}}},
		{&t.replica, "egress.replica", []string{"rid"}, []action{
			{"egress.local_copy", []string{"vport", "tagged", "vid"}}, {"egress.peer_copy", []string{"path"}}}},
		{&t.l2Rewrite, "egress.l2_rewrite", []string{"l2_rewrite"}, []action{{"egress.set_macs", []string{"src", "dst", "link"}}, {"egress.keep_macs", []string{"link"}}}},
		{&t.nat4, "egress.nat_v4", []string{"nat"}, []action{{"egress.translate_v4", tuple}}},
		{&t.nat6, "egress.nat_v6", []string{"nat"}, []action{{"egress.translate_v6", tuple}}},
		{&t.underlay, "egress.underlay", []string{"path"}, []action{{"egress.encap_v4", encap}, {"egress.encap_v6", encap}}},
	} {
		var err error
		if *want.into, err = resolve(schema, want.name, want.keys, want.actions); err != nil {
			return nil, err
		}
	}
	var err error
	for name, into := range map[string]**p4rt.CounterArray{
		"ingress.reasons": &t.ingressReasons, "egress.reasons": &t.egressReasons,
		"ingress.vport_drops": &t.ingressVPortDrops, "egress.vport_drops": &t.egressVPortDrops,
		"egress.link_load": &t.linkLoad,
	} {
		if *into, err = schema.Counter(name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPipeline, err)
		}
	}
	for name, into := range map[string]**p4rt.MeterArray{
		"ingress.punts": &t.punts, "ingress.floods": &t.floods, "ingress.sends": &t.sends, "egress.receives": &t.receives, "egress.links": &t.links,
	} {
		if *into, err = schema.Meter(name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPipeline, err)
		}
	}
	return t, nil
}

func resolve(schema *p4rt.Schema, name string, keys []string, actions []action) (table, error) {
	t, err := schema.Table(name)
	if err != nil {
		return table{}, fmt.Errorf("%w: %w", ErrPipeline, err)
	}
	for i, key := range keys {
		at, err := t.Key(key)
		if err != nil {
			return table{}, fmt.Errorf("%w: %w", ErrPipeline, err)
		}
		if at != i {
			return table{}, fmt.Errorf("%w: table %s: key field %s is at position %d, want %d", ErrPipeline, name, key, at+1, i+1)
		}
	}
	if len(t.Keys) != len(keys) {
		return table{}, fmt.Errorf("%w: table %s has %d key fields, want %d", ErrPipeline, name, len(t.Keys), len(keys))
	}
	r := table{Table: t, actions: make(map[string]*p4rt.Action, len(actions))}
	for _, want := range actions {
		a, err := t.Action(want.name)
		if err != nil {
			return table{}, fmt.Errorf("%w: %w", ErrPipeline, err)
		}
		for i, p := range want.params {
			at, err := a.Param(p)
			if err != nil {
				return table{}, fmt.Errorf("%w: %w", ErrPipeline, err)
			}
			if at != i {
				return table{}, fmt.Errorf("%w: action %s: parameter %s is at position %d, want %d", ErrPipeline, want.name, p, at+1, i+1)
			}
		}
		if len(a.Params) != len(want.params) {
			return table{}, fmt.Errorf("%w: action %s has %d parameters, want %d", ErrPipeline, want.name, len(a.Params), len(want.params))
		}
		r.actions[want.name] = a
	}
	return r, nil
}

// entry builds an entry whose key fields are all given exactly.
func (t *table) entry(action string, keys []p4rt.Value, params ...p4rt.Value) *p4rt.Entry {
	e := t.NewEntry()
	for i, k := range keys {
		e.Set(i, k)
	}
	e.Do(t.actions[action], params...)
	return e
}

// Stages are all tables in dependency order: what is referred to comes before what refers to it (Reconcile, Writer).
func (t *Tables) Stages() [][]*p4rt.Table {
	return [][]*p4rt.Table{
		{t.underlay.Table, t.replica.Table, t.l2Rewrite.Table, t.l2Guard.Table, t.nat4.Table, t.nat6.Table},
		{t.peer.Table, t.tunnelTerm4.Table, t.tunnelTerm6.Table, t.peerList4.Table, t.peerList6.Table},
		{t.location.Table},
		{t.exact4.Table, t.exact6.Table, t.wild4.Table, t.wild6.Table, t.wildL2.Table, t.puntClass.Table},
		{t.dstClass.Table, t.srcClass.Table},
		{t.portMap.Table, t.portTags.Table},
	}
}

// FlowTables are the tables whose direct counters are the fast path.
func (t *Tables) FlowTables() []*p4rt.Table {
	return []*p4rt.Table{t.dstClass.Table, t.exact4.Table, t.exact6.Table, t.wild4.Table, t.wild6.Table, t.wildL2.Table}
}

// Sides of the ingress reasons: where a frame came from. Its index is side << 8 | reason.
const (
	SideAccess   = 0
	SideUnderlay = 1
	SideCPU      = 2
)

// Reasons are the counters of frames in ingress: every one, by side and reason code. What is dropped is in DropQueries, too, where that is by vport.
func (t *Tables) Reasons() *p4rt.CounterArray { return t.ingressReasons }
