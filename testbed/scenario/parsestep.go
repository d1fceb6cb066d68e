package scenario

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// Times that operations have when the step gives none.
const (
	defaultWithin       = 30 * time.Second
	defaultExpectWithin = 10 * time.Second
	defaultAbsentWithin = 300 * time.Millisecond // of "! expect"
)

// operations are the parsers of the steps, by verb. The second argument is whether the step begins with "!".
var operations = map[string]func(p *parser, w *words, fail bool) Op{
	"ping":       func(p *parser, w *words, fail bool) Op { return p.ping(w, fail) },
	"traceroute": func(p *parser, w *words, _ bool) Op { return p.traceroute(w) },
	"tcp":        func(p *parser, w *words, fail bool) Op { return p.tcp(w, fail, 0) },
	"http":       func(p *parser, w *words, fail bool) Op { return HTTP(p.tcp(w, fail, 80)) },
	"udp":        func(p *parser, w *words, fail bool) Op { return p.udp(w, fail) },
	"raw":        func(p *parser, w *words, _ bool) Op { return p.raw(w) },
	"expect":     func(p *parser, w *words, fail bool) Op { return p.expect(w, fail) },
	"sweep":      func(p *parser, w *words, _ bool) Op { return p.sweep(w) },
	"forge":      func(p *parser, w *words, _ bool) Op { return p.forge(w) },
	"quiet":      func(p *parser, w *words, _ bool) Op { return p.quiet(w) },
	"bind":       func(p *parser, w *words, _ bool) Op { return p.bind(w) },
	"bgp":        func(p *parser, w *words, _ bool) Op { return p.bgp(w) },
	"link":       func(p *parser, w *words, _ bool) Op { return p.link(w) },
	"apply":      func(p *parser, w *words, _ bool) Op { return p.apply(w) },
	"flows":      func(p *parser, w *words, _ bool) Op { return p.flows(w) },
	"counters":   func(p *parser, w *words, _ bool) Op { return p.counters(w) },
	"mark":       func(*parser, *words, bool) Op { return Mark{} },
	"trace":      func(p *parser, w *words, _ bool) Op { return p.trace(w) },
	"finish":     func(p *parser, w *words, _ bool) Op { return p.finish(w) },
}

// mayFail are the verbs that "!" may stand before.
var mayFail = []string{"ping", "tcp", "http", "udp", "expect", "bind", "apply"}

const verbs = "ping, traceroute, tcp, http, udp, raw, expect, sweep, forge, quiet, bind, link, bgp, apply, flows, counters, mark, trace, start, finish, leg, end"

func (p *parser) step(line int, text string, all []string) {
	step := Step{Line: line, Text: text}
	if all[0] == "!" {
		step.Fail, all = true, all[1:]
	}
	w := newWords(all)
	verb := w.next("operation behind !")
	parse := operations[verb]
	switch {
	case verb == "start": // not in the map, which it would refer to
		step.Op = p.start(w, line)
	case parse != nil:
		step.Op = parse(p, w, step.Fail)
	case verb == "":
		p.fail(line, w.problems...)
		return
	default:
		p.fail(line, problem{text: "unknown operation " + strconv.Quote(verb), hint: "operations are " + verbs + "; # begins a comment"})
		return
	}
	if step.Fail && !slices.Contains(mayFail, verb) {
		w.failHint("state what must hold instead, without !", "%s cannot be expected to fail", verb)
	}
	step.Fail = step.Fail && (verb == "bind" || verb == "apply")
	w.end()
	p.leg.Steps = append(p.leg.Steps, step)
	p.fail(line, w.problems...)
}

func (p *parser) ping(w *words, fail bool) Ping {
	return Ping{
		From: p.hostName(w, "host that pings"), To: p.target(w, "host or address to ping", noPort),
		Count: w.number("count", 1, 1, 10000), Interval: w.duration("interval", 0), Size: w.number("size", 0, 1, 65000), TTL: uint8(w.number("ttl", 0, 1, 255)),
		DontFragment: w.flag("df"), Family: family(w), Outcome: outcome(w, fail), Within: w.duration("within", defaultWithin),
	}
}

func (p *parser) traceroute(w *words) Traceroute {
	return Traceroute{
		From: p.hostName(w, "host that asks"), To: p.target(w, "host or address to reach", noPort),
		Via: list(w, "via", "10.1.0.1,fd01::1", parseAddr), Family: family(w), Within: w.duration("within", defaultWithin),
	}
}

func (p *parser) tcp(w *words, fail bool, port int) TCP {
	return TCP{
		From: p.hostName(w, "host that connects"), To: p.target(w, "TO:PORT", port),
		Bytes: w.size("bytes", 1e6), Family: family(w), Outcome: outcome(w, fail), Within: w.duration("within", defaultWithin),
	}
}

func (p *parser) udp(w *words, fail bool) UDP {
	u := UDP{
		From: p.hostName(w, "host that sends"), To: p.target(w, "TO:PORT", 0), Count: w.number("count", 1, 1, 10000),
		Size: w.number("size", 32, 0, 65000), Min: w.number("min", 0, 1, 10000), Each: w.duration("each", 0),
		Family: family(w), Outcome: outcome(w, fail), Within: w.duration("within", defaultWithin),
	}
	if u.Min > u.Count {
		w.fail("min=%d is more than count=%d", u.Min, u.Count)
	}
	return u
}

