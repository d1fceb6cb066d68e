package vpn

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/wait"
)

// inner is the inside of a tunnel: what it is given to send, and what it got.
type inner struct {
	tun.Device
	send   chan []byte
	events chan tun.Event

	mu  sync.Mutex
	got int
}

func newInner() *inner { return &inner{send: make(chan []byte), events: make(chan tun.Event)} }

func (i *inner) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	p, ok := <-i.send
	if !ok {
		return 0, os.ErrClosed
	}
	sizes[0] = copy(bufs[0][offset:], p)
	return 1, nil
}

func (i *inner) Write(bufs [][]byte, _ int) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got += len(bufs)
	return len(bufs), nil
}

func (i *inner) received() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.got
}

func (i *inner) MTU() (int, error)        { return 1420, nil }
func (i *inner) Name() (string, error)    { return "inner", nil }
func (i *inner) Events() <-chan tun.Event { return i.events }
func (i *inner) BatchSize() int           { return 1 }
func (i *inner) Close() error             { close(i.send); close(i.events); return nil }

// captured is a transport that keeps what was sent.
type captured struct {
	conn.Bind
	mu   sync.Mutex
	sent map[byte][][]byte // by type
	to   conn.Endpoint
}

func (c *captured) Send(bufs [][]byte, to conn.Endpoint) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range bufs {
		c.sent[b[0]] = append(c.sent[b[0]], append([]byte(nil), b...))
	}
	c.to = to
	return c.Bind.Send(bufs, to)
}

// of returns the last n messages of a type.
func (c *captured) of(kind byte, n int) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.sent[kind][len(c.sent[kind])-n:]...)
}

// again sends messages as those that were sent.
func (c *captured) again(t testing.TB, all ...[]byte) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range all {
		if err := c.Bind.Send([][]byte{b}, c.to); err != nil {
			t.Fatal(err)
		}
	}
}

// gated is WireGuard behind a gate, with a peer that is WireGuard alone.
type gated struct {
	testing.TB
	gate      *gate
	near, far *inner
	device    *device.Device
	key, peer *ecdh.PrivateKey
	wire      *captured // the peer's
	want      Drops
}

