package host

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// address converts an address for the stack; an invalid one becomes empty.
func address(addr netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(addr.AsSlice()) }

// protocol is the network protocol of an address.
func protocol(addr netip.Addr) tcpip.NetworkProtocolNumber {
	if addr.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// protocolAddress converts an interface address for the stack.
func protocolAddress(prefix netip.Prefix) tcpip.ProtocolAddress {
	return tcpip.ProtocolAddress{
		Protocol:          protocol(prefix.Addr()),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(prefix.Addr()), PrefixLen: prefix.Bits()},
	}
}

// subnet converts a route's destination for the stack.
func subnet(prefix netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{Address: address(prefix.Addr()), PrefixLen: prefix.Bits()}.Subnet()
}

func netipAddr(addr tcpip.Address) netip.Addr {
	parsed, _ := netip.AddrFromSlice(addr.AsSlice())
	return parsed.Unmap()
}

func fullAddress(to netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: address(to.Addr()), Port: to.Port()}
}
