package offload_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/packet"
)

// TestForeignPipeline: an unknown p4info is refused with the name of what it lacks.
func TestForeignPipeline(t *testing.T) {
	info, err := p4src.Info()
	if err != nil {
		t.Fatal(err)
	}
	for i, table := range info.Tables {
		broken := proto.CloneOf(info)
		broken.Tables[i].Preamble.Name = "ingress.other"
		broken.Tables[i].Preamble.Alias = "other"
		refused(t, broken, table.Preamble.Name)
		for j, field := range table.MatchFields {
			broken := proto.CloneOf(info)
			broken.Tables[i].MatchFields[j].Name = "other"
			refused(t, broken, field.Name)
		}
	}
	for i, action := range info.Actions {
		for j, param := range action.Params {
			broken := proto.CloneOf(info)
			broken.Actions[i].Params[j].Name = "other"
			refused(t, broken, param.Name)
		}
	}
}

func refused(t *testing.T, info *p4configv1.P4Info, name string) {
	t.Helper()
	schema, err := p4rt.NewSchema(info)
	if err == nil {
		_, err = offload.NewTables(schema)
	}
	if err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("without %s: error %v", name, err)
	}
}

// cases is how often a property is tried: settable for long runs.
func cases(t *testing.T, n int) int {
	if s := os.Getenv("WEFT_CASES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("WEFT_CASES: %v", err)
		}
		return n
	}
	return n
}

// TestSoftwareEqualsPipeline: what the software path sends for a first packet (rewritten here, sent by packet-out to the destination) is byte for
// byte what the installed entries make of the next one: to a local vport with and without tag, and over each tunnel. Guards punt alike.
func TestSoftwareEqualsPipeline(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 2))}
	tables := newTables(t)
	kinds := []offload.Tunnel{0, offload.VXLAN, offload.GRE, offload.Geneve}
	wild, punts, translated, copies := 0, 0, 0, 0
	reasons := map[flow.Reason]int{}
	n := cases(t, 20000)
	for i := range n {
		m := newMachine(t)
		const ingress, vport = 77, 5
		m.apply(inserts(tables.PortMap(offload.Attachment{Port: 1}, vport)...), inserts(tables.KnownSource(9, packet.MAC{2})), []p4rt.Update{{Op: p4rt.Insert, Entity: tables.Copies(offload.CPUPort)}})
		src := r.mac()
		data := r.frame(src, r.mac())
		var f packet.Frame
		if err := packet.Parse(data, &f); err != nil {
			t.Fatalf("case %d: %v: %x", i, err, data)
		}
		mega := r.megaflow(&f, ingress)
		route(m, tables, r, kinds[r.IntN(len(kinds))], mega.Dest)
		placer := offload.NewPlacer(tables, 100)
		placed, stages, err := placer.Place(mega, vport)
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		m.apply(stages...)
		if !mega.Guards.KnownSource {
			m.apply(inserts(tables.KnownSource(vport, src)))
		}
		wild += mega.Mask.Wild()

		got := m.send(1, data)
		reason := mega.Guards.Check(&f)
		reasons[reason]++
		switch {
		case reason.IsPunt() || !mega.Tracked:
		case f.TCPFlags&packet.TCPSyn != 0:
			reason = flow.ReasonTrackedSYN
		case f.TCPFlags&(packet.TCPFin|packet.TCPRst) != 0:
			if len(got) == 0 || len(got) != 2 && !reason.IsDrop() || punted(got[:1], data) != flow.ReasonTrackedEnd {
				t.Fatalf("case %d: want the frame and a copy of it as it came, got %v", i, got)
			}
			got = got[1:]
			copies++
		}
		if reason.IsDrop() {
			if len(got) != 0 {
				t.Fatalf("case %d: not dropped for %v: %v", i, reason, got)
			}
			continue
		}
		if reason != flow.ReasonNone {
			punts++
			if len(got) != 1 || got[0].port != offload.CPUPort || flow.Reason(got[0].frame[4]) != reason {
				t.Fatalf("case %d: want a punt for %v, got %v", i, reason, got)
			}
			continue
		}
		if mega.Rewrite.Translate {
			translated++
		}
		first := bytes.Clone(data)
		mega.Rewrite.Apply(first, &f)
		header := []byte{1, 0, 0, 0, 0, vport}
		header = binary.BigEndian.AppendUint16(header, flow.Hash(&f))
		header = binary.BigEndian.AppendUint32(header, uint32(mega.Dest))
		want := m.send(offload.CPUPort, append(header, first...))
		if len(want) != 1 || len(got) != 1 || want[0].port != got[0].port || !bytes.Equal(want[0].frame, got[0].frame) {
			t.Fatalf("case %d: lane %v, %s, %v\nframe    %x\nsoftware %v\npipeline %v", i, placed.Lane, mega.Key.And(mega.Mask), mega.Rewrite, data, want, got)
		}
	}
	if punts == 0 || punts > n/2 {
		t.Errorf("%d of %d cases were punts", punts, n)
	}
	for _, r := range []flow.Reason{flow.ReasonHeader, flow.ReasonMartian, flow.ReasonTTL, flow.ReasonLength, flow.ReasonFrameLength} {
		if reasons[r] < n/1000 {
			t.Errorf("guard %v refused %d of %d", r, reasons[r], n)
		}
	}
	if translated < n/20 || copies < n/1000 {
		t.Errorf("of %d cases %d were translated, %d copied", n, translated, copies)
	}
	t.Logf("%d cases, %d by guards, %d translated, %d copied, %.1f wild bits a case", n, punts, translated, copies, float64(wild)/float64(n))
}

