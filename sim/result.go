package sim

import (
	"fmt"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Result is what a simulation gives. It is reused: the next Simulate with it overwrites everything, frames too.
type Result struct {
	Outcomes       []Outcome // one at least
	Mask           flow.Mask // bits of the key that were read
	Guards         flow.Guards
	Deps           []topology.Dep // what the walk of the packet relied on, absences too
	Crossed        []flow.VPortID // interior ports by which the packet, or copies of it, came into devices: the links that it passed, in order
	Rules          []RuleMet      // of chains, that the packet, or copies of it, met, in order
	Effects        []Effect
	Originated     []Originated
	Track          Track
	Installable    bool
	NotInstallable string // why not; empty iff Installable
	Trace          *Trace // nil: off. Set by the caller

	arena []byte // holds originated frames
}

// reset empties the result and keeps its memory.
func (r *Result) reset() {
	r.Outcomes, r.Deps, r.Effects, r.Originated, r.arena = r.Outcomes[:0], r.Deps[:0], r.Effects[:0], r.Originated[:0], r.arena[:0]
	r.Crossed, r.Rules = r.Crossed[:0], r.Rules[:0]
	r.Mask, r.Guards, r.Installable, r.NotInstallable = flow.Mask{}, flow.Guards{}, false, ""
	if r.Track.Used || r.Track.Ports || r.Track.Key.Zone != 0 {
		r.Track.reset()
	}
	if r.Trace != nil {
		r.Trace.Steps = r.Trace.Steps[:0]
	}
}

// RuleMet is a rule that a packet met, whatever its action. Comparable.
type RuleMet struct {
	Chain topology.DeviceID
	Rule  string // its name; empty: none was met, and the chain's default decided
}

// Verdict is what becomes of a packet (E2).
type Verdict uint8

// Verdicts.
const (
	Forward    Verdict = iota + 1 // to a vport or group
	Drop                          // see DropReason
	Consumed                      // answered or taken in by a device
	Incomplete                    // a neighbour must be asked, a device loaded, or a lease read, first: hold the packet, see AskNeighbour, Load and ReadLease
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Forward:
		return "forward"
	case Drop:
		return "drop"
	case Consumed:
		return "consumed"
	case Incomplete:
		return "incomplete"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// Outcome is one end of a packet's walk. Comparable.
type Outcome struct {
	Verdict  Verdict
	Dest     flow.Dest    // Forward: vport or group. A group's copy to the ingress vport is pruned
	Rewrite  flow.Rewrite // Forward
	Links    flow.LinkSet // Forward: those on the way that have a rate (Q1); of more than it holds those with the least
	Fragment uint16       // Forward: cut into fragments for this MTU first, in software; 0: as it is
	Drop     DropReason   // Drop
	Reject   bool         // Drop: each sender is to get an answer, so install a metered punt, not a drop (E3)
}

// DropReason tells why a packet was dropped. A drop is a result, not an error.
type DropReason uint8

// Drop reasons.
const (
	DropNone             DropReason = iota
	DropNoVPort                     // ingress vport does not exist
	DropPortDown                    // a port on the way is administratively down
	DropUnlinked                    // an interior port on the way has no device or no peer
	DropTooFar                      // more than MaxDevices devices
	DropInvalidSource               // source MAC that is not one station's
	DropSamePort                    // bridge: the destination is behind the port that the frame came in by
	DropUnknownMAC                  // bridge: unknown unicast, and its mode is drop
	DropNoMembers                   // bridge: flooded to nobody
	DropNotOurMAC                   // router: not addressed to the port
	DropMulticast                   // router: multicast and broadcast are not forwarded
	DropNotIP                       // router
	DropMalformed                   // ARP or ND that fails its checks
	DropNotOurAddress               // router: request for an address that is not the port's (R4)
	DropUnsolicited                 // router: reply to a question that nobody asked (R4)
	DropLocal                       // router: no service for this protocol on its own address (R2)
	DropUnforwardable               // router: address that is never forwarded to
	DropNoRoute                     // router (R3)
	DropRejectRoute                 // router (R1)
	DropBlackhole                   // router (R1)
	DropTTL                         // router: TTL or hop limit expired (R3)
	DropTooBig                      // router: longer than the MTU and must not be fragmented (R3)
	DropNoNeighbour                 // router: nobody on the link can have the next hop's address
	DropNoAddress                   // router: the port has no address to ask from
	DropFiltered                    // a rule, or the end of a chain (F1)
	DropForgedAnswer                // a packet of a connection's other direction that would come out elsewhere than the connection came in
	DropExtension                   // IPv6 extension headers before a chain that asks for the protocol
	DropNAT                         // a translation that can't be made: no more are possible, or of several copies
	DropNoMember                    // a pool of which no member is up and takes new connections (N4)
	DropChainLoop                   // chains that jump in a loop: never written, so a fault
	DropSpoofed                     // DHCP: the message names another hardware address than its source
	DropOtherServer                 // DHCP: it is for another server
	DropNoLease                     // DHCP: no address is left for the host
	DropLand                        // source and destination are one IP address
	DropReserved                    // bridge: a group address whose frames no bridge forwards (IEEE 802.1Q table 8-1)
	DropSpoofedNeighbour            // ARP or ND of a host that names another MAC than its source as its own
	DropDHCPServer                  // DHCP: a message to clients, of a host that is one
	DropChecksum                    // a chain asks for the connection of a packet whose TCP, UDP or ICMP checksum is wrong, or that is cut short
	DropUnreachable                 // the destination is bound nowhere (E14), or the neighbour does not answer (R4): see Lost
	DropHeader                      // router: IPv4 header with a wrong checksum, or longer than its packet
	DropMartian                     // router: source that is not forwarded from
	DropFrameLength                 // router: the frame does not hold its packet, or is longer than the MTU for what is behind it
	DropNested                      // what a VPN encrypted, at the port that leads into it
)

// String returns the reason in words.
func (d DropReason) String() string {
	names := [...]string{
		"none", "no such vport", "port down", "unlinked port", "too many devices", "invalid source mac", "same port", "unknown mac", "no members",
		"not our mac", "multicast", "not ip", "malformed", "not our address", "unsolicited", "local address", "unforwardable address", "no route",
		"reject route", "blackhole", "ttl expired", "too big", "no neighbour", "no address", "filtered", "forged answer", "extension header", "no translation", "no member", "chain loop",
		"spoofed dhcp", "other dhcp server", "no lease left", "source is destination", "reserved address", "spoofed neighbour", "dhcp server", "wrong checksum", "unreachable",
		"bad header", "martian source", "frame length", "nested vpn",
	}
	if int(d) < len(names) {
		return names[d]
	}
	return fmt.Sprintf("drop %d", uint8(d))
}

// EffectKind is a kind of effect.
type EffectKind uint8

// Effects.
const (
	Learn                EffectKind = iota + 1 // bridge Device: MAC is behind Port (B2)
	LearnBridgeNeighbour                       // bridge Device: Addr is at MAC, which is behind Port (K9)
	LearnNeighbour                             // router port Port: Addr is at MAC (R4)
	AskNeighbour                               // router port Port: Addr is wanted; the request is among Originated, unless it was Asked already
	Load                                       // Device is not in the snapshot (E7): when it is, the packet is to be decided anew. Nothing else of the result counts
	LogRule                                    // the rule with number Rule of chain Device decided about a packet that came by Port, and wants it logged
	ReadLease                                  // DHCP resource Device: look up what the host MAC at vport Port has, and Addr, an unspecified address if it wants none; then SimulateLease. Nothing else of the result counts
	OfferLease                                 // DHCP: keep Addr for the host until it answers. This and the next are to be stored before what was originated leaves; if that fails, decide anew
	BindLease                                  // DHCP: Addr is the host's for the lease time
	ReleaseLease                               // DHCP: the host gives Addr back
	DeclineLease                               // DHCP: the host says that Addr is in use: nobody is to get it for a while
	ProbeAnswer                                // the packet may answer a probe of pool Device's monitor: for the edge that runs it
	ConfirmNeighbour                           // router port Port: the station at MAC says that it still has Addr, as is known. An answer to a probe
	AwaitMAC                                   // bridge Device drops the packet, since it does not know MAC: it may be about to be learnt, here or at another edge
)

// Effect is a change that the engine carries out, by compare-and-set. Comparable.
type Effect struct {
	Kind      EffectKind
	Device    topology.DeviceID
	Port      flow.VPortID
	MAC       packet.MAC
	Addr      netip.Addr
	Rule      uint16
	Solicited bool // LearnNeighbour: answers a question. If neither this nor Unasked, it contradicts an entry, whose MAC is to be probed first
	Unasked   bool // LearnNeighbour: there is no entry in this snapshot. To be refused unless the database says that somebody asked
	Asked     bool // AskNeighbour: the database says that it was asked; retry at intervals with Simulator.Ask
	Search    bool // ReadLease: find a free address, if what the host has or wants is not to be had
	Hold      bool // AskNeighbour: the packet itself waits, not one that was originated
}

// OriginKind tells what an originated packet is.
type OriginKind uint8

// Kinds of originated packets.
const (
	OriginARP OriginKind = iota + 1 // ARP or ND, request or reply
	OriginEcho
	OriginError // ICMP error: rate limited
	OriginDHCP
	OriginProbe   // of a monitor: see Simulator.Probe
	OriginSpeaker // of a routing protocol: see Simulator.Speak
)

// Originated is one copy of a packet that the virtual network sends of itself, simulated from the port where it entered (E2).
type Originated struct {
	Frame []byte       // as it leaves, untagged; valid until the result is used again
	Dest  flow.Dest    // vport or group where it leaves
	From  flow.VPortID // the port that emitted it: an exterior vport if it leaves right there
	Kind  OriginKind
}
