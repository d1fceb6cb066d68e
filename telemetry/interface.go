package telemetry

import "time"

// State is what is known of a link.
type State uint8

// States of a link. Unknown is not down: nobody has told, or what was told is stale.
const (
	Unknown State = iota
	Up
	Down
)

func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return "unknown"
}

// Counter is one of the counters of openconfig-interfaces that are collected.
type Counter uint8

// Counters, by their leaves below state/counters.
const (
	InOctets Counter = iota
	InPackets
	InUnicast
	InMulticast
	InBroadcast
	InDiscards
	InErrors
	InFCSErrors
	OutOctets
	OutPackets
	OutUnicast
	OutMulticast
	OutBroadcast
	OutDiscards
	OutErrors
	CarrierTransitions
	NumCounters
)

var counterLeaves = [NumCounters]string{
	"in-octets", "in-pkts", "in-unicast-pkts", "in-multicast-pkts", "in-broadcast-pkts", "in-discards", "in-errors", "in-fcs-errors",
	"out-octets", "out-pkts", "out-unicast-pkts", "out-multicast-pkts", "out-broadcast-pkts", "out-discards", "out-errors", "carrier-transitions",
}

// String is the name of the counter's leaf, such as in-octets.
func (c Counter) String() string { return counterLeaves[c] }

// Count is a counter's value since it was first told: it only grows, whatever the target does with its own. Valid iff Known.
type Count struct {
	Value uint64
	Known bool
}

// Interface is what is known of one interface of a target.
type Interface struct {
	Name       string    // at the target
	Port       uint16    // P4Runtime's number of it
	Admin      string    // UP, DOWN, TESTING; empty: not told
	Oper       string    // UP, DOWN, LOWER_LAYER_DOWN …; empty: not told
	Link       State     // what follows from both, held down while it flaps
	Held       bool      // the target says up, and it is not up long enough yet
	Stale      bool      // nothing was told of it for too long: Link is Unknown
	LastChange time.Time // of Oper, by the target's clock; zero: not told
	Updated    time.Time // when something was told of it last; zero: never
	Speed      uint64    // bits a second; 0: not told
	Flaps      uint64    // times that the link went down
	Resets     uint64    // times that its counters began anew

	Counters [NumCounters]Count
	Rates    Rates
}

// Rates are those between the last two samples.
type Rates struct {
	InBits, OutBits, InPackets, OutPackets float64 // a second
}

// Link is the state of one interface, for who acts on it.
type Link struct {
	Name  string
	Port  uint16
	State State
}
