package topology

import "net/netip"

// BGPSessionSpec is a BGP session of a router with a neighbour behind one of its exterior ports (G1): the agent of the edge where the port lives carries it out. weft bgp tells how it is.
type BGPSessionSpec struct {
	VPort             string        `json:"vport"`                       // exterior port of a router through which the session goes: learned routes lead there
	LocalAS           uint32        `json:"localAS"`                     // AS of the router; the same as the neighbour's makes it an internal session (iBGP)
	PeerAS            uint32        `json:"peerAS"`                      // AS of the neighbour
	PeerAddress       netip.Addr    `json:"peerAddress"`                 // of the neighbour; its IP version is that of the session's packets
	LocalAddress      netip.Addr    `json:"localAddress,omitzero"`       // of the router: one of the port's; default: the port's first of the IP version, or its link-local one if peerAddress is link-local
	Families          []string      `json:"families,omitempty"`          // of the routes that are exchanged: ipv4, ipv6; default: that of peerAddress. The port must have an address of each, the next hop of what is advertised
	Passive           bool          `json:"passive,omitempty"`           // the neighbour connects; default: both try
	HoldTime          uint16        `json:"holdTime,omitempty"`          // seconds without a word after which the session is lost: 3 or more; default 90
	Keepalive         uint16        `json:"keepalive,omitempty"`         // seconds from one word to the next: at most a third of holdTime; default: a third of it
	ConnectRetry      uint16        `json:"connectRetry,omitempty"`      // seconds from one attempt to connect to the next; default 10
	Multihop          uint8         `json:"multihop,omitempty"`          // of an external session with a neighbour that is not on the port's link: how many hops away it is at most, 2 to 255
	TTLSecurity       bool          `json:"ttlSecurity,omitempty"`       // of an external session: only packets are taken that came no more hops than the neighbour is away (GTSM, RFC 5082); both ends must have it
	PasswordSecret    string        `json:"passwordSecret,omitempty"`    // name of the secret, one of the tenant's that the edges have and the database does not, that segments are signed with (MD5, RFC 2385); default: they are not
	BFD               *BFDSpec      `json:"bfd,omitempty"`               // has the way to the neighbour watched by BFD (RFC 5880): when it is lost, so is the session, at once; {} will do
	RestartTime       uint16        `json:"restartTime,omitempty"`       // seconds for which the neighbour is asked to keep what the router told when it restarts gracefully (RFC 4724), and for which what was stored waits to be told again: 1 to 4095; default 120
	NoGracefulRestart bool          `json:"noGracefulRestart,omitempty"` // neither end keeps routes of the other beyond the session; default: both do if the neighbour can
	MaxPrefixes       uint32        `json:"maxPrefixes,omitempty"`       // prefixes of each family that are taken from the neighbour; 0: any number
	DefaultOriginate  bool          `json:"defaultOriginate,omitempty"`  // the neighbour is told a default route, of each family, whatever export says; one that depends on something is an entry of advertise with ifRoute
	AddPaths          bool          `json:"addPaths,omitempty"`          // the neighbour may tell several paths to a prefix (RFC 7911): the equally good ones are used together
	NoDamping         bool          `json:"noDamping,omitempty"`         // prefixes that change again and again within seconds are not held back
	MaxPrefixesAction string        `json:"maxPrefixesAction,omitempty"` // when there are more: stop (default) the session until maxPrefixes is another, restart it after a while, or warn
	MaxPrefixesIdle   uint16        `json:"maxPrefixesIdle,omitempty"`   // seconds after which restart begins the session again; default 300
	Import            []BGPRuleSpec `json:"import,omitempty"`            // which prefixes are taken from the neighbour: by the first rule that fits, none if none fits; default: all
	Export            []BGPRuleSpec `json:"export,omitempty"`            // which of advertise are told to the neighbour, in the same way; default: all
	Advertise         []BGPPrefix   `json:"advertise,omitempty"`         // prefixes that the router says it reaches
	// Redistribute is what is advertised besides, as it comes and goes: what tenants have outside.
	Redistribute []BGPRedistributeSpec `json:"redistribute,omitempty"`
}

// BGPPrefix is a prefix that is advertised.
type BGPPrefix struct {
	Prefix netip.Prefix `json:"prefix"`        // such as 203.0.113.0/24 or 2001:db8:f::/48
	MED    uint32       `json:"med,omitempty"` // how little the neighbour is to prefer this session for it; default 0
	// Communities go with the prefix: AS:VALUE (RFC 1997), AS:VALUE:VALUE (RFC 8092), no-export, no-advertise or no-peer.
	Communities []BGPCommunity `json:"communities,omitempty"`
	IfRoute     netip.Prefix   `json:"ifRoute,omitzero"`  // it is told while the router has a route to exactly this prefix, static, learned or of a link; default: always
	Prepend     uint8          `json:"prepend,omitempty"` // how often localAS stands on the path besides the once, to make it longer; 10 at most
}

// BGPRuleSpec fits prefixes within one.
type BGPRuleSpec struct {
	Action    string       `json:"action"`              // permit or deny
	Prefix    netip.Prefix `json:"prefix"`              // fits itself, and what is within it if ge or le say so
	GE        uint8        `json:"ge,omitempty"`        // least length of a prefix within it; default: the length of prefix
	LE        uint8        `json:"le,omitempty"`        // greatest length; default: the length of prefix, or with ge, that of an address
	Community BGPCommunity `json:"community,omitempty"` // of import: which the prefix has to come with; default: any, or none
	RPKI      Validity     `json:"rpki,omitempty"`      // of import: what RPKI caches have to say of the prefix and its origin (RFC 6811): valid, invalid or notFound; default: anything
	LocalPref uint32       `json:"localPref,omitempty"` // of import, with permit: how much a prefix is preferred that comes by this session, over those that come by others; default: 100, or what an internal neighbour says
}

// Validity is what RPKI caches say of a prefix and its origin (RFC 6811 section 2): valid, invalid or notFound; "" is not known, or does not matter.
type Validity string

// BGPCommunity is a community as people write it: AS:VALUE, AS:VALUE:VALUE, no-export, no-advertise, no-peer or blackhole.
type BGPCommunity string

func (*BGPSessionSpec) kind() Kind { return KindBGPSession }
