package offload_test

import (
	"errors"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/packet"
)

// sized returns the tables with other sizes, by name.
func sized(t *testing.T, sizes map[string]int64) *offload.Tables {
	t.Helper()
	info, err := p4src.Info()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range info.Tables {
		if n, ok := sizes[table.Preamble.Name]; ok {
			table.Size = n
		}
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := offload.NewTables(schema)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// TestShare: a vport that sends to many MACs, from many, or to many destinations gets its share of the table that this fills and no more, the others
// get theirs, and what is removed can be used again.
func TestShare(t *testing.T) {
	macs := flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}
	for table, mega := range map[string]func(vport uint16, i byte) offload.Megaflow{
		"ingress.dst_class": func(vport uint16, i byte) offload.Megaflow { // a flow, or a scope
			m := offload.Megaflow{Key: flow.Key{Ingress: flow.VPortID(vport), DstMAC: packet.MAC{2, i}, EtherType: packet.EtherTypeIPv4}, Mask: macs, Prio: 1}
			if i%2 == 0 {
				m.Mask.Proto = 0xff
			}
			return m
		},
		"ingress.src_class": func(vport uint16, i byte) offload.Megaflow {
			m := offload.Megaflow{Key: flow.Key{Ingress: flow.VPortID(vport), SrcMAC: packet.MAC{2, i}, DstMAC: packet.MAC{4}}, Mask: macs}
			m.Guards.KnownSource = true
			return m
		},
		"ingress.flow_wild_l2": func(vport uint16, i byte) offload.Megaflow {
			m := offload.Megaflow{Key: flow.Key{Ingress: flow.VPortID(vport), DstMAC: packet.MAC{2}, EtherType: 0x9000 + uint16(i)}, Mask: macs, Prio: 1}
			m.Mask.EtherType = 0xffff
			return m
		},
		"ingress.flow_exact_v6": func(vport uint16, i byte) offload.Megaflow {
			m := offload.Megaflow{Key: flow.Key{Ingress: flow.VPortID(vport), DstMAC: packet.MAC{2}, EtherType: packet.EtherTypeIPv6, SrcPort: uint16(i)}}
			m.Mask = flow.ExactMask(packet.EtherTypeIPv6)
			m.Mask.SrcMAC = packet.MAC{}
			return m
		},
	} {
		p := offload.NewPlacer(sized(t, map[string]int64{table: 10, "ingress.flow_wild_v6": 1}), 40)
		if table == "ingress.flow_exact_v6" { // the wild lane is full
			m := mega(9, 0)
			m.Mask.SrcPort = 0
			if _, _, err := p.Place(m, 9); err != nil {
				t.Fatal(err)
			}
		}
		for _, vport := range []uint16{1, 2} {
			var last *offload.Placed
			for i := range byte(4) {
				var err error
				if last, _, err = p.Place(mega(vport, i), vport); err != nil {
					t.Fatalf("%s: vport %d, flow %d: %v", table, vport, i, err)
				}
			}
			if _, _, err := p.Place(mega(vport, 4), vport); !errors.Is(err, offload.ErrShare) {
				t.Errorf("%s: vport %d, flow beyond its share: %v, want %v", table, vport, err, offload.ErrShare)
			}
			if _, confirm := p.Remove(last); confirm != nil {
				confirm()
			}
			if _, _, err := p.Place(mega(vport, 5), vport); err != nil {
				t.Errorf("%s: vport %d has room again: %v", table, vport, err)
			}
		}
		for i := range byte(2) {
			if _, _, err := p.Place(mega(3, i), 3); err != nil {
				t.Fatalf("%s: vport 3: %v", table, err)
			}
		}
		if _, _, err := p.Place(mega(3, 2), 3); !errors.Is(err, offload.ErrFull) {
			t.Errorf("%s: a full table: %v, want %v", table, err, offload.ErrFull)
		}
	}
}

// TestSmallShare (E5): however few entries an edge may have, a vport's share is one at least, which it keeps.
func TestSmallShare(t *testing.T) {
	p := offload.NewPlacer(sized(t, nil), 10)
	p.Limit(5)
	mega := func(vport, port uint16) offload.Megaflow {
		m := offload.Megaflow{Key: flow.Key{Ingress: flow.VPortID(vport), DstMAC: packet.MAC{2}, EtherType: packet.EtherTypeIPv4, SrcPort: port}, Mask: flow.ExactMask(packet.EtherTypeIPv4)}
		m.Mask.SrcMAC = packet.MAC{}
		return m
	}
	for _, vport := range []uint16{1, 2} {
		if _, _, err := p.Place(mega(vport, 0), vport); err != nil {
			t.Fatalf("vport %d: %v", vport, err)
		}
		if _, _, err := p.Place(mega(vport, 1), vport); !errors.Is(err, offload.ErrShare) {
			t.Errorf("vport %d, a second flow: %v, want %v", vport, err, offload.ErrShare)
		}
	}
	if excess := p.Excess(); p.Tight() || len(excess) > 0 {
		t.Errorf("of two entries %+v are to be evicted", excess)
	}
}
