package state

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// RIBSource is a session that learns routes of a router, at an edge. Comparable.
type RIBSource struct {
	Router  topology.DeviceID
	Port    flow.VPortID // of the router: its routes lead there
	Edge    string
	Session string
}

func (s *RIBSource) check() error {
	if s.Router == 0 || !s.Port.IsValid() || s.Edge == "" || s.Session == "" {
		return fmt.Errorf("state: routes of session %q at edge %q, port %d of router %d: all four must be set", s.Session, s.Edge, s.Port, s.Router)
	}
	return nil
}

func ribsOfPort(router topology.DeviceID, port flow.VPortID) string {
	return recordPrefix(router, recordRIB) + port.String() + "/"
}

// prefix is that of the keys of the session's blocks.
func (s *RIBSource) prefix() string {
	return ribsOfPort(s.Router, s.Port) + url.PathEscape(s.Edge) + "/" + url.PathEscape(s.Session) + "/"
}

// boundName is the last part of a block's key: address and length in hex, so that names sort as prefixes of a family do.
func boundName(bound netip.Prefix) string {
	return hex.EncodeToString(append(bound.Addr().AsSlice(), byte(bound.Bits())))
}

// parseRIB reads what follows the record of a key.
func parseRIB(router topology.DeviceID, leaf string) (s RIBSource, bound netip.Prefix, err error) {
	parts := strings.Split(leaf, "/")
	if len(parts) != 4 {
		return s, bound, ErrCodec
	}
	s.Router = router
	if s.Port, err = parsePort(parts[0]); err == nil {
		s.Edge, err = unescaped(parts[1])
	}
	if err == nil {
		s.Session, err = unescaped(parts[2])
	}
	if err != nil {
		return s, bound, err
	}
	bound, err = parseBound(parts[3])
	return s, bound, err
}

func parseBound(name string) (netip.Prefix, error) {
	raw, err := lowerHex(name)
	if err != nil || len(raw) != 5 && len(raw) != 17 {
		return netip.Prefix{}, ErrCodec
	}
	a, _ := netip.AddrFromSlice(raw[:len(raw)-1])
	bound := netip.PrefixFrom(a, int(raw[len(raw)-1]))
	if !bound.IsValid() || bound != bound.Masked() {
		return netip.Prefix{}, ErrCodec
	}
	return bound, nil
}

// unescaped reads a name in the only spelling that we write.
func unescaped(s string) (string, error) {
	name, err := url.PathUnescape(s)
	if err != nil || name == "" || url.PathEscape(name) != s {
		return "", ErrCodec
	}
	return name, nil
}

// RIB keeps what one session learnt in the database while Run does (G2): written behind, in blocks, under the lease of its edge, so that all of it
// goes when the edge's agent dies. While no edge is registered, nothing is written.
type RIB struct {
	store  *Store
	source RIBSource

	mu       sync.Mutex
	pending  map[netip.Prefix]RIBRoute   // what is not in the table yet, one of each destination
	more     map[netip.Prefix][]RIBRoute // others of these, of destinations that are reached several ways
	sweep    ribSweep                    // what is to be done with the table before
	accepted uint64                      // updates
	saved    uint64                      // of these, are in the database
	failed   error                       // why the last attempt to save did not succeed
	stats    RIBStats
	moved    chan struct{} // saved or failed changed: closed and replaced
	wake     chan struct{}

	// Run's:
	table ribTable
	lease clientv3.LeaseID // under which all is stored that is not dirty; 0: nothing is
}

// ribSweep is what becomes of all routes of a table.
type ribSweep uint8

const (
	sweepNone      ribSweep = iota
	sweepMark               // stale from now on
	sweepDropStale          // those that are stale go
	sweepAll                // all go
)

// RIBStats tells about one session's routes.
type RIBStats struct {
	Routes  int // in the table
	Blocks  int // that they are packed in
	Bytes   int // of these
	Pending int // updates that are not in the table yet
	Puts    int // blocks written since the begin
	Deletes int // blocks removed since the begin
}

// NewRIB returns the routes of a session: at first those that are stored of it, all of them stale (see DropStale). One RIB of a source may run at a time.
func (s *Store) NewRIB(source RIBSource) (*RIB, error) {
	if err := source.check(); err != nil {
		return nil, err
	}
	return &RIB{store: s, source: source, pending: map[netip.Prefix]RIBRoute{}, more: map[netip.Prefix][]RIBRoute{}, moved: make(chan struct{}), wake: make(chan struct{}, 1)}, nil
}