func (p *parser) raw(w *words) Raw {
	r := Raw{Host: p.hostName(w, "host that sends"), File: w.next("file of frames"), Count: w.number("count", 1, 1, 100000), Within: defaultWithin}
	r.Frames = frames(p, w, r.File, parseFrame)
	pad := w.number("pad", 0, 1, maxFrame)
	for i, f := range r.Frames {
		r.Frames[i] = append(f, make([]byte, max(pad-len(f), 0))...)
	}
	return r
}

func (p *parser) expect(w *words, fail bool) Expect {
	absent := defaultExpectWithin
	if fail {
		absent = defaultAbsentWithin
	}
	e := Expect{Host: p.hostName(w, "host that receives"), File: w.next("file of frames"), Absent: fail, Within: w.duration("within", absent)}
	e.Patterns = frames(p, w, e.File, parsePattern)
	return e
}

func (p *parser) bind(w *words) Bind {
	b := Bind{What: w.next("vport or host"), Within: w.duration("within", defaultWithin)}
	if !p.hosts[b.What] && !strings.Contains(b.What, "/") {
		w.failHint("it is TENANT/NAME of a vport, or one of "+names(p.hosts), "unknown host %q", b.What)
	}
	b.Edge, b.Interface, _ = strings.Cut(w.next("EDGE[:INTERFACE]"), ":")
	p.checkEdge(w, b.Edge)
	return b
}

func (p *parser) link(w *words) Link {
	l := Link{Up: true, Within: defaultWithin}
	var uplink string
	var one bool
	l.Edge, uplink, one = strings.Cut(w.next("EDGE[:N] or EDGE/INTERFACE"), ":")
	if edge, iface, access := strings.Cut(l.Edge, "/"); access && !one {
		if l.Edge, l.Interface = edge, iface; iface == "" {
			w.fail("%s/ names no interface", edge)
		}
	}
	p.checkEdge(w, l.Edge)
	if one {
		l.Uplink = p.uplink(w, l.Edge, uplink)
	}
	up, down := w.flag("up"), w.flag("down")
	_, lossy := w.options["loss"]
	l.Loss = w.share("loss")
	if up && down || !up && !down && !lossy || down && lossy {
		w.fail("link wants one of up, down, loss=")
	}
	l.Up = !down
	return l
}

// uplink is the number of one of the edge's underlay links.
func (p *parser) uplink(w *words, edge, text string) int {
	most := 1
	for _, e := range p.scenario.Edges {
		if e.Name == edge {
			most = e.Uplinks
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		w.failHint(fmt.Sprintf("it is a number from 1 to %d; file %s says uplinks=", most, EdgesFile), "edge %s has no underlay link %q", edge, text)
		return 0
	}
	return n
}

func (p *parser) apply(w *words) Apply {
	a := Apply{File: w.next("file to apply"), Within: w.duration("within", defaultWithin)}
	a.Data = p.file(w, a.File)
	return a
}

func (p *parser) flows(w *words) Flows {
	f := Flows{Edge: w.next("edge"), Min: w.number("min", 0, 0, math.MaxInt32), Max: w.number("max", -1, 0, math.MaxInt32), Within: w.duration("within", defaultWithin)}
	f.Like, _ = w.option("like")
	known := flow.MatchFields()
	f.Fields = list(w, "fields", strings.Join(known, ","), func(name string) (string, error) {
		if !slices.Contains(known, name) {
			return "", errors.New("no match has it")
		}
		return name, nil
	})
	f.Packets = uint64(w.number("packets", 0, 0, math.MaxInt32))
	p.checkEdge(w, f.Edge)
	if f.Min == 0 && f.Max < 0 {
		f.Min = 1
	}
	if f.Max >= 0 && f.Max < f.Min {
		w.fail("max=%d is less than min=%d", f.Max, f.Min)
	}
	return f
}

func (p *parser) counters(w *words) Counters {
	c := Counters{Of: w.next("edge, host or fabric"), Name: w.next("name of the counter"), Within: w.duration("within", defaultWithin)}
	if len(p.edges) > 0 && c.Of != "" && c.Of != "fabric" && !p.edges[c.Of] && !p.hosts[c.Of] {
		w.failHint("it is fabric, or one of "+names(p.edges)+", "+names(p.hosts), "unknown edge or host %q", c.Of)
	}
	c.Op = Comparison(w.next("comparison"))
	if c.Op != "" && !slices.Contains([]Comparison{"==", "!=", "<", "<=", ">", ">="}, c.Op) {
		w.failHint("comparisons are == != < <= > >=", "comparison %q", c.Op)
	}
	value := w.next("value")
	value, c.Growth = strings.CutPrefix(value, "+")
	n, err := strconv.ParseUint(value, 10, 64)
	if value != "" && err != nil {
		w.failHint("it is a whole number", "value %q", value)
	}
	c.Value = n
	return c
}

func (p *parser) file(w *words, name string) []byte {
	data, ok := p.scenario.Files[name]
	if !ok && name != "" {
		w.failHint(`add it behind a line "-- `+name+` --"`, "there is no file %q", name)
	}
	return data
}

// frames parses the paragraphs of a file.
func frames[T any](p *parser, w *words, name string, parse func(string) (T, error)) []T {
	texts, lines := paragraphs(p.file(w, name))
	if len(texts) == 0 && p.begins[name] != 0 {
		w.fail("file %q holds no frames", name)
	}
	var all []T
	for i, text := range texts {
		one, err := parse(text)
		if err != nil {
			p.fail(p.begins[name]+lines[i], problem{text: err.Error(), hint: "frames are hexadecimal digits, separated by blank lines"})
			continue
		}
		all = append(all, one)
	}
	return all
}
