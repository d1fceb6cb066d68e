package state

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// gapPerEdge is how much less often etcd is asked how far it is for changes of other edges alone, for each edge: when many come at once, all of them ask, and all of them together
// are to ask 2,000 times a second at most, however many they are.
const gapPerEdge = 500 * time.Microsecond

// reader turns batches into views. It belongs to the watcher's goroutine.
type reader struct {
	known  map[string]map[string]int64 // modification revision of every key read, by prefix
	acks   map[string]Ack              // of edges, alive or not
	conf   int64                       // last change of the configuration
	ribs   ribTables
	losses []ribLoss     // that are being swept
	bad    atomic.Uint64 // values that couldn't be decoded
}

// batch is a Batch by meaning: the last word on each key.
type batch struct {
	topo   topology.Changes
	binds  map[flow.VPortID]*Binding
	hosts  map[string]topology.DeviceID // by place, at the edges that this store is for; 0: nothing is there any more
	edges  map[string]*EdgeInfo
	live   map[string]*Liveness // nil: not any more
	acks   map[string]*Ack      // nil: not any more
	agents []agentChange
	conf   int64 // revision of the generation, if it changed
	fdb    []fdbChange
	arp    []arpChange
	ribs   []ribChange
	told   []Told
	before *topology.Snapshot

	noRoutes bool // learned routes are passed over
}

// deliver is called by the watcher with all that happened up to a revision.
func (s *Store) deliver(b Batch) error {
	old := s.view.Load()
	m := batch{
		binds: map[flow.VPortID]*Binding{}, hosts: map[string]topology.DeviceID{}, edges: map[string]*EdgeInfo{}, live: map[string]*Liveness{}, acks: map[string]*Ack{},
		before: old.Topology, noRoutes: s.cfg.NoRoutes,
	}
	for _, p := range b.Dropped {
		m.forget(p, s.reader.known[p])
		delete(s.reader.known, p)
	}
	for _, e := range s.reader.settle(b) {
		if err := m.add(e); err != nil {
			s.reader.bad.Add(1)
			s.log.Warn("value in the database is not understood", "key", e.Key, "err", err)
		}
	}
	s.reader.forgetRIBs(m.topo.Forget)
	losses := len(s.reader.losses)
	if m.topo.Withdrawn, m.topo.Routes = s.reader.learnRIBs(m.ribs); len(s.reader.losses) > 0 {
		s.watcher.again()
	}
	v := &View{Revision: b.Revision, Whole: old.Whole, Conf: old.Conf, Topology: old.Topology, Bindings: old.Bindings.with(m.binds), Edges: old.Edges, Known: old.Known, Agents: old.Agents}
	var deps []topology.Dep
	if m.hasTopology() {
		v.Topology, deps = old.Topology.With(m.topo)
	}
	for id := range m.binds {
		deps = append(deps, topology.BindingDep(id))
	}
	s.reader.conf = max(s.reader.conf, m.conf)
	if s.loader.took(b, &m, v.Topology) {
		v.Whole, v.Conf = b.Revision, s.reader.conf
	}
	edges := len(m.edges)+len(m.live)+len(m.acks)+len(m.agents) > 0
	if edges {
		v.Known, v.Edges = s.reader.newEdges(&m, old)
		v.Agents = m.newAgents(old.Agents)
		s.watcher.setGap(time.Duration(v.Known.Len()) * gapPerEdge)
	}
	s.learnt.observe(m.fdb, m.arp)
	s.publish(v, deps, m.told, edges, m.moved(), len(s.reader.losses) < losses)
	return nil
}

// settle returns the last event of each key; of a listing, the difference to what was known.
func (r *reader) settle(b Batch) []Event {
	last := make(map[string]int, len(b.Events))
	for i, e := range b.Events {
		last[e.Key] = i
	}
	out := make([]Event, 0, len(last))
	for i, e := range b.Events {
		known := r.known[e.Prefix]
		if last[e.Key] != i || known[e.Key] == e.ModRevision {
			continue
		}
		if known == nil {
			known = map[string]int64{}
			r.known[e.Prefix] = known
		}
		if e.Deleted {
			delete(known, e.Key)
		} else {
			known[e.Key] = e.ModRevision
		}
		out = append(out, e)
	}
	for _, p := range b.Listed {
		for key := range r.known[p] {
			if _, there := last[key]; !there {
				delete(r.known[p], key)
				out = append(out, Event{Prefix: p, Key: key, Deleted: true})
			}
		}
	}
	return out
}

// moved returns the edges that are otherwise.
func (m *batch) moved() map[string]struct{} {
	if len(m.edges)+len(m.live) == 0 {
		return nil
	}
	moved := make(map[string]struct{}, len(m.edges)+len(m.live))
	for id := range m.edges {
		moved[id] = struct{}{}
	}
	for id := range m.live {
		moved[id] = struct{}{}
	}
	return moved
}

