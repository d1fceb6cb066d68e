package softswitch

import (
	"sync"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

// Queue lengths of a session, in messages.
const (
	controlQueue = 256  // arbitration; a client that leaves so many unread is cut off
	eventQueue   = 256  // digests, idle notices, stream errors; full: dropped and counted
	packetQueue  = 4096 // packet-ins; full: dropped and counted
)

// session is one StreamChannel.
type session struct {
	role  *role      // nil before the first arbitration; set once, under arbiter.mu
	hasID bool       // under arbiter.mu
	id    electionID // valid iff hasID
	gone  bool       // the stream has ended; under arbiter.mu

	control chan *p4v1.StreamMessageResponse
	events  chan *p4v1.StreamMessageResponse
	packets chan *p4v1.StreamMessageResponse

	idle []*p4v1.TableEntry // gathered by sweepIdle, which alone uses it

	endOnce sync.Once
	ended   chan struct{} // closed when the stream is to end
	result  error         // of the stream; valid after ended
}

func newSession() *session {
	return &session{
		control: make(chan *p4v1.StreamMessageResponse, controlQueue),
		events:  make(chan *p4v1.StreamMessageResponse, eventQueue),
		packets: make(chan *p4v1.StreamMessageResponse, packetQueue),
		ended:   make(chan struct{}),
	}
}

// end makes the stream end with err; the first call counts.
func (s *session) end(err error) {
	s.endOnce.Do(func() {
		s.result = err
		close(s.ended)
	})
}

// notify queues an arbitration message, which must not get lost.
func (s *session) notify(msg *p4v1.MasterArbitrationUpdate) {
	response := &p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Arbitration{Arbitration: msg}}
	select {
	case s.control <- response:
	default:
		s.end(faultf(codes.ResourceExhausted, "the controller does not read its stream"))
	}
}

// offer queues a message that may be dropped, and tells whether it was queued.
func offer(queue chan<- *p4v1.StreamMessageResponse, msg *p4v1.StreamMessageResponse) bool {
	select {
	case queue <- msg:
		return true
	default:
		return false
	}
}

// next waits for the message to send next: control before events before packets. It
// returns nil when the stream is to end; what is queued for control goes out first.
func (s *session) next(done <-chan struct{}) *p4v1.StreamMessageResponse {
	select {
	case msg := <-s.control:
		return msg
	default:
	}
	select {
	case <-s.ended:
		return nil
	case msg := <-s.events:
		return msg
	default:
	}
	select {
	case msg := <-s.control:
		return msg
	case msg := <-s.events:
		return msg
	case msg := <-s.packets:
		return msg
	case <-s.ended:
		return nil
	case <-done:
		return nil
	}
}
