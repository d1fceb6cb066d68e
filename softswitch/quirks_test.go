package softswitch

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// quirkCase is one deviation: what it looks like, and what the specification says.
type quirkCase struct {
	field  string // of Quirks
	quirks Quirks
	// look does something whose answer depends on the quirk.
	look          func(c *controller) any
	strict, quirk any
}

// codeOf writes one update and returns what became of it.
func (c *controller) codeOf(u *p4v1.Update) any {
	c.t.Helper()
	if got := codesOf(c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, u)); len(got) > 0 {
		return got[0]
	}
	return codes.OK
}

// readCode reads and returns the code of the first query.
func (c *controller) readCode(e any) any {
	c.t.Helper()
	_, _, err := c.tryRead(entity(e))
	if got := codesOf(err); len(got) > 0 {
		return got[0]
	}
	return codes.OK
}

// status is the code of the next arbitration notice.
func (c *controller) status() codes.Code {
	c.t.Helper()
	return codes.Code(c.recv().GetArbitration().GetStatus().GetCode())
}

func watched(t *p4v1.TableAction) *p4v1.TableAction {
	t.GetActionProfileActionSet().GetActionProfileActions()[0].WatchKind = &p4v1.ActionProfileAction_WatchPort{WatchPort: []byte{2}}
	return t
}

func weighted(t *p4v1.TableAction) *p4v1.TableAction {
	t.GetActionProfileActionSet().GetActionProfileActions()[0].Weight = 2
	return t
}

