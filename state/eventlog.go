package state

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/time/rate"
)

// EventConfig bounds an event log; zero fields take the default.
type EventConfig struct {
	TTL    time.Duration // how long an event is kept after it happened last, whole seconds; 1 h
	Window time.Duration // how long the same again is the same event, of a greater count; 10 min
	Rate   float64       // new events a second of one source about objects of one tenant; 1
	Burst  int           // that come at once; 60
	Known  int           // events that are remembered, to count them; 1024
	Delay  time.Duration // between writes; 500 ms
}

func (c *EventConfig) fill() {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.TTL, time.Hour)
	def(&c.Window, 10*time.Minute)
	def(&c.Delay, 500*time.Millisecond)
	if c.Rate <= 0 {
		c.Rate = 1
	}
	if c.Burst <= 0 {
		c.Burst = 60
	}
	if c.Known <= 0 {
		c.Known = 1024
	}
}

const (
	eventBatch    = 64               // puts of one transaction
	eventTimeout  = 3 * time.Second  // of one transaction
	maxEventPause = 15 * time.Second // between attempts while the database is away
)

// LoggedEvent is what the log has of one event: the same happened Count times, in First … Last.
type LoggedEvent struct {
	First time.Time `json:"first"` // by the clock of the source
	Last  time.Time `json:"last"`
	Count uint64    `json:"count"`
	Note

	Revision int64 `json:"-"` // at which it was stored
}

// EventStats counts since the log was made.
type EventStats struct {
	Noted   uint64 // notes that were taken
	Dropped uint64 // notes that were not: over the rate, no room, or without a reason or an object
	Failed  uint64 // writes that the database did not take; they are tried again
}

// eventLog writes what happened behind: nobody who tells something waits, and what comes too fast is dropped, counted.
//
//	Record ─▶ known (bounded): counts ─▶ dirty ─▶ Run: batches, leased ─▶ /weft/event/
//
// Events are kept for a while under leases that nobody renews and many share (stickyLeases), so that they outlive their source.
type eventLog struct {
	client *clientv3.Client
	cfg    EventConfig
	now    func() time.Time
	log    *slog.Logger
	leases stickyLeases

	mu     sync.Mutex
	known  map[noteID]*LoggedEvent
	dirty  map[*LoggedEvent]struct{}
	limits map[noteOf]*rate.Limiter
	stats  EventStats
	wake   chan struct{} // cap 1: something is dirty
}

// noteID is what is the same in notes of one event.
type noteID struct {
	object         EventObject
	reason, source string
}

// noteOf shares a rate.
type noteOf struct{ source, tenant string }

func newEventLog(client *clientv3.Client, cfg EventConfig, now func() time.Time, log *slog.Logger) *eventLog {
	cfg.fill()
	return &eventLog{
		client: client, cfg: cfg, now: now, log: log,
		known: map[noteID]*LoggedEvent{}, dirty: map[*LoggedEvent]struct{}{}, limits: map[noteOf]*rate.Limiter{}, wake: make(chan struct{}, 1),
	}
}

// Record notes that something happened. It never waits: the note is stored soon, while Run does, or dropped, counted. No store keeps nothing.
func (s *Store) Record(n Note) {
	if s != nil {
		s.events.record(n)
	}
}

// EventStats returns the counters of what this process recorded.
func (s *Store) EventStats() EventStats {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return s.events.stats
}

