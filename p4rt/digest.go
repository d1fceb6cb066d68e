package p4rt

import (
	"context"
	"fmt"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// DigestConfig enables a digest: while it is installed the target sends lists of messages.
type DigestConfig struct {
	Digest     *Digest
	MaxTimeout time.Duration // how long the target may gather messages; 0: not at all
	MaxList    int32         // messages per list; 0: the target's choice
	// AckTimeout is how long the target holds back messages that are equal to one it has sent and
	// that was not acknowledged; 0: it doesn't.
	AckTimeout time.Duration
}

// Key is the identity of the digest.
func (c *DigestConfig) Key() Key { return Key{Kind: KindDigest, ID: c.Digest.ID} }

func (c *DigestConfig) String() string { return "digest " + c.Digest.Alias }

func (c *DigestConfig) validate(Op) error {
	switch {
	case c.Digest == nil:
		return fmt.Errorf("digest: %w", ErrNoSuchDigest)
	case c.MaxTimeout < 0 || c.AckTimeout < 0 || c.MaxList < 0:
		return fmt.Errorf("digest %s: %w: a timeout or the list size is negative", c.Digest, ErrOverflow)
	}
	return nil
}

func (c *DigestConfig) same(o Entity) bool {
	x, ok := o.(*DigestConfig)
	return ok && c.MaxTimeout == x.MaxTimeout && c.MaxList == x.MaxList && c.AckTimeout == x.AckTimeout
}

func (c *DigestConfig) appendWire(b []byte, op Op) []byte {
	e := &p4.DigestEntry{DigestId: c.Digest.ID}
	if op != Delete {
		e.Config = &p4.DigestEntry_Config{MaxTimeoutNs: int64(c.MaxTimeout), MaxListSize: c.MaxList, AckTimeoutNs: int64(c.AckTimeout)}
	}
	return appendMessage(b, &p4.Entity{Entity: &p4.Entity_DigestEntry{DigestEntry: e}})
}

// DigestList is a list of messages that packets sent.
type DigestList struct {
	Digest   *Digest
	ID       uint64
	At       time.Time // by the target's clock
	Messages [][]Value // each one per Digest.Fields, in that order
}

// decodeDigest turns a DigestList into values.
func (s *Schema) decodeDigest(m *p4.DigestList) (*DigestList, error) {
	d := s.digests.byID[m.GetDigestId()]
	if d == nil {
		return nil, fmt.Errorf("%w: id %d", ErrNoSuchDigest, m.GetDigestId())
	}
	list := &DigestList{Digest: d, ID: m.GetListId(), At: time.Unix(0, m.GetTimestamp()), Messages: make([][]Value, 0, len(m.GetData()))}
	for _, data := range m.GetData() {
		bits, err := bitstrings(data)
		if err != nil {
			return nil, fmt.Errorf("digest %s: %w", d, err)
		}
		if len(bits) != len(d.Fields) {
			return nil, fmt.Errorf("digest %s: %w: %d of %d fields", d, ErrMalformed, len(bits), len(d.Fields))
		}
		values := make([]Value, len(bits))
		for i, b := range bits {
			v, err := d.Fields[i].parse(b)
			if err == nil && d.Fields[i].Width > 0 {
				err = d.Fields[i].check(v)
			}
			if err != nil {
				return nil, fmt.Errorf("digest %s: field %s: %w", d, d.Fields[i].Name, err)
			}
			values[i] = v
		}
		list.Messages = append(list.Messages, values)
	}
	return list, nil
}

// bitstrings are the leaves of a P4Data of bit strings.
func bitstrings(d *p4.P4Data) ([][]byte, error) {
	var members []*p4.P4Data
	switch x := d.GetData().(type) {
	case *p4.P4Data_Bitstring:
		return [][]byte{x.Bitstring}, nil
	case *p4.P4Data_EnumValue:
		return [][]byte{x.EnumValue}, nil
	case *p4.P4Data_Bool:
		if x.Bool {
			return [][]byte{{1}}, nil
		}
		return [][]byte{{0}}, nil
	case *p4.P4Data_Header:
		return x.Header.GetBitstrings(), nil
	case *p4.P4Data_Struct:
		members = x.Struct.GetMembers()
	case *p4.P4Data_Tuple:
		members = x.Tuple.GetMembers()
	default:
		return nil, fmt.Errorf("%w: data of kind %T", ErrUnsupported, x)
	}
	var out [][]byte
	for _, m := range members {
		leaves, err := bitstrings(m)
		if err != nil {
			return nil, err
		}
		out = append(out, leaves...)
	}
	return out, nil
}

// digest takes a DigestList off the stream, and acknowledges it if the owner says so.
func (r *receiver) digest(b []byte) {
	s := r.l.s
	var m p4.DigestList
	err := proto.Unmarshal(b, &m)
	var list *DigestList
	if err == nil {
		list, err = s.cfg.Schema.decodeDigest(&m)
	}
	if err != nil {
		s.stats.malformedIn.Add(1)
		s.cfg.Logger.Debug("digest refused", "err", err)
		return
	}
	s.stats.digests.Add(uint64(len(list.Messages)))
	if s.cfg.Digest == nil || !s.cfg.Digest(list) {
		return
	}
	if err := r.l.ack(r.l.ctx, list, false); err != nil {
		s.stats.packetsOutDropped.Add(1)
	}
}

// AckDigest acknowledges a list, after which equal messages are sent anew. Config.Digest does so
// by its result; this is for those who decide later.
func (s *Session) AckDigest(ctx context.Context, list *DigestList) error {
	l, err := s.current()
	if err != nil {
		return err
	}
	return l.ack(ctx, list, true)
}

// ack queues an acknowledgement. A target whose profile has NoDigestAck is spared it.
func (l *link) ack(ctx context.Context, list *DigestList, wait bool) error {
	if l.s.cfg.Profile.NoDigestAck {
		return nil
	}
	b, err := proto.Marshal(&p4.StreamMessageRequest{Update: &p4.StreamMessageRequest_DigestAck{
		DigestAck: &p4.DigestListAck{DigestId: list.Digest.ID, ListId: list.ID}}})
	if err != nil {
		return err
	}
	f := &frame{out: mem.SliceBuffer(b), control: true}
	select {
	case l.out <- f:
		return nil
	default:
	}
	if !wait {
		return ErrQueueFull
	}
	select {
	case l.out <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return ErrNotConnected
	}
}
