package p4rttest

import (
	"cmp"
	"context"
	"slices"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	errUnimplemented = status.Error(codes.Unimplemented, "this fake target has no such entity or action")
	errNoPipeline    = status.Error(codes.FailedPrecondition, "no pipeline")
	errNotPrimary    = status.Error(codes.PermissionDenied, "not primary")
)

type id128 struct{ high, low uint64 }

func (a id128) compare(b id128) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
}

func idOf(u *p4.Uint128) id128 { return id128{u.GetHigh(), u.GetLow()} }

// stream is one controller.
type stream struct {
	out    chan *p4.StreamMessageResponse
	done   <-chan struct{}
	cancel context.CancelFunc
	bid    bool // has sent an arbitration
	id     id128
}

// StreamChannel serves one controller.
func (s *Server) StreamChannel(ss p4.P4Runtime_StreamChannelServer) error {
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	st := &stream{out: make(chan *p4.StreamMessageResponse, 1024), cancel: cancel, done: ctx.Done()}
	s.mu.Lock()
	s.streams = append(s.streams, st)
	s.cond.Broadcast()
	s.mu.Unlock()
	defer s.leave(st)
	failed := make(chan error, 1)
	go func() { failed <- s.serve(ss, st) }()
	for {
		select {
		case <-ctx.Done():
			return status.Error(codes.Unavailable, "stream cut")
		case err := <-failed:
			return err
		case m := <-st.out:
			if err := ss.Send(m); err != nil {
				return err
			}
		}
	}
}

func (s *Server) serve(ss p4.P4Runtime_StreamChannelServer, st *stream) error {
	for {
		m, err := ss.Recv()
		if err != nil {
			return err
		}
		switch u := m.GetUpdate().(type) {
		case *p4.StreamMessageRequest_Arbitration:
			if err := s.arbitrate(st, u.Arbitration); err != nil {
				return err
			}
		case *p4.StreamMessageRequest_Packet:
			s.mu.Lock()
			s.packets = append(s.packets, u.Packet)
			s.cond.Broadcast()
			s.mu.Unlock()
		}
	}
}

func (s *Server) arbitrate(st *stream, m *p4.MasterArbitrationUpdate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := idOf(m.GetElectionId())
	for _, o := range s.streams {
		if o != st && o.bid && id != (id128{}) && o.id == id {
			return status.Error(codes.InvalidArgument, "election id is in use")
		}
	}
	st.bid, st.id = true, id
	if id.compare(s.highest) > 0 {
		s.highest = id
	}
	s.announceLocked()
	return nil
}

// announceLocked tells every controller who is primary.
func (s *Server) announceLocked() {
	if s.quirks.DeafStream {
		return
	}
	primary := s.primaryLocked()
	for _, st := range s.streams {
		if !st.bid {
			continue
		}
		a := &p4.MasterArbitrationUpdate{ElectionId: &p4.Uint128{High: s.highest.high, Low: s.highest.low}}
		switch {
		case st == primary:
		case primary != nil:
			a.Status = &spb.Status{Code: int32(codes.AlreadyExists)}
		default:
			a.Status = &spb.Status{Code: int32(codes.NotFound)}
		}
		select {
		case st.out <- &p4.StreamMessageResponse{Update: &p4.StreamMessageResponse_Arbitration{Arbitration: a}}:
		case <-st.done:
		}
	}
}

func (s *Server) primaryLocked() *stream {
	for _, st := range s.streams {
		if st.bid && st.id != (id128{}) && st.id == s.highest {
			return st
		}
	}
	return nil
}

func (s *Server) leave(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.primaryLocked()
	s.streams = slices.DeleteFunc(s.streams, func(o *stream) bool { return o == st })
	if was == st && s.quirks.AutoPromote {
		s.highest = id128{}
		for _, o := range s.streams {
			if o.id.compare(s.highest) > 0 {
				s.highest = o.id
			}
		}
	}
	s.announceLocked()
	s.cond.Broadcast()
}

// mayWriteLocked is the rule of writes: only the primary, with its own id.
func (s *Server) mayWriteLocked(_ string, id *p4.Uint128) error {
	if p := s.primaryLocked(); p == nil || p.id != idOf(id) {
		return errNotPrimary
	}
	return nil
}

// CutStreams ends all streams; connections and entries stay.
func (s *Server) CutStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		st.cancel()
	}
}

// Send sends a message to all controllers; it waits for slow ones.
func (s *Server) Send(m *p4.StreamMessageResponse) {
	s.mu.Lock()
	streams := slices.Clone(s.streams)
	s.mu.Unlock()
	for _, st := range streams {
		select {
		case st.out <- m:
		case <-st.done:
		}
	}
}

// PacketIn sends a packet to all controllers, with metadata ids 1, 2, …
func (s *Server) PacketIn(payload []byte, meta ...[]byte) {
	p := &p4.PacketIn{Payload: payload}
	for i, v := range meta {
		p.Metadata = append(p.Metadata, &p4.PacketMetadata{MetadataId: uint32(i + 1), Value: v})
	}
	s.Send(&p4.StreamMessageResponse{Update: &p4.StreamMessageResponse_Packet{Packet: p}})
}

// Idle notifies all controllers of idle entries.
func (s *Server) Idle(entries ...*p4.TableEntry) {
	s.Send(&p4.StreamMessageResponse{Update: &p4.StreamMessageResponse_IdleTimeoutNotification{
		IdleTimeoutNotification: &p4.IdleTimeoutNotification{TableEntry: entries}}})
}
