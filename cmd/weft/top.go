package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
)

// Ways to sum up rates.
const (
	byVPort = "vport"
	byFlow  = "flow"
)

// topQuery is what `weft top` is asked for.
type topQuery struct {
	flows    flowQuery
	by       string
	most     int
	interval time.Duration
	count    int
}

func newTop() *cobra.Command {
	var from reach
	var q topQuery
	cmd := &cobra.Command{
		Use:   "top [--by vport|flow] [--edge EDGE]... [--agent ADDRESS]",
		Short: "Show who sends most, now",
		Long: `Show the vports, or the flows, by which most comes in, over and over: rates
since the time before, as the entries of the targets count. Packets that agents
decide are not among them: weft_edge_upcalls_total has these.

To a terminal it goes on until it is interrupted; else it tells once. --count
says otherwise.`,
		Example: `  # Who sends most?
  weft top --count 1 --interval 100ms

  # Which flows at one edge are the largest?
  weft top --by flow --edge nic1 --count 1 --interval 100ms`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case q.by != byVPort && q.by != byFlow:
				return fmt.Errorf("--by %q: use vport or flow", q.by)
			case q.interval < 100*time.Millisecond:
				return fmt.Errorf("--interval %v: use 100ms or more", q.interval)
			case q.count < 0:
				return fmt.Errorf("--count %d: use 1 or more; 0 goes on", q.count)
			case q.most < 1:
				return fmt.Errorf("--most %d: use 1 or more", q.most)
			}
			return q.run(cmd, &from)
		},
	}
	q.flows.flags(cmd, "rates")
	f := cmd.Flags()
	f.StringVar(&q.by, "by", byVPort, "sum up by `WHAT`: vport or flow")
	f.IntVar(&q.most, "most", 20, "tell of so many at most")
	f.DurationVar(&q.interval, "interval", 2*time.Second, "between two looks")
	f.IntVar(&q.count, "count", 0, "tell so many times; default: until interrupted, or once if that is no terminal")
	from.flags(cmd)
	return cmd
}

// run looks and tells until it was told as often as it is asked for.
func (q *topQuery) run(cmd *cobra.Command, from *reach) error {
	out := cmd.OutOrStdout()
	terminal := screenOf(out).width > 0
	if q.count == 0 && !terminal {
		q.count = 1
	}
	list, err := q.flows.collect(cmd, from)
	if err != nil {
		return err
	}
	at := time.Now()
	for n := 1; ; n++ {
		if err := pause(cmd.Context(), q.interval); err != nil {
			return nil //nolint:nilerr // interrupted
		}
		next, err := q.flows.collect(cmd, from)
		if err != nil {
			return err
		}
		now := time.Now()
		if terminal && q.count != 1 {
			fmt.Fprint(out, "\x1b[H\x1b[2J")
		}
		if err := printTop(out, topRows(list.Flows, next.Flows, now.Sub(at), q.by), q.most, q.by); err != nil {
			return err
		}
		if n == q.count {
			return unanswered(cmd, next.Errors)
		}
		list, at = next, now
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.New("interrupted")
	}
}

// topRow is the rate of a vport or flow.
type topRow struct {
	edge, vport, what string // what: of a flow
	flows             int
	packets, bits     float64 // a second
}

// topRows are the rates between two looks, the greatest first. A flow that was not there before has all its packets since; one that has fewer than before is another.
func topRows(before, now []agent.Flow, past time.Duration, by string) []topRow {
	key := func(f *agent.Flow) string { return f.Edge + " " + f.VPort.Name + " " + f.Match + " " + f.Action }
	was := make(map[string]*agent.Flow, len(before))
	for i := range before {
		was[key(&before[i])] = &before[i]
	}
	sums := map[string]*topRow{}
	for i := range now {
		f := &now[i]
		packets, bytes := f.Packets, f.Bytes
		if old := was[key(f)]; old != nil && old.Packets <= packets && old.Bytes <= bytes {
			packets, bytes = packets-old.Packets, bytes-old.Bytes
		}
		k, row := f.Edge+" "+f.VPort.Name, topRow{edge: f.Edge, vport: f.VPort.Name}
		if by == byFlow {
			k, row.what = key(f), topFlow(f)
		}
		sum := sums[k]
		if sum == nil {
			sum = &row
			sums[k] = sum
		}
		sum.flows++
		sum.packets += float64(packets) / past.Seconds()
		sum.bits += 8 * float64(bytes) / past.Seconds()
	}
	rows := make([]topRow, 0, len(sums))
	for _, r := range sums {
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b topRow) int {
		return cmp.Or(cmp.Compare(b.bits, a.bits), cmp.Compare(b.packets, a.packets), cmp.Compare(a.edge, b.edge), cmp.Compare(a.vport, b.vport), cmp.Compare(a.what, b.what))
	})
	return rows
}

// topFlow says which packets, and where they go.
func topFlow(f *agent.Flow) string {
	to := f.Action
	if f.To != nil {
		to = f.To.Name
	}
	return f.Match + " → " + to
}

func printTop(w io.Writer, rows []topRow, most int, by string) error {
	head := []string{"EDGE", "VPORT", "BITS/S", "PACKETS/S", "FLOWS"}
	if by == byFlow {
		head[4] = "FLOW"
	}
	cells := make([][]string, 0, min(len(rows), most))
	for _, r := range rows[:min(len(rows), most)] {
		last := fmt.Sprint(r.flows)
		if by == byFlow {
			last = r.what
		}
		cells = append(cells, []string{r.edge, r.vport, bits(r.bits), bits(r.packets), last})
	}
	return table(w, head, cells)
}
