package state

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

const (
	pinMoves  = 5                // a MAC that moves more often …
	pinWindow = 10 * time.Second // … in this time is pinned
)

// Learnt says what came of learning something.
type Learnt uint8

// Outcomes of learning. In all of them the entry's present contents are returned too.
const (
	LearntNothing  Learnt = iota // it was so already
	LearntNew                    // the entry is new, or was waiting for the answer
	LearntMove                   // the entry was another's
	RefusedSeed                  // the configuration says otherwise, and wins (B4, B5)
	RefusedPinned                // the MAC moved too often and stays where it is
	RefusedFull                  // too many MACs behind that port, or too many addresses
	RefusedUnasked               // nobody asked for that neighbour (R4)
	RefusedGone                  // the device or port is not in the configuration any more
	RefusedMAC                   // the MAC of that address was not learnt
)

// String returns the name used in traces and metrics.
func (l Learnt) String() string {
	names := [...]string{"nothing", "new", "move", "seed", "pinned", "full", "unasked", "gone", "mac"}
	if int(l) < len(names) {
		return names[l]
	}
	return fmt.Sprintf("learnt(%d)", uint8(l))
}

// LearnMAC tells where a bridge saw a MAC as source (K8, B2), by compare-and-set: all edges get the same answer.
// It returns the port where the MAC is now, and the revision from which views show that.
func (s *Store) LearnMAC(ctx context.Context, bridge topology.DeviceID, mac packet.MAC, port flow.VPortID) (Learnt, flow.VPortID, int64, error) {
	if !mac.IsUnicast() {
		return 0, 0, 0, fmt.Errorf("state: learn %v: %w", mac, ErrNotStation)
	}
	v := s.View()
	known := flow.VPortID(0)
	if b := v.Topology.Bridge(bridge); b != nil {
		var has bool
		known, has = b.FDB(mac)
		switch {
		case has && known == port:
			return LearntNothing, port, v.Revision, nil
		case has && b.SeededMAC(mac):
			return RefusedSeed, known, v.Revision, nil
		}
	} else if !s.partial() {
		return RefusedGone, 0, v.Revision, nil
	}
	if s.learnt.count(port) >= s.cfg.MaxMACsPerPort {
		return RefusedFull, known, v.Revision, nil
	}
	return s.storeMAC(ctx, bridge, mac, port)
}

// storeMAC is LearnMAC whatever the view says.
func (s *Store) storeMAC(ctx context.Context, bridge topology.DeviceID, mac packet.MAC, port flow.VPortID) (Learnt, flow.VPortID, int64, error) {
	id := fdbID{bridge, mac}
	key, guard := fdbKey(bridge, mac), portKey(bridge, port)
	at, outcome := port, LearntNew
	res, err := s.settle(ctx, Op{Key: key, Guard: guard, Value: appendFDB(nil, fdbValue{vport: port})}, func(res OpResult) (Op, bool) {
		stored, err := decodeFDB(res.Value)
		next := fdbValue{vport: port}
		switch {
		case err != nil: // not ours to understand: replaced
			outcome, at = LearntNew, port
		case stored.vport == port:
			outcome, at = LearntNothing, port
			return Op{}, false
		case stored.pinned:
			outcome, at = RefusedPinned, stored.vport
			return Op{}, false
		case s.learnt.restless(id):
			s.log.Warn("MAC moves too often and is pinned", "bridge", bridge, "mac", mac, "vport_id", stored.vport)
			outcome, at = RefusedPinned, stored.vport
			next = fdbValue{vport: stored.vport, pinned: true}
		default:
			outcome, at = LearntMove, port
		}
		return Op{Key: key, Guard: guard, Value: appendFDB(nil, next), Expect: res.ModRevision}, true
	})
	if res.GuardGone {
		return RefusedGone, 0, res.Revision, err
	}
	return outcome, at, res.Revision, err
}

// ForgetMAC removes a learnt MAC if it is still behind port (B3: no flow backs it any more).
func (s *Store) ForgetMAC(ctx context.Context, bridge topology.DeviceID, mac packet.MAC, port flow.VPortID) (int64, error) {
	key := fdbKey(bridge, mac)
	return s.forget(ctx, key, func(value []byte) bool {
		v, err := decodeFDB(value)
		return err == nil && v.vport == port
	})
}

