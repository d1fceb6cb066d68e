package engine

import (
	"time"

	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// ruleStore brings what is counted by rule to the database, a chain at a time, so that it goes on over restarts of the agent (O2): what is stored is what others had stored, and on top of that
// what this process counted.
//
//	dirty ──each 10 s──▶ under way ──stored──▶ clean
//	  ▲                      ├── another process wrote it ──▶ base: its counts, and what entries have counted since
//	  └──────────────────────┴── not known
type ruleStore struct {
	c      *core
	chains map[topology.DeviceID]*storedChain
	live   map[sim.RuleMet]amount // what counters that are in the target have of a rule's packets
	left   map[sim.RuleMet]amount // of it, at the begin of this process: a predecessor's entries
	saving bool
	saved  time.Duration
	seq    uint64
}

// storedChain is a chain of which something is counted.
type storedChain struct {
	base   map[string]amount // what others had counted
	kept   map[string]amount // of this process, that is stored
	sent   map[string]amount // the same, valid iff unsure
	unsure bool              // whether sent is stored
	dirty  bool
	rev    int64 // of what is stored; 0: nothing that is known of
}

func newRuleStore(c *core) ruleStore {
	return ruleStore{c: c, chains: map[topology.DeviceID]*storedChain{}, live: map[sim.RuleMet]amount{}, left: map[sim.RuleMet]amount{}}
}

// met notes that packets of rules were counted.
func (s *ruleStore) met(rules []sim.RuleMet) {
	for _, r := range rules {
		x := s.chains[r.Chain]
		if x == nil {
			if len(s.chains) >= maxRuleHits {
				continue
			}
			x = &storedChain{}
			s.chains[r.Chain] = x
		}
		x.dirty = true
	}
}

// lives notes that counters in the target have n more, or less, of packets that met rules.
func (s *ruleStore) lives(rules []sim.RuleMet, n amount, more bool) {
	if n == (amount{}) {
		return
	}
	for _, r := range rules {
		sum := s.live[r]
		if more {
			sum.Add(n)
		} else {
			sum.Sub(n)
		}
		if sum == (amount{}) {
			delete(s.live, r)
		} else {
			s.live[r] = sum
		}
	}
}

// inherit notes what entries of a predecessor have counted whose flows go on as this process's. What that one had not stored of it is credited when it is known what it had.
func (s *ruleStore) inherit(left map[sim.RuleMet]amount) {
	s.left = left
	for r := range left {
		s.met([]sim.RuleMet{r})
	}
}

// sweep stores what has changed, and forgets chains that are gone.
func (s *ruleStore) sweep(now time.Duration) {
	c := s.c
	if s.saving || now-s.saved < usageTime || c.target.term != serving || c.contact.lost {
		return
	}
	s.saved = now
	own := map[topology.DeviceID]map[string]amount{}
	for r, n := range c.ruleHits {
		if x := s.chains[r.Chain]; x != nil && (x.dirty || c.snap.Chain(r.Chain) == nil) {
			if own[r.Chain] == nil {
				own[r.Chain] = map[string]amount{}
			}
			own[r.Chain][r.Rule] = n
		}
	}
	var all []state.RuleHits
	var sent []map[string]amount
	for id, x := range s.chains {
		chain := c.snap.Chain(id)
		if chain == nil && own[id] == nil && x.base == nil {
			delete(s.chains, id)
		}
		if !x.dirty || chain == nil { // one that is not loaded may come back
			continue
		}
		x.dirty = false
		all, sent = append(all, s.hitsOf(id, chain, x, own[id])), append(sent, own[id])
	}
	if len(all) == 0 {
		return
	}
	s.saving = true
	answers := make(chan func(), len(all))
	ctx := c.ctx
	c.a.cfg.Store.SaveRuleHits(ctx, all, func(i int, stored state.RuleHits, err error) {
		answers <- func() { s.stored(&all[i], sent[i], &stored, err) }
	})
	c.whenAll(ctx, len(all), answers, func() { s.saving = false })
}

// told is what is stored, of chains of which that is known.
func (s *ruleStore) told() ruleHits {
	all := ruleHits{}
	for id, x := range s.chains {
		if x.rev == 0 {
			continue
		}
		for _, part := range []map[string]amount{x.base, x.kept} {
			for rule, n := range part {
				r := sim.RuleMet{Chain: id, Rule: rule}
				sum := all[r]
				sum.Add(n)
				all[r] = sum
			}
		}
	}
	return all
}

// hitsOf is a chain as it is stored.
func (s *ruleStore) hitsOf(id topology.DeviceID, chain *topology.Chain, x *storedChain, own map[string]amount) state.RuleHits {
	s.seq++
	h := state.RuleHits{
		Edge: s.c.a.cfg.Self.ID, Chain: id, Rules: map[string]state.RuleTally{}, To: time.Now().UTC(), Run: s.c.usage.process, Seq: s.seq, Revision: x.rev,
		Object: topology.Ref{Kind: topology.KindChain, Tenant: chain.Tenant, Name: chain.Name},
	}
	has := map[string]bool{"": true}
	for i := range chain.Rules {
		has[chain.Rules[i].Name] = true
	}
	for _, part := range []map[string]amount{x.base, own} {
		for rule, n := range part {
			if !has[rule] {
				continue // the chain has it no more
			}
			t := h.Rules[rule]
			t.Add(n)
			t.Live = s.live[sim.RuleMet{Chain: id, Rule: rule}]
			h.Rules[rule] = t
		}
	}
	return h
}

// stored takes note of what became of a chain that was to be stored.
func (s *ruleStore) stored(h *state.RuleHits, own map[string]amount, stored *state.RuleHits, err error) {
	x := s.chains[h.Chain]
	switch {
	case x == nil:
	case err != nil: // it may be stored
		x.unsure, x.sent, x.dirty = true, own, true
	case stored.Run == h.Run && (stored.Seq == h.Seq || x.unsure):
		if x.unsure, x.kept, x.rev = false, own, stored.Revision; stored.Seq != h.Seq {
			x.kept, x.dirty = x.sent, true
		}
		s.forget(h.Chain)
	case stored.Revision == 0 && h.Revision == 0:
		delete(s.chains, h.Chain) // there is no such chain any more
	default: // another process wrote it
		if x.unsure {
			x.unsure, x.kept = false, x.sent // rather lost than twice
		}
		x.base = map[string]amount{}
		for rule, t := range stored.Rules {
			r := sim.RuleMet{Chain: h.Chain, Rule: rule}
			n := t.Tally
			n.Sub(x.kept[rule])
			since := s.left[r]
			since.Sub(t.Live)
			n.Add(since)
			x.base[rule] = n
		}
		s.forget(h.Chain)
		x.rev, x.dirty = stored.Revision, true
		s.saved = 0 // at once
	}
}

// forget ends what a predecessor's entries of a chain had counted: it is credited, or nobody knows what of it was.
func (s *ruleStore) forget(chain topology.DeviceID) {
	for r := range s.left {
		if r.Chain == chain {
			delete(s.left, r)
		}
	}
}
