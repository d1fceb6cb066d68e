package sim

import (
	"slices"
	"strings"
	"testing"

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
