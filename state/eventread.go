package state

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// noTenant stands for that of an edge in keys: no tenant has that name.
const noTenant = "-"

func objectEvents(o EventObject) string {
	tenant := o.Tenant
	if tenant == "" {
		tenant = noTenant
	}
	return eventPrefix + tenant + "/" + o.Kind + "/" + url.PathEscape(o.Name) + "/"
}

func eventKey(e *LoggedEvent) string {
	return objectEvents(e.Object) + e.Reason + "/" + strconv.FormatInt(e.First.UnixNano(), 16) + "/" + url.PathEscape(e.Source)
}

// EventFilter chooses events; zero fields choose all.
type EventFilter struct {
	Tenant string      // whose objects they are about
	Object EventObject // what they are about
	Type   EventType
	Source string // the edge, or process, that tells them
}

func (f *EventFilter) has(e *LoggedEvent) bool {
	return (f.Tenant == "" || f.Tenant == e.Object.Tenant) && (f.Object == EventObject{} || f.Object == e.Object) &&
		(f.Type == "" || f.Type == e.Type) && (f.Source == "" || f.Source == e.Source)
}

// prefix is where all that the filter chooses is.
func (f *EventFilter) prefix() string {
	switch {
	case f.Object != EventObject{}:
		return objectEvents(f.Object)
	case f.Tenant != "":
		return eventPrefix + f.Tenant + "/"
	}
	return eventPrefix
}

// Events lists the events of a filter, in the order in which they happened last, and the revision of the list.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]LoggedEvent, int64, error) {
	resp, err := s.client.Get(ctx, f.prefix(), clientv3.WithPrefix())
	if err != nil {
		return nil, 0, fmt.Errorf("state: events: %w", err)
	}
	all := []LoggedEvent{}
	for _, kv := range resp.Kvs {
		if e, ok := s.eventOf(string(kv.Key), kv.Value, kv.ModRevision); ok && f.has(&e) {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b LoggedEvent) int { return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Revision, b.Revision)) })
	return all, resp.Header.Revision, nil
}

// eventRetry is the pause before a watch is made again that ended.
const eventRetry = 500 * time.Millisecond

// WatchEvents tells fn each event of a filter that is stored after a revision, each time that it is, until ctx ends (nil) or fn fails. It makes up for a watch that breaks.
func (s *Store) WatchEvents(ctx context.Context, f EventFilter, after int64, fn func(LoggedEvent) error) error {
	for {
		watch, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		for resp := range s.client.Watch(watch, f.prefix(), clientv3.WithPrefix(), clientv3.WithRev(after+1), clientv3.WithFilterDelete()) {
			for _, ev := range resp.Events {
				if e, ok := s.eventOf(string(ev.Kv.Key), ev.Kv.Value, ev.Kv.ModRevision); ok && f.has(&e) {
					if err := fn(e); err != nil {
						cancel()
						return err
					}
				}
				after = ev.Kv.ModRevision
			}
		}
		cancel()
		retry := time.NewTimer(eventRetry)
		select {
		case <-ctx.Done():
			retry.Stop()
			return nil
		case <-retry.C:
		}
		all, rev, err := s.Events(ctx, f)
		if err != nil {
			continue
		}
		for _, e := range all { // the history may be gone
			if e.Revision > after {
				if err := fn(e); err != nil {
					return err
				}
			}
		}
		after = rev
	}
}

func (s *Store) eventOf(key string, value []byte, revision int64) (LoggedEvent, bool) {
	e, err := decodeEvent(key, value)
	if err != nil {
		s.log.Warn("key in the database is not understood", "key", key, "err", err)
	}
	e.Revision = revision
	return e, err == nil
}

func decodeEvent(key string, value []byte) (LoggedEvent, error) {
	var e LoggedEvent
	if err := json.Unmarshal(value, &e); err != nil {
		return e, fmt.Errorf("%w: %s: %w", ErrCodec, key, err)
	}
	if !strings.HasPrefix(key, objectEvents(e.Object)) {
		return e, fmt.Errorf("%w: key %s holds an event of %s", ErrCodec, key, e.Object)
	}
	return e, nil
}
