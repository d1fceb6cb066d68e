package engine

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
)

// Life is what became of one packet-in, step by step (O2). Of the packet it has what the pipeline matches on, and nothing of what it carries.
type Life struct {
	Came, Ended time.Time
	VPort       flow.VPortID // that sent it; 0: none that is known
	Port        string       // TENANT/NAME of that; empty: not known
	Reason      flow.Reason  // why the target did not forward it
	Flow        flow.Key     // valid iff Keyed
	Keyed       bool
	Verdict     string    // how it ended: forward, drop, consumed, or what prevented a decision
	Drop        string    // the reason, of a drop
	Dest        flow.Dest // vport or group that it was sent to first; 0: none
	Steps       []Step    // in the order in which they began

	tell    func(*Life)
	pending int // what is still to happen; who has the packet changes it
}

// Step is a part of a life. Some go on beside others: a packet leaves while its entry is on its way.
type Step struct {
	Kind         StepKind
	Began, Ended time.Time
	Err          string // why it came to nothing; empty: it did not
}

// StepKind is what happens in a step.
type StepKind string

// Kinds of steps.
const (
	StepQueue     StepKind = "queue"      // until a worker takes it
	StepSimulate  StepKind = "simulate"   // parse, walk through the devices
	StepTurn      StepKind = "turn"       // until those that came before are decided
	StepLookUp    StepKind = "look up"    // until a device is loaded, or the database told of a pool's client
	StepAsk       StepKind = "ask"        // until a neighbour, or a station, is known, or the first fragment has come
	StepCommit    StepKind = "commit"     // until etcd has told of the packet's connection or has the new one, or what else it brought about
	StepInstall   StepKind = "install"    // until the target has the flow's entry
	StepPacketOut StepKind = "packet-out" // rewrite, and hand to the target
)

// maxSteps bounds those of one life.
const maxSteps = 32

// sampler begins the lives of some packet-ins. The zero value begins none.
type sampler struct {
	below uint64 // of all 64-bit numbers, those that are sampled; 0: none
	tell  func(*Life)
}

func newSampler(share float64, tell func(*Life)) sampler {
	switch {
	case tell == nil || !(share > 0):
		return sampler{}
	case share >= 1:
		return sampler{math.MaxUint64, tell}
	}
	return sampler{uint64(share * (1 << 64)), tell}
}

// begin returns the life of a packet that has just come, nil if it is not sampled.
func (s *sampler) begin(of flow.VPortID, reason flow.Reason) *Life {
	if s.below == 0 || rand.Uint64() > s.below {
		return nil
	}
	now := time.Now()
	return &Life{Came: now, VPort: of, Reason: reason, Steps: append(make([]Step, 0, 8), Step{Kind: StepQueue, Began: now}), tell: s.tell, pending: 1}
}

// A nil Life is that of a packet that is not sampled: all methods do nothing then.

// begin begins a step, and returns its number for end; a step that goes on when the packet was dealt with keeps the life open.
func (l *Life) begin(k StepKind) int {
	if l == nil {
		return 0
	}
	if len(l.Steps) < maxSteps {
		l.Steps = append(l.Steps, Step{Kind: k, Began: time.Now()})
	}
	return len(l.Steps) - 1
}

func (l *Life) end(step int, err string) {
	if l != nil && l.Steps[step].Ended.IsZero() {
		l.Steps[step].Ended, l.Steps[step].Err = time.Now(), err
	}
}

// keep has the life go on until one more let.
func (l *Life) keep() {
	if l != nil {
		l.pending++
	}
}

// let ends what the life was kept for. With the last one it is told.
func (l *Life) let() {
	if l == nil {
		return
	}
	if l.pending--; l.pending == 0 {
		l.Ended = time.Now()
		l.tell(l)
	}
}

// settled notes how the packet ended. The first word counts.
func (l *Life) settled(verdict, drop string) {
	if l != nil && l.Verdict == "" {
		l.Verdict, l.Drop = verdict, drop
	}
}

// lost ends the life of a packet that was dropped before it was decided.
func (l *Life) lost(why string) {
	if l != nil {
		l.settled(sim.Drop.String(), why)
		l.end(0, "")
		l.let()
	}
}

// taken notes that a worker has the packet.
func (l *Life) taken() {
	if l != nil {
		l.end(0, "")
		l.begin(StepSimulate)
	}
}

// made notes that a worker is done with the packet, which waits for its turn now.
func (l *Life) made() {
	if l != nil {
		l.end(len(l.Steps)-1, "")
		l.begin(StepTurn)
	}
}

// lives has the lives of packets of which something is under way.
type lives struct {
	turn
	commits map[sim.Effect]due // of what is under way to the database
}

// turn is what is known of the packet that is being decided, beside what it is.
type turn struct {
	now     *Life // nil: it is not sampled
	matched bool  // an entry had matched it, so that the target has counted it
}

// due is a step that ends later.
type due struct {
	life *Life
	step int
}

// turn begins with the decision of a packet, and returns that of which packet it interrupts. matched: an entry had matched it.
func (c *core) turn(l *Life, matched bool, f *packet.Frame, ingress flow.VPortID) (before turn) {
	before, c.lives.turn = c.lives.turn, turn{l, matched}
	if l != nil {
		l.end(len(l.Steps)-1, "")
		l.VPort, l.Port, l.Keyed, l.Flow = ingress, c.nameOf(ingress), true, flow.KeyOf(f, ingress)
	}
	return before
}

// turned goes back to the packet that was interrupted.
func (c *core) turned(before turn) { c.lives.turn = before }

// verdict notes what is decided of the packet.
func (l *Life) verdict(res *sim.Result) {
	if l == nil || len(res.Outcomes) == 0 {
		return
	}
	for i := range res.Outcomes {
		if o := &res.Outcomes[i]; o.Verdict == sim.Forward {
			l.settled(o.Verdict.String(), "")
			if l.Dest == 0 {
				l.Dest = o.Dest
			}
			return
		}
	}
	o, drop := &res.Outcomes[0], ""
	if o.Verdict == sim.Drop {
		drop = o.Drop.String()
	}
	l.settled(o.Verdict.String(), drop)
}

// waits notes that a packet waits for something.
func (l *Life) waits(n *awaited) due {
	if l == nil {
		return due{}
	}
	kind := StepLookUp
	switch {
	case n.conn.Zone != 0:
		kind = StepCommit
	case n.port != 0 || n.station != (station{}) || n.fragment.ingress != 0:
		kind = StepAsk
	}
	l.keep()
	return due{l, l.begin(kind)}
}

// over ends a wait. What becomes of the packet then happens in the same turn of the agent.
func (c *core) over(d due) {
	if d.life != nil {
		d.life.end(d.step, "")
		c.a.mail.post(d.life.let)
	}
}

// committing notes that something is on its way to etcd because of the packet that is being decided.
func (v *lives) committing(f sim.Effect) {
	if v.now == nil {
		return
	}
	if v.commits == nil {
		v.commits = map[sim.Effect]due{}
	}
	v.now.keep()
	v.commits[f] = due{v.now, v.now.begin(StepCommit)}
}

// committed ends that.
func (v *lives) committed(f sim.Effect) {
	if d, ok := v.commits[f]; ok {
		delete(v.commits, f)
		d.life.end(d.step, "")
		d.life.let()
	}
}

// installing notes that an entry of the packet's flow is about to be written, and returns what ends that.
func (v *lives) installing() due {
	v.now.keep()
	return due{v.now, v.now.begin(StepInstall)}
}

// done ends a step, and lets its life go on without it.
func (d due) done(err string) {
	d.life.end(d.step, err)
	d.life.let()
}
