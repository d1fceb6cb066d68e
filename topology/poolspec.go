package topology

import (
	"net/netip"
	"time"
)

// PoolSpec is a set of servers that share what is sent to a virtual address (N4): dnat rules name it.
type PoolSpec struct {
	Members []MemberSpec `json:"members,omitempty"`
	Method  string       `json:"method,omitempty"` // hash (default): of the connection; source: of the client's address; roundRobin, leastConnections: by edge
	Sticky  *StickySpec  `json:"sticky,omitempty"`
	Monitor *MonitorSpec `json:"monitor,omitempty"`
}

// MemberSpec is a server of a pool. Members of both IP versions may be in one pool: a packet goes to one of its own.
type MemberSpec struct {
	Address    netip.Addr `json:"address"`
	Port       uint16     `json:"port,omitempty"`      // 0: that of the packet
	Weight     uint8      `json:"weight,omitempty"`    // share among the members; 0: 1
	Drain      bool       `json:"drain,omitempty"`     // it gets no new connections, and keeps those that it has
	DrainUntil time.Time  `json:"drainUntil,omitzero"` // the same until then; what connections are left then are ended
}

// StickySpec has a client's connections go to the member that its last one went to.
type StickySpec struct {
	Timeout uint32 `json:"timeout"` // seconds behind the last connection that began
}

// MonitorSpec tells how to find out which members are alive.
type MonitorSpec struct {
	Type     string `json:"type"`               // icmp, tcp, http
	Port     uint16 `json:"port,omitempty"`     // tcp, http: where; 0: the member's
	Path     string `json:"path,omitempty"`     // http: what is asked for; default /
	Interval uint32 `json:"interval,omitempty"` // seconds from one probe of a member to the next; default 5
	Timeout  uint32 `json:"timeout,omitempty"`  // seconds that a member has for an answer; default 2, or the interval if that is less
	Rise     uint8  `json:"rise,omitempty"`     // answers in a row after which a member is up; default 2
	Fall     uint8  `json:"fall,omitempty"`     // probes without answer in a row after which it is down; default 3
	Source   string `json:"source"`             // router port from whose addresses members are probed
}

func (*PoolSpec) kind() Kind { return KindPool }
