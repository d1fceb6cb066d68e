package client

import (
	"net/netip"
	"time"
)

// States of an edge.
const (
	EdgeCurrent  = "current"
	EdgeBehind   = "behind"
	EdgeLacking  = "lacking"
	EdgeAway     = "away"
	EdgeNoTarget = "no target"
)

// Edge is an edge that is known, or that a binding names.
type Edge struct {
	ID      string   `json:"id"`
	State   string   `json:"state"`           // current, lacking, behind, no target, or away (known or named by bindings, and not live)
	Applied int64    `json:"applied"`         // revision that it has acknowledged
	Wanted  int64    `json:"wanted"`          // revision of the last change of the network
	VPorts  int      `json:"vports"`          // bound there
	VTEPs   []string `json:"vteps,omitempty"` // tunnel addresses
	Encaps  []string `json:"encaps,omitempty"`
	// Multicast is the range of the underlay's addresses by which it takes what is for all ports of a bridge.
	Multicast string   `json:"multicast,omitempty"`
	MTU       int      `json:"mtu,omitempty"` // of its underlay, bytes of IP
	Version   string   `json:"version,omitempty"`
	Status    string   `json:"status,omitempty"` // where its agent's status server is
	Lacks     []string `json:"lacks,omitempty"`  // what it can not do, and why
	Target    string   `json:"target,omitempty"` // why its target can not be programmed
	// Agents are those that may act for it, if that are several: the one that does first.
	Agents []EdgeAgent `json:"agents,omitempty"`
}

// Roles of an agent.
const (
	RoleActive  = "active"
	RoleStandby = "standby"
)

// EdgeAgent is one of the agents of an edge.
type EdgeAgent struct {
	Name    string    `json:"name"`
	Role    string    `json:"role"`  // active or standby
	Since   time.Time `json:"since"` // by its own clock
	Version string    `json:"version,omitempty"`
	Status  string    `json:"status,omitempty"` // where its status server is
}

// Lease is an address that DHCP has leased.
type Lease struct {
	Resource string `json:"resource"` // DHCP resource, TENANT/NAME
	Address  string `json:"address"`
	Use      string `json:"use"` // offered, bound or declined
	MAC      string `json:"mac"`
	VPort    string `json:"vport"`    // where the host is, TENANT/NAME
	Left     int64  `json:"left"`     // seconds until the address is free, unless the host renews it
	Reserved bool   `json:"reserved"` // the address is kept for the host
}

// Connection is a connection that is tracked.
type Connection struct {
	Protocol    string   `json:"protocol"`
	Source      string   `json:"source"` // of its first packet, as that enters the network; with port
	Destination string   `json:"destination"`
	Enters      string   `json:"enters"` // the device that it enters, TENANT/NAME
	Leaves      string   `json:"leaves"` // and that it leaves
	State       string   `json:"state"`
	Becomes     []string `json:"becomes,omitempty"` // source and destination behind each translation
	Forward     []string `json:"forward,omitempty"` // edges of the process that has the flow of the first packet's direction
	Return      []string `json:"return,omitempty"`
}

// FDBEntry is where a bridge knows a MAC to be.
type FDBEntry struct {
	Bridge string `json:"bridge"` // TENANT/NAME
	MAC    string `json:"mac"`
	VPort  string `json:"vport"`            // behind which it is, TENANT/NAME
	Seeded bool   `json:"seeded,omitempty"` // by the bridge's spec: learning does not change it
}

// Neighbour is the MAC at which a bridge or a port of a router knows an address.
type Neighbour struct {
	Device  string     `json:"device"`          // bridge or router, and TENANT/NAME
	VPort   string     `json:"vport,omitempty"` // of a router
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac,omitempty"` // none: it was asked for, and nobody has answered
	Seeded  bool       `json:"seeded,omitempty"`
}

// Route is a route of a router.
type Route struct {
	Router  string       `json:"router"` // TENANT/NAME
	Dst     netip.Prefix `json:"dst"`
	Src     netip.Prefix `json:"src,omitzero"`
	Via     netip.Addr   `json:"via,omitzero"`
	VPort   string       `json:"vport,omitempty"` // by which packets leave
	Kind    string       `json:"kind"`            // port, reject, blackhole, local, no host
	Origin  string       `json:"origin"`          // local, static, connected or bgp
	Weight  uint8        `json:"weight,omitempty"`
	Metric  uint64       `json:"metric,omitempty"` // of bgp: how little it is wanted
	InForce bool         `json:"inForce"`          // packets take it; others of the prefix are better if not
}

// Member is how a member of a pool is.
type Member struct {
	Pool    string     `json:"pool"` // TENANT/NAME
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`
	State   string     `json:"state"` // up, down or not probed yet
	Why     string     `json:"why,omitempty"`
	Drains  bool       `json:"drains,omitempty"`
	Drained bool       `json:"drained,omitempty"`
}

// Tally counts packets, and their bytes as they came in.
type Tally struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Usage is what was accounted of a vport, of a link, or of a tenant's vports. It never decreases.
type Usage struct {
	Tenant string    `json:"tenant"`
	VPort  string    `json:"vport,omitempty"` // TENANT/NAME
	Link   string    `json:"link,omitempty"`  // TENANT/NAME of the port at the link's other end
	In     Tally     `json:"in"`              // vport: sent; link: came in by the vport, from the other end; tenant: sent by all its exterior vports
	Out    Tally     `json:"out"`             // vport, tenant: delivered; link: nothing
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Rate   uint64    `json:"rate,omitempty"` // that is set of the vport, or of the link, in bits a second; none: no limit
}

// Rate is a rate that is set, of an exterior vport or of a link one way, in bits a second (Q1).
type Rate struct {
	VPort  string      `json:"vport"`            // TENANT/NAME; of a link: by which packets come in from the other end
	Link   string      `json:"link,omitempty"`   // TENANT/NAME of the port at the link's other end; none: it is of what the vport's host sends, and of what it is sent
	Rate   uint64      `json:"rate"`             // of all edges together
	Shares []RateShare `json:"shares,omitempty"` // of the edges that use the link now, in order
}

// RateShare is what an edge may send over a link that has a rate.
type RateShare struct {
	Edge  string `json:"edge"`
	Share uint64 `json:"share"` // bits a second
	Wants uint64 `json:"wants"` // by what it saw lately
}

// RuleHits is how many packets met a rule of a chain, over all edges. It never decreases while there is the rule.
type RuleHits struct {
	Chain  string `json:"chain"`  // TENANT/NAME
	Rule   string `json:"rule"`   // its name, #3 of the third without one, or (default): none was met
	Action string `json:"action"` // of the rule, or of the chain's default
	Tally
}

// LoggedEvent is something that happened, as often as it did lately.
type LoggedEvent struct {
	First   time.Time   `json:"first"` // by the clock of the source
	Last    time.Time   `json:"last"`
	Count   uint64      `json:"count"`
	Type    string      `json:"type"` // Normal or Warning
	Reason  string      `json:"reason"`
	Object  EventObject `json:"object"`
	Message string      `json:"message"`
	Source  string      `json:"source"` // the edge, or process, that tells it
}

// EventObject is what an event is about.
type EventObject struct {
	Kind   string `json:"kind"`
	Tenant string `json:"tenant,omitempty"`
	Name   string `json:"name"`
}
