package pipeline

import (
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Machine runs a program: it owns the state. Its methods are safe for
// concurrent use.
type Machine struct {
	prog     *Program
	o        Options
	dropPort uint16
	epoch    time.Time
	hashSeed uint64
	seed     atomic.Uint64
	pool     sync.Pool
	perr     coreErrors

	tables    []*Table
	counters  []*Counter
	meters    []*Meter
	registers []*Register
	profiles  []*Profile
	vsets     []*ValueSet

	replication sync.Mutex // writers of the two maps, which are replaced whole
	groups      atomic.Pointer[map[uint32][]Replica]
	sessions    atomic.Pointer[map[uint32]CloneSession]

	received, emitted, dropped, parserErrors atomic.Uint64
	noClone, noGroup, loops, asserts         atomic.Uint64
	replicated, copies                       atomic.Uint64
}

// coreErrors are the core library's parser errors as the program numbers them.
type coreErrors struct {
	none, tooShort, headerTooShort, badArgument, timeout uint64
}

// New makes a machine in the program's initial state. It starts nothing.
func New(p *Program, o Options) *Machine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Emit == nil {
		o.Emit = func(uint16, []byte) {}
	}
	m := &Machine{prog: p, o: o, dropPort: o.DropPort, epoch: o.Now(), hashSeed: rand.Uint64()}
	if m.dropPort == 0 {
		m.dropPort = 511
	}
	m.seed.Store(rand.Uint64() | 1)
	m.pool.New = func() any { return newCtx(m) }
	m.perr = coreErrors{none: p.errors["NoError"], tooShort: p.errors["PacketTooShort"], headerTooShort: p.errors["HeaderTooShort"],
		badArgument: p.errors["ParserInvalidArgument"], timeout: p.errors["ParserTimeout"]}
	for _, d := range p.counters {
		m.counters = append(m.counters, &Counter{d: d, cells: make([]counterCell, d.size)})
	}
	for _, d := range p.meters {
		m.meters = append(m.meters, &Meter{d: d, m: m, cells: make([]meterCell, d.size)})
	}
	for _, d := range p.registers {
		n := limbs(d.width)
		m.registers = append(m.registers, &Register{d: d, n: n, words: make([]uint64, n*d.size)})
	}
	for _, d := range p.profiles {
		m.profiles = append(m.profiles, newProfile(d))
	}
	for _, d := range p.vsets {
		m.vsets = append(m.vsets, newValueSet(d))
	}
	m.groups.Store(&map[uint32][]Replica{})
	m.sessions.Store(&map[uint32]CloneSession{})
	for _, d := range p.tables {
		t := newTable(m, d)
		t.fill()
		m.tables = append(m.tables, t)
	}
	return m
}

// fill adds the program's entries; of two with one match the first stays.
func (t *Table) fill() {
	for _, c := range t.d.entries {
		var words [2 * scratchWords]uint64
		m, err := t.d.parseMatch(c.match, &words)
		if err != nil {
			continue // Load has checked it
		}
		prio, err := t.priority(&m, c.priority)
		if err != nil {
			continue
		}
		if t.locateLocked(&m, prio) != nil {
			continue
		}
		e := t.makeEntry(&m, &c.bind)
		e.prio = prio
		t.count(e, nil)
		t.addLocked(e, m.mask)
	}
}

// clock is machine time: nanoseconds since New.
func (m *Machine) clock() int64 { return int64(m.o.Now().Sub(m.epoch)) }

func (m *Machine) log(s string) {
	if m.o.Log != nil {
		m.o.Log(s)
	}
}

func named[T interface{ Name() string }](list []T, name string) (T, bool) {
	i := slices.IndexFunc(list, func(x T) bool { return x.Name() == name })
	if i < 0 {
		var none T
		return none, false
	}
	return list[i], true
}

// Table finds a table by name.
func (m *Machine) Table(name string) (*Table, bool) { return named(m.tables, name) }

// Tables yields all tables, also those that the compiler made for actions
// called directly: they have no keys.
func (m *Machine) Tables() iter.Seq[*Table] { return slices.Values(m.tables) }

