package soak

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// TestWitness: the witness finds each of the things that must not be, and nothing where all is well.
func TestWitness(t *testing.T) {
	var stations []*station
	for n := range outside + 1 {
		stations = append(stations, newStation(n))
	}
	const red1, red2, red3, blue1 = 0, 1, 2, vms
	red1s, outs := stations[red1], stations[outside]
	frame := func(m message, src, dst netip.Addr, sport uint16, to [6]byte) []byte {
		return packet.AppendUDP(nil, &packet.UDP{SrcMAC: packet.MAC{2, 9}, DstMAC: packet.MAC(to), Src: src, Dst: dst, SrcPort: sport, DstPort: steadyPort, Payload: m.bytes()})
	}
	a := func(n, version int) netip.Addr { return stations[n].addrs[version].Addr() }
	for version := range 2 {
		hidden, service := public(0, 1)[version], public(0, 0)[version]
		plain := message{from: red1, to: red2, conn: 1}
		out := func(conn uint64) message { return message{from: red1, to: uint16(outside), conn: conn} }
		for _, tc := range []struct {
			name string
			see  func(w *witness)
			want string // of what is told; "": nothing is
		}{
			{"as it should be", func(w *witness) {
				w.saw(stations[red2], frame(plain, a(red1, version), a(red2, version), 9, stations[red2].mac))
			}, ""},
			{"another tenant's", func(w *witness) {
				w.saw(stations[blue1+1], frame(plain, a(red1, version), a(red2, version), 9, stations[red2].mac))
			}, "received what red/vm1 sent to red/vm2"},
			{"another's of the tenant", func(w *witness) {
				w.saw(stations[red3], frame(plain, a(red1, version), a(red2, version), 9, stations[red3].mac))
			}, "red/vm3 received what"},
			{"flooded in the tenant", func(w *witness) {
				w.saw(stations[red3], frame(plain, a(red1, version), a(red2, version), 9, stations[red2].mac))
			}, ""},
			{"flooded beyond", func(w *witness) {
				w.saw(stations[blue1], frame(plain, a(red1, version), a(red2, version), 9, stations[red2].mac))
			}, "foreign"},
			{"from another address", func(w *witness) {
				w.saw(stations[red2], frame(plain, a(red3, version), a(red2, version), 9, stations[red2].mac))
			}, "from the address"},
			{"not translated", func(w *witness) { w.saw(outs, frame(out(1), a(red1, version), a(outside, version), 9, outs.mac)) }, "from the address"},
			{"translated", func(w *witness) { w.saw(outs, frame(out(1), hidden, a(outside, version), 9, outs.mac)) }, ""},
			{"the other tenant's translation", func(w *witness) { w.saw(outs, frame(out(1), public(1, 1)[version], a(outside, version), 9, outs.mac)) }, "from the address"},
			{"service", func(w *witness) {
				w.saw(red1s, frame(message{from: uint16(outside), to: toService, conn: 1}, a(outside, version), a(red1, version), 9, red1s.mac))
				w.saw(outs, frame(message{answer: true, from: red1, to: uint16(outside), via: toService, conn: 1}, service, a(outside, version), 9, outs.mac))
			}, ""},
			{"another tenant's service", func(w *witness) {
				w.saw(red1s, frame(message{from: uint16(outside), to: toService + 1, conn: 1}, a(outside, version), a(red1, version), 9, red1s.mac))
			}, "the service of blue"},
			{"collision", func(w *witness) {
				w.begins(1)
				w.begins(2)
				w.saw(outs, frame(out(1), hidden, a(outside, version), 9, outs.mac))
				w.saw(outs, frame(out(2), hidden, a(outside, version), 9, outs.mac))
			}, "are both"},
			{"one after the other", func(w *witness) {
				w.begins(1)
				w.begins(2)
				w.saw(outs, frame(out(1), hidden, a(outside, version), 9, outs.mac))
				w.ends(1)
				w.saw(outs, frame(out(2), hidden, a(outside, version), 9, outs.mac))
			}, ""},
			{"beside each other", func(w *witness) {
				w.begins(1)
				w.begins(2)
				w.saw(outs, frame(out(1), hidden, a(outside, version), 9, outs.mac))
				w.saw(outs, frame(out(2), hidden, a(outside, version), 10, outs.mac))
			}, ""},
		} {
			var told []string
			w := newWitness(func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }, stations)
			tc.see(w)
			if all := strings.Join(told, "; "); (tc.want == "") != (all == "") || !strings.Contains(all, tc.want) {
				t.Errorf("%s, IPv%d: %q, want %q", tc.name, 4+2*version, all, tc.want)
			}
		}
	}
}
