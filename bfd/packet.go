package bfd

import (
	"errors"
	"fmt"
	"math"
	"time"

	wire "github.com/osrg/gobgp/v4/pkg/packet/bfd"
)

// State is how far a session is (RFC 5880 section 6.2).
type State uint8

// States, as they stand in packets.
const (
	AdminDown State = iota // it is switched off: no sign of a failure
	Down
	Init // the neighbour is heard, and does not hear, as far as is known
	Up
)

func (s State) String() string { return [...]string{"AdminDown", "Down", "Init", "Up"}[s&3] }

// Diagnostic is why a session is not up any more, in the words of RFC 5880 section 4.1.
type Diagnostic uint8

// Diagnostics that this package gives; neighbours may give others.
const (
	NoDiagnostic      Diagnostic = 0
	Expired           Diagnostic = 1 // nothing came for the detection time
	NeighbourDown     Diagnostic = 3 // the neighbour says that its end is down
	AdministrativeEnd Diagnostic = 7
)

func (d Diagnostic) String() string {
	if d >= 9 {
		return fmt.Sprintf("reserved diagnostic %d", uint8(d))
	}
	return wire.DiagnosticType(d).String()
}

// Packet is a BFD control packet (RFC 5880 section 4.1).
type Packet struct {
	State       State
	Diagnostic  Diagnostic
	Poll, Final bool
	Independent bool // the sender's BFD does not share the fate of its control plane; of packets that came
	Demand      bool // the sender asks for no periodic packets while both ends are up; of packets that came
	Multiplier  uint8
	Mine, Yours uint32 // discriminators
	MinTx       time.Duration
	MinRx       time.Duration // 0: the sender wants no periodic packets
}

// What a packet lacks that is passed over.
var (
	errVersion       = errors.New("of another version than 1")
	errLength        = errors.New("its length is wrong")
	errMultiplier    = errors.New("multiplier 0")
	errMultipoint    = errors.New("multipoint")
	errDiscriminator = errors.New("a discriminator is missing")
	errAuthenticated = errors.New("authenticated, which is not agreed on")
)

// Bits of the second byte.
const (
	flagIndependent   = 1 << 3
	flagAuthenticated = 1 << 2
	flagDemand        = 1 << 1
	flagMultipoint    = 1
)

// shortest is the length of a packet without authentication, in bytes.
const shortest = 24

// Parse reads the payload of a datagram, and checks what RFC 5880 section 6.8.6 has checked before a session is looked for.
func Parse(b []byte) (Packet, error) {
	if len(b) < shortest || int(b[3]) < shortest || int(b[3]) > len(b) {
		return Packet{}, errLength
	}
	var h wire.BFDHeader
	if err := h.UnmarshalBinary(b[:b[3]]); err != nil {
		return Packet{}, err
	}
	p := Packet{
		State: State(h.State), Diagnostic: Diagnostic(h.Diagnostic), Poll: h.Poll, Final: h.Final, Independent: b[1]&flagIndependent != 0, Demand: b[1]&flagDemand != 0,
		Multiplier: h.DetectTimeMultiplier, Mine: h.MyDiscriminator, Yours: h.YourDiscriminator,
		MinTx: time.Duration(h.DesiredMinTxInterval) * time.Microsecond, MinRx: time.Duration(h.RequiredMinRxInterval) * time.Microsecond,
	}
	switch {
	case h.Version != 1:
		return p, errVersion
	case b[1]&flagAuthenticated != 0:
		return p, errAuthenticated
	case p.Multiplier == 0:
		return p, errMultiplier
	case b[1]&flagMultipoint != 0:
		return p, errMultipoint
	case p.Mine == 0, p.Yours == 0 && p.State > Down:
		return p, errDiscriminator
	}
	return p, nil
}

// Marshal is the payload of a datagram. It says neither Independent nor Demand: the agent is the control plane.
func (p *Packet) Marshal() []byte {
	h := wire.BFDHeader{
		Version: 1, State: wire.StateType(p.State), Diagnostic: wire.DiagnosticType(p.Diagnostic), Poll: p.Poll, Final: p.Final, DetectTimeMultiplier: p.Multiplier,
		MyDiscriminator: p.Mine, YourDiscriminator: p.Yours, DesiredMinTxInterval: micros(p.MinTx), RequiredMinRxInterval: micros(p.MinRx),
	}
	b, _ := h.MarshalBinary() // the fields are in range
	return b
}

func micros(d time.Duration) uint32 { return uint32(min(d.Microseconds(), math.MaxUint32)) }