// Update takes routes: each replaces what was known of its destination, and one without gateway takes that away. One that is stale is known still, not again: DropStale takes it away. It never waits. None is taken if one of them can not be.
func (r *RIB) Update(routes []RIBRoute) error {
	return r.update(routes, false)
}

// UpdateSets is Update of routes of which those to one destination, which follow each other, are all there together. Those that have a gateway in common are one: the last.
func (r *RIB) UpdateSets(routes []RIBRoute) error {
	return r.update(routes, true)
}

func (r *RIB) update(routes []RIBRoute, sets bool) error {
	for i := range routes {
		if err := routes[i].check(); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, route := range routes {
		if sets && i > 0 && routes[i-1].Dst == route.Dst {
			r.addLocked(route)
			continue
		}
		r.pending[route.Dst] = route
		delete(r.more, route.Dst)
	}
	r.acceptLocked()
	return nil
}

// addLocked adds a route to those of its destination that are pending.
func (r *RIB) addLocked(route RIBRoute) {
	first := r.pending[route.Dst]
	if !route.Via.IsValid() {
		return
	}
	if !first.Via.IsValid() || first.Via == route.Via {
		r.pending[route.Dst] = route
		return
	}
	more := r.more[route.Dst]
	if i := slices.IndexFunc(more, func(o RIBRoute) bool { return o.Via == route.Via }); i >= 0 {
		more[i] = route
		return
	}
	r.more[route.Dst] = append(more, route)
}

func (r *RIBRoute) check() error {
	a := r.Dst.Addr()
	switch {
	case !r.Dst.IsValid() || r.Dst != r.Dst.Masked() || a.Is4In6():
		return fmt.Errorf("state: route to %v: a prefix without host bits would do", r.Dst)
	case !r.Via.IsValid():
		return nil
	case r.Via.Is4() != a.Is4() || r.Via.Is4In6() || r.Via.Zone() != "" || r.Via.IsMulticast() || r.Via.IsUnspecified():
		return fmt.Errorf("state: route to %v via %v: a unicast address of the same family would do", r.Dst, r.Via)
	}
	return nil
}

// acceptLocked takes note of an update.
func (r *RIB) acceptLocked() {
	r.accepted++
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Clear takes all routes away: the session is over.
func (r *RIB) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.pending)
	clear(r.more)
	r.sweep = sweepAll
	r.acceptLocked()
}

// MarkStale keeps all routes for a session that restarts (RFC 4724 section 4.2): DropStale takes those away that it did not announce again.
func (r *RIB) MarkStale() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for dst, route := range r.pending {
		route.Stale = route.Via.IsValid()
		r.pending[dst] = route
	}
	for _, more := range r.more {
		for i := range more {
			more[i].Stale = true
		}
	}
	if r.sweep == sweepNone || r.sweep == sweepDropStale {
		r.sweep = sweepMark
	}
	r.acceptLocked()
}

// DropStale takes away what is stale: the session has told all that it has (End-of-RIB), or took too long for it.
func (r *RIB) DropStale() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for dst, route := range r.pending {
		r.dropStaleLocked(dst, route)
	}
	switch r.sweep {
	case sweepNone:
		r.sweep = sweepDropStale
	case sweepMark:
		r.sweep = sweepAll // of what is in the table; what came since is pending
	}
	r.acceptLocked()
}

// dropStaleLocked takes away what is stale of the pending routes to a destination.
func (r *RIB) dropStaleLocked(dst netip.Prefix, first RIBRoute) {
	more := slices.DeleteFunc(r.more[dst], func(o RIBRoute) bool { return o.Stale })
	if first.Stale {
		first = RIBRoute{Dst: dst}
		if len(more) > 0 {
			first, more = more[0], more[1:]
		}
		r.pending[dst] = first
	}
	if len(more) == 0 {
		delete(r.more, dst)
	} else {
		r.more[dst] = more
	}
}

// Source is the session.
func (r *RIB) Source() RIBSource { return r.source }

// Stats returns the counters.
func (r *RIB) Stats() RIBStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Pending = len(r.pending)
	return s
}

