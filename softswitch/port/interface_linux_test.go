package port

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inNamespace runs f in a network namespace of its own, on a thread that is thrown away
// afterwards. Without privileges the test is skipped.
func inNamespace(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	done := make(chan error, 1)
	proceed := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		handle, err := netns.New()
		if err == nil {
			defer handle.Close()
		}
		done <- err
		if err == nil {
			f(t)
		}
		close(proceed)
	}()
	if err := <-done; err != nil {
		t.Skipf("needs the right to make network namespaces: %v", err)
	}
	<-proceed
}

// check is Fatal for goroutines that aren't the test's.
func check(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

// deliver sends a frame until it arrives: an interface that has just come up may lose
// some.
func deliver(t *testing.T, from Port, frame []byte, arrived <-chan []byte) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := from.Send([][]byte{frame}); err != nil {
			t.Error(err)
			return
		}
		for waiting := true; waiting; {
			select {
			case got := <-arrived:
				if bytes.Equal(got, frame) {
					return
				}
			case <-tick.C:
				waiting = false
			case <-deadline:
				t.Errorf("a frame of %d bytes did not arrive", len(frame))
				return
			}
		}
	}
}

// labelled makes a frame of an EtherType that nothing else sends.
func labelled(label byte, size int) []byte {
	f := bytes.Repeat([]byte{label}, size)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5})
	return f
}

func TestInterfaceOverVeth(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "near"
		pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "far"}
		if !check(t, netlink.LinkAdd(pair)) {
			return
		}
		a, err := Open("near")
		if !check(t, err) {
			return
		}
		defer a.Close()
		b, err := Open("far")
		if !check(t, err) {
			return
		}
		defer b.Close()
		if a.Up() {
			t.Error("up before the interface is")
		}
		sendOne(t, a, labelled(1, 60), 0) // down: dropped, not an error
		for _, name := range []string{"near", "far"} {
			link, err := netlink.LinkByName(name)
			if !check(t, err) || !check(t, netlink.LinkSetUp(link)) {
				return
			}
		}
		for tries := 0; !a.Up() && tries < 1000; tries++ {
			runtime.Gosched()
		}
		fromA, bDone := pump(b)
		fromB, aDone := pump(a)
		for _, size := range []int{14, 60, 1514} {
			frame := labelled(byte(size), size)
			deliver(t, a, frame, fromA)
			deliver(t, b, frame, fromB)
		}
		// The kernel keeps the outer VLAN tag apart from the frame; it must come back.
		tagged := labelled(7, 100)
		binary.BigEndian.PutUint16(tagged[12:], 0x8100)
		binary.BigEndian.PutUint16(tagged[14:], 3<<13|42)
		binary.BigEndian.PutUint16(tagged[16:], 0x88b5)
		deliver(t, a, tagged, fromA)
		sendOne(t, a, labelled(9, 5000), 0) // beyond the MTU
		a.Close()
		b.Close()
		aDone.Wait()
		bDone.Wait()
	})
}

func TestInterfaceSurvivesDownAndUp(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "near"
		pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "far"}
		if !check(t, netlink.LinkAdd(pair)) || !check(t, netlink.LinkSetUp(pair)) {
			return
		}
		far, err := netlink.LinkByName("far")
		if !check(t, err) || !check(t, netlink.LinkSetUp(far)) {
			return
		}
		a, err := Open("near")
		if !check(t, err) {
			return
		}
		b, err := Open("far")
		if !check(t, err) {
			return
		}
		fromA, bDone := pump(b)
		if !check(t, netlink.LinkSetDown(far)) {
			return
		}
		if b.Up() {
			t.Error("up after the interface went down")
		}
		if !check(t, netlink.LinkSetUp(far)) {
			return
		}
		frame := labelled(3, 80)
		deliver(t, a, frame, fromA)
		a.Close()
		b.Close()
		bDone.Wait()
	})
}

func TestTAP(t *testing.T) {
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("needs TAP devices: %v", err)
	}
	inNamespace(t, func(t *testing.T) {
		tap, err := Open("tap:probe")
		if !check(t, err) {
			return
		}
		if !tap.Up() {
			t.Error("not up")
		}
		host, err := Open("probe")
		if !check(t, err) {
			return
		}
		fromTAP, hostDone := pump(host)
		fromHost, tapDone := pump(tap)
		for _, size := range []int{60, 1514} {
			frame := labelled(byte(size), size)
			deliver(t, tap, frame, fromTAP)
			deliver(t, host, frame, fromHost)
		}
		tap.Close()
		tapDone.Wait()
		if _, err := tap.Send([][]byte{labelled(1, 60)}); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		host.Close()
		hostDone.Wait()
	})
}

func TestLinkQueryOfNothing(t *testing.T) {
	q, err := newLinkQuery("nothing-of-it")
	if err != nil {
		t.Fatal(err)
	}
	if q.running() {
		t.Error("an interface that isn't there is up")
	}
	q.close()
	if _, err := q.flags(); !errors.Is(err, ErrClosed) {
		t.Errorf("flags after close: %v", err)
	}
	if errors.Is(q.setUp(), unix.ENODEV) {
		t.Error("setUp after close asked the kernel")
	}
}