// route makes a destination reachable: at a local port, or through a tunnel of a kind over IPv4 or IPv6 with two paths.
func route(m *machine, t *offload.Tables, r random, kind offload.Tunnel, dest flow.Dest) {
	if kind == 0 {
		at := offload.Attachment{Port: 2}
		if r.IntN(2) == 0 {
			at.VLAN = uint16(1 + r.IntN(4094))
		}
		m.apply(inserts(t.Local(dest, at, 8)...))
		return
	}
	own, peer := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if r.IntN(2) == 0 {
		own, peer = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	}
	p := offload.Path{Tunnel: kind, Src: own, Dst: peer, SrcMAC: r.mac(), DstMAC: r.mac(), MTU: 1600}
	m.apply(inserts(t.Underlay(1, p), t.Underlay(2, p)),
		inserts(t.Peer(3, []offload.PathTo{{Path: 1, Port: 256}, {Path: 2, Port: 257}})...), inserts(t.Remote(dest, 3, false)...))
}

// TestPlaceAndRemove: placing and removing in any order leaves the tables as if only what remains had ever been placed, and numbers do not leak.
func TestPlaceAndRemove(t *testing.T) {
	r := random{rand.New(rand.NewPCG(3, 4))}
	tables := newTables(t)
	m := newMachine(t)
	p := offload.NewPlacer(tables, 100)
	var live []*offload.Placed
	macs := []packet.MAC{r.mac(), r.mac(), r.mac()}
	for range cases(t, 4000) {
		if len(live) > 0 && r.IntN(5) < 2 {
			i := r.IntN(len(live))
			stages, confirm := p.Remove(live[i])
			m.apply(stages...)
			if confirm != nil {
				confirm()
			}
			live = append(live[:i], live[i+1:]...)
			continue
		}
		var f packet.Frame
		if err := packet.Parse(r.frame(macs[r.IntN(3)], macs[r.IntN(3)]), &f); err != nil {
			t.Fatal(err)
		}
		mega := r.megaflow(&f, 1)
		mega.Rewrite.DstMAC, mega.Rewrite.SrcMAC = macs[r.IntN(3)], macs[r.IntN(3)]
		placed, stages, err := p.Place(mega, uint16(1+r.IntN(3)))
		if errors.Is(err, offload.ErrOccupied) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m.apply(stages...)
		live = append(live, placed)
	}
	if len(live) < 100 {
		t.Fatalf("only %d flows lived at the end: the test tries too little", len(live))
	}
	for _, placed := range live {
		stages, confirm := p.Remove(placed)
		m.apply(stages...)
		if confirm != nil {
			confirm()
		}
	}
	for table := range m.Tables() {
		if table.Len() != 0 {
			t.Errorf("%s still has %d entries", table.Name(), table.Len())
		}
	}
	if used := p.Used(offload.LaneWild, true) + p.Used(offload.LaneExact, true) + p.Used(offload.LaneClass, true); used != 0 {
		t.Errorf("%d entries in use", used)
	}
}

