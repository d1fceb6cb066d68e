package vpn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/state"
)

// Config describes a keeper.
type Config struct {
	Edge      string
	Store     *state.Store
	Interface string                                                       // of the edge, as bindings name it, at which its switch has the data port
	Open      func() (Port, error)                                         // opens the agent's end of the data port; nil: there is none, and the edge holds no VPN
	Seal      *Seal                                                        // nil: none was given, and the edge holds no VPN
	Secret    func(tenant, name string) (string, error)                    // a preshared key of a tenant's
	UIDs      UIDs                                                         // of daemons
	Lookup    func(ctx context.Context, host string) ([]netip.Addr, error) // of peers' names; nil: the system's
	Log       *slog.Logger
}

// Keeper holds VPNs for an edge, those of which it gets the lock.
type Keeper struct {
	cfg  Config
	wake chan struct{}
	uids uids

	mu      sync.Mutex
	live    bool // the database has the edge
	records map[string]state.VPNRecord
	sites   map[string]*site
	counts  map[string]*counts // of VPNs that the edge may have, or might: they outlive sites
	trunk   *trunk             // nil: it is not open
	problem string             // why not
}

// New returns a keeper that does nothing until Run.
func New(cfg Config) *Keeper {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Secret == nil {
		cfg.Secret = func(string, string) (string, error) { return "", errors.New("the edge has no secrets") }
	}
	k := &Keeper{cfg: cfg, wake: make(chan struct{}, 1), uids: uids{of: cfg.UIDs}, sites: map[string]*site{}, counts: map[string]*counts{}}
	switch {
	case cfg.Open == nil:
		k.problem = "the edge has no data port for VPNs: vpn.interface and vpn.device of its agent's configuration"
	case cfg.Seal == nil:
		k.problem = "the edge has no key to open keys with: vpn.keyFile of its agent's configuration"
	default:
		k.problem = "the data port is not open yet"
	}
	return k
}

// Live says whether the database has the edge: without that it holds no VPN. It does not wait.
func (k *Keeper) Live(live bool) {
	k.mu.Lock()
	k.live = live
	k.mu.Unlock()
	k.poke()
}

func (k *Keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// reopen is how long a data port that can't be opened, or was lost, waits to be tried again.
const reopen = 2 * time.Second

// Run holds VPNs until ctx ends. It gives all back before it returns.
func (k *Keeper) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return k.cfg.Store.WatchVPNs(ctx, func(all map[string]state.VPNRecord) {
			k.mu.Lock()
			k.records = all
			k.mu.Unlock()
			k.poke()
		})
	})
	if k.cfg.Open == nil || k.cfg.Seal == nil {
		return g.Wait()
	}
	sweep(k.cfg.Log)
	g.Go(func() error {
		for ctx.Err() == nil {
			err := k.withPort(ctx)
			if ctx.Err() != nil {
				break
			}
			k.fail(fmt.Sprintf("the data port: %v", err))
			k.cfg.Log.Warn("the data port of VPNs does not work; trying again", "err", err, "in", reopen)
			t := time.NewTimer(reopen)
			select {
			case <-ctx.Done():
			case <-t.C:
			}
			t.Stop()
		}
		return nil
	})
	return g.Wait()
}

func (k *Keeper) fail(problem string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.problem, k.trunk = problem, nil
}

// withPort holds VPNs as long as the data port works.
func (k *Keeper) withPort(ctx context.Context) error {
	port, err := k.cfg.Open()
	if err != nil {
		return err
	}
	t := newTrunk(port)
	k.mu.Lock()
	k.trunk, k.problem = t, ""
	k.mu.Unlock()
	down, stop := context.WithCancel(context.WithoutCancel(ctx)) // the port outlives the sites
	lost, cancel := context.WithCancelCause(ctx)
	var taking sync.WaitGroup
	taking.Go(func() { cancel(t.run(down)) })
	k.settle(lost, t)
	stop()
	taking.Wait()
	cancel(nil)
	return context.Cause(lost)
}

// settle has a site run for each VPN that the edge may have, until ctx ends; then it waits for all.
func (k *Keeper) settle(ctx context.Context, t *trunk) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		k.mu.Lock()
		for name, r := range k.records {
			s, may := k.sites[name], r.Site != nil && r.Site.May(k.cfg.Edge)
			if s == nil && may && k.live {
				if k.counts[name] == nil {
					k.counts[name] = new(counts)
				}
				s = newSite(k, t, r, k.counts[name])
				k.sites[name] = s
				running.Go(func() { s.run(ctx) })
			}
			if s != nil {
				s.update(r, may && k.live)
			}
		}
		for name, s := range k.sites {
			if _, there := k.records[name]; !there {
				s.update(state.VPNRecord{}, false)
			}
			if s.over() {
				delete(k.sites, name)
				k.poke() // it may be wanted again
			}
		}
		maps.DeleteFunc(k.counts, func(name string, _ *counts) bool {
			_, there := k.records[name]
			return !there
		})
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			running.Wait()
			k.mu.Lock()
			clear(k.sites)
			k.mu.Unlock()
			return
		case <-k.wake:
		}
	}
}

// Status tells how the VPNs are that the edge may have, by name.
func (k *Keeper) Status() []Status {
	list := []Status{}
	held := map[string]*site{} // to be asked when others do not wait for that
	k.mu.Lock()
	for name, r := range k.records {
		if r.Site == nil || !r.Site.May(k.cfg.Edge) {
			continue
		}
		s := Status{VPN: name, Type: r.Site.Spec.TypeOr(), VPort: r.Site.Private.Name, State: Standby, Transport: TransportOf(r.Site), MTU: r.Site.Spec.MTUOr()}
		if r.Key != nil {
			s.PublicKey = r.Key.Public
		}
		if r.Lock != nil {
			s.Holder, s.Since = r.Lock.Edge, r.Lock.Since
		}
		if c := k.counts[name]; c != nil {
			s.Drops, s.Takeovers = c.read(), c.takes.Load()
		}
		switch site := k.sites[name]; {
		case k.problem != "":
			s.State, s.Problem = Down, k.problem
		case !k.live:
			s.State, s.Problem = Down, "the database does not have the edge"
		case site != nil:
			held[name] = site
		}
		list = append(list, s)
	}
	k.mu.Unlock()
	for i := range list {
		if site := held[list[i].VPN]; site != nil {
			site.status(&list[i])
		}
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.VPN, b.VPN) })
	return list
}
