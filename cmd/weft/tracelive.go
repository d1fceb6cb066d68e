package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/trace"
)

// liveOptions are the flags of a live trace.
type liveOptions struct {
	on      bool
	match   string
	packets int
	last    time.Duration
}

// packetFlagNames are the flags that describe a packet that is made up.
func packetFlagNames() []string {
	return []string{"src-mac", "dst-mac", "src", "dst", "proto", "sport", "dport", "ttl", "len", "icmp-type", "df"}
}

func (o *liveOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.on, "live", false, "follow real packets that come in at the vport")
	f.StringVar(&o.match, "match", "", "of --live: which packets, as `FIELD=VALUE,…`: src, dst (address or prefix), proto, sport, dport, family (ipv4, ipv6); default: all IP packets")
	f.IntVar(&o.packets, "packets", trace.DefaultPackets, "of --live: end after so many")
	f.DurationVar(&o.last, "for", trace.DefaultSeconds*time.Second, "of --live: end after so long, 5m at most")
}

// check refuses flags that don't go together.
func (o *liveOptions) check(cmd *cobra.Command, files []string) error {
	f := cmd.Flags()
	if !o.on {
		for _, name := range []string{"match", "packets", "for"} {
			if f.Changed(name) {
				return usage(fmt.Errorf("--%s goes with --live", name))
			}
		}
		return nil
	}
	if len(files) > 0 {
		return usage(errors.New("-f is the network of files, in which no packets go; leave --live or -f out"))
	}
	for _, name := range packetFlagNames() {
		if f.Changed(name) {
			return usage(fmt.Errorf("--%s describes a packet that is made up; with --live, --match says which real ones are followed", name))
		}
	}
	return nil
}

// request is what the flags ask for.
func (o *liveOptions) request(vport string) (client.LiveRequest, error) {
	r := client.LiveRequest{VPort: vport, Packets: o.packets, Seconds: int(o.last / time.Second)}
	if o.packets < 1 || o.packets > state.MaxTracePackets {
		return r, fmt.Errorf("--packets %d: use 1 to %d", o.packets, state.MaxTracePackets)
	}
	if o.last < time.Second || o.last > state.MaxTraceTime || o.last%time.Second != 0 {
		return r, fmt.Errorf("--for %v: use whole seconds, 1s to %v", o.last, state.MaxTraceTime)
	}
	if o.match == "" {
		return r, nil
	}
	seen := map[string]bool{}
	for _, part := range strings.Split(o.match, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if value == "" || seen[name] {
			return r, fmt.Errorf("--match %q: %q is no FIELD=VALUE, or is there twice; use such as dst=10.0.0.0/24,proto=tcp,dport=443", o.match, part)
		}
		seen[name] = true
		var err error
		switch name {
		case "src":
			r.Match.Src = value
		case "dst":
			r.Match.Dst = value
		case "proto":
			r.Match.Proto = value
		case "family":
			r.Match.Family = value
		case "sport":
			r.Match.SPort, err = portOf(value)
		case "dport":
			r.Match.DPort, err = portOf(value)
		default:
			return r, fmt.Errorf("--match %q: there is no field %s; use src, dst, proto, sport, dport or family", o.match, name)
		}
		if err != nil {
			return r, fmt.Errorf("--match %s: %w", part, err)
		}
	}
	return r, nil
}

func portOf(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port; use 1 to 65535", text)
	}
	return uint16(n), nil
}

// asLiveFlags has an error of a field name its flag.
func asLiveFlags(err error) error {
	var f *topology.FieldError
	if !errors.As(err, &f) {
		return err
	}
	field, matched := strings.CutPrefix(f.Field, "match.")
	text := "--" + field
	if matched {
		text = "--match " + field + "="
	}
	if f.Value != "" {
		text += " " + strconv.Quote(f.Value)
	}
	if text += ": " + f.Problem; f.Hint != "" {
		text += "; " + f.Hint
	}
	if f.Field == "vport" && f.Value != "" {
		return errors.New(text)
	}
	return usage(errors.New(text))
}

// run follows packets, and prints what is told.
func (o *liveOptions) run(cmd *cobra.Command, at *reach, vport, form string, verbose bool) error {
	r, err := o.request(vport)
	if err != nil {
		return usage(err)
	}
	w := cmd.OutOrStdout()
	p := livePrinter{verbose: verbose}
	show := func(e client.LiveEvent) error {
		if form == "json" {
			return printLine(w, e)
		}
		_, err := io.WriteString(w, p.text(&e))
		return err
	}
	c, err := at.remote()
	if err != nil {
		return err
	}
	if c != nil {
		defer c.Close()
		return withAdvice(asLiveFlags(c.TraceLive(cmd.Context(), r, show)))
	}
	return at.db.routing(cmd.Context(), func(store *state.Store) error { return asLiveFlags(trace.Live(cmd.Context(), store, r, show)) })
}

