package bgp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/bfd"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Stack chooses the TCP/IP stacks of ports.
type Stack string

// Stacks.
const (
	Auto      Stack = ""          // the kernel's where the process may make one, else the one in userspace
	Kernel    Stack = "kernel"    // in a network namespace of each port: takes CAP_NET_ADMIN; signs segments (RFC 2385)
	Userspace Stack = "userspace" // in this process: takes nothing
)

// Config describes a speaker.
type Config struct {
	Edge   string       // that learnt routes are of
	Store  *state.Store // where an edge is registered: its lease is that of the routes
	Stack  Stack
	Secret func(tenant, name string) (string, error) // the secret of passwordSecret, of the session's tenant
	Caches []rpki.Cache                              // of RPKI; rpki.MaxCaches at most
	Log    *slog.Logger

	origins origins // New's
	left    *leftovers
}

// Port is a router port with the sessions that go through it.
type Port struct {
	Port     *topology.VPort
	Sessions []*topology.BGPSession
	Own      *topology.Own       // what the router has to tell of; nil if no session redistributes
	Unable   string              // why the edge can not forward what it would attract: neighbours are told nothing; empty: it can
	Forwards bool                // the edge has forwarded since before this process began, and neighbours may rely on it
	Send     func(packet []byte) // sends an IP packet out of the port; it keeps none
}

// Speaker carries out the BGP sessions of an edge's ports.
type Speaker struct {
	cfg  Config
	wake chan struct{}

	mu     sync.Mutex
	ctx    context.Context // of what is wanted: its end is that of the sessions
	wanted []Port

	running sync.RWMutex // guards ports against Status and Routes
	ports   map[flow.VPortID]*port
	inward  atomic.Pointer[map[flow.VPortID]inlet]
	client  *rpki.Client      // of RPKI caches; nil: there are none
	lacking map[string]string // why sessions that are wanted are not carried out, by name; Run's
}

// inlet takes what comes for a port.
type inlet struct {
	network network
	bfd     *bfd.Port
}

// New returns a speaker that does nothing until Run.
func New(cfg Config) *Speaker {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.left = &leftovers{store: cfg.Store, log: cfg.Log, sources: map[state.RIBSource]struct{}{}}
	s := &Speaker{cfg: cfg, wake: make(chan struct{}, 1), ports: map[flow.VPortID]*port{}}
	if len(cfg.Caches) > 0 {
		s.client = rpki.New(cfg.Caches, cfg.Log)
		s.client.OnChange(s.judgeAgain)
		s.client.OnEvent(s.noteCache)
		s.cfg.origins = s.client
	}
	return s
}

