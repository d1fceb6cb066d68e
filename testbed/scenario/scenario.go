// Package scenario reads and runs the txtar scenarios of weft lab run: a network, hosts and
// steps (ping, transfer, move, look at flows and counters) in one file. docs/lab.md is the
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
	Steps   []Step
	Files   map[string][]byte // the whole archive, for apply
}

// Edge is one line of the edges file.
type Edge struct {
	Name   string
	Encap  string // vxlan, geneve, gre; empty: the lab's default
	Family int    // of the underlay: 4, 6; 0: the lab's default
	MTU    int    // of its underlay link; 0: the fabric's default
	Line   int
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

// Step is one line of the comment section.
type Step struct {
	Line int
	Text string
	Fail bool // "!" before bind or apply: it must be refused. Others have it in their Outcome, or in Absent
	Op   Op
}

// Op is one of Ping, TCP, HTTP, UDP, Raw, Expect, Bind, Link, Apply, Flows, Counters.
type Op interface {
	// run does the operation; nil means that it did what the step says.
	run(ctx context.Context, lab Lab) error
	// within is the time that the operation has.
	within() time.Duration
}

// Target is a host by name, or an address, with a port where the operation has one.
type Target struct {
	Host string     // empty: Addr is set
	Addr netip.Addr // invalid: Host is set
	Port uint16
}

// Family restricts an operation on a host name to one IP version.
type Family uint8

// Families: Both means each that source and target have in common, one after the other.
const (
	Both Family = 0
	IPv4 Family = 4
	IPv6 Family = 6
)

// Outcome is how a network operation is to end, for each address that it is done for: well,
// badly, or with an ICMP error.
type Outcome struct {
	Fail   bool        // "!": in any failure
	Errors []host.Kind // any of these; none: it must succeed
	By     netip.Addr  // who must have sent the error; invalid: anybody
}

// Ping is "ping FROM TO [count=] [size=] [ttl=] [df] [family=] [error=] [by=] [within=]".
type Ping struct {
	From         string
	To           Target
	Count        int
	Size         int // payload in bytes; 0: the host's default
	TTL          uint8
	DontFragment bool
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
}

// HTTP is "http FROM TO[:PORT] [bytes=] …": a download that is checked by hash.
type HTTP TCP

// UDP is "udp FROM TO:PORT [count=] [size=] …": datagrams to an echo service and back.
type UDP struct {
	From    string
	To      Target
	Count   int
	Size    int
	Family  Family
	Outcome Outcome
	Within  time.Duration
}

// Raw is "raw HOST FILE [count=]": frames as they are. It begins a new observation for
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

// Bind is "bind VPORT|HOST EDGE[:INTERFACE]": the vport moves, and its host with it.
type Bind struct {
	What      string
	Edge      string
	Interface string
	Within    time.Duration
}

// Link is "link EDGE up|down|loss=SHARE": the edge's underlay link.
type Link struct {
	Edge   string
	Up     bool
	Loss   float64 // 0 to 1
	Within time.Duration
}

// Apply is "apply FILE": a change of the network.
type Apply struct {
	File   string
	Data   []byte
	Within time.Duration
}

// Flows is "flows EDGE [like=TEXT] [min=] [max=] [within=]": the edge comes to hold that many
// flow entries (of those that contain TEXT).
type Flows struct {
	Edge     string
	Like     string
	Min, Max int // Max -1: no bound
	Within   time.Duration
}

// Counters is "counters EDGE|HOST|fabric NAME OP VALUE [within=]".
type Counters struct {
	Of     string
	Name   string
	Op     Comparison
	Value  uint64
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
