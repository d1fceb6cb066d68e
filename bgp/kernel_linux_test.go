package bgp

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// TestSigned: a session with a password is one only among those who know it (RFC 2385).
func TestSigned(t *testing.T) {
	needKernel(t)
	for i := range addrsA {
		for _, tc := range []struct {
			what, ours, theirs string
			accepted           bool
		}{
			{"same key", "secret", "secret", true},
			{"another key", "secret", "secreT", false},
			{"key of one", "secret", "", false},
			{"key of the other", "", "secret", false},
		} {
			t.Run(addrsA[i].String()+" "+tc.what, func(t *testing.T) {
				t.Parallel()
				c := newCable(t, newKernel, newKernel)
				l := listenAt(t, c.b, addrsB[i], addrsA[i], options{password: tc.theirs})
				if tc.accepted {
					dialled, accepted := connect(t, c.a, addrsA[i], l, addrsB[i], options{password: tc.ours})
					if err := exchange(dialled, accepted, 1<<20); err != nil {
						t.Error(err)
					}
					return
				}
				ctx, cancel := context.WithCancel(within(t, patience))
				var asked atomic.Int32
				c.watch(func(p []byte) {
					if h, _ := parseHeader(p); h.dst == addrsB[i] && asked.Add(1) == 3 { // the SYN, and it again twice
						cancel()
					}
				})
				if conn, err := c.a.Dial(ctx, addrsA[i], netip.AddrPortFrom(addrsB[i], 179), options{password: tc.ours}); err == nil {
					conn.Close()
					t.Error("connected")
				}
				if asked.Load() < 3 {
					t.Errorf("%d SYNs passed, want 3", asked.Load())
				}
			})
		}
	}
}

// TestSignedAnew: keys are changed, given up and refused while a listener listens.
func TestSignedAnew(t *testing.T) {
	needKernel(t)
	c := newCable(t, newKernel, newKernel)
	l := listenAt(t, c.b, addrsB[0], addrsA[0], options{password: "first"})
	for _, password := range []string{"second", "", "third"} {
		if err := l.Expect(addrsA[0], options{password: password}); err != nil {
			t.Fatal(err)
		}
		dialled, accepted := connect(t, c.a, addrsA[0], l, addrsB[0], options{password: password})
		if err := exchange(dialled, accepted, 1000); err != nil {
			t.Error(err)
		}
	}
	l.Refuse(addrsA[0])
	l.Refuse(addrsA[0])
	connect(t, c.a, addrsA[0], l, addrsB[0], options{})
	if err := l.Expect(addrsA[0], options{password: string(make([]byte, 81))}); err == nil {
		t.Error("password of 81 bytes taken")
	}
}

// TestNamespaceGoes: when a network closes, its namespace goes, whatever was open, and a connection that was closed before holds it for seconds only.
func TestNamespaceGoes(t *testing.T) {
	needKernel(t)
	for _, open := range []string{"nothing", "listener and connections", "a closed connection with what never arrived"} {
		t.Run(open, func(t *testing.T) {
			t.Parallel()
			c := newCable(t, newKernel, newUserspace)
			gone := namespaceGoes(t, c.a.(*kernel))
			if open != "nothing" {
				l := listenAt(t, c.b, addrsB[1], addrsA[1], options{})
				mine := listenAt(t, c.a, addrsA[1], addrsB[1], options{})
				dialled, _ := connect(t, c.a, addrsA[1], l, addrsB[1], options{})
				connect(t, c.b, addrsB[1], mine, addrsA[1], options{})
				if open[0] == 'a' {
					c.farther.Store(250) // nothing arrives any more
					c.b.(*userspace).guard.require(addrsB[1], addrsA[1], 10)
					if _, err := dialled.Write(make([]byte, 10000)); err != nil {
						t.Fatal(err)
					}
					dialled.Close()
				}
			}
			began := time.Now()
			if err := c.a.Close(); err != nil {
				t.Error(err)
			}
			select {
			case <-gone:
				t.Logf("gone after %v", time.Since(began).Round(time.Millisecond))
			case <-within(t, patience).Done():
				t.Error("the namespace is there still")
			}
		})
	}
}

// namespaceGoes tells when a network's namespace is gone: the kernel says so of those that were given a number in the test's own.
func namespaceGoes(t testing.TB, k *kernel) <-chan struct{} {
	t.Helper()
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_NSID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetReceiveTimeout(&unix.Timeval{Sec: int64(patience / time.Second)}); err != nil {
		t.Fatal(err)
	}
	handle := int(k.namespace.handle)
	if err := netlink.SetNetNsIdByFd(handle, -1); err != nil { // the kernel chooses
		t.Fatal(err)
	}
	number, err := netlink.GetNetNsIdByFd(handle)
	if err != nil || number < 0 {
		t.Fatalf("number %d, %v", number, err)
	}
	gone := make(chan struct{})
	t.Cleanup(func() { <-gone })
	go func() {
		defer close(gone)
		defer s.Close()
		for {
			messages, _, err := s.Receive()
			if err != nil {
				t.Error(err)
				return
			}
			for _, m := range messages {
				if m.Header.Type == unix.RTM_DELNSID && nsid(m) == number {
					return
				}
			}
		}
	}()
	return gone
}

// nsid is the number that a message is about: attribute NETNSA_NSID, behind struct rtgenmsg and padding.
func nsid(m syscall.NetlinkMessage) int {
	attributes, err := nl.ParseRouteAttr(m.Data[4:])
	if err != nil {
		return -1
	}
	for _, a := range attributes {
		if a.Attr.Type == unix.NETNSA_NSID {
			return int(int32(binary.NativeEndian.Uint32(a.Value)))
		}
	}
	return -1
}