var quirkCases = []quirkCase{
	{field: "PromotesNext", quirks: Quirks{PromotesNext: true}, strict: codes.NotFound, quirk: codes.OK,
		look: func(c *controller) any {
			b := c.connect("")
			b.arbitrate(0)
			b.status()
			c.cancel()
			return b.status()
		}},
	{field: "UnsetIsZero", quirks: Quirks{PromotesNext: true, UnsetIsZero: true}, strict: codes.NotFound, quirk: codes.OK,
		look: func(c *controller) any {
			b := c.connect("other role")
			b.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice})
			return b.status()
		}},
	{field: "SilentRepeat", quirks: Quirks{PromotesNext: true, SilentRepeat: true}, strict: "1 OK 2 OK", quirk: "2 OK",
		look: func(c *controller) any {
			c.arbitrate(1)
			c.arbitrate(2)
			var seen []string
			for {
				m := c.recv().GetArbitration()
				seen = append(seen, fmt.Sprint(m.GetElectionId().GetLow(), " ", codes.Code(m.GetStatus().GetCode())))
				if m.GetElectionId().GetLow() == 2 {
					return strings.Join(seen, " ")
				}
			}
		}},
	{field: "OpenWrites", quirks: Quirks{PromotesNext: true, OpenWrites: true}, strict: codes.PermissionDenied, quirk: codes.OK,
		look: func(c *controller) any {
			c.cancel()
			for { // until the target has seen that the stream is gone
				c.server.arbiter.mu.Lock()
				left := len(c.server.arbiter.roles[""].sessions)
				c.server.arbiter.mu.Unlock()
				if left == 0 {
					break
				}
				runtime.Gosched()
			}
			_, err := c.client.Write(context.Background(), &p4v1.WriteRequest{DeviceId: labDevice})
			return status.Code(err)
		}},
	{field: "IgnoresRoles", quirks: Quirks{IgnoresRoles: true}, strict: codes.OK, quirk: codes.AlreadyExists,
		look: func(c *controller) any {
			b := c.connect("other role")
			b.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice, ElectionId: &p4v1.Uint128{}})
			return b.status()
		}},
	{field: "NoReconcile", quirks: Quirks{NoReconcile: true}, strict: codes.OK, quirk: codes.Unimplemented,
		look: func(c *controller) any { return status.Code(c.tryPush(reconcile, c.probe())) }},
	{field: "FixedPipeline", quirks: Quirks{FixedPipeline: true}, strict: codes.OK, quirk: codes.Unimplemented,
		look: func(c *controller) any {
			other := c.probe()
			other.P4Info.PkgInfo.Name = "other"
			return status.Code(c.tryPush(commitNow, other))
		}},
	{field: "FullIsUnknown", quirks: Quirks{FullIsUnknown: true}, strict: codes.ResourceExhausted, quirk: codes.Unknown,
		look: func(c *controller) any {
			for i := range 64 {
				c.write(insert(c.entry("smac", direct(c.action("allow")), exact(1, byte(i)))))
			}
			return c.codeOf(insert(c.entry("smac", direct(c.action("allow")), exact(1, 64))))
		}},
	{field: "NoAtomicBatches", quirks: Quirks{NoAtomicBatches: true}, strict: codes.OK, quirk: codes.Unimplemented,
		look: func(c *controller) any { return status.Code(c.tryWrite(p4v1.WriteRequest_ROLLBACK_ON_ERROR)) }},
	{field: "FailFast", quirks: Quirks{FailFast: true}, strict: "[NotFound OK]", quirk: "[NotFound Aborted]",
		look: func(c *controller) any {
			return fmt.Sprint(codesOf(c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, remove(c.macEntry(1, 2)), insert(c.macEntry(2, 2)))))
		}},
	{field: "NoRegisters", quirks: Quirks{NoRegisters: true}, strict: "OK OK", quirk: "Unimplemented Unimplemented",
		look: func(c *controller) any {
			r := &p4v1.RegisterEntry{RegisterId: c.id("last"), Data: bitstring([]byte{7})}
			return fmt.Sprint(c.codeOf(modify(r)), " ", c.readCode(r))
		}},
	{field: "NoValueSets", quirks: Quirks{NoValueSets: true}, strict: "OK OK", quirk: "Unimplemented Unimplemented",
		look: func(c *controller) any {
			v := &p4v1.ValueSetEntry{ValueSetId: c.id("ip_types")}
			return fmt.Sprint(c.codeOf(modify(v)), " ", c.readCode(v))
		}},
	{field: "NoCellWildcards", quirks: Quirks{NoCellWildcards: true}, strict: "OK OK", quirk: "Unimplemented Unimplemented",
		look: func(c *controller) any {
			return fmt.Sprint(c.codeOf(modify(&p4v1.MeterEntry{MeterId: c.id("port_meter")})), " ",
				c.codeOf(modify(&p4v1.CounterEntry{CounterId: c.id("port_counter")})))
		}},
	{field: "NoDirectMeters", quirks: Quirks{NoDirectMeters: true}, strict: "OK OK", quirk: "Unimplemented Unimplemented",
		look: func(c *controller) any {
			e := c.entry("acl", direct(c.action("metered")), optional(3, 1))
			e.Priority, e.MeterConfig = 5, &p4v1.MeterConfig{Cir: 1, Pir: 1, Cburst: 1, Pburst: 1}
			return fmt.Sprint(c.codeOf(insert(e)), " ", c.readCode(&p4v1.DirectMeterEntry{TableEntry: &p4v1.TableEntry{TableId: e.TableId}}))
		}},
	{field: "NoOneShot", quirks: Quirks{NoOneShot: true}, strict: codes.OK, quirk: codes.Unimplemented,
		look: func(c *controller) any { return c.codeOf(insert(c.entry("ecmp", c.oneShot(2), exact(1, 6)))) }},
	{field: "NoMembers", quirks: Quirks{NoMembers: true}, strict: "OK OK OK", quirk: "Unimplemented Unimplemented Unimplemented",
		look: func(c *controller) any {
			return fmt.Sprint(c.codeOf(insert(c.member("ecmp_selector", 1, 2))), " ", c.codeOf(insert(c.group(3))), " ",
				c.readCode(&p4v1.ActionProfileMember{}))
		}},
	{field: "NoEmptyGroups", quirks: Quirks{NoEmptyGroups: true}, strict: codes.OK, quirk: codes.Unimplemented,
		look: func(c *controller) any { return c.codeOf(insert(c.group(3))) }},
	{field: "NoWatch", quirks: Quirks{NoWatch: true}, strict: codes.OK, quirk: codes.InvalidArgument,
		look: func(c *controller) any { return c.codeOf(insert(c.entry("ecmp", watched(c.oneShot(2)), exact(1, 6)))) }},
	{field: "NoWeights", quirks: Quirks{NoWeights: true}, strict: codes.OK, quirk: codes.Unimplemented,
		look: func(c *controller) any { return c.codeOf(insert(c.entry("ecmp", weighted(c.oneShot(2)), exact(1, 6)))) }},
	{field: "NoBackups", quirks: Quirks{NoBackups: true}, strict: codes.OK, quirk: codes.Unimplemented,
		look: func(c *controller) any {
			return c.codeOf(insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{replica(2, 1, 3)}}))
		}},
	{field: "NoCloneClass", quirks: Quirks{NoCloneClass: true}, strict: codes.OK, quirk: codes.Unimplemented,
		look: func(c *controller) any {
			return c.codeOf(insert(&p4v1.CloneSessionEntry{SessionId: 1, ClassOfService: 1, Replicas: []*p4v1.Replica{replica(2, 1)}}))
		}},
	{field: "OneCloneReplica", quirks: Quirks{OneCloneReplica: true}, strict: codes.OK, quirk: codes.InvalidArgument,
		look: func(c *controller) any {
			return c.codeOf(insert(&p4v1.CloneSessionEntry{SessionId: 1, Replicas: []*p4v1.Replica{replica(2, 0), replica(3, 0)}}))
		}},
	{field: "NumericPorts", quirks: Quirks{NumericPorts: true}, strict: codes.OK, quirk: codes.InvalidArgument,
		look: func(c *controller) any { // there is no port 0
			return c.codeOf(insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{replica(2, 1)}}))
		}},
	{field: "MaxGroupID", quirks: Quirks{MaxGroupID: 1<<15 - 1}, strict: codes.OK, quirk: codes.InvalidArgument,
		look: func(c *controller) any {
			return c.codeOf(insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1 << 15}))
		}},
	{field: "MaxCloneID", quirks: Quirks{MaxCloneID: 1015}, strict: codes.OK, quirk: codes.InvalidArgument,
		look: func(c *controller) any { return c.codeOf(insert(&p4v1.CloneSessionEntry{SessionId: 1016})) }},
	{field: "MaxPriority", quirks: Quirks{MaxPriority: 1<<24 - 1}, strict: codes.OK, quirk: codes.InvalidArgument,
		look: func(c *controller) any {
			e := c.entry("acl", direct(c.action("allow")), optional(3, 1))
			e.Priority = 1 << 24
			return c.codeOf(insert(e))
		}},
	{field: "PortlessCopies", quirks: Quirks{PortlessCopies: true}, strict: "01", quirk: "00",
		look: func(c *controller) any {
			c.write(insert(&p4v1.CloneSessionEntry{SessionId: 6, Replicas: []*p4v1.Replica{{PortKind: &p4v1.Replica_Port{Port: be(labCPU)}}}}),
				insert(c.entry("mac", direct(c.action("mirror", []byte{2}, []byte{6})), exact(1, 8))))
			c.inject(1, frame(8, 1))
			return fmt.Sprintf("%x", c.recv().GetPacket().GetMetadata()[0].GetValue())
		}},
	{field: "WholeReads", quirks: Quirks{WholeReads: true}, strict: "several", quirk: "one",
		look: func(c *controller) any {
			blob := make([]byte, 1000)
			for i := range 200 {
				e := c.macEntry(byte(i), 1)
				e.Metadata = blob
				c.write(insert(e))
			}
			_, pages, err := c.tryRead(entity(&p4v1.TableEntry{}))
			if err != nil {
				c.t.Fatal(err)
			}
			return map[bool]string{true: "one", false: "several"}[pages == 1]
		}},
	{field: "NoFilters", quirks: Quirks{NoFilters: true}, strict: 1, quirk: 2,
		look: func(c *controller) any {
			e := c.macEntry(1, 2)
			e.Metadata = []byte("x")
			c.write(insert(e), insert(c.macEntry(2, 2)))
			q := c.entry("mac", nil)
			q.Metadata = []byte("x")
			return len(c.read(entity(q)))
		}},
	{field: "NoDirectWildcards", quirks: Quirks{NoDirectWildcards: true}, strict: "OK OK", quirk: "Unimplemented Unimplemented",
		look: func(c *controller) any {
			return fmt.Sprint(c.readCode(&p4v1.DirectCounterEntry{}), " ", c.readCode(&p4v1.DirectMeterEntry{}))
		}},
	{field: "ReadsAllOnly", quirks: Quirks{ReadsAllOnly: true}, strict: "OK OK", quirk: "OK Unimplemented",
		look: func(c *controller) any {
			return fmt.Sprint(c.readCode(&p4v1.TableEntry{}), " ", c.readCode(c.entry("mac", nil)))
		}},
	{field: "NoReplication", quirks: Quirks{NoReplication: true}, strict: "OK OK", quirk: "Unimplemented Unimplemented",
		look: func(c *controller) any {
			return fmt.Sprint(c.codeOf(insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1})), " ", c.codeOf(insert(&p4v1.CloneSessionEntry{SessionId: 1})))
		}},
	{field: "NoIdle", quirks: Quirks{NoIdle: true}, strict: "OK notice", quirk: "OK arbitration",
		look: func(c *controller) any {
			e := c.macEntry(1, 2)
			e.IdleTimeoutNs = int64(time.Second)
			code := c.codeOf(insert(e))
			c.advance(2 * time.Second)
			c.server.sweep()
			c.arbitrate(2)
			first := c.recv()
			return fmt.Sprint(code, " ", map[bool]string{true: "notice", false: "arbitration"}[first.GetIdleTimeoutNotification() != nil])
		}},
	{field: "NoPackets", quirks: Quirks{NoPackets: true}, strict: "1 in, error", quirk: "0 in, arbitration",
		look: func(c *controller) any {
			c.write(insert(c.entry("mac", direct(c.action("punt", []byte{1}, []byte{2})), exact(1, 9))), insert(c.macEntry(8, 2)))
			c.send(packetOut(frame(1, 1))) // without its metadata
			c.arbitrate(2)
			said := map[bool]string{true: "error", false: "arbitration"}[c.recv().GetError() != nil]
			c.inject(1, frame(9, 1), frame(8, 1))
			c.frames(2, 1) // the second went on, so that the first has been punted
			return fmt.Sprintf("%d in, %s", c.server.Stats().PacketIns, said)
		}},
	{field: "SilentPacketOut", quirks: Quirks{SilentPacketOut: true}, strict: "error", quirk: "arbitration",
		look: func(c *controller) any {
			c.send(packetOut(frame(1, 1))) // without its metadata
			c.arbitrate(2)
			return map[bool]string{true: "error", false: "arbitration"}[c.recv().GetError() != nil]
		}},
	{field: "NoDigestAck", quirks: Quirks{NoDigestAck: true}, strict: 2, quirk: 1,
		look: func(c *controller) any {
			c.write(insert(&p4v1.DigestEntry{DigestId: c.id("learn_t"), Config: &p4v1.DigestEntry_Config{AckTimeoutNs: 1 << 60}}))
			c.inject(1, frame(9, 1))
			list := c.recv().GetDigest()
			c.send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{
				DigestAck: &p4v1.DigestListAck{DigestId: list.GetDigestId(), ListId: list.GetListId()}}})
			c.arbitrate(2) // when it is answered, the acknowledgement has been seen
			c.recv()
			c.inject(1, frame(9, 1), frame(9, 2)) // the second is new in any case
			if src := c.recv().GetDigest().GetData()[0].GetStruct().GetMembers()[0].GetBitstring(); src[0] == 1 {
				return 2
			}
			return 1
		}},
}

