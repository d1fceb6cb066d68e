package agent

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/topology"
)

// checker collects all that is wrong with a configuration.
type checker struct {
	source *topology.Source
	errs   topology.Errors
}

// fail adds an error.
func (c *checker) fail(field, value, problem, hint string) {
	c.errs = append(c.errs, &topology.FieldError{File: c.source.File, Line: c.source.Line(field), Field: field, Value: value, Problem: problem, Hint: hint})
}

func (c *checker) all(prefix string, problems []fieldProblem) {
	for _, p := range problems {
		c.fail(prefix+"."+p.field, p.value, p.problem, p.hint)
	}
}

func (c *checker) config(cfg *Config) {
	c.all("etcd", cfg.Etcd.problems())
	c.listen(cfg)
	c.oneOf("log.level", cfg.Log.Level, "debug", "info", "warn", "error")
	c.oneOf("log.format", cfg.Log.Format, "text", "json")
	c.tracing(&cfg.Tracing)
	if len(cfg.Edges) == 0 {
		c.fail("edges", "", "is missing", "describe one edge or several")
	}
	seen := taken{}
	for i := range cfg.Edges {
		c.edge(fmt.Sprintf("edges[%d]", i), &cfg.Edges[i], seen)
	}
}

func (c *checker) oneOf(field, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.fail(field, value, "is not known", "use one of "+strings.Join(allowed, ", "))
	}
}

// taken are the values that only one edge may have, with the field that has them.
type taken map[string]string

// once checks that a value of a kind is met first.
func (c *checker) once(seen taken, kind, field, value string) {
	key := kind + " " + value
	if other, ok := seen[key]; ok {
		c.fail(field, value, "is that of "+other+" too", "give each its own")
		return
	}
	seen[key] = field
}

func (c *checker) listen(cfg *Config) {
	problem, hint := addressProblem(cfg.Listen)
	switch {
	case problem != "":
		c.fail("listen", cfg.Listen, problem, hint)
	case isUnix(cfg.Listen) && !cfg.ListenTLS.IsZero():
		c.fail("listenTLS", "", "goes with HOST:PORT, and listen is "+cfg.Listen, "leave it out: who may use the socket is a matter of its directory")
	case isUnix(cfg.Listen) && cfg.Advertise != "":
		c.fail("advertise", cfg.Advertise, "goes with HOST:PORT, and listen is "+cfg.Listen, "leave it out")
	case cfg.Advertise == "" && reachableByAll(cfg.Listen):
		c.fail("listen", cfg.Listen, "is all addresses of this host", "name one, or set advertise to the address that others reach it by")
	}
	if problem, hint := addressProblem(cfg.Advertise); cfg.Advertise != "" && problem != "" {
		c.fail("advertise", cfg.Advertise, problem, hint)
	}
	if !cfg.ListenTLS.IsZero() && cfg.ListenTLS.Cert == "" {
		c.fail("listenTLS.cert", "", "is missing", "name the PEM file of the server's certificate")
	}
	if cfg.ListenTLS.ServerName != "" {
		c.fail("listenTLS.serverName", cfg.ListenTLS.ServerName, "is for clients", "leave it out")
	}
	c.all("listenTLS", cfg.ListenTLS.problems())
}

func isUnix(address string) bool { return strings.HasPrefix(address, "unix:") }

func reachableByAll(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, err2 := netip.ParseAddr(host)
	return err == nil && (host == "" || err2 == nil && ip.IsUnspecified())
}

// addressProblem says what is wrong with HOST:PORT or unix:PATH, and what would do.
func addressProblem(address string) (problem, hint string) {
	const use = "use HOST:PORT or unix:/PATH"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return "names no absolute path", use
		}
		return "", ""
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "is no address", use
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "has no port number", use
	}
	return "", ""
}

