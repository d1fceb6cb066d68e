package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// fill writes one key until the database has no room for it: all of it is history.
func fill(t *testing.T, c *clientv3.Client) {
	t.Helper()
	value := strings.Repeat("x", 100<<10)
	for range 1000 {
		switch _, err := c.Put(t.Context(), "/fill", value); {
		case errors.Is(err, rpctypes.ErrNoSpace):
			return
		case err != nil:
			t.Fatal(err)
		}
	}
	t.Fatal("100 MB do not fill it")
}

// TestDatabaseFull: a database that has used up its quota refuses writes, and says what to do; what is read stays, and edges stay live. Reclaim makes
// room, and all goes on.
func TestDatabaseFull(t *testing.T) {
	t.Parallel()
	e, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true, Quota: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	cfg := ClientConfig{Endpoints: e.Endpoints()}
	s, _ := openStore(t, Config{Client: cfg})
	rev := apply(t, s, network)
	live, lost := make(chan struct{}, 8), make(chan error, 8)
	r, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{TTL: 6 * time.Second, Live: func() { live <- struct{}{} }, Lost: func(err error) { lost <- err }})
	if err != nil {
		t.Fatal(err)
	}
	running(t, r.Run)
	within(t, live)
	r.Ack(rev, nil)
	untilView(t, s, "e1", func(v *View) bool { return v.Edges.Of("e1").Applied == rev })
	fill(t, s.client)

	_, applied := s.Apply(t.Context(), decode(t, vportYAML("vm3", "bridge/web")))
	_, _, _, learnt := s.LearnMAC(t.Context(), 1, mac(9), 6)
	other, err := NewRegistration(s.client, edgeInfo("e2"), EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, registered := other.register(t.Context(), Progress{})
	for what, err := range map[string]error{"apply": applied, "learn": learnt, "register": registered} {
		if !errors.Is(err, ErrFull) || !strings.Contains(fmt.Sprint(err), "weft etcd reclaim") {
			t.Errorf("%s: %v, want that the database is full, and what would do", what, err)
		}
	}
	if objects, _, err := s.List(t.Context(), "", ""); err != nil || len(objects) != 7 {
		t.Errorf("%d objects, %v", len(objects), err)
	}
	r.Ack(rev+1, nil) // waits until there is room
	renewals(t, s.client, s, 1)
	if d := cmp.Diff(fromScratch(t, s), dump(s.View().Topology)); d != "" || !hasEdge("e1")(s.View()) {
		t.Error(d, s.View().Edges.IDs())
	}

	before, err := Members(t.Context(), cfg)
	if err != nil || len(before) != 1 || !before[0].Full() || !before[0].Leader || before[0].Quota != 2<<20 {
		t.Errorf("members before: %+v, %v", before, err)
	}
	var did strings.Builder
	if err := Reclaim(t.Context(), cfg, func(format string, args ...any) { fmt.Fprintf(&did, format+"\n", args...) }); err != nil {
		t.Fatal(err)
	}
	after, err := Members(t.Context(), cfg)
	if err != nil || len(after) != 1 || after[0].Trouble != nil || after[0].Size >= before[0].Size/2 {
		t.Errorf("members after: %+v, %v; did:\n%s", after, err, &did)
	}
	apply(t, s, vportYAML("vm3", "bridge/web"))
	untilView(t, s, "e1's acknowledgement", func(v *View) bool { return v.Edges.Of("e1").Applied == rev+1 })
	if d := cmp.Diff(fromScratch(t, s), dump(s.View().Topology)); d != "" || s.View().Edges.Len() != 1 {
		t.Error(d, s.View().Edges.IDs())
	}
	select {
	case err := <-lost:
		t.Errorf("the edge was lost: %v", err)
	default:
	}
}

// TestReclaimTooLittle: what is in use is more than the quota: the alarm stays, and the operator is told.
func TestReclaimTooLittle(t *testing.T) {
	e, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true, Quota: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	cfg := ClientConfig{Endpoints: e.Endpoints()}
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := 0; err == nil; i++ {
		_, err = c.Put(t.Context(), fmt.Sprint("/weft/", i), strings.Repeat("x", 100<<10))
	}
	err = Reclaim(t.Context(), cfg, func(string, ...any) {})
	if err == nil || !strings.Contains(err.Error(), "give it a larger one") {
		t.Errorf("reclaimed: %v", err)
	}
	if all, err := Members(t.Context(), cfg); err != nil || !all[0].Full() {
		t.Errorf("members: %+v, %v", all, err)
	}
}

// TestClusterMaintenance: all members are known by one endpoint, those that are away too; the history goes from each, the leader last, and it hands over.
// A member that is lost for good is replaced.
func TestClusterMaintenance(t *testing.T) {
	t.Parallel()
	flavours(t, func(t *testing.T, f flavour) {
		c := startCluster(t, f, nil, nil)
		leader, away := c.leader()
		cfg := ClientConfig{Endpoints: []string{leader.endpoint}}
		value := strings.Repeat("x", 100<<10)
		for range 20 {
			if _, err := leader.client.Put(t.Context(), "/fill", value); err != nil {
				t.Fatal(err)
			}
		}
		before, err := Members(t.Context(), cfg)
		if err != nil || len(before) != 3 {
			t.Fatalf("members: %+v, %v", before, err)
		}
		away.kill()
		var did strings.Builder
		err = Reclaim(t.Context(), cfg, func(format string, args ...any) { fmt.Fprintf(&did, format+"\n", args...) })
		if err == nil || !strings.Contains(err.Error(), "member "+away.cfg.Cluster.Name+" does not answer") {
			t.Errorf("a member was away: %v", err)
		}
		after, err := Members(t.Context(), cfg)
		if err != nil || len(after) != 3 {
			t.Fatalf("members: %+v, %v", after, err)
		}
		for i := range after {
			m, was := &after[i], &before[i]
			if m.Name != was.Name || m.Away != (m.Name == away.cfg.Cluster.Name) || !m.Away && m.Size >= 1<<20 { // history is twice that
				t.Errorf("member %+v was %+v; did:\n%s", m, was, &did)
			}
			if m.Leader && m.Endpoint == leader.endpoint {
				t.Errorf("%s is still the leader; did:\n%s", m.Endpoint, &did)
			}
			if m.Away {
				c.replace(away, m.ID, leader.client)
			}
		}
		all, err := Members(t.Context(), cfg)
		if err != nil || len(all) != 3 || slices.ContainsFunc(all, func(m MemberStatus) bool { return m.Away || m.Trouble != nil }) {
			t.Errorf("members: %+v, %v", all, err)
		}
		if resp, err := away.client.Get(t.Context(), "/fill", clientv3.WithSerializable()); err != nil || len(resp.Kvs) != 1 {
			t.Errorf("the new member has %v, %v", resp, err)
		}
	})
}

// replace puts a member with nothing in its directory in the place of one that is lost.
func (c *cluster) replace(lost *member, id uint64, admin *clientv3.Client) {
	c.t.Helper()
	cluster := lost.cfg.Cluster
	until(c.t, "another member", func(ctx context.Context) error { // the leader is a new one, and gets to know the others first
		if _, err := admin.MemberRemove(ctx, id); err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
			return err
		}
		_, err := admin.MemberAdd(ctx, []string{cluster.Members[cluster.Name]})
		return err
	})
	lost.cfg.Dir += "-new"
	cluster.Join = true
	lost.start()
	lost.answers()
}
