// Package nic is an Ethernet interface that joins a gVisor TCP/IP stack to a link that
// carries frames.
package nic

import (
	"context"
	"encoding/binary"
	"iter"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	headerSize = header.EthernetMinimumSize
	tagSize    = 4
	vlanType   = 0x8100
)

// Link carries Ethernet frames without FCS. Send neither waits nor keeps the frame. The
// receiver gets one frame at a time, valid until it returns; nil disconnects.
type Link interface {
	Send(frame []byte)
	SetReceiver(receive func(frame []byte))
}

// Config describes an interface.
type Config struct {
	MAC  [6]byte
	MTU  int    // longest IP packet in bytes
	VLAN uint16 // 802.1Q id of all frames; zero means untagged
}

// Counters are the frames of an interface; bytes without FCS.
type Counters struct {
	FramesSent, BytesSent         uint64
	FramesReceived, BytesReceived uint64 // everything that the link delivered
	Foreign                       uint64 // received and not taken: other unicast MAC, other VLAN
	Malformed                     uint64 // received and dropped: short, or longer than the MTU
	NoLink                        uint64 // sent while no link was connected
}

// NIC implements stack.LinkEndpoint. It is safe for concurrent use.
type NIC struct {
	mac  tcpip.LinkAddress
	vlan uint16

	link       atomic.Pointer[Link]
	dispatcher atomic.Pointer[stack.NetworkDispatcher]
	observer   atomic.Pointer[func(frame []byte)]
	mtu        atomic.Uint32
	scratch    sync.Pool // *[]byte: frames on their way out

	sent, sentBytes, received, receivedBytes atomic.Uint64
	foreign, malformed, noLink               atomic.Uint64
}

var _ stack.LinkEndpoint = (*NIC)(nil)

// New makes an interface without a link.
func New(cfg Config) *NIC {
	n := &NIC{mac: tcpip.LinkAddress(cfg.MAC[:]), vlan: cfg.VLAN}
	n.mtu.Store(uint32(cfg.MTU))
	n.scratch.New = func() any { return new([]byte) }
	return n
}

// Connect plugs link in, in place of the one before; nil unplugs.
func (n *NIC) Connect(link Link) {
	var next *Link
	if link != nil {
		next = &link
	}
	if before := n.link.Swap(next); before != nil {
		(*before).SetReceiver(nil)
	}
	if link != nil {
		link.SetReceiver(n.receive)
	}
}

// Link is what is plugged in, or nil.
func (n *NIC) Link() Link {
	if l := n.link.Load(); l != nil {
		return *l
	}
	return nil
}

// Observe sets a function that sees every received frame of the interface's VLAN, also
// those for other MACs, without tag, before the stack does; at an untagged interface, those
// with any tag too, as they are. It must not keep the frame.
func (n *NIC) Observe(observe func(frame []byte)) { n.observer.Store(&observe) }

// Counters reads the statistics.
func (n *NIC) Counters() Counters {
	return Counters{
		FramesSent: n.sent.Load(), BytesSent: n.sentBytes.Load(),
		FramesReceived: n.received.Load(), BytesReceived: n.receivedBytes.Load(),
		Foreign: n.foreign.Load(), Malformed: n.malformed.Load(), NoLink: n.noLink.Load(),
	}
}

// Send puts a frame on the link as it is.
func (n *NIC) Send(frame []byte) {
	link := n.link.Load()
	if link == nil {
		n.noLink.Add(1)
		return
	}
	n.sent.Add(1)
	n.sentBytes.Add(uint64(len(frame)))
	(*link).Send(frame)
}

// SendAll puts frames on the link, in the interface's VLAN, no faster than the link takes them.
func (n *NIC) SendAll(ctx context.Context, frames iter.Seq[[]byte]) error {
	var tagged []byte
	for frame := range frames {
		if n.vlan != 0 && len(frame) >= headerSize {
			tagged = n.appendTag(append(tagged[:0], frame...))
			frame = tagged
		}
		if link := n.link.Load(); link != nil {
			if err := WaitRoom(ctx, *link); err != nil {
				return err
			}
		}
		n.Send(frame)
	}
	return nil
}

