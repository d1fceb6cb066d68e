package p4rt

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
)

// ElectionID decides who is primary: the highest wins. Zero asks to be a backup (Spec 5.2).
type ElectionID struct{ High, Low uint64 }

// Less orders election ids.
func (id ElectionID) Less(o ElectionID) bool {
	return id.High < o.High || id.High == o.High && id.Low < o.Low
}

// String is LOW, or HIGH.LOW.
func (id ElectionID) String() string {
	if id.High == 0 {
		return strconv.FormatUint(id.Low, 10)
	}
	return fmt.Sprintf("%d.%d", id.High, id.Low)
}

// Conn is a connection to a target; *grpc.ClientConn is one.
type Conn interface {
	grpc.ClientConnInterface
	Close() error
}

// Config describes a session. Dial and Schema are needed, the rest has defaults.
//
// Callbacks are called from one goroutine each and must not block.
type Config struct {
	// Dial opens a connection. It is called again after every loss. See [Dialer].
	Dial     func(context.Context) (Conn, error)
	DeviceID uint64
	Role     string // "" is the role with full access
	// RoleConfig says what the role may do, in the target's own scheme (Spec 5.2); nil: everything.
	RoleConfig *anypb.Any
	// Election gives the id to compete with. It is asked on every connection, by
	// [Session.Campaign], and when the primary has gone, with the highest id that the target has
	// shown: an answer below that stays a backup. Default: always {0, 1}.
	Election func(seen ElectionID) ElectionID

	Schema *Schema
	// DeviceConfig is what the target's compiler made of the program (bmv2: JSON).
	DeviceConfig []byte
	// Cookie identifies the pipeline. 0 takes a hash of p4info and DeviceConfig.
	Cookie  uint64
	Profile Profile

	// OnPrimary is called once this controller is primary and its pipeline is in place, before
	// the session is Ready: the place to reconcile. The context ends with the term. An error
	// drops the connection; it is tried again.
	OnPrimary func(context.Context, *Term) error
	// OnState is told of each change, with the error that caused it, if any: of a Backup a
	// [NotPrimaryError], and again when the primary is another one then, or nobody; of a target
	// that refuses the session one of the errors that say so. The log has them at debug level.
	OnState func(State, error)
	// PacketIn gets packets. The packet is valid until the call returns.
	PacketIn func(*PacketIn)
	// Digest gets lists of digests; true acknowledges the list. See [DigestConfig].
	Digest func(*DigestList) bool
	// IdleTimeout gets entries that saw no packet for their idle timeout. Best effort: read the
	// last hit back before evicting (Spec 9.1.8).
	IdleTimeout func([]*Entry)

	BackoffMin, BackoffMax time.Duration // between connections; default 100 ms, 5 s
	ProbeInterval          time.Duration // how often a silent link is checked; default 10 s
	ProbeTimeout           time.Duration // how long the answer may take; default CallTimeout
	CallTimeout            time.Duration // per RPC but Read; default 15 s
	ReadTimeout            time.Duration // that a Read may be silent: before the answer, and between two messages of it; default 2 min
	PipelineTimeout        time.Duration // per pipeline push; default 60 s
	PacketOutQueue         int           // packets; default 4096
	Logger                 *slog.Logger  // default: discard
}

// State is where a session stands.
//
//	Disconnected ──dial──▶ Connecting ──arbitration──▶ Backup ◀──────┐
//	     ▲                     │                         │ elected    │ demoted
//	     │                     └──── elected ──────▶  Primary ──▶ Ready
//	     └──────────────── stream or link lost, from any state ──────┘
type State uint8

// States of a session.
const (
	Disconnected State = iota
	Connecting
	Backup
	Primary // elected; pipeline and reconcile under way
	Ready   // writes are accepted
)

func (s State) String() string {
	return [...]string{"disconnected", "connecting", "backup", "primary", "ready"}[s]
}

// Stats counts what a session did. All fields only grow.
type Stats struct {
	Connects, Pushes, Terms                           uint64
	Writes, Updates                                   uint64 // RPCs and the updates in them
	PacketsIn, PacketsOut, PacketsOutDropped          uint64
	MalformedIn, StreamErrors, Unhandled, IdleNotices uint64
	Digests                                           uint64 // messages in lists
}

type counters struct {
	connects, pushes, terms                           atomic.Uint64
	writes, updates                                   atomic.Uint64
	packetsIn, packetsOut, packetsOutDropped          atomic.Uint64
	malformedIn, streamErrors, unhandled, idleNotices atomic.Uint64
	digests                                           atomic.Uint64
}

// Session keeps one controller connected to one target, across restarts of either.
// Its methods are safe for concurrent use.
type Session struct {
	cfg     Config
	codec   wireCodec
	pool    *bufPool
	packets *bufPool     // of packet-outs
	seed    maphash.Seed // of key hashes: they only tell keys apart within a batch
	stats   counters
	in      []int16 // packet-in metadata id → position

	campaign chan struct{}
	backup   NotPrimaryError // why it was one last; owned by Run's goroutine

	mu    sync.Mutex
	state State
	ready chan struct{} // closed while Ready
	link  *link         // nil while Disconnected
	term  *Term         // nil unless Ready
	seen  ElectionID    // the highest that a target showed
	// abstains: StepDown was called, and no Campaign since.
	abstains bool
}

