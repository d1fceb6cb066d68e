package p4rt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// link is one connection with its stream. It lives as long as the stream does.
//
//	receive  (1 goroutine)  stream → arbitration events, packets, notices
//	send     (1 goroutine)  packet-out queue, arbitration → stream
//	probe    (1 goroutine)  asks for the pipeline's cookie now and then
//	control  (Run's own)    arbitration events → terms
type link struct {
	s      *Session
	conn   Conn
	stream grpc.ClientStream
	opts   []grpc.CallOption
	fail   context.CancelCauseFunc // ends the link
	ctx    context.Context

	events chan arbitration // sole sender: receive
	bids   chan ElectionID  // sole sender: control
	out    chan *frame      // packet-out

	mu       sync.Mutex
	bid      ElectionID // presented last
	accepted ElectionID // of the running term; goes into writes
}

// arbitration is the target's answer to a bid, or news of another's.
type arbitration struct {
	primary bool
	vacant  bool // nobody is
	highest ElectionID
}

var streamDesc = grpc.StreamDesc{StreamName: "StreamChannel", ServerStreams: true, ClientStreams: true}

const (
	methodStream = p4.P4Runtime_StreamChannel_FullMethodName
	methodWrite  = p4.P4Runtime_Write_FullMethodName
	methodRead   = p4.P4Runtime_Read_FullMethodName
)

// runLink connects, serves the stream until it breaks, and says why it did and whether the
// session had settled, as Backup or Ready.
func (s *Session) runLink(parent context.Context) (settled bool, err error) {
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	l := &link{
		s: s, ctx: ctx, fail: fail,
		opts: []grpc.CallOption{
			grpc.ForceCodecV2(s.codec),
			grpc.MaxCallRecvMsgSize(s.cfg.Profile.MaxReceive),
			grpc.MaxCallSendMsgSize(1 << 30),
		},
		events: make(chan arbitration, 16),
		bids:   make(chan ElectionID, 1),
		out:    make(chan *frame, s.cfg.PacketOutQueue),
	}
	dialCtx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	if l.conn, err = s.cfg.Dial(dialCtx); err != nil {
		return false, fmt.Errorf("dial: %w", err)
	}
	defer l.conn.Close()
	if l.stream, err = l.conn.NewStream(ctx, &streamDesc, methodStream, l.opts...); err != nil {
		return false, fmt.Errorf("open stream: %w", err)
	}
	s.stats.connects.Add(1)
	s.setLink(l)
	defer s.setLink(nil)

	var wg sync.WaitGroup
	wg.Go(l.receive)
	wg.Go(l.send)
	wg.Go(l.probe)
	settled, err = l.control()
	fail(err)
	s.setState(Disconnected, nil, err)
	wg.Wait()
	l.dropQueue()
	return settled, err
}

func (s *Session) setLink(l *link) {
	s.mu.Lock()
	s.link = l
	s.mu.Unlock()
}

// control turns arbitration into terms: at most one at a time.
func (l *link) control() (settled bool, err error) {
	s := l.s
	var end func() // ends the running term and waits for it; nil if none
	defer func() {
		if end != nil {
			end()
		}
	}()
	done := make(chan termResult, 1)
	answer := time.NewTimer(s.cfg.CallTimeout)
	defer answer.Stop()
	l.present()
	for {
		select {
		case <-l.ctx.Done():
			return settled, context.Cause(l.ctx)
		case <-answer.C:
			return settled, errors.New("no answer to arbitration")
		case <-s.campaign:
			l.present()
		case r := <-done:
			if r.err != nil {
				return settled, r.err
			}
			settled = true
			s.setState(Ready, r.term, nil)
		case ev := <-l.events:
			answer.Stop()
			l.saw(ev.highest)
			switch {
			case ev.primary:
				l.accept(ev.highest)
				if end == nil {
					s.setState(Primary, nil, nil)
					end = l.startTerm(done)
				}
			default:
				settled = true
				if end != nil {
					end()
					end = nil
					drain(done)
				}
				s.setBackup(NotPrimaryError{Bid: l.presented(), Highest: ev.highest, Vacant: ev.vacant})
				if ev.vacant {
					l.succeed()
				}
			}
		}
	}
}

