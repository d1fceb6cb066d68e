package vpn

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/weft-sdn/weft/state"
)

const (
	lookUpTime    = 2 * time.Second  // that a name server has to answer
	lookUpAgain   = 2 * time.Second  // after one that did not, and twice as long each time after that
	lookUpSeldom  = 30 * time.Second // while a peer that was found does not answer: it may have another address by now
	lookUpsAtOnce = 8
)

// names looks names of peers up beside their tunnel, which does not wait for name servers.
type names struct {
	found  chan found // has room for one of each peer
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	ctx    context.Context
	cancel context.CancelFunc
	busy   chan struct{} // has room for those under way at once
	going  sync.WaitGroup
}

// nameState is how it is with the name of a peer. It is the tunnel's.
type nameState struct {
	host  string // empty: the peer has no name
	port  uint16
	going bool
	fails int
	due   time.Time
}

// found is where a peer may be. addrs nil: it was not found.
type found struct {
	peer  int
	addrs []netip.Addr
}

func newNames(ctx context.Context, lookup func(context.Context, string) ([]netip.Addr, error), peers int) names {
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	return names{found: make(chan found, peers), lookup: lookup, ctx: ctx, cancel: cancel, busy: make(chan struct{}, lookUpsAtOnce)}
}

func (n *names) close() {
	n.cancel()
	n.going.Wait()
}

// place says where a peer may be at first: at its endpoint, or else where it was last.
func (p *remote) place(last *state.VPNLast) error {
	at := netip.AddrPort{}
	if last != nil {
		at = last.Endpoints[p.spec.Name]
	}
	if p.spec.Endpoint != "" {
		host, port, err := net.SplitHostPort(p.spec.Endpoint)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil {
			return fmt.Errorf("peer %s: endpoint %q is not HOST:PORT", p.spec.Name, p.spec.Endpoint) // it was checked
		}
		if a, err := netip.ParseAddr(host); err == nil {
			at = netip.AddrPortFrom(a.Unmap().WithZone(""), uint16(n))
		} else {
			p.name.host, p.name.port = host, uint16(n) // until it is found, where it was last is as good as any
		}
	}
	if at.IsValid() {
		p.at = []netip.AddrPort{at}
	}
	return nil
}

// located tells what was found.
func (w *names) located() <-chan found { return w.found }

// begin begins to look up those names of peers that do not answer that are due. It does not wait.
func (w *names) begin(of []*remote, peers []Peer, now time.Time) {
	for i, p := range of {
		n := &p.name
		if n.host == "" || n.going || now.Before(n.due) || peers[i].Alive(now) {
			continue
		}
		select {
		case w.busy <- struct{}{}:
		default:
			return // the next time
		}
		n.going = true
		w.going.Go(func() {
			ctx, cancel := context.WithTimeout(w.ctx, lookUpTime)
			addrs, err := w.lookup(ctx, n.host)
			cancel()
			if err != nil {
				addrs = nil
			}
			<-w.busy
			w.found <- found{i, addrs}
		})
	}
}

// take takes what was found, and returns where the peer may be; nil: it was not found.
func (n *nameState) take(f found) []netip.AddrPort {
	n.going = false
	if len(f.addrs) == 0 {
		n.due = time.Now().Add(min(lookUpAgain<<min(n.fails, 10), lookUpSeldom))
		n.fails++
		return nil
	}
	n.fails, n.due = 0, time.Now().Add(lookUpSeldom)
	at := make([]netip.AddrPort, len(f.addrs))
	for i, a := range f.addrs {
		at[i] = netip.AddrPortFrom(a.Unmap().WithZone(""), n.port)
	}
	slices.SortFunc(at, netip.AddrPort.Compare) // servers give them in another order each time
	return at
}

// lookUp implements carrier.
func (w *tunnel) lookUp(peers []Peer, now time.Time) { w.begin(w.peers, peers, now) }

// moved implements carrier.
func (w *tunnel) moved(f found) bool {
	p := w.peers[f.peer]
	at := p.name.take(f)
	if at == nil || slices.Equal(at, p.at) || w.status()[f.peer].Alive(time.Now()) { // where it answers it is
		return false
	}
	p.at, p.calls, p.next = at, 0, time.Time{}
	_ = w.device.IpcSet("public_key=" + p.id + "\nupdate_only=true\nendpoint=" + at[0].String() + "\n") // an address and a port
	return true
}
