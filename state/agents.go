package state

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// AgentInfo is one of several agents that may act for an edge.
type AgentInfo struct {
	Name    string    `json:"name"` // of one run of its process: no other has it
	Version string    `json:"version,omitempty"`
	Status  string    `json:"status,omitempty"` // as EdgeInfo's
	Since   time.Time `json:"since"`            // when it began to stand by, by its own clock: for people
}

// Agents are the agents of an edge that several may act for.
type Agents struct {
	Term   int64                // names the turn of the one that acts: the revision at which it began; 0: none ever did
	Active string               // its name; it acts as long as it is among Alive, and beyond until another has begun
	Since  time.Time            // when it began, by its own clock: for people
	Alive  map[string]AgentInfo // those that run, by name
}

// IsLed reports whether the agent that acts for the edge is alive.
func (a *Agents) IsLed() bool {
	_, alive := a.Alive[a.Active]
	return alive
}

// termValue is what is stored of a term.
type termValue struct {
	Agent string    `json:"agent"`
	Since time.Time `json:"since"`
}

// Fence is the right to write in an edge's name: it stands until another agent's term begins. The zero Fence is none.
type Fence struct {
	Edge string
	Term int64
}

type fenceKey struct{}

// WithFence has what the Writer is given with ctx written only while the fence stands; afterwards Do returns ErrEdgeTaken.
func WithFence(ctx context.Context, f Fence) context.Context {
	if !f.stands() {
		return ctx
	}
	return context.WithValue(ctx, fenceKey{}, f)
}

func fenceOf(ctx context.Context) Fence {
	f, _ := ctx.Value(fenceKey{}).(Fence)
	return f
}

func (f Fence) stands() bool { return f.Term != 0 }

// holds is the condition under which the term is still this one.
func (f Fence) holds() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(termKey(f.Edge)), "=", f.Term)
}

// conditions are holds, none of no fence.
func (f Fence) conditions() []clientv3.Cmp {
	if !f.stands() {
		return nil
	}
	return []clientv3.Cmp{f.holds()}
}

// heldBy is holds of what was read.
func (f Fence) heldBy(kvs []*mvccpb.KeyValue) bool {
	return len(kvs) > 0 && kvs[0].ModRevision == f.Term
}

func (f Fence) broken() error {
	return fmt.Errorf("%w: %s: the term that began at revision %d is over", ErrEdgeTaken, f.Edge, f.Term)
}

// candidateTTL is how long a candidate's key outlives it: who is killed is found out by the target long before, so that it matters for hosts that vanish.
const candidateTTL = 5 * time.Second

// Candidate is an agent that may act for an edge, beside others. Who acts is whose term it is:
//
//	          Claim: the term is as it was seen            another's Claim
//	standby ────────────────────────────────────▶ active ──────────────────▶ over
//
// A term ends by nothing but the next one: that etcd is away, or the lease runs out, says that others may begin one.
type Candidate struct {
	leaseKeeper
	store *Store
	edge  string
	info  AgentInfo
	log   *slog.Logger
}

// NewCandidate returns a candidate; others know of it while Run does.
func (s *Store) NewCandidate(edge string, info AgentInfo, log *slog.Logger) (*Candidate, error) {
	if info.Name == "" || strings.ContainsAny(info.Name, "/ ") {
		return nil, fmt.Errorf("state: edge %s: agent %q: a name without slash or space would do", edge, info.Name)
	}
	if log == nil {
		log = s.log
	}
	return &Candidate{leaseKeeper{s.client, candidateTTL, "agent " + info.Name}, s, edge, info, log}, nil
}

// Run has others know that the agent is alive, until ctx ends (nil).
func (c *Candidate) Run(ctx context.Context) error {
	pause := registerRetry
	for ctx.Err() == nil {
		lease, rev, err := c.register(ctx)
		if err == nil {
			pause = registerRetry
			err = c.hold(ctx, lease, rev)
			c.leave(ctx, lease)
		}
		if ctx.Err() != nil {
			break
		}
		c.log.Warn("agent is not among those of its edge", "agent", c.info.Name, "err", err)
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, maxRegisterRetry)
	}
	return nil
}

