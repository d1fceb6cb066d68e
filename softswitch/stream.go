package softswitch

import (
	"errors"
	"io"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

// StreamChannel implements P4Runtime. One goroutine per stream receives; this one sends.
// The stream ends when either stops.
func (s *Server) StreamChannel(stream p4v1.P4Runtime_StreamChannelServer) error {
	peer := newSession()
	left := make(chan struct{})
	go func() {
		defer close(left)
		defer s.arbiter.leave(peer) // at once, even if sending is stuck
		err := s.receiveStream(peer, stream)
		s.log.Debug("controller left", "err", err)
		peer.end(err)
	}()
	for {
		msg := peer.next(stream.Context().Done())
		if msg == nil {
			break
		}
		if err := stream.Send(msg); err != nil {
			peer.end(err)
			break
		}
	}
	select {
	case <-stream.Context().Done(): // the receiver sees it too
		<-left
	case <-left:
	case <-peer.ended: // the receiver ends when this function returns
		s.arbiter.leave(peer)
	}
	peer.end(stream.Context().Err())
	return peer.result
}

// receiveStream handles what a controller sends until the stream ends.
func (s *Server) receiveStream(peer *session, stream p4v1.P4Runtime_StreamChannelServer) error {
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.handleStream(peer, msg); err != nil {
			return err
		}
	}
}

// handleStream handles one message; an error ends the stream.
func (s *Server) handleStream(peer *session, msg *p4v1.StreamMessageRequest) error {
	switch update := msg.GetUpdate().(type) {
	case *p4v1.StreamMessageRequest_Arbitration:
		err := s.arbiter.update(peer, update.Arbitration)
		s.log.Debug("arbitration", "role", update.Arbitration.GetRole().GetName(), "election", update.Arbitration.GetElectionId(), "err", err)
		return err
	case *p4v1.StreamMessageRequest_Packet:
		if err := s.packetOut(peer, update.Packet); err != nil {
			s.counts.packetOutRefused.Add(1)
			if s.options.Quirks.SilentPacketOut {
				return nil
			}
			s.streamError(peer, err, &p4v1.StreamError{Details: &p4v1.StreamError_PacketOut{
				PacketOut: &p4v1.PacketOutError{PacketOut: update.Packet}}})
		}
	case *p4v1.StreamMessageRequest_DigestAck:
		if err := s.ackDigest(peer, update.DigestAck); err != nil {
			s.streamError(peer, err, &p4v1.StreamError{Details: &p4v1.StreamError_DigestListAck{
				DigestListAck: &p4v1.DigestListAckError{DigestListAck: update.DigestAck}}})
		}
	case *p4v1.StreamMessageRequest_Other:
		s.streamError(peer, faultf(codes.Unimplemented, "this target knows no other stream messages"),
			&p4v1.StreamError{Details: &p4v1.StreamError_Other{Other: &p4v1.StreamOtherError{Other: update.Other}}})
	default:
		return invalidf("stream message is empty")
	}
	return nil
}

// streamError reports err to a controller, if its queue has room.
func (s *Server) streamError(peer *session, err error, report *p4v1.StreamError) {
	f := faultOf(err)
	report.CanonicalCode, report.Message, report.Space = int32(f.code), f.text, errorSpace
	if !offer(peer.events, &p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Error{Error: report}}) {
		s.counts.eventsDropped.Add(1)
	}
}