// Speak has the sessions of these ports carried out, in the order of ids, and no others, until ctx ends: what they learnt then stays. It never waits.
func (s *Speaker) Speak(ctx context.Context, ports []Port) {
	s.mu.Lock()
	s.ctx, s.wanted = ctx, ports
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Receive takes an IP packet for an own address of a port. It never waits, and keeps nothing.
func (s *Speaker) Receive(id flow.VPortID, packet []byte) {
	if m := s.inward.Load(); m != nil {
		if in, has := (*m)[id]; has && !in.bfd.Receive(packet) {
			in.network.Receive(packet)
		}
	}
}

// again is how long what could not be begun waits to be tried again.
const again = 5 * time.Second

// Run carries out what Speak says until ctx ends.
func (s *Speaker) Run(ctx context.Context) error {
	var current context.Context // of what runs
	defer func() { s.settle(ctx, nil, false) }()
	var caches sync.WaitGroup
	defer caches.Wait()
	if s.client != nil {
		caches.Go(func() { _ = s.client.Run(ctx) })
	}
	retry := time.NewTicker(again)
	defer retry.Stop()
	for {
		var over <-chan struct{}
		if current != nil {
			over = current.Done()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			s.settle(ctx, nil, false)
			current = nil
			continue
		case <-s.wake:
		case <-retry.C:
			if !s.lacks() {
				continue
			}
		}
		s.mu.Lock()
		next, wanted := s.ctx, s.wanted
		s.mu.Unlock()
		if next == nil || next.Err() != nil {
			continue
		}
		if current != nil && next != current {
			s.settle(ctx, nil, false)
		}
		current = next
		s.settle(current, wanted, true)
	}
}

// lacks reports whether a port or session is wanted that could not be begun, or one is not that could not be removed.
func (s *Speaker) lacks() bool { return len(s.lacking) > 0 || s.cfg.left.any() }

// settle makes what runs what is wanted. forget: what is not wanted is no more, and so is what it learnt. What ends does so side by side, and nobody who asks for Status waits for it.
func (s *Speaker) settle(ctx context.Context, wanted []Port, forget bool) {
	var ending sync.WaitGroup
	for _, end := range s.release(wanted, forget) {
		ending.Go(end)
	}
	ending.Wait()
	if forget {
		s.cfg.left.remove(ctx, s.runs)
	} else {
		s.cfg.left.forget()
	}
	s.begin(ctx, wanted)
	s.noteLacks()
}

// runs reports whether the session that learns by a source runs.
func (s *Speaker) runs(source state.RIBSource) bool {
	p := s.ports[source.Port]
	return p != nil && p.sessions[source.Session] != nil && p.sessions[source.Session].rib.Source() == source
}

// release takes out what is not wanted, or has to begin anew, and returns what ends it.
func (s *Speaker) release(wanted []Port, forget bool) (ends []func()) {
	s.running.Lock()
	defer s.running.Unlock()
	keep := map[flow.VPortID]*Port{}
	for i := range wanted {
		keep[wanted[i].Port.ID] = &wanted[i]
	}
	for id, p := range s.ports {
		w := keep[id]
		if w != nil && p.serves(w.Port) {
			ends = append(ends, p.release(w)...)
			continue
		}
		delete(s.ports, id)
		ends = append(ends, func() { p.end(forget && w == nil) }) // else its sessions begin again, with what they learnt
	}
	return ends
}

// begin begins what is wanted and not there.
func (s *Speaker) begin(ctx context.Context, wanted []Port) {
	s.running.Lock()
	defer s.running.Unlock()
	for i := range wanted {
		w := &wanted[i]
		p := s.ports[w.Port.ID]
		if p == nil {
			p = newPort(s.cfg, w)
			s.ports[w.Port.ID] = p
		}
		p.settle(ctx, w)
	}
	inward := map[flow.VPortID]inlet{}
	for id, p := range s.ports {
		if p.network != nil {
			inward[id] = inlet{p.network, p.bfd}
		}
	}
	s.inward.Store(&inward)
}

// noteLacks records which sessions are not carried out, each when the reason is another one than before.
func (s *Speaker) noteLacks() {
	lacking := map[string]string{}
	for _, p := range s.ports {
		for name, err := range p.lacks {
			lacking[name] = err.Error()
			if s.lacking[name] != err.Error() {
				s.cfg.notify(name)(state.EventWarning, "NotCarriedOut", err.Error())
				s.cfg.Log.Warn("BGP session is not carried out", "session", name, "err", err)
			}
		}
	}
	s.lacking = lacking
}

// Status tells how the sessions are, by name.
func (s *Speaker) Status() []Status {
	s.running.RLock()
	defer s.running.RUnlock()
	list := []Status{}
	for _, p := range s.ports {
		list = append(list, p.status()...)
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.Session, b.Session) })
	return list
}

// Caches tells how the RPKI caches are.
func (s *Speaker) Caches() []rpki.CacheStatus {
	if s.client == nil {
		return []rpki.CacheStatus{}
	}
	return s.client.Status()
}

// Received lists what the neighbour of a session tells, of what is chosen, and what becomes of it; Sent, what the neighbour is told. ErrNotCarried: the edge does not carry the session out.
func (s *Speaker) Received(name string, c Choice) ([]Route, error) {
	return s.routes(name, c, (*session).received)
}

// Sent is said with Received.
func (s *Speaker) Sent(name string, c Choice) ([]Route, error) {
	return s.routes(name, c, (*session).sent)
}

// ErrNotCarried tells that an edge does not carry a session out.
var ErrNotCarried = errors.New("bgp: the edge does not carry the session out")

func (s *Speaker) routes(name string, c Choice, list func(*session, Choice) ([]Route, error)) ([]Route, error) {
	s.running.RLock()
	defer s.running.RUnlock()
	for _, p := range s.ports {
		if x := p.sessions[name]; x != nil {
			return list(x, c)
		}
	}
	return nil, fmt.Errorf("%w: session %s, edge %s", ErrNotCarried, name, s.cfg.Edge)
}
