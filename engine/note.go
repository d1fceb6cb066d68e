package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// note records that something happened to an object, as this edge's word.
func (a *Agent) note(kind state.EventType, object state.EventObject, reason, message string) {
	a.cfg.Store.Record(state.Note{Type: kind, Reason: reason, Object: object, Message: message, Source: a.cfg.Self.ID})
}

// noteVPort is note of a vport.
func (c *core) noteVPort(id flow.VPortID, reason, message string) {
	if p := c.snap.VPort(id); p != nil {
		c.a.note(state.EventWarning, state.RefObject(topology.Ref{Kind: topology.KindVPort, Tenant: p.Tenant, Name: p.Name}), reason, message)
	}
}

// noteRefusal records that the target did not take updates.
func (a *Agent) noteRefusal(n int, why error) {
	a.note(state.EventWarning, state.EdgeObject(a.cfg.Self.ID), "TargetRefused", fmt.Sprintf("the target refused %d updates: %v", n, why))
}

// noteFull records that there is little room for flows, once in a while.
func (c *core) noteFull(what string) {
	if c.fullAt == 0 || c.now()-c.fullAt >= fullEvery {
		c.fullAt = c.now()
		c.a.note(state.EventWarning, state.EdgeObject(c.a.cfg.Self.ID), "TableFull", what+": flows that were matched longest ago make room, and a flow gets an entry at its second packet")
	}
}

// fullEvery is how often it is said that a table is nearly full.
const fullEvery = time.Minute

// noteLacks records what the edge can not do since a change, and what it can again.
func (c *core) noteLacks(before map[subject]string) {
	about := func(s subject) (state.EventObject, bool) {
		_, name := c.subjectName(s)
		o, err := state.ParseEventObject(name)
		return o, err == nil
	}
	ordered := func(m map[subject]string) []subject { return slices.SortedFunc(maps.Keys(m), compareSubjects) }
	for _, s := range ordered(c.lacks) {
		if o, ok := about(s); ok && before[s] != c.lacks[s] {
			c.a.note(state.EventWarning, o, "NotApplied", "the edge can not do it: "+c.lacks[s])
		}
	}
	for _, s := range ordered(before) {
		if o, ok := about(s); ok && c.lacks[s] == "" { // else it is gone
			c.a.note(state.EventNormal, o, "Applied", "this is over: "+before[s])
		}
	}
}

// noteRefused records that the database refused what was heard, where somebody has to do something about it.
func (c *core) noteRefused(f sim.Effect, learnt state.Learnt) {
	switch {
	case f.Kind == sim.LearnBridgeNeighbour && learnt == state.RefusedFull:
		c.a.counts.learnFull.Add(1)
		c.noteVPort(f.Port, "TooManyAddresses", "an address is not learnt: too many are at its MAC, or behind the vport; requests for it are flooded")
		return
	case f.Kind != sim.Learn:
		return
	}
	switch learnt {
	case state.RefusedPinned:
		if b := c.snap.Bridge(f.Device); b != nil {
			c.a.note(state.EventWarning, state.RefObject(topology.Ref{Kind: topology.KindBridge, Tenant: b.Tenant, Name: b.Name}), "MACPinned",
				fmt.Sprintf("MAC %s moves too often and stays where it is; vport %s has it, too", f.MAC, c.nameOf(f.Port)))
		}
	case state.RefusedFull:
		c.a.counts.learnFull.Add(1)
		c.noteVPort(f.Port, "TooManyMACs", fmt.Sprintf("MAC %s is not learnt: too many are behind the vport", f.MAC))
	}
}

// noteHealth records that a member of a pool went down, or came back.
func (w *watching) noteHealth(m topology.MemberKey, down bool, why string) {
	p := w.c.snap.Pool(w.pool)
	if p == nil {
		return
	}
	o := state.RefObject(topology.Ref{Kind: topology.KindPool, Tenant: p.Tenant, Name: p.Name})
	if down {
		w.c.a.note(state.EventWarning, o, "MemberDown", fmt.Sprintf("member %s is down: %s", m, why))
	} else {
		w.c.a.note(state.EventNormal, o, "MemberUp", fmt.Sprintf("member %s answers", m))
	}
}
