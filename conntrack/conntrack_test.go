package conntrack

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

func addr(s string) flow.Addr { return flow.AddrOf(netip.MustParseAddr(s)) }

func conn(v6 bool) Conn {
	c := Conn{Forward: Key{7, Tuple{Src: addr("10.0.0.1"), Dst: addr("192.0.2.1"), SrcPort: 4000, DstPort: 80, Proto: 6}}, RetZone: 9, Birth: 200, Progress: Progress{}.Next(tcp(packet.TCPSyn, 0, 0), false), ForwardOwner: MaxOwner, ReturnOwner: 1 << 33}
	inside, outside := addr("10.9.0.1"), addr("198.51.100.1")
	if v6 {
		c.Forward.Src, c.Forward.Dst, c.Forward.V6 = addr("fd00::1"), addr("2001:db8::1"), true
		inside, outside = addr("fd00:9::1"), addr("2001:db8:51::1")
	}
	c.AddStep(Step{Device: 1, Dst: true, Port: 8080, Addr: inside, Pool: 1 << 20})
	c.AddStep(Step{Device: 3, Dst: true, Port: 8080, Addr: inside, Static: true})
	c.AddStep(Step{Device: 4, Port: 4000, Addr: outside, Static: true})
	c.AddStep(Step{Device: 2, Port: 50000, Addr: outside})
	return c
}

// ended is a connection in which both sides sent a FIN.
func ended(v6 bool) Conn {
	c := conn(v6)
	c.Progress = c.Next(tcp(packet.TCPFin|packet.TCPAck, 1<<31, 5), false).Next(tcp(packet.TCPFin|packet.TCPAck, 7, 5), true)
	return c
}

