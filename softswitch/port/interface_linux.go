package port

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Interface is a Linux network interface, driven through an AF_PACKET socket: all frames
// that arrive at it are received (also by the host's own stack), and frames sent leave by
// it. It needs CAP_NET_RAW.
//
// The far side of a veth must not leave checksums and segmentation to the device
// (ethtool -K DEV tx off): such frames arrive here unfinished.
type Interface struct {
	name   string
	socket *waiter
	query  *linkQuery
}

// OpenInterface attaches to the named interface in promiscuous mode.
func OpenInterface(name string) (*Interface, error) {
	nic, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("interface %s: packet socket: %w", name, err)
	}
	if err := setUpPacketSocket(fd, nic.Index); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	query, err := newLinkQuery(name)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	s, err := newWaiter(fd)
	if err != nil {
		unix.Close(fd)
		query.close()
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	return &Interface{name: name, socket: s, query: query}, nil
}

func setUpPacketSocket(fd, index int) error {
	const buffer = 4 << 20 // bytes; beyond the system's limit only as root
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("ignore outgoing frames: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fmt.Errorf("ask for VLAN tags: %w", err)
	}
	for _, option := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		// A short queue loses frames early; nothing else depends on it.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, buffer)
	}
	member := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member); err != nil {
		return fmt.Errorf("promiscuous mode: %w", err)
	}
	address := unix.SockaddrLinklayer{Protocol: hostToNetwork16(unix.ETH_P_ALL), Ifindex: index}
	if err := unix.Bind(fd, &address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

func hostToNetwork16(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// Name implements Port.
func (p *Interface) Name() string { return p.name }

// Recv implements Port.
func (p *Interface) Recv(frames [][]byte, sizes []int) (int, error) {
	for {
		n, err := p.socket.receive(frames, sizes)
		if errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENOBUFS) {
			continue // reported once when the interface goes down
		}
		if err != nil {
			return 0, err
		}
		for i := range n {
			sizes[i] = restoreVLAN(frames[i], sizes[i], &p.socket.recv, i)
		}
		return n, nil
	}
}

// restoreVLAN puts back the outermost VLAN tag, which the kernel delivers beside the
// frame, and returns the frame's length.
func restoreVLAN(frame []byte, size int, m *messages, i int) int {
	const headers = unix.SizeofCmsghdr
	if uint64(m.headers[i].header.Controllen) < uint64(headers+unsafe.Sizeof(unix.TpacketAuxdata{})) || size < 14 || size+4 > len(frame) {
		return size
	}
	control := (*unix.Cmsghdr)(unsafe.Pointer(&m.controls[i][0]))
	if control.Level != unix.SOL_PACKET || control.Type != unix.PACKET_AUXDATA {
		return size
	}
	aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.controls[i][headers]))
	if aux.Status&unix.TP_STATUS_VLAN_VALID == 0 {
		return size
	}
	copy(frame[16:size+4], frame[12:size])
	binary.BigEndian.PutUint16(frame[12:], aux.Vlan_tpid)
	binary.BigEndian.PutUint16(frame[14:], aux.Vlan_tci)
	return size + 4
}

// Send implements Port.
func (p *Interface) Send(frames [][]byte) (int, error) {
	n, err := p.socket.transmit(frames)
	if err != nil && transient(err) {
		return n, nil
	}
	return n, err
}

// Up implements Port.
func (p *Interface) Up() bool { return p.query.running() }

// Close implements Port.
func (p *Interface) Close() error {
	p.query.close()
	return p.socket.close()
}
