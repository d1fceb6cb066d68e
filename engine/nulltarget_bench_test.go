package engine

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
)

// nullTarget is the least that a P4Runtime target can be: it takes all that is written at once, keeps nothing but counts, and says by packet-in what it is
// given. It stands at the place of a connection, so that what is measured with it is the agent, all of it, and no transport.
type nullTarget struct {
	flowTables map[uint64]bool // by id

	cookie                      atomic.Uint64 // of the pipeline that was pushed; 0: none
	inserted, modified, deleted atomic.Int64  // updates of flow tables
	writes                      atomic.Int64  // updates of all tables
	out                         atomic.Int64  // packet-outs

	packets  chan packetSource
	progress chan struct{} // cap 1: something was counted
}

// packetSource appends the next packet-in to an empty buffer, as a StreamMessageResponse; nil: there is none any more. It may wait.
type packetSource func(ctx context.Context, b []byte) []byte

func newNullTarget() (*nullTarget, error) {
	info, err := p4src.Info()
	if err != nil {
		return nil, err
	}
	t := &nullTarget{flowTables: map[uint64]bool{}, packets: make(chan packetSource), progress: make(chan struct{}, 1)}
	for _, table := range info.Tables {
		switch table.Preamble.Name {
		case "ingress.dst_class", "ingress.flow_exact_v4", "ingress.flow_exact_v6", "ingress.flow_wild_v4", "ingress.flow_wild_v6", "ingress.flow_wild_l2":
			t.flowTables[uint64(table.Preamble.Id)] = true
		}
	}
	return t, nil
}

// changed counts the updates of flow tables.
func (t *nullTarget) changed() int64 { return t.inserted.Load() + t.modified.Load() + t.deleted.Load() }

// dial suits Config.Dial.
func (t *nullTarget) dial(context.Context) (p4rt.Conn, error) { return &nullConn{target: t}, nil }

type nullConn struct{ target *nullTarget }

func (c *nullConn) Close() error { return nil }

func codecOf(opts []grpc.CallOption) encoding.CodecV2 {
	for _, o := range opts {
		if codec, ok := o.(grpc.ForceCodecV2CallOption); ok {
			return codec.CodecV2
		}
	}
	panic("a call without a codec")
}

// Invoke answers a unary call.
func (c *nullConn) Invoke(_ context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	t := c.target
	switch method {
	case p4.P4Runtime_Write_FullMethodName:
		codec := codecOf(opts)
		request, err := codec.Marshal(args)
		if err != nil {
			return err
		}
		whole := request.MaterializeToBuffer(mem.DefaultBufferPool())
		t.count(whole.ReadOnlyData())
		whole.Free()
		request.Free()
		return codec.Unmarshal(nil, reply)
	case p4.P4Runtime_SetForwardingPipelineConfig_FullMethodName:
		t.cookie.Store(args.(*p4.SetForwardingPipelineConfigRequest).GetConfig().GetCookie().GetCookie())
		return nil
	case p4.P4Runtime_GetForwardingPipelineConfig_FullMethodName:
		cookie := t.cookie.Load()
		if cookie == 0 {
			return status.Error(codes.FailedPrecondition, "no pipeline")
		}
		reply.(*p4.GetForwardingPipelineConfigResponse).Config = &p4.ForwardingPipelineConfig{Cookie: &p4.ForwardingPipelineConfig_Cookie{Cookie: cookie}}
		return nil
	}
	return status.Error(codes.Unimplemented, method)
}

// NewStream answers a read with nothing, and serves a controller.
func (c *nullConn) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &nullStream{ctx: ctx, target: c.target, codec: codecOf(opts), answers: make(chan []byte, 16)}
	if s.reads = method == p4.P4Runtime_Read_FullMethodName; s.reads {
		close(s.answers)
	}
	return s, nil
}

