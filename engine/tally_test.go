package engine

import (
	"maps"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
)

// TestTally: what a target counts by local number is credited to the vport that has the number, once: not what was there before this agent, nor what another had before.
func TestTally(t *testing.T) {
	c := detached(t, idleStore(t))
	vm1, vm2 := vportOf(t, c, "vm1"), vportOf(t, c, "vm2")
	c.locals = c.newLocals()
	c.locals.vports = offload.NewIDs[flow.VPortID](1)
	parser := cell{DropCell: offload.DropCell{Local: 1, Reason: flow.ReasonParserError}}
	length := cell{DropCell: offload.DropCell{Local: 1, Reason: flow.ReasonFrameLength}, egress: true}
	read := func(counted map[cell]uint64) {
		c.credit([]uint16{1}, counted)
	}
	want := func(what string, sums map[dropKey]uint64) {
		t.Helper()
		if !maps.Equal(c.drops.sums, sums) {
			t.Errorf("%s: %v, want %v", what, c.drops.sums, sums)
		}
	}
	give := func(id flow.VPortID) (leave func()) {
		t.Helper()
		var r references
		if local, err := c.locals.vport(&r, id, false, 0); err != nil || local != 1 {
			t.Fatalf("number %d, %v", local, err)
		}
		return func() {
			for _, confirm := range r.release() {
				confirm()
			}
			c.effects.wait() // the target is away: it can not be read
			c.a.mail.deliver()
		}
	}
	leave := give(vm1)
	read(map[cell]uint64{parser: 5})
	want("an earlier agent's", map[dropKey]uint64{})
	read(map[cell]uint64{parser: 7, length: 3})
	sums := map[dropKey]uint64{{vm1, "parser error"}: 2, {vm1, "frame length"}: 3}
	want("since", sums)
	read(map[cell]uint64{parser: 7, length: 3})
	want("nothing new", sums)
	leave()
	leave = give(vm2)
	if _, unread := c.tally.unread[1]; !unread {
		t.Error("a number whose last counts were not read is not to be read")
	}
	read(map[cell]uint64{parser: 9, length: 3}) // two came behind the last reading
	want("of nobody", sums)
	read(map[cell]uint64{parser: 10, length: 3})
	sums[dropKey{vm2, "parser error"}] = 1
	want("of the next to have it", sums)
	read(map[cell]uint64{parser: 4, length: 0}) // the target was restarted
	sums[dropKey{vm2, "parser error"}] += 4
	want("a target that begins anew", sums)
	c.doubtTally() // another agent was the primary
	read(map[cell]uint64{parser: 8})
	want("behind another agent", sums)
	read(map[cell]uint64{parser: 9})
	sums[dropKey{vm2, "parser error"}]++
	want("since then", sums)
	leave()
	c.tally.reset() // the target was programmed
	give(vm1)
	if len(c.tally.unread) > 0 {
		t.Error("of a target that was programmed it is not known that it counts from 0")
	}
	read(map[cell]uint64{parser: 6})
	sums[dropKey{vm1, "parser error"}] += 6
	want("a target that was programmed", sums)
}
