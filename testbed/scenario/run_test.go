package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cableLab is a lab of two hosts on one cable.
type cableLab struct {
	*scenario.Machines
	cable *wire.Cable
	flows []string
	reads uint64
}

func (l *cableLab) Bind(context.Context, scenario.Bind) error { return errors.New("refused") }

func (l *cableLab) Apply(context.Context, scenario.Apply) error {
	return fmt.Errorf("%w: no store", scenario.ErrLab)
}

func (l *cableLab) Link(_ context.Context, link scenario.Link) error {
	l.cable.SetUp(link.Up)
	l.cable.SetLoss(link.Loss)
	return nil
}

func (l *cableLab) Flows(context.Context, string) ([]string, error) {
	l.flows = append(l.flows, fmt.Sprintf("flow %d", len(l.flows))) // one more at each look
	return l.flows, nil
}

func (l *cableLab) Counter(_ context.Context, of, name string) (uint64, error) {
	if value, ok, err := l.HostCounter(of, name); ok {
		return value, err
	}
	l.reads++
	return l.reads, nil
}

const head = `-- network.yaml --
-- hosts --
a vport=t/a mac=02:00:00:00:00:0a ip=10.1.0.1/24,fd01::1/64
b vport=t/b mac=02:00:00:00:00:0b ip=10.1.0.2/24,fd01::2/64
-- frame.hex --
02000000000b 02000000000a 88b5 0102
-- like.hex --
02000000000b ............ 88b5 *
-- other.hex --
02000000000b ............ 88b6 *
`

// lab builds the hosts of a scenario on one cable.
func lab(t *testing.T, steps string) (*scenario.Scenario, *cableLab) {
	t.Helper()
	text := steps
	if !strings.Contains(text, "-- network.yaml --") {
		text += head
	}
	s, err := scenario.Parse("test.txtar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l := &cableLab{Machines: scenario.NewMachines(), cable: wire.New(wire.Config{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.cable.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	for _, line := range s.Hosts {
		end := map[string]*wire.End{"a": l.cable.A(), "b": l.cable.B()}[line.Name]
		if end == nil {
			continue
		}
		h, err := host.New(line.Config(), end)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		l.Add(h)
	}
	return s, l
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
flows e1 min=3 'like=flow'
counters e1 upcalls >= 2
counters a injected == 1
counters b packets_received >= 4
link e1 down
! ping a b family=4 within=50ms
! udp a b:7 family=6 within=50ms
link e1 up
ping b a
`)
	var results []scenario.Result
	if err := scenario.Run(t.Context(), s, l, func(r scenario.Result) { results = append(results, r) }); err != nil {
		t.Fatal(err)
	}
	if len(results) != len(s.Steps) {
		t.Errorf("%d results of %d steps", len(results), len(s.Steps))
	}
}

func TestRunFails(t *testing.T) {
	for step, want := range map[string]error{
		"ping a 10.1.0.9 within=50ms":                 nil, // its own timeout or the step's
		"ping a b error=ttl-exceeded":                 scenario.ErrUnexpected,
		"! ping a b":                                  scenario.ErrUnexpected,
		"ping a 10.1.0.9 error=too-big within=50ms":   scenario.ErrUnexpected,
		"expect b like.hex within=30ms":               scenario.ErrUnexpected,
		"! apply frame.hex":                           scenario.ErrLab, // a broken lab does not satisfy !
		"flows e1 max=0 within=50ms":                  scenario.ErrUnexpected,
		"counters a injected > 0 within=50ms":         scenario.ErrUnexpected,
		"counters a no_such == 0":                     scenario.ErrLab,
		"tcp a 10.1.0.9:9 within=50ms":                context.DeadlineExceeded,
		"ping a b ttl=1\nhttp a b\n! tcp a b:80":      scenario.ErrLab, // the port is taken by HTTP
		"raw a frame.hex\n! expect b like.hex":        scenario.ErrUnexpected,
		"udp a 10.1.0.9:7 error=too-big within=50ms":  scenario.ErrUnexpected,
		"udp a 10.1.0.9:7 within=50ms":                nil,
		"ping a b error=port-unreachable by=10.1.0.1": scenario.ErrUnexpected,
	} {
		s, l := lab(t, step+"\n")
		err := scenario.Run(t.Context(), s, l, nil)
		var stepErr *scenario.StepError
		if !errors.As(err, &stepErr) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", step, err, want)
			continue
		}
		if last := s.Steps[len(s.Steps)-1]; stepErr.Step.Line != last.Line || !strings.HasPrefix(err.Error(), fmt.Sprintf("test.txtar:%d: %s: ", last.Line, last.Text)) {
			t.Errorf("%s: error says %v", step, err)
		}
	}
}

// A host whose IPv4 address nobody has, and whose IPv6 address is b's: "!" wants both to fail.
func TestFailureIsOfEachAddress(t *testing.T) {
	s, l := lab(t, "! ping a ghost within=200ms\n"+strings.Replace(head, "b vport=t/b", "ghost vport=t/g ip=10.1.0.3/24,fd01::2/64\nb vport=t/b", 1))
	ghost, err := host.New(host.Config{Name: "ghost", MAC: [6]byte{2, 0, 0, 0, 0, 0xc}, Addrs: s.Hosts[1].Addrs}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ghost.Close)
	l.Add(ghost)
	if err := scenario.Run(t.Context(), s, l, nil); !errors.Is(err, scenario.ErrUnexpected) {
		t.Errorf("reached by IPv6 only: %v, want %v", err, scenario.ErrUnexpected)
	}
}

func TestOutcome(t *testing.T) {
	s, l := lab(t, "# UDP to a closed port at an address of no host's service\n")
	icmpErr := &host.ICMPError{From: l.Host("b").Addr4(), Kind: host.PortUnreachable}
	o := scenario.Outcome{Errors: []host.Kind{host.TooBig, host.PortUnreachable}, By: icmpErr.From}
	if err := o.Check(fmt.Errorf("wrapped: %w", icmpErr)); err != nil {
		t.Error(err)
	}
	o.By = l.Host("a").Addr4()
	if err := o.Check(icmpErr); !errors.Is(err, scenario.ErrUnexpected) {
		t.Errorf("from another: %v", err)
	}
	if len(s.Steps) != 0 {
		t.Errorf("a comment became %d steps", len(s.Steps))
	}
}
