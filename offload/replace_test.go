package offload_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// shelf holds what updates left at a target, and refuses those that a target would.
type shelf struct {
	t    *testing.T
	held map[p4rt.Key]p4rt.Entity
}

func (s *shelf) apply(stages [][]p4rt.Update) (n int) {
	s.t.Helper()
	for _, stage := range stages {
		for _, u := range stage {
			k := u.Entity.Key()
			if _, there := s.held[k]; there == (u.Op == p4rt.Insert) {
				s.t.Fatalf("%v of %v: there is one: %v", u.Op, u.Entity, there)
			}
			if s.held[k] = u.Entity; u.Op == p4rt.Delete {
				delete(s.held, k)
			}
			n++
		}
	}
	return n
}

// has checks a placed megaflow's entry, and that what it refers to is there.
func (s *shelf) has(p *offload.Placer, placed *offload.Placed) {
	s.t.Helper()
	want := p.Entry(placed)
	e, ok := s.held[want.Key()].(*p4rt.Entry)
	if !ok || !e.SameEffect(want) {
		s.t.Fatalf("the target has %v, want %v", e, want)
	}
	if placed.Act != offload.Forward {
		return
	}
	refers := map[string]uint64{}
	for i, p := range e.Action.Params {
		refers[p.Name] = e.Params[i].Lo
	}
	for param, tables := range map[string][]string{"l2_rewrite": {"egress.l2_rewrite", "ingress.l2_guard"}, "nat": {"egress.nat_v4", "egress.nat_v6"}} {
		id := refers[param]
		n := 0
		for _, x := range s.held {
			x := x.(*p4rt.Entry)
			if x.Match[0].Value.Lo == id && (x.Table.Name == tables[0] || x.Table.Name == tables[1]) {
				n++
			}
		}
		if id != 0 && n == 0 {
			s.t.Fatalf("%v: %s %d is not there", e, param, id)
		}
	}
}

// TestReplace: megaflows that are placed, decided otherwise and removed in random order leave at the target what they are to do at each time and nothing in the end; a
// decision that is the same, or can't be had in place, writes nothing.
func TestReplace(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 2))}
	s := &shelf{t, map[p4rt.Key]p4rt.Entity{}}
	p := offload.NewPlacer(newTables(t), 100)
	var all []*offload.Placed
	replaced, refused, same := 0, 0, 0
	frees := []func(){}
	for range 4000 {
		switch n := r.IntN(10); {
		case n < 4 || len(all) == 0:
			var f packet.Frame
			if packet.Parse(r.frame(r.mac(), r.mac()), &f) != nil {
				continue
			}
			m := r.megaflow(&f, 5)
			placed, stages, err := p.Place(m, 5)
			if err != nil {
				continue
			}
			if got := p.Megaflow(placed); got != m {
				t.Fatalf("placed %+v, want %+v", got, m)
			}
			s.apply(stages)
			all = append(all, placed)
			s.has(p, placed)
		case n < 8:
			placed := all[r.IntN(len(all))]
			before := *placed
			m := p.Megaflow(placed)
			switch r.IntN(4) {
			case 0:
				m.Dest = flow.Dest(1 + r.IntN(flow.MaxID))
			case 1:
				m.Rewrite.DstMAC, m.Guards.MaxLen = r.mac(), 1400
			case 2:
				m.Act = []offload.Act{offload.Drop, offload.Punt, offload.Forward}[r.IntN(3)]
			case 3:
				m.Rewrite.SrcPort = uint16(r.Uint32())
				m.Tracked = m.Act == offload.Forward // which only the exact lane can
			}
			stages, confirm, err := p.Replace(placed, m)
			switch n := s.apply(stages); {
			case err != nil:
				refused++
				if n != 0 || *placed != before || !errors.Is(err, offload.ErrNotCovered) {
					t.Fatalf("%d updates, %v", n, err)
				}
			case n == 0:
				same++
			default:
				replaced++
			}
			if confirm != nil {
				frees = append(frees, confirm)
			}
			s.has(p, placed)
		default:
			i := r.IntN(len(all))
			stages, confirm := p.Remove(all[i])
			s.apply(stages)
			if confirm != nil {
				frees = append(frees, confirm)
			}
			all[i] = all[len(all)-1]
			all = all[:len(all)-1]
		}
		if len(frees) > 20 {
			for _, f := range frees {
				f()
			}
			frees = frees[:0]
		}
	}
	for _, placed := range all {
		s.has(p, placed)
		stages, _ := p.Remove(placed)
		s.apply(stages)
	}
	if len(s.held) != 0 {
		t.Errorf("%d entries are left", len(s.held))
	}
	if replaced < 500 || refused == 0 || same == 0 {
		t.Errorf("replaced %d times, refused %d, the same %d: too few to tell", replaced, refused, same)
	}
	for lane := offload.LaneClass; lane <= offload.LaneWildL2; lane++ {
		if n := p.Used(lane, true) + p.Used(lane, false); n != 0 {
			t.Errorf("lane %v holds %d", lane, n)
		}
	}
}

// TestReplaceShared: an entry that two sources share is changed by neither.
func TestReplaceShared(t *testing.T) {
	p := offload.NewPlacer(newTables(t), 100)
	place := func(source byte) *offload.Placed {
		m := offload.Megaflow{Key: flow.Key{Ingress: 5, SrcMAC: packet.MAC{2, source}, DstMAC: packet.MAC{4}, EtherType: 0x9000}, Act: offload.Forward, Dest: 9, Prio: 1}
		m.Mask = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}
		m.Guards.KnownSource = true
		placed, _, err := p.Place(m, 5)
		if err != nil {
			t.Fatal(err)
		}
		return placed
	}
	first, second := place(1), place(2)
	m := p.Megaflow(first)
	m.Dest = 10
	if stages, _, err := p.Replace(first, m); !errors.Is(err, offload.ErrOccupied) || stages != nil {
		t.Errorf("shared: %v, %v", stages, err)
	}
	p.Remove(second)
	if stages, _, err := p.Replace(first, m); err != nil || len(stages) != 3 || len(stages[1]) != 1 || stages[1][0].Op != p4rt.Modify {
		t.Errorf("alone: %v, %v", stages, err)
	}
}