func (m *batch) hasTopology() bool {
	c := &m.topo
	return len(c.Forget)+len(c.Delete)+len(c.Put)+len(c.FDB)+len(c.BridgeNeighbours)+len(c.Neighbours)+len(c.Withdrawn)+len(c.Routes)+len(c.Health)+len(c.Watchers)+len(c.Publics)+len(c.Links)+len(c.Demands) > 0
}

// forget takes note that a device is not followed any more.
func (m *batch) forget(prefix string, known map[string]int64) {
	for key := range known {
		k, err := parseDeviceKey(key)
		switch {
		case err != nil:
		case k.record == recordBind:
			m.binds[k.port] = nil
		case k.record == recordFDB:
			m.fdb = append(m.fdb, fdbChange{id: fdbID{k.device, k.mac}})
		case k.record == recordARP:
			m.arp = append(m.arp, arpChange{id: arpID{k.device, k.addr}})
		}
	}
	if id, ok := deviceOfPrefix(prefix); ok {
		m.topo.Forget = append(m.topo.Forget, id)
	}
}

// add sorts one event by its prefix.
func (m *batch) add(e Event) error {
	switch {
	case strings.HasPrefix(e.Key, devPrefix):
		return m.addRecord(e)
	case strings.HasPrefix(e.Key, confPrefix):
		return m.addObject(e)
	case strings.HasPrefix(e.Key, ifacePrefix):
		m.hosts[e.Key] = 0
		if e.Deleted {
			return nil
		}
		b, err := decodeBinding(e.Key, e.Value)
		if err == nil {
			m.hosts[e.Key] = b.Device
		}
		return err
	case strings.HasPrefix(e.Key, ackPrefix):
		return m.addAck(e)
	case strings.HasPrefix(e.Key, inboxPrefix):
		return m.addTold(e)
	case strings.HasPrefix(e.Key, metaPrefix):
		if e.Key == generationKey {
			m.conf = e.ModRevision
		}
		return nil
	}
	return m.addEdge(e)
}

// addRecord takes a key of a device.
func (m *batch) addRecord(e Event) error {
	k, err := parseDeviceKey(e.Key)
	if err != nil {
		return err
	}
	switch k.record {
	case recordSelf, recordPort, recordBGP:
		if e.Deleted {
			m.remove(k)
			return nil
		}
		return m.putRecord(k, e)
	case recordBind:
		if e.Deleted {
			if m.binds[k.port] == nil { // else it is another device's now
				m.binds[k.port] = nil
			}
			return nil
		}
		b, err := decodeBinding(e.Key, e.Value)
		if err == nil {
			m.binds[k.port] = &b
		}
		return err
	case recordFDB:
		v := fdbValue{}
		if !e.Deleted {
			v, err = decodeFDB(e.Value)
		}
		if err == nil {
			m.topo.FDB = append(m.topo.FDB, topology.FDBEntry{Bridge: k.device, MAC: k.mac, Port: v.vport})
			m.fdb = append(m.fdb, fdbChange{fdbID{k.device, k.mac}, v})
		}
		return err
	}
	switch k.record {
	case recordRIB:
		if m.noRoutes {
			return nil
		}
		return m.addRIB(k, e)
	case recordHealth:
		return m.addHealth(k, e)
	case recordPublic:
		return m.addPublic(k, e)
	case recordDown:
		m.addDown(k, e)
		return nil
	case recordWant:
		return m.addWant(k, e)
	case recordMonitor:
		m.topo.Watchers = append(m.topo.Watchers, topology.PoolWatcher{Pool: k.device, Edge: string(e.Value)})
		return nil
	}
	n := neighValue{}
	if !e.Deleted {
		if n, err = decodeNeigh(e.Value); err != nil {
			return err
		}
	}
	if k.record == recordARP {
		m.topo.BridgeNeighbours = append(m.topo.BridgeNeighbours, topology.BridgeNeighbour{Bridge: k.device, Addr: k.addr, MAC: n.mac})
		m.arp = append(m.arp, arpChange{arpID{k.device, k.addr}, n.mac})
		return nil
	}
	state := topology.NeighbourAbsent
	switch {
	case n.known:
		state = topology.NeighbourOK
	case n.attempts > 0:
		state = topology.NeighbourAsked
	}
	m.topo.Neighbours = append(m.topo.Neighbours, topology.Neighbour{Port: k.port, Addr: k.addr, MAC: n.mac, State: state})
	return nil
}

// addPublic takes public addresses of an object.
func (m *batch) addPublic(k deviceKey, e Event) error {
	c := topology.PublicChange{Router: k.device, Key: k.public}
	if !e.Deleted {
		c.Public = &topology.Public{Router: k.device, Owner: k.public.Owner, Of: k.public.Of}
		if err := json.Unmarshal(e.Value, c.Public); err != nil {
			return fmt.Errorf("%w: key %s: %w", ErrCodec, e.Key, err)
		}
	}
	m.topo.Publics = append(m.topo.Publics, c)
	return nil
}

