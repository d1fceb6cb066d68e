package state

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

const (
	prefetchLinks  = 2  // devices that many links from a hosted vport's are loaded before they are needed
	prefetchFanOut = 64 // but not those behind a device with more links: a provider's router leads to everybody
)

// loader decides which devices a store with edges follows (E7): those that have a vport at its edges, their surroundings, and those that were asked for.
// One that is not wanted any more stays for a while.
type loader struct {
	watcher *Watcher
	partial bool
	linger  time.Duration
	now     func() time.Time

	// Owned by the watcher's goroutine:
	hosts   map[string]topology.DeviceID   // by place
	loaded  map[topology.DeviceID]struct{} // in the view
	waiting map[topology.DeviceID]struct{} // near, and not loaded

	mu       sync.Mutex
	near     map[topology.DeviceID]struct{}  // hosts and their surroundings
	asked    map[topology.DeviceID]int       // Loads without their Release
	followed map[topology.DeviceID]time.Time // since when it is not wanted; zero: it is
}

func newLoader(w *Watcher, cfg *Config) *loader {
	return &loader{
		watcher: w, partial: len(cfg.Edges) > 0, linger: cfg.Linger, now: cfg.Now, hosts: map[string]topology.DeviceID{},
		loaded: map[topology.DeviceID]struct{}{}, waiting: map[topology.DeviceID]struct{}{}, near: map[topology.DeviceID]struct{}{}, asked: map[topology.DeviceID]int{},
		followed: map[topology.DeviceID]time.Time{},
	}
}

// partial reports whether views hold a part of the network.
func (s *Store) partial() bool { return s.loader.partial }

// Load has a device in the views from soon on, until it is released as often as loaded. A store without edges has everything anyway.
func (s *Store) Load(device topology.DeviceID) {
	l := s.loader
	if !l.partial {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[device]++
	l.wantLocked(device)
}

// Release ends one Load.
func (s *Store) Release(device topology.DeviceID) {
	l := s.loader
	if !l.partial {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked[device]--; l.asked[device] <= 0 {
		delete(l.asked, device)
		l.unwantLocked(device)
	}
}

// wantLocked follows a device.
func (l *loader) wantLocked(device topology.DeviceID) {
	if _, ok := l.followed[device]; !ok {
		l.watcher.Add(devicePrefix(device))
	}
	l.followed[device] = time.Time{}
}

// unwantLocked takes note that there is one reason less for a device.
func (l *loader) unwantLocked(device topology.DeviceID) {
	_, near := l.near[device]
	if since, ok := l.followed[device]; ok && !near && l.asked[device] == 0 && since.IsZero() {
		l.followed[device] = l.now()
	}
}

// took takes note of what a batch brought, of which the view has topo. It reports whether all that is near is loaded.
func (l *loader) took(b Batch, m *batch, topo *topology.Snapshot) bool {
	if !l.partial {
		return true
	}
	links := len(m.hosts)+len(m.topo.Forget)+len(m.topo.Put)+len(m.topo.Delete) > 0
	for place, device := range m.hosts {
		if l.hosts[place] = device; device == 0 {
			delete(l.hosts, place)
		}
	}
	for _, p := range b.Dropped {
		if id, ok := deviceOfPrefix(p); ok {
			delete(l.loaded, id)
			if _, near := l.near[id]; near {
				l.waiting[id] = struct{}{}
			}
		}
	}
	for _, p := range b.Listed {
		if id, ok := deviceOfPrefix(p); ok {
			l.loaded[id] = struct{}{}
			delete(l.waiting, id)
		}
	}
	if links {
		l.approach(l.surroundings(topo))
	}
	return len(l.waiting) == 0
}

// approach makes the devices that are near those in next.
func (l *loader) approach(next map[topology.DeviceID]struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.near
	l.near = next
	for id := range next {
		if _, was := before[id]; !was {
			if _, ok := l.loaded[id]; !ok {
				l.waiting[id] = struct{}{}
			}
			l.wantLocked(id)
		}
	}
	for id := range before {
		if _, is := next[id]; !is {
			delete(l.waiting, id)
			l.unwantLocked(id)
		}
	}
}

// surroundings returns the hosted devices, the DHCP resources of their vports, and the devices at most prefetchLinks links away. A link between two
// bridges counts for nothing: a flood domain is loaded whole, since its sets of vports are (E10).
func (l *loader) surroundings(topo *topology.Snapshot) map[topology.DeviceID]struct{} {
	seen := map[topology.DeviceID]struct{}{}
	var queue, next []topology.DeviceID
	for _, id := range l.hosts {
		queue = append(queue, id)
		for _, d := range topo.DHCPs(id) {
			seen[d] = struct{}{}
		}
	}
	for distance := 0; distance <= prefetchLinks; distance++ {
		for i := 0; i < len(queue); i++ {
			id := queue[i]
			if _, ok := seen[id]; ok {
				continue
			}
			seen[id] = struct{}{}
			level, beyond := topo.Linked(id)
			queue = append(queue, level...)
			if len(beyond) <= prefetchFanOut {
				next = append(next, beyond...)
			}
		}
		queue, next = next, nil
	}
	return seen
}

// forget stops following what has not been wanted for long enough, now and then, until ctx ends.
func (l *loader) forget(ctx context.Context) error {
	tick := time.NewTicker(max(l.linger/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			l.sweep()
		}
	}
}

func (l *loader) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for id, since := range l.followed {
		if !since.IsZero() && now.Sub(since) >= l.linger {
			delete(l.followed, id)
			l.watcher.Remove(devicePrefix(id))
		}
	}
}

// DeviceOf returns the device that an id of the space of vports and groups belongs to; 0 if there is none.
func (s *Store) DeviceOf(ctx context.Context, dest flow.Dest) (topology.DeviceID, error) {
	device := topology.DeviceID(dest)
	resp, err := s.client.Txn(ctx).Then(clientv3.OpGet(vportKey(dest.VPort())), clientv3.OpGet(selfKey(device), clientv3.WithCountOnly())).Commit()
	if err != nil {
		return 0, fmt.Errorf("state: device of %d: %w", dest, err)
	}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		id, err := parseID(string(kvs[0].Value))
		return topology.DeviceID(id), err
	}
	if resp.Responses[1].GetResponseRange().Count > 0 {
		return device, nil
	}
	return 0, nil
}

// deviceOfPort returns the device of a vport, loaded or not, and the revision at which it was; 0 if there is no such vport.
func (s *Store) deviceOfPort(ctx context.Context, port flow.VPortID) (topology.DeviceID, int64, error) {
	v := s.View()
	if p := v.Topology.VPort(port); p != nil {
		return p.Device, v.Revision, nil
	}
	if !s.partial() {
		return 0, v.Revision, nil
	}
	device, err := s.DeviceOf(ctx, port.Dest())
	return device, v.Revision, err
}

// deviceOfPrefix returns the device whose keys begin with a prefix that is followed.
func deviceOfPrefix(prefix string) (topology.DeviceID, bool) {
	rest, ok := strings.CutPrefix(prefix, devPrefix)
	if !ok || rest == "" {
		return 0, false
	}
	id, err := strconv.ParseUint(strings.TrimSuffix(rest, "/"), 10, 32)
	return topology.DeviceID(id), err == nil
}
