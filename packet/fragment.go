package packet

import (
	"encoding/binary"
	"fmt"
)

// FragmentID returns what the fragments of one packet have in common, beside addresses and protocol (RFC 791, RFC 8200 section 4.5); 0 if it is no fragment.
func (f *Frame) FragmentID() uint32 {
	switch {
	case f.Frag == FragNone:
	case f.Is4():
		return uint32(binary.BigEndian.Uint16(f.Data[f.L3+4:]))
	case f.Is6():
		return binary.BigEndian.Uint32(f.Data[f.L3+IPv6Len+4:])
	}
	return 0
}

// Fragmenter cuts an IPv4 packet into fragments (RFC 791 section 3.2). It borrows the frame.
type Fragmenter struct {
	frame   *Frame
	payload []byte // rest to send
	offset  int    // of payload in the original datagram, bytes
	more    bool   // the packet is itself a fragment, and not the last
	first   bool   // next is the first: with all options
	mtu     int
}

// NewFragmenter returns a fragmenter that yields IPv4 packets of at most mtu bytes. A packet that fits is yielded as it is but for its tag.
func NewFragmenter(f *Frame, mtu int) (Fragmenter, error) {
	p := f.complete()
	switch {
	case !f.Is4():
		return Fragmenter{}, ErrNotIP
	case p == nil:
		return Fragmenter{}, ErrTruncated
	case !f.ChecksumOK():
		return Fragmenter{}, ErrChecksum
	}
	field := binary.BigEndian.Uint16(p[6:])
	g := Fragmenter{frame: f, payload: p[f.IPHeaderLen():], offset: 8 * int(field&0x1fff), more: field&flagMF != 0, first: true, mtu: mtu}
	if g.offset+len(g.payload) > 0xffff {
		return Fragmenter{}, fmt.Errorf("fragment ends behind the largest datagram: %w", ErrInvalid)
	}
	if len(p) <= mtu {
		return g, nil
	}
	if f.DontFragment() {
		return Fragmenter{}, ErrNoFragment
	}
	if mtu < f.IPHeaderLen()+8 {
		return Fragmenter{}, fmt.Errorf("MTU %d with a header of %d bytes: %w", mtu, f.IPHeaderLen(), ErrFragmentSize)
	}
	return g, nil
}

// Next appends the next fragment as a frame; false when there is none left.
func (g *Fragmenter) Next(b []byte) ([]byte, bool) {
	if g.frame == nil {
		return b, false
	}
	f := g.frame
	b = appendEthernet(b, f.Dst(), f.Src(), EtherTypeIPv4)
	at := len(b)
	header := f.Data[f.L3 : f.L3+f.IPHeaderLen()]
	if g.first {
		b = append(b, header...)
	} else {
		b = append(b, header[:IPv4Len]...)
		b = appendCopiedOptions(b, header[IPv4Len:])
	}
	g.first = false
	hlen := len(b) - at
	n, last := len(g.payload), true
	if hlen+n > g.mtu {
		n, last = (g.mtu-hlen)&^7, false
	}
	b = append(b, g.payload[:n]...)
	h := b[at:]
	h[0] = 0x40 | byte(hlen/4)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
	field := binary.BigEndian.Uint16(header[6:])&^(flagMF|0x1fff) | uint16(g.offset/8)
	if g.more || !last {
		field |= flagMF
	}
	binary.BigEndian.PutUint16(h[6:], field)
	binary.BigEndian.PutUint16(h[10:], 0)
	binary.BigEndian.PutUint16(h[10:], Checksum(h[:hlen]))
	g.payload, g.offset = g.payload[n:], g.offset+n
	if last {
		g.frame = nil
	}
	return b, true
}

// appendCopiedOptions appends those options that every fragment has, and padding. Malformed ones end the list.
func appendCopiedOptions(b, options []byte) []byte {
	at := len(b)
	for len(options) > 0 && options[0] != 0 {
		n := 1
		if options[0] != 1 {
			if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
				break
			}
			n = int(options[1])
		}
		if options[0]&0x80 != 0 {
			b = append(b, options[:n]...)
		}
		options = options[n:]
	}
	for (len(b)-at)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