func (c *checker) edge(at string, e *Edge, seen taken) {
	if e.ID == "" {
		c.fail(at+".id", "", "is missing", "use the name that bindings have in spec.edge")
	} else {
		if strings.ContainsAny(e.ID, "/ \t\n") {
			c.fail(at+".id", e.ID, "has a slash or a space", "use a name without")
		}
		c.once(seen, "id", at+".id", e.ID)
	}
	c.target(at+".target", &e.Target, seen)
	if _, ok := tunnels()[e.Tunnel]; !ok {
		c.fail(at+".tunnel", e.Tunnel, "is no encapsulation", "use vxlan, geneve or gre")
	}
	if len(e.VTEPs) == 0 {
		c.fail(at+".vteps", "", "is missing", "list the edge's tunnel addresses, which the underlay routes to its uplinks")
	}
	for i, a := range e.VTEPs {
		field := fmt.Sprintf("%s.vteps[%d]", at, i)
		c.host(field, a)
		c.once(seen, "vtep", field, a.String())
		if !slices.ContainsFunc(e.Uplinks, func(u Uplink) bool { return hasFamily(u.Gateways, a) }) && len(e.Uplinks) > 0 {
			c.fail(field, a.String(), "has no uplink with a gateway of its IP family", "add one to gateways of an uplink")
		}
	}
	if len(e.Uplinks) == 0 {
		c.fail(at+".uplinks", "", "is missing", "describe the edge's links to the underlay")
	}
	for i := range e.Uplinks {
		c.uplink(fmt.Sprintf("%s.uplinks[%d]", at, i), e.ID, &e.Uplinks[i], seen)
	}
	if e.Multicast.IsValid() {
		c.multicast(at+".multicast", e)
	}
	c.interfaces(at+".interfaces", e)
	c.gnmi(at+".gnmi", e)
	if e.VPortShare < 1 || e.VPortShare > 100 {
		c.fail(at+".vportShare", strconv.Itoa(int(e.VPortShare)), "is no share", "use 1 to 100 percent")
	}
	if e.MACAge < 15 || e.MACAge > 60 {
		c.fail(at+".macAge", strconv.FormatUint(uint64(e.MACAge), 10), "is out of range", "use 15 to 60 seconds")
	}
	if e.CounterInterval < 1 || e.CounterInterval > 3600 {
		c.fail(at+".counterInterval", strconv.FormatUint(uint64(e.CounterInterval), 10), "is out of range", "use 1 to 3600 seconds")
	}
	c.vpn(at+".vpn", e)
	t := &e.Connections
	for _, x := range []struct {
		name    string
		seconds uint32
	}{{"tcpOpening", t.TCPOpening}, {"tcpEstablished", t.TCPEstablished}, {"tcpClosed", t.TCPClosed}, {"single", t.Single}, {"both", t.Both}} {
		if x.seconds > maxTimeout {
			c.fail(at+".connections."+x.name, strconv.FormatUint(uint64(x.seconds), 10), "is out of range", "use up to 30 days, 2592000 seconds; 0 is the default")
		}
	}
	if t.AwayAfter > maxAwayAfter {
		c.fail(at+".connections.awayAfter", strconv.FormatUint(uint64(t.AwayAfter), 10), "is out of range", "use 1 to 60 seconds; 0 is the default")
	}
	if t.BlockTime != 0 && (t.BlockTime < minBlockTime || t.BlockTime > maxBlockTime) {
		c.fail(at+".connections.blockTime", strconv.FormatUint(uint64(t.BlockTime), 10), "is out of range", "use 30 seconds to a day, 86400; 0 is the default")
	}
	switch s := bgp.Stack(e.BGP.Stack); s {
	case bgp.Auto, bgp.Kernel, bgp.Userspace:
	default:
		c.fail(at+".bgp.stack", e.BGP.Stack, "is no TCP/IP stack", "use kernel or userspace; left out: the kernel's if the agent may make a network namespace")
	}
	c.caches(at+".bgp.rpki", e.BGP.RPKI)
}

// caches checks RPKI caches.
func (c *checker) caches(at string, list []RPKI) {
	if len(list) > rpki.MaxCaches {
		c.fail(at, strconv.Itoa(len(list)), "are too many", fmt.Sprintf("use %d at most", rpki.MaxCaches))
	}
	first := map[string]int{}
	for i, r := range list {
		field := fmt.Sprintf("%s[%d]", at, i)
		c.all(field+".tls", r.TLS.problems())
		host, port, err := net.SplitHostPort(r.Address)
		n, _ := strconv.ParseUint(port, 10, 16)
		if other, twice := first[r.Address]; twice {
			c.fail(field+".address", r.Address, fmt.Sprintf("is that of %s[%d] too", at, other), "list each cache once")
		} else if err != nil || host == "" || n == 0 {
			c.fail(field+".address", r.Address, "is no address of a cache", `use HOST:PORT, such as rpki.example.net:323 or "[2001:db8::1]:3323"`)
		}
		first[r.Address] = i
	}
}

