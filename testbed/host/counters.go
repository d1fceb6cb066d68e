package host

import "github.com/weft-sdn/weft/testbed/nic"

// Counters are the statistics of a host.
type Counters struct {
	nic.Counters
	Injected                         uint64 // raw frames, contained in FramesSent
	PacketsSent, PacketsReceived     uint64 // IP packets by the stack, before fragmentation and after filtering by MAC
	PacketsMalformed                 uint64
	TCPRetransmits, TCPResetsSent    uint64
	TCPChecksumErrors, UDPChecksums  uint64
	UDPSent, UDPReceived, UDPUnknown uint64 // UDPUnknown: to ports nobody listens at
}

// Counters reads the statistics.
func (h *Host) Counters() Counters {
	stats := h.stack.Stats()
	return Counters{
		Counters:          h.nic.Counters(),
		Injected:          h.injected.Load(),
		PacketsSent:       stats.IP.PacketsSent.Value(),
		PacketsReceived:   stats.IP.ValidPacketsReceived.Value(),
		PacketsMalformed:  stats.IP.MalformedPacketsReceived.Value(),
		TCPRetransmits:    stats.TCP.Retransmits.Value(),
		TCPResetsSent:     stats.TCP.ResetsSent.Value(),
		TCPChecksumErrors: stats.TCP.ChecksumErrors.Value(),
		UDPChecksums:      stats.UDP.ChecksumErrors.Value(),
		UDPSent:           stats.UDP.PacketsSent.Value(),
		UDPReceived:       stats.UDP.PacketsReceived.Value(),
		UDPUnknown:        stats.UDP.UnknownPortErrors.Value(),
	}
}
