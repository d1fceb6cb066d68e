package state

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

type flowVPortID = flow.VPortID

func mac(n byte) packet.MAC { return packet.MAC{2, 0, 0, 0, 1, n} }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestLearnMAC(t *testing.T) {
	now := time.Now()
	var offset atomic.Int64
	s, _ := openStore(t, Config{
		Embedded: &EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}, MaxMACsPerPort: 3,
		Now: func() time.Time { return now.Add(time.Duration(offset.Load())) },
	})
	apply(t, s, network)
	learn := func(m packet.MAC, port, wantPort flow.VPortID, want Learnt) {
		t.Helper()
		got, at, rev, err := s.LearnMAC(t.Context(), 1, m, port)
		if err != nil || got != want || at != wantPort {
			t.Errorf("learn %v at %d: %v at %d, %v; want %v at %d", m, port, got, at, err, want, wantPort)
		}
		wait(t, s, rev)
	}
	vm1, vm2 := flow.VPortID(5), flow.VPortID(6)
	learn(mac(1), vm1, vm1, LearntNew)
	learn(mac(1), vm1, vm1, LearntNothing)
	learn(packet.MAC{2, 0, 0, 0, 0, 0x99}, vm2, vm1, RefusedSeed)
	for range 2 { // five moves in ten seconds are fine
		learn(mac(1), vm2, vm2, LearntMove)
		learn(mac(1), vm1, vm1, LearntMove)
	}
	learn(mac(1), vm2, vm2, LearntMove)
	offset.Add(int64(pinWindow))
	learn(mac(1), vm1, vm1, LearntMove) // the sixth comes later
	for _, at := range []flow.VPortID{vm2, vm1, vm2, vm1} {
		learn(mac(1), at, at, LearntMove)
	}
	learn(mac(1), vm2, vm1, RefusedPinned)
	offset.Add(int64(pinWindow))
	learn(mac(1), vm2, vm1, RefusedPinned) // stays so
	if v := s.View(); v.Topology.VPort(vm1) == nil {
		t.Fatal("vm1 went")
	}
	if rev, err := s.ForgetMAC(t.Context(), 1, mac(1), vm2); err != nil {
		t.Error(err)
	} else if p, _ := wait(t, s, rev).Topology.Bridge(1).FDB(mac(1)); p != vm1 {
		t.Error("forgotten for a port where it isn't")
	}
	if rev, err := s.ForgetMAC(t.Context(), 1, mac(1), vm1); err != nil {
		t.Error(err)
	} else if _, ok := wait(t, s, rev).Topology.Bridge(1).FDB(mac(1)); ok {
		t.Error("not forgotten")
	}
	for i := range byte(3) {
		learn(mac(10+i), vm2, vm2, LearntNew)
	}
	learn(mac(20), vm2, 0, RefusedFull)
	learn(mac(10), vm2, vm2, LearntNothing)
	learn(mac(21), vm1, vm1, LearntNew)
	if _, _, _, err := s.LearnMAC(t.Context(), 1, packet.Broadcast(), vm1); err == nil {
		t.Error("learnt a broadcast address")
	}

	// What is deleted takes along what was learnt about it.
	rev, err := s.Delete(t.Context(), ref(topology.KindVPort, "vm2"))
	if err != nil {
		t.Fatal(err)
	}
	all, after := contents(t, s.client, recordPrefix(1, recordFDB))
	wait(t, s, max(rev, after))
	learn(mac(22), vm2, 0, RefusedGone)
	if len(all) != 1 || all[fdbKey(1, mac(21))] == "" {
		t.Errorf("left in the table: %q", all)
	}
}

