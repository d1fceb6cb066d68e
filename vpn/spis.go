package vpn

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
)

// spis counts ESP for an SPI that strongSwan does not have, of which it says nothing. It lists those that it has once a second: a packet for one that is neither in the list before it came nor in the one after it was for none.
type spis struct {
	counts *counts
	known  atomic.Pointer[[]uint32] // of the last list

	mu      sync.Mutex
	waiting map[uint32]uint64 // packets since the last question, by SPI, of those that are not known
}

const (
	minESP     = 8    // SPI and sequence number
	minMarker  = 4    // what tells IKE from ESP (RFC 3948 section 2)
	keepalive  = 0xff // a packet of one byte (the same, section 2.3)
	maxUnknown = 1024 // SPIs that wait for the next list; those of others are taken for unknown
)

// saw takes a packet that comes. It returns false for one that is neither IKE nor ESP.
func (s *spis) saw(packet []byte) bool {
	if len(packet) < minMarker {
		if len(packet) == 1 && packet[0] == keepalive {
			return true
		}
		s.counts.malformed.Add(1)
		return false
	}
	spi := binary.BigEndian.Uint32(packet)
	if spi == 0 || len(packet) < minESP { // IKE; or what the daemon says that it is too short
		return true
	}
	if known := s.known.Load(); known != nil && slices.Contains(*known, spi) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waits := s.waiting[spi]; !waits && len(s.waiting) >= maxUnknown {
		s.counts.unknownSession.Add(1)
		return true
	}
	if s.waiting == nil {
		s.waiting = map[uint32]uint64{}
	}
	s.waiting[spi]++
	return true
}

// asked returns what waits for the list that is now asked for.
func (s *spis) asked() map[uint32]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting
	s.waiting = nil
	return waiting
}

// told takes the list, and counts what waited for it and is not in it.
func (s *spis) told(waited map[uint32]uint64, list []uint32) {
	s.known.Store(&list)
	for spi, n := range waited {
		if !slices.Contains(list, spi) {
			s.counts.unknownSession.Add(n)
		}
	}
}

// gone: the daemon ended, and knows none any more.
func (s *spis) gone() { s.known.Store(nil) }
