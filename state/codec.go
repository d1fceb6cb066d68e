package state

import (
	"encoding/binary"
	"fmt"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Hot values. The first byte is the version; a reader refuses versions and flags that it doesn't know, and every value has
// exactly one encoding, so that compare-and-set by value is sound.
const (
	fdbVersion   = 1
	neighVersion = 1

	fdbFlagPinned = 1 << 0
)

// fdbValue is a learnt MAC: valid iff vport is in 1…2^24-1.
//
//	version 1: u8 version | u8 flags | u32 vport
type fdbValue struct {
	vport  flow.VPortID
	pinned bool // moved too often; stays where it is until removed
}

func appendFDB(b []byte, v fdbValue) []byte {
	var flags byte
	if v.pinned {
		flags |= fdbFlagPinned
	}
	b = append(b, fdbVersion, flags)
	return binary.BigEndian.AppendUint32(b, uint32(v.vport))
}

func decodeFDB(b []byte) (fdbValue, error) {
	if len(b) != 6 || b[0] != fdbVersion || b[1]&^fdbFlagPinned != 0 {
		return fdbValue{}, fmt.Errorf("%w: fdb entry % x", ErrCodec, b)
	}
	v := fdbValue{vport: flow.VPortID(binary.BigEndian.Uint32(b[2:])), pinned: b[1]&fdbFlagPinned != 0}
	if !v.vport.IsValid() {
		return fdbValue{}, fmt.Errorf("%w: fdb entry with vport %d", ErrCodec, v.vport)
	}
	return v, nil
}

// neighValue is a neighbour: asked for (no MAC yet), or known.
//
//	version 1: u8 version | u8 state (1 asked, 2 known) | u8 attempts | 6 bytes MAC (zero iff asked)
type neighValue struct {
	mac      packet.MAC
	known    bool
	attempts uint8 // requests sent so far; 0 iff known
}

const (
	neighAsked = 1
	neighKnown = 2
)

func appendNeigh(b []byte, v neighValue) []byte {
	if v.known {
		b = append(b, neighVersion, neighKnown, 0)
	} else {
		b = append(b, neighVersion, neighAsked, v.attempts)
	}
	return append(b, v.mac[:]...)
}

func decodeNeigh(b []byte) (neighValue, error) {
	if len(b) != 9 || b[0] != neighVersion {
		return neighValue{}, fmt.Errorf("%w: neighbour % x", ErrCodec, b)
	}
	v := neighValue{mac: packet.MAC(b[3:]), attempts: b[2], known: b[1] == neighKnown}
	switch {
	case b[1] == neighAsked && v.mac.IsZero() && v.attempts > 0:
	case b[1] == neighKnown && v.mac.IsUnicast() && v.attempts == 0:
	default:
		return neighValue{}, fmt.Errorf("%w: neighbour % x", ErrCodec, b)
	}
	return v, nil
}
