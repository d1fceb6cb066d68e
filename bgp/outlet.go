package bgp

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// outlet is the interface of a userspace stack: IP packets without a link layer.
type outlet struct {
	mtu        uint32
	guard      *guard
	dispatcher atomic.Pointer[stack.NetworkDispatcher]

	mu     sync.Mutex // held during send
	send   func(packet []byte)
	packet []byte // what send is called with
}

var _ stack.LinkEndpoint = (*outlet)(nil)

// deliver gives the stack a copy of a packet.
func (o *outlet) deliver(packet []byte) {
	dispatcher := o.dispatcher.Load()
	if dispatcher == nil {
		return
	}
	protocol := ipv4.ProtocolNumber
	if packet[0]>>4 == 6 {
		protocol = ipv6.ProtocolNumber
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	defer p.DecRef()
	(*dispatcher).DeliverNetworkPacket(protocol, p)
}

// WritePackets implements stack.LinkWriter.
func (o *outlet) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range packets.AsSlice() {
		o.packet = o.packet[:0]
		for _, part := range p.AsSlices() {
			o.packet = append(o.packet, part...)
		}
		if o.guard.emits(o.packet) {
			o.send(o.packet)
		}
	}
	return packets.Len(), nil
}

// MTU implements stack.NetworkLinkEndpoint.
func (o *outlet) MTU() uint32 { return o.mtu }

// SetMTU implements stack.NetworkLinkEndpoint. The MTU of an outlet does not change.
func (*outlet) SetMTU(uint32) {}

// MaxHeaderLength implements stack.NetworkLinkEndpoint.
func (*outlet) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.NetworkLinkEndpoint.
func (*outlet) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress implements stack.NetworkLinkEndpoint.
func (*outlet) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements stack.NetworkLinkEndpoint: no offloads, no neighbours to resolve.
func (*outlet) Capabilities() stack.LinkEndpointCapabilities { return 0 }

// Attach implements stack.NetworkLinkEndpoint.
func (o *outlet) Attach(dispatcher stack.NetworkDispatcher) {
	if dispatcher == nil {
		o.dispatcher.Store(nil)
		return
	}
	o.dispatcher.Store(&dispatcher)
}

// IsAttached implements stack.NetworkLinkEndpoint.
func (o *outlet) IsAttached() bool { return o.dispatcher.Load() != nil }

// Wait implements stack.NetworkLinkEndpoint; an outlet has no goroutines.
func (*outlet) Wait() {}

// ARPHardwareType implements stack.NetworkLinkEndpoint.
func (*outlet) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader implements stack.NetworkLinkEndpoint.
func (*outlet) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.NetworkLinkEndpoint.
func (*outlet) ParseHeader(*stack.PacketBuffer) bool { return true }

// Close implements stack.NetworkLinkEndpoint.
func (*outlet) Close() {}

// SetOnCloseAction implements stack.NetworkLinkEndpoint.
func (*outlet) SetOnCloseAction(func()) {}