// TestSharedEntry: two stations at one vport share the entry of a flow that both use, and it goes with the last of them.
func TestSharedEntry(t *testing.T) {
	p := offload.NewPlacer(newTables(t), 100)
	m := offload.Megaflow{Key: flow.Key{Ingress: 1, SrcMAC: packet.MAC{2, 1}, DstMAC: packet.MAC{2, 9}, EtherType: packet.EtherTypeIPv4}, Act: offload.Forward, Dest: 5}
	m.Mask = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}
	m.Guards.KnownSource = true
	count := func(stages [][]p4rt.Update) (n int) {
		for _, s := range stages {
			n += len(s)
		}
		return n
	}
	first, stages, err := p.Place(m, 1)
	if err != nil || count(stages) != 2 {
		t.Fatalf("first: %d updates, %v; want the entry and the source", count(stages), err)
	}
	m.Key.SrcMAC = packet.MAC{2, 2}
	second, stages, err := p.Place(m, 1)
	if err != nil || count(stages) != 1 {
		t.Fatalf("second: %d updates, %v; want the source alone", count(stages), err)
	}
	m.Dest, m.Key.SrcMAC = 6, packet.MAC{2, 3}
	if _, _, err := p.Place(m, 1); !errors.Is(err, offload.ErrOccupied) {
		t.Errorf("another decision for the same frames: %v, want %v", err, offload.ErrOccupied)
	}
	if stages, _ := p.Remove(first); count(stages) != 1 {
		t.Errorf("first removed: %d updates, want the source alone", count(stages))
	}
	if stages, _ := p.Remove(second); count(stages) != 2 {
		t.Errorf("last removed: %d updates, want entry and source", count(stages))
	}
}

// TestLanes: what was read decides the lane.
func TestLanes(t *testing.T) {
	all := packet.Broadcast()
	ip := flow.Key{Ingress: 1, SrcMAC: packet.MAC{2, 1}, DstMAC: packet.MAC{2, 2}, EtherType: packet.EtherTypeIPv4}
	arp := ip
	arp.EtherType = packet.EtherTypeARP
	macs := flow.Mask{Ingress: flow.MaxID, DstMAC: all}
	with := func(f func(*flow.Mask)) flow.Mask { m := macs; f(&m); return m }
	for _, c := range []struct {
		name  string
		key   flow.Key
		mask  flow.Mask
		known bool
		want  offload.Lane
		err   error
	}{
		{"bridged", ip, macs, false, offload.LaneClass, nil},
		{"bridged, learnt", ip, macs, true, offload.LaneClass, nil},
		{"bridged, by source MAC", ip, with(func(m *flow.Mask) { m.SrcMAC = all }), true, 0, offload.ErrNotCovered}, // that a source is known does not tell which it is
		{"routed", ip, with(func(m *flow.Mask) { m.EtherType, m.Dst = 0xffff, flow.AddrMask(24, packet.EtherTypeIPv4) }), false, offload.LaneWild, nil},
		{"everything that has a place", ip, with(func(m *flow.Mask) { *m = flow.ExactMask(packet.EtherTypeIPv4); m.SrcMAC = packet.MAC{} }), true, offload.LaneExact, nil},
		{"everything", ip, with(func(m *flow.Mask) { *m = flow.ExactMask(packet.EtherTypeIPv4) }), true, 0, offload.ErrNotCovered},
		{"source MAC beside IP", ip, with(func(m *flow.Mask) { m.SrcMAC, m.Proto = all, 0xff }), false, 0, offload.ErrNotCovered},
		{"source MAC beside IP, learnt", ip, with(func(m *flow.Mask) { m.SrcMAC, m.Proto = all, 0xff }), true, 0, offload.ErrNotCovered},
		{"EtherType", arp, with(func(m *flow.Mask) { m.EtherType = 0xffff }), false, offload.LaneWildL2, nil},
		{"source MAC", arp, with(func(m *flow.Mask) { m.EtherType, m.SrcMAC = 0xffff, all }), false, offload.LaneWildL2, nil},
		{"source MAC, learnt", arp, with(func(m *flow.Mask) { m.SrcMAC = all }), true, offload.LaneWildL2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := offload.Megaflow{Key: c.key, Mask: c.mask, Act: offload.Drop, Prio: 1, Guards: flow.Guards{KnownSource: c.known}}
			placed, _, err := offload.NewPlacer(newTables(t), 100).Place(m, 1)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err == nil && placed.Lane != c.want {
				t.Errorf("lane %v, want %v", placed.Lane, c.want)
			}
		})
	}
}

