package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// EdgeInfo is what the others need to know of an edge. It is stored without a lease: an edge whose agent is away goes on forwarding.
type EdgeInfo struct {
	ID        string       `json:"id"`
	VTEPs     []netip.Addr `json:"vteps"`              // underlay addresses; the identity is ID (E12)
	Encaps    []string     `json:"encaps"`             // in order of preference: vxlan, geneve, gre
	Multicast netip.Prefix `json:"multicast,omitzero"` // of the underlay, by whose addresses it takes frames for sets of vports (E10)
	MTU       int          `json:"mtu"`                // of the underlay, bytes of IP
	Version   string       `json:"version,omitempty"`
	Status    string       `json:"status,omitempty"` // where the agent can be asked for its status: http://HOST:PORT, https://HOST:PORT or unix:/PATH
	Level     int          `json:"level,omitempty"`  // highest cluster feature level that it can do
	Run       int64        `json:"run,omitempty"`    // its name in what it owns: Store.NewRun
}

// Edge is a live edge as the database knows it.
type Edge struct {
	EdgeInfo
	Progress
}

// Progress is how far a live edge is.
type Progress struct {
	Ack
	Liveness
}

// Ack is what an edge has acknowledged. Each change of the configuration has all edges write it, so that the stores of other edges do not follow it: they have the zero Ack.
type Ack struct {
	Applied int64  `json:"applied"` // revision of the configuration
	Lacks   []Lack `json:"lacks,omitempty"`
}

// Liveness is what others need to know of a live edge.
type Liveness struct {
	Target string `json:"target,omitempty"` // why its target can not be programmed now; empty: it can
}

// Lack is something of the configuration that an edge can not do though it has acknowledged it.
type Lack struct {
	Tenant string `json:"tenant,omitempty"` // whose it is; "": everybody's
	Object string `json:"object"`           // such as vport/acme/web
	Why    string `json:"why"`
}

func (l Lack) String() string { return l.Object + ": " + l.Why }

func (p Progress) equal(o Progress) bool { return p.Liveness == o.Liveness && p.Ack.equal(o.Ack) }

func (a Ack) equal(o Ack) bool { return a.Applied == o.Applied && slices.Equal(a.Lacks, o.Lacks) }

func (i EdgeInfo) check() error {
	if i.ID == "" || strings.ContainsAny(i.ID, "/ ") {
		return fmt.Errorf("state: edge id %q: a name without slash or space would do", i.ID)
	}
	for _, a := range i.VTEPs {
		if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() || a.Is4In6() {
			return fmt.Errorf("state: edge %s: vtep %v: a unicast address would do", i.ID, a)
		}
	}
	return nil
}

const (
	defaultEdgeTTL   = 10 * time.Second
	registerRetry    = 200 * time.Millisecond // doubled each time
	maxRegisterRetry = 2 * time.Second
	leaveTimeout     = 2 * time.Second
)

// EdgeConfig tunes a Registration. The callbacks may be nil; they are called from Run's goroutine, in order, and must return soon.
type EdgeConfig struct {
	TTL  time.Duration // of the liveness lease, whole seconds; 10 s
	Live func()        // registered, at first and again
	// Lost: the lease ran out, or may have as far as this side can tell: the VPN stops, BGP routes are withdrawn, NAT blocks freeze.
	Lost func(error)
	// Fence: another agent that acts for the edge takes it, too (ErrEdgeTaken). The zero Fence: none.
	Fence Fence
	Log   *slog.Logger
}

// Registration keeps an edge in the database while Run does.
//
//	            grant + put                 lease gone, key deleted, no answer for TTL·5/6
//	absent ───────────────────▶ live (Live) ──────────────────────────────────────────▶ absent (Lost), and again
//	                             │ another process put the key                 ctx ends: lease revoked
//	                             └────────────────────────▶ ErrEdgeTaken (Lost)
type Registration struct {
	leaseKeeper
	info  EdgeInfo
	cfg   EdgeConfig
	lease *atomic.Int64 // where others find it while the edge is live

	mu    sync.Mutex
	live  bool
	at    Progress
	moved chan struct{} // at changed
}

// NewRegistration returns the registration of an edge; it works while Run does.
func NewRegistration(client *clientv3.Client, info EdgeInfo, cfg EdgeConfig) (*Registration, error) {
	if err := info.check(); err != nil {
		return nil, err
	}
	if cfg.TTL < time.Second {
		cfg.TTL = defaultEdgeTTL
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Registration{
		leaseKeeper: leaseKeeper{client, cfg.TTL, "edge " + info.ID}, info: info, cfg: cfg, lease: new(atomic.Int64), moved: make(chan struct{}, 1),
	}, nil
}

// IsLive reports whether the lease holds, as far as this side can tell.
func (r *Registration) IsLive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live
}

