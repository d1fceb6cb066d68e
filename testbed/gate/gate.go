// Package gate is a way to a server that tests can shut: then what either side says stays where it is, as if the server had stopped; when it opens, all of it arrives.
package gate

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
)

// Gate passes connections on to a server. It is open at first.
type Gate struct {
	url    string
	to     address
	lis    net.Listener
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while the gate is open
	shut  bool
	cut   bool
	conns map[net.Conn]struct{}
}

type address struct{ network, at string }

// New returns a way to a server at a URL, such as http://127.0.0.1:2379 or unix:///run/etcd.sock. The caller closes it.
func New(to string) (*Gate, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	g := &Gate{to: address{"tcp", u.Host}, open: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(g.open)
	own := address{"tcp", "127.0.0.1:0"}
	if u.Scheme == "unix" {
		g.to = address{"unix", u.Path}
		own = address{"unix", u.Path + ".gate"}
	}
	if g.lis, err = net.Listen(own.network, own.at); err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	g.url = u.Scheme + "://" + g.lis.Addr().String()
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.wg.Go(g.accept)
	return g, nil
}

// URL is where the server is found through the gate.
func (g *Gate) URL() string { return g.url }

// Shut shuts the gate, or opens it.
func (g *Gate) Shut(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case shut == g.shut:
	case shut:
		g.open = make(chan struct{})
	default:
		close(g.open)
	}
	g.shut = shut
}

// Cut ends all connections and takes no others, as if the server had been killed, or takes them again.
func (g *Gate) Cut(cut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cut = cut; cut {
		for c := range g.conns {
			_ = c.Close()
		}
	}
}

// has notes a connection; false: there is to be none.
func (g *Gate) has(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.cut {
		g.conns[c] = struct{}{}
	}
	return !g.cut
}

// Close ends all connections, and returns when they have.
func (g *Gate) Close() {
	g.cancel()
	_ = g.lis.Close()
	g.wg.Wait()
}

func (g *Gate) accept() {
	for {
		in, err := g.lis.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial(g.to.network, g.to.at)
		if err != nil || !g.has(in) {
			_ = in.Close()
			if err == nil {
				_ = out.Close()
			}
			continue
		}
		context.AfterFunc(g.ctx, func() { _ = in.Close(); _ = out.Close() })
		g.wg.Go(func() { g.pass(in, out) })
		g.wg.Go(func() { g.pass(out, in) })
	}
}

func (g *Gate) pass(to, from net.Conn) {
	defer func() {
		_ = to.Close()
		g.mu.Lock()
		delete(g.conns, from)
		g.mu.Unlock()
	}()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-open:
		case <-g.ctx.Done():
			return
		}
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
