package state

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/topology"
)

// ErrCompacted: what changed since a revision is not known any more. List again, and go on from there.
var ErrCompacted = errors.New("state: changes since that revision are not kept any more")

// errLost: not all that happened was heard.
var errLost = errors.New("state: changes were compacted before they were heard")

const (
	maxHistory = 100_000         // updates that are kept for those who ask what changed
	hearTime   = 2 * time.Second // that a change of others may take to be heard of, before all is read
)

// history is the newest catalogue and what led to it.
type history struct {
	mu      sync.Mutex
	latest  *Catalogue
	moments []Moment // in order
	updates int      // in them
	since   int64    // all that changed after it is in them
	next    chan struct{}
}

// add takes note of the next catalogue.
func (h *history) add(c *Catalogue, m Moment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moments, h.updates = append(h.moments, m), h.updates+len(m.Updates)
	gone := 0
	for h.updates > maxHistory && gone < len(h.moments) {
		h.updates -= len(h.moments[gone].Updates)
		h.since = h.moments[gone].Revision
		gone++
	}
	clear(h.moments[:gone]) // the array is shared with those who read it: see Since
	h.moments = h.moments[gone:]
	h.publish(c)
}

// restart takes note of a catalogue of which it is not known what led to it.
func (h *history) restart(c *Catalogue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moments, h.updates, h.since = nil, 0, c.Revision
	h.publish(c)
}

func (h *history) publish(c *Catalogue) {
	h.latest = c
	if h.next != nil {
		close(h.next)
		h.next = nil
	}
}

// Catalogue returns the newest catalogue, as far as it is known here: all, while FollowObjects does. nil: nothing is known yet.
func (s *Store) Catalogue() *Catalogue {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	return s.history.latest
}

// Since returns what changed after a revision, in order, and a channel that is closed when there is more. ErrCompacted: that is not known.
func (s *Store) Since(revision int64) ([]Moment, <-chan struct{}, error) {
	h := &s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next == nil {
		h.next = make(chan struct{})
	}
	if revision < h.since {
		return nil, nil, fmt.Errorf("%w: they are since %d", ErrCompacted, h.since)
	}
	i := len(h.moments)
	for i > 0 && h.moments[i-1].Revision > revision {
		i--
	}
	return append([]Moment(nil), h.moments[i:]...), h.next, nil
}

// errFuture: there is no such revision yet. It may be one of a database that was put back to an earlier state.
var errFuture = fmt.Errorf("%w: there is no such revision yet", ErrCompacted)

// CheckRevision returns an error, which is ErrCompacted, if a revision is beyond what the database has by now.
func (s *Store) CheckRevision(ctx context.Context, revision int64) error {
	if c := s.Catalogue(); c != nil && revision <= c.Revision {
		return nil
	}
	resp, err := s.client.Get(ctx, generationKey, clientv3.WithKeysOnly())
	switch {
	case err != nil:
		return fmt.Errorf("state: read revision: %w", err)
	case revision > resp.Header.Revision:
		return fmt.Errorf("%w: the database is at %d", errFuture, resp.Header.Revision)
	}
	return nil
}

// WaitCatalogue returns when the catalogue has everything up to a revision.
func (s *Store) WaitCatalogue(ctx context.Context, revision int64) error {
	h := &s.history
	for {
		h.mu.Lock()
		if h.latest != nil && h.latest.Revision >= revision {
			h.mu.Unlock()
			return nil
		}
		if h.next == nil {
			h.next = make(chan struct{})
		}
		next := h.next
		h.mu.Unlock()
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("state: revision %d is not known here yet: %w", revision, ctx.Err())
		}
	}
}

// heard is what FollowObjects has heard and the catalogue does not have yet.
type heard struct {
	mu       sync.Mutex
	on       bool
	lost     int64   // what happened up to here was not heard whole: what is known must be of here or later
	events   []Event // in order; they stay until the catalogue has them
	revision int64   // all up to here was heard
	more     chan struct{}
}