func TestCodec(t *testing.T) {
	for _, c := range []Conn{conn(false), conn(true), ended(false), ended(true)} {
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
		if ret.Zone != 9 || ret.DstPort != 50000 || ret.SrcPort != 8080 || ret.Dst != c.Steps()[3].Addr || ret.Src != c.Steps()[0].Addr {
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
		for _, id := range []uint16{77, 0, 1, 8, 0xffff} {
			ask := flow.Key{EtherType: v.et, Proto: v.proto, Src: v.a, Dst: v.b, SrcPort: v.ask, DstPort: id}
			answer := flow.Key{EtherType: v.et, Proto: v.proto, Src: v.b, Dst: v.a, SrcPort: v.answer, DstPort: id}
			back := flow.Key{EtherType: v.et, Proto: v.proto, Src: v.b, Dst: v.a, SrcPort: v.ask, DstPort: id}
			other := flow.Key{EtherType: v.et, Proto: v.proto, Src: v.a, Dst: v.b, SrcPort: 13 << 8}
			q, a, b, o := Key{5, TupleOf(&ask)}, Key{5, TupleOf(&answer)}, Key{5, TupleOf(&back)}, Key{5, TupleOf(&other)}
			if ret := (Key{5, q.Reverse()}); !ret.Is(&a) || ret.Is(&b) || q.Is(&o) || !q.HasPort(false) || q.HasPort(true) || !a.HasPort(true) || o.HasPort(false) {
				t.Errorf("%v, %v, %v, %v", q, a, b, o)
			}
			names := map[[NameLen]byte]bool{}
			for _, k := range []Key{q, a, b, o} {
				names[k.Name()] = true
				if got, err := ParseKey(k.Append(nil)); err != nil || got != k {
					t.Errorf("%v is read as %v, %v", k, got, err)
				}
			}
			if len(names) != 4 {
				t.Errorf("%d names of %v, %v, %v, %v", len(names), q, a, b, o)
			}
			q.SrcPort = 99
			q.Apply(&ask)
			if ask.DstPort != 99 || ask.SrcPort != v.ask {
				t.Errorf("translated %+v", ask)
			}
		}
	}
}

// tcp is a segment of four bytes at seq, which acknowledges all before ack.
func tcp(flags uint8, seq, ack uint32) *Packet {
	p := &Packet{Proto: packet.ProtoTCP, Flags: flags, Segment: packet.Segment{Seq: seq, Ack: ack, Len: 4}}
	if flags&(packet.TCPFin|packet.TCPSyn) != 0 {
		p.Len++
	}
	return p
}

// TestStates follows connections of TCP to their ends; FINs of the forward side end at 15, of the other one at 25.
func TestStates(t *testing.T) {
	const syn, ack, fin, rst = packet.TCPSyn, packet.TCPAck, packet.TCPFin, packet.TCPRst
	type p struct {
		*Packet
		reply bool
		want  string
	}
	up := []p{{tcp(syn, 0, 0), false, "syn-sent"}, {tcp(syn, 0, 0), false, "syn-sent"}, {tcp(syn|ack, 0, 5), true, "established"}, {tcp(ack, 6, 6), false, "established"}}
	for name, way := range map[string][]p{
		"whole":           append(up, p{tcp(fin|ack, 10, 20), false, "half-closed"}, p{tcp(fin|ack, 10, 20), false, "half-closed"}, p{tcp(ack, 20, 15), true, "half-closed"}, p{tcp(fin|ack, 20, 15), true, "closing"}, p{tcp(ack, 15, 24), false, "closing"}, p{tcp(ack, 15, 25), false, "closed"}, p{tcp(fin|ack, 20, 15), true, "closed"}),
		"ack with FIN":    append(up, p{tcp(fin|ack, 10, 20), false, "half-closed"}, p{tcp(fin|ack, 20, 15), true, "closing"}, p{tcp(ack, 15, 25), false, "closed"}),
		"server ends":     append(up, p{tcp(fin|ack, 20, 6), true, "half-closed by server"}, p{tcp(fin|ack, 20, 6), true, "half-closed by server"}, p{tcp(fin|ack, 10, 25), false, "closing"}, p{tcp(ack, 25, 15), true, "closed"}),
		"both at once":    append(up, p{tcp(fin|ack, 10, 20), false, "half-closed"}, p{tcp(fin|ack, 20, 10), true, "closing"}, p{tcp(ack, 15, 25), false, "closing"}, p{tcp(ack, 25, 15), true, "closed"}),
		"FIN once more":   append(up, p{tcp(fin|ack, 10, 20), false, "half-closed"}, p{tcp(fin|ack, 90, 20), false, "half-closed"}, p{tcp(fin|ack, 20, 15), true, "closing"}, p{tcp(ack, 15, 25), false, "closed"}),
		"refused":         {{tcp(syn, 0, 0), false, "syn-sent"}, {tcp(rst|ack, 0, 5), true, "reset"}},
		"in the middle":   {{tcp(rst, 0, 0), false, "none"}, {tcp(fin|ack, 0, 0), false, "none"}, {tcp(ack, 6, 6), false, "syn-sent"}, {tcp(ack, 6, 6), false, "syn-sent"}, {tcp(ack, 6, 6), true, "established"}, {tcp(rst, 6, 0), false, "reset"}},
		"reset by others": append(up, p{tcp(rst, 99, 0), true, "reset"}, p{tcp(ack, 6, 6), false, "reset"}, p{tcp(ack, 6, 6), true, "established"}),
	} {
		var s Progress
		for i, x := range way {
			if s = s.Next(x.Packet, x.reply); s.String() != x.want {
				t.Errorf("%s: packet %d: %v, want %v", name, i, s.State, x.want)
			}
		}
		if over := s.String() == "closed" || s.String() == "reset"; s.Over() != over || s.Begins(tcp(syn, 0, 0), false) != (over || s.Ended(false)) || s.Begins(tcp(syn|ack, 0, 0), false) {
			t.Errorf("%s: %v is over: %v", name, s.State, s.Over())
		}
	}
}

// TestAround: a FIN's acknowledgement is known where sequence numbers start again from 0.
func TestAround(t *testing.T) {
	s := Progress{}.Next(tcp(packet.TCPSyn, 0, 0), false).Next(tcp(packet.TCPFin|packet.TCPAck, 1<<32-5, 0), false)
	for number, want := range map[uint32]bool{1<<32 - 1: false, 0: true, 1: true, 1<<32 - 6: false} {
		x := s
		if x.Acknowledged(number, true); (x.State != s.State) != want {
			t.Errorf("acknowledged up to %d: %v", number, !want)
		}
		x = s
		if x.Acknowledged(number, false); x.State != s.State {
			t.Errorf("acknowledged by itself")
		}
	}
}

// TestJoin: two edges of which each saw the FIN of one side know together that both ended.
func TestJoin(t *testing.T) {
	up := Progress{}.Next(tcp(packet.TCPSyn, 0, 0), false)
	one, two := up.Next(tcp(packet.TCPFin|packet.TCPAck, 10, 0), false), up.Next(tcp(packet.TCPFin|packet.TCPAck, 20, 0), true)
	both := one.Next(tcp(packet.TCPFin|packet.TCPAck, 20, 0), true)
	for _, x := range [][3]Progress{{one, two, both}, {up, one, one}, {one, one, one}, {both, two, both}} {
		if x[0].Join(x[1]) != x[2] || x[1].Join(x[0]) != x[2] {
			t.Errorf("%v and %v are %v", x[0], x[1], x[0].Join(x[1]))
		}
	}
	for _, x := range []struct {
		*Packet
		reply, want bool
	}{{tcp(packet.TCPFin|packet.TCPAck, 10, 0), false, false}, {tcp(packet.TCPAck, 11, 0), false, false}, {tcp(packet.TCPAck, 12, 0), false, true}, {tcp(packet.TCPAck, 99, 0), true, false}, {tcp(packet.TCPSyn, 99, 0), false, false}} {
		if one.Beyond(x.Packet, x.reply) != x.want {
			t.Errorf("%+v, %v: data behind a FIN: %v", x.Packet, x.reply, !x.want)
		}
	}
	if !one.Awaits(true) || one.Awaits(false) || !both.Awaits(false) || up.Awaits(true) {
		t.Error("who is awaited")
	}
	if !one.Ended(false) || one.Ended(true) || one.Over() || !both.Over() || up.Ends() != StateNone {
		t.Error("who ended")
	}
}

func TestTimeouts(t *testing.T) {
	times := DefaultTimeouts()
	udp := Progress{}.Next(&Packet{Proto: packet.ProtoUDP}, false)
	up := Progress{}.Next(tcp(packet.TCPSyn, 0, 0), false)
	for _, x := range []struct {
		Progress
		name string
		want time.Duration
	}{
		{udp, "single", times.Single}, {udp.Next(&Packet{Proto: packet.ProtoUDP}, false), "single", times.Single}, {udp.Next(&Packet{Proto: packet.ProtoUDP}, true), "both", times.Both},
		{up, "syn-sent", times.TCPOpening}, {up.Next(tcp(packet.TCPAck, 0, 0), true), "established", times.TCPEstablished}, {up.Next(tcp(packet.TCPAck, 0, 0), true).Next(tcp(packet.TCPFin|packet.TCPAck, 0, 0), false), "half-closed", times.TCPEstablished},
		{up.Next(tcp(packet.TCPRst, 0, 0), true), "reset", times.TCPClosed}, {up.Next(tcp(packet.TCPFin|packet.TCPAck, 0, 0), false), "half-closed", times.TCPOpening},
	} {
		if x.String() != x.name || times.Of(x.State) != x.want {
			t.Errorf("%v: %v, want %s: %v", x.State, times.Of(x.State), x.name, x.want)
		}
	}
}

func FuzzParseConn(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		for _, c := range []Conn{conn(v6), ended(v6)} {
			f.Add(c.Forward.Append(nil), c.Append(nil))
		}
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
