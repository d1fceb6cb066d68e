package vpn

import (
	"encoding/binary"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/topology"
)

// tagged is a frame as the switch sends it to the agent.
func tagged(vlan uint16, frame []byte) []byte {
	b := append(append([]byte(nil), frame[:12]...), 0x81, 0)
	return append(binary.BigEndian.AppendUint16(b, vlan), frame[12:]...)
}

// TestLinkIsBounded: what nobody reads is dropped and counted beyond a bound in bytes, however long frames are, and what was read makes room.
func TestLinkIsBounded(t *testing.T) {
	near, _ := port.NewLink("agent", "switch", 0)
	tr, n := newTrunk(near), new(counts)
	l := tr.link(5, n)
	const size, bursts = 9000, 64
	frame := tagged(5, udp(ipA, ipB, routerMAC, hostMAC, size-42))
	frames, sizes := make([][]byte, batchSize), make([]int, batchSize)
	for i := range frames {
		frames[i], sizes[i] = frame, len(frame)
	}
	for range bursts {
		tr.receive(frames, sizes)
	}
	kept := uint64(bursts*batchSize) - n.read().Overflow
	if got := l.waiting.Load(); got > linkBytes || kept == 0 || uint64(got) != kept*size {
		t.Fatalf("%d bytes wait, of %d frames", got, kept)
	}
	got := uint64(0)
	for got < kept {
		more, err := l.fill(1000, func([]byte, int) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		got += uint64(more)
	}
	if got != kept || l.waiting.Load() != 0 {
		t.Errorf("%d frames came of %d, %d bytes wait", got, kept, l.waiting.Load())
	}
	before := n.read().Overflow
	if tr.receive(frames, sizes); n.read().Overflow != before {
		t.Error("there is no room behind what was read")
	}
}

// TestNotTaken: frames that the data port does not take are counted for the VPN that sent them.
func TestNotTaken(t *testing.T) {
	near, _ := port.NewLink("agent", "switch", 2)
	n := new(counts)
	l := newTrunk(near).link(5, n)
	for range 5 {
		l.sendOne(func(b []byte) []byte { return append(b, udp(ipA, ipB, hostMAC, routerMAC, 10)...) })
	}
	if d := n.read(); d.NotTaken != 3 {
		t.Errorf("%+v", d)
	}
}

// TestNoAllocation: packets go through the ports of a VPN without any.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	near, far := port.NewLink("agent", "switch", 16)
	tr, n := newTrunk(near), new(counts)
	valid := func() bool { return true }
	site := testSite()
	r := newRouted(newPrivate(tr.link(5, n), 1400, valid, n), site)
	site.Spec.Ethernet = &topology.VPNEthernetSpec{Local: ipA6, Remote: ipB6}
	b := newBridged(newPrivate(tr.link(6, n), 1400, valid, n), site)
	p := newPublic(tr, 7, site, valid, n)
	receive, _, err := p.Open(51820)
	if err != nil {
		t.Fatal(err)
	}
	to, err := p.ParseEndpoint("203.0.113.9:4500")
	if err != nil {
		t.Fatal(err)
	}
	const burst = 8
	bufs, sizes, from := make([][]byte, burst), make([]int, burst), make([]conn.Endpoint, burst)
	ip := make([][]byte, burst)
	for i := range bufs {
		bufs[i] = make([]byte, 2000)
		ip[i] = append(make([]byte, 16), udp(ipB, ipA, hostMAC, routerMAC, 1000)[packet.EthernetLen:]...)
	}
	in := func(vlan uint16, frame []byte) func() {
		frames, lengths := make([][]byte, burst), make([]int, burst)
		for i := range frames {
			frames[i] = tagged(vlan, frame)
			lengths[i] = len(frames[i])
		}
		return func() { tr.receive(frames, lengths) }
	}
	taken := port.NewBatch(burst)
	out := func() {
		if got, err := far.Recv(taken.Frames, taken.Sizes); got != burst || err != nil {
			t.Fatalf("%d frames came, %v", got, err)
		}
	}
	read := func(read func() (int, error)) {
		if got, err := read(); got != burst || err != nil {
			t.Fatalf("%d packets were read, %v: %+v", got, err, n.read())
		}
	}
	routedIn, bridgedIn := in(5, udp(ipA, ipB, routerMAC, r.own, 1000)), in(6, udp(ipA, ipB, routerMAC, hostMAC, 1000))
	publicIn := in(7, packet.AppendUDP(nil, &packet.UDP{SrcMAC: routerMAC, DstMAC: p.own, Src: ipA, Dst: site.Public.Hosts[0], SrcPort: 1, DstPort: 51820, Payload: make([]byte, 1000)}))
	for what, do := range map[string]func(){
		"routed, in":  func() { routedIn(); read(func() (int, error) { return r.Read(bufs, sizes, 16) }) },
		"routed, out": func() { _, _ = r.Write(ip, 16); out() },
		"bridged, in": func() { bridgedIn(); read(func() (int, error) { return b.Read(bufs, sizes, 16) }) },
		"public, in":  func() { publicIn(); read(func() (int, error) { return receive[0](bufs, sizes, from) }) },
		"public, out": func() { _ = p.Send(ip, to); out() },
	} {
		if got := testing.AllocsPerRun(100, do); got >= 1 { // pools are emptied now and then
			t.Errorf("%s: %v allocations for %d packets", what, got, burst)
		}
	}
}
