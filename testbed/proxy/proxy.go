// Package proxy is a way to a server that can be cut, can fall silent and can become slow, as networks and disks do.
package proxy

import (
	"context"
	"net"
	"net/url"
	"sync"
	"time"
)

// Proxy passes on what clients and a server say to each other. It is safe for concurrent use.
type Proxy struct {
	lis     net.Listener
	network string
	address string
	running sync.WaitGroup

	mu     sync.Mutex
	cut    bool
	delay  time.Duration
	silent chan struct{} // closed: what is sent arrives
	conns  map[net.Conn]struct{}
}

// New is a way to a server, from a port of 127.0.0.1, until Close.
func New(network, address string) (*Proxy, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{lis: lis, network: network, address: address, silent: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(p.silent)
	p.running.Go(p.accept)
	return p, nil
}

// To is New for a server at a URL, such as http://127.0.0.1:2379 or unix:///run/etcd.sock.
func To(server string) (*Proxy, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "unix" {
		return New("unix", u.Path)
	}
	return New("tcp", u.Host)
}

// URL is Addr for clients that want a URL, of a server without TLS.
func (p *Proxy) URL() string { return "http://" + p.Addr() }

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.lis.Addr().String() }

// Close ends all connections, and returns when nothing of the proxy runs.
func (p *Proxy) Close() {
	_ = p.lis.Close()
	p.SetSilent(false)
	p.SetCut(true)
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		in, err := p.lis.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() {
			defer in.Close()
			out, err := new(net.Dialer).DialContext(context.Background(), p.network, p.address)
			if err != nil || !p.add(in, out) {
				return
			}
			defer out.Close()
			var both sync.WaitGroup
			both.Go(func() { p.pass(out, in, false) })
			both.Go(func() { p.pass(in, out, true) })
			both.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.conns, in)
			delete(p.conns, out)
		})
	}
}

// add notes a connection; false: there is no way.
func (p *Proxy) add(conns ...net.Conn) bool {
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
func (p *Proxy) pass(to, from net.Conn, answers bool) {
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		speaks, delay := p.silent, p.delay
		p.mu.Unlock()
		if answers && delay > 0 {
			time.Sleep(delay)
		}
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

// SetCut ends all connections, and takes no others, or takes them again.
func (p *Proxy) SetCut(cut bool) {
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

// SetSilent has nothing arrive any more, and nobody told, or ends that.
func (p *Proxy) SetSilent(silent bool) {
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

// SetDelay has each thing that the server says wait for so long, and what comes behind it, too: a disk that is slow. 0 ends that.
func (p *Proxy) SetDelay(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}
