package vpn

import (
	"encoding/binary"
	"testing"
)

// TestUnknownSPIs: each packet of ESP for an SPI that the daemon does not have is counted once, when it is sure; one that it has just got is not.
func TestUnknownSPIs(t *testing.T) {
	n := new(counts)
	s := &spis{counts: n}
	esp := func(spi uint32) []byte { return append(binary.BigEndian.AppendUint32(nil, spi), make([]byte, 40)...) }
	came := func(want bool, all ...[]byte) {
		t.Helper()
		for _, p := range all {
			if got := s.saw(p); got != want {
				t.Errorf("%x: %v", p, got)
			}
		}
	}
	counted := func(what string, unknown, malformed uint64) {
		t.Helper()
		if d := n.read(); d != (Drops{UnknownSession: unknown, Malformed: malformed}) {
			t.Errorf("%s: %+v", what, d)
		}
	}
	came(true, esp(1), esp(1), esp(2), []byte{keepalive}, make([]byte, 28), []byte{1, 2, 3, 4, 5})
	came(false, nil, []byte{1}, []byte{1, 2, 3})
	counted("before a list", 0, 3)
	waited := s.asked()
	came(true, esp(3)) // behind the question
	s.told(waited, []uint32{1})
	counted("2 is not in the list", 1, 3)
	came(true, esp(1), esp(1))
	s.told(s.asked(), []uint32{1, 3})
	counted("3 was new", 1, 3)
	came(true, esp(1)) // listed before, not any more
	s.told(s.asked(), []uint32{3})
	counted("1 went meanwhile", 1, 3)
	came(true, esp(1))
	s.gone()
	came(true, esp(3))
	s.told(s.asked(), nil)
	counted("the daemon ended", 3, 3)
	for spi := range uint32(2 * maxUnknown) {
		came(true, esp(spi+10))
	}
	counted("too many to wait", 3+maxUnknown, 3)
	s.told(s.asked(), nil)
	counted("those that waited", 3+2*maxUnknown, 3)
}
