package state

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	patience  = 3 * time.Second  // that calls to a member have waited in vain, in a row, after which it is passed over
	passedFor = 30 * time.Second // until it is tried again
)

// roster keeps a client from members that let calls wait: one that hangs, or whose disk does, holds up every call that it is handed, and gRPC goes on
// handing it its share. Such a member is passed over for a while.
type roster struct {
	log *slog.Logger

	mu     sync.Mutex
	use    func(endpoints ...string) // nil before there is a client
	all    []string                  // endpoints
	late   map[string]time.Duration  // that calls have waited since a member's last answer, by its address
	passed map[string]time.Time      // endpoints that are passed over, and until when
}

func newRoster(cfg ClientConfig) *roster {
	r := &roster{log: cfg.Log, all: cfg.Endpoints, late: map[string]time.Duration{}, passed: map[string]time.Time{}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// serve says how the client is told which endpoints to use.
func (r *roster) serve(use func(endpoints ...string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.use = use
}

// answered takes note that the member at an address did.
func (r *roster) answered(at net.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.late) > 0 {
		delete(r.late, at.String())
	}
	if len(r.passed) > 0 && r.forgiveLocked(time.Now()) {
		r.useLocked()
	}
}

// waited takes note that a call to the member at an address waited in vain.
func (r *roster) waited(at net.Addr, vain time.Duration, now time.Time) {
	endpoint := ""
	if r.outwaited(at, vain) {
		endpoint = r.endpointOf(at)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := r.forgiveLocked(now)
	if endpoint != "" {
		changed = r.passLocked(endpoint, now) || changed
	}
	if changed {
		r.useLocked()
	}
}

// outwaited adds to how long calls waited for the member at an address, and reports whether that is too long; then it begins anew.
func (r *roster) outwaited(at net.Addr, vain time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late[at.String()] += vain
	if r.late[at.String()] < patience {
		return false
	}
	delete(r.late, at.String())
	return true
}

// forgiveLocked ends what has been for long enough, and reports whether there was something.
func (r *roster) forgiveLocked(now time.Time) bool {
	n := len(r.passed)
	maps.DeleteFunc(r.passed, func(_ string, until time.Time) bool { return now.After(until) })
	return len(r.passed) < n
}

// passLocked passes a member over. So that there is always a majority left, others that were passed over before are used again if need be.
func (r *roster) passLocked(endpoint string, now time.Time) bool {
	if len(r.all) < 3 {
		return false
	}
	if 2*(len(r.passed)+1) >= len(r.all) {
		clear(r.passed)
	}
	r.passed[endpoint] = now.Add(passedFor)
	r.log.Warn("a member of the database does not answer, and is passed over for a while", "endpoint", endpoint, "for", passedFor)
	return true
}

// useLocked has the client use the others.
func (r *roster) useLocked() {
	if r.use != nil {
		r.use(slices.DeleteFunc(slices.Clone(r.all), func(e string) bool { _, passed := r.passed[e]; return passed })...)
	}
}

// endpointOf is the endpoint that leads to an address; empty: none that names can be asked for now. It may take a while, with a name server that is away, too: nobody else waits for it.
func (r *roster) endpointOf(at net.Addr) string {
	host, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, endpoint := range r.all {
		u, err := url.Parse(endpoint)
		if err != nil || u.Port() != port {
			continue
		}
		if addrs, err := net.DefaultResolver.LookupHost(ctx, u.Hostname()); err == nil && slices.Contains(addrs, host) {
			return endpoint
		}
	}
	return ""
}
