package soak

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/weft-sdn/weft/packet"
)

// witness sees each frame that a station receives, and says what must not be.
type witness struct {
	fail     func(format string, args ...any)
	stations []*station
	frames   atomic.Uint64 // with a message
	foreign  atomic.Uint64 // of these, for another MAC: flooded

	mu    sync.Mutex
	open  map[uint64]bool     // connections that have not ended
	spoke map[tuple]*speaker  // outside: whose a tuple is
	last  map[uint64][2]tuple // the tuple that a connection spoke from last, for the two IP versions
	gen   uint64              // of NAT: changes of rules end translations
	heard map[hearing]int     // how often each message was received by whom it is for; nil: nobody wants to know
}

// hearing is a message at a station.
type hearing struct {
	at             int
	answer         bool
	conn, sequence uint64
}

// tuple is what tells connections apart outside.
type tuple struct {
	proto        uint8
	src, dst     netip.Addr
	sport, dport uint16
}

type speaker struct {
	conn, gen uint64
}

func newWitness(fail func(string, ...any), stations []*station) *witness {
	return &witness{fail: fail, stations: stations, open: map[uint64]bool{}, spoke: map[tuple]*speaker{}, last: map[uint64][2]tuple{}}
}

// begins and ends are called by who has a connection.
func (w *witness) begins(conn uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[conn] = true
}

func (w *witness) ends(conn uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, conn)
	delete(w.last, conn)
}

// renatted notes that rules of NAT changed: connections whose translation ended may find theirs with others.
func (w *witness) renatted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gen++
}

// saw takes a frame that a station received.
func (w *witness) saw(at *station, frame []byte) {
	m, ok := parseMessage(frame)
	if !ok {
		return
	}
	w.frames.Add(1)
	var f packet.Frame
	if err := packet.ParseUntagged(frame, &f); err != nil {
		w.fail("%s received a frame with %+v that can't be parsed: %v", at.name, m, err)
		return
	}
	if int(m.from) >= len(w.stations) {
		w.fail("%s received %+v, which nobody sent", at.name, m)
		return
	}
	from := w.stations[m.from]
	if m.to >= toAll && m.to < toService {
		if from.tenant != at.tenant || at.n == outside || lanOf(from.vm) != lanOf(at.vm) || guarded(at.vm) || at == from {
			w.fail("%s received what %s sent to all others on its bridge: %+v, to %v", at.name, from.name, m, f.DstAddr())
		}
		w.hear(at, &m)
		return
	}
	if f.Dst() != packet.MAC(at.mac) { // flooded: not beyond the tenant
		w.foreign.Add(1)
		if w.tenantOf(m.to) != at.tenant && !(f.IsICMP() && from.tenant == at.tenant) {
			w.fail("%s received a foreign frame that %s sent to %s: %+v", at.name, from.name, w.name(m.to), m)
		}
		return
	}
	if f.IsICMP() { // an error that quotes it: to who sent it
		if m.from != uint16(at.n) {
			w.fail("%s received an ICMP error about what %s sent: %+v", at.name, from.name, m)
		}
		return
	}
	if !w.isFor(m.to, at) {
		w.fail("%s received what %s sent to %s: %+v, %v to %v", at.name, from.name, w.name(m.to), m, f.SrcAddr(), f.DstAddr())
		return
	}
	if want := w.sources(at, from, &m); !want(f.SrcAddr()) {
		w.fail("%s received what %s sent from the address %v: %+v", at.name, from.name, f.SrcAddr(), m)
	}
	if f.Proto == packet.ProtoUDP {
		w.hear(at, &m)
	}
	if at.n == outside && !m.answer && from.tenant >= 0 {
		w.translated(tuple{f.Proto, f.SrcAddr(), f.DstAddr(), f.SrcPort, f.DstPort}, m.conn)
	}
}

// listen begins to count what arrives, or ends that and returns what did.
func (w *witness) listen(on bool) map[hearing]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.heard
	if w.heard = nil; on {
		w.heard = map[hearing]int{}
	}
	return heard
}

func (w *witness) hear(at *station, m *message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard != nil {
		w.heard[hearing{at.n, m.answer, m.conn, m.sequence}]++
	}
}

// hasHeard tells whether a message that nobody answers has arrived.
func (w *witness) hasHeard(at *station, conn uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard[hearing{at: at.n, conn: conn}] > 0
}

func (w *witness) isFor(to uint16, at *station) bool {
	if to >= toService {
		return int(to-toService) == at.tenant
	}
	return int(to) == at.n
}

func (w *witness) tenantOf(to uint16) int {
	if to >= toService {
		return int(to - toService)
	}
	return w.stations[min(int(to), outside)].tenant
}

func (w *witness) name(to uint16) string {
	if to >= toService {
		return "the service of " + tenants[(to-toService)%uint16(len(tenants))]
	}
	return w.stations[min(int(to), outside)].name
}

// sources tells which addresses a message may come from.
func (w *witness) sources(at, from *station, m *message) func(netip.Addr) bool {
	own := func(a netip.Addr) bool { return a == from.addrs[0].Addr() || a == from.addrs[1].Addr() }
	if at.n != outside || from.n == outside {
		return own
	}
	return func(a netip.Addr) bool {
		for i := range 2 + natAddrs {
			pub := public(from.tenant, i)
			if (a == pub[0] || a == pub[1]) && (i == 0) == m.answer { // answers come from the service, requests from what hides them
				return true
			}
		}
		return false
	}
}

// translated checks that no two connections have a tuple at once.
func (w *witness) translated(t tuple, conn uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open[conn] {
		return // a late one
	}
	before, version := w.spoke[t], 0
	if t.src.Is6() {
		version = 1
	}
	if before != nil && before.conn != conn && before.gen == w.gen && w.open[before.conn] && w.last[before.conn][version] == t {
		w.fail("connections %d and %d are both %s outside", before.conn, conn, fmt.Sprint(t))
	}
	w.spoke[t] = &speaker{conn, w.gen}
	l := w.last[conn]
	l[version] = t
	w.last[conn] = l
}
