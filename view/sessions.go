package view

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/state"
)

// WantedSession is a session as the database has it.
type WantedSession struct {
	agent.BGPSession
	At   string // where the agent of its edge is
	lack string // why the edge does not have its port
}

// WantedSessions are the sessions of a view, by name. Those that no agent can carry out have a problem.
func WantedSessions(v *state.View) []WantedSession {
	var all []WantedSession
	for p := range v.Topology.VPorts() {
		for _, spec := range v.Topology.BGPSessions(p.ID) {
			w := WantedSession{BGPSession: agent.BGPSession{Status: bgp.StatusOf(p, spec)}}
			b, bound := v.Bindings.Get(p.ID)
			w.Edge = b.Edge
			switch {
			case !bound:
				w.Problem = fmt.Sprintf("its vport %s is bound nowhere", w.VPort)
			case !v.Edges.Has(b.Edge):
				w.Problem = fmt.Sprintf("edge %s is away: no agent holds its lease", b.Edge)
			}
			e := v.Edges.Of(b.Edge)
			w.At = e.Status
			for _, l := range e.Lacks {
				if of := "vport/" + w.VPort + ": "; strings.HasPrefix(l.String(), of) {
					w.lack = strings.TrimPrefix(l.String(), of)
				}
			}
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b WantedSession) int { return cmp.Compare(a.Session, b.Session) })
	return all
}

// AskBGP asks for the sessions of an edge.
func AskBGP(ctx context.Context, c *agent.Client, edge string) (agent.BGPList, error) {
	return c.BGP(ctx, edge)
}

// Told asks the agents of the sessions' edges how they are.
func Told(ctx context.Context, a Asker, wanted []WantedSession) ([]agent.BGPSession, []agent.EdgeError) {
	asks := map[string]string{}
	for _, w := range wanted {
		if w.Problem == "" {
			asks[w.Edge] = w.At
		}
	}
	answers, errs := Ask(ctx, a, asks, AskBGP)
	told := map[string]agent.BGPSession{}
	for _, list := range answers {
		errs = append(errs, list.Errors...)
		for _, s := range list.Sessions {
			told[s.Edge+" "+s.Session] = s
		}
	}
	sessions := make([]agent.BGPSession, 0, len(wanted))
	for i := range wanted {
		w := &wanted[i]
		if s, ok := told[w.Edge+" "+w.Session]; ok {
			w.BGPSession = s
		} else if w.Problem == "" {
			w.Problem = w.uncarried(errs)
		}
		sessions = append(sessions, w.BGPSession)
	}
	return sessions, errs
}

// uncarried says why the agent of a session's edge did not tell of it.
func (w *WantedSession) uncarried(errs []agent.EdgeError) string {
	for _, e := range errs {
		if e.Edge == w.Edge {
			return fmt.Sprintf("edge %s does not answer: %s", w.Edge, e.Error)
		}
	}
	if w.lack != "" {
		return fmt.Sprintf("edge %s can't: %s", w.Edge, w.lack)
	}
	return fmt.Sprintf("edge %s does not carry it out yet", w.Edge)
}
