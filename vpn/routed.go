package vpn

import (
	"net/netip"
	"os"
	"slices"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// stationMAC is the MAC of a VPN at one of its ports: the same wherever it is held, so that neighbours and flows stay as they are when the holder changes.
func stationMAC(port flow.VPortID) packet.MAC {
	return packet.MAC{0x02, 0x77, 0x76, byte(port >> 16), byte(port >> 8), byte(port)}
}

// private is what all private ports have in common as wireguard-go's tun.Device.
type private struct {
	link   *link
	mtu    int
	valid  func() bool // the VPN is surely held
	counts *counts
	events chan tun.Event
}

func newPrivate(l *link, mtu uint16, valid func() bool, c *counts) private {
	events := make(chan tun.Event)
	return private{link: l, mtu: int(mtu), valid: valid, counts: c, events: events}
}

// File implements tun.Device; there is none.
func (p *private) File() *os.File { return nil }

// MTU implements tun.Device.
func (p *private) MTU() (int, error) { return p.mtu, nil }

// Name implements tun.Device.
func (p *private) Name() (string, error) { return "private port", nil }

// Events implements tun.Device; it has none but its end.
func (p *private) Events() <-chan tun.Event { return p.events }

// BatchSize implements tun.Device.
func (p *private) BatchSize() int { return batchSize }

// Close implements tun.Device. wireguard-go calls it once.
func (p *private) Close() error {
	p.link.close()
	close(p.events)
	return nil
}

// routed is a private port of a router: at the other end of the link is a station that has all addresses behind the tunnel.
type routed struct {
	private
	own, router packet.MAC
	behind      []netip.Prefix // peers' allowed IPs
	frame       packet.Frame   // of the reader
}

func newRouted(p private, site *topology.VPN) *routed {
	r := &routed{private: p, own: stationMAC(site.Private.ID), router: site.Private.MAC}
	for i := range site.Spec.Peers {
		r.behind = append(r.behind, site.Spec.Peers[i].AllowedIPs...)
	}
	return r
}

// Read implements tun.Device: IP packets that the router sent into the tunnel.
func (r *routed) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := r.link.fill(len(bufs), func(frame []byte, n int) bool {
		ip := r.take(frame)
		if ip == nil {
			return false
		}
		sizes[n] = copy(bufs[n][offset:], ip)
		return true
	})
	if err != nil {
		return 0, os.ErrClosed
	}
	return n, nil
}

// take returns the IP packet of a frame that is to go into the tunnel; nil: there is none.
func (r *routed) take(frame []byte) []byte {
	f := &r.frame
	if packet.Parse(frame, f) != nil {
		r.counts.notForUs.Add(1)
		return nil
	}
	if f.IsARP() || f.IsND() {
		r.answer(f)
		return nil
	}
	if f.L3 == 0 || f.Tagged || f.Dst() != r.own {
		r.counts.notForUs.Add(1)
		return nil
	}
	ip := f.IPPacket()
	switch {
	case ip == nil:
		r.counts.notForUs.Add(1)
		return nil
	case len(ip) > r.mtu: // the router knows the port's MTU, which is no more
		r.counts.tooLong.Add(1)
		return nil
	}
	return ip
}

// answer answers ARP and ND for what is behind the tunnel: the router asks for its next hop.
func (r *routed) answer(f *packet.Frame) {
	if !r.valid() {
		r.counts.notHeld.Add(1)
		return
	}
	if f.IsARP() {
		if q, err := f.ARP(); err == nil && q.Op == packet.ARPRequest && r.isBehind(q.TargetIP) && !q.Gratuitous() {
			r.link.sendOne(func(b []byte) []byte { return packet.AppendARPReply(b, &q, r.own) })
		}
		return
	}
	if q, err := f.ND(); err == nil && q.Type == packet.ICMPv6NeighSol && r.isBehind(q.Target) && !q.Src.IsUnspecified() {
		from := f.Src()
		r.link.sendOne(func(b []byte) []byte { return packet.AppendNA(b, &q, from, r.own, true) })
	}
}

func (r *routed) isBehind(a netip.Addr) bool {
	return slices.ContainsFunc(r.behind, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Write implements tun.Device: IP packets that came through the tunnel.
func (r *routed) Write(bufs [][]byte, offset int) (int, error) {
	if !r.valid() {
		r.counts.notHeld.Add(uint64(len(bufs)))
		return len(bufs), nil
	}
	b := r.link.begin()
	for _, buf := range bufs {
		etherType := uint16(packet.EtherTypeIPv4)
		if buf[offset]>>4 == 6 {
			etherType = packet.EtherTypeIPv6
		}
		f := append(append(b.next(), r.router[:]...), r.own[:]...)
		f = append(f, byte(etherType>>8), byte(etherType))
		b.add(append(f, buf[offset:]...))
	}
	r.link.send(b)
	return len(bufs), nil
}