func (l *eventLog) record(n Note) {
	ok := n.tidy()
	now := l.now().UTC()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok {
		l.stats.Dropped++
		return
	}
	id := noteID{n.Object, n.Reason, n.Source}
	e := l.known[id]
	if e == nil || now.Sub(e.Last) >= l.cfg.Window {
		if !l.allow(noteOf{n.Source, n.Object.Tenant}, now) || !l.room() {
			l.stats.Dropped++
			return
		}
		e = &LoggedEvent{First: now}
		l.known[id] = e
	}
	l.stats.Noted++
	e.Note, e.Last = n, now
	e.Count++
	l.dirty[e] = struct{}{}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// room makes room for an event. False: all that is known is yet to be stored.
func (l *eventLog) room() bool {
	if len(l.known) < l.cfg.Known {
		return len(l.dirty) < l.cfg.Known
	}
	var oldest noteID
	var found *LoggedEvent
	for id, e := range l.known {
		if _, dirty := l.dirty[e]; !dirty && (found == nil || e.Last.Before(found.Last)) {
			oldest, found = id, e
		}
	}
	delete(l.known, oldest)
	return found != nil
}

// allow takes a token of a source for objects of a tenant.
func (l *eventLog) allow(of noteOf, now time.Time) bool {
	limit := l.limits[of]
	if limit == nil {
		if len(l.limits) >= l.cfg.Known {
			l.pruneLimits(now)
		}
		if len(l.limits) >= l.cfg.Known {
			return false
		}
		limit = rate.NewLimiter(rate.Limit(l.cfg.Rate), l.cfg.Burst)
		l.limits[of] = limit
	}
	return limit.AllowN(now, 1)
}

// prune forgets what counts nothing any more.
func (l *eventLog) prune(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.known {
		if _, dirty := l.dirty[e]; !dirty && now.Sub(e.Last) >= l.cfg.Window {
			delete(l.known, id)
		}
	}
	l.pruneLimits(now)
}

// pruneLimits forgets rates that are not used.
func (l *eventLog) pruneLimits(now time.Time) {
	for of, limit := range l.limits {
		if limit.TokensAt(now) >= float64(l.cfg.Burst) {
			delete(l.limits, of)
		}
	}
}

// run stores what is recorded until ctx ends, and then what is left, if the database answers.
func (l *eventLog) run(ctx context.Context) error {
	pause := l.cfg.Delay
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
			defer cancel()
			_ = l.flush(last)
			return nil
		case <-l.wake:
		}
		timer.Reset(pause) // what comes meanwhile is written with it
		select {
		case <-ctx.Done():
			continue
		case <-timer.C:
		}
		if err := l.flush(ctx); err == nil {
			pause = l.cfg.Delay
		} else if ctx.Err() == nil {
			l.log.Debug("events are not stored; it is tried again", "err", err)
			pause = min(2*pause, maxEventPause)
		}
		l.prune(l.now())
	}
}

// flush stores what is dirty. What it could not store is dirty again.
func (l *eventLog) flush(ctx context.Context) error {
	for {
		batch, puts := l.take()
		if len(batch) == 0 {
			return nil
		}
		if err := l.store(ctx, puts); err != nil {
			l.mu.Lock()
			l.stats.Failed++
			for _, e := range batch {
				l.dirty[e] = struct{}{}
			}
			l.mu.Unlock()
			select {
			case l.wake <- struct{}{}:
			default:
			}
			return err
		}
	}
}

// eventPut is what is to be written of an event.
type eventPut struct{ key, value string }

// take takes some of what is dirty.
func (l *eventLog) take() (batch []*LoggedEvent, puts []eventPut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.dirty {
		if len(batch) == eventBatch {
			break
		}
		delete(l.dirty, e)
		value, err := json.Marshal(e)
		if err != nil {
			l.stats.Failed++ // a time beyond the year 9999
			continue
		}
		batch, puts = append(batch, e), append(puts, eventPut{eventKey(e), string(value)})
	}
	return batch, puts
}

func (l *eventLog) store(ctx context.Context, puts []eventPut) error {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	lease, err := l.leases.of(ctx, l.client, l.cfg.TTL, l.now())
	if err != nil {
		return err
	}
	ops := make([]clientv3.Op, len(puts))
	for i, p := range puts {
		ops[i] = clientv3.OpPut(p.key, p.value, clientv3.WithLease(lease))
	}
	if _, err := l.client.Txn(ctx).Then(ops...).Commit(); err != nil {
		l.leases.forget(l.cfg.TTL) // the lease may be gone
		return fmt.Errorf("state: events: %w", advised(err))
	}
	return nil
}
