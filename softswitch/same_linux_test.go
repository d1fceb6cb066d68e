package softswitch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/softswitch/port"
)

// samePasses is how many random configurations are compared per program; the environment
// can ask for more.
func samePasses(t *testing.T) int {
	text := os.Getenv("WEFT_SAME_PASSES")
	switch {
	case text == "" && testing.Short():
		return 1
	case text == "":
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("WEFT_SAME_PASSES=%q: want a number of passes", text)
	}
	return n
}

const (
	sameRounds = 40 // per configuration
	sameBurst  = 16 // frames per round: fewer than bmv2's queue to a port holds, with all copies
)

// TestSameAsBMv2 gives simple_switch_grpc and this switch the same random entries, groups
// and clone sessions by P4Runtime and the same random frames; what leaves must be the same
// to the byte, packet-ins and their metadata too.
func TestSameAsBMv2(t *testing.T) {
	program := needBMv2(t)
	for _, tc := range []struct {
		name   string
		config *p4v1.ForwardingPipelineConfig
		ports  []uint16
	}{
		{"weft", weftConfig(t), []uint16{1, 2, 256, 257}},
		{"probe", probeConfig(t), []uint16{1, 2, 3, 4}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			left, entries, frames := 0, 0, 0
			for pass := range samePasses(t) {
				t.Run(fmt.Sprint("pass", pass), func(t *testing.T) {
					theirs := newPeer(t, program, tc.ports...) // a new one: bmv2 keeps part of its groups when it gets a new program
					theirs.info = tc.config.GetP4Info()
					theirs.push(commitNow, tc.config)
					theirs.listen()
					s := &sameRun{t: t, theirs: theirs, ours: newTwin(t, tc.config, tc.ports), ports: tc.ports,
						random: &small{Rand: rand.New(rand.NewPCG(uint64(pass), 7)), ports: tc.ports}}
					s.frame = s.random.frame
					s.program()
					for range sameRounds {
						s.round()
					}
					left, entries, frames = left+s.left, entries+s.entries, frames+s.frames
				})
			}
			t.Logf("%d entries, %d frames, %d frames left", entries, frames, left)
			if left < frames/8 {
				t.Errorf("only %d frames left, of %d: the entries do not match", left, frames)
			}
		})
	}
}

// twin is this switch with ports in memory.
type twin struct {
	*controller
	in *port.Batch
}

func newTwin(t *testing.T, config *p4v1.ForwardingPipelineConfig, numbers []uint16) *twin {
	l := newLabOf(t, Quirks{PortlessCopies: true}, numbers...)
	l.info = config.GetP4Info()
	c := l.connect("")
	c.arbitrate(1)
	c.want(0)
	c.push(commitNow, config)
	return &twin{controller: c, in: port.NewBatch(1)}
}

// send runs a frame through the switch and takes what left.
func (w *twin) send(number uint16, frame []byte) (out []string) {
	w.in.Sizes[0] = copy(w.in.Frames[0], frame)
	before := w.server.counts.packetIns.Load()
	w.server.process(w.server.ports[number], w.in, 1)
	for range w.server.counts.packetIns.Load() - before {
		out = append(out, packetInText(w.recv().GetPacket()))
	}
	batch := port.NewBatch(1)
	for n, end := range w.ends {
		for end.Queued() > 0 {
			if _, err := end.Recv(batch.Frames, batch.Sizes); err != nil {
				w.t.Fatal(err)
			}
			out = append(out, frameText(n, batch.Frames[0][:batch.Sizes[0]]))
		}
	}
	return out
}

func frameText(number uint16, frame []byte) string { return fmt.Sprintf("port %d: %x", number, frame) }

func packetInText(m *p4v1.PacketIn) string {
	text := "packet-in"
	for _, d := range m.GetMetadata() {
		text += fmt.Sprintf(" %d=%x", d.GetMetadataId(), trim(d.GetValue()))
	}
	return fmt.Sprintf("%s: %x", text, m.GetPayload())
}

// heard is what a switch in another process has let out.
type heard struct {
	mu   sync.Mutex
	list []string
	more chan struct{}
}

func (h *heard) add(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, text)
	select {
	case h.more <- struct{}{}:
	default:
	}
}

// take waits for n and takes all that has come.
func (h *heard) take(n int, patience time.Duration) []string {
	late := time.After(patience)
	for {
		h.mu.Lock()
		if len(h.list) >= n {
			defer h.mu.Unlock()
			out := h.list
			h.list = nil
			return out
		}
		h.mu.Unlock()
		select {
		case <-h.more:
		case <-late:
			n = 0
		}
	}
}

