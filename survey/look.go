package survey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
)

// Survey looks at one device of a target.
type Survey struct {
	client  p4.P4RuntimeClient
	device  uint64
	program p4src.Pipeline // that an agent wants; pushed by Try where there is none
	report  Report
	pushed  bool // the target has the program
}

// New returns a survey of a device, of which nothing is known yet.
func New(conn grpc.ClientConnInterface, device uint64, program p4src.Pipeline) *Survey {
	return &Survey{client: p4.NewP4RuntimeClient(conn), device: device, program: program}
}

// maxReceive is the longest answer that is taken: some targets send all entries in one message.
const maxReceive = 512 << 20

// Look asks what can be asked without being the primary controller, and changes nothing. An error means that nobody answers as a P4Runtime server does.
func (s *Survey) Look(ctx context.Context) (Report, error) {
	if err := s.version(ctx); err != nil {
		return Report{}, err
	}
	s.pipeline(ctx)
	if s.pushed {
		s.entries(ctx)
	}
	return s.report, nil
}

// version asks for the version of the protocol. Old servers do not know the question.
func (s *Survey) version(ctx context.Context) error {
	r, err := s.client.Capabilities(ctx, &p4.CapabilitiesRequest{})
	switch status.Code(err) {
	case codes.OK:
		s.report.add("P4Runtime", OK, "version "+r.GetP4RuntimeApiVersion(), "")
	case codes.Unimplemented:
		s.report.add("P4Runtime", Differs, "does not tell its version: older than 1.1.0", "")
	default:
		return fmt.Errorf("ask for the P4Runtime version: %w", err)
	}
	return nil
}

// pipeline compares the target's program with the one that is wanted.
func (s *Survey) pipeline(ctx context.Context) {
	const topic = "pipeline"
	r, err := s.client.GetForwardingPipelineConfig(ctx, &p4.GetForwardingPipelineConfigRequest{
		DeviceId: s.device, ResponseType: p4.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE,
	}, grpc.MaxCallRecvMsgSize(maxReceive))
	switch {
	case status.Code(err) == codes.FailedPrecondition, err == nil && r.GetConfig().GetP4Info() == nil:
		s.report.add(topic, OK, "none yet: an agent pushes its own", "")
		return
	case status.Code(err) == codes.NotFound:
		s.report.add(topic, Lacks, fmt.Sprintf("there is no device %d: %s", s.device, status.Convert(err).Message()), "name the device: target.deviceID of the agent's configuration")
		return
	case err != nil:
		s.report.add(topic, Lacks, "is not told: "+status.Convert(err).Message(), "")
		return
	}
	missing, smaller := Compare(s.program.Info, r.GetConfig().GetP4Info())
	switch cookie := r.GetConfig().GetCookie(); {
	case len(missing) > 0:
		s.report.add(topic, Differs, "another program: "+several(missing), "an agent replaces it by its own, and what it holds is gone then")
		return
	case cookie == nil:
		s.report.add(topic, Differs, "weft's, without a cookie", "two builds of the program with the same tables are not told apart: restart the target when weft is updated")
	case cookie.GetCookie() != s.program.Cookie:
		s.report.add(topic, Differs, "weft's, of another version", "an agent replaces it, and all flows are decided anew then")
	default:
		s.report.add(topic, OK, "weft's, of this version", "")
	}
	s.pushed = true
	if len(smaller) > 0 {
		s.report.add("table sizes", Differs, several(smaller), "flows beyond that stay on the slow path, or set maxFlows")
	}
}

// Compare tells what a program lacks of the one that is wanted (tables, keys, actions, parameters), and which of its tables are smaller.
func Compare(want, have *p4config.P4Info) (missing, smaller []string) {
	tables, actions := map[uint32]*p4config.Table{}, map[uint32]*p4config.Action{}
	for _, t := range have.GetTables() {
		tables[t.GetPreamble().GetId()] = t
	}
	for _, a := range have.GetActions() {
		actions[a.GetPreamble().GetId()] = a
	}
	for _, t := range want.GetTables() {
		name := t.GetPreamble().GetName()
		other := tables[t.GetPreamble().GetId()]
		switch {
		case other == nil || other.GetPreamble().GetName() != name:
			missing = append(missing, "no table "+name)
		case !slices.EqualFunc(t.GetMatchFields(), other.GetMatchFields(), sameField):
			missing = append(missing, name+" has other keys")
		case other.GetSize() < t.GetSize():
			smaller = append(smaller, fmt.Sprintf("%s %d instead of %d", name, other.GetSize(), t.GetSize()))
		}
	}
	for _, a := range want.GetActions() {
		name := a.GetPreamble().GetName()
		other := actions[a.GetPreamble().GetId()]
		if other == nil || other.GetPreamble().GetName() != name || !slices.EqualFunc(a.GetParams(), other.GetParams(), func(x, y *p4config.Action_Param) bool {
			return x.GetId() == y.GetId() && x.GetBitwidth() == y.GetBitwidth()
		}) {
			missing = append(missing, "no action "+name+" as it is to be")
		}
	}
	return missing, smaller
}

func sameField(x, y *p4config.MatchField) bool {
	return x.GetId() == y.GetId() && x.GetBitwidth() == y.GetBitwidth() && x.GetMatchType() == y.GetMatchType()
}

// several is the first few of a list, and how many more there are.
func several(all []string) string {
	const most = 3
	if n := len(all) - most; n > 0 {
		return strings.Join(all[:most], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(all, ", ")
}

// entries reads all entries, and tells how many there are and how long that takes.
func (s *Survey) entries(ctx context.Context) {
	began, n := time.Now(), 0
	longest, err := s.read(ctx, &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: &p4.TableEntry{}}}, func(*p4.Entity) { n++ })
	if err != nil {
		s.report.add("entries", Lacks, "are not read: "+status.Convert(err).Message(), "an agent reads back what its predecessor left")
		return
	}
	took := time.Since(began)
	v, seen := OK, fmt.Sprintf("%d, read in %v", n, took.Round(time.Millisecond))
	if longest == n && n > 1000 {
		v, seen = Differs, seen+", all in one message"
	}
	s.report.add("entries", v, seen, "")
}

// read reads entities, and returns how many the longest message had.
func (s *Survey) read(ctx context.Context, of *p4.Entity, each func(*p4.Entity)) (longest int, err error) {
	stream, err := s.client.Read(ctx, &p4.ReadRequest{DeviceId: s.device, Entities: []*p4.Entity{of}}, grpc.MaxCallRecvMsgSize(maxReceive))
	if err != nil {
		return 0, err
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return longest, nil
		}
		if err != nil {
			return longest, err
		}
		longest = max(longest, len(r.GetEntities()))
		for _, e := range r.GetEntities() {
			each(e)
		}
	}
}

// profiles are those of the agent's configuration, the plainest first.
func profiles() []p4rt.Profile {
	return []p4rt.Profile{p4rt.Strict(), p4rt.Softswitch(), p4rt.BMv2(), p4rt.Stratum(), p4rt.DPDK()}
}