// minSets is how many sets of vports a range of multicast addresses has room for, at least.
const minSets = 256

// multicast checks the range of addresses for sets of vports: of routed groups for which anybody may send.
func (c *checker) multicast(field string, e *Edge) {
	p := e.Multicast
	switch first := p.Addr(); {
	case !first.IsMulticast() || p != p.Masked() || first.Is4() && p.Bits() < 4 || first.Is6() && p.Bits() < 16:
		c.fail(field, p.String(), "is no range of multicast addresses", `use one such as 239.192.0.0/14 or "ff05::/104"`)
	case p.Bits() > first.BitLen()-8:
		c.fail(field, p.String(), fmt.Sprintf("has less than %d addresses", minSets), "each bridge takes one, by its id: use a range of as many addresses as ids are used, such as 239.192.0.0/14")
	case p.Overlaps(netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 24)), first.Is6() && first.As16()[1]&15 < 3:
		c.fail(field, p.String(), "has addresses that do not leave a link", `use one such as 239.192.0.0/14 or "ff05::/104"`)
	case p.Overlaps(netip.PrefixFrom(netip.AddrFrom4([4]byte{232}), 8)), first.Is6() && first.As16()[1]>>4 == 3:
		c.fail(field, p.String(), "has addresses for one source (RFC 4607)", `use one such as 239.192.0.0/14 or "ff05::/104"`)
	case !hasFamily(e.VTEPs, first):
		c.fail(field, p.String(), "is of an IP family that the edge has no tunnel address of", "add one to vteps, or use a range of the other family")
	}
}

// Limits of what holds while the database is away, in seconds.
const (
	maxAwayAfter = 60
	minBlockTime = 30
	maxBlockTime = 24 * 3600
)

// maxTimeout is the longest that a connection is remembered without a packet, in seconds.
const maxTimeout = 30 * 24 * 3600

func (c *checker) target(at string, t *Target, seen taken) {
	if t.Address == "" {
		c.fail(at+".address", "", "is missing", "use the HOST:PORT or unix:/PATH of the target's P4Runtime server")
	} else if problem, hint := addressProblem(t.Address); problem != "" {
		c.fail(at+".address", t.Address, problem, hint)
	} else {
		c.once(seen, "target", at, fmt.Sprintf("device %d at %s", t.DeviceID, t.Address))
	}
	if p := p4rt.DPDK(); t.Profile == p.Name {
		c.fail(at+".profile", t.Profile, "carries no packets between the target and an agent", "see docs/hardware.md, \"The program for DPDK\"")
	} else if _, ok := profiles()[t.Profile]; !ok {
		c.fail(at+".profile", t.Profile, "is no kind of target", "use softswitch, bmv2, stratum or strict")
	}
	if t.CPUPort > offload.CPUPort { // 511 is where drops go, and a port has 9 bits
		c.fail(at+".cpuPort", strconv.Itoa(int(t.CPUPort)), "is no port", fmt.Sprintf("use 1 to %d", offload.CPUPort))
	}
	if _, ok := parseElection(t.ElectionID); !ok {
		c.fail(at+".electionID", t.ElectionID, "is no election id", "use a number from 1, or HIGH.LOW")
	}
	c.all(at+".tls", t.TLS.problems())
	c.pipeline(at+".pipeline", &t.Pipeline)
}

func (c *checker) pipeline(at string, p *Pipeline) {
	const hint = "name both files that the target's compiler made of p4src, or leave pipeline out"
	switch {
	case *p == Pipeline{}:
	case p.P4Info == "":
		c.fail(at+".p4info", "", "is missing", hint)
	case p.DeviceConfig == "":
		c.fail(at+".deviceConfig", "", "is missing", hint)
	default:
		if _, err := p.Load(); err != nil {
			c.fail(at, "", "can't be used: "+err.Error(), hint)
		}
	}
}