func (c *Candidate) register(ctx context.Context) (clientv3.LeaseID, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ttl)
	defer cancel()
	value, err := json.Marshal(c.info)
	if err != nil {
		return 0, 0, fmt.Errorf("state: agent %s: %w", c.info.Name, err)
	}
	grant, err := c.client.Grant(ctx, int64(c.ttl/time.Second))
	if err != nil {
		return 0, 0, fmt.Errorf("state: agent %s: lease: %w", c.info.Name, advised(err))
	}
	put, err := c.client.Put(ctx, agentKey(c.edge, c.info.Name), string(value), clientv3.WithLease(grant.ID))
	if err != nil {
		c.leave(ctx, grant.ID)
		return 0, 0, fmt.Errorf("state: agent %s: %w", c.info.Name, advised(err))
	}
	return grant.ID, put.Header.Revision, nil
}

// hold returns why the key is not there any more.
func (c *Candidate) hold(ctx context.Context, lease clientv3.LeaseID, rev int64) error {
	ctx, cancel := context.WithCancel(ctx)
	renewed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- c.renew(ctx, lease, renewed) }()
	for {
		select {
		case err := <-ended:
			cancel()
			return err
		case <-renewed:
			v := c.store.View()
			if _, there := v.Agents[c.edge].Alive[c.info.Name]; !there && v.Revision >= rev {
				cancel()
				<-ended
				return fmt.Errorf("state: agent %s was removed from the database", c.info.Name)
			}
		}
	}
}

// Claim begins the agent's term, if the last one is still what was seen, and the agent itself is still known to others. ErrConflict if not. With ErrUnknownOutcome it may have begun all
// the same: the next view tells. Whose term is over is not among the agents any more; if it is alive, it comes back.
func (c *Candidate) Claim(ctx context.Context, seen *Agents) (Fence, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ttl)
	defer cancel()
	value, err := json.Marshal(termValue{c.info.Name, time.Now().UTC()})
	if err != nil {
		return Fence{}, fmt.Errorf("state: agent %s: %w", c.info.Name, err)
	}
	var t txn
	t.unchanged(termKey(c.edge), seen.Term)
	t.cmps = append(t.cmps, clientv3.Compare(clientv3.CreateRevision(agentKey(c.edge, c.info.Name)), ">", 0))
	t.put(termKey(c.edge), value)
	if seen.Active != "" && seen.Active != c.info.Name {
		t.ops = append(t.ops, clientv3.OpDelete(agentKey(c.edge, seen.Active)))
	}
	rev, err := t.commit(ctx, c.client)
	if err != nil {
		return Fence{}, fmt.Errorf("state: agent %s: term of edge %s: %w", c.info.Name, c.edge, err)
	}
	return Fence{c.edge, rev}, nil
}

// Own returns the term of the agent, if the last one is its.
func (c *Candidate) Own() (Fence, bool) {
	a := c.store.View().Agents[c.edge]
	return Fence{c.edge, a.Term}, a.Term != 0 && a.Active == c.info.Name
}

// agentChange is an event of an edge's agents.
type agentChange struct {
	edge  string
	agent string // "": the term
	info  *AgentInfo
	term  termValue
	rev   int64 // of the term; 0: it was removed
}

// addAgent takes the term of an edge, or an agent.
func (m *batch) addAgent(edge, what string, e Event) error {
	c := agentChange{edge: edge}
	name, isAgent := strings.CutPrefix(what, "agent/")
	var err error
	switch {
	case isAgent && e.Deleted:
		c.agent = name
	case isAgent:
		c.agent, c.info = name, new(AgentInfo)
		if err = json.Unmarshal(e.Value, c.info); err == nil && c.info.Name != name {
			err = fmt.Errorf("%w: key %s holds agent %q", ErrCodec, e.Key, c.info.Name)
		}
	case !e.Deleted:
		c.rev, err = e.ModRevision, json.Unmarshal(e.Value, &c.term)
	}
	if err != nil {
		return fmt.Errorf("%w: key %s: %w", ErrCodec, e.Key, err)
	}
	m.agents = append(m.agents, c)
	return nil
}

// newAgents returns the agents as they are now.
func (m *batch) newAgents(before map[string]Agents) map[string]Agents {
	if len(m.agents) == 0 {
		return before
	}
	all := maps.Clone(before)
	if all == nil {
		all = map[string]Agents{}
	}
	for _, c := range m.agents {
		a := all[c.edge]
		if c.agent == "" {
			a.Term, a.Active, a.Since = c.rev, c.term.Agent, c.term.Since
		} else {
			a.Alive = maps.Clone(a.Alive)
			if a.Alive == nil {
				a.Alive = map[string]AgentInfo{}
			}
			if c.info == nil {
				delete(a.Alive, c.agent)
			} else {
				a.Alive[c.agent] = *c.info
			}
		}
		if all[c.edge] = a; a.Term == 0 && len(a.Alive) == 0 {
			delete(all, c.edge)
		}
	}
	return all
}
