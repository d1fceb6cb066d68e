package vpn

import (
	"net/netip"
	"os"

	"github.com/weft-sdn/weft/packet"
)

// framed is a private port of a bridge whose frames go through the tunnel as they are.
type framed struct{ bridged }

func newFramed(p private) *framed {
	return &framed{bridged{private: p, inner: p.mtu}}
}

// Read implements tun.Device: frames that the bridge sent.
func (f *framed) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := f.link.fill(len(bufs), func(frame []byte, n int) bool {
		if packet.Parse(frame, &f.frame) != nil || len(frame) < packet.EthernetLen {
			f.counts.notForUs.Add(1)
			return false
		}
		if len(frame) > f.inner+f.frame.L2Len() {
			f.tooLong()
			return false
		}
		sizes[n] = copy(bufs[n][offset:], frame)
		return true
	})
	if err != nil {
		return 0, os.ErrClosed
	}
	return n, nil
}

// Write implements tun.Device: frames that came through the tunnel.
func (f *framed) Write(bufs [][]byte, offset int) (int, error) {
	if !f.valid() {
		f.counts.notHeld.Add(uint64(len(bufs)))
		return len(bufs), nil
	}
	out := f.link.begin()
	for _, buf := range bufs {
		if frame := buf[offset:]; len(frame) >= packet.EthernetLen {
			out.add(append(out.next(), frame...))
		} else {
			f.counts.notAllowed.Add(1)
		}
	}
	f.link.send(out)
	return len(bufs), nil
}

// from reports whether an IP packet is from one of some prefixes.
func from(ip []byte, prefixes []netip.Prefix) bool {
	var src netip.Addr
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4:
		src = netip.AddrFrom4([4]byte(ip[12:]))
	case len(ip) >= 40 && ip[0]>>4 == 6:
		src = netip.AddrFrom16([16]byte(ip[8:]))
	default:
		return false
	}
	for _, p := range prefixes {
		if p.Contains(src) {
			return true
		}
	}
	return false
}
