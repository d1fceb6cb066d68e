package p4src_test

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// TestUnfit: no router forwards a bad header, from a martian, or a frame that is shorter than its packet or longer than the MTU. A bridge does not look.
func TestUnfit(t *testing.T) {
	e := routed(t)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(0), num(0))
	summed := func(b []byte) []byte {
		at := 14 + 4*int(b[14]&15)
		b[24], b[25] = 0, 0
		binary.BigEndian.PutUint16(b[24:], ^uint16(onesSum(b[14:at])))
		return b
	}
	change := func(v6 bool, do func(b []byte) []byte) func(dst []byte) []byte {
		return func(dst []byte) []byte { return do(build(t, frameOptions{src: macA, dst: dst, v6: v6})) }
	}
	options := func(b []byte) []byte { // four no-operations
		b = append(append(append([]byte{}, b[:34]...), 1, 1, 1, 1), b[34:]...)
		b[14]++
		binary.BigEndian.PutUint16(b[16:], binary.BigEndian.Uint16(b[16:])+4)
		return summed(b)
	}
	source := func(v6 bool, src string) func(dst []byte) []byte {
		return change(v6, func(b []byte) []byte {
			if v6 {
				copy(b[22:], addr(src))
				return b
			}
			copy(b[26:], addr(src))
			return summed(b)
		})
	}
	longer := func(n int) func(b []byte) []byte {
		return func(b []byte) []byte { return append(b, make([]byte, n-len(b))...) }
	}
	for name, tt := range map[string]struct {
		frame  func(dst []byte) []byte
		reason uint8
	}{
		"as it should be":           {change(false, summed), 0},
		"options":                   {change(false, options), 0},
		"checksum":                  {change(false, func(b []byte) []byte { b[24] ^= 0x40; return b }), 19},
		"checksum with options":     {change(false, func(b []byte) []byte { b = options(b); b[35] = 0; return b }), 19},
		"shorter than its header":   {change(false, func(b []byte) []byte { b[16], b[17] = 0, 19; return summed(b) }), 19},
		"shorter than its options":  {change(false, func(b []byte) []byte { b = options(b); b[16], b[17] = 0, 23; return summed(b) }), 19},
		"nothing but the header":    {change(false, func(b []byte) []byte { b[16], b[17] = 0, 20; return summed(b) }), 0},
		"this network":              {source(false, "0.0.0.1"), 20},
		"loopback":                  {source(false, "127.0.0.1"), 20},
		"link-local":                {source(false, "169.254.1.1"), 20},
		"multicast":                 {source(false, "224.0.0.5"), 20},
		"broadcast":                 {source(false, "255.255.255.255"), 20},
		"unspecified of IPv6":       {source(true, "::"), 20},
		"loopback of IPv6":          {source(true, "::1"), 20},
		"link-local of IPv6":        {source(true, "fe80::1"), 20},
		"multicast of IPv6":         {source(true, "ff02::1"), 20},
		"longer than its frame":     {change(false, func(b []byte) []byte { b[17]++; return summed(b) }), 83},
		"longer than its frame, v6": {change(true, func(b []byte) []byte { b[19]++; return b }), 83},
		"padding":                   {change(false, longer(1414)), 0},
		"padding of IPv6":           {change(true, longer(1414)), 0},
		"longer than the MTU":       {change(false, longer(1415)), 83},
		"longer than the MTU, v6":   {change(true, longer(1415)), 83},
	} {
		t.Run(name, func(t *testing.T) {
			in := tt.frame(macG)
			switch {
			case tt.reason == 0:
				if got := e.one(1, in); got.port != 2 || len(got.frame) != len(in) || in[12] == 8 && onesSum(got.frame[14:14+4*int(in[14]&15)]) != 0xffff {
					t.Errorf("port %d: %x", got.port, got.frame)
				}
			case tt.reason < 64:
				e.punted(1, in, tt.reason)
			default:
				e.dropped(1, in, "egress", int(tt.reason))
			}
			in = tt.frame(macB)
			if got := e.one(1, in); got.port != 2 || !bytes.Equal(got.frame, in) {
				t.Errorf("bridged to port %d:\n got %x\nwant %x", got.port, got.frame, in)
			}
		})
	}
}
