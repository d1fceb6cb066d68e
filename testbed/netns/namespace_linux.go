package netns

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netns"
)

// namespace is a network namespace that lives as long as its handle is open or something runs in it.
type namespace struct{ handle netns.NsHandle }

// newNamespace makes a namespace without changing the caller's thread.
func newNamespace() (*namespace, error) {
	type result struct {
		handle netns.NsHandle
		err    error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		handle, err := netns.New()
		made <- result{handle, err}
	}()
	r := <-made
	if r.err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", r.err)
	}
	return &namespace{handle: r.handle}, nil
}

// do runs f on a thread of its own in the namespace. Sockets and processes that f makes stay in the namespace; nothing else of the thread does.
func (n *namespace) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		if err := netns.Set(n.handle); err != nil {
			done <- fmt.Errorf("enter a network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

func (n *namespace) close() error { return n.handle.Close() }

// setting writes one of the namespace's sysctls of networking; the caller is in do.
func setting(name, value string) error {
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("sysctl net/%s: %w", name, err)
	}
	return nil
}
