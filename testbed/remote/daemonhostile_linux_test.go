package remote

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/vpn"
)

// middle is a machine's link with somebody in the middle of it.
type middle struct {
	host.Link

	mu    sync.Mutex
	port  uint16                             // of the VPN; datagrams to and from there are meddled with
	send  func(d *packet.UDP) (all [][]byte) // payloads sent in place of a datagram's; nil: it as it is
	shift uint16                             // added to the machine's port, as a NAT does that has forgotten it
	last  packet.UDP                         // that was sent
}

// datagram is the UDP datagram of a frame to or from a port; false: it has none.
func datagram(frame []byte, is func(src, dst uint16) bool) (packet.UDP, bool) {
	var f packet.Frame
	if packet.Parse(frame, &f) != nil || f.Proto != packet.ProtoUDP || f.L4 == 0 || f.Frag != 0 || !is(f.SrcPort, f.DstPort) {
		return packet.UDP{}, false
	}
	ip := f.IPPacket()
	return packet.UDP{SrcMAC: f.Src(), DstMAC: f.Dst(), Src: f.SrcAddr(), Dst: f.DstAddr(), SrcPort: f.SrcPort, DstPort: f.DstPort, DontFragment: f.DontFragment(), Payload: append([]byte(nil), ip[f.L4-f.L3+packet.UDPLen:]...)}, true
}

// Send implements host.Link.
func (m *middle) Send(frame []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := datagram(frame, func(_, dst uint16) bool { return dst == m.port })
	if !ok {
		m.Link.Send(frame)
		return
	}
	d.SrcPort += m.shift
	m.last = d
	all := [][]byte{d.Payload}
	if m.send != nil {
		all = m.send(&d)
	}
	for _, payload := range all {
		d.Payload = payload
		m.Link.Send(packet.AppendUDP(nil, &d))
	}
}

// SetReceiver implements host.Link.
func (m *middle) SetReceiver(receive func(frame []byte)) {
	if receive == nil {
		m.Link.SetReceiver(nil)
		return
	}
	m.Link.SetReceiver(func(frame []byte) {
		m.mu.Lock()
		d, ok := datagram(frame, func(src, dst uint16) bool { return src == m.port && m.shift != 0 })
		d.DstPort -= m.shift
		m.mu.Unlock()
		if ok {
			frame = packet.AppendUDP(nil, &d)
		}
		receive(frame)
	})
}

// meddle says what becomes of datagrams from now on.
func (m *middle) meddle(send func(d *packet.UDP) [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.send = send
}

// inject sends payloads as the machine's.
func (m *middle) inject(all ...[]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.last
	for _, payload := range all {
		d.Payload = payload
		m.Link.Send(packet.AppendUDP(nil, &d))
	}
}

// move has the machine be behind another port from now on.
func (m *middle) move(shift uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shift = shift
}

// meddled is a machine behind somebody.
type meddled struct {
	*netns.Host
	m *middle
}

// Connect implements scenario.Machine.
func (h *meddled) Connect(link host.Link) {
	if link == nil {
		h.Host.Connect(nil)
		return
	}
	h.m.mu.Lock()
	h.m.Link = link
	h.m.mu.Unlock()
	h.Host.Connect(h.m)
}

// powerOn puts the machine of the world's in a namespace, behind m.
func (m *middle) powerOn(cfg host.Config, link host.Link) (scenario.Machine, error) {
	if cfg.Name != "inet" {
		return scenario.InMemory(cfg, link)
	}
	machine, err := netns.New(cfg, nil)
	if err != nil {
		return nil, err
	}
	h := &meddled{machine.(*netns.Host), m}
	h.Connect(link)
	return h, nil
}

// refused is how many packets the daemon that carries the VPN has refused.
func (b *bench) refused() uint64 {
	b.Helper()
	var st vpn.Status
	b.eventually("an edge carries it", func() (err error) {
		st, err = b.carried()
		return err
	})
	return st.Drops.Refused
}

// TestDaemonIsMeddledWith: datagrams that come again are not delivered again, and what is garbled or made up is dropped; both are counted, and the session lives on. A peer whose NAT has given it another port is followed.
func TestDaemonIsMeddledWith(t *testing.T) {
	for name, k := range daemonKinds() {
		if k.port == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &middle{port: k.port}
			b, h, _ := k.bench(t, benchConfig{powerOn: m.powerOn})
			first := b.session()
			b.replays(m, h)
			if k.port == 4500 {
				b.esp(m, h)
			}
			b.garbage(m, h)
			if now := b.session(); now != first {
				t.Errorf("the session is another: %v, it was %v", now, first)
			}
			m.move(7)
			b.pings(h, "10.1.0.5")
			b.pings(h, "fd01::5")
			b.pings(b.vm(), "192.168.50.2")
			b.answers(true, "")
		})
	}
}