// NewSession returns a session that does nothing until Run.
func NewSession(cfg Config) (*Session, error) {
	if cfg.Dial == nil || cfg.Schema == nil {
		return nil, errors.New("p4rt: Config wants Dial and Schema")
	}
	cfg.Profile = cfg.Profile.withDefaults()
	if cfg.Role != "" && cfg.Profile.NoRoles {
		return nil, fmt.Errorf("p4rt: %w: role %q on target profile %s", ErrUnsupported, cfg.Role, cfg.Profile.Name)
	}
	if cfg.Election == nil {
		cfg.Election = func(ElectionID) ElectionID { return ElectionID{Low: 1} }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With("device", cfg.DeviceID)
	orDefault(&cfg.BackoffMin, 100*time.Millisecond)
	orDefault(&cfg.BackoffMax, 5*time.Second)
	orDefault(&cfg.ProbeInterval, 10*time.Second)
	orDefault(&cfg.CallTimeout, 15*time.Second)
	orDefault(&cfg.ProbeTimeout, cfg.CallTimeout)
	orDefault(&cfg.PipelineTimeout, time.Minute)
	orDefault(&cfg.ReadTimeout, 2*time.Minute)
	if cfg.PacketOutQueue <= 0 {
		cfg.PacketOutQueue = 4096
	}
	if cfg.Cookie == 0 {
		c, err := pipelineCookie(cfg.Schema.info, cfg.DeviceConfig)
		if err != nil {
			return nil, err
		}
		cfg.Cookie = c
	}
	in, err := metadataIndex(&cfg.Schema.packetIn)
	if err != nil {
		return nil, err
	}
	return &Session{
		cfg: cfg, codec: newWireCodec(), pool: &bufPool{least: batchRoom}, packets: &bufPool{least: packetRoom}, seed: maphash.MakeSeed(), in: in,
		campaign: make(chan struct{}, 1), ready: make(chan struct{}),
	}, nil
}

func orDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// Run keeps the session up until the context ends, and returns its error.
// All goroutines of the session have returned then.
func (s *Session) Run(ctx context.Context) error {
	backoff := s.cfg.BackoffMin
	for {
		s.setState(Connecting, nil, nil)
		settled, err := s.runLink(ctx)
		s.setState(Disconnected, nil, err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if settled {
			backoff = s.cfg.BackoffMin
		}
		wait := backoff/2 + rand.N(backoff/2+1)
		s.cfg.Logger.Debug("not connected", "err", err, "retry", wait)
		backoff = min(2*backoff, s.cfg.BackoffMax)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// State is where the session stands now.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Ready returns a channel that is closed when the session is, or next becomes, Ready.
func (s *Session) Ready() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// Schema is the compiled p4info of the session's pipeline.
func (s *Session) Schema() *Schema { return s.cfg.Schema }

// Profile is the target's profile, with defaults filled in.
func (s *Session) Profile() Profile { return s.cfg.Profile }

// Cookie identifies the session's pipeline on the target.
func (s *Session) Cookie() uint64 { return s.cfg.Cookie }

// Campaign asks Config.Election again and presents its answer: to become primary, or to
// stand back in favour of a backup with a higher id.
func (s *Session) Campaign() {
	s.mu.Lock()
	s.abstains = false
	s.mu.Unlock()
	s.arbitrate()
}

// StepDown gives up being primary, and stays a backup, over reconnects too, until [Session.Campaign].
// Writes that the target has begun are finished (Spec 5.3); later ones get ErrNotPrimary.
func (s *Session) StepDown() {
	s.mu.Lock()
	s.abstains = true
	s.mu.Unlock()
	s.arbitrate()
}

// arbitrate makes the link send an arbitration message.
func (s *Session) arbitrate() {
	select {
	case s.campaign <- struct{}{}:
	default: // one is already due
	}
}

// Stats returns the counts so far.
func (s *Session) Stats() Stats {
	c := &s.stats
	return Stats{
		Connects: c.connects.Load(), Pushes: c.pushes.Load(), Terms: c.terms.Load(),
		Writes: c.writes.Load(), Updates: c.updates.Load(),
		PacketsIn: c.packetsIn.Load(), PacketsOut: c.packetsOut.Load(), PacketsOutDropped: c.packetsOutDropped.Load(),
		MalformedIn: c.malformedIn.Load(), StreamErrors: c.streamErrors.Load(), Unhandled: c.unhandled.Load(),
		IdleNotices: c.idleNotices.Load(), Digests: c.digests.Load(),
	}
}

// setState is called only from Run's goroutine. A term is given with Ready alone.
func (s *Session) setState(st State, t *Term, cause error) {
	s.mu.Lock()
	if s.state == st && s.term == t {
		s.mu.Unlock()
		return
	}
	was := s.state
	s.state, s.term = st, t
	switch {
	case st == Ready:
		close(s.ready)
	case was == Ready:
		s.ready = make(chan struct{})
	}
	s.mu.Unlock()
	s.tell(st, cause)
}

// setBackup is setState of a backup; that another is primary now, or nobody, is told too.
func (s *Session) setBackup(why NotPrimaryError) {
	news := why != s.backup
	s.backup = why
	if news && s.State() == Backup {
		s.tell(Backup, &why)
		return
	}
	s.setState(Backup, nil, &why)
}

func (s *Session) tell(st State, cause error) {
	s.cfg.Logger.Debug("state", "state", st, "err", cause)
	if s.cfg.OnState != nil {
		s.cfg.OnState(st, cause)
	}
}

// readyTerm returns the term that writes go to.
func (s *Session) readyTerm() (*Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.term != nil:
		return s.term, nil
	case s.link == nil:
		return nil, ErrNotConnected
	}
	return nil, ErrNotPrimary
}

// current returns the link that reads and packets go to.
func (s *Session) current() (*link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return nil, ErrNotConnected
	}
	return s.link, nil
}
