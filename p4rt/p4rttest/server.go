// Package p4rttest is an in-memory P4Runtime target for tests: strict by default, with
// scripted faults. It is built on the generated protobuf code alone, so that it checks p4rt's
// own encoding.
package p4rttest

import (
	"context"
	"net"
	"sync"
	"time"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/p4rt"
)

// Quirks are deviations and faults, all off by default.
type Quirks struct {
	FullCode    codes.Code // of an insert into a full table; default RESOURCE_EXHAUSTED
	NoDetails   bool       // a failed batch says UNKNOWN and no more
	Pad         bool       // read back values padded to whole fields
	OneMessage  bool       // answer a read in one message
	AutoPromote bool       // when the primary leaves, the next highest id takes over
	NoCookie    bool       // the pipeline's cookie is not kept
	DeafStream  bool       // arbitration gets no answer
	AckOnly     bool       // acknowledge writes unseen: for benchmarks
	SilentRead  bool       // a Read is not answered to its end: after SilentAfter messages nothing comes
	SilentAfter int
	// BeforeUpdate, if set, runs before each update is applied, with its number since the
	// start. An error ends the whole Write with it, the earlier updates applied.
	BeforeUpdate func(n int) error
	// AfterWrite, if set, may replace the answer of a Write that was applied.
	AfterWrite func() error
}

// Server is the target. Its methods are safe for concurrent use.
type Server struct {
	p4.UnimplementedP4RuntimeServer

	mu      sync.Mutex
	cond    *sync.Cond // broadcast on every change
	quirks  Quirks
	lis     *bufconn.Listener
	srv     *grpc.Server
	info    *p4config.P4Info // nil: no pipeline
	cookie  uint64
	entries map[string]*p4.TableEntry
	used    map[uint32]int64 // entries by table
	groups  map[uint32]*p4.MulticastGroupEntry
	clones  map[uint32]*p4.CloneSessionEntry
	cells   map[cell]*p4.CounterData

	streams []*stream
	highest id128
	packets []*p4.PacketOut
	log     []*p4.WriteRequest
	updates int
	pushes  int
	dials   int
}

type cell struct {
	counter uint32
	index   int64
}

// NewServer starts a target without a pipeline.
func NewServer() *Server {
	s := &Server{cells: map[cell]*p4.CounterData{}}
	s.cond = sync.NewCond(&s.mu)
	s.clearLocked()
	s.startLocked()
	return s
}

func (s *Server) clearLocked() {
	s.entries = map[string]*p4.TableEntry{}
	s.used = map[uint32]int64{}
	s.groups = map[uint32]*p4.MulticastGroupEntry{}
	s.clones = map[uint32]*p4.CloneSessionEntry{}
}

func (s *Server) startLocked() {
	s.lis = bufconn.Listen(1 << 20)
	s.srv = grpc.NewServer(grpc.MaxRecvMsgSize(4 << 20))
	p4.RegisterP4RuntimeServer(s.srv, s)
	go s.srv.Serve(s.lis)
}

// Close ends the target and all its connections.
func (s *Server) Close() {
	s.mu.Lock()
	srv := s.srv
	s.mu.Unlock()
	srv.Stop()
}

// Restart breaks all connections and starts over: with no stream and no election id ever seen,
// and without pipeline and entries unless they are kept.
func (s *Server) Restart(keep bool) {
	s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.highest, s.streams = id128{}, nil
	if !keep {
		s.info, s.cookie = nil, 0
		s.clearLocked()
	}
	s.startLocked()
	s.cond.Broadcast()
}

// Dial connects to the target as it is now; it suits p4rt.Config.Dial.
func (s *Server) Dial(context.Context) (p4rt.Conn, error) {
	s.mu.Lock()
	lis := s.lis
	s.dials++
	s.cond.Broadcast()
	s.mu.Unlock()
	opts := append(p4rt.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	return grpc.NewClient("passthrough:///p4rttest", opts...)
}

// SetQuirks changes the deviations.
func (s *Server) SetQuirks(q Quirks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quirks = q
}

// View is what a condition may look at.
type View struct {
	Entries, Groups, Clones int
	Pushes, Dials           int
	Updates                 int // ever seen
	PacketsOut              []*p4.PacketOut
	Writes                  []*p4.WriteRequest
	Streams                 int
	Cookie                  uint64
}

// Wait blocks until the target is as wanted, and reports whether it came so in time.
func (s *Server) Wait(ctx context.Context, ok func(View) bool) bool {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cond.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok(s.viewLocked()) {
		if ctx.Err() != nil {
			return false
		}
		s.cond.Wait()
	}
	return true
}

// View is the state now.
func (s *Server) View() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.viewLocked()
}

func (s *Server) viewLocked() View {
	return View{
		Entries: len(s.entries), Groups: len(s.groups), Clones: len(s.clones),
		Pushes: s.pushes, Dials: s.dials, Updates: s.updates,
		PacketsOut: s.packets[:len(s.packets):len(s.packets)], Writes: s.log[:len(s.log):len(s.log)],
		Streams: len(s.streams), Cookie: s.cookie,
	}
}

// ForgetLog empties the lists of writes and packets.
func (s *Server) ForgetLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.packets = nil, nil
}

// Entries are copies of all entries.
func (s *Server) Entries() []*p4.TableEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*p4.TableEntry
	for _, e := range s.entries {
		all = append(all, proto.CloneOf(e))
	}
	return all
}

// Count sets the direct counters of every entry, and how long ago it was hit.
func (s *Server) Count(packets, bytes int64, since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		e.CounterData = &p4.CounterData{PacketCount: packets, ByteCount: bytes}
		e.TimeSinceLastHit = &p4.TableEntry_IdleTimeout{ElapsedNs: int64(since)}
	}
}

// SetCell sets one cell of an indirect counter.
func (s *Server) SetCell(counter uint32, index, packets, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cells[cell{counter, index}] = &p4.CounterData{PacketCount: packets, ByteCount: bytes}
}

// SetForwardingPipelineConfig takes VERIFY_AND_COMMIT, which clears the forwarding state.
func (s *Server) SetForwardingPipelineConfig(_ context.Context, r *p4.SetForwardingPipelineConfigRequest) (*p4.SetForwardingPipelineConfigResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mayWriteLocked(r.GetRole(), r.GetElectionId()); err != nil {
		return nil, err
	}
	if r.GetAction() != p4.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT {
		return nil, errUnimplemented
	}
	s.info = r.GetConfig().GetP4Info()
	s.cookie = r.GetConfig().GetCookie().GetCookie()
	s.clearLocked()
	s.pushes++
	s.cond.Broadcast()
	return &p4.SetForwardingPipelineConfigResponse{}, nil
}

// GetForwardingPipelineConfig answers COOKIE_ONLY.
func (s *Server) GetForwardingPipelineConfig(context.Context, *p4.GetForwardingPipelineConfigRequest) (*p4.GetForwardingPipelineConfigResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info == nil {
		return nil, errNoPipeline
	}
	c := &p4.ForwardingPipelineConfig{}
	if !s.quirks.NoCookie {
		c.Cookie = &p4.ForwardingPipelineConfig_Cookie{Cookie: s.cookie}
	}
	return &p4.GetForwardingPipelineConfigResponse{Config: c}, nil
}

// LosePipeline drops the pipeline behind the controller's back.
func (s *Server) LosePipeline() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info, s.cookie = nil, 0
	s.clearLocked()
}