func newGated(t testing.TB, host string) *gated {
	t.Helper()
	port := func() uint16 {
		c, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
		defer c.Close()
		return uint16(c.LocalAddr().(*net.UDPAddr).Port)
	}
	key := func() *ecdh.PrivateKey {
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	w := &gated{TB: t, near: newInner(), far: newInner(), key: key(), wire: &captured{Bind: conn.NewStdNetBind(), sent: map[byte][][]byte{}}}
	w.gate = &gate{Bind: conn.NewStdNetBind(), counts: new(counts), greeted: make(chan struct{}, 1)}
	w.peer = key()
	nearPort, farPort := port(), port()
	up := func(d *device.Device, own, peer *ecdh.PrivateKey, listen, at uint16, allowed string) {
		t.Cleanup(d.Close)
		err := d.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s\n%s", hex.EncodeToString(own.Bytes()), listen, hex.EncodeToString(peer.PublicKey().Bytes()), net.JoinHostPort(host, fmt.Sprint(at)), allowed))
		if err == nil {
			err = d.Up()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.device = device.NewDevice(&outlet{w.near, w.gate}, w.gate, logger(slog.New(slog.DiscardHandler), w.gate))
	up(w.device, w.key, w.peer, nearPort, farPort, "allowed_ip=192.168.50.0/24\nallowed_ip=fd50::/64\n")
	up(device.NewDevice(w.far, w.wire, device.NewLogger(device.LogLevelSilent, "")), w.peer, w.key, farPort, nearPort, "allowed_ip=0.0.0.0/0\nallowed_ip=::/0\n")
	return w
}

// ip is an IP packet; one for each number.
func ip(src, dst netip.Addr, n int) []byte {
	return udp(src, dst, hostMAC, routerMAC, 100+n)[packet.EthernetLen:]
}

// sends has the peer send packets, one after the other, that arrive.
func (w *gated) sends(n int) {
	w.Helper()
	for i := range n {
		before := w.near.received()
		src, dst := ipB, ipA
		if i%2 == 1 {
			src, dst = ipB6, ipA6
		}
		w.far.send <- ip(src, dst, i)
		wait.Until(w, "a packet arrives", func() bool { return w.near.received() > before })
	}
}

// quiet waits until all that came is settled, and checks what was dropped: neither more, nor less than before meanwhile.
func (w *gated) quiet(what string) {
	w.Helper()
	var last Drops
	wait.Until(w, what+" is counted", func() bool {
		w.gate.ages.turn(time.Now(), w.gate.settle)
		now := w.gate.counts.read()
		for i, d := range now.All() {
			if before := last.All()[i]; d.Packets < before.Packets || d.Packets > w.want.All()[i].Packets {
				w.Fatalf("%s: %s is %d, it was %d, and is to be %d", what, d.Reason, d.Packets, before.Packets, w.want.All()[i].Packets)
			}
		}
		last = now
		under := int64(0)
		for _, f := range []*fates{&w.gate.data, &w.gate.handshakes} {
			under += f.came[0].Load() + f.came[1].Load()
		}
		return under == 0 && now == w.want
	})
}

// changed returns messages with a change to each.
func changed(all [][]byte, change func(b []byte)) [][]byte {
	out := make([][]byte, len(all))
	for i := range all {
		out[i] = append([]byte(nil), all[i]...)
		change(out[i])
	}
	return out
}

// TestDiscarded: what WireGuard drops without a word is counted, each packet once, by why; what it takes is not; over both IP versions. The peer is WireGuard without a gate, and what comes again was captured as it sent it.
func TestDiscarded(t *testing.T) {
	for name, host := range map[string]string{"IPv4": "127.0.0.1", "IPv6": "::1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newGated(t, host)
			const n = 20
			w.sends(n)
			w.quiet("nothing")
			good := w.wire.of(msgData, n)

			w.wire.again(t, good...)
			w.wire.again(t, changed(good, func(b []byte) { b[len(b)-1] ^= 1 })...)
			w.wire.again(t, changed(good, func(b []byte) { binary.LittleEndian.PutUint64(b[8:], 1<<40) })...)
			w.want.Refused = 3 * n // replayed; forged; with another counter
			w.wire.again(t, changed(good, func(b []byte) { b[4] ^= 1 })...)
			w.wire.again(t, changed(good, func(b []byte) { b[7] ^= 1 })...)
			w.want.UnknownSession = 2 * n
			w.garbage(good)
			w.want.Malformed = n
			w.quiet("what was replayed, forged, or made up")

			w.handshakes()
			for i := range n {
				src, dst := netip.MustParseAddr("192.168.51.2"), ipA
				if i%2 == 1 {
					src, dst = netip.MustParseAddr("fd51::2"), ipA6
				}
				w.far.send <- ip(src, dst, i)
			}
			w.want.NotAllowed = n
			// A packet that is shorter than it says: there is no word of that either.
			short := ip(ipB, ipA, 0)
			binary.BigEndian.PutUint16(short[2:], 1400)
			w.far.send <- short
			w.want.Refused++
			before := w.near.received()
			w.sends(n)
			w.quiet("what the peer may not send")
			if got := w.near.received() - before; got != n {
				t.Errorf("%d packets arrived of %d", got, n)
			}
		})
	}
}

// garbage has packets come that are no messages: as many as there are good ones.
func (w *gated) garbage(good [][]byte) {
	w.Helper()
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for i := range good {
		made := make([]byte, 1+random.IntN(1300))
		for j := range made {
			made[j] = byte(random.Uint32())
		}
		if made[0] = byte(5 + i); i%2 == 1 { // of no type; or of one, cut short
			made = good[i][:1+random.IntN(minDataLen-1)]
		}
		w.wire.again(w, made)
	}
}

// handshakes has messages of handshakes come that are refused.
func (w *gated) handshakes() {
	w.Helper()
	const n = 5
	stranger, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	for i := range n {
		w.wire.again(w, initiation(w, stranger, w.key.PublicKey(), uint32(i), time.Now()))
	}
	for i := range n {
		w.wire.again(w, initiation(w, w.key, stranger.PublicKey(), uint32(i), time.Now()))
	}
	w.wire.again(w, w.wire.of(msgInitiation, 1)...)
	w.want.BadHandshake = 2*n + 1 // by another private key of the peer's; to another key of this end's; replayed
	w.quiet("a handshake that is none")

	w.renew()
	answer := w.wire.of(msgResponse, 1)
	w.quiet("nothing of a handshake that this end began")
	w.wire.again(w, answer...)
	w.wire.again(w, changed(answer, func(b []byte) { b[20] ^= 1 })...)
	w.want.BadHandshake += 2 // replayed; forged
	index := binary.LittleEndian.Uint32(answer[0][8:])
	w.wire.again(w, message(msgCookie, cookieLen, index, 4), message(msgCookie, cookieLen, index+1, 4))
	w.want.BadHandshake++
	w.want.UnknownSession++
	w.quiet("an answer that is none")
}

// renew has this end begin a handshake, and waits until the peer has taken its keys into use.
func (w *gated) renew() {
	w.Helper()
	peer := w.device.LookupPeer(device.NoisePublicKey(w.peer.PublicKey().Bytes()))
	before := len(w.wire.all(msgResponse))
	wait.Until(w, "the peer answers", func() bool {
		_ = peer.SendHandshakeInitiation(false) // it does so once in 5 s
		return len(w.wire.all(msgResponse)) > before
	})
	w.sends(2)
}

func (c *captured) all(kind byte) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[kind]
}

