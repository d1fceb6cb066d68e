package rpki

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Cache is where a cache is.
type Cache struct {
	Address string                                          // HOST:PORT
	TLS     func() (*tls.Config, error)                     // nil: plain TCP
	Dial    func(context.Context, string) (net.Conn, error) // nil: TCP
}

// Client keeps what caches tell.
type Client struct {
	table  table
	caches []*cache

	mu      sync.Mutex
	changed func(*Changes)
	noted   func(Event)
}

// Kind is what happened to a cache.
type Kind string

// Kinds.
const (
	CacheUp      Kind = "CacheUp"
	CacheLost    Kind = "CacheLost"    // what it told holds for a while
	CacheExpired Kind = "CacheExpired" // what it told does not hold any more
)

// Event is something that happened to a cache.
type Event struct {
	Cache   string // its address
	Kind    Kind
	Message string // one line
}

// Changes are prefixes of which something is told that was not before, or not any more: what is within them is to be judged again.
type Changes struct{ prefixes *changes }

// Each calls f with each of the prefixes.
func (c *Changes) Each(f func(netip.Prefix)) {
	for p := range c.prefixes.All() {
		f(p)
	}
}

// Len is how many prefixes there are.
func (c *Changes) Len() int { return c.prefixes.Size() }

// Concern reports whether a route to p is to be judged again.
func (c *Changes) Concern(p netip.Prefix) bool { return c.prefixes.LookupPrefix(p) }

// New returns a client of caches, MaxCaches at most, that does nothing until Run.
func New(caches []Cache, log *slog.Logger) *Client {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Client{changed: func(*Changes) {}, noted: func(Event) {}}
	for i, cfg := range caches[:min(len(caches), MaxCaches)] {
		one := &cache{
			number: i, cfg: cfg, table: &c.table, changed: c.tell, note: c.note, log: log.With("cache", cfg.Address),
			status: CacheStatus{Address: cfg.Address, TLS: cfg.TLS != nil, Version: lastVersion, Since: time.Now(), Why: "it was not reached yet"},
		}
		one.status.setTimers(defaultTimers)
		c.caches = append(c.caches, one)
	}
	return c
}

// OnChange has f called with what changes, by several goroutines.
func (c *Client) OnChange(f func(*Changes)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = f
}

// OnEvent has f called with what happens to caches, by several goroutines.
func (c *Client) OnEvent(f func(Event)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noted = f
}

func (c *Client) note(e Event) {
	c.mu.Lock()
	f := c.noted
	c.mu.Unlock()
	f(e)
}

func (c *Client) tell(diff *changes) {
	c.mu.Lock()
	f := c.changed
	c.mu.Unlock()
	f(&Changes{diff})
}

// Run speaks with the caches until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, one := range c.caches {
		all.Go(func() { one.run(ctx) })
	}
	all.Wait()
	return nil
}

// Validate says what the caches say of a route with an origin, and of one that is not valid, why, by one of the VRPs that cover it.
func (c *Client) Validate(p netip.Prefix, origin uint32) (State, VRP) {
	return c.table.Validate(p, origin)
}

// Status tells how the caches are, in the order of New.
func (c *Client) Status() []CacheStatus {
	list := []CacheStatus{}
	for _, one := range c.caches {
		s := one.statusNow()
		s.V4, s.V6 = c.table.of(one.number)
		list = append(list, s)
	}
	return list
}

// open connects to the cache.
func (c *Cache) open(ctx context.Context) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, c.Address)
	}
	if c.TLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", c.Address)
	}
	cfg, err := c.TLS()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", c.Address)
}