// drain forgets the result of a term that was ended.
func drain(done chan termResult) {
	select {
	case <-done:
	default:
	}
}

// present bids for primary with a fresh election id.
func (l *link) present() { l.offer(l.ask()) }

// succeed bids anew when there is no primary, if Config.Election now has another id to offer.
func (l *link) succeed() {
	if id := l.ask(); id != l.presented() {
		l.offer(id)
	}
}

// presented is the last bid.
func (l *link) presented() ElectionID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bid
}

func (l *link) ask() ElectionID {
	l.s.mu.Lock()
	seen, abstains := l.s.seen, l.s.abstains
	l.s.mu.Unlock()
	if abstains {
		return ElectionID{} // a backup for good, until Campaign
	}
	return l.s.cfg.Election(seen)
}

func (l *link) offer(id ElectionID) {
	l.mu.Lock()
	l.bid = id
	l.mu.Unlock()
	select {
	case <-l.bids: // replaced before it was sent
	default:
	}
	l.bids <- id
}

func (l *link) saw(id ElectionID) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.seen.Less(id) {
		l.s.seen = id
	}
}

// accept notes the id under which the target takes writes: the primary's, which is ours.
func (l *link) accept(id ElectionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id == (ElectionID{}) {
		id = l.bid // some targets don't repeat it
	}
	l.accepted = id
}

// electionID is what writes carry.
func (l *link) electionID() ElectionID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// send is the only sender on the stream.
func (l *link) send() {
	for {
		var err error
		select {
		case <-l.ctx.Done():
			return
		case id := <-l.bids:
			err = l.stream.SendMsg(l.arbitrationRequest(id))
		case f := <-l.out:
			if err = l.stream.SendMsg(f); err == nil && !f.control {
				l.s.stats.packetsOut.Add(1)
			}
		}
		if err != nil {
			// The reason is with the receiver; io.EOF says no more than that the stream is over.
			return
		}
	}
}

func (l *link) arbitrationRequest(id ElectionID) *p4.StreamMessageRequest {
	m := &p4.MasterArbitrationUpdate{DeviceId: l.s.cfg.DeviceID}
	if l.s.cfg.Role != "" || l.s.cfg.RoleConfig != nil {
		m.Role = &p4.Role{Name: l.s.cfg.Role, Config: l.s.cfg.RoleConfig}
	}
	if id != (ElectionID{}) {
		m.ElectionId = &p4.Uint128{High: id.High, Low: id.Low}
	}
	return &p4.StreamMessageRequest{Update: &p4.StreamMessageRequest_Arbitration{Arbitration: m}}
}

// dropQueue counts packets that the link took but never sent.
func (l *link) dropQueue() {
	for {
		select {
		case f := <-l.out:
			f.out.Free()
			if !f.control {
				l.s.stats.packetsOutDropped.Add(1)
			}
		default:
			return
		}
	}
}

// refusal says what a stream's end means by its status (Spec 5.3, 16).
func (l *link) refusal(err error) error {
	switch status.Code(err) {
	case codes.InvalidArgument:
		return fmt.Errorf("%w: %s: %w", ErrElectionIDRefused, l.presented(), err)
	case codes.NotFound:
		return fmt.Errorf("%w: %d: %w", ErrNoSuchDevice, l.s.cfg.DeviceID, err)
	case codes.Unimplemented:
		return fmt.Errorf("%w: %w", ErrNoP4Runtime, err)
	}
	return fmt.Errorf("stream: %w", err)
}

// receive is the only receiver; its end ends the link.
func (l *link) receive() {
	r := receiver{l: l, dec: l.decoder()}
	r.packet.header = &l.s.cfg.Schema.packetIn
	r.packet.values = make([]Value, len(l.s.cfg.Schema.packetIn.Fields))
	f := new(frame)
	for {
		if err := l.stream.RecvMsg(f); err != nil {
			l.fail(l.refusal(err))
			return
		}
		r.message(f.in.ReadOnlyData())
		f.free()
	}
}
