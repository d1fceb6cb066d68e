package engine

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/topology"
)

// straying is a core whose store runs, with the network in the database.
type straying struct {
	*core
	t     *testing.T
	store *state.Store
	lan   topology.DeviceID
	now   time.Duration
}

func newStraying(t *testing.T) *straying {
	store := idleStore(t)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	objects, err := topology.Decode("network.yaml", []byte(network))
	if err != nil {
		t.Fatal(err)
	}
	rev, err := store.Change(ctx, objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &straying{t: t, core: detached(t, store), store: store}
	s.start(ctx, func(int64, []state.Lack) {})
	s.see(rev)
	lan, _ := s.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
	s.lan = topology.DeviceID(lan)
	return s
}

// see has the core see what is stored at a revision.
func (s *straying) see(rev int64) {
	s.t.Helper()
	if err := s.store.WaitRevision(s.t.Context(), rev); err != nil {
		s.t.Fatal(err)
	}
	s.snap = s.store.View().Topology
	s.view.places = map[flow.VPortID]place{}
	for p := range s.snap.VPorts() {
		switch p.Name {
		case "vm1":
			s.view.places[p.ID] = place{edge: "e1"}
		case "vm2":
			s.view.places[p.ID] = place{edge: "e0"}
		}
	}
}

func (s *straying) vport(name string) flow.VPortID { return vportOf(s.t, s.core, name) }

// learn has the database know a MAC with an address.
func (s *straying) learn(port flow.VPortID, mac packet.MAC, a string) {
	s.t.Helper()
	got, rev, err := s.store.LearnBridgeNeighbour(s.t.Context(), s.lan, port, netip.MustParseAddr(a), mac)
	if err != nil || got != state.LearntNew {
		s.t.Fatalf("learn %s: %v, %v", a, got, err)
	}
	s.see(rev)
}

// look looks for strays once, an age time after the last look, and waits until what was found is forgotten.
func (s *straying) look() {
	s.now += s.aging.time
	s.lookForStrays(s.now)
	for range 2 { // the look, and the forgetting
		s.effects.wait()
		s.a.mail.deliver()
	}
}

func (s *straying) has(a string) bool {
	_, ok := s.store.View().Topology.Bridge(s.lan).Neighbour(netip.MustParseAddr(a))
	return ok
}

// TestStrayAddresses: an address whose MAC went without it is forgotten once it was found twice, by the first of the edges that live and host ports of the bridge; one whose MAC is there
// is not.
func TestStrayAddresses(t *testing.T) {
	s := newStraying(t)
	gone, here := packet.MAC{2, 0, 0, 0, 0, 0x77}, packet.MAC{2, 0, 0, 0, 0, 0x78}
	for _, a := range []string{"10.0.1.77", "fe80::77"} {
		s.learn(s.vport("vm2"), gone, a)
	}
	s.learn(s.vport("vm2"), here, "fe80::78")
	rev, err := s.store.ForgetMAC(t.Context(), s.lan, gone, s.vport("vm2"))
	if err != nil {
		t.Fatal(err)
	}
	s.see(rev)
	s.conns.serving = map[string]struct{}{"e0": {}}
	for range 3 {
		s.look()
	}
	if !s.has("10.0.1.77") || !s.has("fe80::77") {
		t.Error("forgotten by another edge than the first")
	}
	s.conns.serving = nil
	s.strays.seen = nil
	s.look()
	if !s.has("10.0.1.77") || !s.has("fe80::77") {
		t.Error("forgotten at the first look")
	}
	s.look()
	wait.Until(t, "the addresses are forgotten", func() bool { return !s.has("10.0.1.77") && !s.has("fe80::77") })
	if !s.has("fe80::78") {
		t.Error("the address of a known MAC is forgotten")
	}
}

// TestStrayMACs: a MAC that was learnt as its port was deleted is forgotten, with its address.
func TestStrayMACs(t *testing.T) {
	s := newStraying(t)
	gone, here := packet.MAC{2, 0, 0, 0, 0, 0x77}, packet.MAC{2, 0, 0, 0, 0, 0x78}
	vm2 := s.vport("vm2")
	s.learn(vm2, gone, "fe80::77")
	s.learn(s.vport("vm1"), here, "fe80::78")
	learnt := s.snap.Bridge(s.lan)
	rev, err := s.store.Change(t.Context(), nil, []topology.Ref{{Kind: topology.KindVPort, Tenant: "red", Name: "vm2"}})
	if err != nil {
		t.Fatal(err)
	}
	s.see(rev)
	// What the deletion took is put back as it was.
	key := fmt.Sprintf("/weft/dev/%d/", s.lan)
	for _, op := range []state.Op{
		state.Put(key+"fdb/020000000077", binary.BigEndian.AppendUint32([]byte{1, 0}, uint32(vm2))),
		state.Put(key+"arp/"+hex.EncodeToString(netip.MustParseAddr("fe80::77").AsSlice()), append([]byte{1, 2, 0}, gone[:]...)),
	} {
		res, err := s.store.Writer().Do(t.Context(), op)
		if err != nil {
			t.Fatal(err)
		}
		s.see(res.Revision)
	}
	if at, ok := s.snap.Bridge(s.lan).FDB(gone); !ok || at != vm2 || !s.has("fe80::77") || len(learnt.LearntAddrs(gone)) != 1 {
		t.Fatalf("the MAC is at %d, %v", at, ok)
	}
	known := func() bool {
		_, ok := s.store.View().Topology.Bridge(s.lan).FDB(gone)
		return ok
	}
	for range 2 {
		s.look()
	}
	wait.Until(t, "the MAC is forgotten", func() bool { return !known() })
	s.see(0)
	for range 2 {
		s.look()
	}
	wait.Until(t, "its address is forgotten", func() bool { return !s.has("fe80::77") })
	if at, ok := s.store.View().Topology.Bridge(s.lan).FDB(here); !ok || at != s.vport("vm1") || !s.has("fe80::78") {
		t.Errorf("what is known of vm1 went: %d, %v", at, ok)
	}
}
