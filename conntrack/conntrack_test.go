package conntrack

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

func addr(s string) flow.Addr { return flow.AddrOf(netip.MustParseAddr(s)) }

func conn(v6 bool) Conn {
	c := Conn{Forward: Key{7, Tuple{Src: addr("10.0.0.1"), Dst: addr("192.0.2.1"), SrcPort: 4000, DstPort: 80, Proto: 6}}, RetZone: 9, State: SynSent, ForwardOwner: MaxOwner, ReturnOwner: 1 << 33}
	inside, outside := addr("10.9.0.1"), addr("198.51.100.1")
	if v6 {
		c.Forward.Src, c.Forward.Dst, c.Forward.V6 = addr("fd00::1"), addr("2001:db8::1"), true
		inside, outside = addr("fd00:9::1"), addr("2001:db8:51::1")
	}
	c.AddStep(Step{Device: 1, Dst: true, Port: 8080, Addr: inside, Pool: 1 << 20})
	c.AddStep(Step{Device: 2, Port: 50000, Addr: outside})
	return c
}

func TestCodec(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		c := conn(v6)
		b := c.Append(nil)
		back, err := ParseConn(b)
		if err != nil || back != c {
			t.Errorf("%+v became %+v, %v", c, back, err)
		}
		k, err := ParseKey(c.Forward.Append(nil))
		if err != nil || k != c.Forward {
			t.Errorf("%+v became %+v, %v", c.Forward, k, err)
		}
		for n := range b {
			if _, err := ParseConn(b[:n]); err == nil {
				t.Errorf("%d bytes are understood", n)
			}
		}
		ret := c.Return()
		if ret.Zone != 9 || ret.DstPort != 50000 || ret.SrcPort != 8080 || ret.Dst != c.Steps()[1].Addr || ret.Src != c.Steps()[0].Addr {
			t.Errorf("return %+v", ret)
		}
		if c.At(0) != c.Forward.Tuple || c.At(1).Dst != c.Steps()[0].Addr || c.At(1).Src != c.Forward.Src {
			t.Errorf("on its way %v, %v", c.At(0), c.At(1))
		}
	}
}

// TestEcho: the reverse of a ping's tuple is its answer's, and a ping the other way is another connection.
func TestEcho(t *testing.T) {
	for _, v := range []struct {
		et          uint16
		proto       uint8
		ask, answer uint16
		a, b        flow.Addr
	}{{packet.EtherTypeIPv4, 1, 0x0800, 0, addr("10.0.0.1"), addr("10.0.0.2")}, {packet.EtherTypeIPv6, 58, 0x8000, 0x8100, addr("fd00::1"), addr("fd00::2")}} {
		ask := flow.Key{EtherType: v.et, Proto: v.proto, Src: v.a, Dst: v.b, SrcPort: v.ask, DstPort: 77}
		answer := flow.Key{EtherType: v.et, Proto: v.proto, Src: v.b, Dst: v.a, SrcPort: v.answer, DstPort: 77}
		back := flow.Key{EtherType: v.et, Proto: v.proto, Src: v.b, Dst: v.a, SrcPort: v.ask, DstPort: 77}
		q := TupleOf(&ask)
		if q.Reverse() != TupleOf(&answer) || q.Reverse() == TupleOf(&back) || !q.HasPorts() {
			t.Errorf("%v, %v", q, TupleOf(&answer))
		}
		q.SrcPort = 99
		q.Apply(&ask)
		if ask.DstPort != 99 || ask.SrcPort != v.ask {
			t.Errorf("translated %+v", ask)
		}
	}
}

func TestStates(t *testing.T) {
	const syn, ack, fin, rst = packet.TCPSyn, packet.TCPAck, packet.TCPFin, packet.TCPRst
	type p struct {
		flags uint8
		reply bool
		want  State
	}
	for name, way := range map[string][]p{
		"whole":         {{syn, false, SynSent}, {syn, false, SynSent}, {syn | ack, true, Established}, {ack, false, Established}, {fin | ack, false, HalfForward}, {fin | ack, false, HalfForward}, {ack, true, HalfForward}, {fin | ack, true, Closed}, {ack, false, Closed}},
		"server ends":   {{syn, false, SynSent}, {syn | ack, true, Established}, {fin | ack, true, HalfReturn}, {fin | ack, true, HalfReturn}, {fin | ack, false, Closed}},
		"refused":       {{syn, false, SynSent}, {rst | ack, true, Closed}},
		"in the middle": {{rst, false, StateNone}, {ack, false, SynSent}, {ack, false, SynSent}, {ack, true, Established}, {rst, false, Closed}},
	} {
		s := StateNone
		for i, x := range way {
			if s = s.Next(packet.ProtoTCP, x.flags, x.reply); s != x.want {
				t.Errorf("%s: packet %d: %v, want %v", name, i, s, x.want)
			}
		}
	}
	if s := StateNone.Next(17, 0, false); s != Single || s.Next(17, 0, false) != Single || s.Next(17, 0, true) != Both || Both.Next(17, 0, false) != Both {
		t.Error("UDP")
	}
	if !Closed.Begins(6, syn) || Closed.Begins(6, syn|ack) || Established.Begins(6, syn) {
		t.Error("what begins anew")
	}
	for _, x := range [][3]State{{SynSent, Established, Established}, {Established, HalfReturn, HalfReturn}, {HalfForward, HalfReturn, Closed}, {HalfForward, HalfForward, HalfForward}, {Closed, SynSent, Closed}, {Single, Both, Both}} {
		if x[0].Join(x[1]) != x[2] || x[1].Join(x[0]) != x[2] {
			t.Errorf("%v and %v are %v", x[0], x[1], x[0].Join(x[1]))
		}
	}
	times := DefaultTimeouts()
	for s := StateNone + 1; s < states; s++ {
		if times.Of(s) <= 0 || s.String() == "" {
			t.Errorf("state %d has no time", s)
		}
	}
}

func FuzzParseConn(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		c := conn(v6)
		f.Add(c.Forward.Append(nil), c.Append(nil))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		k, err := ParseKey(key)
		if err != nil {
			return
		}
		if !bytes.Equal(k.Append(nil), key) {
			t.Errorf("key % x is written as % x", key, k.Append(nil))
		}
		c, err := ParseConn(value)
		if err == nil && !bytes.Equal(c.Append(nil), value) {
			t.Errorf("value % x is written as % x", value, c.Append(nil))
		}
	})
}
