// Package wireguard is a remote office in memory: a host behind WireGuard, as the other end of a VPN.
package wireguard
