// Package vpn makes vports cables to remote sites (V1): an edge that holds a VPN, one at a time, carries what leaves by its private port to the site through an encrypted tunnel.
//
//	keeper.go    follows the VPNs of the database, and competes for those that the edge may have
//	site.go      one VPN at this edge: waits for the lock, holds it, carries the tunnel while it does
//	tunnel.go    WireGuard between two ends: a private port, and a transport
//	gate.go      sees all that WireGuard is given and gives, so that what it drops is counted (fates.go)
//	daemon_linux.go  OpenVPN, or IPsec by strongSwan: a daemon in a namespace (cell), between relay and pump
//	routed.go    a private port of a router: IP packets; bridged.go: one of a bridge: its frames, as VXLAN
//	public.go    the transport by a public port of the virtual network; the other one is wireguard-go's own, by sockets
//	trunk.go     both ports are VLANs of one data port, which the edge's switch has in common with its agent
package vpn
