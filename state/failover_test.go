package state

import (
	"context"
	"errors"
	"fmt"
	"math"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestClusterLosesMembers: one member of three after another fails, in each way that a machine can, while everything is under way. Nothing is lost or
// comes twice, views are whole revisions, and the edge stays live.
func TestClusterLosesMembers(t *testing.T) {
	t.Parallel()
	flavours(t, func(t *testing.T, f flavour) {
		c := startCluster(t, f, nil, nil)
		l := startLoad(t, ClientConfig{Endpoints: c.endpoints()})
		l.progress("at the start")
		for _, fault := range []struct {
			name         string
			leader       bool // it befalls the leader
			strike, heal func(*member)
			cuts         bool // needs a flavour that cuts
			revokes      bool // a leader that comes to may think for a moment that it still is one, and that all leases have run out (etcd issue 15247)
		}{
			{name: "leader is killed", leader: true, strike: (*member).kill, heal: (*member).start},
			{name: "follower is killed", strike: (*member).kill, heal: (*member).start},
			{name: "leader hangs", leader: true, strike: sends(syscall.SIGSTOP), heal: sends(syscall.SIGCONT), revokes: true},
			{name: "leader is cut off", leader: true, strike: sends(syscall.SIGUSR1), heal: sends(syscall.SIGUSR2), cuts: true},
			{name: "follower is cut off", strike: sends(syscall.SIGUSR1), heal: sends(syscall.SIGUSR2), cuts: true},
		} {
			if fault.cuts && !f.cuts {
				continue
			}
			leader, victim := c.leader()
			if fault.leader {
				victim = leader
			}
			fault.strike(victim)
			t.Logf("%s: everything goes on after %v", fault.name, l.progress(fault.name))
			if fault.revokes {
				renewals(t, l.client, l.store, 2) // the lease outlives the member that renewed it
			}
			l.held(fault.name)
			fault.heal(victim)
			victim.answers()
			l.progress("after " + fault.name)
			if fault.revokes {
				l.again()
			}
		}
		l.check()
		l.held("at the end")
		if n := l.watcher.Lists(); n != 2 {
			t.Errorf("%d prefixes were listed, want each once: watches resume", n)
		}
	})
}

// again waits until the edge is live once more, if it was lost.
func (l *load) again() {
	l.t.Helper()
	select {
	case err := <-l.lost:
		if errors.Is(err, ErrEdgeTaken) {
			l.t.Error(err)
		}
		within(l.t, l.live)
	default:
	}
}

func sends(s syscall.Signal) func(*member) { return func(m *member) { m.signal(s) } }

// renewals waits until the lease of a store's edge e1 was renewed n times.
func renewals(t *testing.T, c *clientv3.Client, s *Store, n int) {
	t.Helper()
	lease, left := s.leaseOf("e1"), int64(math.MaxInt64)
	until(t, "renewals of the lease", func(ctx context.Context) error {
		resp, err := c.TimeToLive(ctx, lease)
		if err != nil {
			return err
		}
		if resp.TTL > left {
			n--
		}
		if left = resp.TTL; left < 0 {
			return errors.New("it is gone")
		}
		if n > 0 {
			return fmt.Errorf("%d more", n)
		}
		return nil
	})
}

// TestClusterLosesQuorum: two members of three hang. Nobody can write, what was read stays, and the edge learns that it is not live before others could
// know. When they are back everything goes on.
func TestClusterLosesQuorum(t *testing.T) {
	t.Parallel()
	flavours(t, func(t *testing.T, f flavour) {
		c := startCluster(t, f, nil, nil)
		l := startLoad(t, ClientConfig{Endpoints: c.endpoints()})
		l.progress("at the start")
		leader, follower := c.leader()
		leader.signal(syscall.SIGSTOP)
		follower.signal(syscall.SIGSTOP)
		if err := within(t, l.lost); errors.Is(err, ErrEdgeTaken) {
			t.Error(err)
		}
		if v := l.store.View(); v.Topology.VPort(5) == nil || v.Edges.Of("e1").ID == "" {
			t.Error("what was read is gone from the view")
		}
		leader.signal(syscall.SIGCONT)
		follower.signal(syscall.SIGCONT)
		within(t, l.live)
		t.Logf("everything goes on after %v", l.progress("two members hung"))
		l.check()
	})
}
