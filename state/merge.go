package state

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// watch is one prefix and its watch on the present stream.
//
//	requested ──created──▶ unlisted ──listed──▶ current ──delivered──▶ current, part
//	    ▲                                          │ the stream breaks (resume), or history was compacted (list again)
//	    └──────────────────────────────────────────┘
type watch struct {
	prefix  string
	id      int64   // on the stream; 0: none
	part    bool    // of every batch: fixed, or delivered once
	current bool    // created and listed
	fresh   bool    // the contents have not been delivered yet
	from    int64   // revision of the listing, or that it resumes from: what comes is newer
	events  []Event // fresh: the contents, then what came since. Before the listing: what came since the creation
}

// merge puts the watches of several prefixes back in the order of revisions.
type merge struct {
	watches  map[string]*watch
	byID     map[int64]*watch
	lastID   int64
	late     map[*watch]struct{} // part of every batch, and not current: an answer to a progress request says nothing of them
	unlisted []*watch            // created, to be listed
	ready    map[*watch]struct{} // current and fresh: to be delivered
	dropped  []string
	pending  []Event // of parts, beyond revision; in order per prefix
	progress int64   // all that is current is complete up to here
	revision int64   // delivered
	asked    bool    // a progress answer is on its way
	hurry    func(key string) need
	urgent   int64 // the last revision of what has come and is to be told at once
	calm     int64 // and some time
}

// need is how much it matters to know how far etcd is.
type need uint8

const (
	nothing need = iota // it is known, or asked; of a change: it is told with the next one, or when etcd has been silent for watchSilence
	calmly              // some time: changes wait for others
	atOnce
)

func newMerge(hurry func(key string) need, fixed ...string) *merge {
	if hurry == nil {
		hurry = func(string) need { return atOnce }
	}
	m := &merge{hurry: hurry, watches: map[string]*watch{}, byID: map[int64]*watch{}, late: map[*watch]struct{}{}, ready: map[*watch]struct{}{}}
	for _, p := range fixed {
		m.add(p, true)
	}
	return m
}

func (m *merge) add(prefix string, fixed bool) *watch {
	w := &watch{prefix: prefix, part: fixed, fresh: true}
	m.watches[prefix] = w
	return w
}

// any is a prefix that is followed; empty: there is none.
func (m *merge) any() string {
	for p := range m.watches {
		return p
	}
	return ""
}

// remove forgets a prefix and returns the request that ends its watch.
func (m *merge) remove(prefix string) *pb.WatchRequest {
	w := m.watches[prefix]
	delete(m.watches, prefix)
	delete(m.byID, w.id)
	delete(m.late, w)
	delete(m.ready, w)
	m.unlisted = slices.DeleteFunc(m.unlisted, func(u *watch) bool { return u == w })
	m.pending = slices.DeleteFunc(m.pending, func(e Event) bool { return e.Prefix == prefix })
	if w.part {
		m.dropped = append(m.dropped, prefix)
	}
	if w.id == 0 {
		return nil
	}
	return cancelWatch(w.id)
}

func cancelWatch(id int64) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
}

// create returns the request for a watch: from what was delivered last, or, before a listing, from now on. One that begins after that would keep etcd from saying how far it is until there is
// more, and what says nothing seems to hang.
func (m *merge) create(w *watch) *pb.WatchRequest {
	m.lastID++
	w.id, w.current = m.lastID, false
	m.byID[w.id] = w
	delete(m.ready, w)
	r := &pb.WatchCreateRequest{Key: []byte(w.prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(w.prefix)), WatchId: w.id}
	if w.fresh {
		w.events, w.from = nil, 0
	} else {
		r.StartRevision, w.from = m.revision, m.revision
	}
	if w.part {
		m.late[w] = struct{}{}
	}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}
}

// restart begins on a new stream.
func (m *merge) restart() []*pb.WatchRequest {
	clear(m.byID)
	clear(m.late)
	m.unlisted, m.pending, m.progress, m.asked, m.urgent, m.calm = nil, nil, m.revision, false, 0, 0
	requests := make([]*pb.WatchRequest, 0, len(m.watches))
	for _, p := range slices.Sorted(maps.Keys(m.watches)) {
		requests = append(requests, m.create(m.watches[p]))
	}
	return requests
}

