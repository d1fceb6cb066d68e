package bgp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or, as a child of a benchmark, one of its processes.
func TestMain(m *testing.M) {
	if spec := os.Getenv(roleVariable); spec != "" {
		os.Exit(runRole(spec))
	}
	goleak.VerifyTestMain(m)
}

// onStacks runs a test on each pair of stacks that this machine allows.
func onStacks(t *testing.T, test func(t *testing.T, makeA, makeB makeNetwork)) {
	for _, pair := range []struct {
		name         string
		makeA, makeB makeNetwork
		kernel       bool
	}{
		{"userspace-userspace", newUserspace, newUserspace, false},
		{"kernel-kernel", newKernel, newKernel, true},
		{"kernel-userspace", newKernel, newUserspace, true},
	} {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel() // most of them wait most of the time
			if pair.kernel {
				needKernel(t)
			}
			test(t, pair.makeA, pair.makeB)
		})
	}
}

// needKernel skips a test where the kernel can not be a port's stack.
func needKernel(t testing.TB) {
	t.Helper()
	n, err := newKernel("probe", addrsA, cableMTU, func([]byte) {})
	for _, lack := range []error{os.ErrPermission, os.ErrNotExist, errors.ErrUnsupported} {
		if errors.Is(err, lack) {
			t.Skip("KERNEL'S TCP FOR PORTS NOT TESTED: needs root (network namespaces) and /dev/net/tun")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
}

// within bounds what a test waits for.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

const patience = 2 * time.Minute

// listenAt listens at port 179 of an address and expects a neighbour there.
func listenAt(t testing.TB, n network, local, neighbour netip.Addr, o options) listener {
	t.Helper()
	l, err := n.Listen(netip.AddrPortFrom(local, 179))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := l.Expect(neighbour, o); err != nil {
		t.Fatal(err)
	}
	return l
}

// connect joins local of a to remote of b and returns both ends.
func connect(t testing.TB, a network, local netip.Addr, l net.Listener, remote netip.Addr, o options) (dialled, accepted net.Conn) {
	t.Helper()
	got := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		got <- conn
	}()
	dialled, err := a.Dial(within(t, patience), local, netip.AddrPortFrom(remote, 179), o)
	if err != nil {
		l.Close()
		<-got
		t.Fatal(err)
	}
	accepted = <-got
	if accepted == nil {
		t.FailNow()
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	for _, conn := range []net.Conn{dialled, accepted} {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return dialled, accepted
}

// exchange sends n random bytes each way at the same time and compares what comes.
func exchange(a, b net.Conn, n int) error {
	var wg sync.WaitGroup
	failures := make(chan error, 4)
	one := func(from, to net.Conn, seed byte) {
		source := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{seed}), int64(n)) }
		wg.Go(func() {
			if _, err := io.Copy(from, source()); err != nil {
				failures <- fmt.Errorf("send: %w", err)
			}
		})
		wg.Go(func() {
			want, got := sha256.New(), sha256.New()
			io.Copy(want, source())
			if _, err := io.CopyN(got, to, int64(n)); err != nil {
				failures <- fmt.Errorf("receive: %w", err)
			} else if !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
				failures <- errors.New("other bytes came than were sent")
			}
		})
	}
	one(a, b, 1)
	one(b, a, 2)
	wg.Wait()
	close(failures)
	return <-failures
}

func TestTransfer(t *testing.T) {
	onStacks(t, func(t *testing.T, makeA, makeB makeNetwork) {
		c := newCable(t, makeA, makeB)
		much, little := 10<<20, 1<<20
		if testing.Short() {
			much = little
		}
		for i := range addrsA {
			for _, way := range []struct {
				from, to      network
				local, remote netip.Addr
				size          int
			}{{c.a, c.b, addrsA[i], addrsB[i], much}, {c.b, c.a, addrsB[i], addrsA[i], little}} {
				l := listenAt(t, way.to, way.remote, way.local, options{})
				dialled, accepted := connect(t, way.from, way.local, l, way.remote, options{})
				if got := neighbourOf(accepted); got != way.local {
					t.Errorf("accepted connection is with %s, want %s", got, way.local)
				}
				if got := neighbourOf(dialled); got != way.remote {
					t.Errorf("dialled connection is with %s, want %s", got, way.remote)
				}
				began := time.Now()
				if err := exchange(dialled, accepted, way.size); err != nil {
					t.Errorf("%s to %s: %v", way.local, way.remote, err)
				}
				t.Logf("%s to %s: %d bytes each way in %v, %d packets lost so far", way.local, way.remote, way.size, time.Since(began).Round(time.Millisecond), c.lost.Load())
				l.Close()
			}
		}
	})
}

