package p4rt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
)

// target is a softswitch behind a gRPC server that can be stopped, restarted and made to misbehave.
type target struct {
	t      testing.TB
	quirks softswitch.Quirks

	mu    sync.Mutex
	sw    *softswitch.Server
	lis   *bufconn.Listener
	grpc  *grpc.Server
	fault func(context.Context, *p4.WriteRequest, func(*p4.WriteRequest) error) error
	gone  map[string]bool // keys deleted since the last forget
	ends  map[uint16]*port.End
}

func newTarget(t testing.TB, quirks softswitch.Quirks) *target {
	t.Helper()
	x := &target{t: t, quirks: quirks, gone: map[string]bool{}}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.startLocked(true)
	t.Cleanup(func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.grpc.Stop()
	})
	return x
}

// startLocked starts the server, on an empty switch or on the one that is there.
func (x *target) startLocked(empty bool) {
	if empty {
		ports := map[uint16]port.Port{}
		x.ends = map[uint16]*port.End{}
		for n := uint16(1); n <= 4; n++ {
			ports[n], x.ends[n] = port.NewLink(fmt.Sprintf("p%d", n), "host", 0)
		}
		var err error
		x.sw, err = softswitch.New(softswitch.Options{DeviceID: 1, CPUPort: 510, Ports: ports, Quirks: x.quirks,
			GRPC: []grpc.ServerOption{grpc.UnaryInterceptor(x.intercept)}})
		if err != nil {
			x.t.Fatal(err)
		}
	}
	x.lis = bufconn.Listen(1 << 20)
	x.grpc = x.sw.NewGRPCServer()
	go x.grpc.Serve(x.lis)
}

// restart breaks all connections; the switch keeps what it holds, or starts empty.
func (x *target) restart(keep bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.grpc.Stop()
	x.startLocked(!keep)
}

func (x *target) dial(context.Context) (p4rt.Conn, error) {
	x.mu.Lock()
	lis := x.lis
	x.mu.Unlock()
	opts := append(p4rt.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	return grpc.NewClient("passthrough:///target", opts...)
}

// setFault replaces how Writes are served; nil serves them well.
func (x *target) setFault(f func(context.Context, *p4.WriteRequest, func(*p4.WriteRequest) error) error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fault = f
}

func (x *target) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	w, ok := req.(*p4.WriteRequest)
	if !ok {
		return handle(ctx, req)
	}
	apply := func(r *p4.WriteRequest) error {
		x.mu.Lock()
		for _, u := range r.GetUpdates() {
			if u.GetType() == p4.Update_DELETE {
				x.gone[rawKey(u.GetEntity())] = true
			}
		}
		x.mu.Unlock()
		_, err := handle(context.WithoutCancel(ctx), r)
		return err
	}
	x.mu.Lock()
	fault := x.fault
	x.mu.Unlock()
	if fault == nil {
		return &p4.WriteResponse{}, apply(w)
	}
	return &p4.WriteResponse{}, fault(ctx, w, apply)
}

// forget forgets which keys were deleted.
func (x *target) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = map[string]bool{}
}

// rawKey identifies an entity, on the generated code alone.
func rawKey(e *p4.Entity) string {
	k := proto.CloneOf(e)
	switch m := k.GetEntity().(type) {
	case *p4.Entity_TableEntry:
		match := m.TableEntry.GetMatch()
		slices.SortFunc(match, func(a, b *p4.FieldMatch) int { return int(a.GetFieldId()) - int(b.GetFieldId()) })
		m.TableEntry = &p4.TableEntry{TableId: m.TableEntry.GetTableId(), Match: match, Priority: m.TableEntry.GetPriority()}
	case *p4.Entity_ActionProfileMember:
		m.ActionProfileMember.Action = nil
	case *p4.Entity_ActionProfileGroup:
		m.ActionProfileGroup.Members, m.ActionProfileGroup.MaxSize = nil, 0
	case *p4.Entity_PacketReplicationEngineEntry:
		if g := m.PacketReplicationEngineEntry.GetMulticastGroupEntry(); g != nil {
			return fmt.Sprint("group ", g.GetMulticastGroupId())
		}
		return fmt.Sprint("clone ", m.PacketReplicationEngineEntry.GetCloneSessionEntry().GetSessionId())
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(k)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// holdings are all entities that the target holds, read by generated code.
func (x *target) holdings() map[string]*p4.Entity {
	x.t.Helper()
	conn, err := x.dial(context.Background())
	if err != nil {
		x.t.Fatal(err)
	}
	defer conn.Close()
	queries := []*p4.Entity{
		{Entity: &p4.Entity_TableEntry{TableEntry: &p4.TableEntry{}}},
		{Entity: &p4.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: &p4.PacketReplicationEngineEntry{}}}}
	if !x.quirks.NoMembers {
		queries = append(queries, &p4.Entity{Entity: &p4.Entity_ActionProfileMember{ActionProfileMember: &p4.ActionProfileMember{}}},
			&p4.Entity{Entity: &p4.Entity_ActionProfileGroup{ActionProfileGroup: &p4.ActionProfileGroup{}}})
	}
	stream, err := p4.NewP4RuntimeClient(conn).Read(context.Background(), &p4.ReadRequest{DeviceId: 1, Entities: queries},
		grpc.MaxCallRecvMsgSize(64<<20))
	if err != nil {
		x.t.Fatal(err)
	}
	all := map[string]*p4.Entity{}
	for {
		page, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			x.t.Fatal(err)
		}
		for _, e := range page.GetEntities() {
			if !e.GetTableEntry().GetIsConst() {
				all[rawKey(e)] = e
			}
		}
	}
}

// spared checks that nothing was deleted that was right before and is right now.
func (x *target) spared(before map[string]*p4.Entity) {
	x.t.Helper()
	after := x.holdings()
	x.mu.Lock()
	defer x.mu.Unlock()
	for key := range x.gone {
		if a, b := before[key], after[key]; a != nil && b != nil && proto.Equal(a, b) {
			x.t.Errorf("was deleted though it is right: %s", strings.TrimSpace(prototext.Format(a)))
		}
	}
}
