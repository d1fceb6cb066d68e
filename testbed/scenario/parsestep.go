package scenario

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// Times that operations have when the step gives none.
const (
	defaultWithin       = 10 * time.Second
	defaultExpectWithin = 2 * time.Second
	defaultAbsentWithin = 300 * time.Millisecond // of "! expect"
)

const verbs = "ping, tcp, http, udp, raw, expect, bind, link, apply, flows, counters"

func (p *parser) step(line int, text string, all []string) {
	step := Step{Line: line, Text: text}
	if all[0] == "!" {
		step.Fail, all = true, all[1:]
	}
	w := newWords(all)
	verb := w.next("operation behind !")
	switch verb {
	case "ping":
		step.Op = p.ping(w, step.Fail)
	case "tcp":
		step.Op = p.tcp(w, step.Fail, 0)
	case "http":
		step.Op = HTTP(p.tcp(w, step.Fail, 80))
	case "udp":
		step.Op = p.udp(w, step.Fail)
	case "raw":
		step.Op = p.raw(w)
	case "expect":
		step.Op = p.expect(w, step.Fail)
	case "bind":
		step.Op = p.bind(w)
	case "link":
		step.Op = p.link(w)
	case "apply":
		step.Op = p.apply(w)
	case "flows":
		step.Op = p.flows(w)
	case "counters":
		step.Op = p.counters(w)
	case "":
		p.fail(line, w.problems...)
		return
	default:
		p.fail(line, problem{text: "unknown operation " + strconv.Quote(verb), hint: "operations are " + verbs + "; # begins a comment"})
		return
	}
	if step.Fail && (verb == "raw" || verb == "link" || verb == "flows" || verb == "counters") {
		w.failHint("state what must hold instead, without !", "%s cannot be expected to fail", verb)
	}
	step.Fail = step.Fail && (verb == "bind" || verb == "apply")
	w.end()
	p.scenario.Steps = append(p.scenario.Steps, step)
	p.fail(line, w.problems...)
}

func (p *parser) ping(w *words, fail bool) Ping {
	return Ping{
		From: p.hostName(w, "host that pings"), To: p.target(w, "host or address to ping", noPort),
		Count: w.number("count", 1, 1, 10000), Size: w.number("size", 0, 1, 65000), TTL: uint8(w.number("ttl", 0, 1, 255)),
		DontFragment: w.flag("df"), Family: family(w), Outcome: outcome(w, fail), Within: w.duration("within", defaultWithin),
	}
}

func (p *parser) tcp(w *words, fail bool, port int) TCP {
	return TCP{
		From: p.hostName(w, "host that connects"), To: p.target(w, "TO:PORT", port),
		Bytes: w.size("bytes", 1e6), Family: family(w), Outcome: outcome(w, fail), Within: w.duration("within", defaultWithin),
	}
}

func (p *parser) udp(w *words, fail bool) UDP {
	return UDP{
		From: p.hostName(w, "host that sends"), To: p.target(w, "TO:PORT", 0), Count: w.number("count", 1, 1, 10000),
		Size: w.number("size", 32, 0, 65000), Family: family(w), Outcome: outcome(w, fail), Within: w.duration("within", defaultWithin),
	}
}

func (p *parser) raw(w *words) Raw {
	r := Raw{Host: p.hostName(w, "host that sends"), File: w.next("file of frames"), Count: w.number("count", 1, 1, 100000), Within: defaultWithin}
	r.Frames = frames(p, w, r.File, parseFrame)
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
	l := Link{Edge: w.next("edge"), Up: true, Within: defaultWithin}
	p.checkEdge(w, l.Edge)
	up, down := w.flag("up"), w.flag("down")
	loss, lossy := w.option("loss")
	if lossy {
		share, err := strconv.ParseFloat(loss, 64)
		if err != nil || !(share >= 0 && share <= 1) {
			w.failHint("it is a share from 0 to 1 such as 0.01", "loss=%s", loss)
		} else {
			l.Loss = share
		}
	}
	if up && down || !up && !down && !lossy || down && lossy {
		w.fail("link wants one of up, down, loss=")
	}
	l.Up = !down
	return l
}