// listen collects what comes out of the ports and the stream until they are closed.
func (p *peer) listen() {
	p.heard = &heard{more: make(chan struct{}, 1)}
	for n, wire := range p.wires {
		go func() {
			batch := port.NewBatch(port.BatchSize)
			for {
				got, err := wire.Recv(batch.Frames, batch.Sizes)
				if err != nil {
					return
				}
				for i := range got {
					p.heard.add(frameText(n, batch.Frames[i][:batch.Sizes[i]]))
				}
			}
		}()
	}
	go func() {
		for {
			msg, err := p.stream.Recv()
			if err != nil {
				return
			}
			if in := msg.GetPacket(); in != nil {
				p.heard.add(packetInText(in))
			}
		}
	}()
}

// sameRun is one configuration of both switches.
type sameRun struct {
	t                     *testing.T
	theirs                *peer
	ours                  *twin
	random                *small
	ports                 []uint16
	frame                 func(port uint16) []byte
	each                  func(text string) // looks at what left; nil: nobody does
	left, entries, frames int
}

// program writes random entries to both; they must agree on what they take.
func (s *sameRun) program() {
	s.t.Helper()
	both := func(what string, u *p4v1.Update) bool {
		ours := s.ours.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, u)
		theirs := s.theirs.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, u)
		if (ours == nil) != (theirs == nil) {
			s.t.Errorf("%s: %v: this switch says %v, bmv2 %v", what, u, explain(ours), explain(theirs))
		}
		return ours == nil
	}
	for id := range uint32(4) {
		var replicas []*p4v1.Replica
		for n, number := range s.ports {
			if s.random.IntN(2) == 0 {
				replicas = append(replicas, &p4v1.Replica{PortKind: &p4v1.Replica_Port{Port: be(uint64(number))}, Instance: uint32(s.random.IntN(4) + 4*n)})
			}
		}
		both("group", insert(&p4v1.MulticastGroupEntry{MulticastGroupId: id + 1, Replicas: replicas}))
		if s.random.IntN(2) == 0 {
			replicas = append(replicas, &p4v1.Replica{PortKind: &p4v1.Replica_Port{Port: be(labCPU)}})
		}
		both("clone session", insert(&p4v1.CloneSessionEntry{SessionId: id + 1, Replicas: replicas}))
	}
	selector := map[uint32]bool{0: true}
	for _, p := range s.ours.info.GetActionProfiles() {
		selector[p.GetPreamble().GetId()] = p.GetWithSelector()
	}
	g := newGenerator(s.ours.info)
	g.Rand = s.random.Rand
	for _, table := range s.ours.info.GetTables() {
		if table.GetIsConstTable() || len(table.GetMatchFields()) == 0 || !selector[table.GetImplementationId()] {
			continue
		}
		for range min(60, table.GetSize()) {
			e := g.entry(table)
			e.Metadata, e.IdleTimeoutNs = nil, 0
			s.random.shape(table, e, g.actions)
			if both(table.GetPreamble().GetName(), insert(e)) {
				s.entries++
			}
		}
	}
}

// round sends a burst to both and compares.
func (s *sameRun) round() {
	s.t.Helper()
	var want []string
	sent := map[uint16][][]byte{}
	for range sameBurst {
		number := s.ports[s.random.IntN(len(s.ports))]
		frame := s.frame(number)
		want = append(want, s.ours.send(number, frame)...)
		sent[number] = append(sent[number], frame)
	}
	for number, frames := range sent {
		if n, err := s.theirs.wires[number].Send(frames); err != nil || n != len(frames) {
			s.t.Fatalf("port %d took %d of %d frames: %v", number, n, len(frames), err)
		}
	}
	got := s.theirs.heard.take(len(want), 5*time.Second)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(got, want); diff != "" {
		var in []string
		for _, number := range slices.Sorted(maps.Keys(sent)) {
			for _, frame := range sent[number] {
				in = append(in, frameText(number, frame))
			}
		}
		s.t.Fatalf("frames that left (-bmv2 +softswitch):\n%s\nof\n%s", diff, in)
	}
	for _, text := range want {
		if s.each != nil {
			s.each(text)
		}
	}
	s.left += len(want)
	s.frames += sameBurst
}

