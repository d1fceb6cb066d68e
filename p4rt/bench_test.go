package p4rt_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

const benchBatch = 128

// plain builds an update the usual way, from generated code.
func plain(e *p4rt.Entry) *p4.Update {
	pe := &p4.TableEntry{TableId: e.Table.ID}
	for i, m := range e.Match {
		pe.Match = append(pe.Match, &p4.FieldMatch{FieldId: e.Table.Keys[i].ID,
			FieldMatchType: &p4.FieldMatch_Exact_{Exact: &p4.FieldMatch_Exact{Value: m.Value.AppendCanonical(nil)}}})
	}
	a := &p4.Action{ActionId: e.Action.ID}
	for i, v := range e.Params {
		a.Params = append(a.Params, &p4.Action_Param{ParamId: e.Action.Params[i].ID, Value: v.AppendCanonical(nil)})
	}
	pe.Action = &p4.TableAction{Type: &p4.TableAction_Action{Action: a}}
	return &p4.Update{Type: p4.Update_INSERT, Entity: &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: pe}}}
}

// bareLoop writes n updates in batches, one after another, on one connection.
func (l *lab) bareLoop(c p4.P4RuntimeClient, entries []*p4rt.Entry, n int) {
	l.t.Helper()
	req := &p4.WriteRequest{DeviceId: 1, ElectionId: &p4.Uint128{Low: 1}}
	for done := 0; done < n; {
		req.Updates = req.Updates[:0]
		for len(req.Updates) < benchBatch && done < n {
			req.Updates = append(req.Updates, plain(entries[done%len(entries)]))
			done++
		}
		if _, err := c.Write(context.Background(), req); err != nil {
			l.t.Fatal(err)
		}
	}
}

// submitAll gives n updates to the writer, one by one, and waits for their answers.
func (l *lab) submitAll(w *p4rt.Writer, updates []p4rt.Update, n int) {
	l.t.Helper()
	var wg sync.WaitGroup
	wg.Add(n)
	done := func(_ []p4rt.Result, err error) {
		if err != nil {
			l.t.Error(err)
		}
		wg.Done()
	}
	for i := range n {
		at := i % len(updates)
		if err := w.Submit(context.Background(), done, updates[at:at+1]); err != nil {
			l.t.Fatal(err)
		}
	}
	wg.Wait()
}

// BenchmarkWriter compares updates that are submitted one by one to a Writer, and the session's own
// Write, with a bare loop of batches built from generated code, of the same size, over the same
// connection. They take turns, so that all see the same machine; p4rt_writer_efficiency is the
// Writer's rate over the loop's.
func BenchmarkWriter(b *testing.B) {
	var conn p4rt.Conn
	l := newLab(b, func(c *p4rt.Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context) (p4rt.Conn, error) {
			var err error
			conn, err = dial(ctx)
			return conn, err
		}
		c.Profile.MaxBatch = benchBatch
	})
	l.srv.SetQuirks(p4rttest.Quirks{AckOnly: true})
	l.ready()
	w := l.writer(p4rt.WriterConfig{})
	bare := p4.NewP4RuntimeClient(conn)
	entries := make([]*p4rt.Entry, 1<<13)
	updates := make([]p4rt.Update, len(entries))
	for i := range entries {
		entries[i] = l.flow(i, 7)
		updates[i] = p4rt.Update{Op: p4rt.Insert, Entity: entries[i]}
	}
	ways := []struct {
		name string
		send func(n int)
		took time.Duration
	}{
		{name: "bare", send: func(n int) { l.bareLoop(bare, entries, n) }},
		{name: "session", send: func(n int) {
			if _, err := l.session.Write(context.Background(), updates[:n]); err != nil {
				b.Fatal(err)
			}
		}},
		{name: "writer", send: func(n int) { l.submitAll(w, updates, n) }},
	}
	b.ResetTimer()
	for left := b.N; left > 0; left -= len(updates) {
		n := min(left, len(updates))
		for i := range ways {
			start := time.Now()
			ways[i].send(n)
			ways[i].took += time.Since(start)
		}
	}
	for _, way := range ways {
		b.ReportMetric(float64(b.N)/way.took.Seconds(), way.name+"_updates/s")
	}
	b.ReportMetric(ways[0].took.Seconds()/ways[2].took.Seconds(), "p4rt_writer_efficiency:x")
}

func BenchmarkPacketOut(b *testing.B) {
	for _, size := range []int{64, 1500} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			l := newLab(b, nil)
			l.ready()
			payload := make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				if err := l.session.PacketOut(context.Background(), payload, p4rt.U64(1), p4rt.U64(2)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

func BenchmarkReconcile(b *testing.B) {
	const n = 100_000
	l := newLab(b, nil)
	l.ready()
	var us []p4rt.Update
	var want []p4rt.Entity
	for i := range n {
		want = append(want, l.flow(i, 7))
		us = append(us, p4rt.Update{Op: p4rt.Insert, Entity: want[i]})
	}
	l.write(us)
	ctx := context.Background()
	b.Run("100kKept", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rep, err := l.session.Reconcile(ctx, l.goal(nil, want)...)
			if err != nil || rep.Kept != n {
				b.Fatal(rep, err)
			}
		}
	})
	b.Run("100kCounters", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			seen := 0
			err := l.session.ReadEntries(ctx, p4rt.ReadOptions{Counters: true}, func(*p4rt.Entry, p4rt.Counter) error { seen++; return nil })
			if err != nil || seen != n {
				b.Fatal(seen, err)
			}
		}
	})
}