// Whatever was learnt about a network goes with it.
func TestDeleteForgetsLearnt(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	_, _, _, err1 := s.LearnMAC(t.Context(), 1, mac(1), 6)
	_, _, err2 := s.LearnBridgeNeighbour(t.Context(), 1, 6, addr("10.0.0.70"), mac(1))
	_, _, rev, err3 := s.AskNeighbour(t.Context(), "e1", 4, addr("2001:db8::70"), 1)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	wait(t, s, rev)
	if all, _ := contents(t, s.client, recordPrefix(1, recordFDB), recordPrefix(1, recordARP), recordPrefix(2, recordNeigh)); len(all) != 3 {
		t.Fatalf("learnt %q", all)
	}
	var refs []topology.Ref
	for _, o := range decode(t, network) {
		refs = append(refs, o.Ref())
	}
	// By a process that watches nothing, such as `weft delete`.
	other, err := Open(t.Context(), Config{Client: ClientConfig{Endpoints: s.Endpoints()}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	rev, err = other.Delete(t.Context(), refs...)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s, rev)
	if all, _ := contents(t, s.client, devPrefix, vportPrefix, ifacePrefix, confPrefix); len(all) != 0 {
		t.Errorf("left: %q", all)
	}
	if left := dump(s.View().Topology); len(left) != 0 {
		t.Errorf("view: %v", left)
	}
}

// TestDeleteForgetsBehind: a vport takes along what its bridge learnt behind it, MACs and the addresses at these and at its own, however many a host made up, by whatever process it is
// deleted; nothing else goes.
func TestDeleteForgetsBehind(t *testing.T) {
	for name, running := range map[string]bool{"weft delete": false, "API server": true} {
		t.Run(name, func(t *testing.T) {
			s := embeddedStore(t)
			rev := apply(t, s, network+"---\n{apiVersion: weft/v1, kind: VPort, metadata: {name: vm3, tenant: acme}, spec: {device: bridge/web, mac: \"02:00:00:00:00:03\"}}\n")
			vm3, _ := wait(t, s, rev).Topology.ID(ref(topology.KindVPort, "vm3"))
			ids := map[string]flow.VPortID{"vm2": 6, "vm3": flow.VPortID(vm3)}
			learn := func(port string, m packet.MAC, ips ...string) {
				for _, ip := range ips {
					got, _, err := s.LearnBridgeNeighbour(t.Context(), 1, ids[port], addr(ip), m)
					if err != nil || got != LearntNew {
						t.Errorf("%s at %v: %v, %v", ip, m, got, err)
					}
				}
			}
			learn("vm2", mac(1), "10.0.0.70", "2001:db8::70")
			learn("vm3", packet.MAC{2, 0, 0, 0, 0, 3}, "10.0.0.80", "2001:db8::80")
			var wg sync.WaitGroup
			for n := range byte(100) {
				wg.Go(func() { learn("vm3", mac(100+n), fmt.Sprintf("10.0.1.%d", n+1), fmt.Sprintf("fe80::%d", n+1)) })
			}
			wg.Wait()
			by := s
			if !running {
				var err error
				if by, err = Open(t.Context(), Config{Client: ClientConfig{Endpoints: s.Endpoints()}}); err != nil {
					t.Fatal(err)
				}
				defer by.Close()
			}
			if _, err := by.Delete(t.Context(), ref(topology.KindVPort, "vm3")); err != nil {
				t.Fatal(err)
			}
			all, _ := contents(t, s.client, recordPrefix(1, recordFDB), recordPrefix(1, recordARP))
			if len(all) != 3 || all[fdbKey(1, mac(1))] == "" || all[arpKey(1, addr("10.0.0.70"))] == "" || all[arpKey(1, addr("2001:db8::70"))] == "" {
				t.Errorf("%d entries are left, want the 3 of vm2: %q", len(all), all)
			}
		})
	}
}

// A device deleted at the same moment leaves no orphan: the write itself is conditional on the port.
func TestLearnGuard(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	stale := s.View()
	rev, err := s.Delete(t.Context(), ref(topology.KindVPort, "vm2"))
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s, rev)
	s.view.Store(stale) // as if the watch were late
	if got, _, _, err := s.LearnMAC(t.Context(), 1, mac(1), 6); err != nil || got != RefusedGone {
		t.Errorf("learnt behind a deleted port: %v, %v", got, err)
	}
	if all, _ := contents(t, s.client, recordPrefix(1, recordFDB)); len(all) != 0 {
		t.Errorf("orphan %q", all)
	}
}

