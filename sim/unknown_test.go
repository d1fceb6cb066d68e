package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// TestUnknownDropped (B1): a bridge that drops unknown unicast says for whom the frame may wait, and takes an answer to a station that is only being learnt from
// the question to where that came from.
func TestUnknownDropped(t *testing.T) {
	l := newLab(t, strings.Replace(twoTiers, "macs: []", "unknownUnicast: drop", 1))
	new := mac("99:99")
	for _, x := range []udp{{src: "10.1.0.11", dst: "10.1.0.99"}, {src: "2001:db8:1::11", dst: "2001:db8:1::99"}} {
		x.from, x.to = mac("0a:01"), new
		r := l.run("a1", x.frame())
		want := Effect{Kind: AwaitMAC, Device: l.bridge("web"), MAC: new}
		if len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropUnknownMAC || !slices.Contains(r.Effects, want) || !r.Installable {
			t.Errorf("%s: %+v, effects %+v", x.dst, r.Outcomes, r.Effects)
		}
	}
	for _, x := range []udp{{src: "10.1.0.99", dst: "8.8.8.8"}, {src: "2001:db8:1::99", dst: "2a00::1"}} {
		l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: l.port("edge-web"), Addr: ip(x.src), MAC: new, State: topology.NeighbourOK}}})
		x.from, x.to, x.ttl = new, mac("ee:01"), 1
		r := l.run("a3", x.frame())
		if len(r.Originated) != 1 || r.Originated[0].Dest != l.port("a3").Dest() {
			t.Errorf("%s: %d answers\n%v", x.src, len(r.Originated), r.Trace)
		}
	}
}

// TestPortGone: a MAC behind a port that is gone is as one that the bridge does not know: flooded, or dropped and waited for, at its own bridge and behind a link.
func TestPortGone(t *testing.T) {
	const gone = flow.VPortID(4000)
	for _, spec := range []string{"macs: []", "unknownUnicast: drop"} {
		for _, p := range []udp{{from: mac("0a:01"), to: mac("0b:09"), src: "10.1.0.11", dst: "10.1.0.99"}, {from: mac("0a:01"), to: mac("0b:09"), src: "2001:db8:1::11", dst: "2001:db8:1::99"}} {
			l := newLab(t, strings.Replace(twoTiers, "macs: []", spec, 1))
			frame := p.frame()
			want := l.run("a1", frame)
			outcomes, effects := slices.Clone(want.Outcomes), slices.Clone(want.Effects)
			l.change(topology.Changes{FDB: []topology.FDBEntry{{Bridge: l.bridge("web"), MAC: mac("0b:09"), Port: gone}, {Bridge: l.bridge("back"), MAC: mac("0b:09"), Port: gone}}})
			r := l.run("a1", frame)
			if !slices.Equal(r.Outcomes, outcomes) || !slices.Equal(r.Effects, effects) {
				t.Errorf("%s, %s: %+v %+v, want %+v %+v\n%v", spec, p.dst, r.Outcomes, r.Effects, outcomes, effects, r.Trace)
			}
			if !slices.Contains(r.Deps, topology.VPortDep(gone)) {
				t.Errorf("%s, %s: it does not depend on the port: %v", spec, p.dst, r.Deps)
			}
		}
	}
}
