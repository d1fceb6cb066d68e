package offload

import (
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
)

// What the target drops of a vport's packets without an entry that says so, by the half of the pipeline. Their codes differ in the low four bits, by which cells are
// numbered (p4src/shared/reasons.p4).
var (
	ingressDrops = [...]flow.Reason{
		flow.ReasonParserError, flow.ReasonGroupSource, flow.ReasonLand, flow.ReasonPuntRate, flow.ReasonFloodRate, flow.ReasonBadPacketOut, flow.ReasonSendRate,
	}
	egressDrops = [...]flow.Reason{
		flow.ReasonUnderlayLength, flow.ReasonFrameLength, flow.ReasonNoNAT, flow.ReasonNoPath, flow.ReasonNoReplica, flow.ReasonLinkRate, flow.ReasonReceiveRate,
	}
)

// DropCell is what the target counts of one vport's drops. Comparable.
type DropCell struct {
	Local  uint16 // number of the vport by which the packets came in, or, over the rate of that which was to get them, of this one; 0: they came in by none
	Reason flow.Reason
}

func (d DropCell) index() int64 { return int64(d.Local)<<4 | int64(d.Reason&0xf) }

// CountsByVPort reports whether the target counts drops for a reason by vport, so that ReadDrops tells them.
func CountsByVPort(r flow.Reason) bool {
	return slices.Contains(ingressDrops[:], r) || slices.Contains(egressDrops[:], r)
}

// DropQueries asks for all that the target counts of drops of a local number. Of number 0 it counts what no vport sent: in ingress by access ports, in egress from anywhere.
// Nothing of that is over a vport's rate of floods: the cell has those of unknown ports, which are counted by reason alone.
func (t *Tables) DropQueries(local uint16) []p4rt.Query {
	q := make([]p4rt.Query, 0, len(ingressDrops)+len(egressDrops))
	for _, r := range ingressDrops {
		if local == 0 && r == flow.ReasonFloodRate {
			continue
		}
		q = append(q, p4rt.CounterCells(t.ingressVPortDrops, DropCell{local, r}.index()))
	}
	for _, r := range egressDrops {
		q = append(q, p4rt.CounterCells(t.egressVPortDrops, DropCell{local, r}.index()))
	}
	return q
}

// DropCellOf returns which drops a cell that was read counts; not ok: none that DropQueries asks for.
func (t *Tables) DropCellOf(c *p4rt.CounterCell) (d DropCell, egress, ok bool) {
	reasons := ingressDrops[:]
	switch c.Array {
	case t.ingressVPortDrops:
	case t.egressVPortDrops:
		reasons, egress = egressDrops[:], true
	default:
		return d, false, false
	}
	i := slices.IndexFunc(reasons, func(r flow.Reason) bool { return int64(r&0xf) == c.Index&0xf })
	if i < 0 {
		return d, egress, false
	}
	return DropCell{uint16(c.Index >> 4), reasons[i]}, egress, true
}
