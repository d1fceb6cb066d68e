package wireguard

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/weft-sdn/weft/testbed/host"
)

// hostBind is UDP by a host in memory.
type hostBind struct {
	host *host.Host

	mu     sync.Mutex
	socket net.PacketConn
}

// Through returns a transport by a host in memory, such as one in a lab.
func Through(h *host.Host) conn.Bind { return &hostBind{host: h} }

// Open implements conn.Bind.
func (b *hostBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	if port == 0 {
		port = 41820
	}
	socket, err := b.host.ListenUDP(port)
	if err != nil {
		return nil, 0, err
	}
	b.mu.Lock()
	b.socket = socket
	b.mu.Unlock()
	receive := func(bufs [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		n, at, err := socket.ReadFrom(bufs[0])
		if err != nil {
			return 0, net.ErrClosed
		}
		udp, ok := at.(*net.UDPAddr)
		if !ok {
			return 0, errors.New("not from UDP")
		}
		ap := udp.AddrPort()
		sizes[0], from[0] = n, hostEndpoint(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
		return 1, nil
	}
	return []conn.ReceiveFunc{receive}, port, nil
}

// Close implements conn.Bind.
func (b *hostBind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket == nil {
		return nil
	}
	err := b.socket.Close()
	b.socket = nil
	return err
}

// Send implements conn.Bind.
func (b *hostBind) Send(bufs [][]byte, to conn.Endpoint) error {
	b.mu.Lock()
	socket := b.socket
	b.mu.Unlock()
	if socket == nil {
		return net.ErrClosed
	}
	for _, buf := range bufs {
		if _, err := socket.WriteTo(buf, net.UDPAddrFromAddrPort(netip.AddrPort(to.(hostEndpoint)))); err != nil {
			return err
		}
	}
	return nil
}

// ParseEndpoint implements conn.Bind.
func (b *hostBind) ParseEndpoint(s string) (conn.Endpoint, error) {
	at, err := netip.ParseAddrPort(s)
	return hostEndpoint(at), err
}

// SetMark and BatchSize implement conn.Bind.
func (b *hostBind) SetMark(uint32) error { return nil }
func (b *hostBind) BatchSize() int       { return 1 }

type hostEndpoint netip.AddrPort

func (e hostEndpoint) ClearSrc()           {}
func (e hostEndpoint) SrcToString() string { return "" }
func (e hostEndpoint) DstToString() string { return netip.AddrPort(e).String() }
func (e hostEndpoint) DstToBytes() []byte {
	b, _ := netip.AddrPort(e).MarshalBinary()
	return b
}
func (e hostEndpoint) DstIP() netip.Addr { return netip.AddrPort(e).Addr() }
func (e hostEndpoint) SrcIP() netip.Addr { return netip.Addr{} }
