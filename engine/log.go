package engine

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
)

// Rates of what the rules of one chain log at an edge.
const (
	logRate  = 10 // decisions a second
	logBurst = 50
)

// logRules logs a decision for the rules that want it (F1): the first packet of a flow, and those that stay on the slow path.
func (c *core) logRules(res *sim.Result, f *packet.Frame, ingress flow.VPortID) {
	for _, e := range res.Effects {
		if e.Kind != sim.LogRule {
			continue
		}
		chain := c.snap.Chain(e.Device)
		if chain == nil {
			continue
		}
		if !c.logged.allow(flow.VPortID(chain.ID), c.now()) {
			c.a.counts.unlogged.Add(1)
			continue
		}
		rule := &chain.Rules[e.Rule]
		c.a.cfg.Logger.Info("rule met", "chain", chain.Tenant+"/"+chain.Name, "rule", rule.Name, "action", rule.Action.String(),
			"vport", c.nameOf(e.Port), "tenant", chain.Tenant, "packet", flow.KeyOf(f, ingress).String(), "verdict", res.Outcomes[0].Verdict.String())
	}
}