// Sync returns when all that was taken before the call is in the database.
func (r *RIB) Sync(ctx context.Context) error {
	r.mu.Lock()
	wanted := r.accepted
	r.mu.Unlock()
	for {
		r.mu.Lock()
		saved, moved, failed := r.saved, r.moved, r.failed
		r.mu.Unlock()
		if saved >= wanted {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("state: routes of session %s are not stored: %w", r.source.Session, ctx.Err()), failed)
		}
	}
}

const (
	ribLag     = 20 * time.Millisecond // from an update to its write, for others to come along
	ribMany    = 1000                  // so many at once: a table is being told, and written when nothing of it came for 5 ribLag, or
	ribTellLag = time.Second           // when it is told since then and there is as much of it as was written before: what is written of a block again is less in all than what is new
	ribMostLag = 10 * time.Second      // or when it is told since then
	ribRetry   = time.Second           // after a write that failed; also how often a new lease is looked for
)

// Run writes until ctx ends; what is stored then goes with the lease. A fence of ctx is that of the writes (WithFence).
func (r *RIB) Run(ctx context.Context) error {
	retry := time.NewTicker(ribRetry)
	defer retry.Stop()
	r.report(r.save(ctx))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			if !r.gather(ctx) {
				return nil
			}
		case <-retry.C:
			if lease := r.store.leaseOf(r.source.Edge); lease == 0 || lease == r.lease && r.table.clean() {
				continue
			}
		}
		r.report(r.save(ctx))
	}
}

// gather waits for what comes with an update; false: ctx ended.
func (r *RIB) gather(ctx context.Context) bool {
	pause := time.NewTimer(ribLag)
	defer pause.Stop()
	for began, before := time.Now(), 0; ; {
		select {
		case <-ctx.Done():
			return false
		case <-pause.C:
		}
		r.mu.Lock()
		n, written := len(r.pending), r.stats.Routes
		r.mu.Unlock()
		waited := time.Since(began)
		if n < ribMany || n == before || waited >= ribTellLag && n >= written || waited >= ribMostLag {
			return true
		}
		before = n
		pause.Reset(5 * ribLag)
	}
}

// report tells Sync and the log how an attempt to save went; told is how many updates it had.
func (r *RIB) report(told uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.failed == nil && !errors.Is(err, errNoLease) {
		r.store.log.Warn("learned routes are not stored; it is tried again", "session", r.source.Session, "err", err)
	}
	if r.failed = err; err == nil {
		r.saved = told
	}
	r.stats.Routes, r.stats.Blocks, r.stats.Bytes = r.table.size()
	close(r.moved)
	r.moved = make(chan struct{})
}

var errNoLease = errors.New("state: no edge is registered")

// save brings the table, and then the database, up to date; it returns how many updates that were.
func (r *RIB) save(ctx context.Context) (told uint64, err error) {
	lease := r.store.leaseOf(r.source.Edge)
	if lease == 0 {
		return 0, errNoLease
	}
	if lease != r.lease {
		if err := r.load(ctx); err != nil {
			return 0, err
		}
		r.lease = lease
	}
	r.mu.Lock()
	pending, more, sweep := r.pending, r.more, r.sweep
	r.pending, r.more, r.sweep, told = make(map[netip.Prefix]RIBRoute), make(map[netip.Prefix][]RIBRoute), sweepNone, r.accepted
	r.mu.Unlock()
	routes := slices.Collect(maps.Values(pending))
	for _, others := range more {
		routes = append(routes, others...)
	}
	r.table.change(sweep, sortedRoutes(slices.Values(routes)))
	return told, r.write(ctx, lease)
}

// load takes note of the blocks that are stored: of an earlier run, or under a lease that was lost. What an earlier run learnt is stale.
func (r *RIB) load(ctx context.Context) error {
	prefix := r.source.prefix()
	contents, _, err := r.store.watcher.read(ctx, []string{prefix})
	if err != nil {
		return fmt.Errorf("state: read routes of session %s: %w", r.source.Session, err)
	}
	found := map[netip.Prefix][]byte{}
	for _, e := range contents[0] {
		if bound, err := parseBound(strings.TrimPrefix(e.Key, prefix)); err == nil {
			found[bound] = e.Value
		}
	}
	r.table.load(found, r.lease == 0)
	return nil
}