// WaitRoom waits until a link has room for more frames, if it can tell: wire.End and wire.Member do.
func WaitRoom(ctx context.Context, link Link) error {
	if slow, ok := link.(interface{ WaitRoom(context.Context) error }); ok {
		return slow.WaitRoom(ctx)
	}
	return nil
}

func (n *NIC) receive(frame []byte) {
	n.received.Add(1)
	n.receivedBytes.Add(uint64(len(frame)))
	addresses, rest, ok := n.untag(frame)
	if !ok {
		return
	}
	payload := buffer.MakeWithView(buffer.NewViewWithData(addresses))
	if err := payload.Append(buffer.NewViewWithData(rest)); err != nil {
		panic(err) // two whole views always append
	}
	if observe := n.observer.Load(); observe != nil {
		whole := frame
		if n.vlan != 0 {
			whole = payload.Flatten()
		}
		(*observe)(whole)
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
	defer pkt.DecRef()
	eth, ok := pkt.LinkHeader().Consume(headerSize)
	dispatcher := n.dispatcher.Load()
	if !ok || dispatcher == nil {
		n.malformed.Add(1)
		return
	}
	ethernet := header.Ethernet(eth)
	switch dst := ethernet.DestinationAddress(); {
	case dst == n.mac:
		pkt.PktType = tcpip.PacketHost
	case dst == header.EthernetBroadcastAddress:
		pkt.PktType = tcpip.PacketBroadcast
	case header.IsMulticastEthernetAddress(dst):
		pkt.PktType = tcpip.PacketMulticast
	default:
		n.foreign.Add(1)
		return
	}
	(*dispatcher).DeliverNetworkPacket(ethernet.Type(), pkt)
}

// untag splits a frame of the interface's VLAN into its two addresses and the EtherType
// with what follows.
func (n *NIC) untag(frame []byte) (addresses, rest []byte, ok bool) {
	if len(frame) < headerSize {
		n.malformed.Add(1)
		return nil, nil, false
	}
	addresses, rest = frame[:12], frame[12:]
	tagged := binary.BigEndian.Uint16(rest) == vlanType && len(rest) >= tagSize+2
	vlan := uint16(0)
	if tagged {
		vlan = binary.BigEndian.Uint16(rest[2:]) & 0xfff // id zero is a priority tag (802.1Q)
		rest = rest[tagSize:]
	}
	if vlan != n.vlan {
		n.foreign.Add(1)
		if observe := n.observer.Load(); observe != nil && n.vlan == 0 {
			(*observe)(frame)
		}
		return nil, nil, false
	}
	if len(rest)-2 > int(n.mtu.Load()) {
		n.malformed.Add(1)
		return nil, nil, false
	}
	return addresses, rest, true
}

// WritePackets implements stack.LinkWriter. What the link drops, it counts; the stack is
// told of success, as by real hardware.
func (n *NIC) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	scratch := n.scratch.Get().(*[]byte)
	defer n.scratch.Put(scratch)
	for _, pkt := range pkts.AsSlice() {
		frame := (*scratch)[:0]
		for _, part := range pkt.AsSlices() {
			frame = append(frame, part...)
		}
		if n.vlan != 0 {
			frame = n.appendTag(frame)
		}
		*scratch = frame
		n.Send(frame)
	}
	return pkts.Len(), nil
}

// appendTag makes room for the interface's VLAN tag in a frame and fills it in.
func (n *NIC) appendTag(frame []byte) []byte {
	frame = append(frame, make([]byte, tagSize)...)
	copy(frame[12+tagSize:], frame[12:len(frame)-tagSize])
	binary.BigEndian.PutUint16(frame[12:], vlanType)
	binary.BigEndian.PutUint16(frame[14:], n.vlan)
	return frame
}
