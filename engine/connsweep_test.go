package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// TestRefreshed: an edge that has not heard of the answer asks before it lets go of a connection as one without.
func TestRefreshed(t *testing.T) {
	p := newPair(t)
	a := p.cores[0].conns
	p.begin(false)
	p.sees(reply, segment(packet.TCPAck, 20, 10))
	p.settled()
	late := a.c.now() + a.timeouts.TCPOpening + time.Second
	a.sweep(late)
	p.settled()
	a.sweep(late)
	p.settled()
	p.is("established", forward)
	a.sweep(late + a.timeouts.TCPEstablished)
	p.settled()
	if x := a.known.get(p.key); x != nil {
		t.Errorf("idle, and still known: %+v", x)
	}
	p.is("established", reply)
}

// TestManyEndAtOnce: when many connections are idle at once, so many at a time end, until all have, and nothing has to be tried again.
func TestManyEndAtOnce(t *testing.T) {
	p := newPair(t)
	a := p.cores[0].conns
	const many = 3 * maxUnderWay
	for i := range many {
		k := p.key
		k.SrcPort = uint16(i + 1)
		r := sim.Track{Used: true, Key: k, Commit: true}
		r.Progress = r.Next(&conntrack.Packet{Proto: packet.ProtoTCP, Flags: packet.TCPSyn}, false)
		r.New = conntrack.Conn{Forward: k, RetZone: 2, Progress: r.Progress}
		a.create(&r, 0)
		if i%maxUnderWay == 0 || i == many-1 {
			p.settled()
		}
	}
	if a.known.n != many {
		t.Fatalf("%d connections are known, %d began", a.known.n, many)
	}
	for range 2 { // the first time, it is asked whether there was an answer
		if a.sweep(a.c.now() + a.timeouts.TCPOpening + time.Second); a.underWay != maxUnderWay {
			t.Errorf("%d are under way at once", a.underWay)
		}
		p.settled()
	}
	if n := a.c.a.counts.effectFails.Load(); a.known.n != 0 || a.underWay != 0 || n != 0 {
		t.Errorf("%d connections are known, %d under way, %d tries failed", a.known.n, a.underWay, n)
	}
	if err := p.store.Connections(t.Context(), func(c state.StoredConn) error {
		t.Errorf("still stored: %+v", c)
		return context.Canceled
	}); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRestsMeanwhile: a connection that comes to rest while a sweep has stopped has its timeout before it.
func TestRestsMeanwhile(t *testing.T) {
	p := newPair(t)
	a := p.cores[0].conns
	p.begin(false)
	x := a.known.get(p.key)
	if x.seen[forward] == 0 {
		t.Fatal("it rests since the agent began")
	}
	a.sweeps, a.stopped, a.underWay = 1, 1, 1 // since a nanosecond after the agent began
	a.landed()
	if !x.own[forward] || x.asked != 0 || a.underWay != 0 {
		t.Errorf("own %v, asked %d, %d under way", x.own, x.asked, a.underWay)
	}
}
