package packet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cursor extracts bit fields as a P4 parser does; it stops for good at the end of the packet.
type cursor struct {
	b    []byte
	bits int
	err  error
}

// get extracts a field of n bits.
func (c *cursor) get(n int) (v uint64) {
	for range n {
		if c.bits/8 >= len(c.b) {
			return 0
		}
		v = v<<1 | uint64(c.b[c.bits/8]>>(7-c.bits%8)&1)
		c.bits++
	}
	return v
}

// header begins a header of n bytes.
func (c *cursor) header(n int) bool {
	if c.err == nil && c.bits/8+n > len(c.b) {
		c.err = ErrTruncated
	}
	return c.err == nil
}

// reference is parser.p4 from parse_ethernet on, written down a second time, field by field.
func reference(b []byte) (Frame, error) {
	f := Frame{Data: b}
	c := &cursor{b: b}
	if !c.header(14) {
		return f, c.err
	}
	c.get(48)
	c.get(48)
	f.EtherType = uint16(c.get(16))
	if f.EtherType == 0x8100 {
		if !c.header(4) {
			return f, c.err
		}
		c.get(4)
		f.Tagged, f.VLAN, f.EtherType = true, uint16(c.get(12)), uint16(c.get(16))
	}
	at := c.bits / 8
	var offset, more uint64
	switch f.EtherType {
	case 0x0800:
		if !c.header(20) {
			return f, c.err
		}
		version, ihl := c.get(4), int(c.get(4))
		c.get(8 + 16 + 16 + 1 + 1)
		more, offset = c.get(1), c.get(13)
		c.get(8)
		f.Proto = uint8(c.get(8))
		c.get(16 + 32 + 32)
		if version != 4 || ihl < 5 {
			return f, ErrVersion
		}
		if !c.header(4 * (ihl - 5)) {
			return f, c.err
		}
		c.get(32 * (ihl - 5))
	case 0x86dd:
		if !c.header(40) {
			return f, c.err
		}
		version := c.get(4)
		c.get(8 + 20 + 16)
		f.Proto = uint8(c.get(8))
		c.get(8 + 128 + 128)
		if version != 6 {
			return f, ErrVersion
		}
		if f.Proto == 44 {
			if !c.header(8) {
				return f, c.err
			}
			f.Proto = uint8(c.get(8))
			c.get(8)
			offset = c.get(13)
			c.get(2)
			more = c.get(1)
			c.get(32)
		}
	default:
		return f, nil
	}
	f.L3 = at
	if offset != 0 {
		f.Frag = FragLater
		return f, nil
	}
	f.Frag = Frag(more)
	return f, referenceL4(c, &f)
}

func referenceL4(c *cursor, f *Frame) error {
	size, ok := map[uint8]int{6: 20, 17: 8, 132: 4, 1: 8, 58: 8}[f.Proto]
	if !ok {
		return nil
	}
	f.L4 = c.bits / 8
	if !c.header(size) {
		return c.err
	}
	first, second := uint16(c.get(16)), uint16(c.get(16))
	f.SrcPort = first
	switch f.Proto {
	case 1, 58:
		switch first >> 8 {
		case 0, 8, 128, 129:
			f.DstPort = uint16(c.get(16))
		}
	default:
		f.DstPort = second
	}
	if f.Proto == 6 {
		c.get(32 + 32 + 8)
		f.TCPFlags = uint8(c.get(8))
	}
	return nil
}

// FuzzParse compares Parse with the reference, and checks that whatever is valid can be read, answered and cut without a panic and within the frame.
func FuzzParse(f *testing.F) {
	for _, b := range [][]byte{
		udp4(f, 9), udp6(f, 9), tcp6(f), echo4(f, 9), echo6(f, 9), tagged(udp4(f, 9), 7), tagged(tagged(tcp6(f), 1), 2), fragment6(udp6(f, 9), 0, 1), fragment6(udp6(f, 9), 1, 0),
		with(udp4(f, 60), 14, 0x4f), with(udp4(f, 9), 20, 0x20, 1), with(udp4(f, 9), 23, 132), AppendARPRequest(nil, macA, a4, b4), AppendNS(nil, macA, a6, b6),
		AppendRA(nil, &RA{SrcMAC: macA, Src: ll6, MTU: 1500}), behind(0, echo6(f, 9)), udp4(f, 0)[:40],
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got Frame
		err := Parse(b, &got)
		want, wantErr := reference(b)
		if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
			t.Fatalf("error %v, want %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if got.L3+got.IPHeaderLen() > len(b) || got.L4 > len(b) || got.L4 != 0 && got.L4 != got.L3+got.IPHeaderLen() {
			t.Fatalf("offsets %+v outside of %d bytes", got, len(b))
		}
		before := bytes.Clone(b)
		use(t, &got)
		if !bytes.Equal(b, before) {
			t.Fatal("reading changed the frame")
		}
		got.Untag()
		if got.Tagged || len(got.IPPacket()) != len(want.IPPacket()) {
			t.Fatalf("untagged: %+v", got)
		}
	})
}

