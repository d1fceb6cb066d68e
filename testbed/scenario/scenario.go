// Package scenario reads and runs the txtar scenarios of weft lab run: a network, hosts and
// steps (ping, transfer, move, look at flows and counters) in one file. docs/scenarios.md is the
// format.
package scenario

import (
	"context"
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// The archive's files that have a meaning of their own.
const (
	NetworkFile = "network.yaml"
	HostsFile   = "hosts"
	EdgesFile   = "edges"
)

// Scenario is a parsed file.
type Scenario struct {
	Name    string // of the file
	Network []byte // network.yaml: objects as for weft apply, not interpreted here
	Edges   []Edge
	Hosts   []Host
	Remotes []Remote
	Legs    []Leg             // in order; steps outside legs are in one without a name
	Files   map[string][]byte // the whole archive, for apply
}

// Leg is "leg NAME ['TEXT'] [family=] [fast=]" with the steps up to the next leg or "end".
type Leg struct {
	Name   string  // empty: steps outside legs, which are done once and for both families
	Text   string  // what it shows, for people
	Family Family  // Both: run once for IPv4, then once for IPv6
	Fast   float64 // least share of the packets that must stay on the fast path; 0: none
	Steps  []Step
	Line   int
}

// Edge is one line of the edges file.
type Edge struct {
	Name   string
	Encap  string // vxlan, geneve, gre; empty: the lab's default
	Family int    // of the underlay: 4, 6; 0: the lab's default
	MTU    int    // of its underlay links; 0: the fabric's default
	// Uplinks and VTEPs are how many underlay links and tunnel addresses it has; 0: one.
	Uplinks, VTEPs int
	// Multicast is the range of the underlay's multicast addresses by which it takes frames for sets of vports; the zero Prefix: none.
	Multicast netip.Prefix
	Telemetry bool // its agent follows the target's links by gNMI
	Line      int
}

// Host is one line of the hosts file. What is left out comes from the vport in the network.
type Host struct {
	Name      string
	VPort     string // tenant/name
	Edge      string // where it is plugged in; empty: by the network's binding
	Interface string
	VLAN      uint16
	MAC       [6]byte // zero: the vport's
	Addrs     []netip.Prefix
	Gateways  []netip.Addr
	Routes    []host.Route
	MTU       int
	Line      int
}

// Remote is a host that is the remote office of a VPN: behind WireGuard, whose packets another host has.
type Remote struct {
	Name string
	VPN  string // TENANT/NAME
	Peer string // of the VPN's; empty: its only one
	Via  string // the host that sends and receives the encrypted packets
	Line int
}

// Step is one line of the comment section.
type Step struct {
	Line int
	Text string
	Fail bool // "!" before bind or apply: it must be refused. Others have it in their Outcome, or in Absent
	Op   Op
}

// Op is one of Ping, Traceroute, TCP, HTTP, UDP, Raw, Expect, Sweep, Forge, Quiet, Bind, Link, BGP, Apply, Flows, Counters, Mark, Trace, Start, Finish.
type Op interface {
	// run does the operation; nil means that it did what the step says.
	run(ctx context.Context, r *run) error
	// within is the time that the operation has.
	within() time.Duration
}

// Target is a host by name, or an address, with a port where the operation has one.
type Target struct {
	Host string     // empty: Addr is set
	Addr netip.Addr // invalid: Host is set
	Port uint16
}

// Outcome is how a network operation is to end, for each address that it is done for: well,
// badly, or with an ICMP error.
type Outcome struct {
	Fail   bool         // "!": in any failure
	Errors []host.Kind  // any of these; none: it must succeed
	By     []netip.Addr // one of them must have sent the error; none: anybody
}

// Ping is "ping FROM TO [count=] [interval=] [size=] [ttl=] [df] [family=] [error=] [by=] [within=]".
type Ping struct {
	From         string
	To           Target
	Count        int
	Size         int // payload in bytes; 0: the host's default
	TTL          uint8
	DontFragment bool
	Interval     time.Duration // from one request to the next at least
	Family       Family
	Outcome      Outcome
	Within       time.Duration
}

// TCP is "tcp FROM TO:PORT [bytes=] …": a transfer that is checked by hash at its end.
type TCP struct {
	From    string
	To      Target
	Bytes   int64
	Family  Family
	Outcome Outcome
	Within  time.Duration
	Pace    host.Pace // set when it was started in the background
	Entries host.Pace // set in a leg that wants a share on the fast path: waits for the entries of the transfer before much of it is sent
}

// HTTP is "http FROM TO[:PORT] [bytes=] …": a download that is checked by hash.
type HTTP TCP

// Traceroute is "traceroute FROM TO [via=ADDRESS,…] [family=] [within=]": echo requests with growing TTL show the routers of via, in this order
// (of each family those of via that are of it), and then the target.
type Traceroute struct {
	From   string
	To     Target
	Via    []netip.Addr
	Family Family
	Within time.Duration
}

// UDP is "udp FROM TO:PORT [count=] [size=] [min=] [each=] …": datagrams to an echo service and back, each from a port of its own.
type UDP struct {
	From    string
	To      Target
	Count   int
	Size    int
	Min     int           // as many must come back; 0: all
	Each    time.Duration // that a datagram has; 0: all the time of the step
	Family  Family
	Outcome Outcome
	Within  time.Duration
}

// Raw is "raw HOST FILE [count=] [pad=]": frames as they are, with zeros behind those that are shorter than pad= says. It begins a new observation for
// expect.
type Raw struct {
	Host   string
	File   string
	Frames [][]byte
	Count  int
	Within time.Duration
}

// Expect is "expect HOST FILE [within=]": the host has received, since the last raw step, or
// receives in time, a frame like each in the file. "! expect" wants none of them.
type Expect struct {
	Host     string
	File     string
	Patterns []Pattern
	Absent   bool // "! expect"
	Within   time.Duration
}

// Sweep is "sweep HOST to=HOST|MAC [ethertypes=all|N-M] [within=]": for each EtherType a raw frame to the MAC, and one to all.
type Sweep struct {
	Host        string
	To          string  // a host, or empty: MAC
	MAC         [6]byte // zero: that of To
	First, Last uint16  // EtherTypes
	Family      Family  // run of the leg that it is for
	Within      time.Duration
}

// TunnelKind is how forged tunnel packets are made.
type TunnelKind string

// The kinds of tunnels.
const (
	VXLAN  TunnelKind = "vxlan"
	Geneve TunnelKind = "geneve"
	GRE    TunnelKind = "gre"
)

// Forge is "forge HOST vtep=EDGE|ADDRESS,… key=HOST|VPORT|N kind=vxlan|geneve|gre [count=] [family=] [within=]": the host sends tunnel packets
// to the tunnel addresses of the edge, as if it were an edge itself, with the key of another's vport: to its gateway, and to all.
type Forge struct {
	Host   string
	Edge   string // whose VTEPs, or empty: VTEPs
	VTEPs  []netip.Addr
	Victim string // host or vport whose id is the key, or empty: Key
	Key    uint32
	Kind   TunnelKind
	Count  int
	Family Family // of the packet within
	Within time.Duration
}

// Quiet is "quiet HOST… [within=]": since the leg began, none of these hosts has received a single frame, nor does within the time, which begins
// when everything that was sent is accounted for.
type Quiet struct {
	Hosts  []string
	Within time.Duration
}

// Mark is "mark": counters with +VALUE count from here.
type Mark struct{}

// Trace is "trace HOST|VPORT dst=HOST|ADDRESS [FLAG[=VALUE]…] ['like=TEXT'] [family=]": what weft trace prints for a packet, to be shown, and to
// contain the text.
type Trace struct {
	VPort  string
	To     Target   // of dst=
	Flags  []string // of weft trace, the rest
	Like   string
	Silent bool // it is not part of the report
	Family Family
	Within time.Duration
}

// Start is "start NAME STEP [rate=SIZE]": a tcp, http or ping step that goes on while later steps are done. A transfer is under way when the next step
// begins; rate= is its speed per second, and its last quarter waits for finish, so that what is between the two happens during it.
type Start struct {
	Name string
	Op   Op    // Ping, TCP or HTTP
	Rate int64 // bytes per second; 0: as fast as may be
}

// Finish is "finish NAME [within=]": a started step must end now, and well.
type Finish struct {
	Name   string
	Within time.Duration
}

// Bind is "bind VPORT|HOST EDGE[:INTERFACE]": the vport moves, and its host with it.
type Bind struct {
	What      string
	Edge      string
	Interface string
	Within    time.Duration
}

// Link is "link EDGE[:N] up|down|loss=SHARE": the edge's underlay links, or one of them; or "link EDGE/INTERFACE …": the cable of an access port.
type Link struct {
	Edge      string
	Uplink    int    // from 1; 0: all
	Interface string // in place of uplinks; empty: none
	Up        bool
	Loss      float64 // 0 to 1
	Within    time.Duration
}

// Apply is "apply FILE": a change of the network.
type Apply struct {
	File   string
	Data   []byte
	Within time.Duration
}

// Flows is "flows EDGE [like=TEXT] [fields=NAME,…] [min=] [max=] [packets=] [within=]": the edge comes to hold that many
// flow entries (of those that are like TEXT and whose match has just these fields), with so many hits together.
type Flows struct {
	Edge     string
	Like     string   // parts to be found one after the other, with * between them
	Fields   []string // of the match, in any order; nil: any
	Min, Max int      // Max -1: no bound
	Packets  uint64
	Within   time.Duration
}

// Counters is "counters EDGE|HOST|fabric NAME OP [+]VALUE [within=]".
type Counters struct {
	Of     string
	Name   string
	Op     Comparison
	Value  uint64
	Growth bool // +VALUE: since the leg began, or the last mark
	Within time.Duration
}

// Comparison is ==, !=, <, <=, > or >=.
type Comparison string

// Holds tells whether "got op want" is true.
func (c Comparison) Holds(got, want uint64) bool {
	switch c {
	case "==":
		return got == want
	case "!=":
		return got != want
	case "<":
		return got < want
	case "<=":
		return got <= want
	case ">":
		return got > want
	case ">=":
		return got >= want
	}
	return false
}
