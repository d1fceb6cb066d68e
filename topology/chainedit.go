package topology

import (
	"slices"

	"github.com/weft-sdn/weft/filter"
)

// Edited returns the rules that an edit of a chain took out, put in or changed, as they were and as they are: what meets none of them, and is translated by nothing, meets the
// same rules as before. False: the edit may concern every packet that comes to the chain.
func (c *Chain) Edited(before *Chain) (changed []filter.Rule, ok bool) {
	if c.Classifier == nil || before.Classifier == nil || c.End != before.End || c.AsksState != before.AsksState || c.Translates() || before.Translates() || c.Classifier.Names(filter.Proto) != before.Classifier.Names(filter.Proto) || !slices.Equal(c.Jumps, before.Jumps) {
		return nil, false
	}
	head, tail, most := 0, 0, min(len(c.Rules), len(before.Rules))
	for head < most && c.sameRule(head, before, head) {
		head++
	}
	for tail < most-head && c.sameRule(len(c.Rules)-1-tail, before, len(before.Rules)-1-tail) {
		tail++
	}
	return slices.Concat(before.matches[head:len(before.Rules)-tail], c.matches[head:len(c.Rules)-tail]), true
}

// sameRule reports whether the rules with two indices do the same with the same packets. Names are for logs.
func (c *Chain) sameRule(i int, before *Chain, j int) bool {
	a, b := c.Rules[i], before.Rules[j]
	if !a.Log {
		a.Name, b.Name = "", ""
	}
	return a == b && slices.EqualFunc(c.matches[i].Conditions, before.matches[j].Conditions, sameCondition)
}

func sameCondition(a, b filter.Condition) bool {
	return a.Field == b.Field && a.Not == b.Not && slices.EqualFunc(a.Sets, b.Sets, (*filter.Set).Equal)
}