// TestTTL: packets leave with the TTL that is asked for, and the answer to a SYN with 255, as it precedes the session.
func TestTTL(t *testing.T) {
	onStacks(t, func(t *testing.T, makeA, makeB makeNetwork) {
		c := newCable(t, makeA, makeB)
		for i := range addrsA {
			var wrong, seen atomic.Uint64
			c.watch(func(p []byte) {
				h, ok := parseHeader(p)
				if h.src != addrsA[i] && h.src != addrsB[i] {
					return // of the connection before
				}
				want := uint8(3) // a dials with 3
				if h.src == addrsB[i] {
					want = 5 // b accepts with 5
					if h.payload[13]&2 != 0 {
						want = defaultTTL // SYN, ACK
					}
				}
				seen.Add(1)
				if ok && h.ttl != want && !(h.src == addrsB[i] && h.ttl == defaultTTL && len(h.payload) == int(h.payload[12]>>4)*4) { // ACKs before Accept
					wrong.Add(1)
				}
			})
			l := listenAt(t, c.b, addrsB[i], addrsA[i], options{ttl: 5})
			dialled, accepted := connect(t, c.a, addrsA[i], l, addrsB[i], options{ttl: 3})
			if err := exchange(dialled, accepted, 100<<10); err != nil {
				t.Fatal(err)
			}
			if wrong.Load() > 0 || seen.Load() < 100 {
				t.Errorf("%s: %d of %d packets with another TTL", addrsA[i], wrong.Load(), seen.Load())
			}
			l.Close()
		}
	})
}

// TestGTSM: of a neighbour that must be next door nothing is taken that came from farther, neither to a listener nor to a connection (RFC 5082).
func TestGTSM(t *testing.T) {
	onStacks(t, func(t *testing.T, makeA, makeB makeNetwork) {
		c := newCable(t, makeA, makeB)
		near := options{ttl: 255, minTTL: 254}
		for i := range addrsA {
			l := listenAt(t, c.b, addrsB[i], addrsA[i], near)
			to := netip.AddrPortFrom(addrsB[i], 179)

			c.farther.Store(2)
			ctx, cancel := context.WithCancel(t.Context())
			before := c.lowered.Load()
			c.watch(func([]byte) {
				if c.lowered.Load() >= before+2 { // the SYN, and its retransmission
					cancel()
				}
			})
			if conn, err := c.a.Dial(ctx, addrsA[i], to, near); err == nil {
				conn.Close()
				t.Errorf("%s: connected from 2 hops away", addrsA[i])
			}
			cancel()

			c.farther.Store(1) // 254 is near enough
			dialled, accepted := connect(t, c.a, addrsA[i], l, addrsB[i], near)
			if err := exchange(dialled, accepted, 1000); err != nil {
				t.Errorf("%s: %v", addrsA[i], err)
			}
			c.farther.Store(2)
			lowered := c.lowered.Load()
			late := make(chan struct{})
			var once sync.Once
			c.watch(func([]byte) {
				if c.lowered.Load() >= lowered+2 {
					once.Do(func() { close(late) })
				}
			})
			if _, err := dialled.Write([]byte("far")); err != nil {
				t.Fatal(err)
			}
			<-late // sent, and sent again, for nothing came back
			c.farther.Store(0)
			got := make([]byte, 3)
			if _, err := io.ReadFull(accepted, got); err != nil || string(got) != "far" {
				t.Errorf("%s: after packets that came from too far: %q, %v", addrsA[i], got, err)
			}
			l.Refuse(addrsA[i])
			l.Close()
		}
	})
}

// TestPathMTU: where less fits through than the port's MTU, ICMP errors tell, and segments become smaller (RFC 1191, RFC 8201).
func TestPathMTU(t *testing.T) {
	onStacks(t, func(t *testing.T, makeA, makeB makeNetwork) {
		for i := range addrsA {
			c := newCable(t, makeA, makeB)
			l := listenAt(t, c.b, addrsB[i], addrsA[i], options{})
			dialled, accepted := connect(t, c.a, addrsA[i], l, addrsB[i], options{})
			var fragmentable atomic.Uint64
			c.watch(func(p []byte) {
				if p[0]>>4 == 4 && p[6]&0x40 == 0 {
					fragmentable.Add(1)
				}
			})
			c.most.Store(1300)
			for _, size := range []int{2000, 1 << 20} { // first a little: a userspace stack sends what was too big again one segment a timeout
				if err := exchange(dialled, accepted, size); err != nil {
					t.Errorf("%s: %v", addrsA[i], err)
				}
			}
			if c.tooBig.Load() == 0 || fragmentable.Load() > 0 {
				t.Errorf("%s: %d packets did not fit, %d might have been fragmented", addrsA[i], c.tooBig.Load(), fragmentable.Load())
			}
		}
	})
}

