package scenario

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/testbed/host"
)

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
	o := Outcome{Fail: fail, By: list(w, "by", "10.1.0.1,fd01::1", parseAddr)}
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
	if len(o.By) > 0 && len(o.Errors) == 0 {
		w.failHint("add error=", "by= without error=")
	}
	return o
}

// parseAddrs parses comma-separated addresses.
func parseAddrs(text string) ([]netip.Addr, error) {
	var all []netip.Addr
	for one := range strings.SplitSeq(text, ",") {
		addr, err := parseAddr(one)
		if err != nil {
			return nil, err
		}
		all = append(all, addr)
	}
	return all, nil
}
