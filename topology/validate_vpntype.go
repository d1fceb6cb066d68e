package topology

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// vpnType checks what the type of a VPN rules out; false: it is none.
func (v *validator) vpnType(o *Object, s *VPNSpec) bool {
	switch s.TypeOr() {
	case VPNWireGuard:
		return true
	case VPNOpenVPN, VPNIPsec:
	default:
		v.fail(o, "spec.type", s.Type, "is no type of VPN", fmt.Sprintf("use %s, %s or %s", VPNWireGuard, VPNOpenVPN, VPNIPsec))
		return false
	}
	if s.Ethernet != nil {
		v.fail(o, "spec.ethernet", "", "is for "+VPNWireGuard, "leave it out: an "+VPNOpenVPN+" carries the frames of a bridge's port by itself")
	}
	if n := len(s.Peers); n > 1 {
		v.fail(o, "spec.peers", strconv.Itoa(n), "are too many for "+s.Type+", which is one cable", "make a VPN with a vport of its own for each")
	}
	for i := range s.Peers {
		p, at := &s.Peers[i], fmt.Sprintf("spec.peers[%d]", i)
		if s.Type == VPNIPsec && p.PresharedKeySecret == "" {
			v.fail(o, at+".presharedKeySecret", "", "is missing", "name the secret, kept at the edges, that both ends of the "+VPNIPsec+" have")
		}
	}
	return true
}

// daemonPort checks the private port of an OpenVPN or IPsec.
func (v *validator) daemonPort(o *Object, s *VPNSpec, device Ref) bool {
	switch bridge := device.Kind == KindBridge; {
	case s.TypeOr() == VPNIPsec && bridge:
		v.failRef(o, "spec.vport", s.VPort, "is a port of "+device.String(), "name a port of a router: "+VPNIPsec+" carries IP packets")
	case bridge && !s.isCable():
		v.failRef(o, "spec.peers[0].allowedIPs", "", "is for a port of a router, and "+s.VPort+" is one of "+device.String(), "leave it out: an "+VPNOpenVPN+" at a bridge carries all frames")
	case !bridge && s.isCable():
		v.failRef(o, "spec.peers[0].allowedIPs", "", "is missing: nothing would go to the peer, or come from it", "list the prefixes behind it")
	default:
		return true
	}
	return false
}

// peerKey checks a peer's public key, which others do not have.
func (v *validator) peerKey(o *Object, kind, field, key string, taken map[string]int) {
	switch kind {
	case VPNIPsec:
		v.fail(o, field, "", "is for other types of VPN", "leave it out: an "+VPNIPsec+" has presharedKeySecret")
	case VPNOpenVPN:
		bytes := strings.Split(key, ":")
		if len(bytes) != 32 || slices.ContainsFunc(bytes, func(b string) bool { _, err := hex.DecodeString(b); return len(b) != 2 || err != nil }) {
			v.fail(o, field, "", "is no SHA-256 fingerprint of a certificate", "give 32 bytes in hex with colons, as openssl x509 -fingerprint -sha256 prints them, or leave it out: weft vpn export --new-key makes one")
		}
	default:
		v.publicKey(o, field, key, taken)
	}
}