// nullStream is a controller's stream, or an answer to a read.
type nullStream struct {
	ctx     context.Context
	target  *nullTarget
	codec   encoding.CodecV2
	reads   bool        // it is an answer
	answers chan []byte // to arbitration; closed: there is nothing to read
	source  packetSource
	buf     []byte
}

func (s *nullStream) Header() (metadata.MD, error) { return nil, nil }
func (s *nullStream) Trailer() metadata.MD         { return nil }
func (s *nullStream) CloseSend() error             { return nil }
func (s *nullStream) Context() context.Context     { return s.ctx }

// SendMsg takes an arbitration or a packet-out.
func (s *nullStream) SendMsg(m any) error {
	switch m := m.(type) {
	case *p4.ReadRequest:
	case *p4.StreamMessageRequest:
		bid := m.GetArbitration()
		answer := &p4.MasterArbitrationUpdate{DeviceId: bid.GetDeviceId(), ElectionId: bid.GetElectionId()}
		b, err := proto.Marshal(&p4.StreamMessageResponse{Update: &p4.StreamMessageResponse_Arbitration{Arbitration: answer}})
		if err != nil {
			return err
		}
		s.answers <- b
	default:
		packet, err := s.codec.Marshal(m)
		if err != nil {
			return err
		}
		packet.Free()
		if s.reads {
			return nil
		}
		s.target.out.Add(1)
		notify(s.target.progress)
	}
	return nil
}

// RecvMsg gives what there is: packets as fast as their source and the controller are.
func (s *nullStream) RecvMsg(m any) error {
	for {
		if s.source != nil {
			if b := s.source(s.ctx, s.buf[:0]); b != nil {
				s.buf = b
				return s.codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
			}
			s.source = nil
		}
		select {
		case b, ok := <-s.answers:
			if !ok {
				return io.EOF
			}
			return s.codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
		case s.source = <-s.target.packets:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// count counts the updates of a WriteRequest.
func (t *nullTarget) count(request []byte) {
	var inserted, modified, deleted, all int64
	eachField(request, func(field protowire.Number, _ uint64, update []byte) {
		if field != 4 { // updates
			return
		}
		all++
		var op, table uint64
		eachField(update, func(field protowire.Number, n uint64, entity []byte) {
			switch field {
			case 1: // type
				op = n
			case 2: // entity
				eachField(entity, func(kind protowire.Number, _ uint64, entry []byte) {
					if kind == 2 { // table_entry, whose first field is the table's id
						_, _, at := protowire.ConsumeTag(entry)
						table, _ = protowire.ConsumeVarint(entry[at:])
					}
				})
			}
		})
		if !t.flowTables[table] {
			return
		}
		switch p4.Update_Type(op) {
		case p4.Update_INSERT:
			inserted++
		case p4.Update_MODIFY:
			modified++
		case p4.Update_DELETE:
			deleted++
		}
	})
	t.inserted.Add(inserted)
	t.modified.Add(modified)
	t.deleted.Add(deleted)
	t.writes.Add(all)
	notify(t.progress)
}

// eachField calls fn with the fields of a message: a number, or bytes.
func eachField(b []byte, fn func(field protowire.Number, n uint64, b []byte)) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			fn(field, v, nil)
			b = b[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			fn(field, 0, v)
			b = b[n:]
		default:
			panic(fmt.Sprintf("wire type %d in what the agent wrote", kind))
		}
	}
}

// stallTime is how long a benchmark waits for something to happen that is to happen at once.
const stallTime = 20 * time.Second

// await waits until what is counted is as wanted; false: nothing happened for long.
func (t *nullTarget) await(is func() bool) bool {
	stall := time.NewTimer(stallTime)
	defer stall.Stop()
	poll := time.NewTicker(benchPoll)
	defer poll.Stop()
	for !is() {
		select {
		case <-t.progress:
			stall.Reset(stallTime)
		case <-poll.C:
		case <-stall.C:
			return is()
		}
	}
	return true
}