// small makes values of a small space, so that frames meet entries.
type small struct {
	*rand.Rand
	ports []uint16
}

func (r *small) one(list ...uint64) uint64 { return list[r.IntN(len(list))] }

// value is one for a field, by what it is named.
func (r *small) value(name string, width int32) uint64 {
	last := name[bytes.LastIndexByte([]byte(name), '.')+1:]
	switch {
	case last == "ip_proto":
		return r.one(6, 17, 1)
	case last == "ether_type" || last == "type":
		return r.one(0x0800, 0x86dd, 0x1234)
	case last == "port" || last == "ingress_port":
		return uint64(r.ports[r.IntN(len(r.ports))])
	case last == "mtu":
		return r.one(1500, 1500, 120)
	case width == 48:
		return 0x020000000000 + r.one(1, 2, 3)
	case width >= 32 && (last == "src" || last == "dst"):
		return 10<<24 + r.one(1, 2, 3, 4)
	case last == "sport" || last == "dport":
		return r.one(53, 80, 4000)
	}
	return r.one(0, 1, 1, 2, 3) & (1<<min(width, 60) - 1)
}

// shape gives a random entry values of the small space.
func (r *small) shape(table *configv1.Table, e *p4v1.TableEntry, actions map[uint32]*configv1.Action) {
	fields := map[uint32]*configv1.MatchField{}
	for _, f := range table.GetMatchFields() {
		fields[f.GetId()] = f
	}
	for _, m := range e.GetMatch() {
		f := fields[m.GetFieldId()]
		v := be(r.value(f.GetName(), f.GetBitwidth()))
		switch x := m.GetFieldMatchType().(type) {
		case *p4v1.FieldMatch_Exact_:
			x.Exact.Value = v
		case *p4v1.FieldMatch_Optional_:
			x.Optional.Value = v
		case *p4v1.FieldMatch_Ternary_:
			x.Ternary.Mask = canonical(ones(int(f.GetBitwidth())))
			x.Ternary.Value = v
		case *p4v1.FieldMatch_Lpm:
			x.Lpm.PrefixLen, x.Lpm.Value = f.GetBitwidth(), v
		case *p4v1.FieldMatch_Range_:
			x.Range.Low = v
			x.Range.High = be(binary.BigEndian.Uint64(append(make([]byte, 8-len(v)), v...)) + 1)
		}
	}
	shape := func(a *p4v1.Action) {
		for _, p := range a.GetParams() {
			for _, d := range actions[a.GetActionId()].GetParams() {
				if d.GetId() == p.GetParamId() {
					p.Value = be(r.value(d.GetName(), d.GetBitwidth()))
				}
			}
		}
	}
	shape(e.GetAction().GetAction())
	for _, a := range e.GetAction().GetActionProfileActionSet().GetActionProfileActions() {
		shape(a.GetAction())
	}
}

// frame is one for a port: a tenant's, in a tunnel if the port is of an underlay, at times
// spoilt.
func (r *small) frame(number uint16) []byte {
	f := r.tenant()
	if number >= 256 && r.IntN(8) > 0 {
		f = r.tunnel(f)
	}
	switch r.IntN(10) {
	case 0:
		f = f[:min(len(f), 24+r.IntN(len(f)))] // the kernel drops tags with nothing behind them
	case 1:
		for range 1 + r.IntN(3) {
			f[r.IntN(len(f))] = byte(r.Uint32())
		}
	}
	return f
}

func (r *small) ethernet(kind uint64) []byte {
	f := binary.BigEndian.AppendUint64(nil, r.value("dst", 48)<<16|0x0200)
	f = binary.BigEndian.AppendUint32(f, uint32(r.one(1, 2, 3)))
	f[6], f[7], f[8], f[9], f[10], f[11] = 2, 0, 0, 0, 0, byte(r.one(1, 2, 3))
	return binary.BigEndian.AppendUint16(f[:12], uint16(kind))
}