// session tells sessions of the VPN apart.
func (b *bench) session() string {
	b.Helper()
	st, err := b.carried()
	b.must(err)
	return fmt.Sprint(st.Peers[0].Handshake.Unix(), st.Peers[0].Connected)
}

// replays sends the machine's datagrams again, at once and later.
func (b *bench) replays(m *middle, from pinger) {
	b.Helper()
	before := b.refused()
	tap := b.vm().Tap(1000)
	defer tap.Close()
	var mu sync.Mutex
	var kept [][]byte
	m.meddle(func(d *packet.UDP) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, d.Payload)
		return [][]byte{d.Payload, d.Payload}
	})
	const pings = 20
	if r, err := from.PingWith(b.Context(), netip.MustParseAddr("10.1.0.5"), host.PingConfig{Count: pings}); r.Received() == 0 { // on a busy machine some are late
		b.Fatalf("no ping was answered: %v", err)
	}
	m.meddle(nil)
	mu.Lock()
	n := len(kept)
	m.inject(kept...)
	mu.Unlock()
	b.pings(from, "10.1.0.5") // behind them
	seen := map[[2]uint16]bool{}
	var f packet.Frame
	for _, frame := range tap.Frames() {
		if packet.Parse(frame, &f) != nil || !f.IsEchoRequest() {
			continue
		}
		id := [2]uint16{f.DstPort, binary.BigEndian.Uint16(frame[f.L4+6:])} // and sequence number
		if seen[id] {
			b.Errorf("request %v arrived again", id)
		}
		seen[id] = true
	}
	b.eventually("replays are counted", func() error {
		if got := b.refused() - before; got < uint64(n) { // each came twice too often; what IKE says again has an answer of its own
			return fmt.Errorf("%d of %d are", got, 2*n)
		}
		return nil
	})
}

// esp sends ESP again, forged, and for an SPI that the daemon does not have: each is counted once, by why.
func (b *bench) esp(m *middle, from pinger) {
	b.Helper()
	var mu sync.Mutex
	var kept [][]byte
	m.meddle(func(d *packet.UDP) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		if len(d.Payload) > 8 && binary.BigEndian.Uint32(d.Payload) != 0 { // no IKE
			kept = append(kept, d.Payload)
		}
		return [][]byte{d.Payload}
	})
	for range 10 {
		b.pings(from, "10.1.0.5")
	}
	m.meddle(nil)
	mu.Lock()
	defer mu.Unlock()
	before := b.drops()
	want := before
	for _, one := range kept {
		forged, unknown := append([]byte(nil), one...), append([]byte(nil), one...)
		forged[len(forged)-1] ^= 1
		binary.BigEndian.PutUint32(forged[4:], binary.BigEndian.Uint32(one[4:])+1000) // no replay
		unknown[0] ^= 0x80
		m.inject(one, forged, unknown, []byte{1, 2})
		want.Refused += 2
		want.UnknownSession++
		want.Malformed++
	}
	var now vpn.Drops
	b.eventually("ESP that is none is counted", func() error {
		if now = b.drops(); now != want {
			return fmt.Errorf("%+v, want %+v, before %+v", now, want, before)
		}
		return nil
	})
	b.Logf("of %d packets each: %+v, before: %+v", len(kept), now, before)
}

// garbage sends what is cut, changed or made up along with each of the machine's datagrams.
func (b *bench) garbage(m *middle, from pinger) {
	b.Helper()
	before := b.refused()
	random := rand.New(rand.NewPCG(1, 2))
	sent := uint64(0)
	m.meddle(func(d *packet.UDP) [][]byte {
		one := d.Payload
		bad := append([]byte(nil), one...)
		bad[len(bad)-1-random.IntN(len(bad)/2)] ^= byte(1 + random.IntN(255))
		made := make([]byte, 1+random.IntN(1400))
		for i := range made {
			made[i] = byte(random.Uint32())
		}
		sent += 3
		return [][]byte{bad, one[:random.IntN(len(one))], made, one}
	})
	for range 10 {
		b.pings(from, "10.1.0.5")
		b.pings(b.vm(), "fd50::2")
	}
	m.meddle(nil)
	b.pings(from, "10.1.0.5") // behind it
	var got uint64
	b.eventually("garbage is counted", func() error {
		if got = b.refused() - before; got < sent/3 {
			return fmt.Errorf("%d of %d are", got, sent)
		}
		return nil
	})
	b.Logf("%d datagrams were garbage, %d were refused by the daemon", sent, got)
}
