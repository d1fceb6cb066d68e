package vpn

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name, which lives while its handle is open or something is in it.
type namespace struct{ handle netns.NsHandle }

// newNamespace makes a namespace, with a loopback interface and no IPv6: nothing in it speaks by itself.
func newNamespace() (*namespace, error) {
	n := new(namespace)
	err := apart(func() (err error) {
		if n.handle, err = netns.New(); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		for _, which := range []string{"all", "default"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("IPv6 of the namespace: %w", err)
			}
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		return err
	})
	if err != nil && n.handle.IsOpen() {
		_ = n.close()
	}
	return n, err
}

// do runs f in the namespace, on a thread of its own. Sockets and processes that f makes stay in it; the processes end when f returns, if they are to end with their parent's thread.
func (n *namespace) do(f func() error) error {
	return apart(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

func (n *namespace) close() error { return n.handle.Close() }

// apart runs f on a thread that nothing else runs on, and that ends then.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			err := apart(f) // the main thread would not end, and stay where it is: it waits while another does it
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// missing says what a VPN's daemon lacks here; nil: nothing.
func missing(kind, program, packages string) error {
	fail := func(what string) error {
		return fmt.Errorf("%s at this edge takes root, /dev/net/tun and Debian's %s: %s", kind, packages, what)
	}
	if _, err := exec.LookPath(program); err != nil {
		return fail(program + " is not installed")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fail(err.Error())
	}
	n, err := newNamespace()
	if err != nil {
		return fail(fmt.Sprintf("%v (user id %d)", err, os.Geteuid()))
	}
	return n.close()
}
