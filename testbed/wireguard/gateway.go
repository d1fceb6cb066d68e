package wireguard

import (
	"cmp"
	"context"
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/host"
)

// GatewayMAC is that of every gateway: there is one host on each link.
var GatewayMAC = packet.MAC{0x02, 0, 0, 0, 0xfe, 1}

const depth = 1024

// gateway is the host's router: what it gets goes into the tunnel, and the other way round. It has whatever address the host asks for.
type gateway struct {
	mtu    int
	out    chan []byte // IP packets for the tunnel
	say    chan []byte // answers to the host
	closed chan struct{}
	close  func()
	events chan tun.Event

	mu      sync.Mutex
	receive func([]byte)
	host    packet.MAC
	frame   packet.Frame
}

func newGateway(mtu int, mac packet.MAC) *gateway {
	g := &gateway{host: mac, mtu: cmp.Or(mtu, host.DefaultMTU), out: make(chan []byte, depth), say: make(chan []byte, depth), closed: make(chan struct{}), events: make(chan tun.Event)}
	g.close = sync.OnceFunc(func() { close(g.closed); close(g.events) })
	return g
}

// Send implements host.Link: a frame of the host's.
func (g *gateway) Send(data []byte) {
	g.mu.Lock()
	f := &g.frame
	if packet.Parse(data, f) != nil {
		g.mu.Unlock()
		return
	}
	answer := g.answer(f)
	ip := append([]byte(nil), f.IPPacket()...)
	g.mu.Unlock()
	switch {
	case len(answer) > 0:
		select {
		case g.say <- answer:
		default:
		}
	case answer == nil && len(ip) > 0:
		select {
		case g.out <- ip:
		default:
		}
	}
}

// answers gives the host its answers until the gateway is closed: not while it asks, when it does not expect them yet.
func (g *gateway) answers() {
	for {
		select {
		case <-g.closed:
			return
		case answer := <-g.say:
			g.mu.Lock()
			receive := g.receive
			g.mu.Unlock()
			if receive != nil {
				receive(answer)
			}
		}
	}
}

// answer says that whatever the host asks for is here; nil: it does not ask. Empty: there is nothing to say.
func (g *gateway) answer(f *packet.Frame) []byte {
	if f.IsARP() {
		if q, err := f.ARP(); err == nil && q.Op == packet.ARPRequest && !q.Gratuitous() {
			return packet.AppendARPReply(nil, &q, GatewayMAC)
		}
		return []byte{}
	}
	if f.IsND() {
		if q, err := f.ND(); err == nil && q.Type == packet.ICMPv6NeighSol && !q.Src.IsUnspecified() {
			return packet.AppendNA(nil, &q, f.Src(), GatewayMAC, true)
		}
		return []byte{}
	}
	return nil
}

// SetReceiver implements host.Link.
func (g *gateway) SetReceiver(receive func([]byte)) {
	g.mu.Lock()
	g.receive = receive
	g.mu.Unlock()
}

// WaitRoom implements host.Link.
func (g *gateway) WaitRoom(context.Context) error { return nil }

// Read implements tun.Device.
func (g *gateway) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case <-g.closed:
		return 0, os.ErrClosed
	case ip := <-g.out:
		sizes[0] = copy(bufs[0][offset:], ip)
		return 1, nil
	}
}

// Write implements tun.Device.
func (g *gateway) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		ip := b[offset:]
		g.mu.Lock()
		receive, to := g.receive, g.host
		g.mu.Unlock()
		if receive == nil {
			continue
		}
		etherType := uint16(packet.EtherTypeIPv4)
		if ip[0]>>4 == 6 {
			etherType = packet.EtherTypeIPv6
		}
		frame := append(append(append([]byte(nil), to[:]...), GatewayMAC[:]...), byte(etherType>>8), byte(etherType))
		receive(append(frame, ip...))
	}
	return len(bufs), nil
}

// File, MTU, Name, Events, BatchSize and Close implement tun.Device.
func (g *gateway) File() *os.File           { return nil }
func (g *gateway) MTU() (int, error)        { return g.mtu, nil }
func (g *gateway) Name() (string, error)    { return "gateway", nil }
func (g *gateway) Events() <-chan tun.Event { return g.events }
func (g *gateway) BatchSize() int           { return 1 }
func (g *gateway) Close() error             { g.close(); return nil }