// TestQuirks: each quirk deviates as it says, and the strict target does not.
func TestQuirks(t *testing.T) {
	seen := map[string]bool{}
	for _, tc := range quirkCases {
		t.Run(tc.field, func(t *testing.T) {
			seen[tc.field] = true
			if got := tc.look(newLab(t).primary()); got != tc.strict {
				t.Errorf("strict: %v, want %v", got, tc.strict)
			}
			if got := tc.look(newQuirkyLab(t, tc.quirks).primary()); got != tc.quirk {
				t.Errorf("with the quirk: %v, want %v", got, tc.quirk)
			}
			if reflect.ValueOf(tc.quirks).FieldByName(tc.field).IsZero() {
				t.Errorf("the case does not set %s", tc.field)
			}
		})
	}
	doc, err := os.ReadFile("../docs/p4runtime.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Quirks]()) {
		if !seen[f.Name] {
			t.Errorf("quirk %s has no case", f.Name)
		}
		row := ""
		for line := range strings.Lines(string(doc)) {
			if strings.HasPrefix(line, "| `"+f.Name+"`") {
				row = line
			}
		}
		cells := strings.Split(row, "|")
		if len(cells) < 6 {
			t.Errorf("docs/p4runtime.md has no row for quirk %s", f.Name)
			continue
		}
		for i, q := range []Quirks{BMv2(), Stratum(), DPDK(), PINS()} {
			if has, says := !reflect.ValueOf(q).FieldByName(f.Name).IsZero(), strings.TrimSpace(cells[2+i]) != ""; has != says {
				t.Errorf("docs/p4runtime.md: quirk %s, profile %d: says %t, is %t", f.Name, i, says, has)
			}
		}
	}
}

