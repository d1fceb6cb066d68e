package state

import (
	"net/netip"
	"sync"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// fdbID names an entry of a bridge's table.
type fdbID struct {
	bridge topology.DeviceID
	mac    packet.MAC
}

// fdbChange is an entry as read; vport 0: removed.
type fdbChange struct {
	id fdbID
	v  fdbValue
}

// arpID names an entry of a bridge's ARP cache.
type arpID struct {
	bridge topology.DeviceID
	addr   netip.Addr
}

// arpChange is an entry as read; the zero MAC: removed.
type arpChange struct {
	id  arpID
	mac packet.MAC
}

// learnt counts what is in the tables: MACs per port, addresses per MAC and port, and moves, as this process sees them come by (no two clocks are compared).
type learnt struct {
	mu    sync.Mutex
	now   func() time.Time
	ports map[flow.VPortID]int // of at, behind each port
	at    map[fdbID]flow.VPortID
	moves map[fdbID][]time.Time // the last pinMoves ones
	macs  map[arpID]packet.MAC
	addrs map[fdbID]int        // of macs, at each MAC
	total map[flow.VPortID]int // of addrs, behind each port
}

func (l *learnt) init(now func() time.Time) {
	l.now, l.ports, l.at, l.moves = now, map[flow.VPortID]int{}, map[fdbID]flow.VPortID{}, map[fdbID][]time.Time{}
	l.macs, l.addrs, l.total = map[arpID]packet.MAC{}, map[fdbID]int{}, map[flow.VPortID]int{}
}

// observe takes note of changes in the database, by whichever edge.
func (l *learnt) observe(fdb []fdbChange, arp []arpChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range fdb {
		l.place(c)
	}
	for _, c := range arp {
		old, had := l.macs[c.id]
		if had && old == c.mac {
			continue
		}
		if had {
			l.tally(fdbID{c.id.bridge, old}, -1)
			delete(l.macs, c.id)
		}
		if !c.mac.IsZero() {
			l.tally(fdbID{c.id.bridge, c.mac}, 1)
			l.macs[c.id] = c.mac
		}
	}
}

// place takes note of where a MAC is.
func (l *learnt) place(c fdbChange) {
	old, had := l.at[c.id]
	if had && old == c.v.vport {
		return
	}
	addrs := l.addrs[c.id]
	if had {
		add(l.ports, old, -1)
		add(l.total, old, -addrs)
	}
	if c.v.vport == 0 {
		delete(l.at, c.id)
		delete(l.moves, c.id)
		return
	}
	if had {
		m := append(l.moves[c.id], l.now())
		l.moves[c.id] = m[max(0, len(m)-pinMoves):]
	}
	l.at[c.id] = c.v.vport
	add(l.ports, c.v.vport, 1)
	add(l.total, c.v.vport, addrs)
}

// tally takes note of an address that came to a MAC, or went.
func (l *learnt) tally(at fdbID, n int) {
	add(l.addrs, at, n)
	if port, ok := l.at[at]; ok {
		add(l.total, port, n)
	}
}

// add adds to a count; one of zero takes no room.
func add[K comparable](counts map[K]int, k K, n int) {
	if counts[k] += n; counts[k] == 0 {
		delete(counts, k)
	}
}

// restless reports whether one more move would be too many.
func (l *learnt) restless(id fdbID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.moves[id]
	return len(m) >= pinMoves && l.now().Sub(m[0]) < pinWindow
}

// count returns how many MACs were learnt behind a port.
func (l *learnt) count(port flow.VPortID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ports[port]
}

// addrsAt returns how many addresses were learnt at a MAC.
func (l *learnt) addrsAt(at fdbID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addrs[at]
}

// addrsBehind returns how many addresses were learnt at the MACs that were learnt behind a port.
func (l *learnt) addrsBehind(port flow.VPortID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total[port]
}
