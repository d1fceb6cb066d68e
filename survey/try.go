package survey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/p4rt"
)

// Names of the program that are tried out.
const (
	flowTable   = "ingress.flow_exact_v4" // the largest, with counters and idle timeouts
	smallTable  = "ingress.port_tags"
	punts       = "ingress.punts"
	reasonCells = "ingress.reasons"
)

// Bounds of what is tried.
const (
	batches     = 16
	batchSize   = 128
	callTimeout = 30 * time.Second
	idleTime    = time.Second
	idleWait    = 5 * time.Second
	tryGroup    = 65535
	trySession  = 1000
)

// Config says how to try.
type Config struct {
	Election p4rt.ElectionID // to be the primary by
	Push     bool            // the program replaces what the target runs
}

// ErrOtherPrimary: another controller is the primary, and is left alone.
var ErrOtherPrimary = errors.New("another controller is the target's primary")

// Try writes, reads and removes entries that no packet meets, to find out what the target does. It has to be the primary controller for that: if another one is, ErrOtherPrimary is
// returned with the findings so far. What is there already stays, unless Push has its program replaced.
func (s *Survey) Try(ctx context.Context, cfg Config) (Report, error) {
	t := &trial{Survey: s, cfg: cfg}
	err := t.run(ctx)
	return s.report, err
}

// trial is a survey by the primary controller.
type trial struct {
	*Survey
	cfg    Config
	stream p4.P4Runtime_StreamChannelClient
	idled  chan struct{} // an idle notice came

	full, exists, absent codes.Code
	oneReplica           bool
	noReplication        bool   // neither groups nor clone sessions
	noIdle               bool   // nobody is told of idle entries
	noPackets            bool   // packet-outs do not come to the program
	groups               uint32 // largest id of a multicast group that was taken
}

func (t *trial) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, try := range []func(context.Context) error{t.arbitrate, t.push, t.batches, t.errorCodes, t.fullTable, t.idle, t.multicast, t.clones, t.meters, t.packetOut} {
		switch err := try(ctx); {
		case errors.Is(err, errStop):
			return nil
		case err != nil:
			return err
		}
	}
	t.choose()
	return nil
}