// TestProfilesByName: the names that the documentation gives are those of the functions.
func TestProfilesByName(t *testing.T) {
	for name, want := range map[string]Quirks{"strict": {}, "bmv2": BMv2(), "stratum": Stratum(), "dpdk": DPDK(), "pins": PINS()} {
		if got, ok := Profile(name); !ok || got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, ok := Profile("tofino"); ok {
		t.Error("profile tofino is there")
	}
}

// TestLowerIDAfterTheHighestLeft: PI forgets ids, the specification does not.
func TestLowerIDAfterTheHighestLeft(t *testing.T) {
	for _, tc := range []struct {
		quirks Quirks
		want   codes.Code
	}{{Quirks{}, codes.NotFound}, {BMv2(), codes.OK}} {
		l := newQuirkyLab(t, tc.quirks)
		c := l.connect("")
		c.arbitrate(9)
		c.want(ok)
		b := l.connect("")
		b.arbitrate(2)
		b.want(backup)
		c.cancel()
		b.status()
		d := l.connect("")
		d.arbitrate(3)
		if got := d.status(); got != tc.want {
			t.Errorf("%+v: %v, want %v", tc.quirks, got, tc.want)
		}
	}
}

// TestQuirkyTargetsKeepWhatTheyTook: whatever the profile, what a Write accepted reads back.
func TestQuirkyTargetsKeepWhatTheyTook(t *testing.T) {
	for _, name := range []string{"strict", "bmv2", "stratum", "dpdk", "pins"} {
		quirks, _ := Profile(name)
		l := newQuirkyLab(t, quirks)
		c := l.primary()
		e := l.macEntry(9, 2)
		c.write(insert(proto.CloneOf(e)))
		got := l.read(entity(&p4v1.TableEntry{}))
		found := false
		for _, x := range got {
			found = found || proto.Equal(x.GetTableEntry(), e)
		}
		if !found {
			t.Errorf("%s: %v", name, got)
		}
	}
}
