package pipeline

import "fmt"

// node is one step of a control: a table, a condition or an action call.
type node struct {
	name  string
	table *tableDef
	cond  *expr
	act   *action
	args  []uint64 // parameters of act
	yes   *node    // next if the condition holds, or after the action
	no    *node
}

func (l *loader) loadPipelines() {
	for i := range l.j.Pipelines {
		j := &l.j.Pipelines[i]
		l.at(fmt.Sprintf("pipelines[%d](%s)", i, j.Name), func() { l.pipeline(j) })
	}
}

func (l *loader) pipeline(j *jPipeline) {
	l.nodes = map[string]*node{}
	add := func(n *node) {
		if l.nodes[n.name] != nil {
			l.fail("two nodes named %q", n.name)
		}
		l.nodes[n.name] = n
	}
	for i := range j.ActionProfiles {
		l.at(fmt.Sprintf("action_profiles[%d]", i), func() { l.profile(&j.ActionProfiles[i]) })
	}
	for i := range j.Tables {
		l.at(fmt.Sprintf("tables[%d](%s)", i, j.Tables[i].Name), func() {
			t := l.tableDef(&j.Tables[i], len(l.p.tables))
			l.p.tables = append(l.p.tables, t)
			add(&node{name: t.name, table: t})
		})
	}
	for i, c := range j.Conditionals {
		l.at(fmt.Sprintf("conditionals[%d](%s)", i, c.Name), func() {
			add(&node{name: c.Name, cond: l.boolean(c.Expression)})
		})
	}
	for i, c := range j.ActionCalls {
		l.at(fmt.Sprintf("action_calls[%d](%s)", i, c.Name), func() {
			a := l.actionID(c.ActionID)
			if len(a.params) > 0 {
				l.fail("action %s has parameters", a.name)
			}
			add(&node{name: c.Name, act: a})
		})
	}
	l.link(j)
	l.acyclic()
	var first *node
	if j.InitTable != nil {
		first = l.node(j.InitTable)
	}
	switch j.Name {
	case "ingress":
		l.p.ingress = first
	case "egress":
		l.p.egress = first
	default:
		l.unsupported("pipeline %q", j.Name)
	}
}

// node finds a node by name; nil ends the control.
func (l *loader) node(name *string) *node {
	if name == nil || *name == "" {
		return nil
	}
	n := l.nodes[*name]
	if n == nil {
		l.fail("no node named %q", *name)
	}
	return n
}

// link connects the nodes.
func (l *loader) link(j *jPipeline) {
	for i := range j.Tables {
		jt := &j.Tables[i]
		l.at(fmt.Sprintf("tables[%d](%s).next_tables", i, jt.Name), func() {
			n := l.nodes[jt.Name]
			t := n.table
			defer n.flatten()
			hit, isHit := jt.NextTables["__HIT__"]
			miss, isMiss := jt.NextTables["__MISS__"]
			t.hitMiss = isHit || isMiss
			if t.hitMiss {
				t.hit, t.miss = l.node(hit), l.node(miss)
				return
			}
			t.miss = l.node(jt.BaseDefault)
			for _, a := range t.actions {
				t.next[a] = l.node(jt.NextTables[a.name])
			}
			if t.def != nil {
				t.next[t.def.act] = l.node(jt.NextTables[t.def.act.name])
			}
		})
	}
	for _, c := range j.Conditionals {
		l.nodes[c.Name].yes, l.nodes[c.Name].no = l.node(c.TrueNext), l.node(c.FalseNext)
	}
	for _, c := range j.ActionCalls {
		l.nodes[c.Name].yes = l.node(c.NextNode)
	}
}

// flatten makes a table that p4c made for an action called directly, with no
// key and a constant default, the action itself.
func (n *node) flatten() {
	t := n.table
	if len(t.keys) > 0 || t.def == nil || !t.fixedDef || t.counters || t.meter != nil {
		return
	}
	n.table, n.act, n.args, n.yes = nil, t.def.act, t.def.params, t.miss
	if !t.hitMiss {
		n.yes = t.next[n.act]
	}
}

// acyclic refuses a control that could run forever.
func (l *loader) acyclic() {
	const (
		open = 1
		done = 2
	)
	state := map[*node]int{}
	var visit func(n *node)
	visit = func(n *node) {
		if n == nil || state[n] == done {
			return
		}
		if state[n] == open {
			l.fail("node %s follows itself", n.name)
		}
		state[n] = open
		visit(n.yes)
		visit(n.no)
		if t := n.table; t != nil {
			visit(t.hit)
			visit(t.miss)
			for _, x := range t.next {
				visit(x)
			}
		}
		state[n] = done
	}
	for _, n := range l.nodes {
		visit(n)
	}
}

func (l *loader) profile(j *jProfile) {
	p := &profileDef{name: j.Name, size: j.MaxSize}
	if s := j.Selector; s != nil {
		p.selector = l.calculation(s.Algo, s.Input)
	}
	l.p.profiles = append(l.p.profiles, p)
}

func (l *loader) loadDeparser() {
	if len(l.j.Deparsers) == 0 {
		return
	}
	if len(l.j.Deparsers) > 1 {
		l.unsupported("%d deparsers", len(l.j.Deparsers))
	}
	d := l.j.Deparsers[0]
	l.at("deparsers[0]", func() {
		for _, n := range d.Order {
			h := l.headerRef(n)
			if h.metadata {
				l.fail("order: metadata %s", n)
			}
			l.p.deparse = append(l.p.deparse, emitted{valid: uint16(h.vslot), h: h})
			l.p.maxHeaders += h.preLen + h.postLen
			if h.vl != nil {
				l.p.maxHeaders += h.vl.max
			}
		}
		if len(d.Primitives) > 0 {
			l.unsupported("primitives in a deparser")
		}
	})
}