// Election is the election id as P4Runtime has it.
func (t *Target) Election() (p4rt.ElectionID, error) {
	id, ok := parseElection(t.ElectionID)
	if !ok {
		return id, fmt.Errorf("%q is no election id; use a number from 1, or HIGH.LOW", t.ElectionID)
	}
	return id, nil
}

// parseElection reads LOW or HIGH.LOW. Zero would never be primary (P4Runtime Specification 5.2).
func parseElection(text string) (p4rt.ElectionID, bool) {
	high, low, both := strings.Cut(text, ".")
	if !both {
		high, low = "0", text
	}
	h, err1 := strconv.ParseUint(high, 10, 64)
	l, err2 := strconv.ParseUint(low, 10, 64)
	id := p4rt.ElectionID{High: h, Low: l}
	return id, err1 == nil && err2 == nil && id != p4rt.ElectionID{}
}

func (c *checker) uplink(at, edge string, u *Uplink, seen taken) {
	if u.Port == 0 {
		c.fail(at+".port", "", "is missing", fmt.Sprintf("use %d to %d", offload.FirstUnderlay, offload.LastUnderlay))
	} else if u.Port < offload.FirstUnderlay || u.Port > offload.LastUnderlay {
		c.fail(at+".port", strconv.Itoa(int(u.Port)), "is no underlay port", fmt.Sprintf("use %d to %d", offload.FirstUnderlay, offload.LastUnderlay))
	}
	c.once(seen, "edge "+edge+" port", at+".port", strconv.Itoa(int(u.Port)))
	if !u.MAC.IsUnicast() {
		c.fail(at+".mac", macText(u), "is not the MAC of one station", "use that of the port, such as 02:00:00:00:00:01")
	}
	if u.MTU < minUnderlayMTU {
		c.fail(at+".mtu", strconv.Itoa(int(u.MTU)), "leaves too little for a tenant's packet", fmt.Sprintf("use %d or more", minUnderlayMTU))
	}
	if len(u.Addresses) == 0 {
		c.fail(at+".addresses", "", "is missing", "list the port's own addresses on the link")
	}
	for i, a := range u.Addresses {
		c.host(fmt.Sprintf("%s.addresses[%d]", at, i), a)
	}
	if len(u.Gateways) == 0 {
		c.fail(at+".gateways", "", "is missing", "list the router's addresses on the link, one a family")
	}
	for i, a := range u.Gateways {
		field := fmt.Sprintf("%s.gateways[%d]", at, i)
		c.host(field, a)
		switch {
		case hasFamily(u.Gateways[:i], a):
			c.fail(field, a.String(), "is a second gateway of its IP family", "use one a family")
		case slices.Contains(u.Addresses, a):
			c.fail(field, a.String(), "is the port's own address", "use the router's")
		case !hasFamily(u.Addresses, a):
			c.fail(field, a.String(), "is of an IP family that the port has no address of", "add one to addresses")
		}
	}
}

// minUnderlayMTU carries a tenant's IPv6 packet of the least MTU (RFC 8200: 1280 bytes) over IPv6.
const minUnderlayMTU = 1350

func macText(u *Uplink) string {
	if u.MAC.IsZero() {
		return ""
	}
	return u.MAC.String()
}

func hasFamily(list []netip.Addr, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(o netip.Addr) bool { return o.Is4() == a.Is4() })
}

func (c *checker) host(field string, a netip.Addr) {
	if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() || a.Is4In6() || a.Zone() != "" || a.IsLoopback() {
		c.fail(field, a.String(), "is not the address of one host", "use one such as 192.0.2.1 or 2001:db8::1")
	}
}

func (c *checker) interfaces(at string, e *Edge) {
	ports := map[uint16]string{}
	names := make([]string, 0, len(e.Interfaces))
	for name := range e.Interfaces {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		port := e.Interfaces[name]
		field, value := at+"."+name, strconv.Itoa(int(port))
		if n, err := strconv.ParseUint(name, 10, 16); err == nil && n != uint64(port) {
			c.fail(field, value, "is another port than the one that its name says", "use a name that is no number")
		}
		if port >= offload.FirstUnderlay {
			c.fail(field, value, "is no access port", fmt.Sprintf("use 0 to %d", offload.FirstUnderlay-1))
		}
		if other, ok := ports[port]; ok {
			c.fail(field, value, "is the port of interface "+other+" too", "give each its own")
		}
		ports[port] = name
	}
}
