package engine

import (
	"context"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
)

// arrivals are packets of a live trace that come to this edge from another. They do not come up here: what is told is which entries the target has for them, and what it counts of
// all that comes by tunnel, as it has no counter for each vport.
type arrivals struct {
	t    *tracing
	ask  state.LiveTrace
	tell chan func(context.Context, func(state.TraceRecord))
}

// arrive begins to tell of arrivals.
func (t *tracing) arrive(ask state.LiveTrace) *arrivals {
	h := &arrivals{t: t, ask: ask, tell: make(chan func(context.Context, func(state.TraceRecord)), 2)}
	t.teller(&h.ask, h.tell)
	h.look(state.TraceHere)
	return h
}

// end tells what was counted meanwhile.
func (h *arrivals) end() {
	h.look(state.TraceThere)
	close(h.tell)
}

// look reads the target.
func (h *arrivals) look(kind string) {
	c := h.t.c
	r := state.TraceRecord{Kind: kind}
	var entries []*p4rt.Entry
	for _, v := range h.ask.To[c.view.self.ID] {
		at, there := c.view.places[v]
		a := state.TraceArrival{VPort: v, Port: at.at.Port, VLAN: at.at.VLAN, Absent: true}
		if there && at.edge == c.view.self.ID {
			if local, ok := c.locals.vports.Lookup(v); ok {
				entries = append(entries, c.a.tables.Local(v.Dest(), at.at, local)[1])
			}
		}
		r.Arrivals = append(r.Arrivals, a)
	}
	h.tell <- func(ctx context.Context, tell func(state.TraceRecord)) { // there is room: it has one for each end
		_ = c.a.session.ReadEntriesOf(ctx, entries, p4rt.ReadOptions{}, func(e *p4rt.Entry, _ p4rt.Counter) error {
			for i := range r.Arrivals {
				if flow.Dest(e.Match[0].Value.Lo) == r.Arrivals[i].VPort.Dest() {
					r.Arrivals[i].Absent = false
				}
			}
			return nil
		})
		r.Tunnel = c.a.tunnelCounts(ctx)
		tell(r)
	}
}

// tunnelCounts reads what the target counts of what comes by tunnel.
func (a *Agent) tunnelCounts(ctx context.Context) *state.TraceTunnel {
	out := &state.TraceTunnel{Lost: map[string]uint64{}}
	err := a.session.ReadCounter(ctx, a.tables.Reasons(), p4rt.AllCells, func(i int64, n p4rt.Counter) error {
		switch why := flow.Reason(i); {
		case i>>8 != offload.SideUnderlay:
		case why == flow.ReasonNone:
			out.Passed = uint64(n.Packets)
		case why.IsDrop() && n.Packets > 0:
			out.Lost[wording(why)] = uint64(n.Packets)
		}
		return nil
	})
	if err != nil {
		out.Error = "the target does not tell: " + err.Error()
	}
	return out
}
