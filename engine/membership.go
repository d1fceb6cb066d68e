package engine

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-sdn/weft/packet"
)

// Constants of a listener (RFC 3376 section 8, RFC 3810 section 9).
const (
	robustness  = 2                 // times that a change is told
	olderRouter = 260 * time.Second // without a query of the older version, until the newer one is spoken again
	maxReports  = 512               // groups that an answer names in a second
)

// memberships tells the routers and switches of the uplinks which multicast groups of the underlay the edge wants (E10): the host's part of IGMP (RFC 3376) and MLD
// (RFC 3810), any source. Owned by decide.
//
//	wanted ──told, and again a second later──▶ answers queries ──not wanted──▶ told, and again
type memberships struct {
	send     func(port uint16, frame []byte)
	now      func() time.Duration
	speaking bool // the target sends what it is given
	links    []*listener
	counts   *counts
	buf      []byte
}

// listener is an uplink on which groups are wanted.
type listener struct {
	*Uplink
	src      netip.Addr // of reports
	version  packet.Membership
	oldUntil time.Duration
	groups   map[netip.Addr]struct{}
	changes  map[netip.Addr]news
	fresh    []netip.Addr // changes not told yet
	answers  []netip.Addr // that queries ask for, those first that were not answered for longest
	due      time.Duration
}

// news is a change of one of the groups that are wanted. left is how often it is still to be told.
type news struct {
	kind packet.RecordType
	left int
}

// newMemberships returns the memberships of an edge with a range of multicast addresses; with none there are none.
func newMemberships(within netip.Prefix, links []Uplink, send func(uint16, []byte), now func() time.Duration, counts *counts) *memberships {
	m := &memberships{send: send, now: now, counts: counts}
	if !within.IsValid() {
		return m
	}
	for i := range links {
		l := &listener{Uplink: &links[i], groups: map[netip.Addr]struct{}{}, changes: map[netip.Addr]news{}}
		l.src, l.version = packet.LinkLocal(l.MAC), packet.MLDv2
		if within.Addr().Is4() {
			l.src, _ = speaker(l.Uplink, within.Addr())
			l.version = packet.IGMPv3
		}
		m.links = append(m.links, l)
	}
	return m
}

func (m *memberships) link(port uint16) *listener {
	for _, l := range m.links {
		if l.Port == port {
			return l
		}
	}
	return nil
}

// want notes that a group is wanted by an uplink, or not any more. It is told by tell.
func (m *memberships) want(port uint16, group netip.Addr, wanted bool) {
	l := m.link(port)
	if l == nil || !l.src.IsValid() {
		return
	}
	c := news{packet.Leaves, robustness}
	if delete(l.groups, group); wanted {
		l.groups[group] = struct{}{}
		c.kind = packet.Joins
	}
	m.counts.multicastGroups.Store(m.number())
	if m.speaking { // otherwise all is told once it is
		l.changes[group] = c
		l.fresh = append(l.fresh, group)
	}
}

// forget ends all that is wanted, without a word: what is wanted from now on may be the same.
func (m *memberships) forget() {
	for _, l := range m.links {
		clear(l.groups)
		clear(l.changes)
		l.fresh, l.answers = nil, nil
	}
	m.counts.multicastGroups.Store(0)
}

// number is how many groups are wanted.
func (m *memberships) number() (n uint64) {
	for _, l := range m.links {
		n += uint64(len(l.groups))
	}
	return n
}

// tell tells of what changed since it was called last.
func (m *memberships) tell() {
	for _, l := range m.links {
		if len(l.fresh) > 0 {
			m.report(l, l.take(l.fresh))
			l.fresh = l.fresh[:0]
		}
	}
}

// take returns the records of changes, each of which is told once more by that.
func (l *listener) take(groups []netip.Addr) []packet.GroupRecord {
	records := make([]packet.GroupRecord, 0, len(groups))
	for _, g := range groups {
		c, ok := l.changes[g]
		if !ok {
			continue // twice in groups
		}
		records = append(records, packet.GroupRecord{Type: c.kind, Group: g})
		if c.left--; c.left == 0 {
			delete(l.changes, g)
		} else {
			l.changes[g] = c
		}
	}
	return records
}

