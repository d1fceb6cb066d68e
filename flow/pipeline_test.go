package flow

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// edge runs the compiled p4src/v1model as an edge that sends flows of vport 7, on port 1, through VXLAN.
type edge struct {
	*pipeline.Machine
	out   [][]byte
	ports []uint16

	translated, syns, copies int
	reasons                  map[Reason]int // of guards
}

const (
	portCPU, portTenant, portUnderlay = 510, 1, 256
	vport, scope, rewriteID, peer     = 7, 9, 5, 3
	natID, copySession                = 11, 1
	dest                              = 0x123456
	vid                               = 9 // of the tagged frames in these tests
	mtu                               = 60
)

func be(width int, v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v)[8-width:] }

// exact makes exact matches, any ternary ones of all bits.
func exact(vs ...[]byte) (m []pipeline.FieldMatch) {
	for _, v := range vs {
		m = append(m, pipeline.FieldMatch{Value: v})
	}
	return m
}

func ternary(vs ...[]byte) (m []pipeline.FieldMatch) {
	for _, v := range vs {
		m = append(m, pipeline.FieldMatch{Value: v, Mask: bytes.Repeat([]byte{0xff}, len(v))})
	}
	return m
}

func (e *edge) insert(t testing.TB, table string, match []pipeline.FieldMatch, priority int32, action string, params ...[]byte) {
	t.Helper()
	tbl, ok := e.Table(table)
	if !ok {
		t.Fatalf("no table %s", table)
	}
	if err := tbl.Insert(pipeline.Entry{Match: match, Priority: priority, Action: action, Params: params}); err != nil {
		t.Fatalf("%s: %v", table, err)
	}
}

