package flow

import "slices"

// MaxLinks is how many links a LinkSet names at most.
const MaxLinks = 4

// LinkSet names links with a rate that a packet passes (Q1), by the ports behind them: each once, in order of their numbers, zeros last. The zero LinkSet names none. Comparable.
type LinkSet [MaxLinks]VPortID

// LinkSetOf returns the set of some links. It panics if they are too many.
func LinkSetOf(ports ...VPortID) (s LinkSet) {
	for _, p := range ports {
		if !s.Add(p) {
			panic("flow: more links than a set holds")
		}
	}
	return s
}

// Links returns the links: a part of the set.
func (s *LinkSet) Links() []VPortID {
	if n := slices.Index(s[:], 0); n >= 0 {
		return s[:n]
	}
	return s[:]
}

// IsZero reports whether the set names no link.
func (s LinkSet) IsZero() bool { return s[0] == 0 }

// Add has the set name a link, too. False: it names as many as it can, and stays as it is.
func (s *LinkSet) Add(port VPortID) bool {
	all := s.Links()
	i, there := slices.BinarySearch(all, port)
	switch {
	case there || port == 0:
		return true
	case len(all) == MaxLinks:
		return false
	}
	copy(s[i+1:], s[i:])
	s[i] = port
	return true
}

// Remove has the set not name a link.
func (s *LinkSet) Remove(port VPortID) {
	if i := slices.Index(s.Links(), port); i >= 0 {
		copy(s[i:], s[i+1:])
		s[MaxLinks-1] = 0
	}
}