// LearnBridgeNeighbour tells a bridge the MAC of an address that it saw as source behind a port (K9, B5). It is stored only with its MAC in the bridge's table, so that what bounds
// MACs, and takes them away, does so with addresses.
func (s *Store) LearnBridgeNeighbour(ctx context.Context, bridge topology.DeviceID, port flow.VPortID, addr netip.Addr, mac packet.MAC) (Learnt, int64, error) {
	if !mac.IsUnicast() || !learnable(addr) {
		return 0, 0, fmt.Errorf("state: learn %v at %v: %w", addr, mac, ErrNotStation)
	}
	v := s.View()
	seeded := false
	if b := v.Topology.Bridge(bridge); b != nil {
		seeded = b.SeededMAC(mac)
		known, has := b.Neighbour(addr)
		switch {
		case has && known == mac:
			return LearntNothing, v.Revision, nil
		case has && b.SeededNeighbour(addr):
			return RefusedSeed, v.Revision, nil
		}
	} else if !s.partial() {
		return RefusedGone, v.Revision, nil
	}
	id := fdbID{bridge, mac}
	if s.learnt.addrsAt(id) >= s.cfg.MaxAddrsPerMAC || s.learnt.addrsBehind(port) >= s.cfg.MaxAddrsPerPort {
		return RefusedFull, v.Revision, nil
	}
	guard, place := selfKey(bridge), s.LearnMAC
	if !seeded {
		guard = fdbKey(bridge, mac)
	}
	for range casAttempts {
		learnt, _, rev, err := place(ctx, bridge, mac, port)
		switch {
		case err != nil:
			return 0, rev, err
		case learnt == RefusedGone:
			return RefusedGone, rev, nil
		case learnt > LearntMove:
			return RefusedMAC, rev, nil
		}
		learnt, res, err := s.storeAddr(ctx, id, guard, addr)
		if !res.GuardGone || err != nil {
			return learnt, res.Revision, err
		}
		if seeded {
			return RefusedGone, res.Revision, nil
		}
		place = s.storeMAC // it was forgotten, and the view does not show that yet
	}
	return 0, 0, fmt.Errorf("state: %s: %w", arpKey(bridge, addr), ErrConflict)
}

// storeAddr writes an entry of a bridge's ARP cache as long as the guard is there.
func (s *Store) storeAddr(ctx context.Context, at fdbID, guard string, addr netip.Addr) (outcome Learnt, res OpResult, err error) {
	key, value := arpKey(at.bridge, addr), appendNeigh(nil, neighValue{known: true, mac: at.mac})
	outcome = LearntNew
	res, err = s.settle(ctx, Op{Key: key, Guard: guard, Value: value}, func(res OpResult) (Op, bool) {
		outcome = LearntMove
		if string(res.Value) == string(value) {
			outcome = LearntNothing
			return Op{}, false
		}
		return Op{Key: key, Guard: guard, Value: value, Expect: res.ModRevision}, true
	})
	return outcome, res, err
}

// ForgetBridgeNeighbour removes a learnt entry of a bridge's ARP cache if it still says mac.
func (s *Store) ForgetBridgeNeighbour(ctx context.Context, bridge topology.DeviceID, addr netip.Addr, mac packet.MAC) (int64, error) {
	return s.forget(ctx, arpKey(bridge, addr), isNeigh(neighValue{known: true, mac: mac}))
}

// AskNeighbour notes that an edge is about to ask for an address at a router port, for the attempt-th time, counted from 1 (R4).
// ask tells the caller to send the request: of all edges that call with the same attempt one is told so. If the neighbour is
// known already, its MAC is returned. A question goes with the edge that asked it: an agent that is killed leaves none that nobody takes back.
func (s *Store) AskNeighbour(ctx context.Context, edge string, port flow.VPortID, addr netip.Addr, attempt uint8) (ask bool, mac packet.MAC, revision int64, err error) {
	if attempt == 0 || !learnable(addr) {
		return false, mac, 0, fmt.Errorf("state: ask for %v, attempt %d: not something to ask for", addr, attempt)
	}
	router, at, err := s.deviceOfPort(ctx, port)
	if err != nil || router == 0 {
		return false, mac, at, err
	}
	key, guard, lease := neighKey(router, port, addr), portKey(router, port), s.leaseOf(edge)
	value := appendNeigh(nil, neighValue{attempts: attempt})
	ask = true
	res, err := s.settle(ctx, Op{Key: key, Guard: guard, Value: value, Lease: lease}, func(res OpResult) (Op, bool) {
		stored, err := decodeNeigh(res.Value)
		if err == nil && (stored.known || stored.attempts >= attempt) {
			ask, mac = false, stored.mac
			return Op{}, false
		}
		ask, mac = true, packet.MAC{}
		return Op{Key: key, Guard: guard, Value: value, Expect: res.ModRevision, Lease: lease}, true
	})
	return ask && res.Applied && err == nil, mac, res.Revision, err
}

