package soak

import (
	"bytes"
	"encoding/binary"
)

// message is what stations say to each other: who says it to whom, in which connection, and its number there.
type message struct {
	answer         bool
	from, to       uint16 // stations; to may be others, below
	via            uint16 // an answer: what the request was for
	conn, sequence uint64
}

// Receivers that are no single station.
const (
	toService = 0x8000 // and a tenant: whoever serves for it
	toAll     = 0x4000 // and the sender: all others on its bridge
)

const messageSize = 64

var magic = []byte("weft soak")

func (m *message) bytes() []byte {
	b := append(make([]byte, 0, messageSize), magic...)
	kind := byte(0)
	if m.answer {
		kind = 1
	}
	b = append(b, kind)
	for _, v := range []uint16{m.from, m.to, m.via} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	b = binary.BigEndian.AppendUint64(b, m.conn)
	b = binary.BigEndian.AppendUint64(b, m.sequence)
	return b[:messageSize]
}

// parseMessage finds a message in a frame or stream; false: there is none, or not all of it.
func parseMessage(b []byte) (m message, ok bool) {
	i := bytes.Index(b, magic)
	if i < 0 || len(b)-i < len(magic)+1+6+16 {
		return m, false
	}
	b = b[i+len(magic):]
	m.answer = b[0] == 1
	m.from, m.to, m.via = binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint16(b[3:]), binary.BigEndian.Uint16(b[5:])
	m.conn, m.sequence = binary.BigEndian.Uint64(b[7:]), binary.BigEndian.Uint64(b[15:])
	return m, true
}

// answerFrom is what a station answers.
func (m message) answerFrom(n int) message {
	return message{answer: true, from: uint16(n), to: m.from, via: m.to, conn: m.conn, sequence: m.sequence}
}
