package topology

import "net/netip"

// VPNSpec makes an exterior vport a private cable to a remote site (V1): one edge at a time has the vport, and what leaves by it goes to the site through an encrypted tunnel. weft vpn tells how it is.
type VPNSpec struct {
	Type       string           `json:"type,omitempty"`       // wireguard (default), openvpn or ipsec
	VPort      string           `json:"vport"`                // private port: exterior port of a router, or of a bridge: with ethernet, or of an openvpn. It has no Binding: who holds the VPN binds it
	Edges      []string         `json:"edges,omitempty"`      // edges that compete for it; of one it is; default: every edge that can
	PublicPort string           `json:"publicPort,omitempty"` // exterior port with singleHost of a router, by whose addresses the encrypted packets go through the virtual network; default: the network of the edge's agent
	ListenPort uint16           `json:"listenPort,omitempty"` // UDP port at which peers call: takes a publicPort; 0: this end calls, and every peer has an endpoint
	Endpoint   string           `json:"endpoint,omitempty"`   // HOST:PORT at which peers reach listenPort, for weft vpn export; default: the first address of publicPort, and listenPort
	MTU        uint16           `json:"mtu,omitempty"`        // bytes of IP packet in the tunnel; default 1420, or 1400 of openvpn and ipsec. The vport's mtu must not be more, with ethernet as much less as the encapsulation takes
	Networks   []netip.Prefix   `json:"networks,omitempty"`   // what peers reach through the tunnel, for weft vpn export
	Ethernet   *VPNEthernetSpec `json:"ethernet,omitempty"`   // of a private port of a bridge, and wireguard: how its frames go through the tunnel
	Peers      []VPNPeerSpec    `json:"peers"`                // the remote site, or several of them; with ethernet, openvpn or ipsec one
}

// VPNPeerSpec is one remote end.
type VPNPeerSpec struct {
	Name               string         `json:"name"`                         // by which weft vpn knows it
	PublicKey          string         `json:"publicKey,omitempty"`          // WireGuard's, in base64; of openvpn the SHA-256 fingerprint of its certificate; of ipsec none. Without one the peer has no part in the VPN yet: weft vpn export --new-key makes one
	Endpoint           string         `json:"endpoint,omitempty"`           // HOST:PORT at which it is called; default: it calls
	AllowedIPs         []netip.Prefix `json:"allowedIPs,omitempty"`         // what is behind it: packets to there are given to it, and from there alone are taken from it. Routes of the router lead them to the vport. Of an openvpn at a bridge none: it is one wire
	Addresses          []netip.Prefix `json:"addresses,omitempty"`          // of its end of the tunnel, for weft vpn export
	Keepalive          uint16         `json:"keepalive,omitempty"`          // seconds from one sign of life to the next when nothing is sent, so that NAT on the way remembers; 0: none, or 1 of openvpn and ipsec; openvpn takes a peer that is silent for four times as long as gone
	PresharedKeySecret string         `json:"presharedKeySecret,omitempty"` // name of the secret, one of the tenant's that the edges have and the database does not, with a key that both ends have besides; default: none. Of openvpn one for tls-crypt; of ipsec it is the key, and must be there
}

// VPNEthernetSpec is how Ethernet frames go through a tunnel that carries IP: as VXLAN (RFC 7348) between two addresses.
type VPNEthernetSpec struct {
	Local  netip.Addr `json:"local"`         // of this end, in the tunnel
	Remote netip.Addr `json:"remote"`        // of the peer, in the tunnel, and among its allowedIPs
	VNI    uint32     `json:"vni,omitempty"` // 1 to 16777215; default 1
}

func (*VPNSpec) kind() Kind { return KindVPN }
