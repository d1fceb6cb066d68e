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
	words  int // of a vector
	active [families][]step
	always vector // rules without a condition
	dims   [domains]dimension
}

// Families of packets, by the addresses that they have.
const (
	family4 = iota
	family6
	familyNone
	families
)

// step is a domain to look at, after those before it.
type step struct {
	domain int
	dim    *dimension
	later  vector // rules that name a domain of a later step
	tells  uint32 // fields that tell whether a packet has this one at all: 1<<Field for each
}

// dimension is what a classifier knows of one domain. The zero value: no rule names it.
type dimension struct {
	starts  []Value  // of the intervals; the first is zero
	low     []uint64 // the same, of a domain of up to 64 bits
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
	c.always = make(vector, c.words)
	for i := range rules {
		if len(rules[i].Conditions) == 0 {
			c.always.set(i)
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
		}
	}
	for family := range c.active {
		c.active[family] = c.steps(active, family)
	}
	return c
}

// steps returns the domains that say something of a family's packets.
func (c *Classifier) steps(active []int, family int) []step {
	var steps []step
	later := make(vector, c.words)
	for _, d := range slices.Backward(active) {
		six, four := d >= int(fields), d == int(Dst) || d == int(Src)
		if six && family != family6 || four && family == family6 {
			continue
		}
		steps = append(steps, step{d, &c.dims[d], slices.Clone(later), tells(fieldOf(d))})
		for w := range later {
			later[w] |= c.dims[d].named[w]
		}
	}
	slices.Reverse(steps)
	return steps
}

// tells returns the fields that tell whether a packet has a field.
func tells(f Field) (fields uint32) {
	if f >= Proto && f != State {
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

// condition is one that names the field, with its sets by number.
type condition struct {
	rule  int
	not   bool
	terms []int
}

func (c *Classifier) compile(rules []Rule, domain int, field Field) dimension {
	d := dimension{width: width(domain), named: make(vector, c.words)}
	absent := c.all()
	terms := map[*Set]int{}
	var edges []edge
	var conditions []condition
	for i := range rules {
		for _, x := range rules[i].Conditions {
			if x.Field != field {
				continue
			}
			d.named.set(i)
			cond := condition{rule: i, not: x.Not}
			for _, s := range x.Sets {
				n, ok := terms[s]
				if !ok {
					n = len(terms)
					terms[s] = n
					edges = appendEdges(edges, s.of(domain), n, d.width)
				}
				cond.terms = append(cond.terms, n)
			}
			conditions = append(conditions, cond)
			if !x.Not {
				absent[i/64] &^= 1 << (i % 64)
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return compare(a.at, b.at) })
	inside := make(vector, (len(terms)+63)/64)
	known := map[string]uint32{}
	note := func(start Value) {
		key := make([]byte, 0, 8*len(inside))
		for _, w := range inside {
			key = binary.LittleEndian.AppendUint64(key, w)
		}
		n, ok := known[string(key)]
		if !ok {
			n = uint32(len(d.sets))
			known[string(key)] = n
			d.sets = append(d.sets, c.meeting(conditions, inside)...)
		}
		d.starts, d.vectors = append(d.starts, start), append(d.vectors, n)
	}
	if len(edges) == 0 || edges[0].at != (Value{}) {
		note(Value{})
	}
	for i := 0; i < len(edges); {
		at := edges[i].at
		for ; i < len(edges) && edges[i].at == at; i++ {
			if e := edges[i]; e.begin {
				inside.set(e.term)
			} else {
				inside[e.term/64] &^= 1 << (e.term % 64)
			}
		}
		note(at)
	}
	d.absent = len(d.sets)
	d.sets = append(d.sets, absent...)
	if d.width <= 64 {
		d.low = make([]uint64, len(d.starts))
		for i, v := range d.starts {
			d.low[i] = v.Lo
		}
	}
	return d
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

// meeting returns the rules whose conditions a value meets that is in some sets.
func (c *Classifier) meeting(conditions []condition, inside vector) vector {
	v := c.all()
	for _, x := range conditions {
		in := slices.ContainsFunc(x.terms, inside.has)
		if in == x.not {
			v[x.rule/64] &^= 1 << (x.rule % 64)
		}
	}
	return v
}

// all returns the vector of all rules.
func (c *Classifier) all() vector {
	v := make(vector, c.words)
	for i := range c.rules {
		v.set(i)
	}
	return v
}
