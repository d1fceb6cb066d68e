package p4rt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

func TestPacketIn(t *testing.T) {
	type packet struct {
		Payload string
		Meta    [3]uint64
	}
	got := make(chan packet, 10)
	l := newLab(t, func(c *p4rt.Config) {
		c.PacketIn = func(p *p4rt.PacketIn) {
			got <- packet{string(p.Payload), [3]uint64{p.Meta(0), p.Meta(1), p.Value(2).Lo}}
		}
	})
	l.ready()
	l.srv.PacketIn([]byte("one"), []byte{1, 2}, []byte{0, 3}, []byte{0, 0, 0, 4}) // padded
	l.srv.PacketIn([]byte("bad"), []byte{1, 2, 3})                                // too wide
	l.srv.PacketIn([]byte("two"), []byte{9})                                      // leaves out the rest
	for _, want := range []packet{{"one", [3]uint64{0x102, 3, 4}}, {"two", [3]uint64{9, 0, 0}}} {
		select {
		case p := <-got:
			if p != want {
				t.Errorf("got %v, want %v", p, want)
			}
		case <-l.ctx.Done():
			t.Fatal("no packet")
		}
	}
	if s := l.session.Stats(); s.PacketsIn != 2 || s.MalformedIn != 1 {
		t.Errorf("%+v", s)
	}
}

func TestPacketOutOrder(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	const n = 5000
	for i := range n {
		payload := binary.BigEndian.AppendUint32(bytes.Repeat([]byte{7}, i%1600), uint32(i))
		if err := l.session.PacketOut(l.ctx, payload, p4rt.U64(1), p4rt.U64(uint64(i%512))); err != nil {
			t.Fatal(err)
		}
	}
	l.await("all packets", func(v p4rttest.View) bool { return len(v.PacketsOut) == n })
	for i, p := range l.srv.View().PacketsOut {
		b := p.GetPayload()
		if len(b) != i%1600+4 || int(binary.BigEndian.Uint32(b[len(b)-4:])) != i {
			t.Fatalf("packet %d is not in its place", i)
		}
		port, err := p4rt.ParseValue(p.GetMetadata()[1].GetValue())
		if err != nil || port.Lo != uint64(i%512) {
			t.Fatalf("packet %d: port %v, %v", i, port, err)
		}
	}
}

func TestPacketOutRefused(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	for _, tc := range []struct {
		name string
		meta []p4rt.Value
		err  error
	}{
		{"too few", []p4rt.Value{p4rt.U64(1)}, p4rt.ErrMissing},
		{"too many", make([]p4rt.Value, 3), p4rt.ErrMissing},
		{"too wide", []p4rt.Value{p4rt.U64(1), p4rt.U64(1 << 16)}, p4rt.ErrOverflow},
	} {
		if err := l.session.PacketOut(l.ctx, []byte("x"), tc.meta...); !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestPacketOutNotConnected(t *testing.T) {
	srv := p4rttest.NewServer()
	defer srv.Close()
	s, err := p4rt.NewSession(p4rt.Config{Dial: srv.Dial, Schema: miniSchema(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.TryPacketOut([]byte("x"), p4rt.U64(1), p4rt.U64(1)); !errors.Is(err, p4rt.ErrNotConnected) {
		t.Errorf("got %v", err)
	}
}

func TestIdleTimeout(t *testing.T) {
	got := make(chan []*p4rt.Entry, 1)
	l := newLab(t, func(c *p4rt.Config) { c.IdleTimeout = func(es []*p4rt.Entry) { got <- es } })
	l.ready()
	l.write(l.flows(p4rt.Insert, 3, 4))
	l.srv.Idle(append(l.srv.Entries(), &p4.TableEntry{TableId: 99})...)
	select {
	case es := <-got:
		if len(es) != 1 || es[0].Key() != l.flow(3, 7).Key() {
			t.Errorf("got %v", es)
		}
	case <-l.ctx.Done():
		t.Fatal("no notice")
	}
	if s := l.session.Stats(); s.IdleNotices != 1 || s.MalformedIn != 1 {
		t.Errorf("%+v", s)
	}
}

// A target's complaint about a packet is counted; so are messages of its own kind, and digests that
// the p4info doesn't have.
func TestStreamOddities(t *testing.T) {
	got := make(chan struct{})
	l := newLab(t, func(c *p4rt.Config) { c.PacketIn = func(*p4rt.PacketIn) { close(got) } })
	l.ready()
	l.srv.Send(&p4.StreamMessageResponse{Update: &p4.StreamMessageResponse_Error{Error: &p4.StreamError{CanonicalCode: 3, Message: "bad"}}})
	l.srv.Send(&p4.StreamMessageResponse{Update: &p4.StreamMessageResponse_Digest{Digest: &p4.DigestList{DigestId: 1}}})
	l.srv.Send(&p4.StreamMessageResponse{Update: &p4.StreamMessageResponse_Other{}})
	l.srv.PacketIn([]byte("x"), []byte{1}) // comes after them
	select {
	case <-got:
	case <-l.ctx.Done():
		t.Fatal("no packet")
	}
	if s := l.session.Stats(); s.StreamErrors != 1 || s.Unhandled != 1 || s.MalformedIn != 1 || s.PacketsIn != 1 {
		t.Errorf("%+v", s)
	}
}
