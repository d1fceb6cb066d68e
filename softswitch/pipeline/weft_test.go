package pipeline

import (
	"encoding/binary"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// weft runs the project's own program as the compiler left it.
func weft(t testing.TB, o Options) *harness {
	t.Helper()
	b, err := os.ReadFile("../../p4src/build/weft.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(b)
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{}
	o.Emit = func(port uint16, frame []byte) { h.out = append(h.out, emission{port, string(frame)}) }
	h.Machine = New(p, o)
	return h
}

const (
	cpuPort      = 510
	underlayPort = 256
	tenantFlow   = 500 // destination of the flows, a vport of the other edge
)

// forwardFlows teaches an edge to send flows of vport 7 on port 1 to another
// edge by VXLAN.
func forwardFlows(t testing.TB, h *harness, flows int) {
	in := func(table string, match []FieldMatch, action string, params ...[]byte) {
		t.Helper()
		insert(t, h, table, Entry{Match: match, Action: action, Params: params})
	}
	in("ingress.port_map", exact(be(2, 1), be(2, 0), be(1, 0)), "ingress.set_vport", be(2, 7))
	in("ingress.src_class", exact(be(2, 7), be(6, 0x0a0000000001)), "ingress.known_source")
	in("ingress.dst_class", exact(be(2, 7), be(6, 0x0a0000000002)), "ingress.set_scope", be(2, 9))
	for i := range flows {
		in("ingress.flow_exact_v4", exact(be(2, 9), be(4, 10<<24+1), be(4, uint64(10<<24+1000+i)), be(1, 17), be(2, 4000), be(2, 53), be(1, 0)),
			"ingress.forward_flow_exact_v4", be(3, tenantFlow), be(2, 5), be(1, 1), be(2, 0), be(1, 0))
	}
	in("ingress.l2_guard", exact(be(2, 5)), "ingress.set_mtu", be(2, 1500))
	in("egress.l2_rewrite", exact(be(2, 5)), "egress.set_macs", be(6, 0xaabbccddee01), be(6, 0xaabbccddee02), be(2, 0))
	in("ingress.location", exact(be(3, tenantFlow), be(1, 0)), "ingress.to_peer", be(2, 3))
	for b := range 16 {
		in("ingress.peer", exact(be(2, 3), be(1, uint64(b))), "ingress.set_path", be(2, 11), be(2, underlayPort))
	}
	in("egress.underlay", exact(be(2, 11)), "egress.encap_v4", be(1, 1), be(4, 0xc0a80001), be(4, 0xc0a80002), be(6, 0x020000000001), be(6, 0x020000000002), be(2, 1550))
}

// onesSum folds 16-bit words; 0xffff over a header with a right checksum.
func onesSum(b string) uint32 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return s
}

// TestWeftTunnel sends a tenant's frame through two edges.
func TestWeftTunnel(t *testing.T) {
	a, b := weft(t, Options{CPUPort: cpuPort}), weft(t, Options{CPUPort: cpuPort})
	forwardFlows(t, a, 10)
	insert(t, b, "ingress.tunnel_term_v4", Entry{Match: exact(be(1, 1), be(4, 0xc0a80002)), Action: "ingress.terminate"})
	insert(t, b, "ingress.peer_list_v4", Entry{Match: exact(be(4, 0xc0a80001)), Action: "ingress.known_peer"})
	insert(t, b, "ingress.location", Entry{Match: exact(be(3, tenantFlow), be(1, 1)), Action: "ingress.to_port", Params: [][]byte{be(2, 4), be(2, 12), {1}, be(2, 33)}})

	frame := udpFrame(10<<24+1, 10<<24+1005, 4000, 53, 30)
	out := a.send(1, frame)
	if len(out) != 1 || out[0].Port != underlayPort {
		t.Fatalf("first edge: %v", frames(out))
	}
	outer := out[0].Frame
	if len(outer) != len(frame)+50 || onesSum(outer[14:34]) != 0xffff {
		t.Errorf("outer header of %d bytes, sum %x", len(outer)-len(frame), onesSum(outer[14:34]))
	}
	if got, want := binary.BigEndian.Uint16([]byte(outer[16:])), uint16(len(outer)-14); got != want {
		t.Errorf("outer total length %d, want %d", got, want)
	}
	if got := outer[42:50]; got != "\x08\x00\x00\x00\x00\x01\xf4\x00" {
		t.Errorf("VXLAN header %x", got)
	}
	want := append([]byte(nil), frame...)
	copy(want, append(be(6, 0xaabbccddee02), be(6, 0xaabbccddee01)...))
	want[22]-- // one router passed
	want[24], want[25] = 0, 0
	binary.BigEndian.PutUint16(want[24:], ^uint16(onesSum(string(want[14:34]))))
	if d := cmp.Diff(string(want), outer[50:]); d != "" {
		t.Errorf("inner frame: %s", d)
	}
	back := b.send(underlayPort, []byte(outer))
	tagged := append(append(append([]byte(nil), want[:12]...), 0x81, 0, 0, 33), want[12:]...)
	check(t, "second edge", back, frames([]emission{{4, string(tagged)}})...)

	// what no entry matches goes to the engine, with the packet-in header
	frame[11]++
	out = a.send(1, frame)
	if len(out) != 1 || out[0].Port != cpuPort || len(out[0].Frame) <= len(frame) || out[0].Frame[len(out[0].Frame)-len(frame):] != string(frame) {
		t.Errorf("unknown source: %v", frames(out))
	}
}

// BenchmarkWeft is the project's program: a flow table hit among 10k, in turn,
// VXLAN out. softswitch_mpps is in terms of this thread's processor time.
func BenchmarkWeft(b *testing.B) {
	for _, sizes := range [][]int{{64}, {64, 128, 256, 576, 1024, 1500}} {
		name := "64B"
		if len(sizes) > 1 {
			name = "mixed64-1500B"
		}
		b.Run("exact/10kFlows/"+name, func(b *testing.B) { benchmarkWeft(b, sizes) })
	}
}

func benchmarkWeft(b *testing.B, sizes []int) {
	const flows = 10000
	h := weft(b, Options{CPUPort: cpuPort})
	forwardFlows(b, h, flows)
	bytes := 0
	h.Machine.o.Emit = func(port uint16, f []byte) { bytes += len(f) * int(port/underlayPort) }
	const batch = 32 // as ports give them
	frames, lengths := make([][]byte, batch), make([]int, batch)
	for i := range frames {
		lengths[i] = sizes[i%len(sizes)]
		frames[i] = udpFrame(10<<24+1, uint32(10<<24+1000), 4000, 53, lengths[i]-42)
	}
	h.Process(1, frames[0])
	if bytes != sizes[0]+50 {
		b.Fatalf("%d bytes out", bytes)
	}
	sums := make([]uint32, batch) // of each header without its destination
	for i, f := range frames {
		sums[i] = uint32(^binary.BigEndian.Uint16(f[24:])) + 2*0xffff - uint32(binary.BigEndian.Uint16(f[30:])) - uint32(binary.BigEndian.Uint16(f[32:]))
	}
	next := 0
	receive := func() { // a batch of the flows that are next in turn
		for i, f := range frames {
			dst := uint32(10<<24 + 1000 + next)
			sum := sums[i] + dst>>16 + dst&0xffff
			sum = sum>>16 + sum&0xffff
			binary.BigEndian.PutUint16(f[24:], ^uint16(sum>>16+sum))
			binary.BigEndian.PutUint32(f[30:], dst)
			if next++; next == flows {
				next = 0
			}
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuNow(b)
	for n := 0; n < b.N; n += batch {
		receive()
		h.ProcessBatch(1, frames, lengths)
	}
	cpu := cpuNow(b) - start
	b.StopTimer()
	done := float64((b.N + batch - 1) / batch * batch)
	if len(sizes) > 1 { // the figures are those of mixed sizes
		b.ReportMetric(done*1e3/float64(cpu), "softswitch_mpps:Mpps")
		b.ReportMetric(testing.AllocsPerRun(flows, func() { h.ProcessBatch(1, frames, lengths) }), "softswitch_allocs:allocs")
	} else {
		b.ReportMetric(done*1e3/float64(cpu), "mpps")
	}
}

// BenchmarkWild is the same packet without an exact entry: 10k ternary entries
// under 50 masks, of priorities in no order, of which one matches.
func BenchmarkWild(b *testing.B) {
	h := weft(b, Options{CPUPort: cpuPort})
	forwardFlows(b, h, 0)
	const entries, masks = 10000, 50
	h.tbl(b, "ingress.flow_wild_v4").d.size = entries + 1
	any := FieldMatch{Any: true}
	for i := range entries {
		n := i % masks
		// 50 masks: prefix lengths of the two addresses, with and without ports
		src, dst := 8+n%5*6, 31-n/5%5
		port := any
		if n >= masks/2 {
			port = FieldMatch{Value: be(2, uint64(1000+i)), Mask: be(2, 0xffff)}
		}
		insert(b, h, "ingress.flow_wild_v4", Entry{
			Match: []FieldMatch{{Value: be(2, 9), Mask: be(2, 0xffff)},
				{Value: be(4, uint64(i)<<12), Mask: be(4, 0xffffffff<<(32-src)&0xffffffff)},
				{Value: be(4, uint64(i)*0x9e3779b1&0xffffffff), Mask: be(4, 0xffffffff<<(32-dst)&0xffffffff)}, any, port, any, any},
			Priority: int32(1 + (i*7919)%entries), Action: "ingress.drop_flow_wild_v4"})
	}
	insert(b, h, "ingress.flow_wild_v4", Entry{Match: []FieldMatch{{Value: be(2, 9), Mask: be(2, 0xffff)}, any, any, any, any, any, any},
		Priority: 1, Action: "ingress.forward_flow_wild_v4", Params: [][]byte{be(3, tenantFlow), be(2, 5), be(1, 1)}})
	out := 0
	h.Machine.o.Emit = func(port uint16, f []byte) { out += len(f) * int(port/underlayPort) }
	frame := udpFrame(10<<24+1, 10<<24+1000, 4000, 53, 22)
	h.Process(1, frame)
	if out != 64+50 {
		b.Fatalf("%d bytes out", out)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuNow(b)
	for range b.N {
		h.Process(1, frame)
	}
	b.ReportMetric(float64(b.N)*1e3/float64(cpuNow(b)-start), "softswitch_ternary_mpps:Mpps")
}

// BenchmarkMillionEntries fills the exact flow table of the project's program; one operation is one entry.
func BenchmarkMillionEntries(b *testing.B) {
	const entries = 1_000_000
	var per float64
	for range b.N {
		h := weft(b, Options{CPUPort: cpuPort})
		t := h.tbl(b, "ingress.flow_exact_v4")
		t.d.size = entries
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		e := Entry{Match: exact(be(2, 9), be(4, 10<<24+1), be(4, 0), be(1, 17), be(2, 4000), be(2, 53), be(1, 0)),
			Action: "ingress.forward_flow_exact_v4", Params: [][]byte{be(3, tenantFlow), be(2, 5), be(1, 1), be(2, 0), be(1, 0)}, IdleTimeout: time.Minute}
		for i := range entries {
			binary.BigEndian.PutUint32(e.Match[2].Value, uint32(i))
			if err := t.Insert(e); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		per = float64(after.HeapAlloc-before.HeapAlloc) / entries
		runtime.KeepAlive(h)
	}
	b.ReportMetric(per, "softswitch_entry_bytes:B")
	b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "table_inserts_per_s:1/s")
}