// arbitrate becomes the primary controller.
func (t *trial) arbitrate(ctx context.Context) (err error) {
	if t.stream, err = t.client.StreamChannel(ctx); err != nil {
		return fmt.Errorf("open the stream: %w", err)
	}
	err = t.stream.Send(&p4.StreamMessageRequest{Update: &p4.StreamMessageRequest_Arbitration{Arbitration: &p4.MasterArbitrationUpdate{
		DeviceId: t.device, ElectionId: t.election(),
	}}})
	if err != nil {
		return fmt.Errorf("arbitrate: %w", err)
	}
	answers := make(chan *p4.MasterArbitrationUpdate, 1)
	t.idled = make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		for {
			m, err := t.stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			switch {
			case m.GetArbitration() != nil:
				offer(answers, m.GetArbitration())
			case m.GetIdleTimeoutNotification() != nil:
				offer(t.idled, struct{}{})
			}
		}
	}()
	select {
	case a := <-answers:
		if code := codes.Code(a.GetStatus().GetCode()); code != codes.OK {
			id := a.GetElectionId()
			t.report.add("primary", Differs, fmt.Sprintf("another controller, with election id %d.%d", id.GetHigh(), id.GetLow()), "it is left alone; --election-id above that takes its place")
			return ErrOtherPrimary
		}
		t.report.add("primary", OK, "nobody else", "")
		return nil
	case err := <-ended:
		return fmt.Errorf("arbitrate with election id %v: %w", t.cfg.Election, err)
	case <-time.After(callTimeout):
		return fmt.Errorf("arbitrate: no answer in %v", callTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// offer hands on, unless nobody has taken what came before.
func offer[T any](to chan T, v T) {
	select {
	case to <- v:
	default:
	}
}

func (t *trial) election() *p4.Uint128 {
	return &p4.Uint128{High: t.cfg.Election.High, Low: t.cfg.Election.Low}
}

// push makes the target run the program, if it is to.
func (t *trial) push(ctx context.Context) error {
	if t.pushed && !t.cfg.Push {
		return nil
	}
	if !t.cfg.Push {
		t.report.add("writes", Differs, "not tried: the target runs no program of weft's", "--push pushes it; what the target holds is gone then")
		return errStop
	}
	began := time.Now()
	_, err := t.client.SetForwardingPipelineConfig(ctx, &p4.SetForwardingPipelineConfigRequest{
		DeviceId: t.device, ElectionId: t.election(), Action: p4.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT,
		Config: &p4.ForwardingPipelineConfig{P4Info: t.program.Info, P4DeviceConfig: t.program.Device, Cookie: &p4.ForwardingPipelineConfig_Cookie{Cookie: t.program.Cookie}},
	})
	if err != nil {
		t.report.add("push", Lacks, "refused: "+status.Convert(err).Message(), "is the target one that the program was compiled for?")
		return errStop
	}
	t.report.add("push", OK, fmt.Sprintf("taken in %v", time.Since(began).Round(time.Millisecond)), "")
	t.pushed = true
	return nil
}

// errStop: nothing else can be tried, and the findings say why.
var errStop = errors.New("nothing else can be tried")

// write carries out updates, and returns the fate of each.
func (t *trial) write(ctx context.Context, updates ...*p4.Update) ([]codes.Code, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := t.client.Write(ctx, &p4.WriteRequest{DeviceId: t.device, ElectionId: t.election(), Updates: updates})
	all := make([]codes.Code, len(updates))
	if err == nil {
		return all, nil
	}
	s := status.Convert(err)
	details := s.Details()
	for i := range all {
		all[i] = s.Code()
		if i < len(details) {
			if e, ok := details[i].(*p4.Error); ok {
				all[i] = codes.Code(e.GetCanonicalCode())
			}
		}
	}
	switch {
	case ctx.Err() != nil, s.Code() == codes.Unavailable, s.Code() == codes.PermissionDenied:
		return all, fmt.Errorf("write: %w", err)
	}
	return all, nil
}

// one carries out one update.
func (t *trial) one(ctx context.Context, u *p4.Update) (codes.Code, error) {
	all, err := t.write(ctx, u)
	return all[0], err
}

// batches inserts many entries, a batch after the other, and takes them away again.
func (t *trial) batches(ctx context.Context) error {
	const topic = "batches"
	table := t.tableNamed(flowTable)
	if table == nil {
		t.report.add(topic, Lacks, "the program has no table "+flowTable, "")
		return errStop
	}
	insert, err := t.many(table, p4.Update_INSERT)
	if err != nil {
		return err
	}
	began := time.Now()
	failed, first := 0, codes.OK
	for _, b := range insert {
		fates, err := t.write(ctx, b...)
		if err != nil {
			return err
		}
		for _, c := range fates {
			if c != codes.OK {
				failed++
				first = c
			}
		}
	}
	rate := float64(batches*batchSize) / time.Since(began).Seconds()
	back, err := t.readBack(ctx, table)
	if err != nil {
		return err
	}
	remove, err := t.many(table, p4.Update_DELETE)
	if err != nil {
		return err
	}
	for _, b := range remove {
		if _, err := t.write(ctx, b...); err != nil {
			return err
		}
	}
	switch {
	case failed > 0:
		t.report.add(topic, Lacks, fmt.Sprintf("%d of %d entries of %s refused: %v", failed, batches*batchSize, flowTable, first), "")
	case back.seen < batches*batchSize:
		t.report.add(topic, Lacks, fmt.Sprintf("%d entries written, %d read back", batches*batchSize, back.seen), "an agent finds what it does not read back missing, and writes it again")
	default:
		t.report.add(topic, OK, fmt.Sprintf("%.0f entries a second, %d at a time", rate, batchSize), "")
	}
	if back.counted {
		t.report.add("counters", OK, "of entries are read with them", "")
	} else {
		t.report.add("counters", Lacks, "of entries are not read", "usage, and what is evicted, follow from them")
	}
	return nil
}

// readBack is what of a table's tried entries is read.
type readBack struct {
	seen    int
	counted bool
}

func (t *trial) readBack(ctx context.Context, table *p4config.Table) (back readBack, err error) {
	_, err = t.read(ctx, &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: &p4.TableEntry{TableId: table.GetPreamble().GetId(), CounterData: &p4.CounterData{}}}}, func(e *p4.Entity) {
		if e.GetTableEntry() != nil {
			back.seen++
			back.counted = back.counted || e.GetTableEntry().GetCounterData() != nil
		}
	})
	if err != nil {
		return back, fmt.Errorf("read %s: %w", table.GetPreamble().GetName(), err)
	}
	return back, nil
}

// many builds the batches of entries that are tried.
func (t *trial) many(table *p4config.Table, kind p4.Update_Type) ([][]*p4.Update, error) {
	all := make([][]*p4.Update, batches)
	for i := range all {
		for j := range batchSize {
			e, err := t.entry(table, uint32(i*batchSize+j))
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], update(kind, e))
		}
	}
	return all, nil
}

// errorCodes finds out what a second insert, and the delete of what is not there, get.
func (t *trial) errorCodes(ctx context.Context) error {
	e, err := t.entry(t.tableNamed(flowTable), 1)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		kind p4.Update_Type
		code *codes.Code
	}{{p4.Update_INSERT, nil}, {p4.Update_INSERT, &t.exists}, {p4.Update_MODIFY, nil}, {p4.Update_DELETE, nil}, {p4.Update_DELETE, &t.absent}} {
		code, err := t.one(ctx, update(step.kind, e))
		if err != nil {
			return err
		}
		switch {
		case step.code != nil:
			*step.code = code
		case code != codes.OK:
			t.report.add("updates", Lacks, fmt.Sprintf("%s of an entry of %s is refused: %v", strings.ToLower(step.kind.String()), flowTable, code), "")
			return nil
		}
	}
	v := OK
	if t.exists != codes.AlreadyExists || t.absent != codes.NotFound {
		v = Differs
	}
	t.report.add("errors", v, fmt.Sprintf("what is there already: %v; what is not: %v", t.exists, t.absent), "")
	return nil
}
