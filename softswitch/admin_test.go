package softswitch

import (
	"runtime"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/softswitch/impair"
)

// TestDisabledPort takes nothing, sends nothing, and counts as down.
func TestDisabledPort(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	c.write(insert(l.macEntry(5, 2)), insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{replica(2, 1, 3)}}),
		insert(l.entry("mac", direct(l.action("flood", []byte{1})), exact(1, 7))))
	told := make(chan struct{}, 10)
	l.server.OnPortChange(func() { told <- struct{}{} })
	if err := l.server.SetEnabled(2, false); err != nil {
		t.Fatal(err)
	}
	<-told
	l.inject(1, frame(5, 1), frame(7, 1)) // the first is for port 2, the second goes to its backup
	l.frames(3, 1)
	if n := l.ends[2].Queued(); n != 0 {
		t.Errorf("%d frames came out of a disabled port", n)
	}
	l.inject(2, frame(7, 1)) // is not taken
	for l.server.PortStatus()[1].RxDrops == 0 {
		runtime.Gosched()
	}
	if err := l.server.SetEnabled(2, true); err != nil {
		t.Fatal(err)
	}
	<-told
	l.inject(1, frame(7, 1))
	l.frames(2, 1)
	if n := l.ends[3].Queued(); n != 0 {
		t.Errorf("%d frames from a port while it was disabled", n)
	}
	for _, p := range l.server.PortStatus() {
		if p.Number == 2 && (p.TxDrops != 1 || !p.Enabled || p.LastChange.IsZero()) {
			t.Errorf("%+v", p)
		}
	}
	if l.server.SetEnabled(9, false) == nil || l.server.SetImpairment(9, impair.Config{}) == nil || l.server.SetImpairment(1, impair.Config{Loss: 3}) == nil {
		t.Error("nonsense is accepted")
	}
}

// TestImpairedPort: a line that loses everything, one that delays, and a good one again.
func TestImpairedPort(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	c.write(insert(l.macEntry(5, 2)), insert(l.macEntry(6, 3)))
	set := func(port uint16, config impair.Config) {
		t.Helper()
		if err := l.server.SetImpairment(port, config); err != nil {
			t.Fatal(err)
		}
	}
	set(2, impair.Config{Loss: 1})
	l.inject(1, frame(5, 1), frame(6, 1))
	l.frames(3, 1) // comes after the other
	if n := l.ends[2].Queued(); n != 0 {
		t.Errorf("%d frames", n)
	}
	set(2, impair.Config{Delay: 20 * time.Millisecond})
	set(1, impair.Config{Delay: 20 * time.Millisecond}) // on the way in, too
	start := time.Now()
	l.inject(1, frame(5, 1))
	l.frames(2, 1)
	if d := time.Since(start); d < 40*time.Millisecond {
		t.Errorf("came after %v, want 40 ms", d)
	}
	set(1, impair.Config{})
	set(2, impair.Config{Seed: 4}) // a seed alone is no impairment
	l.inject(1, frame(5, 1))
	l.frames(2, 1)
	for _, p := range l.server.PortStatus() {
		if p.Impairment != (impair.Config{}) {
			t.Errorf("%+v", p)
		}
	}
}