func newEdge(t testing.TB) *edge {
	t.Helper()
	b, err := os.ReadFile("../p4src/build/weft.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Load(b)
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{reasons: map[Reason]int{}}
	e.Machine = pipeline.New(p, pipeline.Options{CPUPort: portCPU, Emit: func(port uint16, frame []byte) {
		e.out, e.ports = append(e.out, bytes.Clone(frame)), append(e.ports, port)
	}})
	e.insert(t, "ingress.port_map", exact(be(2, portTenant), be(2, 0), be(1, 0)), 0, "ingress.set_vport", be(2, vport))
	e.insert(t, "ingress.port_map", exact(be(2, portTenant), be(2, vid), be(1, 1)), 0, "ingress.set_vport", be(2, vport))
	e.insert(t, "ingress.l2_guard", exact(be(2, rewriteID)), 0, "ingress.set_mtu", be(2, mtu))
	e.insert(t, "egress.l2_rewrite", exact(be(2, rewriteID)), 0, "egress.set_macs", macR[:], macA[:], be(2, 0))
	e.insert(t, "ingress.location", exact(be(3, dest), be(1, 0)), 0, "ingress.to_peer", be(2, peer))
	for b := range uint64(16) { // the outer source address tells the bucket: the upper bits of the hash
		e.insert(t, "ingress.peer", exact(be(2, peer), be(1, b)), 0, "ingress.set_path", be(2, 100+b), be(2, portUnderlay))
		e.insert(t, "egress.underlay", exact(be(2, 100+b)), 0, "egress.encap_v4", be(1, 1), be(4, b), be(4, 99), macA[:], macB[:], be(2, 65535))
	}
	e.SetClone(copySession, pipeline.CloneSession{Replicas: []pipeline.Replica{{Port: portCPU}}})
	return e
}

// decide makes a decision about a frame that depends on the frame alone: half of the IP packets are translated in any of the four values, half are tracked.
func decide(f *packet.Frame, dec uint8) (r Rewrite, tracked bool) {
	k := KeyOf(f, vport)
	r = Rewrite{SetMACs: true, SrcMAC: macR, DstMAC: macA, TTLDec: dec}
	rng := rand.New(rand.NewPCG(uint64(Hash(f)), 1))
	if f.L3 == 0 {
		return r, false
	}
	if r.Translate = rng.IntN(2) == 0; !r.Translate {
		return r, rng.IntN(2) == 0
	}
	r.Src, r.Dst, r.SrcPort, r.DstPort = k.Src, k.Dst, k.SrcPort, k.DstPort
	for _, a := range []*Addr{&r.Src, &r.Dst} {
		for i := range a {
			if rng.IntN(2) == 0 && (f.Is6() || i >= 12) {
				a[i] = byte(rng.Uint32())
			}
		}
	}
	for _, p := range []*uint16{&r.SrcPort, &r.DstPort} {
		if rng.IntN(2) == 0 {
			*p = uint16(rng.Uint32())
		}
	}
	return r, rng.IntN(2) == 0
}

// learn installs the one flow of which k is the key, as exact as its table allows.
func (e *edge) learn(t testing.TB, k Key, r Rewrite, tracked bool) {
	t.Helper()
	for _, name := range []string{"ingress.src_class", "ingress.dst_class", "ingress.flow_exact_v4", "ingress.flow_exact_v6", "ingress.flow_wild_l2", "egress.nat_v4", "egress.nat_v6"} {
		tbl, _ := e.Table(name)
		tbl.Clear()
	}
	e.insert(t, "ingress.src_class", exact(be(2, vport), k.SrcMAC[:]), 0, "ingress.known_source")
	e.insert(t, "ingress.dst_class", exact(be(2, vport), k.DstMAC[:]), 0, "ingress.set_scope", be(2, scope))
	action := [][]byte{be(3, dest), be(2, rewriteID), be(1, uint64(r.TTLDec))}
	whole := append(slices.Clip(action), be(2, 0), be(1, 0))
	if r.Translate {
		whole[3] = be(2, natID)
		if k.Is4() {
			e.insert(t, "egress.nat_v4", exact(be(2, natID)), 0, "egress.translate_v4", r.Src[12:], r.Dst[12:], be(2, uint64(r.SrcPort)), be(2, uint64(r.DstPort)))
		} else {
			e.insert(t, "egress.nat_v6", exact(be(2, natID)), 0, "egress.translate_v6", r.Src[:], r.Dst[:], be(2, uint64(r.SrcPort)), be(2, uint64(r.DstPort)))
		}
	}
	if tracked {
		whole[4] = be(1, 1)
	}
	tail := [][]byte{be(1, uint64(k.Proto)), be(2, uint64(k.SrcPort)), be(2, uint64(k.DstPort)), be(1, uint64(k.Frag))}
	switch {
	case k.Is4():
		e.insert(t, "ingress.flow_exact_v4", exact(append([][]byte{be(2, scope), k.Src[12:], k.Dst[12:]}, tail...)...), 0, "ingress.forward_flow_exact_v4", whole...)
	case k.Is6():
		e.insert(t, "ingress.flow_exact_v6", exact(append([][]byte{be(2, scope), k.Src[:], k.Dst[:]}, tail...)...), 0, "ingress.forward_flow_exact_v6", whole...)
	default:
		e.insert(t, "ingress.flow_wild_l2", ternary(be(2, scope), k.SrcMAC[:], k.DstMAC[:], be(2, uint64(k.EtherType))), 1, "ingress.forward_flow_wild_l2", action...)
	}
}

// compare sends b through the pipeline with a flow entry for its key, and tells whether it was forwarded. The pipeline must report a parser error iff
// Parse does, hit by KeyOf, punt by Guards.Check, rewrite by Rewrite.Apply and hash by Hash. A tracked flow's SYN is punted; a copy of its FIN or RST as it came
// goes to the CPU.
func (e *edge) compare(t testing.TB, b []byte, dec uint8) (forwarded bool) {
	t.Helper()
	e.out, e.ports = e.out[:0], e.ports[:0]
	var f packet.Frame
	if err := packet.Parse(b, &f); err != nil || f.Tagged && f.VLAN != vid || !f.Src().IsUnicast() {
		e.Process(portTenant, bytes.Clone(b))
		if len(e.out) != 0 {
			t.Fatalf("%x, error %v: the pipeline emits %x", b, err, e.out)
		}
		return false
	}
	rewrite, tracked := decide(&f, dec)
	e.learn(t, KeyOf(&f, vport), rewrite, tracked)
	e.Process(portTenant, bytes.Clone(b))
	reason := (Guards{MinTTL: dec, MaxLen: mtu}).Check(&f)
	e.reasons[reason]++
	switch {
	case reason.IsPunt() || !tracked:
	case f.TCPFlags&packet.TCPSyn != 0:
		reason = ReasonTrackedSYN
		e.syns++
	case f.TCPFlags&(packet.TCPFin|packet.TCPRst) != 0:
		want := 2
		if reason.IsDrop() { // in egress: the copy is made before
			want = 1
		}
		if len(e.out) != want || e.ports[0] != portCPU || e.out[0][3] != vport || Reason(e.out[0][4]) != ReasonTrackedEnd || !bytes.HasSuffix(e.out[0], b) {
			t.Fatalf("%x: tracked, the pipeline emits %x", b, e.out)
		}
		e.out, e.ports = e.out[1:], e.ports[1:]
		e.copies++
	}
	if reason.IsDrop() {
		if len(e.out) != 0 {
			t.Fatalf("%x: not dropped for %v, the pipeline emits %x", b, reason, e.out)
		}
		return false
	}
	if len(e.out) != 1 {
		t.Fatalf("%x: the pipeline emits %x", b, e.out)
	}
	out := e.out[0]
	if reason != ReasonNone {
		if e.ports[0] != portCPU || Reason(out[4]) != reason || !bytes.HasSuffix(out, b) {
			t.Fatalf("%x: port %d, reason %v, want %v: %x", b, e.ports[0], Reason(out[4]), reason, out)
		}
		return false
	}
	if e.ports[0] != portUnderlay || len(out) < 50 {
		t.Fatalf("%x, key %v: port %d, reason %v", b, KeyOf(&f, vport), e.ports[0], Reason(out[4]))
	}
	hash := Hash(&f)
	if src := binary.BigEndian.Uint16(out[34:]); src != 0xc000|hash&0x3fff || out[29] != byte(hash>>12) {
		t.Fatalf("%x: outer source port %#x and bucket %d, hash %#x", b, src, out[29], hash)
	}
	want := frame(t, bytes.Clone(b))
	want.Untag()
	rewrite.Apply(want.Data, want)
	if rewrite.Translate {
		e.translated++
	}
	if !bytes.Equal(out[50:], want.Data) {
		t.Fatalf("%x:\nemits %x\nwant  %x", b, out[50:], want.Data)
	}
	return true
}

// seeds are frames of all kinds, short ones too.
func seeds(t testing.TB) [][]byte {
	set := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	v4, v6 := udp(a4, b4), udp(a6, b6)
	ping4, err := packet.AppendICMPError(nil, frame(t, v4), &packet.ICMPError{Kind: packet.NoRoute, Src: b4})
	if err != nil {
		t.Fatal(err)
	}
	ping6 := packet.AppendNS(nil, macA, a6, b6)
	later := append(set(v6[:54], 20, packet.ProtoFragment), append([]byte{packet.ProtoUDP, 0, 0, 8, 1, 2, 3, 4}, v6[54:]...)...)
	tcp4, tcp6 := set(append(v4, make([]byte, 20)...), 23, packet.ProtoTCP), set(append(v6, make([]byte, 20)...), 20, packet.ProtoTCP)
	all := [][]byte{
		set(tcp4, 47, packet.TCPSyn), set(tcp6, 67, packet.TCPSyn), set(tcp4, 47, packet.TCPFin|packet.TCPAck), set(tcp6, 67, packet.TCPFin|packet.TCPAck),
		set(tcp4, 47, packet.TCPRst), set(tcp6, 67, packet.TCPRst), set(tcp4, 47, packet.TCPSyn|packet.TCPFin), set(v4, 40, 0, 0), set(v6, 60, 0, 0),
		v4, v6, arp(), ping4, ping6, set(ping4, 34, 8), set(ping4, 34, 0), set(ping6, 54, 128), set(ping6, 54, 129),
		set(v4, 20, 0x20), set(v4, 21, 1), set(v4, 23, packet.ProtoSCTP), set(v4, 23, packet.ProtoGRE), set(v4, 14, 0x46), set(v4, 14, 0x44), set(v4, 14, 0x55), set(v6, 14, 0x50),
		tcp4, tcp6, set(v6, 20, 0), later, set(later, 57, 1), set(later, 57, 0),
		tagged(v4), tagged(v6), tagged(arp()), tagged(tagged(v4)), set(v4, 12, 0x88, 0xa8), set(v4, 22, 1), set(v6, 21, 1), set(v4, 17, 200), set(v6, 19, 200), set(v4, 24, 0, 0),
	}
	for i := range all {
		if i%8 != 7 {
			summed(all[i])
		}
	}
	for _, src := range []string{"0.0.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.5", "255.255.255.255"} {
		all = append(all, udp(netip.MustParseAddr(src), b4))
	}
	for _, src := range []string{"::", "::1", "ff02::1", "fe80::1"} {
		all = append(all, udp(netip.MustParseAddr(src), b6))
	}
	return append(all, append(udp(a4, b4), make([]byte, 30)...), append(udp(a6, b6), make([]byte, 30)...))
}

// summed makes the IPv4 header checksum of a frame right, if it has one.
func summed(b []byte) []byte {
	var f packet.Frame
	if packet.Parse(b, &f) == nil && f.Is4() {
		h := b[f.L3 : f.L3+f.IPHeaderLen()]
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], packet.Checksum(h))
	}
	return b
}

