package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
)

// maxAnswer is the longest message that a reader takes, in bytes: some targets answer a whole table at once.
const maxAnswer = 512 << 20

// subjectField is the key field of tables peer and location that says which peer, which destination.
const subjectField = 1

// program is the pipeline that targets run, and the parts of it that a reader asks for, by id.
type program struct {
	p4src.Pipeline
	flowTables                    []uint32
	forward, drop, punt           []uint32 // actions of flow tables
	peer, location, underlay      uint32
	toPort, toPeer                uint32 // actions of location
	ingressReasons, egressReasons uint32
}

// newProgram finds the program that suits targets of a name.
func newProgram(target string) (*program, error) {
	load := p4src.V1Model
	if target == Stratum {
		load = p4src.Emulation
	}
	pipe, err := load()
	if err != nil {
		return nil, err
	}
	p, info := &program{Pipeline: pipe}, pipe.Info
	tables, actions, counters := map[string]uint32{}, map[string]uint32{}, map[string]uint32{}
	for _, t := range info.Tables {
		tables[t.Preamble.Name] = t.Preamble.Id
	}
	for _, a := range info.Actions {
		actions[a.Preamble.Name] = a.Preamble.Id
	}
	for _, c := range info.Counters {
		counters[c.Preamble.Name] = c.Preamble.Id
	}
	var missing []string
	find := func(in map[string]uint32, name string) uint32 {
		id, ok := in[name]
		if !ok {
			missing = append(missing, name)
		}
		return id
	}
	for _, name := range []string{"dst_class", "flow_exact_v4", "flow_exact_v6", "flow_wild_v4", "flow_wild_v6", "flow_wild_l2"} {
		p.flowTables = append(p.flowTables, find(tables, "ingress."+name))
		p.forward = append(p.forward, find(actions, "ingress.forward_"+name))
		p.drop = append(p.drop, find(actions, "ingress.drop_"+name))
		p.punt = append(p.punt, find(actions, "ingress.punt_"+name))
	}
	p.peer, p.location, p.underlay = find(tables, "ingress.peer"), find(tables, "ingress.location"), find(tables, "egress.underlay")
	p.toPort, p.toPeer = find(actions, "ingress.to_port"), find(actions, "ingress.to_peer")
	p.ingressReasons, p.egressReasons = find(counters, "ingress.reasons"), find(counters, "egress.reasons")
	if len(missing) > 0 {
		return nil, fmt.Errorf("the pipeline lacks %q", missing)
	}
	return p, nil
}

// reader reads a target's entries and counters by P4Runtime. It opens no stream and bids for nothing, so that it is in no agent's way, and it
// decodes by protobuf alone: what it tells does not depend on the controller that is looked at.
type reader struct {
	program  *program
	deviceID uint64
	conn     p4rt.Conn
	client   p4v1.P4RuntimeClient
}

func newReader(p *program, deviceID uint64, conn p4rt.Conn) *reader {
	return &reader{program: p, deviceID: deviceID, conn: conn, client: p4v1.NewP4RuntimeClient(conn)}
}

func (r *reader) close() error { return r.conn.Close() }

// read calls yield with every entity that matches one of what.
func (r *reader) read(ctx context.Context, yield func(*p4v1.Entity), what ...*p4v1.Entity) error {
	stream, err := r.client.Read(ctx, &p4v1.ReadRequest{DeviceId: r.deviceID, Entities: what}, grpc.MaxCallRecvMsgSize(maxAnswer))
	for err == nil {
		var answer *p4v1.ReadResponse
		if answer, err = stream.Recv(); err == nil {
			for _, e := range answer.Entities {
				yield(e)
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("read device %d: %w", r.deviceID, err)
}

// reasons are the counted reasons of a pipeline's half.
type reasons [256]uint64

// reasonCounts reads what became of packets: in ingress by the side that they came from, in egress of those dropped there.
func (r *reader) reasonCounts(ctx context.Context) (ingress [3]reasons, egress reasons, err error) {
	err = r.read(ctx, func(e *p4v1.Entity) {
		c := e.GetCounterEntry()
		side, reason := int(c.GetIndex().GetIndex())/len(egress), int(c.GetIndex().GetIndex())%len(egress)
		n := uint64(c.GetData().GetPacketCount())
		switch {
		case c.GetCounterId() == r.program.ingressReasons && side < len(ingress):
			ingress[side][reason] = n
		case c.GetCounterId() == r.program.egressReasons && side == 0:
			egress[reason] = n
		}
	}, counter(r.program.ingressReasons), counter(r.program.egressReasons))
	return ingress, egress, err
}

func counter(id uint32) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{CounterId: id}}}
}

func table(id uint32) *p4v1.Entity {
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{TableId: id}}}
}

// flowEntries counts the entries that decide what becomes of flows.
func (r *reader) flowEntries(ctx context.Context) (n int, err error) {
	var what []*p4v1.Entity
	for _, id := range r.program.flowTables {
		what = append(what, table(id))
	}
	err = r.read(ctx, func(e *p4v1.Entity) {
		t := e.GetTableEntry()
		action := t.GetAction().GetAction().GetActionId()
		decides := slices.Contains(r.program.forward, action) || slices.Contains(r.program.drop, action) || slices.Contains(r.program.punt, action)
		if !t.GetIsDefaultAction() && decides { // a scope is no flow
			n++
		}
	}, what...)
	return n, err
}

// reach is what a target can deliver to.
type reach struct {
	peers, paths int // edges that it has a path to; paths
	places       int // vports that it knows a place of
}

func (r *reader) reaches(ctx context.Context) (has reach, err error) {
	peers, places := map[string]bool{}, map[string]bool{}
	err = r.read(ctx, func(e *p4v1.Entity) {
		t := e.GetTableEntry()
		if t.TableId == r.program.underlay && !t.IsDefaultAction {
			has.paths++
		}
		action := t.GetAction().GetAction().GetActionId()
		for _, m := range t.Match {
			switch value := string(m.GetExact().GetValue()); {
			case m.FieldId != subjectField:
			case t.TableId == r.program.peer:
				peers[value] = true
			case action == r.program.toPort, action == r.program.toPeer:
				places[value] = true
			}
		}
	}, table(r.program.peer), table(r.program.location), table(r.program.underlay))
	has.peers, has.places = len(peers), len(places)
	return has, err
}
