package vpn

import (
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// State is where a VPN stands at an edge.
type State string

// States.
const (
	Up      State = "up"      // held here, and a peer has answered within the last three minutes
	Calling State = "calling" // held here, and no peer has
	Standby State = "standby" // another edge holds it, and this one would if that did not
	Down    State = "down"    // see Problem
)

// Status is how a VPN is at an edge that may have it.
type Status struct {
	VPN     string    `json:"vpn"` // TENANT/NAME
	Type    string    `json:"type"`
	VPort   string    `json:"vport"`
	State   State     `json:"state"`
	Problem string    `json:"problem,omitempty"`
	Holder  string    `json:"holder,omitempty"` // the edge that has it; empty: none
	Since   time.Time `json:"since,omitzero"`   // when it took it, by its clock
	// PublicKey is this end's, in base64; empty: none was made yet.
	PublicKey string `json:"public_key,omitempty"`
	Transport string `json:"transport"` // node, or the public port
	MTU       uint16 `json:"mtu"`
	Peers     []Peer `json:"peers,omitempty"` // of the holder
	Drops     Drops  `json:"drops"`           // since the edge's agent began
	Takeovers uint64 `json:"takeovers"`       // how often this edge took it since its agent began
}

// TransportOf says by which way a VPN's encrypted packets go: node, or the public port.
func TransportOf(site *topology.VPN) string {
	if site.Public != nil {
		return site.Public.Name
	}
	return "node"
}

// Peer is how a remote end is.
type Peer struct {
	Name      string         `json:"name"`
	PublicKey string         `json:"public_key"`
	Endpoint  netip.AddrPort `json:"endpoint,omitzero"`   // where it was last
	Connected bool           `json:"connected,omitempty"` // its daemon and this end's hear each other: of OpenVPN and IPsec
	Problem   string         `json:"problem,omitempty"`   // what this end's daemon last complained about, until it connected
	Handshake time.Time      `json:"handshake,omitzero"`  // the last one that was completed; zero: none
	Received  uint64         `json:"received_bytes"`
	Sent      uint64         `json:"sent_bytes"`

	daemon bool // Connected says whether it is alive
}

// alive is how long a peer's keys hold: without another handshake it is gone (REJECT_AFTER_TIME).
const alive = 3 * time.Minute

// Alive reports whether the peer has answered lately.
func (p *Peer) Alive(now time.Time) bool {
	if p.daemon {
		return p.Connected
	}
	return !p.Handshake.IsZero() && now.Sub(p.Handshake) < alive
}
