package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
)

// spoken is an IP packet of a speaker.
func spoken(src, dst string, port uint16) []byte {
	return packet.AppendUDP(nil, &packet.UDP{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), SrcPort: 50000, DstPort: port, TTL: 255, Payload: make([]byte, 24)})[packet.EthernetLen:]
}

// gone is what the simulation makes of a packet that leaves by a neighbour.
func gone(frame []byte, dest flow.Dest, kind sim.OriginKind) *sim.Result {
	out := bytes.Clone(frame)
	copy(out, []byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1})
	return &sim.Result{Originated: []sim.Originated{{Frame: out, Dest: dest, Kind: kind}}}
}

// TestSpokenWays: a packet leaves as the last of its kind did, one of another kind does not, and none does by a way that nobody looked at for long, that is another now, or whose port has no sessions.
func TestSpokenWays(t *testing.T) {
	for _, x := range []struct{ src, dst, other string }{{"192.0.2.1", "192.0.2.9", "192.0.2.8"}, {"2001:db8::1", "2001:db8::9", "2001:db8::8"}, {"fe80::1", "fe80::9", "fe80::8"}} {
		synctest.Test(t, func(t *testing.T) {
			const port, dest = 7, flow.Dest(77)
			var w spokenWays
			known := func(port flow.VPortID, ip []byte) bool {
				_, _, known := w.find(port, spokenFrame(ip))
				return known
			}
			ip := spoken(x.src, x.dst, 3784)
			if known(port, ip) {
				t.Error("a way is known before a packet left")
			}
			learnt := gone(spokenFrame(ip), dest, sim.OriginSpeaker)
			w.learn(port, spokenFrame(ip), learnt)
			frame := spokenFrame(ip)
			to, hash, ok := w.find(port, frame)
			var f packet.Frame
			if err := packet.ParseUntagged(frame, &f); err != nil {
				t.Fatal(err)
			}
			if !ok || to != dest || !bytes.Equal(frame, learnt.Originated[0].Frame) || hash != flow.Hash(&f) {
				t.Errorf("leaves as %x at %v, want %x", frame, to, learnt.Originated[0].Frame)
			}
			for what, is := range map[string]bool{
				"another destination": known(port, spoken(x.src, x.other, 3784)), "another source": known(port, spoken(x.other, x.dst, 3784)),
				"another port of UDP": known(port, spoken(x.src, x.dst, 4784)), "another port": known(port+1, ip), "nothing": known(port, nil), "cut off": known(port, ip[:15]),
			} {
				if is {
					t.Errorf("%s: the way is known", what)
				}
			}
			time.Sleep(spokenFresh)
			if !known(port, ip) {
				t.Error("the way is not known any more, too soon")
			}
			time.Sleep(time.Millisecond)
			if known(port, ip) {
				t.Error("the way is known still")
			}
			for what, res := range map[string]*sim.Result{
				"nothing leaves": {}, "a question leaves": gone(spokenFrame(ip), dest, sim.OriginARP),
				"another packet leaves": gone(spokenFrame(spoken(x.src, x.dst, 4784)), dest, sim.OriginSpeaker),
			} {
				w.learn(port, spokenFrame(ip), learnt)
				if !known(port, ip) {
					t.Error("a way is not learnt again")
				}
				if w.learn(port, spokenFrame(ip), res); known(port, ip) {
					t.Errorf("%s: the way is known still", what)
				}
			}
			w.learn(port, spokenFrame(ip), learnt)
			w.learn(port+1, spokenFrame(ip), learnt)
			if w.forget(port); known(port, ip) || !known(port+1, ip) {
				t.Error("the ways of a port are not forgotten, or those of another are")
			}
		})
	}
}

// TestSpokenWaysBounded: who sends from many addresses does not make the table grow.
func TestSpokenWaysBounded(t *testing.T) {
	var w spokenWays
	for i := range 3 * maxSpoken {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24|uint32(i+1))
		ip := spoken("192.0.2.1", fmt.Sprint(netip.AddrFrom4(b)), 3784)
		w.learn(7, spokenFrame(ip), gone(spokenFrame(ip), 77, sim.OriginSpeaker))
		if len(w.ways) > maxSpoken {
			t.Fatalf("%d ways", len(w.ways))
		}
	}
}