// Many learners on two processes, each MAC at two ports: for each exactly one first place, and everybody ends with the same view.
func TestConcurrentLearning(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	wait(t, b, apply(t, a, network))
	var news, last atomic.Int64
	var wg sync.WaitGroup
	const macs = 50
	for g := range 8 {
		s, port := []*Store{a, b}[g%2], flow.VPortID(5+g/2%2)
		wg.Go(func() {
			for i := range byte(macs) {
				got, at, rev, err := s.LearnMAC(t.Context(), 1, mac(i), port)
				if err != nil {
					t.Error(err)
				}
				if got == LearntNew {
					news.Add(1)
				}
				if (got == LearntNew || got == LearntMove || got == LearntNothing) && at != port {
					t.Errorf("%v: learnt at %d, told %d", got, port, at)
				}
				for r := last.Load(); rev > r && !last.CompareAndSwap(r, rev); r = last.Load() {
				}
			}
		})
	}
	wg.Wait()
	if news.Load() != macs {
		t.Errorf("%d first places of %d MACs", news.Load(), macs)
	}
	va, vb := wait(t, a, last.Load()), wait(t, b, last.Load())
	for i := range byte(macs) {
		pa, oka := va.Topology.Bridge(1).FDB(mac(i))
		pb, okb := vb.Topology.Bridge(1).FDB(mac(i))
		if !oka || !okb || pa != pb {
			t.Errorf("MAC %d: at %d %v and %d %v", i, pa, oka, pb, okb)
		}
	}
	if n := a.learnt.count(5) + a.learnt.count(6); n != macs {
		t.Errorf("counted %d MACs, want %d", n, macs)
	}
}

func TestNeighbours(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	wait(t, b, apply(t, a, network))
	const router, port = topology.DeviceID(2), flow.VPortID(4) // edge-web
	for _, ip := range []string{"10.0.0.50", "2001:db8::50"} {
		t.Run(ip, func(t *testing.T) {
			at := addr(ip)
			if got, _, err := a.LearnNeighbour(t.Context(), port, at, mac(1), 1<<62); err != nil || got != RefusedUnasked {
				t.Errorf("unsolicited answer: %v, %v", got, err)
			}
			// Of all that want to ask, one does, per attempt.
			for attempt := uint8(1); attempt <= 3; attempt++ {
				var asks atomic.Int64
				var wg sync.WaitGroup
				for g := range 8 {
					wg.Go(func() {
						ask, _, _, err := []*Store{a, b}[g%2].AskNeighbour(t.Context(), "e1", port, at, attempt)
						if err != nil {
							t.Error(err)
						}
						if ask {
							asks.Add(1)
						}
					})
				}
				wg.Wait()
				if asks.Load() != 1 {
					t.Errorf("attempt %d: %d ask", attempt, asks.Load())
				}
			}
			if ask, _, rev, err := b.AskNeighbour(t.Context(), "e1", port, at, 2); ask || err != nil {
				t.Errorf("an earlier attempt asks again: %v", err)
			} else if _, st := wait(t, b, rev).Topology.Neighbour(port, at); st != topology.NeighbourAsked {
				t.Errorf("state %v, want asked", st)
			}
			got, rev, err := b.LearnNeighbour(t.Context(), port, at, mac(1), 0)
			if err != nil || got != LearntNew {
				t.Errorf("answer: %v, %v", got, err)
			}
			if m, st := wait(t, a, rev).Topology.Neighbour(port, at); st != topology.NeighbourOK || m != mac(1) {
				t.Errorf("the other edge sees %v %v", m, st)
			}
			if ask, m, _, err := a.AskNeighbour(t.Context(), "e1", port, at, 4); ask || m != mac(1) || err != nil {
				t.Errorf("asks for a known neighbour: %v %v %v", ask, m, err)
			}
			confirmed, err := b.ConfirmNeighbour(t.Context(), port, at, mac(1))
			if err != nil || confirmed <= rev {
				t.Fatalf("confirmed at %d, learnt at %d, %v", confirmed, rev, err)
			}
			for _, tc := range []struct {
				mac     packet.MAC
				replace int64
				want    Learnt
			}{{mac(1), 0, LearntNothing}, {mac(2), 0, RefusedPinned}, {mac(2), rev, RefusedPinned}, {mac(2), confirmed, LearntMove}} {
				if got, _, err := a.LearnNeighbour(t.Context(), port, at, tc.mac, tc.replace); err != nil || got != tc.want {
					t.Errorf("%v, replace %v: %v, %v; want %v", tc.mac, tc.replace, got, err, tc.want)
				}
			}
			for _, m := range []packet.MAC{{}, mac(1)} {
				if _, err := a.ForgetNeighbour(t.Context(), port, at, m); err != nil {
					t.Error(err)
				}
			}
			if all, _ := contents(t, a.client, neighKey(router, port, at)); len(all) != 1 {
				t.Error("forgotten with another MAC than it has")
			}
			rev, err = a.ForgetNeighbour(t.Context(), port, at, mac(2))
			if err != nil {
				t.Error(err)
			}
			if _, st := wait(t, b, rev).Topology.Neighbour(port, at); st != topology.NeighbourAbsent {
				t.Errorf("state %v after it was forgotten", st)
			}
		})
	}
	for _, bad := range []string{"0.0.0.0", "224.0.0.1", "ff02::1", "::ffff:10.0.0.1", "127.0.0.1"} {
		if _, _, _, err := a.AskNeighbour(t.Context(), "e1", port, addr(bad), 1); err == nil {
			t.Errorf("asks for %s", bad)
		}
	}
}

