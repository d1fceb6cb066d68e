package survey_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"context"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/survey"
)

func program(t *testing.T) p4src.Pipeline {
	t.Helper()
	p, err := p4src.V1Model()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// target is a softswitch with the ways of another target, device 1.
func target(t *testing.T, quirks softswitch.Quirks) *grpc.ClientConn {
	t.Helper()
	own, _ := port.NewLink("1", "far", 16)
	server, err := softswitch.New(softswitch.Options{DeviceID: 1, CPUPort: offload.CPUPort, Ports: map[uint16]port.Port{1: own}, Quirks: quirks})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), append(p4rt.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return conn
}

var first = p4rt.ElectionID{Low: 1}

// findings are those of a report by topic.
func findings(r survey.Report) map[string]survey.Finding {
	all := map[string]survey.Finding{}
	for _, f := range r.Findings {
		all[f.Topic] = f
	}
	return all
}

// TestTry: of each kind of target it is found what it deviates in, and the profile for it; what was written is gone.
func TestTry(t *testing.T) {
	for name, c := range map[string]struct {
		quirks  softswitch.Quirks
		profile string
		differs []string
		lacks   []string
	}{
		"strict":  {softswitch.Quirks{}, "strict", nil, nil},
		"bmv2":    {softswitch.BMv2(), "bmv2", []string{"a full table", "multicast groups"}, nil},
		"stratum": {softswitch.Stratum(), "stratum", []string{"idle timeouts", "clone sessions"}, nil},
		"dpdk":    {softswitch.DPDK(), "dpdk", []string{"idle timeouts"}, []string{"multicast groups", "clone sessions", "packet-out"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // an idle timeout is waited for
			conn := target(t, c.quirks)
			s := survey.New(conn, 1, program(t))
			look, err := s.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f := findings(look)["pipeline"]; f.Verdict != survey.OK || !strings.HasPrefix(f.Seen, "none") {
				t.Errorf("pipeline: %+v", f)
			}
			report, err := s.Try(t.Context(), survey.Config{Election: first, Push: true})
			if err != nil {
				t.Fatal(err)
			}
			if report.Runs() != (len(c.lacks) == 0) || report.Profile != c.profile {
				t.Errorf("profile %q, want %q: %+v", report.Profile, c.profile, report.Findings)
			}
			got := findings(report)
			for _, topic := range []string{"batches", "counters", "errors", "a full table", "idle timeouts", "multicast groups", "clone sessions", "meters", "packet-out"} {
				want := survey.OK
				switch {
				case slices.Contains(c.differs, topic):
					want = survey.Differs
				case slices.Contains(c.lacks, topic):
					want = survey.Lacks
				}
				if f, ok := got[topic]; !ok || f.Verdict != want {
					t.Errorf("%s: %+v, want %v", topic, f, want)
				}
			}
			again, err := survey.New(conn, 1, program(t)).Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f := findings(again); f["pipeline"].Verdict != survey.OK || !strings.HasPrefix(f["entries"].Seen, "0, ") {
				t.Errorf("left behind: %+v", again.Findings)
			}
		})
	}
}

// TestLeavesOthersAlone: with another primary nothing is tried, without --push no pipeline is replaced.
func TestLeavesOthersAlone(t *testing.T) {
	conn := target(t, softswitch.Quirks{})
	s := survey.New(conn, 1, program(t))
	report, err := s.Try(t.Context(), survey.Config{Election: first})
	if err != nil || findings(report)["writes"].Verdict != survey.Differs {
		t.Errorf("no pipeline, and none pushed: %+v, %v", report.Findings, err)
	}
	stream, err := p4.NewP4RuntimeClient(conn).StreamChannel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&p4.StreamMessageRequest{Update: &p4.StreamMessageRequest_Arbitration{Arbitration: &p4.MasterArbitrationUpdate{DeviceId: 1, ElectionId: &p4.Uint128{Low: 7}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	report, err = survey.New(conn, 1, program(t)).Try(t.Context(), survey.Config{Election: first, Push: true})
	if !errors.Is(err, survey.ErrOtherPrimary) || !strings.Contains(findings(report)["primary"].Seen, "0.7") {
		t.Errorf("beside a primary: %+v, %v", report.Findings, err)
	}
}

// TestLookFails: what is no target, or not that device, is said.
func TestLookFails(t *testing.T) {
	conn := target(t, softswitch.Quirks{})
	report, err := survey.New(conn, 2, program(t)).Look(t.Context())
	if err != nil || report.Runs() || !strings.Contains(findings(report)["pipeline"].Seen, "no device 2") {
		t.Errorf("another device: %+v, %v", report.Findings, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	nobody, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	if r, err := survey.New(nobody, 1, program(t)).Look(t.Context()); err == nil {
		t.Errorf("nobody: %+v", r)
	}
}

// TestCompare: what a program lacks is told by name, and what is smaller.
func TestCompare(t *testing.T) {
	want := program(t).Info
	have := proto.CloneOf(want)
	if missing, smaller := survey.Compare(want, have); len(missing)+len(smaller) > 0 {
		t.Errorf("the same program: %v, %v", missing, smaller)
	}
	have.Tables[0].Size--
	have.Tables[1].MatchFields[0].Bitwidth++
	have.Actions[0].Preamble.Name += "x"
	gone := have.Tables[len(have.Tables)-1].GetPreamble().GetName()
	have.Tables = have.Tables[:len(have.Tables)-1]
	missing, smaller := survey.Compare(want, have)
	all := strings.Join(missing, "; ")
	if len(missing) != 3 || len(smaller) != 1 || !strings.Contains(all, "no table "+gone) || !strings.Contains(all, have.Tables[1].GetPreamble().GetName()+" has other keys") ||
		!strings.Contains(all, want.Actions[0].GetPreamble().GetName()) || !strings.Contains(smaller[0], have.Tables[0].GetPreamble().GetName()) {
		t.Errorf("missing %v, smaller %v", missing, smaller)
	}
}
