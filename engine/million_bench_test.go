package engine

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
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
//   - flow_bytes: what its heap grew by, a flow; without what the database's server, which is in the same process, keeps of the flow rules until its next snapshot
//   - flow_bytes_with_etcd: with that
//   - rule_edit_1000_ms: from the write of a rule that 1,000 of them met to the target's acknowledgement of all that followed
//   - rule_edit_1000_writes: updates of flow tables by that
//   - unrelated_edit_writes: updates of flow tables by edits of what no flow met: another tenant's network, a route that leads nowhere, a rule for another port
func BenchmarkMillionFlows(b *testing.B) {
	for b.Loop() {
		t := newNullBench(b, bulk.Network(bulk.PortRules(-1, "accept"), ""), false)
		before, theirs := heldBytes(), serverBytes()
		took := t.decide(bulk.RuleFlow, 0, millionFlows, true)
		grown := float64(heldBytes() - before)
		b.ReportMetric((grown-(serverBytes()-theirs))/millionFlows, "flow_bytes:B")
		b.ReportMetric(grown/millionFlows, "flow_bytes_with_etcd:B")
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

// serverBytes is what of the heap the database's server holds, by the runtime's sample of one allocation in MemProfileRate bytes, as of the last collection.
func serverBytes() (held float64) {
	records := make([]runtime.MemProfileRecord, 1<<14)
	n, ok := runtime.MemProfile(records, false)
	for !ok {
		records = make([]runtime.MemProfileRecord, 2*n)
		n, ok = runtime.MemProfile(records, false)
	}
	for _, r := range records[:n] {
		frames := runtime.CallersFrames(r.Stack())
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if strings.HasPrefix(f.Function, "go.etcd.io/etcd/server/") || strings.HasPrefix(f.Function, "go.etcd.io/raft/") || strings.HasPrefix(f.Function, "go.etcd.io/bbolt.") {
				size := float64(r.InUseBytes()) / float64(max(1, r.InUseObjects()))
				held += float64(r.InUseBytes()) / (1 - math.Exp(-size/float64(runtime.MemProfileRate)))
				break
			}
		}
	}
	return held
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
