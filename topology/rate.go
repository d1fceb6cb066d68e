package topology

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/flow"
)

// BitRate is bits a second (Q1). The zero BitRate is no limit.
type BitRate uint64

// Bounds of a rate.
const (
	minBitRate BitRate = 64e3
	maxBitRate BitRate = 1e12
)

// bitUnits are what a rate is written in, the largest first.
var bitUnits = [...]struct {
	name string
	bits BitRate
}{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}}

// UnmarshalText reads 50M, 2500k or 10G: bits a second.
func (r *BitRate) UnmarshalText(b []byte) error {
	s, unit := string(b), BitRate(1)
	for _, u := range bitUnits {
		if before, found := strings.CutSuffix(s, u.name); found {
			s, unit = before, u.bits
			break
		}
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return err
	}
	if BitRate(n) > maxBitRate { // so that the product is one
		n, unit = uint64(maxBitRate), 2
	}
	*r = BitRate(n) * unit
	return nil
}

// String returns what UnmarshalText reads, in the largest unit of which it is a whole number.
func (r BitRate) String() string {
	for _, u := range bitUnits {
		if r != 0 && r%u.bits == 0 {
			return strconv.FormatUint(uint64(r/u.bits), 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(r), 10)
}

// MarshalText writes what UnmarshalText reads.
func (r BitRate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// LinkRate is the rate of the link by which packets come into a device by an interior port: each way has it for itself. 0: no limit.
func (s *Snapshot) LinkRate(id flow.VPortID) BitRate {
	v := s.VPort(id)
	if v == nil || v.Exterior || v.Peer == 0 {
		return 0
	}
	if far := s.Far(v); v.Rate == 0 && far != nil {
		return far.Rate
	}
	return v.Rate
}

// bitRate checks the rate of a port or link.
func (v *validator) bitRate(o *Object, s *VPortSpec) {
	if s.Rate == 0 {
		return
	}
	if s.Rate < minBitRate || s.Rate > maxBitRate {
		v.fail(o, "spec.rate", s.Rate.String(), "is out of range", fmt.Sprintf("use %v to %v bits a second", minBitRate, maxBitRate))
	}
	if s.IsExterior() {
		return
	}
	if p := v.set.Get(o.VPortRef(s.Peer)); p != nil {
		if far, ok := p.Spec.(*VPortSpec); ok && far.Rate != 0 && far.Rate != s.Rate {
			v.failRef(o, "spec.rate", s.Rate.String(), "is not that of peer "+s.Peer+", "+far.Rate.String(), "a link has one: give it at one end, or the same at both")
		}
	}
}
