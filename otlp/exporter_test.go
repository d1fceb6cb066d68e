package otlp

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/testbed/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func life() *engine.Life {
	now := time.Now()
	return &engine.Life{Came: now, Ended: now.Add(time.Millisecond), Verdict: "forward", Steps: []engine.Step{{Kind: engine.StepQueue, Began: now, Ended: now}, {Kind: engine.StepInstall, Began: now}}}
}

// TestNobodyWaits: who tells of lives does not wait, whether they are exported or not; what there is no room for is counted.
func TestNobodyWaits(t *testing.T) {
	x := New(Config{Address: "127.0.0.1:1"})
	take := x.Take("e1")
	for range maxWaiting + 5 {
		take(life())
	}
	if s := x.Stats(); s != (Stats{Dropped: 5}) {
		t.Errorf("%+v", s)
	}
}

// TestCollectorAway: spans for a collector that is away are counted, and Run goes on until it is ended.
func TestCollectorAway(t *testing.T) {
	x := New(Config{Address: "127.0.0.1:1"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	x.Take("e1")(life())
	wait.Until(t, "the failure is counted", func() bool { return x.Stats().Failed == 2 }) // the packet-in, and the step that has ended
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s := x.Stats(); s.Spans != 0 || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

func TestShort(t *testing.T) {
	if got := short(strings.Repeat("é", maxText)); !utf8.ValidString(got) || len(got) > maxText+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("%q", got)
	}
	if got := short("as it is"); got != "as it is" {
		t.Errorf("%q", got)
	}
}
