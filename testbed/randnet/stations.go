package randnet

import (
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Stations has some devices and vports that have no chains yet refuse what one of the learnt stations sends: all of it, or what is of a protocol. Others are mostly behind the same port.
func (w *World) Stations() {
	if len(w.learnt.FDB) == 0 {
		return
	}
	for _, o := range w.objects {
		var f *topology.FilterSpec
		switch s := o.Spec.(type) {
		case *topology.BridgeSpec:
			f = &s.Filters
		case *topology.VPortSpec:
			f = &s.Filters
		}
		if f == nil || *f != (topology.FilterSpec{}) || w.rng.IntN(2) == 0 {
			continue
		}
		station := w.learnt.FDB[w.rng.IntN(len(w.learnt.FDB))]
		rule := topology.RuleSpec{Match: topology.MatchSpec{SrcMACs: []packet.MAC{station.MAC}}, Action: []string{"drop", "reject"}[w.rng.IntN(2)]}
		if w.rng.IntN(2) == 0 {
			rule.Match.Protocols = []topology.Protocol{packet.ProtoTCP}
		}
		chain := w.add(topology.KindChain, &topology.ChainSpec{Rules: []topology.RuleSpec{rule}}).Metadata.Name
		*f = [...]topology.FilterSpec{{Ingress: chain}, {Egress: chain}}[w.rng.IntN(2)]
	}
	w.settleUses()
	w.Snap, _ = new(topology.Snapshot).With(topology.Changes{Put: w.objects})
	w.Snap, _ = w.Snap.With(w.learnt)
}