// use calls everything that reads a frame, and checks what it builds from it.
func use(t *testing.T, f *Frame) {
	_, _, _, _, _, _, _ = f.Src(), f.Dst(), f.SrcAddr(), f.DstAddr(), f.TTL(), f.TOS(), f.DontFragment()
	if _, err := f.ARP(); err == nil && !f.IsARP() {
		t.Fatal("ARP in another frame")
	}
	if n, err := f.ND(); err == nil {
		if !f.IsND() || f.TTL() != 255 {
			t.Fatalf("%+v in another frame", n)
		}
		if n.Type == ICMPv6NeighSol {
			if _, err := mustParse(t, AppendNA(nil, &n, f.Src(), macB, true)).ND(); err != nil && f.Src().IsUnicast() && !n.Target.IsUnspecified() {
				t.Fatalf("answer to %+v: %v", n, err)
			}
		}
	}
	if b, err := AppendEchoReply(nil, f); err == nil {
		decode(t, b)
		if !MayAnswer(mustParse(t, b)) {
			t.Fatal("echo reply that must not be answered")
		}
	}
	for kind := NoRoute; kind <= TTLExceeded; kind++ {
		src := r4
		if f.Is6() {
			src = r6
		}
		b, err := AppendICMPError(nil, f, &ICMPError{Kind: kind, MTU: 1280, Src: src})
		if err != nil {
			continue
		}
		e := mustParse(t, b)
		if MayAnswer(e) || MayAnswerTooBig(e) || !e.ChecksumOK() || len(b) != e.L3+e.IPLen() {
			t.Fatalf("error %x", b)
		}
		if e.Is6() && PseudoSum(e.SrcAddr(), e.DstAddr(), ProtoICMPv6, len(b)-e.L4).Add(b[e.L4:]).Fold() != 0 || e.Is4() && Checksum(b[e.L4:]) != 0 {
			t.Fatalf("checksum of error %x", b)
		}
	}
	g, err := NewFragmenter(f, 68+len(f.Data)%600)
	for b, ok := g.Next(nil); err == nil && ok; b, ok = g.Next(b[:0]) {
		if p := mustParse(t, b); !p.ChecksumOK() || p.IPLen() > 68+len(f.Data)%600 {
			t.Fatalf("fragment %x", b)
		}
	}
}

// FuzzTunnel checks that outer headers stay within the frame.
func FuzzTunnel(f *testing.F) {
	f.Add(AppendUDP(nil, &UDP{Src: a4, Dst: b4, DstPort: PortVXLAN, Payload: append([]byte{8, 0, 0, 0, 0, 0, 1, 0}, udp4(f, 1)...)}))
	f.Add(AppendUDP(nil, &UDP{Src: a6, Dst: b6, DstPort: PortGeneve, Payload: append([]byte{1, 0, 0x65, 0x58, 0, 0, 1, 0, 1, 2, 3, 4}, udp6(f, 1)...)}))
	f.Add(with(udp4(f, 30), 23, ProtoGRE))
	f.Fuzz(func(t *testing.T, b []byte) {
		tun, err := ParseTunnel(b)
		if err != nil || tun.Kind == TunnelNone {
			if tun.Inner != nil || tun.Kind != TunnelNone {
				t.Fatalf("%+v with %v", tun, err)
			}
			return
		}
		if !bytes.HasSuffix(b, tun.Inner) || tun.Key >= 1<<24 || !tun.Src.IsValid() {
			t.Fatalf("%+v", tun)
		}
		var in Frame
		if Parse(tun.Inner, &in) == nil {
			right := in.ChecksumOK()
			if DecapECN(&in, tun.TOS) && right != in.ChecksumOK() {
				t.Fatal("checksum changed sides")
			}
		}
	})
}

// FuzzMAC checks that every MAC that parses prints as itself.
func FuzzMAC(f *testing.F) {
	f.Add("02:00:00:00:00:0a")
	f.Add("02-00-00-00-00-0A")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			return
		}
		if again, err := ParseMAC(m.String()); err != nil || again != m {
			t.Fatalf("%q is %v, again %v, %v", s, m, again, err)
		}
	})
}
