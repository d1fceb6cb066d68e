package rpki

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/rtr"
)

// Numbers of RFC 8210 that the codec does not have.
const (
	headerLen    = 8
	typeRouter   = 9        // a router key, of BGPsec
	timersLen    = 24       // of End of Data from version 1 on
	mostPDU      = 64 << 10 // bytes: an Error Report with a PDU and a text
	lastVersion  = 1
	flagAnnounce = 1
)

// Error codes (RFC 8210 section 12).
const (
	errCorrupt           = 0
	errNoData            = 2
	errVersion           = 4
	errUnknownWithdrawal = 6
	errDuplicate         = 7
	errOtherVersion      = 8
)

// protocolError is what a cache did wrong.
type protocolError struct {
	code uint16
	text string
}

func (e *protocolError) Error() string { return e.text }

// pdu is a message of a cache: one field is set, or none of one that does not matter.
type pdu struct {
	version uint8
	notify  *rtr.RTRSerialNotify
	begin   *rtr.RTRCacheResponse
	prefix  *update
	end     *endOfData
	reset   bool // it can't tell what changed since
	failed  *rtr.RTRErrorReport
}

// update is a VRP that a cache announces or withdraws.
type update struct {
	VRP
	announced bool
}

// endOfData ends an answer.
type endOfData struct {
	session uint16
	serial  uint32
	timers  timers // zero: it does not say
}

// timers are how often a cache is asked, and how long its word holds (RFC 8210 section 6).
type timers struct{ refresh, retry, expire time.Duration }

// defaultTimers are those of RFC 8210 section 6.
var defaultTimers = timers{time.Hour, 10 * time.Minute, 2 * time.Hour}

// within bounds what a cache asks for as RFC 8210 section 6 does.
func (t timers) within() timers {
	refresh, retry := min(max(t.refresh, time.Second), 24*time.Hour), min(max(t.retry, time.Second), 2*time.Hour)
	return timers{refresh, retry, max(min(max(t.expire, 10*time.Minute), 48*time.Hour), refresh, retry)}
}

// readPDU reads one message.
func readPDU(from *bufio.Reader) (pdu, error) {
	head, err := from.Peek(headerLen)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return pdu{}, err
	}
	n := binary.BigEndian.Uint32(head[4:])
	if n < headerLen || n > mostPDU {
		return pdu{}, &protocolError{errCorrupt, fmt.Sprintf("a message of type %d has a length of %d", head[1], n)}
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(from, raw); err != nil {
		return pdu{}, err
	}
	return parsePDU(raw)
}

// lengths are those of messages that have one length.
var lengths = map[uint8]uint32{
	rtr.RTR_SERIAL_NOTIFY: rtr.RTR_SERIAL_NOTIFY_LEN, rtr.RTR_CACHE_RESPONSE: rtr.RTR_CACHE_RESPONSE_LEN, rtr.RTR_CACHE_RESET: rtr.RTR_CACHE_RESET_LEN,
	rtr.RTR_IPV4_PREFIX: rtr.RTR_IPV4_PREFIX_LEN, rtr.RTR_IPV6_PREFIX: rtr.RTR_IPV6_PREFIX_LEN,
}

// parsePDU reads a message of as many bytes as it says.
func parsePDU(raw []byte) (pdu, error) {
	p := pdu{version: raw[0]}
	corrupt := func(format string, a ...any) (pdu, error) {
		return pdu{}, &protocolError{errCorrupt, fmt.Sprintf("a message of type %d %s", raw[1], fmt.Sprintf(format, a...))}
	}
	if raw[1] == typeRouter && raw[0] >= 1 {
		return p, nil
	}
	if want, has := lengths[raw[1]]; has && uint32(len(raw)) != want {
		return corrupt("has a length of %d, not %d", len(raw), want)
	}
	m, err := rtr.ParseRTR(raw)
	if err != nil {
		return corrupt("can't be read: %v", err)
	}
	switch m := m.(type) {
	case *rtr.RTRSerialNotify:
		p.notify = m
	case *rtr.RTRCacheResponse:
		p.begin = m
	case *rtr.RTRCacheReset:
		p.reset = true
	case *rtr.RTRErrorReport:
		p.failed = m
	case *rtr.RTREndOfData:
		if p.end, err = parseEnd(m, raw); err != nil {
			return corrupt("can't be read: %v", err)
		}
	case *rtr.RTRIPPrefix:
		at := netip.PrefixFrom(m.Prefix, int(m.PrefixLen))
		if !at.IsValid() || at != at.Masked() || int(m.MaxLen) > m.Prefix.BitLen() || m.MaxLen < m.PrefixLen {
			return corrupt("is of no prefix: %s/%d to /%d", m.Prefix, m.PrefixLen, m.MaxLen)
		}
		p.prefix = &update{VRP{at, m.MaxLen, m.AS}, m.Flags&flagAnnounce != 0}
	default:
		return corrupt("is one of a router's")
	}
	return p, nil
}

// parseEnd reads End of Data: with timers from version 1 on.
func parseEnd(m *rtr.RTREndOfData, raw []byte) (*endOfData, error) {
	e := &endOfData{session: m.SessionID, serial: m.RTRCommon.SerialNumber}
	switch {
	case m.Version == 0 && len(raw) == rtr.RTR_END_OF_DATA_LEN:
	case m.Version > 0 && len(raw) == timersLen:
		s := func(at int) time.Duration { return time.Duration(binary.BigEndian.Uint32(raw[at:])) * time.Second }
		e.timers = timers{s(12), s(16), s(20)}
	default:
		return nil, fmt.Errorf("length %d of version %d", len(raw), m.Version)
	}
	return e, nil
}
