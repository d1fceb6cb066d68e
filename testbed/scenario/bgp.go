package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// BGP is "bgp HOST serve|stop|start|unplug|plug|up|down|announce|withdraw|learns|forgets …": of a host that is a router with a BGP session of its own, which the other end begins.
type BGP struct {
	Host     string
	Do       string // one of bgpDoes
	Serve    host.BGPConfig
	Prefixes []netip.Prefix // of announce, withdraw, learns and forgets
	Path     []uint32       // of announce: in front of it comes the host's own AS
	Within   time.Duration
}

// bgpDoes are what a step has a router do, or waits for.
var bgpDoes = []string{"serve", "stop", "start", "unplug", "plug", "up", "down", "announce", "withdraw", "learns", "forgets"}

func (p *parser) bgp(w *words) BGP {
	b := BGP{Host: p.hostName(w, "host that is a router"), Do: w.next("what: " + strings.Join(bgpDoes, ", "))}
	switch b.Do {
	case "serve":
		b.Serve = host.BGPConfig{AS: uint32(w.number("as", 0, 1, 1<<32-2)), PeerAS: uint32(w.number("peer", 0, 1, 1<<32-2)), HoldTime: w.number("hold", 0, 3, 65535), BFD: w.duration("bfd", 0)}
		if b.Serve.AS == 0 || b.Serve.PeerAS == 0 {
			w.failHint("such as as=64501 peer=64500", "bgp serve wants as= and peer=")
		}
	case "announce", "withdraw", "learns", "forgets":
		for text := range strings.SplitSeq(w.next("PREFIX,PREFIX…"), ",") {
			prefix, err := parsePrefix(text)
			if err != nil || prefix != prefix.Masked() {
				w.failHint("it is a comma-separated list such as 198.51.100.0/24,2001:db8::/32", "%q is no prefix", text)
			}
			b.Prefixes = append(b.Prefixes, prefix)
		}
		b.Path = list(w, "path", "64510,64511", func(text string) (uint32, error) { as, err := strconv.ParseUint(text, 10, 32); return uint32(as), err })
	case "stop", "start", "unplug", "plug", "up", "down":
	default:
		w.failHint("use one of "+strings.Join(bgpDoes, ", "), "bgp %s %q", b.Host, b.Do)
	}
	b.Within = w.duration("within", defaultWithin)
	return b
}

func (b BGP) within() time.Duration                 { return b.Within }
func (b BGP) run(ctx context.Context, r *run) error { return r.lab.BGP(ctx, b) }

// Routers are the hosts that a step has serve BGP.
func (s *Scenario) Routers() map[string]bool {
	routers := map[string]bool{}
	for i := range s.Legs {
		for _, step := range s.Legs[i].Steps {
			if b, ok := step.Op.(BGP); ok {
				routers[b.Host] = true
			}
		}
	}
	return routers
}

// speaker is a machine that can have a BGP session.
type speaker interface {
	ServeBGP(host.BGPConfig) (*host.BGP, error)
}

// BGP implements Hosts.
func (m *Machines) BGP(ctx context.Context, b BGP) error {
	one, err := m.machine(b.Host)
	if err != nil {
		return err
	}
	if b.Do == "serve" {
		s, ok := one.Machine.(speaker)
		if !ok {
			return fmt.Errorf("%w: host %s is no router: hosts in memory are", ErrLab, b.Host)
		}
		served, err := s.ServeBGP(b.Serve)
		m.mu.Lock()
		one.bgp = served
		m.mu.Unlock()
		return err
	}
	m.mu.Lock()
	router := one.bgp
	m.mu.Unlock()
	if router == nil {
		return fmt.Errorf("%w: host %s has no BGP session: a step «bgp %s serve» comes first", ErrLab, b.Host, b.Host)
	}
	switch b.Do {
	case "stop":
		return router.Stop(ctx)
	case "start":
		return router.Start(ctx)
	case "unplug":
		router.Unplug()
		return nil
	case "plug":
		router.Plug()
		return nil
	case "up", "down":
		return router.Await(ctx, b.Do == "up")
	case "announce", "withdraw":
		return router.Announce(b.Do == "withdraw", b.Path, b.Prefixes...)
	}
	return b.await(ctx, router)
}

// await waits until the router was told all of the prefixes, or none.
func (b BGP) await(ctx context.Context, router *host.BGP) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		learned, err := router.Learned()
		if err != nil {
			return err
		}
		n := 0
		for _, p := range b.Prefixes {
			if slices.Contains(learned, p) {
				n++
			}
		}
		if b.Do == "learns" && n == len(b.Prefixes) || b.Do == "forgets" && n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("bgp %s %s %v: it was told %v", b.Host, b.Do, b.Prefixes, learned)
		case <-tick.C:
		}
	}
}
