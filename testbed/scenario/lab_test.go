package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wire"
)

// cableLab is a lab of two hosts on one cable.
type cableLab struct {
	*scenario.Machines
	cable        *wire.Cable
	flows        []scenario.Flow
	reads        uint64
	slow, vanish uint64
	unanswered   uint64 // one less at each reading
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

func (l *cableLab) Flows(context.Context, string) ([]scenario.Flow, error) {
	n := uint64(len(l.flows))
	l.flows = append(l.flows, scenario.Flow{Match: fmt.Sprintf("vport=%d ether_type=0x0800 dst=10.1.0.0/24", n), Action: "to t/b", Packets: n}) // one more at each look
	return l.flows, nil
}

func (l *cableLab) Counter(_ context.Context, of, name string) (uint64, error) {
	if value, ok, err := l.HostCounter(of, name); ok {
		return value, err
	}
	if name == "removed" {
		return 7, nil
	}
	l.reads++
	return l.reads, nil
}

// Account: all frames that the cable took were forwarded, but for those that a test has vanish.
func (l *cableLab) Account(context.Context) ([]scenario.Accounts, error) {
	n := l.cable.A().Counters().Sent + l.cable.B().Counters().Sent
	slow := min(n, l.slow)
	l.unanswered -= min(l.unanswered, 1)
	return []scenario.Accounts{{Edge: "e1", HostFrames: n, FastPath: n - slow, Punts: slow, Upcalls: max(slow, l.vanish) - l.vanish, Entries: 3, Installed: 4, Unanswered: l.unanswered}}, nil
}

func (l *cableLab) VTEPs(edge string) ([]netip.Addr, error) {
	if edge != "e1" {
		return nil, fmt.Errorf("%w: no edge %s", scenario.ErrLab, edge)
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, nil
}

func (l *cableLab) VPortID(vport string) (uint32, error) {
	if vport != "t/b" {
		return 0, fmt.Errorf("%w: no vport %s", scenario.ErrLab, vport)
	}
	return 0xabc, nil
}

func (l *cableLab) Trace(_ context.Context, flags []string) ([]string, error) {
	return []string{strings.Join(flags, " "), "verdict     forward"}, nil
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
