package p4rt

import (
	"fmt"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// receiver decodes the stream's messages. Packets, the many, are decoded in place.
type receiver struct {
	l      *link
	dec    decoder
	packet PacketIn
}

func (r *receiver) message(b []byte) {
	s := r.l.s
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			r.arbitration(f.b)
		case 2:
			if err := r.packet.decode(s, f.b); err != nil {
				s.stats.malformedIn.Add(1)
				s.cfg.Logger.Debug("packet-in refused", "err", err)
				continue
			}
			s.stats.packetsIn.Add(1)
			if s.cfg.PacketIn != nil {
				s.cfg.PacketIn(&r.packet)
			}
		case 3:
			r.digest(f.b)
		case 4:
			r.idle(f.b)
		case 6:
			r.streamError(f.b)
		default:
			s.stats.unhandled.Add(1)
		}
	}
	if f.err != nil {
		s.stats.malformedIn.Add(1)
	}
}

func (r *receiver) arbitration(b []byte) {
	var m p4.MasterArbitrationUpdate
	if err := proto.Unmarshal(b, &m); err != nil {
		r.l.fail(fmt.Errorf("arbitration: %w: %w", ErrMalformed, err))
		return
	}
	ev := arbitration{
		primary: codes.Code(m.GetStatus().GetCode()) == codes.OK,
		vacant:  codes.Code(m.GetStatus().GetCode()) == codes.NotFound,
		highest: ElectionID{m.GetElectionId().GetHigh(), m.GetElectionId().GetLow()},
	}
	select {
	case r.l.events <- ev:
	case <-r.l.ctx.Done():
	}
}

func (r *receiver) idle(b []byte) {
	s := r.l.s
	var entries []*Entry
	f := fields{rest: b}
	for f.next() {
		if f.num != 1 {
			continue
		}
		e, _, err := r.dec.entry(f.b)
		if err != nil {
			s.stats.malformedIn.Add(1)
			s.cfg.Logger.Debug("idle notification refused", "err", err)
			continue
		}
		entries = append(entries, e)
	}
	s.stats.idleNotices.Add(uint64(len(entries)))
	if s.cfg.IdleTimeout != nil && len(entries) > 0 {
		s.cfg.IdleTimeout(entries)
	}
}

func (r *receiver) streamError(b []byte) {
	s := r.l.s
	s.stats.streamErrors.Add(1)
	var m p4.StreamError
	if err := proto.Unmarshal(b, &m); err != nil {
		s.stats.malformedIn.Add(1)
		return
	}
	s.cfg.Logger.Warn("target reports a stream error", "code", codes.Code(m.GetCanonicalCode()), "message", m.GetMessage())
}
