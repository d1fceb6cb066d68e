package bgp

import "testing"

// TestBar: while a neighbour is not to be spoken to it is neither dialled nor taken, and why is told; then it is dialled.
func TestBar(t *testing.T) {
	r, n := newTestRelay(t, func(c *relayConfig) { c.barred = true })
	own := gobgp(t, r, "open")
	ours, theirs := pair(t)
	r.Offer(ours)
	talk(t, theirs, "open").ends(t)
	if r.LastError() != errBarred {
		t.Errorf("why: %v", r.LastError())
	}
	select {
	case <-n.attempts:
		t.Error("a neighbour is dialled that is not to be")
	default:
	}
	r.Bar(false)
	if err := r.LastError(); err != nil {
		t.Errorf("why, when it may be spoken to: %v", err)
	}
	ours, theirs = pair(t)
	n.next(t).answer <- ours
	neighbour := talk(t, theirs, "open")
	neighbour.hears(t, "open")
	own.hears(t, "open")
	r.Bar(true) // before the session is established
	neighbour.ends(t)
	own.ends(t)

	own = gobgp(t, r, "open")
	r.Bar(false)
	ours, theirs = pair(t)
	n.next(t).answer <- ours
	neighbour = talk(t, theirs, "open")
	neighbour.hears(t, "open")
	own.hears(t, "open")
	r.Established(true)
	r.Bar(true) // what is established stays
	agree(t, own, neighbour)
}