// livePrinter tells events of a live trace to people. What the network says is told again only where it is something else.
type livePrinter struct {
	verbose bool
	said    string // by the simulation of packet n, but for the packet itself
	n       int
}

// text is an event in words.
func (l *livePrinter) text(e *client.LiveEvent) string {
	var b strings.Builder
	verbose := l.verbose
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	switch e.Kind {
	case client.LiveBegan:
		line("follows", "packets that come in at %s", e.Place)
		if e.Counting != "" {
			line("counters", "alone: %s", e.Counting)
		}
		for i := range e.Entries {
			entryText(&b, &e.Entries[i], e.Counting != "", verbose)
		}
		b.WriteByte('\n')
	case client.LivePacket:
		l.packet(&b, e)
	case client.LiveArrive:
		for i := range e.Arrivals {
			line("arrives", "%s", arrivalText(&e.Arrivals[i]))
		}
		b.WriteByte('\n')
	case client.LiveEnded:
		line("ended", "%s; %s told", e.Why, counted(e.Packets, "packet"))
		if e.Passed > 0 {
			line("passed", "%d others came up with them", e.Passed)
		}
		for i := range e.Entries {
			entryText(&b, &e.Entries[i], false, verbose)
		}
		for i := range e.Arrivals {
			line("arrives", "%s", arrivalText(&e.Arrivals[i]))
		}
	}
	return b.String()
}

func counted[N int | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// packet is one packet: what the edge's table has, what became of it, and what the network says.
func (l *livePrinter) packet(b *strings.Builder, e *client.LiveEvent) {
	p := e.Packet
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(b, "#%d %s at %s: %s\n", p.N, e.At.Local().Format("15:04:05.000"), e.Edge, p.Text)
	if p.Entry == nil {
		line("entry", "none: the first packet of its flow, or the first since a change")
	} else {
		entryText(b, p.Entry, false, false)
	}
	for i := range p.Outcomes {
		o := &p.Outcomes[i]
		text := o.Text
		if o.Place != "" {
			text += " at " + o.Place
		}
		line("did", "%s", text)
		if o.Rewrite != "" && o.Rewrite != "none" {
			line("rewrite", "%s", o.Rewrite)
		}
		if o.Tunnel != "" {
			line("tunnel", "%s", o.Tunnel)
		}
	}
	if p.Sends > 0 {
		line("sends", "%s of devices because of it", counted(p.Sends, "packet"))
	}
	if p.Differs != "" {
		line("differs", "%s", p.Differs)
	}
	if p.Simulation != nil {
		text := traceText(p.Simulation, l.verbose)
		switch said := strings.TrimPrefix(text, p.Simulation.Packet); {
		case said == l.said:
			line("simulation", "as that of #%d", l.n)
		default:
			l.said, l.n = said, p.N
			b.WriteString("simulation\n")
			indented(b, text)
		}
	}
	b.WriteByte('\n')
}

// indented writes lines, each behind two spaces.
func indented(b *strings.Builder, text string) {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) != "" {
			b.WriteString("  ")
		}
		b.WriteString(l)
	}
}

// entryText is a flow entry in a line.
func entryText(b *strings.Builder, e *client.LiveEntry, simulated, verbose bool) {
	text := e.Table
	if e.Match != "" {
		text += " " + e.Match
	}
	text += " → " + e.Action
	if e.To != "" {
		text += " to " + e.To
	}
	switch {
	case e.Absent:
		text += "; the target does not have it"
	case e.MorePackets > 0:
		text += fmt.Sprintf("; %s, %d meanwhile", counted(e.Packets, "packet"), e.MorePackets)
	default:
		text += "; " + counted(e.Packets, "packet")
	}
	fmt.Fprintf(b, "%-11s %s\n", "entry", text)
	if simulated && e.Simulation != nil {
		b.WriteString("simulation\n")
		indented(b, traceText(e.Simulation, verbose))
	}
}

// arrivalText is what an edge has for packets that come there.
func arrivalText(a *client.LiveArrival) string {
	if a.VPort == "" {
		return "edge " + a.Edge + ": " + a.Error
	}
	text := fmt.Sprintf("edge %s: location of %s → port %d", a.Edge, a.VPort, a.Port)
	if a.VLAN != 0 {
		text += fmt.Sprintf(", VLAN %d", a.VLAN)
	}
	if a.Absent {
		text = fmt.Sprintf("edge %s: no location of %s: the target does not have it", a.Edge, a.VPort)
	}
	if a.Error != "" {
		return text + "; " + a.Error
	}
	if a.Passed > 0 || len(a.Lost) > 0 {
		text += fmt.Sprintf("; %d frames by tunnel for all of its vports went on meanwhile", a.Passed)
		for _, why := range slices.Sorted(maps.Keys(a.Lost)) {
			text += fmt.Sprintf(", %d dropped: %s", a.Lost[why], why)
		}
	}
	return text
}