// TestWildLaneFull: when the wild lane has no room the flow becomes exact; when that is full too, the error says so.
func TestWildLaneFull(t *testing.T) {
	info, err := p4src.Info()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range info.Tables {
		if strings.Contains(table.Preamble.Name, "flow_") {
			table.Size = 2
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
	p := offload.NewPlacer(tables, 100)
	want := []offload.Lane{offload.LaneWild, offload.LaneWild, offload.LaneExact, offload.LaneExact}
	m := offload.Megaflow{Key: flow.Key{Ingress: 1, DstMAC: packet.MAC{2}, EtherType: packet.EtherTypeIPv6}, Act: offload.Drop, Prio: 1}
	m.Mask = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast(), EtherType: 0xffff, Dst: flow.AddrMask(64, packet.EtherTypeIPv6)}
	for i, lane := range want {
		m.Key.Dst[7] = byte(i)
		placed, _, err := p.Place(m, 1)
		if err != nil {
			t.Fatal(err)
		}
		if placed.Lane != lane {
			t.Errorf("flow %d: lane %v, want %v", i, placed.Lane, lane)
		}
	}
	m.Key.Dst[7] = 9
	if _, _, err := p.Place(m, 1); !errors.Is(err, offload.ErrFull) {
		t.Errorf("fifth flow: %v, want %v", err, offload.ErrFull)
	}
}

// TestRewritesFull: there are no more rewrites than their table holds; a flow that needs one more stays on the slow path.
func TestRewritesFull(t *testing.T) {
	for _, table := range []string{"egress.l2_rewrite", "ingress.l2_guard"} {
		p := offload.NewPlacer(sized(t, map[string]int64{table: 2}), 100)
		m := offload.Megaflow{Key: flow.Key{Ingress: 1, DstMAC: packet.MAC{2}, EtherType: packet.EtherTypeIPv4}, Act: offload.Forward, Dest: 9, Prio: 1}
		m.Mask = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast(), EtherType: 0xffff, Dst: flow.AddrMask(32, packet.EtherTypeIPv4)}
		for i, want := range []error{nil, nil, offload.ErrNoID} {
			m.Key.Dst[15] = byte(i)
			m.Rewrite = flow.Rewrite{SetMACs: true, SrcMAC: packet.MAC{2, 3}, DstMAC: packet.MAC{2, 4, byte(i)}, TTLDec: 1}
			if _, _, err := p.Place(m, 1); !errors.Is(err, want) {
				t.Errorf("%s, flow %d: %v, want %v", table, i, err, want)
			}
		}
	}
}