// response takes what etcd says, and returns requests that follow from it.
func (m *merge) response(r *pb.WatchResponse) (again []*pb.WatchRequest, err error) {
	if r.WatchId == clientv3.InvalidWatchID {
		if r.Canceled {
			return nil, fmt.Errorf("state: watch refused: %s", r.CancelReason)
		}
		if m.asked = false; len(m.late) == 0 {
			m.progress = max(m.progress, r.Header.GetRevision())
		}
		return nil, nil
	}
	w := m.byID[r.WatchId]
	switch {
	case w == nil: // left
	case r.Canceled && r.CompactRevision != 0:
		delete(m.byID, w.id)
		m.pending = slices.DeleteFunc(m.pending, func(e Event) bool { return e.Prefix == w.prefix })
		m.unlisted = slices.DeleteFunc(m.unlisted, func(u *watch) bool { return u == w })
		w.fresh = true
		// A watch that is over holds up progress answers until it is cancelled.
		return []*pb.WatchRequest{cancelWatch(r.WatchId), m.create(w)}, nil
	case r.Canceled:
		return nil, errors.Join(errWatchClosed, errors.New(r.CancelReason))
	case r.Created && w.fresh:
		m.unlisted = append(m.unlisted, w)
	case r.Created:
		w.current = true
		delete(m.late, w)
	default:
		m.events(w, r.Events)
	}
	return nil, nil
}

var errWatchClosed = errors.New("state: watch ended")

func (m *merge) events(w *watch, events []*mvccpb.Event) {
	to := &m.pending
	if w.fresh {
		to = &w.events
	}
	for _, e := range events {
		if e.Kv.ModRevision <= w.from {
			continue // known
		}
		ev := Event{Prefix: w.prefix, Key: string(e.Kv.Key), ModRevision: e.Kv.ModRevision, Deleted: e.Type == mvccpb.Event_DELETE}
		if !ev.Deleted {
			ev.Value = e.Kv.Value
		}
		switch m.hurry(ev.Key) {
		case calmly:
			m.calm = max(m.calm, ev.ModRevision)
		case atOnce:
			m.urgent = max(m.urgent, ev.ModRevision)
		}
		*to = append(*to, ev)
	}
}

// contents takes a listing.
func (m *merge) contents(l listing) {
	for i, w := range l.watches {
		if m.byID[w.id] != w || !w.fresh {
			continue // left meanwhile
		}
		since := slices.DeleteFunc(w.events, func(e Event) bool { return e.ModRevision <= l.revision })
		w.events, w.from, w.current = append(l.contents[i], since...), l.revision, true
		delete(m.late, w)
		m.ready[w] = struct{}{}
	}
}

// lacks is how much etcd is to be asked how far it is: something has come, or is wanted, that is beyond what is known to be complete.
func (m *merge) lacks(wanted int64) need {
	if m.asked || len(m.late) > 0 {
		return nothing
	}
	wanted = max(wanted, m.urgent)
	for w := range m.ready {
		wanted = max(wanted, w.from)
	}
	switch {
	case m.progress < wanted:
		return atOnce
	case m.progress < m.calm:
		return calmly
	}
	return nothing
}

// take returns what is complete, if that is more than before.
func (m *merge) take() (Batch, bool) {
	if len(m.late) > 0 || m.progress == 0 {
		return Batch{}, false
	}
	b := Batch{Revision: m.progress, Dropped: m.dropped}
	for w := range m.ready {
		switch {
		case w.from <= m.progress:
			b.Listed = append(b.Listed, w.prefix)
		case w.part:
			return Batch{}, false // what is known of it is not up to date any more
		}
	}
	if m.progress <= m.revision && len(b.Dropped)+len(b.Listed) == 0 {
		return Batch{}, false
	}
	m.revision, m.dropped = m.progress, nil
	slices.Sort(b.Listed)
	for _, p := range b.Listed {
		w := m.watches[p]
		contents, since := w.events, []Event(nil)
		if i := slices.IndexFunc(w.events, func(e Event) bool { return e.ModRevision > w.from }); i >= 0 {
			contents, since = w.events[:i], w.events[i:]
		}
		b.Events = append(b.Events, contents...)
		m.pending = append(m.pending, since...)
		w.fresh, w.part, w.events = false, true, nil
		delete(m.ready, w)
	}
	slices.SortStableFunc(m.pending, func(a, b Event) int { return int(a.ModRevision - b.ModRevision) })
	n := len(m.pending)
	if i := slices.IndexFunc(m.pending, func(e Event) bool { return e.ModRevision > m.revision }); i >= 0 {
		n = i
	}
	b.Events = append(b.Events, m.pending[:n]...)
	m.pending = append(m.pending[:0], m.pending[n:]...)
	return b, true
}
