package scenario

import (
	"slices"
	"strconv"
	"strings"
)

// line parses one line of the comment section: the beginning or the end of a leg, or a step.
func (p *parser) line(line int, text string, all []string) {
	switch all[0] {
	case "leg":
		p.endLeg()
		p.beginLeg(line, all[1:])
	case "end":
		w := newWords(all[1:])
		if p.leg.Name == "" {
			w.failHint(`a leg begins with "leg NAME"`, "end without a leg")
		}
		w.end()
		p.fail(line, w.problems...)
		p.endLeg()
	default:
		if p.leg.Line == 0 {
			p.leg.Line = line
		}
		p.step(line, text, all)
	}
}

func (p *parser) beginLeg(line int, all []string) {
	w := newWords(all)
	leg := Leg{Name: w.next("name of the leg"), Line: line, Family: family(w), Fast: w.share("fast")}
	if len(w.args) > 0 {
		leg.Text = w.next("text")
	}
	w.end()
	if strings.ContainsAny(leg.Name, "/ ") {
		w.failHint("a name is one word without /", "leg name %q", leg.Name)
	}
	if p.legs[leg.Name] {
		w.fail("leg %s appears twice", leg.Name)
	}
	p.legs[leg.Name] = true
	p.leg = leg
	p.fail(line, w.problems...)
}

// endLeg takes the leg under way in, or the steps that were in none.
func (p *parser) endLeg() {
	leg := p.leg
	p.leg = Leg{}
	for name, line := range p.started {
		p.fail(line, problem{text: "start " + name + " without finish", hint: "add finish " + name + " in the same leg"})
	}
	clear(p.started)
	if leg.Name != "" {
		p.checkLeg(leg)
	}
	if leg.Name != "" || len(leg.Steps) > 0 {
		p.scenario.Legs = append(p.scenario.Legs, leg)
	}
}

// checkLeg complains of a leg that has nothing to do in one of its families.
func (p *parser) checkLeg(leg Leg) {
	if len(leg.Steps) == 0 {
		p.fail(leg.Line, problem{text: "leg " + leg.Name + " has no steps"})
		return
	}
	for _, f := range leg.families() {
		busy := slices.ContainsFunc(leg.Steps, func(s Step) bool {
			if start, ok := s.Op.(Start); ok && start.Op == nil {
				return true // complained of already
			}
			_, ours := narrowed(s.Op, f)
			_, has := s.Op.(ofFamily)
			_, raw := s.Op.(Raw) // of any: the leg says which
			return ours && (has || raw && leg.Family != Both)
		})
		if !busy {
			p.fail(leg.Line, problem{text: "leg " + leg.Name + " sends nothing for " + f.String(), hint: "add such steps, or family= to the leg"})
		}
	}
}

// share is an option from 0 to 1.
func (w *words) share(key string) float64 {
	text, ok := w.option(key)
	if !ok {
		return 0
	}
	share, err := strconv.ParseFloat(text, 64)
	if err != nil || !(share >= 0 && share <= 1) {
		w.failHint("it is a share from 0 to 1 such as 0.01", "%s=%s", key, text)
		return 0
	}
	return share
}

func (p *parser) start(w *words, line int) Op {
	s := Start{Name: w.next("name"), Rate: w.size("rate", 0)}
	if p.started[s.Name] != 0 {
		w.fail("%s is started twice", s.Name)
	}
	p.started[s.Name] = line
	switch verb := w.next("step"); verb {
	case "ping":
		s.Op = p.ping(w, false)
		if s.Rate != 0 {
			w.failHint("use interval= and count=", "rate= of a ping")
		}
	case "tcp", "http":
		s.Op = operations[verb](p, w, false)
	case "":
	default:
		w.failHint("ping, tcp and http can", "%s cannot be started in the background", verb)
	}
	return s
}

func (p *parser) finish(w *words) Finish {
	f := Finish{Name: w.next("name"), Within: w.duration("within", defaultWithin)}
	if p.started[f.Name] == 0 && f.Name != "" {
		w.failHint(`it begins with "start `+f.Name+` STEP", in the same leg`, "nothing that is called %s was started", f.Name)
	}
	delete(p.started, f.Name)
	return f
}
