package border

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/peer"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// join lays a cable between two upstreams' machines, so that the first reaches, by it, what the second alone has.
func (b *border) join(first, second string, behind ...netip.Addr) {
	b.Helper()
	var said safeBuffer
	_, err := b.peer(second).Start(&said, "sh", "-c", "echo $$; exec sleep 3600") // somebody who lives in the namespace
	b.must(err)
	if !b.eventually(func() bool { return strings.HasSuffix(said.String(), "\n") }) {
		b.Fatal("the namespace of an upstream has no name")
	}
	run := func(name, command string) {
		b.Helper()
		fields := strings.Fields(command)
		if _, told, err := b.peer(name).Exec(b.Context(), fields[0], fields[1:]...); err != nil {
			b.Fatalf("%s: %s: %v: %s", name, command, err, told)
		}
	}
	run(first, "ip link add between type veth peer name between netns "+strings.TrimSpace(said.String()))
	for i, name := range []string{first, second} {
		run(name, "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.between.rp_filter=0 net.ipv6.conf.between.disable_ipv6=0 net.ipv6.conf.all.forwarding=1")
		run(name, fmt.Sprintf("ip address add 172.16.0.%d/30 dev between", i+1))
		run(name, fmt.Sprintf("ip address add fd00:16::%d/64 dev between nodad", i+1))
		run(name, "ip link set between up")
	}
	for _, a := range behind {
		via := "172.16.0.2"
		if a.Is6() {
			via = "fd00:16::2"
		}
		run(first, fmt.Sprintf("ip route add %s via %s", a, via))
	}
}

// safeBuffer is a bytes.Buffer that is written and read side by side.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// transfer is a download over TCP that goes on and on.
type transfer struct {
	b       *border
	conn    net.Conn
	running sync.WaitGroup
	came    atomic.Int64 // bytes
	ended   atomic.Pointer[error]
}

// download begins one of the VM, from a server of HTTP.
func (b *border) download(from netip.AddrPort) *transfer {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	conn, err := b.host("vm").Machine.(*host.Host).DialTCP(ctx, from)
	b.must(err)
	_, err = fmt.Fprintf(conn, "GET /bytes?n=%d&seed=1 HTTP/1.0\r\nHost: server\r\n\r\n", int64(1)<<32)
	b.must(err)
	x := &transfer{b: b, conn: conn}
	x.running.Go(x.read)
	b.Cleanup(func() { conn.Close(); x.running.Wait() })
	x.flows()
	return x
}

// read reads less than could come, so that others have time to run.
func (x *transfer) read() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	buf := make([]byte, 4096)
	for range tick.C {
		n, err := x.conn.Read(buf)
		x.came.Add(int64(n))
		if err != nil {
			x.ended.Store(&err)
			return
		}
	}
}

// flows waits until more comes than may be under way.
func (x *transfer) flows() {
	x.b.Helper()
	before := x.came.Load()
	const most = 1 << 20
	if !x.b.eventually(func() bool { return x.ended.Load() != nil || x.came.Load() > before+most }) || x.ended.Load() != nil {
		x.b.Fatalf("the transfer does not go on after %d bytes: %v", x.came.Load(), x.ended.Load())
	}
}

// TestTransfers: transfers over TCP of both IP versions, with a server that two upstreams lead to, live on when the session with the better one is lost, when its edge is cut off from the others, and when the edge's agent ends, and
// when each is back.
func TestTransfers(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.BIRD)
	server := [...]netip.Addr{netip.MustParseAddr("198.51.110.1"), netip.MustParseAddr("2001:db8:5a::1")}
	first, second := upstream(peer.BIRD, 64501, nil, up1v4), upstream(peer.BIRD, 64502, prepended(nil), up2v6)
	for _, c := range []*peer.Config{&first, &second} {
		c.Announce = prefixes("198.51.110.0/24", "2001:db8:5a::/48")
	}
	b := newBorder(t, testConfig{
		stack: bgp.Kernel, watched: true,
		sessions: session("first", "up1", 64501, isp1v4, "") + session("second", "up2", 64502, isp2v6, ""),
		peers:    map[string]peer.Config{"isp1": first, "isp2": second},
	})
	b.answers(server[0], "isp2")
	b.answers(server[1], "isp2")
	b.join("isp1", "isp2", server[:]...)
	b.must(b.peer("isp2").ServeHTTP(80))
	b.up("e1", "first", 2)
	b.up("e2", "second", 2)
	b.reaches("isp2")
	var transfers []*transfer
	for _, a := range server {
		transfers = append(transfers, b.download(netip.AddrPortFrom(a, 80)))
	}
	cut := func(up bool) { b.must(b.Link(b.limited(), scenario.Link{Edge: "e1", Up: up})) }
	without := func() {
		b.await("e1", "first", "without routes", func(st *bgp.Status) bool { return st.Routes == 0 && st.Pending == 0 })
	}
	for _, x := range []struct {
		name          string
		fail, recover func()
	}{
		{"the session is lost", func() { b.peer("isp1").Kill(); without() }, func() { b.must(b.peer("isp1").Restart()) }},
		{"the edge is cut off", func() { cut(false); without(); b.learns("isp1") }, func() { cut(true) }},
		{"the agent ends", func() { b.must(b.StopAgent("e1")) }, func() { b.must(b.StartAgent("e1")) }},
	} {
		for _, step := range []func(){x.fail, func() { x.recover(); b.up("e1", "first", 2) }} {
			sent := b.host("isp1").Counters().PacketsReceived
			began := time.Now()
			step()
			for _, one := range transfers {
				one.flows()
			}
			t.Logf("%s: transfers go on %v later; %d packets came to the first upstream meanwhile", x.name, time.Since(began).Round(time.Millisecond), b.host("isp1").Counters().PacketsReceived-sent)
		}
	}
}
