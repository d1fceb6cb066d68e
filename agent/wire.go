package agent

import (
	"net/netip"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/state"
)

// Paths of the status API. All are read by GET; there is nothing to write.
const (
	pathFlows      = "/v1/flows"      // ?edge=ID: of that edge alone
	pathDrops      = "/v1/drops"      // the same
	pathBGP        = "/v1/bgp"        // the same
	pathInterfaces = "/v1/interfaces" // the same
	pathRoutes     = "/v1/bgp/routes" // ?session=TENANT/NAME, and &edge=ID, &sent=true, &rejected=true, &prefix=PREFIX or ADDRESS
	pathRPKI       = "/v1/bgp/rpki"   // ?edge=ID
	pathVPN        = "/v1/vpn"        // the same
	pathStats      = "/v1/stats"
	pathEdges      = "/v1/edges"
	pathHealth     = "/healthz" // the process serves
	pathReady      = "/readyz"  // all edges do
	pathMetrics    = "/metrics" // Prometheus
)

// Named is a vport or a group: its number, and the name that it has in the network.
type Named struct {
	ID   uint32 `json:"id"`
	Name string `json:"name"`
}

// Flow is an installed flow.
type Flow struct {
	Edge       string   `json:"edge"`
	VPort      Named    `json:"vport"`            // where its packets come in
	Match      string   `json:"match"`            // the rest of the pattern
	Guards     string   `json:"guards,omitempty"` // what each packet must meet besides
	Action     string   `json:"action"`           // forward, drop or punt
	To         *Named   `json:"to,omitempty"`     // of forward
	At         []string `json:"at,omitempty"`     // where that is: EDGE:INTERFACE, or EDGE:INTERFACE.VLAN; several of a group
	Rewrite    string   `json:"rewrite,omitempty"`
	Lane       string   `json:"lane"` // class, exact, wild or wild-l2
	Packets    uint64   `json:"packets"`
	Bytes      uint64   `json:"bytes"`
	AgeSeconds float64  `json:"age_seconds"`
	Depends    []string `json:"depends,omitempty"` // what the decision relied on
}

// Drop is how many packets were dropped for one reason since the edge's agent started.
type Drop struct {
	Edge string `json:"edge"`
	// VPort is whose packets they were; nil: From tells where they came from, and the edge's target has counted them since it was programmed.
	VPort   *Named `json:"vport,omitempty"`
	From    string `json:"from,omitempty"` // vports, underlay, agent or egress
	Reason  string `json:"reason"`
	Packets uint64 `json:"packets"`
}

// DropList is the answer of /v1/drops.
type DropList struct {
	Drops  []Drop      `json:"drops"`
	Errors []EdgeError `json:"errors,omitempty"`
}

// BGPSession is a BGP session that an edge carries out, or is to.
type BGPSession struct {
	Edge string `json:"edge"` // empty: none is to
	bgp.Status
}

// BGPList is the answer of /v1/bgp.
type BGPList struct {
	Sessions []BGPSession `json:"sessions"`
	Errors   []EdgeError  `json:"errors,omitempty"`
}

// RouteList is the answer of /v1/bgp/routes: what the neighbour of a session tells, or is told, by prefix. It is sent route by route.
type RouteList struct {
	Edge    string      `json:"edge"`
	Session string      `json:"session"`
	Routes  []bgp.Route `json:"routes"`
}

// SessionRoute is what the neighbour of a session tells, or is told, of a prefix.
type SessionRoute struct {
	Edge    string `json:"edge"`
	Session string `json:"session"`
	bgp.Route
}

// RPKICache is a cache of an edge.
type RPKICache struct {
	Edge string `json:"edge"`
	rpki.CacheStatus
}

// RPKIList is the answer of /v1/bgp/rpki.
type RPKIList struct {
	Caches []RPKICache `json:"caches"`
	Errors []EdgeError `json:"errors,omitempty"`
}

// RouteQuery is which routes are asked for.
type RouteQuery struct {
	Session  string // TENANT/NAME
	Edge     string // empty: whichever carries the session out
	Sent     bool   // what the neighbour is told, else what it tells
	Rejected bool   // of what it tells, what is no route of the router
	Prefix   string // a prefix, with what is within it, or an address, with what covers it; empty: all
}

// EdgeError is what kept an edge from answering.
type EdgeError struct {
	Edge  string `json:"edge"`
	Error string `json:"error"`
}

// FlowList is the answer of /v1/flows.
type FlowList struct {
	Flows   []Flow      `json:"flows"`
	Evicted []Eviction  `json:"evicted,omitempty"`
	Errors  []EdgeError `json:"errors,omitempty"`
}

// Eviction is how many flows of an edge made room since its agent started, for one reason (E5).
type Eviction struct {
	Edge   string `json:"edge"`
	Reason string `json:"reason"` // share, table, limit
	Why    string `json:"why"`
	Flows  uint64 `json:"flows"`
}

// EdgeStats are the counts of one edge's agent since it started.
type EdgeStats struct {
	Edge  string       `json:"edge"`
	Stats engine.Stats `json:"stats"`
}

// StatsList is the answer of /v1/stats.
type StatsList struct {
	Edges []EdgeStats `json:"edges"`
}

// EdgeState is where an edge of this process stands.
type EdgeState string

// States of an edge.
const (
	NoDatabase EdgeState = "no database" // it was not reached yet
	NoTarget   EdgeState = "no target"   // no connection, or another controller is primary
	NotLive    EdgeState = "not live"    // the target is programmed; the database does not have the edge, or does not answer
	Serving    EdgeState = "serving"
	Standby    EdgeState = "standby" // another agent acts for the edge; this one would if that did not
	Stopped    EdgeState = "stopped" // another process took the edge
	Restarting EdgeState = "restarting"
)

// EdgeStatus is what the process knows of one edge.
type EdgeStatus struct {
	ID      string    `json:"id"`
	State   EdgeState `json:"state"`
	Error   string    `json:"error,omitempty"`
	Target  string    `json:"target"`
	Applied int64     `json:"applied"` // revision that it has acknowledged
	Wanted  int64     `json:"wanted"`  // revision of the last change of the network
	Flows   uint64    `json:"flows"`   // installed
	// Lacks is what of the network it can not do, and why.
	Lacks []state.Lack `json:"lacks,omitempty"`
	// Silent are the gateways of uplinks that never answered ARP or ND: nothing goes to other edges by them.
	Silent []netip.Addr `json:"silent_gateways,omitempty"`
}

// EdgeList is the answer of /v1/edges.
type EdgeList struct {
	Version string       `json:"version"`
	Edges   []EdgeStatus `json:"edges"`
}