// TestNetworkClose: whatever waits ends when the network closes.
func TestNetworkClose(t *testing.T) {
	onStacks(t, func(t *testing.T, makeA, makeB makeNetwork) {
		c := newCable(t, makeA, makeB)
		l := listenAt(t, c.b, addrsB[0], addrsA[0], options{})
		dialled, accepted := connect(t, c.a, addrsA[0], l, addrsB[0], options{})
		ended := make(chan string, 4)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				conn.Close()
				t.Error("accepted from a closed network")
			}
			ended <- "accept"
		}()
		go func() {
			if _, err := accepted.Read(make([]byte, 1)); err == nil {
				t.Error("read from a closed network")
			}
			ended <- "read"
		}()
		started := make(chan struct{})
		var once sync.Once
		c.watch(func(p []byte) {
			if h, _ := parseHeader(p); h.dst == netip.MustParseAddr("198.51.100.1") {
				once.Do(func() { close(started) })
			}
		})
		go func() {
			if conn, err := c.b.Dial(t.Context(), addrsB[0], netip.MustParseAddrPort("198.51.100.1:179"), options{}); err == nil {
				conn.Close()
				t.Error("connected to nobody")
			}
			ended <- "dial"
		}()
		<-started
		if err := c.b.Close(); err != nil {
			t.Error(err)
		}
		for range 3 {
			select {
			case what := <-ended:
				t.Log(what, "ended")
			case <-within(t, patience).Done():
				t.Fatal("something still waits")
			}
		}
		if n, err := dialled.Read(make([]byte, 1)); err == nil {
			t.Errorf("the other end read %d bytes", n)
		}
		if conn, err := c.b.Dial(t.Context(), addrsB[0], netip.AddrPortFrom(addrsA[0], 179), options{}); err == nil {
			conn.Close()
			t.Error("a closed network dials")
		}
		if l, err := c.b.Listen(netip.AddrPortFrom(addrsB[1], 179)); err == nil {
			l.Close()
			t.Error("a closed network listens")
		}
		c.b.Receive(make([]byte, 40))
	})
}

// TestRefused: nobody listens, which is told at once.
func TestRefused(t *testing.T) {
	onStacks(t, func(t *testing.T, makeA, makeB makeNetwork) {
		c := newCable(t, makeA, makeB)
		for i := range addrsA {
			if conn, err := c.a.Dial(within(t, patience), addrsA[i], netip.AddrPortFrom(addrsB[i], 179), options{}); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, %v", addrsA[i], conn, err)
			}
		}
		if conn, err := c.a.Dial(within(t, patience), addrsB[0], netip.AddrPortFrom(addrsB[0], 179), options{}); err == nil {
			conn.Close()
			t.Error("dialled from an address of others")
		}
	})
}

func TestNetworkArguments(t *testing.T) {
	four, six := addrsA[:1], addrsA[1:]
	for _, tc := range []struct {
		what  string
		addrs []netip.Addr
		mtu   int
	}{
		{"no address", nil, 1500},
		{"multicast", []netip.Addr{netip.MustParseAddr("224.0.0.1")}, 1500},
		{"unspecified", []netip.Addr{netip.IPv6Unspecified()}, 1500},
		{"MTU too small for IPv4", four, 67},
		{"MTU too small for IPv6", six, 1279},
		{"MTU too large", four, 65536},
	} {
		if n, err := newUserspace("p", tc.addrs, tc.mtu, func([]byte) {}); err == nil {
			n.Close()
			t.Errorf("%s: taken", tc.what)
		}
		if n, err := newKernel("p", tc.addrs, tc.mtu, func([]byte) {}); err == nil {
			n.Close()
			t.Errorf("%s: taken by the kernel's", tc.what)
		}
	}
}

// TestUnsigned: a userspace stack does not pretend to sign.
func TestUnsigned(t *testing.T) {
	c := newCable(t, newUserspace, newUserspace)
	signed := options{password: "secret"}
	if conn, err := c.a.Dial(t.Context(), addrsA[0], netip.AddrPortFrom(addrsB[0], 179), signed); !errors.Is(err, errUnsigned) {
		t.Errorf("dial: %v, %v", conn, err)
	}
	l, err := c.b.Listen(netip.AddrPortFrom(addrsB[0], 179))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Expect(addrsA[0], signed); !errors.Is(err, errUnsigned) {
		t.Errorf("expect: %v", err)
	}
}
