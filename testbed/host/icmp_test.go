package host

import "testing"

// quote4 and quote6 are a time exceeded and a packet too big that quote echo requests.
func quote4() []byte {
	frame := make([]byte, 14, 128)
	frame[12], frame[13] = 0x08, 0x00
	outer := []byte{0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1}
	inner := []byte{0x45, 0, 0, 84, 0, 0, 0, 0, 1, 1, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7}
	frame = append(frame, outer...)
	frame = append(frame, 11, 0, 0, 0, 0, 0, 0, 0)
	frame = append(frame, inner...)
	return append(frame, 8, 0, 0, 0, 0x12, 0x34, 0, 5)
}

func quote6() []byte {
	frame := make([]byte, 14, 160)
	frame[12], frame[13] = 0x86, 0xdd
	ip := make([]byte, 40)
	ip[0], ip[6], ip[23], ip[39] = 0x60, 58, 1, 2
	frame = append(frame, ip...)
	frame = append(frame, 2, 0, 0, 0, 0, 0, 0x05, 0x78)
	ip[23], ip[39] = 2, 9
	frame = append(frame, ip...)
	return append(frame, 128, 0, 0, 0, 0x12, 0x34, 0, 6)
}

func TestParseICMPError(t *testing.T) {
	e := parseICMPError(quote4())
	if e == nil || e.Kind != TTLExceeded || e.From.String() != "10.0.0.1" || e.Dst.String() != "198.51.100.7:5" ||
		e.Src.Port() != 0x1234 || e.Error() != "ttl-exceeded from 10.0.0.1" {
		t.Errorf("v4: %+v", e)
	}
	e = parseICMPError(quote6())
	if e == nil || e.Kind != TooBig || e.MTU != 1400 || e.From.String() != "::1" || e.Dst.String() != "[::9]:6" ||
		e.Error() != "too-big from ::1 (mtu 1400)" {
		t.Errorf("v6: %+v", e)
	}
	reply := quote4()
	reply[34] = 0 // an echo reply is no error
	if e := parseICMPError(reply); e != nil {
		t.Errorf("echo reply: %+v", e)
	}
	later := quote4()
	later[21] = 1 // a later fragment holds no ICMP header
	if e := parseICMPError(later); e != nil {
		t.Errorf("later fragment: %+v", e)
	}
}

func TestParseEchoReply(t *testing.T) {
	four := quote4()[:14+20]
	four[14+8] = 61
	four = append(four, 0, 0, 0, 0, 0x12, 0x34, 0, 5)
	if r, ok := ParseEchoReply(four); !ok || r.From.String() != "10.0.0.1" || r.ID != 0x1234 || r.Seq != 5 || r.TTL != 61 {
		t.Errorf("v4: %+v, %t", r, ok)
	}
	six := quote6()[:14+40]
	six[14+7] = 62
	six = append(six, 129, 0, 0, 0, 0x12, 0x34, 0, 6)
	if r, ok := ParseEchoReply(six); !ok || r.From.String() != "::1" || r.ID != 0x1234 || r.Seq != 6 || r.TTL != 62 {
		t.Errorf("v6: %+v, %t", r, ok)
	}
	for _, not := range [][]byte{quote4(), quote6(), four[:30], six[:50], nil, append([]byte(nil), four[:len(four)-1]...)} {
		if r, ok := ParseEchoReply(not); ok {
			t.Errorf("%x: %+v", not, r)
		}
	}
}

func FuzzParseICMPError(f *testing.F) {
	f.Add(quote4())
	f.Add(quote6())
	f.Fuzz(func(t *testing.T, frame []byte) {
		if r, ok := ParseEchoReply(frame); ok && !r.From.IsValid() {
			t.Errorf("%x: %+v", frame, r)
		}
		e := parseICMPError(frame)
		if e == nil {
			return
		}
		if e.Kind == "" || !e.From.IsValid() || !e.Dst.IsValid() || e.From.Is4() != e.Dst.Addr().Is4() {
			t.Errorf("%x: %+v", frame, e)
		}
	})
}
