package softswitch

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// FuzzWrite sends arbitrary Write batches straight to a target: it must not panic, must
// answer with canonical codes only, and what it accepted must read back.
func FuzzWrite(f *testing.F) {
	l := newLab(f)
	c := l.primary()
	list := samples(c)
	all := &p4v1.WriteRequest{}
	for _, e := range list {
		all.Updates = append(all.Updates, insert(e), modify(e), remove(e))
	}
	for _, u := range append(all.Updates,
		insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 5, Replicas: []*p4v1.Replica{replica(2, 1, 3)}}),
		insert(&p4v1.CloneSessionEntry{SessionId: 5, Replicas: []*p4v1.Replica{replica(2, 1)}}),
		insert(l.member("ecmp_selector", 1, 2)), insert(l.group(3, groupMember(1, 1, 0))),
		insert(l.entry("ecmp", toGroup(3), exact(1, 5))),
		modify(&p4v1.MeterEntry{MeterId: l.id("port_meter"), Config: &p4v1.MeterConfig{Cir: 1, Pir: 1}}),
		modify(&p4v1.ValueSetEntry{ValueSetId: l.id("ip_types"), Members: []*p4v1.ValueSetMember{{Match: []*p4v1.FieldMatch{exact(1, 5)}}}}),
		modify(&p4v1.RegisterEntry{RegisterId: l.id("last"), Data: bitstring([]byte{7})}),
		insert(&p4v1.DigestEntry{DigestId: l.id("learn_t")})) {
		raw, err := proto.Marshal(&p4v1.WriteRequest{Updates: []*p4v1.Update{u}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	config := probeConfig(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		req := &p4v1.WriteRequest{}
		if proto.Unmarshal(raw, req) != nil {
			return
		}
		target, err := l.server.newTarget(config)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range req.GetUpdates() {
			err := target.write(nil, u)
			if err == nil {
				continue
			}
			if code := faultOf(err).code; code == codes.Internal || code == codes.Unknown {
				t.Errorf("%v: %v: %v", u, code, err)
			}
		}
		for _, query := range everything() {
			err := target.read(nil, query, func(e *p4v1.Entity) error {
				if entry := e.GetTableEntry(); entry != nil && !entry.GetIsConst() && !entry.GetIsDefaultAction() {
					// An entry that reads back is one that can be written: canonical and complete.
					if err := target.write(nil, modify(entry)); err != nil {
						t.Errorf("entry reads back as %v: %v", entry, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("%v: %v", query, err)
			}
		}
	})
}

// TestMutatedUpdates changes good updates in ways whose answer is known.
func TestMutatedUpdates(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	mutations := []struct {
		name string
		want codes.Code
		do   func(u *p4v1.Update) bool // false: does not apply
	}{
		{"insert again", codes.AlreadyExists, func(u *p4v1.Update) bool { return true }},
		{"delete absent", codes.NotFound, func(u *p4v1.Update) bool {
			u.Type = p4v1.Update_DELETE
			return otherKey(u.Entity.GetTableEntry())
		}},
		{"modify absent", codes.NotFound, func(u *p4v1.Update) bool {
			u.Type = p4v1.Update_MODIFY
			return otherKey(u.Entity.GetTableEntry())
		}},
		{"no type", codes.InvalidArgument, func(u *p4v1.Update) bool { u.Type = 0; return true }},
		{"unknown table", codes.InvalidArgument, func(u *p4v1.Update) bool { u.Entity.GetTableEntry().TableId ^= 1 << 20; return true }},
		{"unknown action", codes.InvalidArgument, func(u *p4v1.Update) bool {
			u.Entity.GetTableEntry().GetAction().GetAction().ActionId ^= 1 << 20
			return true
		}},
		{"unknown field", codes.InvalidArgument, func(u *p4v1.Update) bool {
			m := u.Entity.GetTableEntry().Match
			if len(m) == 0 {
				return false
			}
			m[0].FieldId = 99
			return true
		}},
		{"duplicate field", codes.InvalidArgument, func(u *p4v1.Update) bool {
			e := u.Entity.GetTableEntry()
			if len(e.Match) == 0 {
				return false
			}
			e.Match = append(e.Match, proto.CloneOf(e.Match[0]))
			return true
		}},
		{"missing parameter", codes.InvalidArgument, func(u *p4v1.Update) bool {
			a := u.Entity.GetTableEntry().GetAction().GetAction()
			if len(a.Params) == 0 {
				return false
			}
			a.Params = a.Params[1:]
			return true
		}},
		{"wide parameter", codes.InvalidArgument, func(u *p4v1.Update) bool {
			a := u.Entity.GetTableEntry().GetAction().GetAction()
			if len(a.Params) == 0 {
				return false
			}
			a.Params[0].Value = slices.Repeat([]byte{0xff}, 20)
			return true
		}},
		{"priority flipped", codes.InvalidArgument, func(u *p4v1.Update) bool {
			e := u.Entity.GetTableEntry()
			if e.Priority == 0 {
				e.Priority = 1
			} else {
				e.Priority = 0
			}
			return true
		}},
		{"other implementation", codes.InvalidArgument, func(u *p4v1.Update) bool {
			u.Entity.GetTableEntry().Action = toGroup(1)
			return true
		}},
	}
	base := samples(c)
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var batch []*p4v1.Update
		var want []codes.Code
		var names []string
		for range 1 + random.IntN(20) {
			u := insert(proto.CloneOf(base[random.IntN(len(base))]))
			m := mutations[random.IntN(len(mutations))]
			if !m.do(u) {
				continue
			}
			batch, want, names = append(batch, u), append(want, m.want), append(names, m.name)
		}
		if len(batch) == 0 {
			continue
		}
		err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, batch...)
		if diff := cmp.Diff(want, codesOf(err)); diff != "" {
			t.Fatalf("%q (-want +got):\n%s%v", names, diff, explain(err))
		}
	}
	var kept []*p4v1.Entity
	for _, table := range []string{"mac", "acl", "route"} {
		kept = append(kept, c.read(entity(c.entry(table, nil)))...)
	}
	if diff := cmp.Diff(entities(base...), kept, sameSet()); diff != "" {
		t.Errorf("entries after failed updates (-want +got):\n%s", diff)
	}
}

// otherKey gives an entry a key that no sample has.
func otherKey(e *p4v1.TableEntry) bool {
	if e.Priority != 0 {
		e.Priority += 1000
		return true
	}
	if len(e.Match) == 0 {
		return false
	}
	if x := e.Match[0].GetExact(); x != nil {
		x.Value = []byte{0x77, 0x77}
		return true
	}
	e.Match[0].GetLpm().Value, e.Match[0].GetLpm().PrefixLen = []byte{11, 0, 0, 0}, 8
	return true
}
