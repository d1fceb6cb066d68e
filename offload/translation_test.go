package offload_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// connection is a translated and tracked flow of a vport; n tells it from others, of which pairs are translated alike.
func connection(etherType uint16, vport uint16, n byte) offload.Megaflow {
	k := flow.Key{Ingress: flow.VPortID(vport), DstMAC: packet.MAC{2}, EtherType: etherType, Proto: packet.ProtoTCP, SrcPort: uint16(n), DstPort: 80}
	m := offload.Megaflow{Key: k, Mask: flow.ExactMask(etherType), Act: offload.Forward, Dest: 5, Tracked: true}
	m.Mask.SrcMAC = packet.MAC{}
	m.Rewrite = flow.Rewrite{Translate: true, Src: flow.Addr{15: n / 2}, DstPort: 80}
	return m
}

var families = map[string]uint16{"v4": packet.EtherTypeIPv4, "v6": packet.EtherTypeIPv6}

// entriesOf lists the entries of a table in updates, with the stage of each.
func entriesOf(stages [][]p4rt.Update, table string) (at []int) {
	for i, stage := range stages {
		for _, u := range stage {
			if e, ok := u.Entity.(*p4rt.Entry); ok && strings.HasPrefix(e.Table.Name, table) {
				at = append(at, i)
			}
		}
	}
	return at
}

// TestTranslationShared: flows that are translated alike share an entry, which is written ahead of the first and deleted behind the last; a vport's flows
// share with its own only, so that it counts where it belongs.
func TestTranslationShared(t *testing.T) {
	for fam, etherType := range families {
		p := offload.NewPlacer(newTables(t), 100)
		table := "egress.nat_" + fam
		place := func(vport uint16, n byte, want int) *offload.Placed {
			t.Helper()
			placed, stages, err := p.Place(connection(etherType, vport, n), vport)
			if err != nil || placed.Lane != offload.LaneExact {
				t.Fatalf("%s: vport %d, flow %d: %v", fam, vport, n, err)
			}
			nats, flows := entriesOf(stages, table), entriesOf(stages, "ingress.flow_exact_"+fam)
			if len(nats) != want || len(flows) != 1 || want == 1 && nats[0] >= flows[0] {
				t.Errorf("%s: vport %d, flow %d: translations in stages %v, want %d ahead of the flow's %v", fam, vport, n, nats, want, flows)
			}
			return placed
		}
		one, two := place(1, 2, 1), place(1, 3, 0)
		place(2, 2, 1)
		other := connection(etherType, 1, 2)
		other.Rewrite.DstPort++
		if _, _, err := p.Place(other, 1); !errors.Is(err, offload.ErrOccupied) {
			t.Errorf("%s: another translation of one flow: %v, want %v", fam, err, offload.ErrOccupied)
		}
		if stages, _ := p.Remove(one); len(entriesOf(stages, table)) != 0 {
			t.Errorf("%s: the translation went with the first flow", fam)
		}
		stages, confirm := p.Remove(two)
		nats, flows := entriesOf(stages, table), entriesOf(stages, "ingress.flow_exact_"+fam)
		if len(nats) != 1 || len(flows) != 1 || nats[0] <= flows[0] || confirm == nil {
			t.Errorf("%s: last removed: translation in stages %v, flow in %v", fam, nats, flows)
		}
	}
}

// TestTranslationsFull: translations are a capacity of their own, of which a vport gets its share; a flow without room for its own leaves nothing behind.
func TestTranslationsFull(t *testing.T) {
	for fam, etherType := range families {
		p := offload.NewPlacer(sized(t, map[string]int64{"egress.nat_" + fam: 5}), 40)
		placed := make(map[uint16]*offload.Placed)
		for vport, want := range map[uint16]error{1: offload.ErrShare, 2: offload.ErrShare} {
			for _, n := range []byte{0, 1, 2, 3} { // two translations
				var err error
				if placed[vport], _, err = p.Place(connection(etherType, vport, n), vport); err != nil {
					t.Fatalf("%s: vport %d, flow %d: %v", fam, vport, n, err)
				}
			}
			if _, _, err := p.Place(connection(etherType, vport, 4), vport); !errors.Is(err, want) {
				t.Errorf("%s: vport %d, third translation: %v, want %v", fam, vport, err, want)
			}
		}
		if _, _, err := p.Place(connection(etherType, 3, 0), 3); err != nil {
			t.Fatalf("%s: fifth translation: %v", fam, err)
		}
		if _, _, err := p.Place(connection(etherType, 3, 2), 3); !errors.Is(err, offload.ErrFull) {
			t.Errorf("%s: sixth translation: %v, want %v", fam, err, offload.ErrFull)
		}
		if used := p.Used(offload.LaneExact, fam == "v4"); used != 9 {
			t.Errorf("%s: %d flows, want 9", fam, used)
		}
		p.Remove(placed[1]) // shares its translation
		m := connection(etherType, 1, 4)
		m.Rewrite = flow.Rewrite{}
		if _, _, err := p.Place(m, 1); err != nil {
			t.Errorf("%s: tracked, not translated: %v", fam, err)
		}
	}
}

// TestConnectionsAreExact: a translation holds all four values of the one packet that was decided, so the decision must have read them all.
func TestConnectionsAreExact(t *testing.T) {
	for fam, etherType := range families {
		for name, narrow := range map[string]func(*offload.Megaflow){
			"source":      func(m *offload.Megaflow) { m.Mask.Src[15] = 0xfe },
			"port":        func(m *offload.Megaflow) { m.Mask.SrcPort = 0 },
			"MACs alone":  func(m *offload.Megaflow) { m.Mask = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()} },
			"source MAC":  func(m *offload.Megaflow) { m.Mask.SrcMAC = packet.Broadcast() },
			"not tracked": func(m *offload.Megaflow) { m.Tracked, m.Mask.Frag = false, 0 },
			"no IP": func(m *offload.Megaflow) {
				m.Key.EtherType, m.Mask = packet.EtherTypeARP, flow.ExactMask(packet.EtherTypeARP)
			},
		} {
			m := connection(etherType, 1, 2)
			narrow(&m)
			p := offload.NewPlacer(newTables(t), 100)
			if _, _, err := p.Place(m, 1); !errors.Is(err, offload.ErrNotCovered) {
				t.Errorf("%s, %s: %v, want %v", fam, name, err, offload.ErrNotCovered)
			}
		}
	}
}