// tenant is a frame with or without a tag, of IPv4, IPv6 or neither.
func (r *small) tenant() []byte {
	kind := r.one(0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x1234)
	f := r.ethernet(kind)
	if r.IntN(4) == 0 {
		f = binary.BigEndian.AppendUint16(r.ethernet(0x8100), uint16(r.one(0, 1, 2, 3)))
		f = binary.BigEndian.AppendUint16(f, uint16(kind))
	}
	payload := make([]byte, 10+r.IntN(100))
	for i := range payload {
		payload[i] = byte(r.Uint32())
	}
	proto := r.one(6, 17, 1, 132)
	l4 := binary.BigEndian.AppendUint16(nil, uint16(r.value("sport", 16)))
	l4 = binary.BigEndian.AppendUint16(l4, uint16(r.value("dport", 16)))
	l4 = append(l4, make([]byte, 16)...)
	l4[6], l4[13] = byte(r.one(0, 1, 2)), byte(r.one(0, 0, 1, 2, 4, 16)) // checksum of UDP, flags of TCP
	l4 = append(l4, payload...)
	switch kind {
	case 0x0800:
		return append(f, r.ipv4(proto, l4)...)
	case 0x86dd:
		return append(f, r.ipv6(proto, l4)...)
	}
	return append(f, payload...)
}

func (r *small) ipv4(proto uint64, payload []byte) []byte {
	options := 4 * int(r.one(0, 0, 0, 0, 1, 2))
	h := []byte{0x40 | byte(5+options/4), byte(r.Uint32())}
	h = binary.BigEndian.AppendUint16(h, uint16(20+options+len(payload)))
	h = binary.BigEndian.AppendUint32(h, uint32(r.one(0, 0, 0, 0x2000, 5))) // id, flags, offset
	h = append(h, byte(r.one(0, 1, 2, 64, 64, 64)), byte(proto), byte(r.Uint32()), byte(r.Uint32()))
	h = binary.BigEndian.AppendUint32(h, uint32(r.value("src", 32)))
	h = binary.BigEndian.AppendUint32(h, uint32(r.value("dst", 32)))
	for range options {
		h = append(h, byte(r.Uint32()))
	}
	switch r.IntN(16) { // mostly, all of it is right
	case 0:
		return append(h, payload...)
	case 1:
		binary.BigEndian.PutUint16(h[2:], uint16(r.one(0, 19, 20, 24, 60, 1500)))
	}
	sumHeader(h)
	return append(h, payload...)
}

// sumHeader sets the checksum of an IPv4 header.
func sumHeader(h []byte) {
	h[10], h[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum>>16+sum))
}

func (r *small) ipv6(proto uint64, payload []byte) []byte {
	h := binary.BigEndian.AppendUint32(nil, 6<<28|r.Uint32()>>4)
	fragment := r.IntN(4) == 0
	length, next := len(payload), byte(proto)
	if fragment {
		length, next = length+8, 44
	}
	if r.IntN(16) == 0 {
		length += 9
	}
	h = binary.BigEndian.AppendUint16(h, uint16(length))
	h = append(h, next, byte(r.one(0, 1, 2, 64, 64, 64)))
	for _, name := range []string{"src", "dst"} {
		h = binary.BigEndian.AppendUint64(h, 0)
		h = binary.BigEndian.AppendUint64(h, r.value(name, 64))
	}
	if fragment {
		h = append(h, byte(proto), 0, 0, byte(r.one(0, 1, 8)), 0, 0, 0, 1)
	}
	return append(h, payload...)
}

// tunnel puts a frame into VXLAN, Geneve or GRE over IPv4 or IPv6.
func (r *small) tunnel(inner []byte) []byte {
	key := uint32(r.one(0, 1, 2, 3)) << 8
	var l4 []byte
	proto := uint64(17)
	switch r.IntN(3) {
	case 0:
		l4 = append([]byte{0xc0, 0, 4789 >> 8, 4789 & 0xff, 0, 0, 0, 0}, 8, 0, 0, 0)
		l4 = binary.BigEndian.AppendUint32(l4, key|uint32(r.one(0, 0, 0, 1)))
	case 1:
		words := byte(r.one(0, 0, 1, 2))
		l4 = append([]byte{0xc0, 0, 6081 >> 8, 6081 & 0xff, 0, 0, 0, 0}, words, 0, 0x65, 0x58)
		l4 = binary.BigEndian.AppendUint32(l4, key)
		l4 = append(l4, make([]byte, 4*words)...)
	default:
		proto = 47
		l4 = binary.BigEndian.AppendUint32([]byte{0x20, 0, 0x65, 0x58}, key>>8)
	}
	l4 = append(l4, inner...)
	if r.IntN(2) == 0 {
		return append(r.ethernet(0x86dd), r.ipv6(proto, l4)...)
	}
	return append(r.ethernet(0x0800), r.ipv4(proto, l4)...)
}
