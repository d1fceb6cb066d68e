package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/packet"
)

// fresh checks that what each edge came to is what it would be had it just begun: an agent that starts finds nothing to write to the target that its predecessor left, and
// with a target of empty tables comes to as many entries, and to the same decisions.
func (r *rig) fresh() {
	r.Helper()
	r.quiet()
	var g errgroup.Group
	for _, e := range r.edges {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(r.Context(), bound)
			defer cancel()
			if err := r.freshAgent(ctx, e); err != nil {
				return err
			}
			return r.freshTarget(ctx, e)
		})
	}
	r.must(g.Wait())
	r.settled()
	r.deeds.did("comparisons with fresh starts")
}

// quiet waits until no agent has anything to do any more, and what flows there are is in the database, which takes a second.
func (r *rig) quiet() {
	r.Helper()
	const still = 2 * time.Second
	var last [edges]engine.Stats
	since := time.Now()
	r.eventually("agents are quiet", func() string {
		for i, e := range r.edges {
			var s engine.Stats
			if agent := e.acting(); agent != nil {
				s = agent.Stats()
			}
			s = engine.Stats{Upcalls: s.Upcalls, Installed: s.Installed, Removed: s.Removed, RuleBlocks: s.RuleBlocks, Learnt: s.Learnt}
			if s != last[i] {
				last[i], since = s, time.Now()
			}
		}
		if time.Since(since) < still {
			return fmt.Sprintf("%+v", last)
		}
		return ""
	}, nil)
}

// decision is what an agent decided about a flow.
type decision struct {
	ingress flow.VPortID
	key     flow.Key
	mask    flow.Mask
	source  packet.MAC
}

// decisions are those of an agent but for connections, each as text.
func decisions(ctx context.Context, a *engine.Agent) (map[decision]string, error) {
	flows, err := a.Flows(ctx)
	all := map[decision]string{}
	for _, f := range flows {
		ofConn := false
		for _, d := range f.Depends {
			ofConn = ofConn || strings.HasPrefix(d, "a connection")
		}
		if !ofConn {
			all[decision{f.Ingress, f.Key, f.Mask, f.SourceMAC}] = fmt.Sprintf("%v %v %v %+v", f.Act, f.Dest, f.Rewrite, f.Guards)
		}
	}
	return all, err
}

// freshAgent restarts an agent, and counts what the new one writes.
func (r *rig) freshAgent(ctx context.Context, e *edge) error {
	names, err := tableNames()
	if err != nil {
		return err
	}
	held, err := e.entries(ctx)
	if err != nil {
		return err
	}
	if err := e.stopAgents(false); err != nil {
		return err
	}
	e.watchWrites(true)
	e.startAgents()
	if err := e.settled(ctx); err != nil {
		return err
	}
	wrote := map[string]int{}
	for _, u := range e.watchWrites(false) {
		t := u.GetEntity().GetTableEntry()
		what := fmt.Sprintf("%T", u.GetEntity().GetEntity())
		if t != nil {
			what = names[t.TableId]
		}
		switch {
		case u.Type != p4v1.Update_MODIFY && !fixed(what): // idle meanwhile; or idle before, and the rule still stored
			continue
		case u.Type == p4v1.Update_DELETE && (strings.Contains(what, places) || u.GetEntity().GetPacketReplicationEngineEntry() != nil): // of a device that flows had it load
			continue
		case u.GetEntity().GetMeterEntry() != nil: // set as they are
			continue
		case u.Type == p4v1.Update_MODIFY && proto.Equal(t.GetAction(), held[identity(t)].GetTableEntry().GetAction()): // when it is idle follows from when it was decided
			continue
		}
		wrote[fmt.Sprintf("%v %s", u.Type, what)]++
		if wrote[fmt.Sprintf("%v %s", u.Type, what)] <= 3 {
			r.tell(fmt.Sprintf("%s: a fresh agent writes %v; the target had %v", e.name, u, held[identity(t)]))
		}
	}
	if len(wrote) > 0 {
		r.fail("%s: what the target holds is not what a fresh agent wants: it writes %v", e.name, wrote)
	}
	return nil
}

