package nic

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// MTU implements stack.NetworkLinkEndpoint.
func (n *NIC) MTU() uint32 { return n.mtu.Load() }

// SetMTU implements stack.NetworkLinkEndpoint.
func (n *NIC) SetMTU(mtu uint32) { n.mtu.Store(mtu) }

// MaxHeaderLength implements stack.NetworkLinkEndpoint.
func (*NIC) MaxHeaderLength() uint16 { return headerSize }

// LinkAddress implements stack.NetworkLinkEndpoint.
func (n *NIC) LinkAddress() tcpip.LinkAddress { return n.mac }

// SetLinkAddress implements stack.NetworkLinkEndpoint. The MAC of a NIC does not change.
func (*NIC) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements stack.NetworkLinkEndpoint: no offloads, ARP and ND needed.
func (*NIC) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired
}

// Attach implements stack.NetworkLinkEndpoint.
func (n *NIC) Attach(dispatcher stack.NetworkDispatcher) {
	if dispatcher == nil {
		n.dispatcher.Store(nil)
		return
	}
	n.dispatcher.Store(&dispatcher)
}

// IsAttached implements stack.NetworkLinkEndpoint.
func (n *NIC) IsAttached() bool { return n.dispatcher.Load() != nil }

// Wait implements stack.NetworkLinkEndpoint; a NIC has no goroutines.
func (*NIC) Wait() {}

// ARPHardwareType implements stack.NetworkLinkEndpoint.
func (*NIC) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// AddHeader implements stack.NetworkLinkEndpoint.
func (n *NIC) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(headerSize)).Encode(&header.EthernetFields{
		SrcAddr: n.mac,
		DstAddr: pkt.EgressRoute.RemoteLinkAddress,
		Type:    pkt.NetworkProtocolNumber,
	})
}

// ParseHeader implements stack.NetworkLinkEndpoint; receive has done it.
func (*NIC) ParseHeader(*stack.PacketBuffer) bool { return true }

// Close implements stack.NetworkLinkEndpoint: it unplugs the link.
func (n *NIC) Close() { n.Connect(nil) }

// SetOnCloseAction implements stack.NetworkLinkEndpoint.
func (*NIC) SetOnCloseAction(func()) {}
