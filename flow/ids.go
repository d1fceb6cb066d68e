package flow

import "strconv"

// VPortID is the global id of a vport, 24 bits: it is also a tunnel key (E9). Zero means unset.
type VPortID uint32

// Dest is where a flow sends its packets: a vport or a group, which share one 24-bit id space. Zero means unset.
type Dest uint32

// MaxID is the largest vport or group id.
const MaxID = 1<<24 - 1

// Dest returns the vport as a destination.
func (v VPortID) Dest() Dest { return Dest(v) }

// IsValid reports whether v is set and fits 24 bits.
func (v VPortID) IsValid() bool { return v != 0 && v <= MaxID }

// String returns the number in decimal.
func (v VPortID) String() string { return strconv.FormatUint(uint64(v), 10) }

// VPort returns the destination as a vport; the caller knows that it is one.
func (d Dest) VPort() VPortID { return VPortID(d) }

// IsValid reports whether d is set and fits 24 bits.
func (d Dest) IsValid() bool { return d != 0 && d <= MaxID }

// String returns the number in decimal.
func (d Dest) String() string { return strconv.FormatUint(uint64(d), 10) }
