package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const statusTimeout = 3 * time.Second

// MemberStatus is what a member of the database says of itself.
type MemberStatus struct {
	Endpoint string `json:"endpoint"`
	Name     string `json:"name,omitempty"`
	ID       uint64 `json:"-"`
	Version  string `json:"version,omitempty"`
	Leader   bool   `json:"leader,omitempty"`
	Learner  bool   `json:"learner,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	Size     int64  `json:"size,omitempty"`  // bytes of the database file
	InUse    int64  `json:"inUse,omitempty"` // of these, not free
	Quota    int64  `json:"quota,omitempty"` // bytes that the file may take; 0: the member is too old to tell
	// Trouble is what it says that is wrong, or why it does not answer; empty: nothing.
	Trouble []string `json:"trouble,omitempty"`
	Away    bool     `json:"away,omitempty"` // it does not answer
}

// Full reports whether the database takes no writes for want of space, as far as this member knows.
func (m *MemberStatus) Full() bool {
	return slices.ContainsFunc(m.Trouble, func(s string) bool { return strings.Contains(s, pb.AlarmType_NOSPACE.String()) })
}

// Members asks all members of a database how they are, those that are not among the endpoints too. Its error is that nothing can be asked.
func Members(ctx context.Context, cfg ClientConfig) ([]MemberStatus, error) {
	c, err := connect(ctx, dialTimeout, cfg)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return members(ctx, c, cfg), nil
}

func members(ctx context.Context, c *clientv3.Client, cfg ClientConfig) []MemberStatus {
	lctx, cancel := context.WithTimeout(ctx, statusTimeout)
	list, err := c.MemberList(lctx, clientv3.WithSerializable())
	cancel()
	all := statuses(ctx, c, cfg, cfg.Endpoints)
	if err != nil {
		return all
	}
	var others []string
	for _, m := range list.Members {
		i := slices.IndexFunc(all, func(s MemberStatus) bool { return s.ID == m.ID || s.Away && slices.Contains(m.ClientURLs, s.Endpoint) })
		switch {
		case i >= 0:
			all[i].Name, all[i].ID = m.Name, m.ID
		case len(m.ClientURLs) > 0:
			others = append(others, m.ClientURLs[0])
		default:
			all = append(all, MemberStatus{Name: m.Name, ID: m.ID, Away: true, Trouble: []string{"was added and has not started yet"}})
		}
	}
	for _, s := range statuses(ctx, c, cfg, others) {
		for _, m := range list.Members {
			if m.ID == s.ID || slices.Contains(m.ClientURLs, s.Endpoint) {
				s.Name, s.ID = m.Name, m.ID
			}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b MemberStatus) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(all, func(a, b MemberStatus) bool { return a.ID != 0 && a.ID == b.ID }) // two endpoints of one member
}

// statuses asks several endpoints at once.
func statuses(ctx context.Context, c *clientv3.Client, cfg ClientConfig, endpoints []string) []MemberStatus {
	all := make([]MemberStatus, len(endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range endpoints {
		wg.Go(func() { all[i] = memberStatus(ctx, c, cfg, endpoint) })
	}
	wg.Wait()
	return all
}

func memberStatus(ctx context.Context, c *clientv3.Client, cfg ClientConfig, endpoint string) MemberStatus {
	away := func(why error) MemberStatus {
		return MemberStatus{Endpoint: endpoint, Away: true, Trouble: []string{why.Error()}}
	}
	if u, err := url.Parse(endpoint); err == nil {
		conn, err := knock(u)
		if err != nil {
			return away(err)
		}
		conn.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	s, err := c.Status(ctx, endpoint)
	if err != nil {
		if why := unreachable(endpoint, cfg.TLS); why != nil && !refused(err) {
			err = why
		}
		return away(err)
	}
	return MemberStatus{
		Endpoint: endpoint, ID: s.Header.MemberId, Version: s.Version, Leader: s.Leader != 0 && s.Leader == s.Header.MemberId, Learner: s.IsLearner,
		Revision: s.Header.Revision, Size: s.DbSize, InUse: s.DbSizeInUse, Quota: s.DbSizeQuota, Trouble: s.Errors,
	}
}

// Reclaim gives space back that history takes: it compacts up to the present revision, then has each member make its file smaller, one after another, the
// leader last, and ends the alarm that the quota raised if there is room again. A member answers nobody while it does; the leader hands over before.
// Watches that are behind list anew. did is told each step. The user must have etcd's role root.
func Reclaim(ctx context.Context, cfg ClientConfig, did func(format string, args ...any)) error {
	c, err := Dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := compactAll(ctx, c, cfg, did); err != nil {
		return err
	}
	all := members(ctx, c, cfg)
	slices.SortStableFunc(all, func(a, b MemberStatus) int { return cmp.Compare(rank(&a), rank(&b)) })
	full := false
	for i := range all {
		m := &all[i]
		full = full || m.Full()
		if m.Away {
			err = errors.Join(err, fmt.Errorf("state: etcd member %s %w, and is left as it is: %s", cmp.Or(m.Name, m.Endpoint), ErrNoAnswer, strings.Join(m.Trouble, "; ")))
			continue
		}
		if m.Leader && i > 0 && !all[i-1].Away && !all[i-1].Learner {
			handOver(ctx, cfg, m, &all[i-1], did)
		}
		if _, derr := c.Defragment(ctx, m.Endpoint); derr != nil {
			err = errors.Join(err, fmt.Errorf("state: defragment etcd member %s: %w", m.Endpoint, derr))
			continue
		}
		after := memberStatus(ctx, c, cfg, m.Endpoint)
		did("%s: its file had %d bytes, and has %d", m.Endpoint, m.Size, after.Size)
		after.Name, after.ID = m.Name, m.ID
		*m = after
	}
	if full {
		err = errors.Join(err, disarm(ctx, c, all, did))
	}
	return err
}

// compactAll compacts up to the present revision, or nearly, and returns when all members have done so: each is asked for a revision of its own, because
// only the one that is asked answers when it has.
func compactAll(ctx context.Context, c *clientv3.Client, cfg ClientConfig, did func(string, ...any)) error {
	now, err := c.Get(ctx, generationKey, clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("state: revision to compact to: %w", err)
	}
	all := slices.DeleteFunc(members(ctx, c, cfg), func(m MemberStatus) bool { return m.Away })
	for i := range all {
		cfg.Endpoints = []string{all[i].Endpoint}
		one, err := connect(ctx, dialTimeout, cfg)
		if err != nil {
			return err
		}
		_, err = one.Compact(ctx, now.Header.Revision-int64(len(all)-1-i), clientv3.WithCompactPhysical())
		one.Close()
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			return fmt.Errorf("state: compact %s: %w", all[i].Endpoint, err)
		}
	}
	did("compacted up to revision %d", now.Header.Revision)
	return nil
}

// rank is when a member's turn is: the leader's last, but for those that don't answer.
func rank(m *MemberStatus) int {
	switch {
	case m.Away:
		return 0
	case m.Learner:
		return 1
	case !m.Leader:
		return 2
	}
	return 3
}

// handOver makes another member the leader. Without it, writes would wait for the leader's file: so that it fails is no reason to stop.
func handOver(ctx context.Context, cfg ClientConfig, from, to *MemberStatus, did func(string, ...any)) {
	cfg.Endpoints = []string{from.Endpoint}
	c, err := connect(ctx, dialTimeout, cfg)
	if err == nil {
		defer c.Close()
		_, err = c.MoveLeader(ctx, to.ID)
	}
	if err != nil {
		did("%s: stays the leader meanwhile: %v", from.Endpoint, err)
		return
	}
	did("%s is the leader now", to.Endpoint)
}

// disarm ends the alarms of members whose files are below their quota again.
func disarm(ctx context.Context, c *clientv3.Client, all []MemberStatus, did func(string, ...any)) error {
	for i := range all {
		if m := &all[i]; m.Quota > 0 && m.Size >= m.Quota {
			return fmt.Errorf("state: %s: %d bytes are in use, and its quota is %d: give it a larger one, or delete what is not needed, and try again", m.Endpoint, m.InUse, m.Quota)
		}
	}
	alarms, err := c.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("state: alarms: %w", err)
	}
	for _, a := range alarms.Alarms {
		if a.Alarm != pb.AlarmType_NOSPACE {
			continue
		}
		if _, err := c.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return fmt.Errorf("state: end the alarm of member %x: %w", a.MemberID, err)
		}
	}
	did("the database takes writes again")
	return nil
}