// TestAlwaysPunted runs control frames through the pipeline beside entries that would forward them.
func TestAlwaysPunted(t *testing.T) {
	tables := newTables(t)
	m := newMachine(t)
	src, dst := packet.MAC{2, 1}, packet.MAC{2, 2}
	m.apply(inserts(tables.PortMap(offload.Attachment{Port: 1}, 1)...), inserts(tables.KnownSource(1, src)), inserts(tables.AlwaysPunted()...))
	key := flow.Key{Ingress: 1, DstMAC: dst, EtherType: packet.EtherTypeIPv4}
	_, stages, err := offload.NewPlacer(tables, 100).Place(offload.Megaflow{Key: key, Mask: flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}, Act: offload.Forward, Dest: 5}, 1)
	if err != nil {
		t.Fatal(err)
	}
	m.apply(stages...)
	m.apply(inserts(tables.Local(5, offload.Attachment{Port: 2}, 2)...))
	eth := func(etherType uint16, payload ...byte) []byte {
		f := append(append(append([]byte{}, dst[:]...), src[:]...), byte(etherType>>8), byte(etherType))
		return append(append(f, payload...), make([]byte, 40)...)
	}
	v4 := func(proto, icmpType byte) []byte {
		h := []byte{0x45, 0, 0, 60, 0, 0, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, icmpType}
		return eth(packet.EtherTypeIPv4, h...)
	}
	v6 := func(icmpType byte) []byte {
		h := append([]byte{0x60, 0, 0, 0, 0, 40, packet.ProtoICMPv6, 255}, make([]byte, 31)...)
		return eth(packet.EtherTypeIPv6, append(h, 1, icmpType)...)
	}
	for _, c := range []struct {
		name  string
		frame []byte
		want  flow.Reason
	}{
		{"ARP", eth(packet.EtherTypeARP, make([]byte, 28)...), flow.ReasonARP},
		{"IGMP", v4(packet.ProtoIGMP, 0x16), flow.ReasonGroupControl},
		{"unreachable", v4(packet.ProtoICMP, 3), flow.ReasonICMPError},
		{"time exceeded", v4(packet.ProtoICMP, 11), flow.ReasonICMPError},
		{"echo request", v4(packet.ProtoICMP, 8), flow.ReasonNone},
		{"packet too big", v6(2), flow.ReasonICMPError},
		{"neighbour solicitation", v6(135), flow.ReasonND},
		{"router advertisement", v6(134), flow.ReasonND},
		{"MLD report", v6(143), flow.ReasonGroupControl},
		{"echo request, v6", v6(128), flow.ReasonNone},
	} {
		out := m.send(1, c.frame)
		got := flow.ReasonNone
		if len(out) == 1 && out[0].port == offload.CPUPort {
			got = flow.Reason(out[0].frame[4])
		}
		if len(out) != 1 || got != c.want {
			t.Errorf("%s: %d frames, reason %v, want %v", c.name, len(out), got, c.want)
		}
	}
}

func BenchmarkPlace(b *testing.B) {
	tables := newTables(b)
	p := offload.NewPlacer(tables, 100)
	m := offload.Megaflow{Key: flow.Key{Ingress: 1, DstMAC: packet.MAC{2}, EtherType: packet.EtherTypeIPv4}, Act: offload.Forward, Dest: 9, Prio: 1}
	m.Mask = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast(), EtherType: 0xffff, Dst: flow.AddrMask(24, packet.EtherTypeIPv4)}
	m.Rewrite = flow.Rewrite{SetMACs: true, SrcMAC: packet.MAC{2, 3}, DstMAC: packet.MAC{2, 4}, TTLDec: 1}
	b.ReportAllocs()
	for i := range b.N {
		binary.BigEndian.PutUint32(m.Key.Dst[12:], uint32(i)<<8)
		placed, _, err := p.Place(m, 1)
		if err != nil {
			b.Fatal(err)
		}
		_, confirm := p.Remove(placed)
		if confirm != nil {
			confirm()
		}
	}
}
