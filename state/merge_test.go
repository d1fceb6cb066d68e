package state

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// progressTo is etcd's word that all watches of the stream have been told everything up to a revision.
func progressTo(rev int64) *pb.WatchResponse {
	return &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: rev}, WatchId: clientv3.InvalidWatchID}
}

func put(id int64, key string, rev int64) *pb.WatchResponse {
	return &pb.WatchResponse{
		Header: &pb.ResponseHeader{Revision: 99}, WatchId: id, // the server's revision says nothing of this watch
		Events: []*mvccpb.Event{{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: rev}}},
	}
}

func created(id int64) *pb.WatchResponse {
	return &pb.WatchResponse{Header: &pb.ResponseHeader{}, WatchId: id, Created: true}
}

// revisions lists a batch's events.
func revisions(b Batch) []int64 {
	var out []int64
	for _, e := range b.Events {
		out = append(out, e.ModRevision)
	}
	return out
}

// mergeTest drives a merge as the follower does.
type mergeTest struct {
	*testing.T
	*merge
}

func (m mergeTest) say(responses ...*pb.WatchResponse) {
	m.Helper()
	for _, r := range responses {
		if _, err := m.response(r); err != nil {
			m.Fatal(err)
		}
	}
}

// listed answers what was created with a listing at a revision.
func (m mergeTest) listed(rev int64, events ...int64) {
	l := listing{watches: m.unlisted, revision: rev}
	for _, w := range m.unlisted {
		var all []Event
		for _, r := range events {
			all = append(all, Event{Prefix: w.prefix, Key: w.prefix, ModRevision: r})
		}
		l.contents = append(l.contents, all)
	}
	m.unlisted = nil
	m.contents(l)
}

func (m mergeTest) want(rev int64, events ...int64) Batch {
	m.Helper()
	b, ok := m.take()
	if d := cmp.Diff(events, revisions(b)); !ok || b.Revision != rev || d != "" {
		m.Errorf("batch to %d (%v), want %d: %s", b.Revision, ok, rev, d)
	}
	return b
}

func (m mergeTest) nothing() {
	m.Helper()
	if b, ok := m.take(); ok {
		m.Errorf("batch %+v, want none yet", b)
	}
}

// started returns a merge of two prefixes that has delivered up to revision 10.
func started(t *testing.T) mergeTest {
	t.Helper()
	m := mergeTest{t, newMerge(func(key string) need {
		switch {
		case strings.HasPrefix(key, "/b/calm/"):
			return calmly
		case strings.HasPrefix(key, "/b/late/"):
			return nothing
		}
		return atOnce
	}, "/a/", "/b/")}
	if n := len(m.restart()); n != 2 {
		t.Fatalf("%d watches requested", n)
	}
	m.say(created(1))
	m.listed(8, 3)
	m.say(progressTo(9)) // asked for before the second watch was there
	m.nothing()
	m.say(created(2))
	m.listed(10, 7)
	if m.lacks(0) != atOnce {
		t.Error("etcd is not to be asked how far it is")
	}
	if m.asked = true; m.lacks(0) != nothing {
		t.Error("etcd is asked again while the answer is on its way")
	}
	m.say(progressTo(10))
	m.want(10, 3, 7)
	return m
}

// id is the number of a prefix's watch.
func (m mergeTest) id(prefix string) int64 { return m.watches[prefix].id }

func TestMergeKeepsOrder(t *testing.T) {
	m := started(t)
	a, b := m.id("/a/"), m.id("/b/")
	m.say(put(a, "/a/1", 13), put(b, "/b/1", 11), put(b, "/b/2", 12), put(b, "/b/3", 14))
	m.nothing()
	if m.lacks(0) != atOnce {
		t.Error("what has come is not asked for")
	}
	m.say(progressTo(12))
	m.want(12, 11, 12)
	m.say(progressTo(20))
	m.want(20, 13, 14)
	m.nothing()
	if m.lacks(20) != nothing || m.lacks(21) != atOnce {
		t.Error("asks for 20, which is there, or not for 21, which is not")
	}
}

// A prefix that joins is listed after its watch was created; what came in between is not told twice, and nothing is left out.
func TestMergeJoins(t *testing.T) {
	m := started(t)
	m.create(m.add("/c/", false))
	c := m.id("/c/")
	m.say(put(m.id("/a/"), "/a/1", 12), created(c), put(c, "/c/1", 13), put(c, "/c/2", 15))
	m.say(progressTo(12)) // the others do not wait for it
	m.want(12, 12)
	m.listed(14, 2, 13)
	m.nothing()
	m.say(progressTo(13))
	if b := m.want(13); b.Listed != nil {
		t.Errorf("listing of 14 is in the batch to 13: %+v", b)
	}
	m.say(put(c, "/c/3", 14), put(c, "/c/4", 17), progressTo(16))
	if b := m.want(16, 2, 13, 15); len(b.Listed) != 1 {
		t.Errorf("listed %v", b.Listed)
	}
	m.say(progressTo(17))
	m.want(17, 17)

	m.say(put(c, "/c/5", 18), put(m.id("/a/"), "/a/2", 18))
	if r := m.remove("/c/"); r.GetCancelRequest().GetWatchId() != c {
		t.Errorf("request %v, want that the watch is cancelled", r)
	}
	m.say(put(c, "/c/6", 19), progressTo(19))
	if b := m.want(19, 18); !cmp.Equal(b.Dropped, []string{"/c/"}) {
		t.Errorf("dropped %v", b.Dropped)
	}
}

// A prefix whose history was compacted holds up the others until it is listed again.
func TestMergeRelists(t *testing.T) {
	m := started(t)
	m.restart()
	a, b := m.id("/a/"), m.id("/b/")
	m.say(created(a), created(b), put(b, "/b/1", 12), &pb.WatchResponse{WatchId: a, Canceled: true, CompactRevision: 11}, progressTo(31))
	if b, ok := m.take(); ok || m.lacks(50) != nothing {
		t.Errorf("goes on without the prefix: %+v", b)
	}
	m.say(created(m.id("/a/")), progressTo(33))
	m.nothing()
	m.listed(35, 32)
	m.nothing()
	m.say(progressTo(34))
	m.nothing()
	m.say(progressTo(36))
	if b := m.want(36, 32, 12); !cmp.Equal(b.Listed, []string{"/a/"}) {
		t.Errorf("listed %v", b.Listed)
	}
}

// What is of no hurry waits for what is, and all are in one batch then.
func TestMergeCalm(t *testing.T) {
	m := started(t)
	a, b := m.id("/a/"), m.id("/b/")
	m.say(put(b, "/b/late/1", 11))
	if n := m.lacks(0); n != nothing {
		t.Errorf("need %d of keys that wait for others alone", n)
	}
	m.say(put(b, "/b/calm/1", 12))
	if n := m.lacks(0); n != calmly {
		t.Errorf("need %d of calm keys alone", n)
	}
	if n := m.lacks(12); n != atOnce {
		t.Errorf("need %d of a calm key that somebody waits for", n)
	}
	m.say(put(a, "/a/1", 13))
	if n := m.lacks(0); n != atOnce {
		t.Errorf("need %d of a calm key and another", n)
	}
	m.say(progressTo(13))
	m.want(13, 11, 12, 13)
	if n := m.lacks(0); n != nothing {
		t.Errorf("need %d of nothing", n)
	}
}
