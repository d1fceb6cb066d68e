package state

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// Health is what a pool's monitor found out about a member.
type Health struct {
	Down  bool      `json:"down,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Why   string    `json:"why,omitempty"` // it is down: what the last probe met
}

// healthKey names a member of a pool: 8 hex digits of IPv4, 32 of IPv6, and the port.
func healthKey(pool topology.DeviceID, m topology.MemberKey) string {
	return string(hex.AppendEncode([]byte(recordPrefix(pool, recordHealth)), m.IP().AsSlice())) + "." + strconv.Itoa(int(m.Port))
}

func monitorKey(pool topology.DeviceID) string { return devicePrefix(pool) + string(recordMonitor) }

// parseMember reads the last part of such a key.
func parseMember(leaf string) (topology.MemberKey, error) {
	text, number, _ := strings.Cut(leaf, ".")
	addr, err := parseAddr(text)
	if err != nil {
		return topology.MemberKey{}, err
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || strconv.FormatUint(port, 10) != number {
		return topology.MemberKey{}, ErrCodec
	}
	return topology.MemberAt(addr, uint16(port)), nil
}

// addHealth takes what a monitor found out.
func (m *batch) addHealth(k deviceKey, e Event) error {
	var h Health
	if !e.Deleted {
		if err := json.Unmarshal(e.Value, &h); err != nil {
			return fmt.Errorf("%w: key %s: %w", ErrCodec, e.Key, err)
		}
	}
	m.topo.Health = append(m.topo.Health, topology.MemberHealth{Pool: k.device, Member: k.member, Down: h.Down})
	return nil
}

// MonitorLease is the right to run monitors, for as long as this process renews it.
type MonitorLease clientv3.LeaseID

// ClaimMonitor makes an edge the one that runs a pool's monitor, if no edge does (N4). If the edge dies, others can claim it once ttl, whole seconds and two
// at least, has passed. The lease is renewed while ctx lives.
func (s *Store) ClaimMonitor(ctx context.Context, pool topology.DeviceID, edge string, ttl time.Duration) (lease MonitorLease, claimed bool, err error) {
	lease, err = s.monitors.of(ctx, s.client, edge, ttl)
	if err != nil {
		return 0, false, fmt.Errorf("state: monitor of pool %d: %w", pool, err)
	}
	resp, err := s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(monitorKey(pool)), "=", 0), clientv3.Compare(clientv3.CreateRevision(selfKey(pool)), ">", 0)).
		Then(clientv3.OpPut(monitorKey(pool), edge, clientv3.WithLease(clientv3.LeaseID(lease)))).Commit()
	if err != nil {
		s.monitors.forget(edge, ttl, lease) // it may have run out
		return 0, false, fmt.Errorf("state: monitor of pool %d: %w", pool, advised(err))
	}
	return lease, resp.Succeeded, nil
}

// LeaveMonitor ends a claim.
func (s *Store) LeaveMonitor(ctx context.Context, pool topology.DeviceID, lease MonitorLease) error {
	_, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.LeaseValue(monitorKey(pool)), "=", clientv3.LeaseID(lease))).Then(clientv3.OpDelete(monitorKey(pool))).Commit()
	return err
}

// SetHealth stores what a monitor found out, while it is the pool's. stored is false if it is not any more.
func (s *Store) SetHealth(ctx context.Context, pool topology.DeviceID, lease MonitorLease, m topology.MemberKey, h Health) (stored bool, err error) {
	value, err := json.Marshal(h)
	if err != nil {
		return false, err
	}
	resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.LeaseValue(monitorKey(pool)), "=", clientv3.LeaseID(lease))).
		Then(clientv3.OpPut(healthKey(pool, m), string(value))).Commit()
	if err != nil {
		return false, fmt.Errorf("state: health of %v: %w", m, advised(err))
	}
	return resp.Succeeded, nil
}

// PoolHealth is what is known of a pool's members, for operators.
type PoolHealth struct {
	Members map[topology.MemberKey]Health
	Watcher string // edge that runs the monitor; "": none
}

// Health reads what is known of the members of a pool now.
func (s *Store) Health(ctx context.Context, pool topology.DeviceID) (PoolHealth, error) {
	out := PoolHealth{Members: map[topology.MemberKey]Health{}}
	prefix := recordPrefix(pool, recordHealth)
	resp, err := s.client.Txn(ctx).Then(clientv3.OpGet(prefix, clientv3.WithPrefix()), clientv3.OpGet(monitorKey(pool))).Commit()
	if err != nil {
		return out, fmt.Errorf("state: health of pool %d: %w", pool, err)
	}
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		m, err := parseMember(strings.TrimPrefix(string(kv.Key), prefix))
		if err != nil {
			return out, err
		}
		var h Health
		if err := json.Unmarshal(kv.Value, &h); err != nil {
			return out, fmt.Errorf("%w: key %s: %w", ErrCodec, kv.Key, err)
		}
		out.Members[m] = h
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		out.Watcher = string(kvs[0].Value)
	}
	return out, nil
}

// monitorLeases are the etcd leases of the monitors that this process runs, one for each edge and time to live: they end with their edge.
type monitorLeases struct {
	mu     sync.Mutex
	leases map[monitorTerm]MonitorLease
}

type monitorTerm struct {
	edge    string
	seconds int64
}

func termOf(edge string, ttl time.Duration) monitorTerm {
	return monitorTerm{edge, max(2, int64(ttl/time.Second))}
}

func (l *monitorLeases) of(ctx context.Context, c *clientv3.Client, edge string, ttl time.Duration) (MonitorLease, error) {
	term := termOf(edge, ttl)
	l.mu.Lock()
	defer l.mu.Unlock()
	if lease, ok := l.leases[term]; ok {
		return lease, nil
	}
	grant, err := c.Grant(ctx, term.seconds)
	if err != nil {
		return 0, advised(err)
	}
	renewals, err := c.KeepAlive(ctx, grant.ID)
	if err != nil {
		return 0, err
	}
	lease := MonitorLease(grant.ID)
	if l.leases == nil {
		l.leases = map[monitorTerm]MonitorLease{}
	}
	l.leases[term] = lease
	go func() { // ends with ctx, or when the lease has run out
		for range renewals {
		}
		l.forget(edge, ttl, lease)
	}()
	return lease, nil
}

func (l *monitorLeases) forget(edge string, ttl time.Duration, lease MonitorLease) {
	term := termOf(edge, ttl)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leases[term] == lease {
		delete(l.leases, term)
	}
}

// forgetPool removes what a monitor found out about members that a pool does not have any more, or all of it if there is no such monitor any more.
func (t *txn) forgetPool(was, is *topology.Object) {
	id := topology.DeviceID(was.Status.ID)
	before := was.Spec.(*topology.PoolSpec)
	var after topology.PoolSpec
	if is != nil {
		after = *is.Spec.(*topology.PoolSpec)
	}
	if before.Monitor == nil {
		return
	}
	if after.Monitor == nil {
		t.ops = append(t.ops, clientv3.OpDelete(monitorKey(id)))
	}
	if after.Monitor == nil || *after.Monitor != *before.Monitor {
		t.deletePrefix(recordPrefix(id, recordHealth))
		return
	}
	stays := map[topology.MemberKey]bool{}
	for _, m := range after.Members {
		stays[topology.MemberAt(m.Address, m.Port)] = true
	}
	for _, m := range before.Members {
		if k := topology.MemberAt(m.Address, m.Port); !stays[k] {
			t.ops = append(t.ops, clientv3.OpDelete(healthKey(id, k)))
		}
	}
}

// Sticky is the member that a client of a pool had last, as it is in the database, or is to be.
type Sticky struct {
	Client   topology.PoolClient
	Member   topology.MemberKey
	Timeout  time.Duration // how long it is remembered
	Revision int64         // of what is there; 0: nothing is
}

func stickyKey(c topology.PoolClient) string {
	b := append([]byte(stickyPrefix), byte(c.Pool>>16), byte(c.Pool>>8), byte(c.Pool))
	return string(appendIP(b, c.Addr, c.V6))
}

func appendIP(b []byte, a flow.Addr, v6 bool) []byte {
	if v6 {
		return append(b, a[:]...)
	}
	return append(b, a[12:]...)
}

// FindSticky reads which member a client had last; found is false if that is not remembered.
func (s *Store) FindSticky(ctx context.Context, c topology.PoolClient) (st Sticky, found bool, err error) {
	st.Client = c
	kv, _, err := s.getOne(ctx, stickyKey(c))
	if err != nil || kv == nil {
		return st, false, err
	}
	st.Revision = kv.rev
	b := kv.value
	if len(b) != 2+4 && len(b) != 2+16 {
		return st, false, fmt.Errorf("%w: member of a client: % x", ErrCodec, b)
	}
	addr, _ := netip.AddrFromSlice(b[2:])
	st.Member = topology.MemberAt(addr, binary.BigEndian.Uint16(b))
	return st, true, nil
}

// also is what remembers the client's member, on condition that nobody else did since.
func (st *Sticky) also(lease clientv3.LeaseID) Also {
	value := binary.BigEndian.AppendUint16(nil, st.Member.Port)
	return Also{Key: stickyKey(st.Client), Value: appendIP(value, st.Member.Addr, st.Member.V6), Absent: st.Revision == 0, Expect: st.Revision, Lease: lease}
}

// stickyLeases are the etcd leases under which clients are remembered. Many share one: what a process stores within an eighth of the time is forgotten
// together, no sooner than it should be. None is renewed, and none is this process's: an edge's death takes no client's member away.
type stickyLeases struct {
	mu     sync.Mutex
	leases map[time.Duration]stickyLease
}

type stickyLease struct {
	id      clientv3.LeaseID
	granted time.Time
}

// longestWindow bounds how much is under one lease, and so goes at once.
const longestWindow = time.Minute

func (l *stickyLeases) of(ctx context.Context, c *clientv3.Client, timeout time.Duration, now time.Time) (clientv3.LeaseID, error) {
	window := min(max(timeout/8, time.Second), longestWindow)
	l.mu.Lock()
	defer l.mu.Unlock()
	if have, ok := l.leases[timeout]; ok && now.Sub(have.granted) < window {
		return have.id, nil
	}
	grant, err := c.Grant(ctx, int64((timeout+window+time.Second)/time.Second))
	if err != nil {
		return 0, fmt.Errorf("state: grant a lease of %v: %w", timeout, advised(err))
	}
	if l.leases == nil {
		l.leases = map[time.Duration]stickyLease{}
	}
	l.leases[timeout] = stickyLease{grant.ID, now}
	return grant.ID, nil
}

// forget has the next who asks get another lease.
func (l *stickyLeases) forget(timeout time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.leases, timeout)
}
