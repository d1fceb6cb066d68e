package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// waitTime bounds what comes at once.
const waitTime = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder keeps what a run tells.
type recorder struct {
	begun   []string
	results []scenario.Result
	legs    []scenario.LegResult
}

func (r *recorder) LegBegins(name, _ string, number, total int) {
	r.begun = append(r.begun, fmt.Sprintf("%s %d/%d", name, number, total))
}
func (r *recorder) StepEnds(result scenario.Result)   { r.results = append(r.results, result) }
func (r *recorder) LegEnds(result scenario.LegResult) { r.legs = append(r.legs, result) }

// steps are those of all legs.
func steps(s *scenario.Scenario) []scenario.Step {
	var all []scenario.Step
	for _, leg := range s.Legs {
		all = append(all, leg.Steps...)
	}
	return all
}

func TestRun(t *testing.T) {
	s, l := lab(t, `# every operation
ping a b count=2
ping a 10.1.0.2 size=3000
tcp a b:9 bytes=2MB
tcp b a:9
http b a bytes=2MB family=6
udp a b:7 count=3
raw a frame.hex
expect b like.hex
! expect b other.hex within=30ms
! bind a e2
flows e1 min=3 'like=vport=*-> to'
counters e1 upcalls >= 2
counters a injected == 1
counters b packets_received >= 4
link e1 down
! ping a b family=4 within=50ms
! udp a b:7 family=6 within=50ms
link e1 up
ping b a
`)
	var seen recorder
	report, err := scenario.Run(t.Context(), s, l, &seen)
	if err != nil || !report.OK {
		t.Fatalf("ok %t: %v", report.OK, err)
	}
	if len(seen.results) != len(steps(s)) || len(seen.legs) != 0 || len(report.Legs) != 0 {
		t.Errorf("%d results of %d steps; legs %+v, %+v", len(seen.results), len(steps(s)), seen.legs, report.Legs)
	}
}

func TestRunFails(t *testing.T) {
	for step, want := range map[string]error{
		"ping a 10.1.0.9 within=50ms":                     nil, // its own timeout or the step's
		"ping a b error=ttl-exceeded":                     scenario.ErrUnexpected,
		"! ping a b":                                      scenario.ErrUnexpected,
		"ping a 10.1.0.9 error=too-big within=50ms":       scenario.ErrUnexpected,
		"expect b like.hex within=30ms":                   scenario.ErrUnexpected,
		"! apply frame.hex":                               scenario.ErrLab, // a broken lab does not satisfy !
		"flows e1 max=0 within=50ms":                      scenario.ErrUnexpected,
		"counters a injected > 0 within=50ms":             scenario.ErrUnexpected,
		"counters a no_such == 0":                         scenario.ErrLab,
		"tcp a 10.1.0.9:9 within=50ms":                    context.DeadlineExceeded,
		"ping a b ttl=1\nhttp a b\n! tcp a b:80":          scenario.ErrLab, // the port is taken by HTTP
		"raw a frame.hex\n! expect b like.hex within=10s": scenario.ErrUnexpected,
		"udp a 10.1.0.9:7 error=too-big within=50ms":      scenario.ErrUnexpected,
		"udp a 10.1.0.9:7 within=50ms":                    nil,
		"ping a b error=port-unreachable by=10.1.0.1":     scenario.ErrUnexpected,
	} {
		s, l := lab(t, step+"\n")
		report, err := scenario.Run(t.Context(), s, l, nil)
		var stepErr *scenario.StepError
		if !errors.As(err, &stepErr) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", step, err, want)
			continue
		}
		if report.OK || report.Error != err.Error() {
			t.Errorf("%s: reported ok %t, error %q", step, report.OK, report.Error)
		}
		if last := steps(s)[len(steps(s))-1]; stepErr.Step.Line != last.Line || !strings.HasPrefix(err.Error(), fmt.Sprintf("test.txtar:%d: %s: ", last.Line, last.Text)) {
			t.Errorf("%s: error says %v", step, err)
		}
	}
}

// TestMarkWaits: counters are read when the targets have what they were sent, and not before.
func TestMarkWaits(t *testing.T) {
	s, l := lab(t, "mark\n")
	l.unanswered = 5
	if _, err := scenario.Run(t.Context(), s, l, nil); err != nil || l.unanswered != 0 {
		t.Errorf("%v, with %d submissions unanswered", err, l.unanswered)
	}
	l.unanswered = 1 << 40
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := scenario.Run(ctx, s, l, nil); err == nil || !strings.Contains(err.Error(), "edge e1 has not acknowledged") {
		t.Errorf("of a target that does not answer: %v", err)
	}
}

// slowTarget is a lab whose target owes some answers when a transfer begins.
type slowTarget struct {
	*cableLab
	left []uint64 // unanswered when each transfer had ended
}

func (l *slowTarget) TCP(ctx context.Context, t scenario.TCP) (scenario.Measured, error) {
	l.unanswered = 5
	defer func() { l.left = append(l.left, l.unanswered) }()
	return l.cableLab.TCP(ctx, t)
}

func (l *slowTarget) HTTP(ctx context.Context, h scenario.HTTP) (scenario.Measured, error) {
	l.unanswered = 5
	defer func() { l.left = append(l.left, l.unanswered) }()
	return l.cableLab.HTTP(ctx, h)
}

// TestTransferWaitsForEntries: in a leg that wants a share on the fast path, and in no other.
func TestTransferWaitsForEntries(t *testing.T) {
	for fast, left := range map[string]uint64{"": 5, " fast=0.5": 0} {
		s, l := lab(t, "leg all family=4"+fast+"\ntcp a b:9 bytes=100KB\nhttp b a bytes=100KB\n")
		slow := &slowTarget{cableLab: l}
		if _, err := scenario.Run(t.Context(), s, slow, nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(slow.left, []uint64{left, left}) {
			t.Errorf("leg with %q: unanswered behind the transfers %v, want %d", fast, slow.left, left)
		}
	}
}

// A host whose IPv4 address nobody has, and whose IPv6 address is b's: "!" wants both to fail.
func TestFailureIsOfEachAddress(t *testing.T) {
	s, l := lab(t, "! ping a ghost within=2s\n"+strings.Replace(head, "b vport=t/b", "ghost vport=t/g ip=10.1.0.3/24,fd01::2/64\nb vport=t/b", 1))
	ghost, err := host.New(host.Config{Name: "ghost", MAC: [6]byte{2, 0, 0, 0, 0, 0xc}, Addrs: s.Hosts[1].Addrs}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ghost.Close)
	l.Add(ghost)
	if _, err := scenario.Run(t.Context(), s, l, nil); !errors.Is(err, scenario.ErrUnexpected) {
		t.Errorf("reached by IPv6 only: %v, want %v", err, scenario.ErrUnexpected)
	}
}

func TestOutcome(t *testing.T) {
	s, l := lab(t, "# UDP to a closed port at an address of no host's service\n")
	icmpErr := &host.ICMPError{From: l.Host("b").Addrs()[0], Kind: host.PortUnreachable}
	o := scenario.Outcome{Errors: []host.Kind{host.TooBig, host.PortUnreachable}, By: []netip.Addr{icmpErr.From}}
	if err := o.Check(fmt.Errorf("wrapped: %w", icmpErr)); err != nil {
		t.Error(err)
	}
	o.By = l.Host("a").Addrs()[:1]
	if err := o.Check(icmpErr); !errors.Is(err, scenario.ErrUnexpected) {
		t.Errorf("from another: %v", err)
	}
	if len(steps(s)) != 0 {
		t.Errorf("a comment became %d steps", len(steps(s)))
	}
}
