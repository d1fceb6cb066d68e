package bgp

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// namespace is a network namespace without a name, which lives while its handle or a socket in it is open.
type namespace struct{ handle netns.NsHandle }

// newNamespace makes a namespace. It takes CAP_SYS_ADMIN.
func newNamespace() (namespace, error) {
	var n namespace
	err := apart(func() (err error) {
		n.handle, err = netns.New()
		return err
	})
	if err != nil {
		return n, fmt.Errorf("make a network namespace: %w", err)
	}
	return n, nil
}

// do runs f in the namespace. Sockets that f makes stay in it.
func (n namespace) do(f func() error) error {
	return apart(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

func (n namespace) close() error { return n.handle.Close() }

// apart runs f, which may enter another namespace, on a thread that nothing else runs on, and has the thread return to where it was. If it can not, it ends.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("this thread's network namespace: %w", err)
			return // with the thread
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
		done <- err
	}()
	return <-done
}
