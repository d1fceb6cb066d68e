package vpn

import "sync/atomic"

// Drops are packets that a VPN dropped, by why.
type Drops struct {
	NotForUs       uint64 `json:"not_for_us"`      // frames of the private port for another MAC, or no IP; of the public port, no packet for the tunnel
	TooLong        uint64 `json:"too_long"`        // for the tunnel
	NotAllowed     uint64 `json:"not_allowed"`     // from the tunnel: what the peer may not send
	NotHeld        uint64 `json:"not_held"`        // the VPN was not surely held any more
	NoTransport    uint64 `json:"no_transport"`    // encrypted packets that the transport did not take
	Overflow       uint64 `json:"queue_is_full"`   // frames of the ports that came faster than they were taken
	NotTaken       uint64 `json:"not_taken"`       // frames that the data port did not take
	Malformed      uint64 `json:"malformed"`       // packets of the transport that are none of WireGuard's, or none of IPsec's
	UnknownSession uint64 `json:"unknown_session"` // of no session of this end
	BadHandshake   uint64 `json:"bad_handshake"`   // messages of handshakes that WireGuard refused
	Refused        uint64 `json:"refused"`         // packets that WireGuard, or the daemon of an OpenVPN or IPsec, refused: replays, forged ones
}

// Dropped is how many packets were dropped for a reason.
type Dropped struct {
	Reason  string
	Packets uint64
}

// All lists the drops by reason, as metrics name them.
func (d *Drops) All() []Dropped {
	return []Dropped{
		{"not_for_us", d.NotForUs}, {"too_long", d.TooLong}, {"not_allowed", d.NotAllowed}, {"not_held", d.NotHeld}, {"no_transport", d.NoTransport}, {"queue_is_full", d.Overflow}, {"not_taken", d.NotTaken},
		{"malformed", d.Malformed}, {"unknown_session", d.UnknownSession}, {"bad_handshake", d.BadHandshake}, {"refused", d.Refused},
	}
}

// counts are what a VPN counts at this edge, since its agent began: Drops as they grow, and how often it was taken.
type counts struct {
	notForUs, tooLong, notAllowed, notHeld, noTransport, overflow, notTaken atomic.Uint64

	malformed, unknownSession, badHandshake, refused atomic.Uint64

	takes atomic.Uint64
}

func (c *counts) read() Drops {
	return Drops{
		NotForUs: c.notForUs.Load(), TooLong: c.tooLong.Load(), NotAllowed: c.notAllowed.Load(), NotHeld: c.notHeld.Load(), NoTransport: c.noTransport.Load(), Overflow: c.overflow.Load(), NotTaken: c.notTaken.Load(),
		Malformed: c.malformed.Load(), UnknownSession: c.unknownSession.Load(), BadHandshake: c.badHandshake.Load(), Refused: c.refused.Load(),
	}
}