func (p *parser) apply(w *words) Apply {
	a := Apply{File: w.next("file to apply"), Within: w.duration("within", defaultWithin)}
	a.Data = p.file(w, a.File)
	return a
}

func (p *parser) flows(w *words) Flows {
	f := Flows{Edge: w.next("edge"), Min: w.number("min", 0, 0, math.MaxInt32), Max: w.number("max", -1, 0, math.MaxInt32), Within: w.duration("within", defaultWithin)}
	f.Like, _ = w.option("like")
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
	n, err := strconv.ParseUint(value, 10, 64)
	if value != "" && err != nil {
		w.failHint("it is a whole number", "value %q", value)
	}
	c.Value = n
	return c
}

func (p *parser) hostName(w *words, what string) string {
	name := w.next(what)
	if name != "" && !p.hosts[name] {
		w.failHint("hosts are "+names(p.hosts), "unknown host %q", name)
	}
	return name
}

// noPort is for operations without ports; 0 for such whose port must be given.
const noPort = -1

// target takes HOST, ADDRESS, HOST:PORT, IPV4:PORT or [IPV6]:PORT.
func (p *parser) target(w *words, what string, port int) Target {
	text := w.next(what)
	if text == "" {
		return Target{}
	}
	var t Target
	if port != noPort {
		t.Port = uint16(port)
		name, number, ok := cutPort(text)
		if !ok && port == 0 {
			w.failHint("write HOST:PORT, 10.1.0.2:PORT or [fd01::2]:PORT", "%q has no port", text)
		}
		if ok {
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil || n == 0 {
				w.failHint("it is a number from 1 to 65535", "port %q", number)
			}
			t.Port = uint16(n)
		}
		text = name
	}
	if addr, err := parseAddr(text); err == nil {
		t.Addr = addr
		return t
	}
	if t.Host = text; !p.hosts[text] {
		w.failHint("it is an address, or one of "+names(p.hosts), "unknown host %q", text)
	}
	return t
}

// cutPort cuts ":PORT" off; an IPv6 address has one only if in brackets.
func cutPort(text string) (name, port string, ok bool) {
	if strings.HasPrefix(text, "[") {
		name, rest, found := strings.Cut(text[1:], "]")
		port, ok := strings.CutPrefix(rest, ":")
		return name, port, found && ok
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return text, "", false
	}
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+1:], true
}

func family(w *words) Family {
	switch w.oneOf("family", "", "4", "6") {
	case "4":
		return IPv4
	case "6":
		return IPv6
	}
	return Both
}

// kinds are what error= may say beside timeout.
var kinds = []host.Kind{
	host.NetUnreachable, host.HostUnreachable, host.ProtocolUnreachable, host.PortUnreachable, host.TooBig, host.SourceFailed,
	host.AdminProhibited, host.RejectRoute, host.TTLExceeded, host.ReassemblyTimeout, host.ParameterProblem,
}

func outcome(w *words, fail bool) Outcome {
	texts := make([]string, len(kinds))
	for i, kind := range kinds {
		texts[i] = string(kind)
	}
	o := Outcome{Fail: fail, By: w.address("by")}
	if text, ok := w.option("error"); ok {
		for one := range strings.SplitSeq(text, ",") {
			if !slices.Contains(kinds, host.Kind(one)) {
				w.failHint("kinds are "+strings.Join(texts, ", "), "error=%s: unknown kind %q", text, one)
			}
			o.Errors = append(o.Errors, host.Kind(one))
		}
	}
	if fail && len(o.Errors) > 0 {
		w.failHint("error= expects a failure already", "! together with error=")
	}
	if o.By.IsValid() && len(o.Errors) == 0 {
		w.failHint("add error=", "by= without error=")
	}
	return o
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