// TestDiscardedUnderLoad: while many packets come that are taken, those that are replayed are counted as they come, not when it is quiet at last; and never too many.
func TestDiscardedUnderLoad(t *testing.T) {
	w := newGated(t, "127.0.0.1")
	w.sends(50)
	old := w.wire.of(msgData, 50)
	w.want.Refused = 50
	w.wire.again(t, old...)
	sent := 0
	wait.Until(t, "what is replayed is counted while packets come", func() bool {
		w.sends(20)
		sent += 20
		w.gate.ages.turn(time.Now(), w.gate.settle)
		now := w.gate.counts.read()
		if now.Refused > 50 {
			t.Fatalf("%d were counted of 50", now.Refused)
		}
		return now == w.want
	})
	t.Logf("counted while %d packets came", sent)
	w.quiet("what was replayed")
}

// TestSettledAtTheEnd: when a tunnel is closed, all that came is accounted for.
func TestSettledAtTheEnd(t *testing.T) {
	w := newGated(t, "127.0.0.1")
	w.sends(5)
	w.wire.again(t, w.wire.of(msgData, 5)...)
	wait.Until(t, "all have come", func() bool { return w.gate.data.came[0].Load()+w.gate.data.came[1].Load() >= 10 })
	w.device.Close()
	w.gate.ages.end(w.gate.settle)
	if got := w.gate.counts.read(); got != (Drops{Refused: 5}) {
		t.Errorf("%+v", got)
	}
}

// TestSessionsAreForgotten: an index is known for as long as it can be in use, and not for ever.
func TestSessionsAreForgotten(t *testing.T) {
	var s sessions
	began := time.Unix(1e9, 0)
	s.add(1, began)
	s.add(2, began.Add(sessionLife+1))
	if !s.has(1) || !s.has(2) || s.has(3) {
		t.Errorf("after %v: %v %v %v", sessionLife, s.has(1), s.has(2), s.has(3))
	}
	s.add(3, began.Add(2*sessionLife+2))
	if s.has(1) || !s.has(2) || !s.has(3) {
		t.Errorf("after twice as long: %v %v %v", s.has(1), s.has(2), s.has(3))
	}
}
