package engine

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/bulk"
)

const millionFlows = bulk.Rules * bulk.RuleFlows

// editRule is the rule that is edited.
const editRule = 500

func portChain(refused int, spare string) string {
	return bulk.Object("Chain", "red", "ports", bulk.ChainSpec(bulk.PortRules(refused, spare)))
}

// BenchmarkMillionFlows has an agent decide a million flows, each of its own entry, and reports
//
//   - flow_bytes: what its heap grew by, a flow
//   - rule_edit_1000_ms: from the write of a rule that 1,000 of them met to the target's acknowledgement of all that followed
//   - rule_edit_1000_writes: updates of flow tables by that
//   - unrelated_edit_writes: updates of flow tables by edits of what no flow met: another tenant's network, a route that leads nowhere, a rule for another port
func BenchmarkMillionFlows(b *testing.B) {
	for b.Loop() {
		t := newNullBench(b, bulk.Network(bulk.PortRules(-1, "accept"), ""), false)
		before := heldBytes()
		took := t.decide(bulk.RuleFlow, 0, millionFlows, true)
		b.ReportMetric(float64(heldBytes()-before)/millionFlows, "flow_bytes:B")
		b.ReportMetric(millionFlows/took.Seconds(), "decisions_to_million_per_s:1/s")
		keepProfile(b, "million.heap")

		edit := t.decode(portChain(editRule, "accept"))
		writes, begin := t.target.changed(), time.Now()
		profiled(b, "edit.cpu", func() { t.applied(t.write(edit)) })
		b.ReportMetric(float64(time.Since(begin))/1e6, "rule_edit_1000_ms:ms")
		edited := t.target.changed() - writes
		if edited < bulk.RuleFlows {
			b.Fatalf("a rule for %d flows was edited, and %d updates were written", bulk.RuleFlows, edited)
		}
		b.ReportMetric(float64(edited), "rule_edit_1000_writes:updates")

		t.refill()
		var unrelated int64
		for _, edit := range []struct{ name, objects string }{
			{"tenant", bulk.Object("Bridge", "blue", "lan", "")},
			{"route", bulk.Object("Router", "red", "gw", "routes: [{dst: 203.0.113.0/24, via: 10.2.1.1, port: gw-out}]")},
			{"rule", portChain(editRule, "drop")},
		} {
			writes := t.target.changed()
			t.applied(t.apply(edit.objects))
			n := t.target.changed() - writes
			b.Logf("edit of another %s: %d updates", edit.name, n)
			unrelated += n
			if n > 0 {
				t.refill()
			}
		}
		b.ReportMetric(float64(unrelated), "unrelated_edit_writes:updates")
	}
}

// refill has flows decided that an edit took out. Those of the port that is refused stay out: nothing of them leaves.
func (t *nullBench) refill() {
	t.Helper()
	t.decide(bulk.RuleFlow, 0, editRule*bulk.RuleFlows, false)
	t.decide(bulk.RuleFlow, (editRule+1)*bulk.RuleFlows, millionFlows, false)
	if !t.target.await(func() bool { return t.agent.writer.Queued() == 0 }) {
		t.Fatal("the writer does not end")
	}
}

// heldBytes is what the heap holds.
func heldBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// keepProfile writes a profile of the heap as it is now to the directory that WEFT_PROFILES names, if it names one: one that is written at the end has
// nothing of what was measured.
func keepProfile(b *testing.B, name string) {
	b.Helper()
	if f := profile(b, name); f != nil {
		defer f.Close()
		if err := pprof.WriteHeapProfile(f); err != nil {
			b.Fatal(err)
		}
	}
}

// profiled does something, with a profile of what the processors do meanwhile, as keepProfile: one of the whole has too much else.
func profiled(b *testing.B, name string, do func()) {
	b.Helper()
	if f := profile(b, name); f != nil {
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			b.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	do()
}

// profile makes the file of a profile; nil: none is wanted.
func profile(b *testing.B, name string) *os.File {
	b.Helper()
	dir := os.Getenv("WEFT_PROFILES")
	if dir == "" {
		return nil
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return f
}