// fixed reports whether a table has what follows from the network alone. What flows refer to does not.
func fixed(table string) bool {
	for _, part := range []string{"flow_", "src_class", "dst_class", "l2_rewrite", "l2_guard", "nat_"} {
		if strings.Contains(table, part) {
			return false
		}
	}
	return true
}

// freshTarget restarts agent and target, and compares.
func (r *rig) freshTarget(ctx context.Context, e *edge) error {
	before, err := decisions(ctx, e.acting())
	if err != nil {
		return err
	}
	entries, err := e.fixedEntries(ctx)
	if err != nil {
		return err
	}
	if err := e.stopAgents(true); err != nil {
		return err
	}
	if err := errors.Join(e.stopTarget(), e.startTarget()); err != nil {
		return err
	}
	e.startAgents()
	if err := e.settled(ctx); err != nil {
		return err
	}
	after, err := decisions(ctx, e.acting())
	if err != nil {
		return err
	}
	now, err := e.fixedEntries(ctx)
	if err != nil {
		return err
	}
	for t, n := range entries {
		if now[t] != n && !(strings.Contains(t, places) && now[t] < n) {
			r.fail("%s: %d entries in %s, and %d with a fresh target", e.name, n, t, now[t])
		}
	}
	for d, what := range before {
		if got, ok := after[d]; ok && got != what {
			r.fail("%s: flow %v %v: decided as %s, and as %s by a fresh agent", e.name, d.ingress, flow.MatchOf(d.key, d.mask), what, got)
		} else if ok {
			r.deeds.did("decisions compared")
		}
	}
	return nil
}

// tableNames are those of the pipeline, by id.
func tableNames() (map[uint32]string, error) {
	info, err := p4src.Info()
	if err != nil {
		return nil, err
	}
	names := map[uint32]string{}
	for _, t := range info.Tables {
		names[t.Preamble.Id] = t.Preamble.Name
	}
	return names, nil
}

// places is the table of where vports are: of those of devices that the edge hosts or that are near, and of those that flows lead to.
const places = "location"

// identity is what an entry is told by: table, match and priority.
func identity(t *p4v1.TableEntry) string {
	return fmt.Sprint(t.GetTableId(), t.GetPriority(), t.GetMatch())
}

// fixedEntries counts the entries of the target's tables that do not depend on traffic.
func (e *edge) fixedEntries(ctx context.Context) (map[string]int, error) {
	names, err := tableNames()
	if err != nil {
		return nil, err
	}
	all, err := e.entries(ctx)
	count := map[string]int{}
	for _, entity := range all {
		switch t := entity.GetTableEntry(); {
		case t == nil:
			count["multicast groups"]++
		case !t.IsDefaultAction && fixed(names[t.TableId]):
			count[names[t.TableId]]++
		}
	}
	return count, err
}

// entries reads what the target holds.
func (e *edge) entries(ctx context.Context) (map[string]*p4v1.Entity, error) {
	conn, err := grpc.NewClient("unix:"+e.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stream, err := p4v1.NewP4RuntimeClient(conn).Read(ctx, &p4v1.ReadRequest{DeviceId: uint64(e.n + 1), Entities: []*p4v1.Entity{
		{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{}}},
		{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: &p4v1.PacketReplicationEngineEntry{Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: &p4v1.MulticastGroupEntry{}}}}},
	}}, grpc.MaxCallRecvMsgSize(64<<20))
	if err != nil {
		return nil, err
	}
	all := map[string]*p4v1.Entity{}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		for _, entity := range answer.Entities {
			if t := entity.GetTableEntry(); t != nil {
				all[identity(t)] = entity
			} else {
				all[entity.String()] = entity
			}
		}
	}
}
