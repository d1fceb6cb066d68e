package softswitch

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	ok       = int32(codes.OK)
	backup   = int32(codes.AlreadyExists)
	vacant   = int32(codes.NotFound)
	noUpdate = int32(-1)
)

// ended is the code with which a stream ends.
func (c *controller) ended() codes.Code {
	c.t.Helper()
	for {
		if _, err := c.stream.Recv(); err != nil {
			return status.Code(err)
		}
	}
}

// writable tells how a Write of this controller fares.
func (c *controller) writable() codes.Code {
	return status.Code(c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR))
}

func TestHigherElectionIDTakesOver(t *testing.T) {
	l := newLab(t)
	a, b := l.connect(""), l.connect("")
	a.arbitrate(10)
	a.want(ok)
	b.arbitrate(5)
	b.want(backup)
	b.arbitrate(11)
	if got := a.want(backup).GetElectionId().GetLow(); got != 11 {
		t.Errorf("loser is told of election id %d, want 11", got)
	}
	b.want(ok)
	if got := a.writable(); got != codes.PermissionDenied {
		t.Errorf("Write of the loser: %v, want PermissionDenied", got)
	}
	if got := b.writable(); got != codes.FailedPrecondition { // it may, but there is no pipeline
		t.Errorf("Write of the winner: %v, want FailedPrecondition", got)
	}
}

func TestNobodyIsPromotedWhenThePrimaryLeaves(t *testing.T) {
	l := newLab(t)
	a, b := l.connect(""), l.connect("")
	a.arbitrate(10)
	a.want(ok)
	b.arbitrate(9)
	b.want(backup)
	a.cancel()
	if got := b.want(vacant).GetElectionId().GetLow(); got != 10 {
		t.Errorf("highest election id = %d, want 10", got)
	}
	if got := b.writable(); got != codes.PermissionDenied {
		t.Errorf("Write with no primary: %v, want PermissionDenied", got)
	}
	b.arbitrate(9) // still below the highest ever seen
	b.want(vacant)
	b.arbitrate(10) // equal is enough, now that it is free
	b.want(ok)
}

func TestUnsetElectionIDIsABackup(t *testing.T) {
	l := newLab(t)
	a := l.connect("")
	a.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice})
	if id := a.want(vacant).GetElectionId(); id != nil {
		t.Errorf("election id = %v, want unset: there was no primary yet", id)
	}
	b := l.connect("")
	b.arbitrate(0) // zero is an election id
	a.want(backup)
	b.want(ok)
	b.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice}) // steps down
	a.want(vacant)
	b.want(vacant)
}

func TestStreamsEndOnBadArbitration(t *testing.T) {
	badConfig, err := anypb.New(&p4v1.Role{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		do   func(l *lab, c *controller)
		want codes.Code
	}{
		{"unknown device", func(l *lab, c *controller) {
			c.offer(&p4v1.MasterArbitrationUpdate{DeviceId: 99, ElectionId: &p4v1.Uint128{Low: 1}})
		}, codes.NotFound},
		{"election id in use", func(l *lab, c *controller) {
			other := l.connect("")
			other.arbitrate(3)
			other.want(ok)
			c.arbitrate(3)
		}, codes.InvalidArgument},
		{"election id in use, later", func(l *lab, c *controller) {
			other := l.connect("")
			other.arbitrate(3)
			other.want(ok)
			c.arbitrate(2)
			c.want(backup)
			c.arbitrate(3)
		}, codes.InvalidArgument},
		{"other device", func(l *lab, c *controller) {
			c.arbitrate(1)
			c.offer(&p4v1.MasterArbitrationUpdate{DeviceId: 99, ElectionId: &p4v1.Uint128{Low: 1}})
		}, codes.FailedPrecondition},
		{"other role", func(l *lab, c *controller) {
			c.arbitrate(1)
			c.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice, Role: &p4v1.Role{Name: "x"}, ElectionId: &p4v1.Uint128{Low: 1}})
		}, codes.FailedPrecondition},
		{"role config", func(l *lab, c *controller) {
			c.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice, Role: &p4v1.Role{Name: "x", Config: badConfig}})
		}, codes.InvalidArgument},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			c := l.connect("")
			tc.do(l, c)
			if got := c.ended(); got != tc.want {
				t.Errorf("stream ended with %v, want %v", got, tc.want)
			}
		})
	}
}

func TestElectionIDsHave128Bits(t *testing.T) {
	l := newLab(t)
	a, b := l.connect(""), l.connect("")
	a.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice, ElectionId: &p4v1.Uint128{Low: 1 << 63}})
	a.want(ok)
	b.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice, ElectionId: &p4v1.Uint128{High: 1}})
	b.want(ok)
	a.want(backup)
}

func TestStayingPrimaryNotifiesAll(t *testing.T) {
	l := newLab(t)
	a, b := l.connect(""), l.connect("")
	a.arbitrate(2)
	a.want(ok)
	b.arbitrate(1)
	b.want(backup)
	a.arbitrate(2)
	a.want(ok)
	b.want(backup)
	a.arbitrate(3)
	a.want(ok)
	if got := b.want(backup).GetElectionId().GetLow(); got != 3 {
		t.Errorf("election id = %d, want 3", got)
	}
}

func TestRolesAreIndependent(t *testing.T) {
	l := newLab(t)
	all := l.primary()
	scope, err := structpb.NewStruct(map[string]any{"entities": []any{"ingress.mac"}, "packet_in": true})
	if err != nil {
		t.Fatal(err)
	}
	config, err := anypb.New(scope)
	if err != nil {
		t.Fatal(err)
	}
	mac := l.connect("mac")
	mac.elect = 1 // the same election id in another role
	mac.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice, Role: &p4v1.Role{Name: "mac", Config: config}, ElectionId: &p4v1.Uint128{Low: 1}})
	got := mac.want(ok)
	want := &p4v1.Role{Name: "mac", Config: config}
	if diff := cmp.Diff(want, got.GetRole(), protocmp.Transform()); diff != "" {
		t.Errorf("role (-want +got):\n%s", diff)
	}
	err = mac.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR,
		insert(l.macEntry(1, 2)),
		insert(l.entry("smac", direct(l.action("allow")), exact(1, 1))))
	if diff := cmp.Diff([]codes.Code{codes.OK, codes.PermissionDenied}, codesOf(err)); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	all.write(insert(l.entry("smac", direct(l.action("allow")), exact(1, 1))))
	stream, err := l.client.Read(context.Background(), &p4v1.ReadRequest{DeviceId: labDevice, Role: "mac", Entities: []*p4v1.Entity{entity(&p4v1.TableEntry{})}})
	if err != nil {
		t.Fatal(err)
	}
	page, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(page.GetEntities()); n != 1 {
		t.Errorf("role mac reads %d entries, want its own one", n)
	}
	err = mac.tryPush(p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT, l.probe())
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("push by a limited role: %v, want PermissionDenied", err)
	}
	_, err = l.client.Write(context.Background(), &p4v1.WriteRequest{DeviceId: labDevice, Role: "nobody", ElectionId: &p4v1.Uint128{Low: 1}})
	if status.Code(err) != codes.NotFound {
		t.Errorf("Write of an unknown role: %v, want NotFound", err)
	}
}