// LearnNeighbour tells a router port the MAC of a neighbour that answered. Without a request it creates nothing; it replaces another MAC only if no edge
// learnt or confirmed that one after revision replace, when the caller began to ask for it in vain.
func (s *Store) LearnNeighbour(ctx context.Context, port flow.VPortID, addr netip.Addr, mac packet.MAC, replace int64) (Learnt, int64, error) {
	if !mac.IsUnicast() || !learnable(addr) {
		return 0, 0, fmt.Errorf("state: learn %v at %v: %w", addr, mac, ErrNotStation)
	}
	router, at, err := s.deviceOfPort(ctx, port)
	if err != nil || router == 0 {
		return RefusedGone, at, err
	}
	key := neighKey(router, port, addr)
	value := appendNeigh(nil, neighValue{known: true, mac: mac})
	outcome := LearntNew
	// The view may not show yet that somebody asked: begin with the revision that says "read it".
	res, err := s.settle(ctx, Op{Key: key, Value: value, Expect: neverRevision}, func(res OpResult) (Op, bool) {
		stored, err := decodeNeigh(res.Value)
		switch {
		case res.ModRevision == 0:
			outcome = RefusedUnasked
			return Op{}, false
		case err == nil && stored.known && stored.mac == mac:
			outcome = LearntNothing
			return Op{}, false
		case err == nil && stored.known && res.ModRevision > replace:
			outcome = RefusedPinned
			return Op{}, false
		case err == nil && stored.known:
			outcome = LearntMove
		default:
			outcome = LearntNew
		}
		return Op{Key: key, Value: value, Expect: res.ModRevision}, true
	})
	return outcome, res.Revision, err
}

// ConfirmNeighbour says that the station at mac still answers for addr, as is known, so that no edge that probes it gives its place to another (R4).
func (s *Store) ConfirmNeighbour(ctx context.Context, port flow.VPortID, addr netip.Addr, mac packet.MAC) (int64, error) {
	router, at, err := s.deviceOfPort(ctx, port)
	if err != nil || router == 0 {
		return at, err
	}
	key := neighKey(router, port, addr)
	res, err := s.settle(ctx, Op{Key: key, Value: appendNeigh(nil, neighValue{known: true, mac: mac}), Expect: neverRevision}, func(res OpResult) (Op, bool) {
		v, err := decodeNeigh(res.Value)
		return Swap(key, res.Value, res.ModRevision), res.ModRevision != 0 && err == nil && v.known && v.mac == mac
	})
	return res.Revision, err
}

// ForgetNeighbour removes an entry of a router port if it still says mac; the zero MAC: if it still waits for an answer.
func (s *Store) ForgetNeighbour(ctx context.Context, port flow.VPortID, addr netip.Addr, mac packet.MAC) (int64, error) {
	router, at, err := s.deviceOfPort(ctx, port)
	if err != nil || router == 0 {
		return at, err
	}
	return s.forget(ctx, neighKey(router, port, addr), func(value []byte) bool {
		v, err := decodeNeigh(value)
		return err == nil && v.mac == mac
	})
}

// neverRevision is no key's modification revision: an operation that expects it reads.
const neverRevision = 1<<63 - 1

func isNeigh(want neighValue) func([]byte) bool {
	return func(value []byte) bool {
		v, err := decodeNeigh(value)
		return err == nil && v == want
	}
}

// learnable reports whether addr can be the address of one station.
func learnable(addr netip.Addr) bool {
	return addr.IsValid() && addr.Zone() == "" && !addr.Is4In6() && !addr.IsMulticast() && !addr.IsUnspecified() && !addr.IsLoopback()
}

// settle writes op, and as long as something else is stored, what again makes of that.
func (s *Store) settle(ctx context.Context, op Op, again func(OpResult) (Op, bool)) (OpResult, error) {
	for range casAttempts {
		res, err := s.writer.Do(ctx, op)
		if err != nil || res.Applied || res.GuardGone {
			return res, err
		}
		next, more := again(res)
		if !more {
			return res, nil
		}
		op = next
	}
	return OpResult{}, fmt.Errorf("state: %s: %w", op.Key, ErrConflict)
}

// forget removes a key while its value is as wanted.
func (s *Store) forget(ctx context.Context, key string, wanted func([]byte) bool) (int64, error) {
	res, err := s.settle(ctx, Op{Key: key, Delete: true, Expect: neverRevision}, func(res OpResult) (Op, bool) {
		return Remove(key, res.ModRevision), res.ModRevision != 0 && wanted(res.Value)
	})
	return res.Revision, err
}