// GoOn has the edge own what it did under a name that it had before (EdgeInfo.Run). Call it before Run.
func (r *Registration) GoOn(run int64) { r.info.Run = run }

// Ack says that this edge has applied all of the configuration up to revision, and what of it it can not do. It is stored within 100 ms.
func (r *Registration) Ack(revision int64, lacks []Lack) {
	r.progressed(func(at *Progress) { at.Applied, at.Lacks = max(at.Applied, revision), lacks })
}

// Target says why the edge's target can not be programmed now; empty: it can. It is stored within 100 ms.
func (r *Registration) Target(why string) {
	r.progressed(func(at *Progress) { at.Target = why })
}

func (r *Registration) progressed(change func(*Progress)) {
	r.mu.Lock()
	before := r.at
	change(&r.at)
	same := r.at.equal(before)
	r.mu.Unlock()
	if same {
		return
	}
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

func (r *Registration) progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

// Run registers, renews and registers anew until ctx ends (nil) or another process takes the edge (ErrEdgeTaken).
func (r *Registration) Run(ctx context.Context) error {
	pause := registerRetry
	for ctx.Err() == nil {
		stored := r.progress()
		lease, rev, err := r.register(ctx, stored)
		if err == nil {
			pause = registerRetry
			r.setLive(true)
			r.lease.Store(int64(lease))
			if r.cfg.Live != nil {
				r.cfg.Live()
			}
			err = r.hold(ctx, lease, rev, stored)
			r.lease.CompareAndSwap(int64(lease), 0)
			r.setLive(false)
			ended := ctx.Err() != nil
			if !ended && r.cfg.Lost != nil {
				r.cfg.Lost(err) // first of all: etcd may not answer for a while
			}
			r.leave(ctx, lease)
			if ended {
				return nil
			}
		}
		if errors.Is(err, ErrEdgeTaken) {
			return err
		}
		if ctx.Err() == nil {
			r.cfg.Log.Warn("edge is not registered", "err", err)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, maxRegisterRetry)
	}
	return nil
}

func (r *Registration) setLive(live bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = live
}

// register writes the edge's keys under a new lease. The newest registration of an id wins: a restarted agent doesn't wait for its old lease.
func (r *Registration) register(ctx context.Context, at Progress) (clientv3.LeaseID, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.TTL)
	defer cancel()
	value, err := json.Marshal(r.info)
	if err != nil {
		return 0, 0, fmt.Errorf("state: register edge %s: %w", r.info.ID, err)
	}
	grant, err := r.client.Grant(ctx, int64(r.cfg.TTL/time.Second))
	if err != nil {
		return 0, 0, fmt.Errorf("state: register edge %s: lease: %w", r.info.ID, advised(err))
	}
	puts, err := r.puts(grant.ID, Progress{}, at, true)
	var resp *clientv3.TxnResponse
	if err == nil {
		resp, err = r.client.Txn(ctx).If(r.cfg.Fence.conditions()...).Then(append(puts, clientv3.OpPut(infoKey(r.info.ID), string(value)))...).Commit()
	}
	if err == nil && !resp.Succeeded {
		err = r.cfg.Fence.broken()
	}
	if err != nil {
		r.leave(ctx, grant.ID)
		return 0, 0, fmt.Errorf("state: register edge %s: %w", r.info.ID, advised(err))
	}
	return grant.ID, resp.Header.Revision, nil
}

// puts are the writes that bring the database from what it has of the edge to how far it is.
func (r *Registration) puts(lease clientv3.LeaseID, before, at Progress, all bool) (puts []clientv3.Op, err error) {
	put := func(key string, v any) {
		value, failed := json.Marshal(v)
		err = errors.Join(err, failed)
		puts = append(puts, clientv3.OpPut(key, string(value), clientv3.WithLease(lease)))
	}
	if all || before.Liveness != at.Liveness {
		put(liveKey(r.info.ID), at.Liveness)
	}
	if all || !before.Ack.equal(at.Ack) {
		put(ackKey(r.info.ID), at.Ack)
	}
	return puts, err
}

func decodeEdge(key string, value []byte) (EdgeInfo, error) {
	var i EdgeInfo
	if err := json.Unmarshal(value, &i); err != nil {
		return i, fmt.Errorf("%w: key %s: %w", ErrCodec, key, err)
	}
	if infoKey(i.ID) != key {
		return i, fmt.Errorf("%w: key %s holds edge %q", ErrCodec, key, i.ID)
	}
	return i, i.check()
}
