package pipeline

// parsing emits a parser; loops holds a state of every loop.
type parsing struct {
	*coder
	at      map[*parseState]label
	state   map[*parseState]int // 0 unseen, 1 on the way, 2 done
	loops   map[*parseState]bool
	end     label
	timeout label
}

// parser emits the states and returns where the first begins. c.failed tells
// afterwards how it went.
func (g *coder) parser(first *parseState) label {
	p := &parsing{coder: g, at: map[*parseState]label{}, state: map[*parseState]int{}, loops: map[*parseState]bool{},
		end: g.label(), timeout: g.label()}
	start := g.label()
	g.here(start)
	if first == nil {
		g.jump(p.end)
	} else {
		p.findLoops(first)
		p.follow(first)
	}
	g.here(p.timeout)
	g.call(func(c *ctx) { c.stop(c.m.perr.timeout) })
	g.here(p.end)
	g.emit(ins{op: iEnd})
	return start
}

// findLoops marks a state of every loop.
func (p *parsing) findLoops(s *parseState) {
	p.state[s] = 1
	for _, n := range s.successors() {
		switch {
		case n == nil:
		case p.state[n] == 1:
			p.loops[n] = true
		case p.state[n] == 0:
			p.findLoops(n)
		}
	}
	p.state[s] = 2
}

func (s *parseState) successors() []*parseState {
	out := []*parseState{s.other}
	for _, c := range s.cases {
		out = append(out, c.next)
	}
	return out
}

func (p *parsing) to(s *parseState) label {
	if s == nil {
		return p.end
	}
	x, ok := p.at[s]
	if !ok {
		x = p.label()
		p.at[s] = x
	}
	return x
}

func (p *parsing) follow(s *parseState) {
	if s == nil || p.place[p.to(s)] >= 0 {
		p.jump(p.to(s))
		return
	}
	p.here(p.to(s))
	if p.loops[s] {
		p.emit(ins{op: iLoop, c: uint32(p.timeout), k: maxParseSteps})
	}
	fail := label(p.append(s.body)) // the body's first label
	p.transition(s)
	p.follow(s.other)
	for i := range s.cases {
		if n := s.cases[i].next; n != nil && p.place[p.to(n)] < 0 {
			p.follow(n)
		}
	}
	p.here(fail)
	if s.lock >= 0 {
		p.emit(ins{op: iUnlock, k: uint64(s.lock)})
	}
	p.jump(p.end)
}

// transition emits the jumps to all cases; what matches none falls through.
func (p *parsing) transition(s *parseState) {
	if len(s.cases) == 0 {
		return
	}
	parts, ok := s.narrow()
	if !ok || p.l.plain {
		p.choose(s)
		return
	}
	sel := selection{parts: parts}
	exact := len(parts) == 1
	for i := range s.cases {
		k := selectCase{to: uint32(p.to(s.cases[i].next))}
		for j, part := range parts {
			k.value |= s.cases[i].value[s.key[j].at] << part.shift
			k.mask |= s.cases[i].mask[s.key[j].at] << part.shift
		}
		exact = exact && k.mask == topMask(s.key[0].width)
		sel.cases = append(sel.cases, k)
	}
	if exact && len(sel.cases) <= 6 {
		for _, k := range sel.cases {
			p.ifEqualTo(parts[0].slot, allOnes, k.value, true, label(k.to))
		}
		return
	}
	x := &p.l.p.code
	other := p.label()
	sel.other = uint32(other)
	x.selects = append(x.selects, sel)
	p.emit(ins{op: iSelect, k: uint64(len(x.selects) - 1)})
	p.here(other)
}

// narrow lays the key parts out in one word, if they are plain fields that fit
// and no case is a value set.
func (s *parseState) narrow() ([]selectPart, bool) {
	var parts []selectPart
	at := 0
	for i := range s.key {
		k := &s.key[i]
		if k.field == nil || k.n > 1 || at+k.width > 64 {
			return nil, false
		}
		parts = append(parts, selectPart{slot: uint16(k.field.slot), shift: uint8(at)})
		at += k.width
	}
	for i := range s.cases {
		if s.cases[i].vset != nil {
			return nil, false
		}
	}
	return parts, len(parts) > 0
}

// choose emits the general form of a transition.
func (p *parsing) choose(s *parseState) {
	x := &p.l.p.code
	t := p.temp()
	x.nums = append(x.nums, s.choose)
	p.emit(ins{op: iNum, a: t, k: uint64(len(x.nums) - 1)})
	p.emit(ins{op: iFailed, c: uint32(p.end)})
	for i := range s.cases {
		p.ifEqualTo(t, allOnes, uint64(i), true, p.to(s.cases[i].next))
	}
	p.statement()
}