// TestPipeline compares this package and package packet with the compiled pipeline, on frames of all kinds, cut at every length and with bytes changed.
func TestPipeline(t *testing.T) {
	e := newEdge(t)
	rng := rand.New(rand.NewPCG(5, 6))
	forwarded, n := 0, 0
	run := func(b []byte, dec uint8) {
		n++
		if e.compare(t, b, dec) {
			forwarded++
		}
	}
	for _, s := range seeds(t) {
		for cut := range len(s) + 1 {
			run(s[:cut:cut], 1)
		}
		for range 150 {
			b := bytes.Clone(s)
			for range 1 + rng.IntN(4) {
				b[12+rng.IntN(len(b)-12)] = byte(rng.Uint32())
			}
			if rng.IntN(8) != 0 {
				summed(b)
			}
			run(b, uint8(rng.IntN(MaxTTLDec+1)))
		}
	}
	if forwarded < n/4 {
		t.Errorf("only %d of %d frames went the whole way", forwarded, n)
	}
	if e.translated < n/16 || e.syns < 10 || e.copies < 10 {
		t.Errorf("too few of %d frames: %d translated, %d tracked SYNs, %d copies", n, e.translated, e.syns, e.copies)
	}
	for _, r := range []Reason{ReasonHeader, ReasonMartian, ReasonTTL, ReasonLength, ReasonFrameLength} {
		if e.reasons[r] < 10 {
			t.Errorf("guard %v refused %d of %d frames", r, e.reasons[r], n)
		}
	}
	t.Logf("%d of %d frames forwarded, %d translated, %d tracked SYNs, %d copies", forwarded, n, e.translated, e.syns, e.copies)
}

// FuzzPipeline is TestPipeline on frames that the fuzzer finds.
func FuzzPipeline(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s, uint8(1))
	}
	e := newEdge(f)
	f.Fuzz(func(t *testing.T, b []byte, dec uint8) {
		if len(b) <= 9000 {
			e.compare(t, b, dec%(MaxTTLDec+1))
		}
	})
}
