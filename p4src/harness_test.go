package p4src_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/softswitch/pipeline"
)

const cpuPort = 510

// sent is a frame that left a port.
type sent struct {
	port  uint16
	frame []byte
}

// edge is the compiled program with what it sent.
type edge struct {
	t *testing.T
	*pipeline.Machine
	out []sent
}

// loaded compiles the program once for all tests: it is immutable.
var loaded = sync.OnceValues(func() (*pipeline.Program, error) {
	if file := os.Getenv(programEnv); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return pipeline.Load(text)
	}
	p, err := p4src.V1Model()
	if err != nil {
		return nil, err
	}
	return pipeline.Load(p.Device)
})

// programEnv names another program than v1model's, for the same tests (TestTNAOnV1Model).
const programEnv = "WEFT_P4_PROGRAM"

func newEdge(t *testing.T) *edge {
	t.Helper()
	program, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{t: t}
	e.Machine = pipeline.New(program, pipeline.Options{CPUPort: cpuPort, DropPort: 511, Emit: func(port uint16, frame []byte) {
		e.out = append(e.out, sent{port, bytes.Clone(frame)})
	}})
	return e
}

// num and addr are values of any width.
func num(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func addr(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// canonical cuts leading zeros, but for the last byte (P4Runtime section 8.4).
func canonical(v []byte) []byte {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	return v
}

func exact(values ...[]byte) []pipeline.FieldMatch {
	m := make([]pipeline.FieldMatch, len(values))
	for i, v := range values {
		m[i] = pipeline.FieldMatch{Value: canonical(v)}
	}
	return m
}

func (e *edge) add(table string, match []pipeline.FieldMatch, action string, params ...[]byte) {
	e.t.Helper()
	e.addPrio(table, 0, match, action, params...)
}

func (e *edge) addPrio(table string, prio int32, match []pipeline.FieldMatch, action string, params ...[]byte) {
	e.t.Helper()
	tab, ok := e.Table(table)
	if !ok {
		e.t.Fatalf("no table %s", table)
	}
	for i, p := range params {
		params[i] = canonical(p)
	}
	if err := tab.Insert(pipeline.Entry{Match: match, Priority: prio, Action: action, Params: params}); err != nil {
		e.t.Fatalf("%s: %v", table, err)
	}
}

// send processes a frame and returns what left.
func (e *edge) send(port uint16, frame []byte) []sent {
	e.out = nil
	e.Process(port, frame)
	return e.out
}

// sideUnderlay is the distance between the sides of ingress.reasons: access, underlay, CPU.
const sideUnderlay = 256

// one processes a frame of which exactly one must leave.
func (e *edge) one(port uint16, frame []byte) sent {
	e.t.Helper()
	out := e.send(port, frame)
	if len(out) != 1 {
		e.t.Fatalf("port %d: %d frames left, want 1", port, len(out))
	}
	return out[0]
}

// dropped processes a frame that must not leave, and checks the reason's counter.
func (e *edge) dropped(port uint16, frame []byte, control string, reason int) {
	e.t.Helper()
	if control == "ingress" && port >= 256 {
		reason += sideUnderlay
		if port == cpuPort {
			reason += sideUnderlay
		}
	}
	before := e.count(control, reason)
	if out := e.send(port, frame); len(out) != 0 {
		e.t.Fatalf("port %d: %d frames left (first on port %d), want a drop", port, len(out), out[0].port)
	}
	if after := e.count(control, reason); after != before+1 {
		e.t.Fatalf("%s.reasons[%d] went from %d to %d", control, reason, before, after)
	}
}

// punted processes a frame that must reach the CPU unchanged, for this reason.
func (e *edge) punted(port uint16, frame []byte, reason uint8) []byte {
	e.t.Helper()
	got := e.one(port, frame)
	if got.port != cpuPort {
		e.t.Fatalf("left on port %d, want the CPU's", got.port)
	}
	if got.frame[4] != reason {
		e.t.Fatalf("reason %d, want %d", got.frame[4], reason)
	}
	if in := binary.BigEndian.Uint16(got.frame); in != port {
		e.t.Fatalf("ingress port %d, want %d", in, port)
	}
	if !bytes.Equal(got.frame[14:], frame) {
		e.t.Fatalf("the punted frame was changed:\n got %x\nwant %x", got.frame[14:], frame)
	}
	return got.frame[:14]
}

func (e *edge) count(control string, reason int) uint64 {
	e.t.Helper()
	c, ok := e.Counter(control + ".reasons")
	if !ok {
		e.t.Fatalf("no counter %s.reasons", control)
	}
	n, err := c.Read(reason)
	if err != nil {
		e.t.Fatal(err)
	}
	return n.Packets
}

// Tenant frames.

var (
	macA = []byte{2, 0, 0, 0, 0, 0xa}
	macB = []byte{2, 0, 0, 0, 0, 0xb}
	macG = []byte{2, 0, 0, 0, 0, 0x9} // a router port's
)

type frameOptions struct {
	src, dst []byte
	v6       bool
	ttl, tos uint8
	vid      uint16
	payload  int
}

func build(t *testing.T, o frameOptions) []byte {
	t.Helper()
	if o.ttl == 0 {
		o.ttl = 64
	}
	eth := &layers.Ethernet{SrcMAC: o.src, DstMAC: o.dst}
	stack := []gopacket.SerializableLayer{eth}
	next := layers.EthernetTypeIPv4
	if o.v6 {
		next = layers.EthernetTypeIPv6
	}
	eth.EthernetType = next
	if o.vid != 0 {
		eth.EthernetType = layers.EthernetTypeDot1Q
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: o.vid, Type: next})
	}
	udp := &layers.UDP{SrcPort: 1111, DstPort: 2222}
	if o.v6 {
		ip := &layers.IPv6{Version: 6, TrafficClass: o.tos, HopLimit: o.ttl, NextHeader: layers.IPProtocolUDP, SrcIP: addr("fd00::a"), DstIP: addr("fd00::b")}
		_ = udp.SetNetworkLayerForChecksum(ip)
		stack = append(stack, ip, udp)
	} else {
		ip := &layers.IPv4{Version: 4, TOS: o.tos, TTL: o.ttl, Protocol: layers.IPProtocolUDP, SrcIP: addr("10.0.0.10"), DstIP: addr("10.0.0.11"), Flags: layers.IPv4DontFragment}
		_ = udp.SetNetworkLayerForChecksum(ip)
		stack = append(stack, ip, udp)
	}
	return serialize(t, append(stack, gopacket.Payload(bytes.Repeat([]byte{0x5a}, max(o.payload, 32))))...)
}

func serialize(t *testing.T, stack ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}
