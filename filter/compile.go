package filter

import (
	"encoding/binary"
	"slices"
)

// Classifier is rules made ready to be searched. Immutable.
//
// For each domain it has the elementary intervals, in which every set is constant, and for each of them the rules that a packet with such a value may meet:
// a vector of bits, one a rule. The rules that a packet meets are those in the vectors of all its values.
type Classifier struct {
	rules  int
	words  int    // of a vector
	named  uint32 // 1<<Field for each that a rule names
	active [families][]step
	every  vector  // all rules
	always vector  // rules without a condition
	states []uint8 // by rule: see States; nil: no rule names the state
	dims   [domains]dimension
}

// family of a packet, by the addresses that it has.
type family uint8

const (
	family4 family = iota
	family6
	familyNone
	families
)

// step is a domain to look at, after those before it.
type step struct {
	domain int
	field  Field
	partly bool   // bits of it may be enough: an address or a port
	family family // that has it; familyNone: it is of no family
	dim    *dimension
	later  vector // rules that name a domain of a later step
	tells  uint32 // fields that tell whether a packet has this one at all: 1<<Field for each
}

// dimension is what a classifier knows of one domain. The zero value: no rule names it.
type dimension struct {
	starts  []Value  // of the intervals; the first is zero
	half    []uint64 // that half of them which tells them apart, nil if it takes both
	upper   bool     // it is the upper one
	bits    []uint8  // by interval: how many leading bits tell it, if as many do for all its values; else 0
	vectors []uint32 // by interval: where its vector is in sets
	sets    []uint64 // the different vectors, one behind the other
	absent  int      // where in sets the vector for a packet without the field is
	named   vector   // rules that name the field
	width   int
}

// vector has a bit for each rule.
type vector []uint64

func (v vector) set(i int)      { v[i/64] |= 1 << (i % 64) }
func (v vector) has(i int) bool { return v[i/64]>>(i%64)&1 != 0 }

// Compile makes a classifier of rules in order.
func Compile(rules []Rule) *Classifier {
	c := &Classifier{rules: len(rules), words: (len(rules) + 63) / 64}
	c.every, c.always = c.all(), make(vector, c.words)
	for i := range rules {
		if len(rules[i].Conditions) == 0 {
			c.always.set(i)
		}
	}
	if slices.ContainsFunc(rules, func(r Rule) bool { return statesOf(&r) != 0 }) {
		c.states = make([]uint8, len(rules))
		for i := range rules {
			c.states[i] = statesOf(&rules[i])
		}
	}
	var active []int
	for _, d := range order() {
		field := fieldOf(d)
		named := false
		for i := range rules {
			for j := range rules[i].Conditions {
				named = named || rules[i].Conditions[j].Field == field
			}
		}
		if named {
			c.dims[d] = c.compile(rules, d, field)
			active = append(active, d)
			c.named |= 1 << field
		}
	}
	for of := range family(families) {
		c.active[of] = c.steps(active, of)
	}
	return c
}

// steps returns the domains that say something of a family's packets.
func (c *Classifier) steps(active []int, packets family) []step {
	var steps []step
	later := make(vector, c.words)
	for _, d := range slices.Backward(active) {
		six, four := d >= int(fields), d == int(Dst) || d == int(Src)
		if six && packets != family6 || four && packets == family6 {
			continue
		}
		of := familyNone
		switch {
		case four:
			of = family4
		case six:
			of = family6
		}
		field := fieldOf(d)
		partly := field == Src || field == Dst || field == SrcPort || field == DstPort
		steps = append(steps, step{d, field, partly, of, &c.dims[d], slices.Clone(later), tells(field)})
		for w := range later {
			later[w] |= c.dims[d].named[w]
		}
	}
	slices.Reverse(steps)
	return steps
}

// tells returns the fields that tell whether a packet has a field.
func tells(f Field) (fields uint32) {
	if f >= Proto && f != SrcMAC && f != State {
		fields = 1 << EtherType
	}
	if f == DstPort || f == SrcPort || f == TCPFlags {
		fields |= 1<<Proto | 1<<Fragment
	}
	return fields
}

// order is that of the fields, addresses of IPv6 beside those of IPv4.
func order() []int {
	var all []int
	for f := range fields {
		all = append(all, int(f))
		switch f {
		case Dst:
			all = append(all, dst6)
		case Src:
			all = append(all, src6)
		}
	}
	return all
}

// fieldOf returns the field whose values a domain has.
func fieldOf(domain int) Field {
	switch domain {
	case dst6:
		return Dst
	case src6:
		return Src
	}
	return Field(domain)
}

// Rules returns the number of rules.
func (c *Classifier) Rules() int { return c.rules }

// edge is where a set begins (or ends, just before at).
type edge struct {
	at    Value
	term  int
	begin bool
}

// condition is one that names the field.
type condition struct {
	rule   int
	not    bool
	inside int // of its sets: that the value is in
}

