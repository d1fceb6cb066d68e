package topology

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// BFDSpec has the way to a BGP session's neighbour watched by BFD.
type BFDSpec struct {
	MinTx      uint16 `json:"minTx,omitempty"`      // milliseconds from one packet that is sent to the next, at least: 50 to 10000; default 300. the slower end decides
	MinRx      uint16 `json:"minRx,omitempty"`      // milliseconds from one packet that comes to the next, at least: 50 to 10000; default 300
	Multiplier uint8  `json:"multiplier,omitempty"` // how many packets in a row may be missed until the way is lost: 2 to 50; default 3
	Strict     bool   `json:"strict,omitempty"`     // the session does not begin before BFD is up; default: BFD may come up later, or never, where the neighbour has none
}

// Bounds and defaults of BFD; times are in milliseconds.
const (
	minBFDTime           = 50
	maxBFDTime           = 10_000
	defaultBFDTime       = 300
	minBFDMultiplier     = 2
	maxBFDMultiplier     = 50
	defaultBFDMultiplier = 3
)

// BFD is how the way to a neighbour is watched. The zero value: it is not.
type BFD struct {
	MinTx, MinRx time.Duration
	Multiplier   uint8
	Strict       bool
}

func newBFD(s *BFDSpec) BFD {
	if s == nil {
		return BFD{}
	}
	return BFD{
		MinTx: time.Duration(cmp.Or(s.MinTx, defaultBFDTime)) * time.Millisecond, MinRx: time.Duration(cmp.Or(s.MinRx, defaultBFDTime)) * time.Millisecond,
		Multiplier: cmp.Or(s.Multiplier, defaultBFDMultiplier), Strict: s.Strict,
	}
}

// On reports whether the way is watched.
func (b BFD) On() bool { return b.Multiplier != 0 }

// BFDMultihop reports whether BFD goes over several hops (RFC 5883), as the session through p does: else the neighbour is on the link.
func (b *BGPSession) BFDMultihop(p *VPort) bool {
	return b.Multihop > 0 || b.Internal() && !p.OnLink(b.PeerAddress)
}

// bfd checks how the way of a session is watched.
func (v *validator) bfd(o *Object, s *BFDSpec) {
	if s == nil {
		return
	}
	for field, n := range map[string]uint16{"spec.bfd.minTx": s.MinTx, "spec.bfd.minRx": s.MinRx} {
		if n != 0 && (n < minBFDTime || n > maxBFDTime) {
			v.fail(o, field, strconv.Itoa(int(n)), "is out of range", fmt.Sprintf("use %d to %d milliseconds", minBFDTime, maxBFDTime))
		}
	}
	if n := s.Multiplier; n != 0 && (n < minBFDMultiplier || n > maxBFDMultiplier) {
		v.fail(o, "spec.bfd.multiplier", strconv.Itoa(int(n)), "is out of range", fmt.Sprintf("use %d to %d", minBFDMultiplier, maxBFDMultiplier))
	}
}
