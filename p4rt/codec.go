package p4rt

import (
	"sync"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// frame is a message that is already, or still, in its wire form. A frame is sent once.
type frame struct {
	out mem.Buffer // to send; gRPC frees it
	in  mem.Buffer // received; the receiver frees it
	// control: not a packet, so not counted as one.
	control bool
}

func (f *frame) free() {
	if f.in != nil {
		f.in.Free()
		f.in = nil
	}
}

// wireCodec passes frames as they are, and everything else to gRPC's protobuf codec.
type wireCodec struct{ proto encoding.CodecV2 }

func newWireCodec() wireCodec { return wireCodec{encoding.GetCodecV2(protocodec.Name)} }

func (c wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{f.out}, nil
	}
	return c.proto.Marshal(v)
}

func (c wireCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.in = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	return c.proto.Unmarshal(data, v)
}

// Name makes the content type that of protobuf.
func (wireCodec) Name() string { return protocodec.Name }

// bufPool recycles buffers once gRPC has written them.
type bufPool struct {
	pool  sync.Pool
	least int // bytes that a buffer has room for
}

// Room that buffers have for a batch, or an answer to one, and for a packet.
const (
	batchRoom  = 16 << 10
	packetRoom = 2 << 10 // gRPC does not give back what has less than 1 KiB
)

// Get returns an empty buffer with room for n bytes.
func (p *bufPool) Get(n int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	b := make([]byte, 0, max(n, p.least))
	return &b
}

// Put takes a buffer back.
func (p *bufPool) Put(b *[]byte) { p.pool.Put(b) }
