package state

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
)

// blockOf is an address whose blocks are leased.
func blockOf(v6 bool) conntrack.Block {
	a := "198.51.100.1"
	if v6 {
		a = "2001:db8:51::1"
	}
	return conntrack.Block{Device: 7, Addr: flow.AddrOf(netip.MustParseAddr(a)), V6: v6}
}

// lessee is a process that leases blocks.
type lessee struct {
	*testing.T
	*Store
	lease BlockLease
	run   int64
}

func newLessee(t *testing.T, s *Store) *lessee {
	t.Helper()
	lease, err := s.GrantBlocks(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &lessee{t, s, lease, s.NewRun()}
}

func (l *lessee) take(like conntrack.Block, first, last uint16, n int) []HeldBlock {
	l.Helper()
	got, err := l.LeaseBlocks(l.Context(), l.lease, l.run, like, first, last, n)
	if err != nil {
		l.Fatal(err)
	}
	return got
}

// connIn is a connection whose source is a port of a block.
func connIn(b conntrack.Block, port, n uint16) conntrack.Conn {
	c := testConn(n, b.V6)
	var in conntrack.Conn
	in.Forward, in.RetZone, in.Progress, in.Birth = c.Forward, c.RetZone, c.Progress, c.Birth
	in.AddStep(conntrack.Step{Device: b.Device, Addr: b.Addr, Port: port})
	return in
}

// create stores a connection, or not.
func (l *lessee) create(c conntrack.Conn, uses ...BlockUse) (int64, bool) {
	l.Helper()
	rev, created, err := l.CreateConn(l.Context(), c, nil, nil, nil, uses...)
	if err != nil {
		l.Fatal(err)
	}
	return rev, created
}

// TestLeaseBlocks (N2): a block is one process's, within the ports that are asked for, and what is leased of one address says nothing of others.
func TestLeaseBlocks(t *testing.T) {
	s := embeddedStore(t)
	a, b := newLessee(t, s), newLessee(t, second(t, s))
	for _, v6 := range []bool{false, true} {
		like := blockOf(v6)
		owner := map[conntrack.Block]int64{}
		for range 2 {
			for _, l := range []*lessee{a, b} {
				before := map[conntrack.Block]int64{}
				maps.Copy(before, owner)
				for _, h := range l.take(like, 10300, 11000, 3) {
					if !h.Within(10300, 11000) || h.Device != like.Device || h.Addr != like.Addr || h.V6 != v6 {
						t.Errorf("leased %v", h.Block)
					}
					if run, ok := owner[h.Block]; ok && run != l.run {
						t.Errorf("%v is leased twice", h.Block)
					}
					owner[h.Block] = l.run
				}
				if len(owner) == len(before) && len(owner) < 10 {
					t.Errorf("nothing is leased behind %v", before)
				}
			}
		}
		if len(owner) != 10 { // 10304 to 10943
			t.Errorf("%d blocks are leased of the ten that lie within", len(owner))
		}
		if got := a.take(like, 1024, 10300, 5); len(got) != 0 {
			t.Errorf("leased of 1024-10300: %v", got)
		}
		held, err := s.HeldBlocks(t.Context(), like.Addr)
		if err != nil || held[a.run]+held[b.run] != 10 || len(held) != 2 {
			t.Errorf("held: %v, %v", held, err)
		}
	}
}

// TestBlockFences: a translation of a block is stored by who holds it alone. Who holds none may store those of a block that nobody holds, which nobody can lease then.
func TestBlockFences(t *testing.T) {
	s := embeddedStore(t)
	a, b := newLessee(t, s), newLessee(t, second(t, s))
	for _, v6 := range []bool{false, true} {
		like := blockOf(v6)
		h := a.take(like, 0, 65535, 1)[0]
		port := h.First()
		if _, created := a.create(connIn(h.Block, port, 1), BlockUse{Block: h.Block, Held: h.Revision}); !created {
			t.Error("the holder can not store a translation")
		}
		if _, created := b.create(connIn(h.Block, port+1, 2), BlockUse{Block: h.Block}); created {
			t.Error("another stored a translation of a block that is held")
		}
		if err := a.ReturnBlock(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if _, created := a.create(connIn(h.Block, port+2, 3), BlockUse{Block: h.Block, Held: h.Revision}); created {
			t.Error("who gave it back stored a translation")
		}
		rev, created := b.create(connIn(h.Block, port+3, 4), BlockUse{Block: h.Block})
		if !created {
			t.Fatal("nobody holds it, and no translation of it can be stored")
		}
		if _, created = b.create(connIn(h.Block, port+4, 5), BlockUse{Block: h.Block, Used: rev}); !created {
			t.Error("it is marked as used, and no translation of it can be stored")
		}
		if _, created = b.create(connIn(h.Block, port+5, 6), BlockUse{Block: h.Block, Used: rev - 1}); created {
			t.Error("the mark is not as it was said to be, and a translation was stored")
		}
		if got := a.take(like, port, port+conntrack.BlockPorts-1, 1); len(got) != 0 {
			t.Errorf("leased, while others have translations of it: %v", got)
		}
	}
}

// TestSweepBlocks: a block whose holder is gone, or gave it back, is leased again when no translation of it is stored any more, and not before.
func TestSweepBlocks(t *testing.T) {
	ctx := t.Context()
	s := embeddedStore(t)
	a, b := newLessee(t, s), newLessee(t, s)
	live := map[int64]bool{b.run: true}
	sweep := func() {
		t.Helper()
		if _, _, err := s.SweepConns(ctx, live, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, gone := range []func(HeldBlock) error{
		func(h HeldBlock) error { return a.ReturnBlock(ctx, h) },
		func(HeldBlock) error { return a.EndBlocks(ctx, a.lease) },
	} {
		v6 := i == 1
		h := a.take(blockOf(v6), 0, 65535, 1)[0]
		c := connIn(h.Block, h.First()+9, uint16(10+i))
		c.ForwardOwner = b.run // it was taken over by another edge
		rev, _ := a.create(c, BlockUse{Block: h.Block, Held: h.Revision})
		mine := func() int { return len(b.take(h.Block, h.First(), h.First()+conntrack.BlockPorts-1, 1)) }
		if sweep(); mine() != 0 {
			t.Fatal("leased twice")
		}
		if err := gone(h); err != nil {
			t.Fatal(err)
		}
		if sweep(); mine() != 0 {
			t.Fatal("leased while a translation of it is stored")
		}
		if _, deleted, err := s.DeleteConn(ctx, StoredConn{c, rev}); err != nil || !deleted {
			t.Fatal(deleted, err)
		}
		if mine() != 0 {
			t.Fatal("leased before a sweep has found that no translation of it is stored")
		}
		if sweep(); mine() != 1 {
			t.Fatal("no translation of it is stored, and it can't be leased")
		}
	}
	if _, err := s.RenewBlocks(ctx, a.lease); !errors.Is(err, ErrLeaseGone) {
		t.Errorf("renewed a lease that has ended: %v", err)
	}
	if ttl, err := s.RenewBlocks(ctx, b.lease); err != nil || ttl != time.Hour {
		t.Errorf("renewed for %v, %v", ttl, err)
	}
}

// TestSweepRace: a block of which a translation is stored while a sweep runs stays as it is.
func TestSweepRace(t *testing.T) {
	s := embeddedStore(t)
	a := newLessee(t, s)
	h := a.take(blockOf(false), 0, 65535, 1)[0]
	if err := a.ReturnBlock(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	unheld, err := s.unheldBlocks(t.Context())
	if err != nil || len(unheld) != 1 {
		t.Fatal(unheld, err)
	}
	if _, created := a.create(connIn(h.Block, h.First(), 1), BlockUse{Block: h.Block}); !created {
		t.Fatal("not stored")
	}
	if err := s.freeBlocks(context.Background(), unheld); err != nil {
		t.Fatal(err)
	}
	if got := a.take(h.Block, h.First(), h.First()+conntrack.BlockPorts-1, 1); len(got) != 0 {
		t.Error("leased while a translation of it is stored")
	}
}

// TestSweepMarked: so does one of which a translation is stored by who had marked it before.
func TestSweepMarked(t *testing.T) {
	s := embeddedStore(t)
	a := newLessee(t, s)
	b := blockOf(false)
	over := connIn(b, b.First(), 1)
	marked, created := a.create(over, BlockUse{Block: b})
	if !created {
		t.Fatal("not stored")
	}
	if _, deleted, err := s.DeleteConn(t.Context(), StoredConn{over, marked}); err != nil || !deleted {
		t.Fatal(deleted, err)
	}
	unheld, err := s.unheldBlocks(t.Context())
	if err != nil || len(unheld) != 1 {
		t.Fatal(unheld, err)
	}
	next := connIn(b, b.First()+1, 2)
	if _, created := a.create(next, BlockUse{Block: b, Used: marked}); !created {
		if _, created = a.create(next, BlockUse{Block: b}); !created {
			t.Fatal("neither with the mark nor without")
		}
	}
	if err := s.freeBlocks(t.Context(), unheld); err != nil {
		t.Fatal(err)
	}
	if got := a.take(b, b.First(), b.First()+conntrack.BlockPorts-1, 1); len(got) != 0 {
		t.Error("leased while a translation of it is stored")
	}
}

// TestUntoldBlocks: what a process leased without being told is its own when it asks again.
func TestUntoldBlocks(t *testing.T) {
	s := embeddedStore(t)
	a, b := newLessee(t, s), newLessee(t, s)
	first := a.take(blockOf(false), 10240, 10303, 1)
	if again := a.take(blockOf(false), 10240, 10303, 1); len(first) != 1 || len(again) != 1 || again[0] != first[0] {
		t.Errorf("leased %v, and then %v", first, again)
	}
	if got := b.take(blockOf(false), 10240, 10303, 1); len(got) != 0 {
		t.Errorf("another was given %v", got)
	}
}
