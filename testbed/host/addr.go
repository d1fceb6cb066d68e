package host

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// Address converts an address for the stack; an invalid one becomes empty.
func Address(addr netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(addr.AsSlice()) }

// Protocol is the network protocol of an address.
func Protocol(addr netip.Addr) tcpip.NetworkProtocolNumber {
	if addr.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// ProtocolAddress converts an interface address for the stack.
func ProtocolAddress(prefix netip.Prefix) tcpip.ProtocolAddress {
	return tcpip.ProtocolAddress{
		Protocol:          Protocol(prefix.Addr()),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: Address(prefix.Addr()), PrefixLen: prefix.Bits()},
	}
}

// Subnet converts a route's destination for the stack.
func Subnet(prefix netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{Address: Address(prefix.Addr()), PrefixLen: prefix.Bits()}.Subnet()
}

func netipAddr(addr tcpip.Address) netip.Addr {
	parsed, _ := netip.AddrFromSlice(addr.AsSlice())
	return parsed.Unmap()
}

func fullAddress(to netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: Address(to.Addr()), Port: to.Port()}
}