// Counter finds an indirect counter.
func (m *Machine) Counter(name string) (*Counter, bool) { return named(m.counters, name) }

// Meter finds an indirect meter.
func (m *Machine) Meter(name string) (*Meter, bool) { return named(m.meters, name) }

// Register finds a register array.
func (m *Machine) Register(name string) (*Register, bool) { return named(m.registers, name) }

// Profile finds an action profile or selector.
func (m *Machine) Profile(name string) (*Profile, bool) { return named(m.profiles, name) }

// ValueSet finds a parser value set.
func (m *Machine) ValueSet(name string) (*ValueSet, bool) { return named(m.vsets, name) }

// SetMulticast defines a multicast group.
func (m *Machine) SetMulticast(group uint32, r []Replica) {
	m.replication.Lock()
	defer m.replication.Unlock()
	g := maps.Clone(*m.groups.Load())
	g[group] = slices.Clone(r)
	m.groups.Store(&g)
}

// DeleteMulticast reports whether the group existed.
func (m *Machine) DeleteMulticast(group uint32) bool {
	m.replication.Lock()
	defer m.replication.Unlock()
	g := maps.Clone(*m.groups.Load())
	_, ok := g[group]
	delete(g, group)
	m.groups.Store(&g)
	return ok
}

// Multicast returns a multicast group.
func (m *Machine) Multicast(group uint32) ([]Replica, bool) {
	r, ok := (*m.groups.Load())[group]
	return slices.Clone(r), ok
}

// SetClone defines a clone session.
func (m *Machine) SetClone(session uint32, s CloneSession) {
	m.replication.Lock()
	defer m.replication.Unlock()
	s.Replicas = slices.Clone(s.Replicas)
	all := maps.Clone(*m.sessions.Load())
	all[session] = s
	m.sessions.Store(&all)
}

// DeleteClone reports whether the session existed.
func (m *Machine) DeleteClone(session uint32) bool {
	m.replication.Lock()
	defer m.replication.Unlock()
	all := maps.Clone(*m.sessions.Load())
	_, ok := all[session]
	delete(all, session)
	m.sessions.Store(&all)
	return ok
}

// Clone returns a clone session.
func (m *Machine) Clone(session uint32) (CloneSession, bool) {
	s, ok := (*m.sessions.Load())[session]
	s.Replicas = slices.Clone(s.Replicas)
	return s, ok
}

// Idle yields the entries whose idle timeout has run out since they were last
// hit or last yielded.
func (m *Machine) Idle(yield func(*Table, EntryState) bool) {
	now := m.clock()
	for _, t := range m.tables {
		if !t.d.timeout {
			continue
		}
		t.mu.Lock()
		var out []*entry
		for _, e := range t.all {
			s := e.stats
			idle := s.idle.Load()
			if idle <= 0 || now-s.lastHit.Load() < idle {
				continue
			}
			if x := s.more(); now-x.told.Load() >= idle {
				x.told.Store(now)
				out = append(out, e)
			}
		}
		t.mu.Unlock()
		for _, e := range out {
			if !yield(t, t.state(e, new(stateBuffer))) {
				return
			}
		}
	}
}

// Stats returns the counters.
func (m *Machine) Stats() Stats {
	return Stats{Received: m.received.Load(), Emitted: m.emitted.Load(), Dropped: m.dropped.Load(),
		ParserErrors: m.parserErrors.Load(), NoClone: m.noClone.Load(), NoGroup: m.noGroup.Load(),
		Loops: m.loops.Load(), Asserts: m.asserts.Load(), Replicated: m.replicated.Load(), Copies: m.copies.Load()}
}

func names[T interface{ Name() string }](list []T) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.Name()
	}
	return out
}

// CounterNames, MeterNames and RegisterNames are those of the indirect arrays.
func (m *Machine) CounterNames() []string  { return names(m.counters) }
func (m *Machine) MeterNames() []string    { return names(m.meters) }
func (m *Machine) RegisterNames() []string { return names(m.registers) }