// putRecord takes a device, a port or session of one, or a DHCP resource.
func (m *batch) putRecord(k deviceKey, e Event) error {
	o := new(topology.Object)
	if err := o.UnmarshalJSON(e.Value); err != nil {
		return fmt.Errorf("%w: key %s: %w", ErrCodec, e.Key, err)
	}
	id := uint32(k.device)
	fits := o.Kind.HasID() && o.Kind != topology.KindVPort
	switch k.record {
	case recordPort:
		id, fits = uint32(k.port), o.Kind == topology.KindVPort
	case recordBGP:
		id, fits = 0, o.Ref() == k.object
	}
	if !fits || o.Status.ID != id {
		return fmt.Errorf("%w: key %s holds %v with id %d", ErrCodec, e.Key, o.Ref(), o.Status.ID)
	}
	if id, there := m.before.ID(o.Ref()); there && id != o.Status.ID {
		m.topo.Delete = append(m.topo.Delete, o.Ref()) // deleted and made anew since the last view
	}
	m.topo.Put = append(m.topo.Put, o)
	return nil
}

// remove takes note that a device or a port of one is deleted.
func (m *batch) remove(k deviceKey) {
	ref := k.object // of a session
	switch k.record {
	case recordPort:
		if p := m.before.VPort(k.port); p != nil && (p.Device == k.device || p.Device == 0) {
			ref = topology.Ref{Kind: topology.KindVPort, Tenant: p.Tenant, Name: p.Name}
		}
	case recordSelf:
		ref, _ = m.before.Ref(k.device)
	}
	if ref.Kind != "" {
		m.topo.Delete = append(m.topo.Delete, ref)
	}
}

// addObject takes an object that is read as it is written: the fabric.
func (m *batch) addObject(e Event) error {
	ref, err := parseConfKey(e.Key)
	if err != nil {
		return err
	}
	if e.Deleted {
		m.topo.Delete = append(m.topo.Delete, ref)
		return nil
	}
	o, err := decodeObject(e.Key, e.Value)
	if err == nil {
		m.topo.Put = append(m.topo.Put, o)
	}
	return err
}

func (m *batch) addEdge(e Event) error {
	id, what, _ := strings.Cut(strings.TrimPrefix(e.Key, edgePrefix), "/")
	switch {
	case what == "term" || strings.HasPrefix(what, "agent/"):
		return m.addAgent(id, what, e)
	case what == "live" && e.Deleted:
		m.live[id] = nil
	case what == "live":
		var at Liveness
		if err := json.Unmarshal(e.Value, &at); err != nil {
			return fmt.Errorf("%w: key %s: %w", ErrCodec, e.Key, err)
		}
		m.live[id] = &at
	case e.Deleted:
		m.edges[id] = nil
	default:
		info, err := decodeEdge(e.Key, e.Value)
		if err != nil {
			return err
		}
		m.edges[id] = &info
	}
	return nil
}

func (m *batch) addAck(e Event) error {
	id, _, _ := strings.Cut(strings.TrimPrefix(e.Key, ackPrefix), "/")
	if e.Deleted {
		m.acks[id] = nil
		return nil
	}
	a := new(Ack)
	if err := json.Unmarshal(e.Value, a); err != nil {
		return fmt.Errorf("%w: key %s: %w", ErrCodec, e.Key, err)
	}
	m.acks[id] = a
	return nil
}

// newEdges returns the edges that are known, and of these the live ones.
func (r *reader) newEdges(m *batch, before *View) (EdgeMap[EdgeInfo], EdgeMap[Edge]) {
	known, live := edgeEdit[EdgeInfo]{EdgeMap: before.Known}, edgeEdit[Edge]{EdgeMap: before.Edges}
	for id, a := range m.acks {
		if a == nil {
			delete(r.acks, id)
		} else {
			r.acks[id] = *a
		}
	}
	for id, info := range m.edges {
		if info == nil {
			known.remove(id)
			live.remove(id)
			continue
		}
		known.set(id, *info)
		if e, ok := live.Get(id); ok {
			e.EdgeInfo = *info
			live.set(id, e)
		}
	}
	for id, at := range m.live {
		info, ok := known.Get(id)
		if at == nil || !ok {
			live.remove(id)
			continue
		}
		live.set(id, Edge{info, Progress{r.acks[id], *at}})
	}
	for id := range m.acks {
		if e, ok := live.Get(id); ok {
			e.Ack = r.acks[id]
			live.set(id, e)
		}
	}
	return known.EdgeMap, live.EdgeMap
}
