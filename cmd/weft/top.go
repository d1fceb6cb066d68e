package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/view"
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
decide are not among them: weft_edge_upcalls_total has these. OF PORT is how
much that is of the speed of the vport's interface, where switches tell it, and
OF RATE how much of the rate that is set of the vport: what is beyond that is
dropped ahead of entries, and not counted.

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
	var most bounds
	if q.by == byVPort {
		most = bounds{speeds: q.speeds(cmd, from), rates: q.rates(cmd, from)}
	}
	live := terminal && q.count != 1
	if live {
		fmt.Fprintf(out, "the first rates are known in %v …\n", q.interval)
	}
	for n := 1; ; n++ {
		if err := pause(cmd.Context(), q.interval); err != nil {
			return nil //nolint:nilerr // interrupted
		}
		next, err := q.flows.collect(cmd, from)
		if err != nil {
			return err
		}
		now := time.Now()
		rows := topRows(list.Flows, next.Flows, now.Sub(at), q.by)
		if live {
			err = q.redraw(out, rows, most, now)
		} else {
			err = printTop(out, rows, q.most, q.by, most)
		}
		if err != nil {
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
	edge, vport   string
	to, what      string // of a flow
	flows         int
	packets, bits float64 // a second
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
			k, row.what, row.to = key(f), shortMatch(f.Match), f.Action
			if f.To != nil {
				row.to = f.To.Name
			}
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

// shortMatch is which packets a flow has, in short: tcp 10.0.0.1:4000 > 10.0.0.2:80. What is not there is not looked at.
func shortMatch(match string) string {
	of := map[string]string{}
	for _, field := range strings.Fields(match) {
		name, value, _ := strings.Cut(field, "=")
		of[name] = value
	}
	if of["src"] == "" && of["dst"] == "" && of["proto"] == "" {
		return match
	}
	end := func(addr, port string) string {
		switch {
		case port == "":
			return cmp.Or(addr, "any")
		case strings.Contains(addr, ":"):
			return "[" + addr + "]:" + port
		}
		return addr + ":" + port
	}
	name := map[string]string{"1": "icmp", "6": "tcp", "17": "udp", "58": "icmp", "132": "sctp"}
	proto, known := name[of["proto"]]
	switch {
	case of["proto"] == "":
		proto = "ip"
	case !known:
		proto = "ip/" + of["proto"]
	}
	sport, dport := of["sport"], of["dport"]
	if proto == "icmp" { // they are its type and identifier
		sport, dport = "", ""
	}
	return proto + " " + end(of["src"], sport) + " > " + end(of["dst"], dport)
}

// speeds are those of the interfaces by which vports' packets come in, by edge and vport, as far as switches tell, and whoever asks may know.
func (q *topQuery) speeds(cmd *cobra.Command, from *reach) map[string]uint64 {
	speeds := map[string]uint64{}
	if q.flows.agent != "" {
		return speeds // the database says where vports live, and it is not asked
	}
	list, err := q.flows.interfaces(cmd, from)
	if err != nil || len(list.Interfaces) == 0 {
		return speeds
	}
	at := map[string]uint64{}
	for i := range list.Interfaces {
		at[list.Interfaces[i].Edge+":"+list.Interfaces[i].As] = list.Interfaces[i].Speed
	}
	for _, p := range livePlaces(cmd, from) {
		if speed := at[p.Edge+":"+p.Interface]; speed > 0 {
			speeds[p.Edge+" "+p.VPort] = speed
		}
	}
	return speeds
}

// livePlaces are where vports live, as far as whoever asks may know.
func livePlaces(cmd *cobra.Command, from *reach) (places []client.Place) {
	places, _ = viewedOr(cmd.Context(), from, "places", nil, func(store *state.Store) ([]client.Place, error) { // the rest is told without, too
		return view.Places(store.View(), view.Of{}), nil
	})
	return places
}

// bounds are what vports can't send more than, in bits a second: nothing where by is another than vport.
type bounds struct {
	speeds map[string]uint64 // of their interfaces, by edge and vport
	rates  map[string]uint64 // that are set, by vport
}

// rates are those that are set of vports, as far as whoever asks may know.
func (q *topQuery) rates(cmd *cobra.Command, from *reach) map[string]uint64 {
	if q.flows.agent != "" {
		return nil // the database has them, and it is not asked
	}
	rates := map[string]uint64{}
	rows, _ := ratesOf(cmd, from, view.Of{})
	for _, r := range rows {
		if r.Link == "" {
			rates[r.VPort] = r.Rate
		}
	}
	return rates
}

// redraw tells on a terminal: over what it told before, line by line, so that nothing flickers.
func (q *topQuery) redraw(w io.Writer, rows []topRow, bound bounds, now time.Time) error {
	at, most := screenOf(w), q.most
	if at.height > 0 {
		most = max(1, min(most, at.height-5)) // what is above and below
	}
	var sum topRow
	idle := 0
	for _, r := range rows {
		sum.flows, sum.bits, sum.packets = sum.flows+r.flows, sum.bits+r.bits, sum.packets+r.packets
		if r.packets == 0 {
			idle++
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  every %v  %s bit/s, %s packets/s of %s; ctrl-C ends\n", now.Format(time.TimeOnly), q.interval, bits(sum.bits), bits(sum.packets), counted(sum.flows, "flow"))
	shown := rows[:len(rows)-idle] // those by which nothing came are last
	if err := printTopOn(at, &b, shown, most, q.by, bound); err != nil {
		return err
	}
	if more := len(shown) - most; more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	if idle > 0 {
		fmt.Fprintf(&b, "by %d nothing came\n", idle)
	}
	_, err := io.WriteString(w, "\x1b[H"+strings.ReplaceAll(b.String(), "\n", "\x1b[K\n")+"\x1b[J")
	return err
}

func printTop(w io.Writer, rows []topRow, most int, by string, bound bounds) error {
	return printTopOn(screenOf(w), w, rows, most, by, bound)
}

// printTopOn prints rows as they are shown on a screen.
func printTopOn(at screen, w io.Writer, rows []topRow, most int, by string, bound bounds) error {
	head := []string{"EDGE", "VPORT", "BITS/S", "PACKETS/S", "FLOWS"}
	if by == byFlow {
		head, bound = []string{"EDGE", "VPORT", "TO", "BITS/S", "PACKETS/S", "FLOW"}, bounds{}
	}
	if len(bound.speeds) > 0 {
		head = append(head, "OF PORT")
	}
	if len(bound.rates) > 0 {
		head = append(head, "OF RATE")
	}
	cells := make([][]string, 0, min(len(rows), most))
	for _, r := range rows[:min(len(rows), most)] {
		if by == byFlow {
			cells = append(cells, []string{r.edge, r.vport, r.to, bits(r.bits), bits(r.packets), r.what})
			continue
		}
		row := []string{r.edge, r.vport, bits(r.bits), bits(r.packets), fmt.Sprint(r.flows)}
		if len(bound.speeds) > 0 {
			row = append(row, shareText(r.bits, bound.speeds[r.edge+" "+r.vport]))
		}
		if len(bound.rates) > 0 {
			row = append(row, shareText(r.bits, bound.rates[r.vport]))
		}
		cells = append(cells, row)
	}
	return tableOn(at, w, head, len(cells), func(i int) []string { return cells[i] })
}

// shareText is how much of a port's speed a rate is.
func shareText(rate float64, speed uint64) string {
	if speed == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%% of %s", 100*rate/float64(speed), bits(float64(speed)))
}