// wait waits until everything up to a revision was heard; false: it is not.
func (h *heard) wait(ctx context.Context, revision int64) bool {
	timer := time.NewTimer(hearTime)
	defer timer.Stop()
	for {
		h.mu.Lock()
		if !h.on || h.revision >= revision {
			defer h.mu.Unlock()
			return h.on
		}
		if h.more == nil {
			h.more = make(chan struct{})
		}
		more := h.more
		h.mu.Unlock()
		select {
		case <-more:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// hear takes note of events.
func (h *heard) hear(b Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = true
	h.events = append(h.events, b.Events...)
	if len(b.Listed) > 0 { // what is gone is not among the events
		h.lost, h.events = b.Revision, nil
	}
	h.revision = b.Revision
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}

// FollowObjects keeps the catalogue up to date until ctx ends (nil).
func (s *Store) FollowObjects(ctx context.Context) error {
	w := NewWatcher(s.client, s.watches, confPrefix, metaPrefix)
	wake := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return w.Run(ctx, func(b Batch) error {
			s.heard.hear(b)
			select {
			case wake <- struct{}{}:
			default:
			}
			return nil
		})
	})
	g.Go(func() error {
		defer s.heard.forget()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-wake:
			}
			if err := s.catchUp(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("the stored configuration is not understood", "err", err)
			}
		}
	})
	return g.Wait()
}

// forget has nothing be heard.
func (h *heard) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on, h.lost, h.events, h.revision = false, 0, nil, 0
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}

// catchUp has the catalogue have what was heard.
func (s *Store) catchUp(ctx context.Context) error {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if s.desired.catalogue != nil {
		err := s.replay(math.MaxInt64)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errLost) {
			s.log.Warn("a change of the stored configuration is not understood; all of it is read again", "err", err)
		}
		s.desired.catalogue = nil
	}
	if _, err := s.load(ctx, nil); err != nil {
		return err
	}
	return s.replay(math.MaxInt64)
}

// replay has the catalogue have what was heard up to a revision, one revision after the other. What it did not take stays.
func (s *Store) replay(last int64) error {
	h := &s.heard
	for {
		h.mu.Lock()
		lost, events := h.lost, h.events
		h.mu.Unlock()
		switch {
		case lost > s.desired.asOf:
			return errLost
		case len(events) == 0 || events[0].ModRevision > last:
			return nil
		}
		revision := events[0].ModRevision
		n := 1
		for n < len(events) && events[n].ModRevision == revision {
			n++
		}
		if err := s.replayOne(events[:n], revision); err != nil {
			return err
		}
		h.mu.Lock()
		for len(h.events) > 0 && h.events[0].ModRevision <= revision {
			h.events = h.events[1:]
		}
		h.mu.Unlock()
	}
}

// generationBefore is the generation that a change followed; -1: its value does not say.
func generationBefore(value []byte) int64 {
	before, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return -1
	}
	return before
}

// replayOne has the catalogue have what happened at one revision, unless it does already.
func (s *Store) replayOne(events []Event, revision int64) error {
	if revision <= s.desired.asOf {
		return nil
	}
	c := s.desired.catalogue
	next := &Catalogue{Revision: revision, order: c.order.Clone()}
	m := Moment{Revision: revision}
	var put []*topology.Object
	var del []topology.Ref
	top, before := s.desired.top, int64(-1)
	for _, e := range events {
		if e.Key == generationKey {
			before = generationBefore(e.Value)
		}
		if !strings.HasPrefix(e.Key, confPrefix) {
			continue
		}
		r, err := parseConfKey(e.Key)
		if err != nil {
			return err
		}
		u := Update{Ref: r, Before: c.Get(r)}
		if e.Deleted {
			del = append(del, r)
			next.order.Delete(pivot(r))
		} else {
			o, err := decodeObject(e.Key, e.Value)
			if err != nil {
				return err
			}
			u.After = newEntry(o, e.ModRevision, e.Value)
			put = append(put, o)
			next.order.ReplaceOrInsert(u.After)
			top = max(top, o.Status.ID)
		}
		m.Updates = append(m.Updates, u)
	}
	if len(m.Updates) == 0 { // of other data
		return nil
	}
	if before != s.desired.generation { // one between the two was not heard
		return errLost
	}
	var err error
	if next.Set, err = c.Set.Apply(put, del); err != nil {
		return err
	}
	s.desired = desired{catalogue: next, generation: revision, asOf: revision, top: top}
	s.history.add(next, m)
	return nil
}
