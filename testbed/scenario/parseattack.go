package scenario

import (
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// Times of steps that send much, or wait for nothing.
const (
	defaultSweepWithin = time.Minute
	defaultQuietWithin = 300 * time.Millisecond
)

func (p *parser) sweep(w *words) Sweep {
	s := Sweep{Host: p.hostName(w, "host that sends"), Last: math.MaxUint16, Family: family(w), Within: w.duration("within", defaultSweepWithin)}
	to, ok := w.option("to")
	mac, err := net.ParseMAC(to)
	switch {
	case !ok:
		w.failHint("say to whom", "to= is missing")
	case p.hosts[to]:
		s.To = to
	case err != nil || len(mac) != 6:
		w.failHint("it is a MAC, or one of "+names(p.hosts), "to=%s", to)
	default:
		s.MAC = [6]byte(mac)
	}
	if text, ok := w.option("ethertypes"); ok && text != "all" {
		if s.First, s.Last, ok = parseRange(text); !ok {
			w.failHint("it is all, or a range such as 0x0800-0x08ff", "ethertypes=%s", text)
		}
	}
	return s
}

func parseRange(text string) (first, last uint16, ok bool) {
	low, high, _ := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(low, 0, 16)
	b, errB := strconv.ParseUint(high, 0, 16)
	return uint16(a), uint16(b), errA == nil && errB == nil && a <= b
}

func (p *parser) forge(w *words) Forge {
	f := Forge{Host: p.hostName(w, "host that sends"), Count: w.number("count", 1, 1, 100000), Family: family(w), Within: w.duration("within", defaultWithin)}
	f.Kind = TunnelKind(w.oneOf("kind", string(VXLAN), string(VXLAN), string(Geneve), string(GRE)))
	vtep, ok := w.option("vtep")
	switch addrs, err := parseAddrs(vtep); {
	case !ok:
		w.failHint("say of which edge", "vtep= is missing")
	case err == nil:
		f.VTEPs = addrs
	default:
		f.Edge = vtep
		p.checkEdge(w, vtep)
	}
	key, ok := w.option("key")
	switch n, err := strconv.ParseUint(key, 0, 24); {
	case !ok:
		w.failHint("say whose vport it is to reach", "key= is missing")
	case err == nil:
		f.Key = uint32(n)
	case p.hosts[key] || strings.Contains(key, "/"):
		f.Victim = key
	default:
		w.failHint("it is a number, TENANT/NAME of a vport, or one of "+names(p.hosts), "key=%s", key)
	}
	return f
}

func (p *parser) quiet(w *words) Quiet {
	q := Quiet{Within: w.duration("within", defaultQuietWithin)}
	for first := true; first || len(w.args) > 0; first = false {
		q.Hosts = append(q.Hosts, p.hostName(w, "host"))
	}
	return q
}

// traceFlags are the flags of weft trace without value.
var traceFlags = []string{"df"}

func (p *parser) trace(w *words) Trace {
	t := Trace{VPort: w.next("host or vport"), Family: family(w), Within: w.duration("within", defaultWithin)}
	if !p.hosts[t.VPort] && !strings.Contains(t.VPort, "/") && t.VPort != "" {
		w.failHint("it is TENANT/NAME of a vport, or one of "+names(p.hosts), "unknown host %q", t.VPort)
	}
	t.Like, _ = w.option("like")
	t.Silent = w.flag("silent")
	dst, ok := w.option("dst")
	if !ok {
		w.failHint("say to whom", "dst= is missing")
	} else {
		to := newWords([]string{dst})
		t.To = p.target(to, "dst", noPort)
		w.problems = append(w.problems, to.problems...)
	}
	for _, key := range []string{"src", "proto", "sport", "dport", "ttl", "len", "src-mac", "dst-mac"} {
		if value, ok := w.option(key); ok {
			t.Flags = append(t.Flags, "--"+key+"="+value)
		}
	}
	for _, flag := range traceFlags {
		if w.flag(flag) {
			t.Flags = append(t.Flags, "--"+flag)
		}
	}
	return t
}