// speak is told whether the target sends what it is given. Once it does, all groups are told: nobody knows what was missed.
func (m *memberships) speak(does bool) {
	if m.speaking == does {
		return
	}
	m.speaking = does
	for _, l := range m.links {
		clear(l.changes)
		l.fresh, l.answers = nil, nil
		if does {
			for g := range l.groups {
				l.changes[g] = news{packet.Joins, robustness}
				l.fresh = append(l.fresh, g)
			}
		}
	}
	m.tell()
}

// sweep is called each second.
func (m *memberships) sweep() {
	if !m.speaking {
		return
	}
	now := m.now()
	for _, l := range m.links {
		if l.version.Old() && now >= l.oldUntil {
			l.version++
		}
		if len(l.changes) > 0 {
			m.report(l, l.take(slices.Collect(maps.Keys(l.changes))))
		}
		if len(l.answers) > 0 && now >= l.due {
			n := min(len(l.answers), maxReports)
			m.answer(l, l.answers[:n])
			l.answers = l.answers[n:]
		}
	}
}

// query takes a frame that came in by an uplink, and reports whether it is a query. One for all groups is answered within its time, spread at random since it goes to
// all hosts of a link; one for a group, asked when another host has left it, at once.
func (m *memberships) query(port uint16, f *packet.Frame) bool {
	q, err := f.GroupQuery()
	l := m.link(port)
	if err != nil || l == nil || f.Is4() != l.src.Is4() {
		return err == nil
	}
	m.counts.multicastQueries.Add(1)
	now := m.now()
	if q.Version.Old() && !q.Group.IsValid() { // general queries alone tell what the router speaks (RFC 3376 section 7.2.1, RFC 3810 section 8.2.1)
		l.version, l.oldUntil = q.Version, now+olderRouter
	}
	switch _, wanted := l.groups[q.Group]; {
	case !m.speaking:
	case wanted:
		m.answer(l, []netip.Addr{q.Group})
	case !q.Group.IsValid():
		due := now
		if q.Within > time.Second { // sweeps are a second apart
			due += rand.N(q.Within - time.Second)
		}
		l.owe(due)
	}
	return true
}

// owe has all groups answered, by due or by when an earlier question is to be answered (RFC 3376 section 5.2, RFC 3810 section 6.2). What that one is still owed goes first, so that all
// are answered however often somebody asks. As long as nothing was answered since, another question costs nothing: a group that came meanwhile has told of itself.
func (l *listener) owe(due time.Duration) {
	if len(l.answers) == 0 || due < l.due {
		l.due = due
	}
	if len(l.answers) >= len(l.groups) {
		return
	}
	owed := make(map[netip.Addr]struct{}, len(l.answers))
	for _, g := range l.answers {
		owed[g] = struct{}{}
	}
	for g := range l.groups {
		if _, is := owed[g]; !is {
			l.answers = append(l.answers, g)
		}
	}
}

// answer tells that groups are wanted.
func (m *memberships) answer(l *listener, groups []netip.Addr) {
	records := make([]packet.GroupRecord, 0, len(groups))
	for _, g := range groups {
		if _, wanted := l.groups[g]; wanted {
			records = append(records, packet.GroupRecord{Type: packet.IsMember, Group: g})
		}
	}
	m.report(l, records)
}

// report sends records by the version that the link speaks, in packets that its MTU lets pass.
func (m *memberships) report(l *listener, records []packet.GroupRecord) {
	m.counts.multicastReports.Add(uint64(len(records)))
	if l.version.Old() {
		for _, r := range records {
			m.buf = packet.AppendOldReport(m.buf[:0], l.MAC, l.src, r.Group, r.Type == packet.Leaves)
			m.send(l.Port, m.buf)
		}
		return
	}
	for some := range slices.Chunk(records, packet.MaxRecords(int(l.mtu()), l.src.Is4())) {
		m.buf = packet.AppendReport(m.buf[:0], l.MAC, l.src, some)
		m.send(l.Port, m.buf)
	}
}
