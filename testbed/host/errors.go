package host

import (
	"errors"
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
)

var (
	// ErrClosed is what operations of a host that was powered off report.
	ErrClosed = errors.New("host is closed")
	// ErrTimeout means that nothing came back in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrCorrupt means that data arrived and was not what was sent.
	ErrCorrupt = errors.New("received data differ from what was sent")
)

// stackError turns an error of the stack, which may be nil, into a Go error.
func stackError(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.String())
}

// Kind is what an ICMP error says, alike for IPv4 and IPv6.
type Kind string

// The kinds of ICMP errors (RFC 792, RFC 1812 §5.2.7, RFC 4443).
const (
	NetUnreachable      Kind = "net-unreachable"
	HostUnreachable     Kind = "host-unreachable"
	ProtocolUnreachable Kind = "protocol-unreachable"
	PortUnreachable     Kind = "port-unreachable"
	TooBig              Kind = "too-big" // fragmentation needed, packet too big
	SourceFailed        Kind = "source-failed"
	AdminProhibited     Kind = "admin-prohibited"
	RejectRoute         Kind = "reject-route"
	TTLExceeded         Kind = "ttl-exceeded"
	ReassemblyTimeout   Kind = "reassembly-timeout"
	ParameterProblem    Kind = "parameter-problem"
	OtherKind           Kind = "other"
)

// ICMPError is an ICMP error message that quotes a packet of this host.
type ICMPError struct {
	From       netip.Addr // who sent the error
	Kind       Kind
	Type, Code uint8  // as on the wire; From tells the family
	MTU        uint32 // of TooBig, in bytes

	// The quoted packet. Ports of an echo request: identifier, sequence number.
	Proto    uint8
	Src, Dst netip.AddrPort
}

// Error implements error.
func (e *ICMPError) Error() string {
	text := fmt.Sprintf("%s from %s", e.Kind, e.From)
	if e.Kind == TooBig {
		text += fmt.Sprintf(" (mtu %d)", e.MTU)
	}
	return text
}
