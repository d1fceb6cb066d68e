package engine

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// heard is a speaker that counts.
type heard map[flow.VPortID]int

func (heard) Speak(context.Context, []SpeakingPort) {}
func (h heard) Receive(id flow.VPortID, ip []byte)  { h[id] += len(ip) }

// TestSpeakerTakes: of what comes in at a port with sessions, the speaker has what is for the port itself; what is for others, of another port or another reason goes on to the engine, errors do in any case.
func TestSpeakerTakes(t *testing.T) {
	const local, other, id = 5, 6, 77
	h := heard{}
	a := &Agent{cfg: Config{Speaker: h}, here: new(residents)}
	a.here.set(local, newResident(id, false, 1))
	a.here.set(other, newResident(id+1, false, 1))
	s := newSpeaking(&core{a: a})
	segment := func(dst string) []byte {
		d := netip.MustParseAddr(dst)
		src := netip.MustParseAddr("192.0.2.9")
		if d.Is6() {
			src = netip.MustParseAddr("2001:db8::9")
		}
		return packet.AppendTCP(nil, &packet.TCP{SrcMAC: packet.MAC{2, 1}, DstMAC: packet.MAC{2, 2}, Src: src, Dst: d, SrcPort: 4000, DstPort: 179, Flags: packet.TCPSyn})
	}
	if s.take(local, flow.ReasonService, segment("192.0.2.1")) {
		t.Error("taken before there are sessions")
	}
	s.told.Store(&map[flow.VPortID]*topology.VPort{id: {ID: id, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}}})
	for _, x := range []struct {
		name       string
		local      uint16
		reason     flow.Reason
		data       []byte
		taken, got bool
	}{
		{"for the port", local, flow.ReasonService, segment("192.0.2.1"), true, true},
		{"for the port, IPv6", local, flow.ReasonService, segment("2001:db8::1"), true, true},
		{"on its way through the port", local, flow.ReasonService, segment("198.51.100.1"), false, false},
		{"of a port without sessions", other, flow.ReasonService, segment("192.0.2.1"), false, false},
		{"an error", local, flow.ReasonICMPError, segment("192.0.2.1"), false, true},
		{"a first packet", local, flow.ReasonMissFlow, segment("192.0.2.1"), false, false},
		{"who asks for a neighbour", local, flow.ReasonService, packet.AppendNS(nil, packet.MAC{2, 1}, netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("2001:db8::1")), false, false},
		{"who asks the port alone", local, flow.ReasonService, toItself(packet.AppendNS(nil, packet.MAC{2, 1}, netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("2001:db8::1")), packet.MAC{2, 2}), false, false},
		{"cut off", local, flow.ReasonService, segment("192.0.2.1")[:20], false, false},
	} {
		clear(h)
		if taken := s.take(x.local, x.reason, x.data); taken != x.taken || (h[id] > 0) != x.got {
			t.Errorf("%s: taken %v, %d bytes heard", x.name, taken, h[id])
		}
	}
	if n := a.counts.spoken.Load(); n != 2 {
		t.Errorf("%d packets spoken, want 2", n)
	}
}

// toldPorts is a speaker that notes what it is to do.
type toldPorts struct{ ports []SpeakingPort }

func (s *toldPorts) Speak(_ context.Context, ports []SpeakingPort) { s.ports = ports }
func (*toldPorts) Receive(flow.VPortID, []byte)                    {}

// TestSpeakerUnable: an edge whose gateways are all silent says that it can not forward, if there are other edges that it would have to forward to; and that it can once one answers.
func TestSpeakerUnable(t *testing.T) {
	told := &toldPorts{}
	a := &Agent{cfg: Config{Speaker: told, Logger: slog.New(slog.DiscardHandler), Links: []Uplink{{Gateway: []netip.Addr{gateway4, gateway6}}}}}
	a.core = &core{a: a, ctx: t.Context(), view: baseView(), snap: new(topology.Snapshot)}
	s := newSpeaking(a.core)
	a.core.speaking = s
	a.core.view.edges = nil
	s.ports[7] = SpeakingPort{Port: &topology.VPort{ID: 7}}
	s.dirty = true
	if s.tell(); told.ports != nil {
		t.Errorf("told %+v before the target is met", told.ports)
	}
	s.meet(true)
	if len(told.ports) != 1 || !told.ports[0].Forwards {
		t.Errorf("told %+v of a target that forwards", told.ports)
	}
	unable := func(want bool) {
		t.Helper()
		if len(told.ports) != 1 || (told.ports[0].Unable != "") != want {
			t.Errorf("told %+v, want unable: %v", told.ports, want)
		}
	}
	unable(false)
	a.silent(256, gateway4, false)
	unable(false)
	a.silent(256, gateway6, false)
	unable(false) // there is nobody else
	a.core.view.edges = map[string]Edge{"e2": {}}
	s.tell()
	unable(true)
	a.silent(256, gateway6, true)
	unable(false)
}

// TestSpeakerWatched: the kinds of BFD whose packets come to a port follow from its sessions.
func TestSpeakerWatched(t *testing.T) {
	on := topology.BFD{MinTx: 1, MinRx: 1, Multiplier: 3}
	p := SpeakingPort{Port: &topology.VPort{ID: 7, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}}}
	add := func(peer string, as uint32, hops uint8, b topology.BFD) {
		p.Sessions = append(p.Sessions, &topology.BGPSession{LocalAS: 64500, PeerAS: as, PeerAddress: netip.MustParseAddr(peer), Multihop: hops, BFD: b})
	}
	add("192.0.2.7", 64501, 0, topology.BFD{})
	add("203.0.113.7", 64501, 3, topology.BFD{})
	if got := p.watched(); len(got) != 0 {
		t.Errorf("%v, and nothing is watched", got)
	}
	add("2001:db8:1::7", 64501, 3, on)
	add("2001:db8::7", 64501, 0, on)
	add("2001:db8::8", 64500, 0, on)   // internal, on the link
	add("203.0.113.8", 64500, 0, on)   // internal, beyond it
	add("203.0.113.9", 64501, 255, on) // of a kind that is there
	want := []offload.BFDKind{{V6: true}, {Multihop: true}, {V6: true, Multihop: true}}
	if got := p.watched(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
