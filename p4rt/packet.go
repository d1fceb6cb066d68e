package p4rt

import (
	"context"
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// PacketIn is a packet that the target sent to the controller. It and its payload are valid
// until the callback returns: copy what must live longer.
type PacketIn struct {
	Payload []byte
	values  []Value
	header  *Header
}

// Value is the metadata field at position i of Schema.PacketIn; 0 if the target left it out.
func (p *PacketIn) Value(i int) Value { return p.values[i] }

// Meta is the lowest 64 bits of Value.
func (p *PacketIn) Meta(i int) uint64 { return p.values[i].Lo }

// Named is the metadata field of a name in the p4info.
func (p *PacketIn) Named(name string) (Value, error) {
	i, err := p.header.Field(name)
	if err != nil {
		return Value{}, err
	}
	return p.values[i], nil
}

// metadataIndex maps metadata ids to positions.
func metadataIndex(h *Header) ([]int16, error) {
	var index []int16
	for i, f := range h.Fields {
		if f.ID >= 1<<16 {
			return nil, fmt.Errorf("packet header: %w: metadata id %d", ErrUnsupported, f.ID)
		}
		for len(index) <= int(f.ID) {
			index = append(index, -1)
		}
		index[f.ID] = int16(i)
	}
	return index, nil
}

func (p *PacketIn) decode(s *Session, b []byte) error {
	p.Payload = nil
	clear(p.values)
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			p.Payload = f.b
		case 2:
			if err := p.decodeMeta(s, f.b); err != nil {
				return err
			}
		}
	}
	return f.err
}

func (p *PacketIn) decodeMeta(s *Session, b []byte) error {
	id, value, err := metaOf(b)
	if err != nil {
		return err
	}
	if id >= uint64(len(s.in)) || s.in[id] < 0 {
		return fmt.Errorf("packet-in: %w: id %d", ErrNoSuchMetadata, id)
	}
	i := s.in[id]
	field := &s.cfg.Schema.packetIn.Fields[i]
	var v Value
	if n := len(value); 0 < n && n <= 8 && !field.IsName() {
		for _, x := range value {
			v.Lo = v.Lo<<8 | uint64(x)
		}
	} else if v, err = field.parse(value); err != nil {
		return fmt.Errorf("packet-in: %w", err)
	}
	if err := field.check(v); err != nil {
		return fmt.Errorf("packet-in: %w", err)
	}
	p.values[i] = v
	return nil
}

// metaOf reads a PacketMetadata.
func metaOf(b []byte) (id uint64, value []byte, err error) {
	if n := len(b) - 4; n > 0 && b[0] == 1<<3|tagVarint && b[1] < 0x80 && b[2] == 2<<3|tagBytes && int(b[3]) == n && n < 0x80 { // as it is most often
		return uint64(b[1]), b[4:], nil
	}
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			id = f.u
		case 2:
			value = f.b
		}
	}
	return id, value, f.err
}

// PacketOut sends a packet with one metadata value for each field of Schema.PacketOut, in that
// order. Packets leave in the order of the calls. While the queue is full it waits for the context.
// The payload is copied. Nothing is sent twice: packets queued at a loss of the link are dropped
// and counted.
func (s *Session) PacketOut(ctx context.Context, payload []byte, meta ...Value) error {
	l, f, err := s.packetOut(payload, meta)
	if err != nil {
		return err
	}
	select {
	case l.out <- f:
		return nil
	default:
	}
	select {
	case l.out <- f:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-l.ctx.Done():
		err = ErrNotConnected
	}
	f.out.Free()
	s.stats.packetsOutDropped.Add(1)
	return err
}

// PacketOutNamed is PacketOut with its metadata by name; fields that are not named are 0.
func (s *Session) PacketOutNamed(ctx context.Context, payload []byte, meta map[string]Value) error {
	h := s.cfg.Schema.PacketOut()
	values := make([]Value, len(h.Fields))
	for name, v := range meta {
		i, err := h.Field(name)
		if err != nil {
			return err
		}
		values[i] = v
	}
	return s.PacketOut(ctx, payload, values...)
}

// TryPacketOut is PacketOut that never waits: a full queue drops the packet, counted.
func (s *Session) TryPacketOut(payload []byte, meta ...Value) error {
	l, f, err := s.packetOut(payload, meta)
	if err != nil {
		return err
	}
	select {
	case l.out <- f:
		return nil
	default:
		f.out.Free()
		s.stats.packetsOutDropped.Add(1)
		return ErrQueueFull
	}
}

func (s *Session) packetOut(payload []byte, meta []Value) (*link, *frame, error) {
	l, err := s.current()
	if err != nil {
		return nil, nil, err
	}
	h := s.cfg.Schema.packetOut.Fields
	if len(meta) != len(h) {
		return nil, nil, fmt.Errorf("packet-out: %w: %d of %d metadata fields given", ErrMissing, len(meta), len(h))
	}
	for i, v := range meta {
		if err := h[i].check(v); err != nil {
			return nil, nil, fmt.Errorf("packet-out: %w", err)
		}
	}
	// Bounded from above: 12 bytes of tags and lengths, 24 and up to 5 of id per metadata field.
	n := len(payload) + 16 + 32*len(meta)
	for i := range h {
		if h[i].IsName() {
			n += h[i].size(meta[i])
		}
	}
	buf := s.packets.Get(n)
	*buf = appendPacketOut(*buf, payload, h, meta)
	return l, &frame{out: mem.NewBuffer(buf, s.packets)}, nil
}

// appendPacketOut appends a StreamMessageRequest with a PacketOut.
func appendPacketOut(b, payload []byte, h []Field, meta []Value) []byte {
	size := 0
	if len(payload) > 0 {
		size = 1 + protowire.SizeBytes(len(payload))
	}
	for i, v := range meta {
		value := h[i].size(v)
		size += 1 + protowire.SizeBytes(metaSize(&h[i], value))
	}
	b = protowire.AppendVarint(append(b, 2<<3|tagBytes), uint64(size))
	if len(payload) > 0 {
		b = protowire.AppendBytes(append(b, 1<<3|tagBytes), payload)
	}
	for i, v := range meta {
		var at int
		b, at = open(b, 2)
		b = protowire.AppendVarint(append(b, 1<<3|tagVarint), uint64(h[i].ID))
		b = closeAt(h[i].append(b, 2, v), at)
	}
	return b
}

// metaSize is the length of a PacketMetadata whose value has n bytes.
func metaSize(f *Field, n int) int {
	return 1 + protowire.SizeVarint(uint64(f.ID)) + 1 + protowire.SizeBytes(n)
}
