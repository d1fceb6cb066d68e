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

func appendText(b []byte, field byte, s string) []byte {
	return protowire.AppendString(append(b, field<<3|tagBytes), s)
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
	return closeAt(e.appendBody(b, op), entry)
}

// appendBody appends the fields of TableEntry; for a Delete, the key alone.
func (e *Entry) appendBody(b []byte, op Op) []byte {
	b = appendUint(b, 1, uint64(e.Table.ID))
	if !e.Default {
		for i := range e.Match {
			b = appendMatch(b, 2, &e.Table.Keys[i], e.Match[i])
		}
	}
	if op != Delete {
		b = e.appendTableAction(b)
	}
	b = appendUint(b, 4, uint64(e.Priority))
	if op != Delete && e.Meter != nil {
		b = e.Meter.append(b, 6)
	}
	if e.Default {
		b = appendUint(b, 8, 1)
	}
	if op != Delete {
		b = appendUint(b, 9, uint64(e.IdleTimeout/time.Nanosecond))
		if e.Cookie != 0 {
			b = appendValue(b, 11, U64(e.Cookie))
		}
	}
	return b
}

// appendMatch appends a FieldMatch as a field of a message, unless it matches anything.
func appendMatch(b []byte, field byte, f *Field, m Match) []byte {
	m = f.canon(m)
	if f.isAny(m) {
		return b
	}
	b, match := open(b, field)
	b = appendUint(b, 1, uint64(f.ID))
	var kind int
	switch f.Kind {
	case MatchExact:
		b, kind = open(b, 2)
		b = f.append(b, 1, m.Value)
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
		b = f.append(b, 1, m.Value)
	}
	return closeAt(closeAt(b, kind), match)
}

// appendTableAction appends TableEntry.action, if the entry has one.
func (e *Entry) appendTableAction(b []byte) []byte {
	var outer int
	switch {
	case e.Action != nil:
		b, outer = open(b, 3)
		b = appendAction(b, 1, e.Action, e.Params)
	case e.Member != 0:
		b, outer = open(b, 3)
		b = appendUint(b, 2, uint64(e.Member))
	case e.Group != 0:
		b, outer = open(b, 3)
		b = appendUint(b, 3, uint64(e.Group))
	case e.OneShot != nil:
		b, outer = open(b, 3)
		b = appendOneShot(b, e.OneShot)
	default:
		return b
	}
	return closeAt(b, outer)
}

// appendAction appends an Action as a field of a message.
func appendAction(b []byte, field byte, a *Action, params []Value) []byte {
	b, action := open(b, field)
	b = appendUint(b, 1, uint64(a.ID))
	for i, v := range params {
		var param int
		b, param = open(b, 4)
		b = appendUint(b, 2, uint64(a.Params[i].ID))
		b = closeAt(a.Params[i].append(b, 3, v), param)
	}
	return closeAt(b, action)
}

func (g *MulticastGroup) appendWire(b []byte, op Op) []byte {
	b, pre := open(b, 9)
	b, group := open(b, 1)
	b = appendUint(b, 1, uint64(g.ID))
	if op != Delete {
		b = appendReplicas(b, g.Replicas, g.Backups)
		if g.Cookie != 0 {
			b = appendValue(b, 3, U64(g.Cookie))
		}
	}
	return closeAt(closeAt(b, group), pre)
}

func (c *CloneSession) appendWire(b []byte, op Op) []byte {
	b, pre := open(b, 9)
	b, session := open(b, 2)
	b = appendUint(b, 1, uint64(c.ID))
	if op != Delete {
		b = appendReplicas(b, c.Replicas, c.Backups)
		b = appendUint(b, 3, uint64(c.Class))
		b = appendUint(b, 4, uint64(c.Truncate))
	}
	return closeAt(closeAt(b, session), pre)
}

// appendReplicas uses the port number that every server knows (egress_port, deprecated since 1.4
// in favour of bytes, which some do not) but for names; backups came after it.
func appendReplicas(b []byte, rs []Replica, backups map[Replica][]Replica) []byte {
	for _, r := range rs {
		var at int
		b, at = open(b, 2)
		if r.Name != "" {
			b = appendText(b, 3, r.Name)
		} else { // a oneof is present even when 0
			b = protowire.AppendVarint(append(b, 1<<3|tagVarint), uint64(r.Port))
		}
		b = appendUint(b, 2, uint64(r.Instance))
		for _, spare := range backups[r] {
			var backup int
			b, backup = open(b, 4)
			if spare.Name != "" {
				b = appendText(b, 1, spare.Name)
			} else {
				b = appendValue(b, 1, U64(uint64(spare.Port)))
			}
			b = closeAt(appendUint(b, 2, uint64(spare.Instance)), backup)
		}
		b = closeAt(b, at)
	}
	return b
}
