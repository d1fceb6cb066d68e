package wire_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/testbed/wire"
)

// tagged is numbered(n) with a VLAN tag.
func tagged(n int, vlan uint16) []byte {
	plain := numbered(n)
	out := append(bytes.Clone(plain[:12]), 0x81, 0)
	out = binary.BigEndian.AppendUint16(out, vlan)
	return append(out, plain[12:]...)
}

// inbox is a member's receiver that keeps what it gets.
type inbox [][]byte

func (b *inbox) receive(frame []byte) { *b = append(*b, bytes.Clone(frame)) }

func TestTrunkSortsByVLAN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := wire.New(wire.Config{})
		run(t, c)
		trunk := wire.NewTrunk(c.A())
		var red, blue, plain, far inbox
		trunk.Member(100).SetReceiver(red.receive)
		trunk.Member(200).SetReceiver(blue.receive)
		trunk.Member(0).SetReceiver(plain.receive)
		c.B().SetReceiver(far.receive)

		c.B().Send(tagged(1, 100))
		c.B().Send(tagged(2, 200|3<<13)) // with a priority
		c.B().Send(numbered(3))
		c.B().Send(tagged(4, 0))   // a priority tag is no VLAN
		c.B().Send(tagged(5, 300)) // nobody's: the untagged member sees all that is left
		trunk.Member(100).Send(numbered(6))
		trunk.Member(100).Send(tagged(7, 200)) // a guest's own tag stays inside
		trunk.Member(0).Send(numbered(8))
		trunk.Member(0).Send(tagged(9, 300))
		trunk.Member(0).Send(tagged(10, 100)) // another member's: forged
		synctest.Wait()

		for name, test := range map[string]struct{ got, want inbox }{
			"red":      {red, inbox{numbered(1)}},
			"blue":     {blue, inbox{numbered(2)}},
			"untagged": {plain, inbox{numbered(3), tagged(4, 0), tagged(5, 300)}},
			"far end":  {far, inbox{tagged(6, 100), append(append(bytes.Clone(tagged(7, 200)[:12]), 0x81, 0, 0, 100), tagged(7, 200)[12:]...), numbered(8), tagged(9, 300)}},
		} {
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		if trunk.Forged() != 1 || trunk.Stray() != 0 {
			t.Errorf("%d forged, %d stray; want 1, 0", trunk.Forged(), trunk.Stray())
		}
	})
}

func TestTrunkMemberOutOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := wire.New(wire.Config{})
		run(t, c)
		trunk := wire.NewTrunk(c.A())
		var got inbox
		trunk.Member(100).SetReceiver(got.receive)
		c.B().Send(tagged(1, 100))
		synctest.Wait()
		trunk.Member(100).SetReceiver(nil)
		c.B().Send(tagged(2, 100))
		c.B().Send(numbered(3))
		synctest.Wait()
		if diff := cmp.Diff(inbox{numbered(1)}, got); diff != "" {
			t.Error(diff)
		}
		if trunk.Stray() != 2 {
			t.Errorf("%d stray frames, want 2", trunk.Stray())
		}
	})
}

func TestTrunkDoesNotAllocate(t *testing.T) {
	c := wire.New(wire.Config{})
	member, p := wire.NewTrunk(c.A()).Member(100), c.B().Port()
	frame, frames, sizes := numbered(1), [][]byte{make([]byte, 100)}, make([]int, 1)
	if n := testing.AllocsPerRun(100, func() {
		member.Send(frame)
		if n, err := p.Recv(frames, sizes); n != 1 || err != nil || sizes[0] != len(frame)+4 {
			t.Fatal(n, err, sizes)
		}
	}); n != 0 {
		t.Errorf("%v allocations per frame, want 0", n)
	}
}
