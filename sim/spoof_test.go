package sim

import (
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// TestSpoofedNeighbour: a host that names another MAC than its frame's source is neither answered nor learnt from, by any message.
func TestSpoofedNeighbour(t *testing.T) {
	l := newLab(t, guarded)
	mine, other := mac("0a:01"), mac("0a:0f")
	for name, say := range map[string]func(packet.MAC) []byte{
		"ARP request": func(m packet.MAC) []byte { return packet.AppendARPRequest(nil, m, ip("10.1.0.11"), ip("10.1.0.1")) },
		"ARP announcement": func(m packet.MAC) []byte {
			return packet.AppendARPRequest(nil, m, ip("10.1.0.11"), ip("10.1.0.11"))
		},
		"solicitation": func(m packet.MAC) []byte { return packet.AppendNS(nil, m, ip("2001:db8:1::11"), ip("2001:db8:1::1")) },
		"advertisement": func(m packet.MAC) []byte {
			return packet.AppendUnsolicitedNA(nil, m, ip("2001:db8:1::11"), false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if r := l.run("a1", say(mine)); r.Outcomes[0].Verdict == Drop {
				t.Errorf("of its own: %+v\n%v", r.Outcomes, r.Trace)
			}
			b := say(other)
			copy(b[6:12], mine[:])
			r := l.run("a1", b)
			if len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropSpoofedNeighbour || r.Installable || len(r.Originated)+len(r.Effects) > 0 {
				t.Errorf("of another: %+v\n%v", r.Outcomes, r.Trace)
			}
		})
	}
}
