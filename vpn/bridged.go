package vpn

import (
	"encoding/binary"
	"net/netip"
	"os"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

const (
	vxlanPort = 4789
	vxlanLen  = 8
	vxlanVNI  = 0x08000000 // flag I: the VNI is valid (RFC 7348 section 5)
)

// bridged is a private port of a bridge: its frames go through the tunnel as VXLAN.
type bridged struct {
	private
	local, remote netip.Addr
	vni           uint32
	inner         int          // MTU of the IP packet in a frame
	frame         packet.Frame // of the reader
	payload       []byte       // the same
}

func newBridged(p private, site *topology.VPN) *bridged {
	e := site.Spec.Ethernet
	return &bridged{private: p, local: e.Local, remote: e.Remote, vni: e.VNIOr(), inner: p.mtu - int(e.Overhead())}
}

// Read implements tun.Device: frames that the bridge sent, in IP.
func (b *bridged) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := b.link.fill(len(bufs), func(frame []byte, n int) bool {
		if packet.Parse(frame, &b.frame) != nil || len(frame) < packet.EthernetLen {
			b.counts.notForUs.Add(1)
			return false
		}
		if len(frame) > b.inner+b.frame.L2Len() {
			b.tooLong()
			return false
		}
		sizes[n] = b.wrap(bufs[n], offset, frame)
		return true
	})
	if err != nil {
		return 0, os.ErrClosed
	}
	return n, nil
}

// wrap puts the IP packet that has a frame into a buffer, at an offset of an Ethernet header's length at least, and returns its length.
func (b *bridged) wrap(buf []byte, offset int, frame []byte) int {
	b.payload = binary.BigEndian.AppendUint32(b.payload[:0], vxlanVNI)
	b.payload = binary.BigEndian.AppendUint32(b.payload, b.vni<<8)
	b.payload = append(b.payload, frame...)
	whole := packet.AppendUDP(buf[:offset-packet.EthernetLen], &packet.UDP{Src: b.local, Dst: b.remote, SrcPort: vxlanPort, DstPort: vxlanPort, Payload: b.payload})
	return len(whole) - offset
}

// tooLong tells the sender of the frame at hand that its packet does not fit, as the destination would (RFC 1191, RFC 8201): a bridge has no address.
func (b *bridged) tooLong() {
	b.counts.tooLong.Add(1)
	f := &b.frame
	if !packet.MayAnswerTooBig(f) || !f.DontFragment() || !b.valid() {
		return
	}
	e := packet.ICMPError{Kind: packet.TooBig, Src: f.DstAddr(), MTU: uint32(b.inner)}
	if answer, err := packet.AppendICMPError(nil, f, &e); err == nil {
		b.link.sendOne(func(to []byte) []byte { return append(to, answer...) })
	}
}

// Write implements tun.Device: frames that came through the tunnel.
func (b *bridged) Write(bufs [][]byte, offset int) (int, error) {
	if !b.valid() {
		b.counts.notHeld.Add(uint64(len(bufs)))
		return len(bufs), nil
	}
	out := b.link.begin()
	for _, buf := range bufs {
		if frame := b.unwrap(buf[offset:]); frame != nil {
			out.add(append(out.next(), frame...))
		} else {
			b.counts.notAllowed.Add(1)
		}
	}
	b.link.send(out)
	return len(bufs), nil
}

// unwrap returns the frame in an IP packet; nil: there is none.
func (b *bridged) unwrap(ip []byte) []byte {
	src, dst, udp, ok := udpOf(ip)
	switch {
	case !ok || src != b.remote || dst != b.local || len(udp) < packet.UDPLen+vxlanLen+packet.EthernetLen:
		return nil
	case binary.BigEndian.Uint16(udp[2:]) != vxlanPort:
		return nil
	}
	vxlan := udp[packet.UDPLen:]
	if binary.BigEndian.Uint32(vxlan)&vxlanVNI == 0 || binary.BigEndian.Uint32(vxlan[4:])>>8 != b.vni {
		return nil
	}
	return vxlan[vxlanLen:]
}

// udpOf takes an unfragmented UDP packet apart.
func udpOf(ip []byte) (src, dst netip.Addr, udp []byte, ok bool) {
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4:
		head := int(ip[0]&15) * 4
		if ip[9] != packet.ProtoUDP || head < 20 || len(ip) < head || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
			return src, dst, nil, false
		}
		return netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:])), ip[head:], true
	case len(ip) >= 40 && ip[0]>>4 == 6 && ip[6] == packet.ProtoUDP:
		return netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:])), ip[40:], true
	}
	return src, dst, nil, false
}
