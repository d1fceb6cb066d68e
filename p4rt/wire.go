package p4rt

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The hot messages (Write, PacketOut) are encoded straight from typed values into the bytes of
// p4/v1/p4runtime.proto: building them from generated structs costs some 30 allocations an entry.
// Tests compare every form with the generated code. Numbers below are the proto's field numbers.

const (
	tagVarint = byte(protowire.VarintType)
	tagBytes  = byte(protowire.BytesType)
)

// open starts a length-delimited field; close fills in its length.
func open(b []byte, field byte) ([]byte, int) {
	b = append(b, field<<3|tagBytes, 0)
	return b, len(b)
}

func closeAt(b []byte, start int) []byte {
	n := len(b) - start
	if n < 0x80 {
		b[start-1] = byte(n)
		return b
	}
	extra := protowire.SizeVarint(uint64(n)) - 1
	for range extra {
		b = append(b, 0)
	}
	copy(b[start+extra:], b[start:start+n])
	protowire.AppendVarint(b[:start-1], uint64(n))
	return b
}

func appendUint(b []byte, field byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, field<<3|tagVarint), v)
}

func appendValue(b []byte, field byte, v Value) []byte {
	return v.AppendCanonical(append(b, field<<3|tagBytes, byte(v.byteLen())))
}

func appendUpdate(b []byte, u Update) []byte {
	b, update := open(b, 4) // WriteRequest.updates
	b = appendUint(b, 1, uint64(u.Op))
	b, entity := open(b, 2)
	b = u.Entity.appendWire(b, u.Op)
	return closeAt(closeAt(b, entity), update)
}

func (e *Entry) appendWire(b []byte, op Op) []byte {
	b, entry := open(b, 2) // Entity.table_entry
	b = appendUint(b, 1, uint64(e.Table.ID))
	if !e.Default {
		for i := range e.Match {
			b = appendMatch(b, &e.Table.Keys[i], e.Match[i])
		}
	}
	if op != Delete && e.Action != nil {
		b = e.appendAction(b)
	}
	b = appendUint(b, 4, uint64(e.Priority))
	if e.Default {
		b = appendUint(b, 8, 1)
	}
	if op != Delete {
		b = appendUint(b, 9, uint64(e.IdleTimeout/time.Nanosecond))
		if e.Cookie != 0 {
			b = appendValue(b, 11, U64(e.Cookie))
		}
	}
	return closeAt(b, entry)
}

func appendMatch(b []byte, f *Field, m Match) []byte {
	m = f.canon(m)
	if f.isAny(m) {
		return b
	}
	b, match := open(b, 2) // TableEntry.match
	b = appendUint(b, 1, uint64(f.ID))
	var kind int
	switch f.Kind {
	case MatchExact:
		b, kind = open(b, 2)
		b = appendValue(b, 1, m.Value)
	case MatchTernary:
		b, kind = open(b, 3)
		b = appendValue(appendValue(b, 1, m.Value), 2, m.Mask)
	case MatchLPM:
		b, kind = open(b, 4)
		b = appendUint(appendValue(b, 1, m.Value), 2, uint64(m.Mask.PrefixLen(f.Width)))
	case MatchRange:
		b, kind = open(b, 6)
		b = appendValue(appendValue(b, 1, m.Value), 2, m.Mask)
	case MatchOptional:
		b, kind = open(b, 7)
		b = appendValue(b, 1, m.Value)
	}
	return closeAt(closeAt(b, kind), match)
}

func (e *Entry) appendAction(b []byte) []byte {
	b, outer := open(b, 3) // TableEntry.action
	b, action := open(b, 1)
	b = appendUint(b, 1, uint64(e.Action.ID))
	for i, v := range e.Params {
		var param int
		b, param = open(b, 4)
		b = appendUint(b, 2, uint64(e.Action.Params[i].ID))
		b = closeAt(appendValue(b, 3, v), param)
	}
	return closeAt(closeAt(b, action), outer)
}

func (g *MulticastGroup) appendWire(b []byte, op Op) []byte {
	b, pre := open(b, 9)
	b, group := open(b, 1)
	b = appendUint(b, 1, uint64(g.ID))
	if op != Delete {
		b = appendReplicas(b, g.Replicas)
	}
	return closeAt(closeAt(b, group), pre)
}

func (c *CloneSession) appendWire(b []byte, op Op) []byte {
	b, pre := open(b, 9)
	b, session := open(b, 2)
	b = appendUint(b, 1, uint64(c.ID))
	if op != Delete {
		b = appendReplicas(b, c.Replicas)
		b = appendUint(b, 3, uint64(c.Class))
		b = appendUint(b, 4, uint64(c.Truncate))
	}
	return closeAt(closeAt(b, session), pre)
}

// appendReplicas uses the port number that every server knows (egress_port, deprecated since 1.4
// in favour of bytes, which some do not).
func appendReplicas(b []byte, rs []Replica) []byte {
	for _, r := range rs {
		var at int
		b, at = open(b, 2)
		// A oneof is present even when 0.
		b = protowire.AppendVarint(append(b, 1<<3|tagVarint), uint64(r.Port))
		b = closeAt(appendUint(b, 2, uint64(r.Instance)), at)
	}
	return b
}
