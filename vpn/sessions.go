package vpn

import (
	"sync"
	"time"
)

// sessions are the indices that this end gave to sessions of WireGuard's. A peer names one in all that it sends but the first message of a handshake.
type sessions struct {
	mu     sync.RWMutex
	recent map[uint32]struct{}
	former map[uint32]struct{}
	turned time.Time // when the recent ones became former
}

// sessionLife is longer than an index can be in use: a handshake's state is kept for 9 minutes (3 * REJECT_AFTER_TIME), its keys for 3. An index is known for so long, at least. There are few: each takes a handshake that this end began, or a peer with the right keys.
const sessionLife = 15 * time.Minute

// add notes an index that this end tells a peer.
func (s *sessions) add(index uint32, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recent == nil || now.Sub(s.turned) > sessionLife {
		s.former, s.recent, s.turned = s.recent, map[uint32]struct{}{}, now
	}
	s.recent[index] = struct{}{}
}

// has reports whether this end gave an index, lately.
func (s *sessions) has(index uint32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, recent := s.recent[index]
	_, former := s.former[index]
	return recent || former
}
