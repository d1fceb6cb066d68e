package sim

import (
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// FuzzSimulate: whatever a vport sends, the walk ends with at least one outcome, what it originates is a frame that parses, what it forwards goes to
// something that exists, and the frame itself is left as it was.
func FuzzSimulate(f *testing.F) {
	l := newLab(f, twoTiers)
	a1, gw := mac("0a:01"), mac("ee:01")
	for _, frame := range [][]byte{
		udp{from: a1, to: mac("0a:02"), src: "10.1.0.11", dst: "10.1.0.12", ttl: 64}.frame(),
		udp{from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:113::9", ttl: 1}.frame(),
		udp{from: a1, to: gw, src: "10.1.0.11", dst: "192.0.2.200", ttl: 3, size: 1500, df: true}.frame(),
		packet.AppendARPRequest(nil, a1, ip("10.1.0.11"), ip("10.1.0.1")),
		packet.AppendNS(nil, a1, ip("2001:db8:1::11"), ip("2001:db8:1::1")),
	} {
		f.Add(frame, uint8(0))
		f.Add(frame, uint8(3))
	}
	var ports []flow.VPortID
	for _, name := range []string{"a1", "a2", "a3", "b1", "uplink"} {
		ports = append(ports, l.port(name))
	}
	a2, uplink := ports[1].Dest(), ports[4].Dest()
	f.Fuzz(func(t *testing.T, data []byte, from uint8) {
		frame := append([]byte(nil), data...)
		var p packet.Frame
		if packet.Parse(frame, &p) != nil {
			return
		}
		in := ports[int(from)%len(ports)]
		for _, lost := range []Lost{{}, {Dest: a2}, {Dest: uplink}} {
			l.sim.SimulateLost(l.snap, &p, in, 0, lost, &l.res)
			if len(l.res.Outcomes) == 0 {
				t.Fatal("no outcome")
			}
			for _, o := range l.res.Outcomes {
				if o.Verdict != Forward {
					continue
				}
				if l.snap.VPort(o.Dest.VPort()) == nil && l.snap.Bridge(topology.DeviceID(o.Dest)) == nil {
					t.Errorf("forwarded to %d, which does not exist", o.Dest)
				}
				if len(l.res.Outcomes) == 1 && o.Dest == lost.Dest && lost.Dest != 0 {
					t.Errorf("forwarded to %d, which is out of reach", o.Dest)
				}
			}
			for _, o := range l.res.Originated {
				var q packet.Frame
				if err := packet.Parse(o.Frame, &q); err != nil {
					t.Errorf("originated a frame that does not parse: %v: %x", err, o.Frame)
				}
			}
		}
		if string(frame) != string(data) {
			t.Error("the simulation changed the frame")
		}
	})
}
