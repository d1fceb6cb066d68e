package lab

import (
	"context"

	"net"
	"sync"
	"testing"
)

// proxy is a way to a server that can be cut, and can fall silent, as networks do.
type proxy struct {
	lis     net.Listener
	network string
	address string

	mu     sync.Mutex
	cut    bool
	silent chan struct{} // closed: what is sent arrives
	conns  map[net.Conn]struct{}
}

// newProxy is a way to a server, until the test ends.
func newProxy(t testing.TB, network, address string) *proxy {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{lis: lis, network: network, address: address, silent: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(p.silent)
	var wg sync.WaitGroup
	wg.Go(func() { p.accept(&wg) })
	t.Cleanup(func() {
		_ = lis.Close()
		p.setSilent(false)
		p.setCut(true)
		wg.Wait()
	})
	return p
}

func (p *proxy) accept(wg *sync.WaitGroup) {
	for {
		in, err := p.lis.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer in.Close()
			out, err := new(net.Dialer).DialContext(context.Background(), p.network, p.address)
			if err != nil || !p.add(in, out) {
				return
			}
			defer out.Close()
			var both sync.WaitGroup
			both.Go(func() { p.pass(out, in) })
			both.Go(func() { p.pass(in, out) })
			both.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.conns, in)
			delete(p.conns, out)
		})
	}
}

// add notes a connection; false: there is no way.
func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.cut {
			_ = c.Close()
			continue
		}
		p.conns[c] = struct{}{}
	}
	return !p.cut
}

// pass passes on what one side says.
func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		speaks := p.silent
		p.mu.Unlock()
		<-speaks
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// setCut ends all connections, and takes no others, or takes them again.
func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut = cut; !cut {
		return
	}
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// setSilent has nothing arrive any more, and nobody told, or ends that.
func (p *proxy) setSilent(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.silent:
		if silent {
			p.silent = make(chan struct{})
		}
	default:
		if !silent {
			close(p.silent)
		}
	}
}

func (p *proxy) addr() string { return p.lis.Addr().String() }