// sweep goes through a domain from edge to edge, and knows which rules a value there may meet.
type sweep struct {
	conditions []condition
	of         [][]int // by set's number: the conditions that have it
	unmet      []int   // by rule: its conditions that the value does not meet
	met        vector  // rules without any
}

// add adds a condition, which no set has yet.
func (w *sweep) add(rule int, not bool) {
	w.conditions = append(w.conditions, condition{rule: rule, not: not})
	if !not {
		w.fails(rule, 1)
	}
}

// cross takes the value over the edge of a set.
func (w *sweep) cross(e edge) {
	by := -1
	if e.begin {
		by = 1
	}
	for _, i := range w.of[e.term] {
		x := &w.conditions[i]
		was := x.inside > 0
		x.inside += by
		switch is := x.inside > 0; {
		case is == was:
		case is == x.not:
			w.fails(x.rule, 1)
		default:
			w.fails(x.rule, -1)
		}
	}
}

// fails notes that the value does not meet one more condition of a rule, or one less.
func (w *sweep) fails(rule, by int) {
	if w.unmet[rule] += by; w.unmet[rule] == 0 {
		w.met.set(rule)
	} else {
		w.met[rule/64] &^= 1 << (rule % 64)
	}
}

func (c *Classifier) compile(rules []Rule, domain int, field Field) dimension {
	d := dimension{width: width(domain), named: make(vector, c.words)}
	w := sweep{unmet: make([]int, c.rules), met: c.all()}
	terms := map[*Set]int{}
	var edges []edge
	for i := range rules {
		for _, x := range rules[i].Conditions {
			if x.Field != field {
				continue
			}
			d.named.set(i)
			for _, s := range x.Sets {
				n, ok := terms[s]
				if !ok {
					n = len(terms)
					terms[s], w.of = n, append(w.of, nil)
					edges = appendEdges(edges, s.of(domain), n, d.width)
				}
				w.of[n] = append(w.of[n], len(w.conditions))
			}
			w.add(i, x.Not)
		}
	}
	absent := slices.Clone(w.met) // a packet without the field is in no set
	slices.SortFunc(edges, func(a, b edge) int { return compare(a.at, b.at) })
	known := map[string]uint32{}
	var key []byte
	note := func(start Value) {
		key = key[:0]
		for _, bits := range w.met {
			key = binary.LittleEndian.AppendUint64(key, bits)
		}
		n, ok := known[string(key)]
		if !ok {
			n = uint32(len(d.sets))
			known[string(key)] = n
			d.sets = append(d.sets, w.met...)
		}
		d.starts, d.vectors = append(d.starts, start), append(d.vectors, n)
	}
	if len(edges) == 0 || edges[0].at != (Value{}) {
		note(Value{})
	}
	for i := 0; i < len(edges); {
		at := edges[i].at
		for ; i < len(edges) && edges[i].at == at; i++ {
			w.cross(edges[i])
		}
		note(at)
	}
	d.absent = len(d.sets)
	d.sets = append(d.sets, absent...)
	d.ready()
	return d
}

// ready makes what is searched, and what is asked again and again.
func (d *dimension) ready() {
	d.upper = d.width > 64 && !slices.ContainsFunc(d.starts, func(v Value) bool { return v.Lo != 0 })
	if d.upper || d.width <= 64 {
		d.half = make([]uint64, len(d.starts))
		for i, v := range d.starts {
			d.half[i] = v.Lo
			if d.upper {
				d.half[i] = v.Hi
			}
		}
	}
	d.bits = make([]uint8, len(d.starts))
	for i, v := range d.starts {
		end := last(d.width)
		if i+1 < len(d.starts) {
			end = d.starts[i+1].prev()
		}
		if n := common(v, end, d.width); isBlock(v, end, d.width-n) {
			d.bits[i] = uint8(n)
		}
	}
}

// isBlock reports whether two values are the first and the last of those that differ in no more than their last n bits.
func isBlock(lo, hi Value, n int) bool {
	host := last(n)
	return lo.Hi&host.Hi|lo.Lo&host.Lo == 0 && hi == Value{lo.Hi | host.Hi, lo.Lo | host.Lo}
}

// statesOf returns what States does.
func statesOf(r *Rule) (states uint8) {
	for i := range r.Conditions {
		x := &r.Conditions[i]
		if x.Field != State || x.Not || len(r.Conditions) > 1 {
			return 0
		}
		for _, set := range x.Sets {
			for n := range uint64(8) {
				if set.has(V(n)) {
					states |= 1 << n
				}
			}
		}
	}
	return states
}

// appendEdges adds the edges of a set's ranges.
func appendEdges(edges []edge, ranges []Range, term, width int) []edge {
	for _, r := range ranges {
		edges = append(edges, edge{r.Lo, term, true})
		if end, ok := r.Hi.next(width); ok {
			edges = append(edges, edge{end, term, false})
		}
	}
	return edges
}

// all returns the vector of all rules.
func (c *Classifier) all() vector {
	v := make(vector, c.words)
	for i := range c.rules {
		v.set(i)
	}
	return v
}
