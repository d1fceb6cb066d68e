package netns_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// TestScenario: an example with hosts of the kernel's: real TCP across two edges, one that moves in the middle of a download, silence where nobody is.
func TestScenario(t *testing.T) {
	if err := netns.Missing(); err != nil {
		t.Skip(err)
	}
	s, err := scenario.ParseFile("../../examples/bridge.txtar")
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(lab.Config{Scenario: s, PowerOn: netns.New, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	var report scenario.Report
	err = l.While(t.Context(), func(ctx context.Context) (err error) {
		report, err = scenario.Run(ctx, s, l, nil)
		return err
	})
	if err != nil || len(report.Legs) != 6 {
		t.Errorf("%v", err)
	}
	for _, leg := range report.Legs {
		t.Logf("%+v", leg)
	}
}
