package packet

import "errors"

// Parse errors: exactly the frames for which the pipeline reports a parser error.
var (
	ErrTruncated = errors.New("truncated header")
	ErrVersion   = errors.New("IP version or header length does not fit")
)

// Errors of the checked views. They wrap what was found.
var (
	ErrNotARP   = errors.New("not ARP for IPv4 over Ethernet")
	ErrNotND    = errors.New("not a neighbour discovery message")
	ErrNotQuery = errors.New("not a query for multicast groups")
	ErrInvalid  = errors.New("invalid message")
	ErrChecksum = errors.New("wrong checksum")
)

// Errors of the builders that answer or cut a frame.
var (
	ErrNotEcho      = errors.New("not an answerable echo request")
	ErrNotIP        = errors.New("not an IP packet of that family")
	ErrNoFragment   = errors.New("packet must not be fragmented")
	ErrFragmentSize = errors.New("MTU leaves no room for a fragment")
)

// ErrNoAnswer: an ICMP error about this packet is forbidden (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e)).
var ErrNoAnswer = errors.New("packet must not be answered by an ICMP error")
