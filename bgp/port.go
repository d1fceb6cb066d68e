package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/weft-sdn/weft/bfd"
	"github.com/weft-sdn/weft/topology"
)

// port is a router port whose sessions are carried out. The speaker's Run alone changes it.
type port struct {
	cfg       Config
	log       *slog.Logger
	port      *topology.VPort
	network   network
	bfd       *bfd.Port
	stack     Stack // that network is of
	problem   error // there is no network
	acceptors map[netip.Addr]*acceptor
	sessions  map[string]*session
	wanted    []*topology.BGPSession
	lacks     map[string]error // why sessions are not carried out, by name
}

// newPort gives a port its stack; where that fails, settle says so of its sessions.
func newPort(cfg Config, w *Port) *port {
	p := &port{
		cfg: cfg, log: cfg.Log.With("vport", w.Port.Name), port: w.Port, bfd: bfd.NewPort(w.Send),
		acceptors: map[netip.Addr]*acceptor{}, sessions: map[string]*session{}, lacks: map[string]error{}, wanted: w.Sessions,
	}
	addrs := []netip.Addr{w.Port.LinkLocal}
	for _, a := range w.Port.Addrs {
		addrs = append(addrs, a.Addr())
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() })
	name, mtu := w.Port.Name, int(w.Port.MTU)
	if cfg.Stack != Userspace {
		p.network, p.problem = newKernel(name, addrs, mtu, w.Send)
		p.stack = Kernel
	}
	if cfg.Stack == Userspace || cfg.Stack == Auto && p.problem != nil {
		p.network, p.problem = newUserspace(name, addrs, mtu, w.Send)
		p.stack = Userspace
	}
	if p.problem != nil {
		p.network = nil
	}
	return p
}

// serves reports whether the port's stack is right for what the port is now.
func (p *port) serves(v *topology.VPort) bool {
	return p.port.Device == v.Device && p.port.MTU == v.MTU && p.port.LinkLocal == v.LinkLocal && slices.Equal(p.port.Addrs, v.Addrs) && p.problem == nil
}

// release has sessions go on as is wanted, and takes out those that are not wanted, and those that have to begin anew: what it returns ends them.
func (p *port) release(w *Port) (ends []func()) {
	p.port, p.wanted = w.Port, w.Sessions
	keep := map[string]*topology.BGPSession{}
	for _, spec := range w.Sessions {
		keep[spec.Name] = spec
	}
	for name, s := range p.sessions {
		spec := keep[name]
		if spec != nil && s.change(spec, w) {
			continue
		}
		delete(p.sessions, name)
		ends = append(ends, func() { p.endOf(s, spec == nil) })
	}
	return ends
}

// settle begins the sessions that are wanted and not there.
func (p *port) settle(ctx context.Context, w *Port) {
	clear(p.lacks)
	for _, spec := range w.Sessions {
		if p.network == nil {
			p.lacks[spec.Name] = p.problem
		} else if p.sessions[spec.Name] == nil {
			if err := p.begin(ctx, spec, w); err != nil {
				p.lacks[spec.Name] = err
			}
		}
	}
	p.prune()
}

// begin starts a session.
func (p *port) begin(ctx context.Context, spec *topology.BGPSession, w *Port) error {
	o, err := p.options(spec)
	if err != nil {
		return err
	}
	local := spec.Local(p.port)
	if !local.IsValid() {
		return fmt.Errorf("bgp: session %s: vport %s has no address to speak to %s from", spec.Name, p.port.Name, spec.PeerAddress)
	}
	a, err := p.acceptor(local)
	if err != nil {
		return err
	}
	s, err := startSession(ctx, p.cfg.Store, p.cfg.Edge, p.port, spec, w, p.cfg.origins, relayConfig{
		local: local, remote: netip.AddrPortFrom(spec.PeerAddress, bgpPort), passive: spec.Passive, barred: spec.BFD.Strict, retry: spec.ConnectRetry, options: o, network: p.network, acceptor: a, log: p.log.With("session", spec.Name),
	}, p.cfg.notify(spec.Name), p.log)
	if err != nil {
		return err
	}
	if err := p.watched(s); err != nil {
		_ = s.end(false)
		return err
	}
	p.sessions[spec.Name] = s
	return nil
}

// options are those of a session's connection.
func (p *port) options(spec *topology.BGPSession) (options, error) {
	var o options
	if spec.PasswordSecret != "" {
		if p.cfg.Secret == nil {
			return o, fmt.Errorf("bgp: session %s: secret %s: this edge has no secrets", spec.Name, spec.PasswordSecret)
		}
		tenant, _, _ := strings.Cut(spec.Name, "/")
		var err error
		if o.password, err = p.cfg.Secret(tenant, spec.PasswordSecret); err != nil {
			return o, fmt.Errorf("bgp: session %s: secret %s: %w", spec.Name, spec.PasswordSecret, err)
		}
	}
	if !spec.Internal() {
		o.ttl = max(spec.Multihop, 1)
		if spec.TTLSecurity {
			o.ttl, o.minTTL = 255, 255-(o.ttl-1)
		}
	}
	return o, nil
}

// acceptor returns the one of a local address.
func (p *port) acceptor(local netip.Addr) (*acceptor, error) {
	if a := p.acceptors[local]; a != nil {
		return a, nil
	}
	a, err := newAcceptor(p.network, local, p.log)
	if err == nil {
		p.acceptors[local] = a
	}
	return a, err
}

// prune closes the acceptors that no session needs.
func (p *port) prune() {
	used := map[netip.Addr]bool{}
	for _, s := range p.sessions {
		used[s.relay.config.local] = true
	}
	for local, a := range p.acceptors {
		if !used[local] {
			_ = a.Close()
			delete(p.acceptors, local)
		}
	}
}

// endOf ends a session; routes of one that is no more are removed later on if need be.
func (p *port) endOf(s *session, forget bool) {
	if err := s.end(forget); err != nil {
		p.log.Warn("the routes of a session that is no more were not removed in time; it is tried again", "err", err)
		p.cfg.left.add(s.rib.Source())
	}
}

// end ends all sessions, and the stack.
func (p *port) end(forget bool) {
	var all sync.WaitGroup
	for _, s := range p.sessions {
		all.Go(func() { p.endOf(s, forget) })
	}
	all.Wait()
	for _, a := range p.acceptors {
		_ = a.Close()
	}
	if p.network != nil {
		_ = p.network.Close()
	}
}

// status tells how the port's sessions are.
func (p *port) status() []Status {
	var list []Status
	for _, spec := range p.wanted {
		st := StatusOf(p.port, spec)
		if s := p.sessions[spec.Name]; s != nil {
			st = s.status()
			st.Stack = string(p.stack)
		} else if err := p.lacks[spec.Name]; err != nil {
			st.Problem = err.Error()
		}
		list = append(list, st)
	}
	return list
}
