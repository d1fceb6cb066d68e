package scenario

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/testbed/host"
)

func (p *parser) host(line int, _ string, all []string) {
	w := newWords(all)
	if vpn, is := w.option("remote"); is {
		p.remote(w, vpn, line)
		return
	}
	h := Host{Name: w.next("name of the host"), Line: line}
	h.VPort, _ = w.option("vport")
	h.Edge, _ = w.option("edge")
	h.Interface, _ = w.option("interface")
	h.VLAN = uint16(w.number("vlan", 0, 1, 4094))
	h.MAC = parseMAC(w)
	h.Addrs = list(w, "ip", "10.1.0.2/24,fd01::2/64", parsePrefix)
	h.Gateways = list(w, "gw", "10.1.0.1,fd01::1", parseAddr)
	h.Routes = list(w, "route", "10.2.0.0/16>10.1.0.9", parseRoute)
	h.MTU = w.number("mtu", 0, 68, 65535)
	w.end()

	p.checkHostName(w, h.Name)
	if tenant, name, ok := strings.Cut(h.VPort, "/"); h.VPort == "" {
		w.failHint("every host is plugged into a vport", "vport= is missing")
	} else if !ok || tenant == "" || name == "" || strings.Contains(name, "/") {
		w.failHint("it is TENANT/NAME", "vport=%s", h.VPort)
	}
	if p.vports[h.VPort] {
		w.fail("vport %s has two hosts", h.VPort)
	}
	if h.Interface != "" && h.Edge == "" {
		w.failHint("add edge=", "interface=%s without an edge", h.Interface)
	}
	p.checkEdge(w, h.Edge)
	p.vports[h.VPort] = true
	p.scenario.Hosts = append(p.scenario.Hosts, h)
	p.fail(line, w.problems...)
}

// checkHostName takes a new name of a host.
func (p *parser) checkHostName(w *words, name string) {
	if _, err := netip.ParseAddr(name); err == nil || strings.ContainsAny(name, "/:[]") {
		w.failHint("a name has no / : [ ] and is not an address", "host name %q", name)
	}
	if p.hosts[name] {
		w.fail("host %s appears twice", name)
	}
	p.hosts[name] = true
}

// remote is a host of the form NAME remote=TENANT/VPN via=HOST [peer=NAME].
func (p *parser) remote(w *words, vpn string, line int) {
	r := Remote{VPN: vpn, Line: line, Name: w.next("name of the host")}
	r.Peer, _ = w.option("peer")
	r.Via, _ = w.option("via")
	w.end()
	if tenant, name, ok := strings.Cut(vpn, "/"); !ok || tenant == "" || name == "" || strings.Contains(name, "/") {
		w.failHint("it is TENANT/NAME of a VPN", "remote=%s", vpn)
	}
	if !slices.ContainsFunc(p.scenario.Hosts, func(h Host) bool { return h.Name == r.Via }) {
		w.failHint("name a host of an earlier line, by which the encrypted packets go", "via=%s", r.Via)
	}
	p.checkHostName(w, r.Name)
	p.scenario.Remotes = append(p.scenario.Remotes, r)
	p.fail(line, w.problems...)
}

func parseMAC(w *words) (mac [6]byte) {
	text, ok := w.option("mac")
	if !ok {
		return mac
	}
	parsed, err := net.ParseMAC(text)
	if err != nil || len(parsed) != 6 || parsed[0]&1 != 0 || [6]byte(parsed) == mac {
		w.failHint("it is a unicast address such as 02:00:00:00:01:02", "mac=%s", text)
		return mac
	}
	return [6]byte(parsed)
}

func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err == nil && prefix.Addr().Is4In6() {
		err = fmt.Errorf("%s is IPv4 in IPv6", text)
	}
	return prefix, err
}

func parseRoute(text string) (host.Route, error) {
	dst, via, ok := strings.Cut(text, ">")
	if !ok {
		return host.Route{}, fmt.Errorf("route %q without >", text)
	}
	prefix, err := parsePrefix(dst)
	if err != nil {
		return host.Route{}, err
	}
	addr, err := parseAddr(via)
	if err != nil {
		return host.Route{}, err
	}
	if addr.Is4() != prefix.Addr().Is4() {
		return host.Route{}, fmt.Errorf("route %q mixes families", text)
	}
	return host.Route{Dst: prefix.Masked(), Via: addr}, nil
}