func TestBridgeNeighbours(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	seeded := packet.MAC{2, 0, 0, 0, 0, 0x99}
	for _, tc := range []struct {
		ip   string
		mac  packet.MAC
		port flow.VPortID
		want Learnt
	}{
		{"10.0.0.77", mac(1), 6, LearntNew}, {"10.0.0.77", mac(1), 6, LearntNothing}, {"10.0.0.77", mac(2), 6, LearntMove},
		{"10.0.0.99", mac(1), 6, RefusedSeed}, {"10.0.0.99", seeded, 5, LearntNothing},
		{"2001:db8::77", mac(1), 6, LearntNew}, {"2001:db8::11", mac(1), 6, RefusedSeed},
		{"10.0.0.78", seeded, 5, LearntNew}, {"2001:db8::78", seeded, 6, RefusedMAC}, // it is somebody else's
	} {
		got, rev, err := s.LearnBridgeNeighbour(t.Context(), 1, tc.port, addr(tc.ip), tc.mac)
		if err != nil || got != tc.want {
			t.Errorf("%s at %v: %v, %v; want %v", tc.ip, tc.mac, got, err, tc.want)
		}
		wait(t, s, rev)
	}
	if m, _ := s.View().Topology.Bridge(1).Neighbour(addr("10.0.0.77")); m != mac(2) {
		t.Errorf("10.0.0.77 is at %v", m)
	}
	rev, err := s.ForgetBridgeNeighbour(t.Context(), 1, addr("10.0.0.77"), mac(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := wait(t, s, rev).Topology.Bridge(1).Neighbour(addr("10.0.0.77")); ok {
		t.Error("not forgotten")
	}
	if got, _, err := s.LearnBridgeNeighbour(t.Context(), 99, 6, addr("10.0.0.1"), mac(1)); err != nil || got != RefusedGone {
		t.Errorf("no such bridge: %v, %v", got, err)
	}
}

// TestAddressesAreBounded: a host that makes up addresses, or MACs for them, has the database keep so many for each MAC and for the port and no more, in both families.
func TestAddressesAreBounded(t *testing.T) {
	for family, ip := range map[string]string{"IPv4": "10.0.0.%d", "IPv6": "fe80::%d"} {
		t.Run(family, func(t *testing.T) {
			s, _ := openStore(t, Config{
				Embedded: &EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}, MaxMACsPerPort: 2, MaxAddrsPerMAC: 3, MaxAddrsPerPort: 5,
			})
			apply(t, s, network)
			vm1, vm2 := flow.VPortID(5), flow.VPortID(6)
			n := 100
			learn := func(port flow.VPortID, m packet.MAC, want ...Learnt) {
				t.Helper()
				for _, want := range want {
					n++
					got, rev, err := s.LearnBridgeNeighbour(t.Context(), 1, port, addr(fmt.Sprintf(ip, n)), m)
					if err != nil || got != want {
						t.Errorf("address %d at %v: %v, %v; want %v", n, m, got, err, want)
					}
					wait(t, s, rev)
				}
			}
			learn(vm2, mac(1), LearntNew, LearntNew, LearntNew, RefusedFull) // of the MAC
			learn(vm2, mac(2), LearntNew, LearntNew, RefusedFull)            // of the port
			rev, err := s.ForgetMAC(t.Context(), 1, mac(2), vm2)
			if err != nil {
				t.Fatal(err)
			}
			wait(t, s, rev)
			learn(vm2, mac(3), LearntNew, LearntNew, RefusedFull)
			learn(vm2, mac(4), RefusedFull)
			rev, err = s.ForgetBridgeNeighbour(t.Context(), 1, addr(fmt.Sprintf(ip, 101)), mac(1))
			if err != nil {
				t.Fatal(err)
			}
			wait(t, s, rev)
			learn(vm2, mac(4), RefusedMAC) // too many MACs
			learn(vm1, mac(5), LearntNew)
			learn(vm1, mac(1), LearntNew, RefusedFull) // moves with its addresses
			learn(vm2, mac(3), LearntNew, RefusedFull)
			all, _ := contents(t, s.client, recordPrefix(1, recordARP))
			if len(all) != 3+2+3+1 {
				t.Errorf("%d addresses are stored: %q", len(all), all)
			}
		})
	}
}

// TestAddressNeedsItsMAC: a MAC that was forgotten a moment ago, as the view does not show yet, comes back with the address that speaks from it.
func TestAddressNeedsItsMAC(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	_, _, rev, err := s.LearnMAC(t.Context(), 1, mac(1), 6)
	if err != nil {
		t.Fatal(err)
	}
	stale := wait(t, s, rev)
	if rev, err = s.ForgetMAC(t.Context(), 1, mac(1), 6); err != nil {
		t.Fatal(err)
	}
	wait(t, s, rev)
	s.view.Store(stale) // as if the watch were late
	got, rev, err := s.LearnBridgeNeighbour(t.Context(), 1, 6, addr("2001:db8::70"), mac(1))
	if err != nil || got != LearntNew {
		t.Fatalf("learnt %v, %v", got, err)
	}
	b := wait(t, s, rev).Topology.Bridge(1)
	if at, ok := b.FDB(mac(1)); !ok || at != 6 {
		t.Errorf("the address is known, and its MAC at %d, %v", at, ok)
	}
}

func BenchmarkLearnMAC(b *testing.B) {
	for _, learners := range []int{1, 256} {
		b.Run(fmt.Sprintf("new/learners=%d", learners), func(b *testing.B) {
			s, _ := openStore(b, Config{Embedded: &EmbeddedConfig{Dir: b.TempDir(), FastTimers: true, UnsafeNoFsync: true}, MaxMACsPerPort: 1 << 30})
			apply(b, s, network)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for g := range learners {
				wg.Go(func() {
					for i := g; i < b.N; i += learners {
						if got, _, _, err := s.LearnMAC(b.Context(), 1, packet.MAC{2, 1, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}, 6); err != nil || got != LearntNew {
							b.Error(got, err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
