package bgp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// dialRelay is GoBGP: it connects to a relay with a key; "" signs nothing.
func dialRelay(ctx context.Context, r *relay, secret string, from string) (net.Conn, error) {
	dialer := net.Dialer{Control: func(_, _ string, socket syscall.RawConn) error {
		if secret == "" {
			return nil
		}
		return signSegments(socket, netip.PrefixFrom(r.Addr().Addr(), 32), secret)
	}}
	if from != "" {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))
	}
	return dialer.DialContext(ctx, "tcp4", r.Addr().String())
}

// gobgp connects to a relay and says open.
func gobgp(t testing.TB, r *relay, open string) *talker {
	t.Helper()
	conn, err := dialRelay(within(t, patience), r, r.Secret(), "")
	if err != nil {
		t.Fatal(err)
	}
	return talk(t, conn, open)
}

// talker is one end of a conversation in lines.
type talker struct {
	net.Conn
	lines *bufio.Reader
}

// talk says a line on a connection.
func talk(t testing.TB, conn net.Conn, open string) *talker {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	k := &talker{conn, bufio.NewReader(conn)}
	k.say(t, open)
	return k
}

func (k *talker) say(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(k, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hears checks what the other end said.
func (k *talker) hears(t testing.TB, want string) {
	t.Helper()
	if got, err := k.lines.ReadString('\n'); got != want+"\n" {
		t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

// ends checks that the other end closed or reset the connection, and closes it.
func (k *talker) ends(t testing.TB) {
	t.Helper()
	got, err := io.ReadAll(k.lines)
	var timeout net.Error
	if len(got) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("heard %q, %v; want the end", got, err)
	}
	k.Close()
}

// agree has both ends say something that the other hears.
func agree(t testing.TB, a, b *talker) {
	t.Helper()
	a.say(t, "update")
	b.hears(t, "update")
	b.say(t, "keepalive")
	a.hears(t, "keepalive")
}

// attempt is a Dial that a fakeNetwork was asked for.
type attempt struct {
	ctx    context.Context
	answer chan<- net.Conn // nil: refused
}

var errRefused = errors.New("refused")

// fakeNetwork leaves it to a test how attempts to connect end. Connections are real ones of loopback.
type fakeNetwork struct {
	network
	attempts chan attempt
}

func (n *fakeNetwork) Dial(ctx context.Context, _ netip.Addr, _ netip.AddrPort, _ options) (net.Conn, error) {
	answer := make(chan net.Conn)
	select {
	case n.attempts <- attempt{ctx, answer}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case conn := <-answer:
		if conn == nil {
			return nil, errRefused
		}
		return conn, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next waits for an attempt.
func (n *fakeNetwork) next(t testing.TB) attempt {
	t.Helper()
	select {
	case a := <-n.attempts:
		return a
	case <-within(t, patience).Done():
		t.Fatal("nobody dials")
	}
	panic("unreachable")
}

// pair is a TCP connection over loopback.
func pair(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.Dial("tcp4", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// needLoopback skips a test where a relay can not keep other processes off.
func needLoopback(t testing.TB) {
	t.Helper()
	l, err := listenLoopback("probe")
	if err != nil {
		t.Skipf("RELAY TO GOBGP NOT TESTED: needs TCP MD5: %v", err)
	}
	l.Close()
}

// newTestRelay makes a relay on a fake network; change edits its configuration.
func newTestRelay(t testing.TB, change func(*relayConfig)) (*relay, *fakeNetwork) {
	t.Helper()
	needLoopback(t)
	n := &fakeNetwork{attempts: make(chan attempt)}
	c := relayConfig{
		local: addrsA[0], remote: netip.AddrPortFrom(addrsB[0], bgpPort), retry: time.Millisecond, patience: time.Hour, network: n, log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&c)
	}
	r, err := newRelay(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, n
}

// TestRelayActive: GoBGP's connection waits over attempts that fail, and what it said meanwhile arrives.
func TestRelayActive(t *testing.T) {
	r, n := newTestRelay(t, func(c *relayConfig) { c.retry = time.Second })
	g := gobgp(t, r, "open")
	for range 2 {
		n.next(t).answer <- nil
	}
	ours, theirs := pair(t)
	n.next(t).answer <- ours
	if !errors.Is(r.LastError(), errRefused) {
		t.Errorf("last error %v, want %v", r.LastError(), errRefused)
	}
	k := talk(t, theirs, "open too")
	k.hears(t, "open")
	g.hears(t, "open too")
	agree(t, g, k)
	r.Established(true)
	if err := r.LastError(); err != nil {
		t.Errorf("established, last error %v", err)
	}
	k.Close()
	g.ends(t)
	if err := r.LastError(); !errors.Is(err, errClosedByNeighbour) {
		t.Errorf("lost, last error %v, want %v", err, errClosedByNeighbour)
	}
}

// TestRelayDialsOnlyForGoBGP: an attempt ends with GoBGP's connection, and the next comes with its next.
func TestRelayDialsOnlyForGoBGP(t *testing.T) {
	r, n := newTestRelay(t, func(c *relayConfig) { c.retry = time.Hour })
	for range 3 {
		g := gobgp(t, r, "open")
		a := n.next(t)
		g.Close()
		<-a.ctx.Done()
		if err := a.ctx.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("attempt ended with %v", err)
		}
	}
}

// TestRelayPassive: whichever comes first waits for the other, and nobody dials.
func TestRelayPassive(t *testing.T) {
	r, _ := newTestRelay(t, func(c *relayConfig) {
		c.passive = true
		c.network = nil
	})
	for _, first := range []string{"GoBGP", "neighbour"} {
		ours, theirs := pair(t)
		var g, k *talker
		if first == "GoBGP" {
			g = gobgp(t, r, "open")
			r.Offer(ours)
			k = talk(t, theirs, "open too")
		} else {
			k = talk(t, theirs, "open too")
			r.Offer(ours)
			g = gobgp(t, r, "open")
		}
		k.hears(t, "open")
		g.hears(t, "open too")
		agree(t, g, k)
		g.say(t, "notification")
		g.Close()
		k.hears(t, "notification")
		k.ends(t)
	}
}

// TestRelayImpatient: a neighbour's connection does not wait for GoBGP forever.
func TestRelayImpatient(t *testing.T) {
	r, _ := newTestRelay(t, func(c *relayConfig) { c.patience = time.Millisecond })
	ours, theirs := pair(t)
	r.Offer(ours)
	(&talker{theirs, bufio.NewReader(theirs)}).ends(t)
}

// collide splices a dialled connection, has the neighbour begin a second, and returns all ends.
func collide(t testing.TB, r *relay, n *fakeNetwork) (g, first, second *talker) {
	t.Helper()
	g = gobgp(t, r, "open")
	ours, theirs := pair(t)
	n.next(t).answer <- ours
	first = talk(t, theirs, "open of first")
	g.hears(t, "open of first")
	first.hears(t, "open")
	ours, theirs = pair(t)
	r.Offer(ours)
	return g, first, talk(t, theirs, "open of second")
}

// TestRelayCollisionKeepsSecond: the neighbour closes the first connection, and GoBGP's next goes on with the second.
func TestRelayCollisionKeepsSecond(t *testing.T) {
	r, n := newTestRelay(t, nil)
	g, first, second := collide(t, r, n)
	first.say(t, "notification: collision")
	first.Close()
	g.hears(t, "notification: collision")
	g.ends(t)
	g = gobgp(t, r, "open again")
	g.hears(t, "open of second")
	second.hears(t, "open again")
	agree(t, g, second)
}

// TestRelayCollisionEnds: with the session established, the second connection is closed, and so are later ones; with its loss, they are taken again.
func TestRelayCollisionEnds(t *testing.T) {
	r, n := newTestRelay(t, nil)
	g, first, second := collide(t, r, n)
	r.Established(true)
	second.ends(t)
	ours, theirs := pair(t)
	r.Offer(ours)
	(&talker{theirs, bufio.NewReader(theirs)}).ends(t)
	agree(t, g, first)
	g.Close()
	first.ends(t)
	r.Established(false)
	ours, theirs = pair(t)
	r.Offer(ours)
	third := talk(t, theirs, "open of third")
	gobgp(t, r, "open").hears(t, "open of third")
	third.hears(t, "open")
}

// TestRelayCollisionSecondCloses: a second connection that its other end closed is not kept for GoBGP's next.
func TestRelayCollisionSecondCloses(t *testing.T) {
	r, n := newTestRelay(t, nil)
	g, first, second := collide(t, r, n)
	second.Close()
	agree(t, g, first)
	g.Close()
	first.ends(t)
	// Its end may be noticed only when GoBGP is there already: then that connection of GoBGP's ends too, as any would.
	for {
		g = gobgp(t, r, "open")
		select {
		case a := <-n.attempts:
			a.answer <- nil
			return
		case err := <-gone(g):
			t.Log("once more:", err)
		}
	}
}

// gone tells when a connection ends.
func gone(k *talker) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, k.lines)
		ended <- err
	}()
	return ended
}

// TestRelayDialInFlight: an attempt goes on when the neighbour was first; its connection is kept as the second.
func TestRelayDialInFlight(t *testing.T) {
	r, n := newTestRelay(t, func(c *relayConfig) { c.retry = time.Hour })
	g := gobgp(t, r, "open")
	a := n.next(t)
	ours, theirs := pair(t)
	r.Offer(ours)
	offered := talk(t, theirs, "open of offered")
	g.hears(t, "open of offered")
	offered.hears(t, "open")
	ours, theirs = pair(t)
	a.answer <- ours
	dialled := talk(t, theirs, "open of dialled")
	agree(t, g, offered)
	offered.Close()
	g.ends(t)
	g = gobgp(t, r, "open")
	g.hears(t, "open of dialled")
	dialled.hears(t, "open")

	// And one whose session is established stops it.
	g.Close()
	dialled.ends(t)
	g = gobgp(t, r, "open")
	a = n.next(t)
	ours, theirs = pair(t)
	r.Offer(ours)
	k := talk(t, theirs, "open too")
	agree(t, heard(t, g, "open too"), heard(t, k, "open"))
	r.Established(true)
	<-a.ctx.Done()
}

func heard(t testing.TB, k *talker, want string) *talker {
	t.Helper()
	k.hears(t, want)
	return k
}

// TestRelayBegunAnew: GoBGP's newer connection supersedes what it had.
func TestRelayBegunAnew(t *testing.T) {
	r, _ := newTestRelay(t, func(c *relayConfig) { c.passive = true })
	before := gobgp(t, r, "stale")
	g := gobgp(t, r, "open")
	before.ends(t)
	ours, theirs := pair(t)
	r.Offer(ours)
	k := talk(t, theirs, "open too")
	agree(t, heard(t, g, "open too"), heard(t, k, "open"))
}

// TestRelayReset: a neighbour that vanishes with a reset ends GoBGP's connection.
func TestRelayReset(t *testing.T) {
	r, n := newTestRelay(t, func(c *relayConfig) { c.retry = time.Hour })
	g := gobgp(t, r, "open")
	ours, theirs := pair(t)
	n.next(t).answer <- ours
	k := talk(t, theirs, "open too")
	agree(t, heard(t, g, "open too"), heard(t, k, "open"))
	theirs.(*net.TCPConn).SetLinger(0)
	theirs.Close()
	g.ends(t)
	if err := r.LastError(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("last error %v", err)
	}
}

// TestRelayFarewell: what GoBGP says before it closes arrives, though the neighbour was in the midst of sending and the relay closes.
func TestRelayFarewell(t *testing.T) {
	r, n := newTestRelay(t, nil)
	g := gobgp(t, r, "open")
	ours, theirs := pair(t)
	n.next(t).answer <- ours
	k := talk(t, theirs, "open too")
	agree(t, heard(t, g, "open too"), heard(t, k, "open"))
	sent := make(chan error, 1)
	go func() { // a table, which GoBGP does not read to its end
		_, err := io.Copy(theirs, io.LimitReader(zeros{}, 32<<20))
		theirs.(*net.TCPConn).CloseWrite()
		sent <- err
	}()
	if _, err := io.CopyN(io.Discard, g.lines, 1<<20); err != nil {
		t.Fatal(err)
	}
	g.say(t, "notification")
	g.Close()
	closed := make(chan struct{})
	go func() { r.Close(); close(closed) }()
	k.hears(t, "notification")
	k.ends(t)
	<-closed
	<-sent
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestRelaySecret: a process that has not the key gets no connection, from whatever address of loopback.
func TestRelaySecret(t *testing.T) {
	r, _ := newTestRelay(t, nil)
	for _, secret := range []string{"", "wrong"} {
		for _, from := range []string{"", "127.0.0.2:0"} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if conn, err := dialRelay(ctx, r, secret, from); err == nil {
				conn.Close()
				t.Errorf("secret %q from %q: connected", secret, from)
			}
			cancel()
		}
	}
	gobgp(t, r, "open")
}

// TestRelayClose: whatever is open ends.
func TestRelayClose(t *testing.T) {
	r, n := newTestRelay(t, nil)
	g, first, second := collide(t, r, n)
	waiting, m := newTestRelay(t, nil)
	h := gobgp(t, waiting, "open")
	a := m.next(t)
	r.Close()
	waiting.Close()
	<-a.ctx.Done()
	for _, k := range []*talker{g, first, second, h} {
		k.ends(t)
	}
	ours, theirs := pair(t)
	r.Offer(ours)
	(&talker{theirs, bufio.NewReader(theirs)}).ends(t)
}
