package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/netns"
	legs "github.com/weft-sdn/weft/testbed/report"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/trace"
)

// processStart is when this process began, as near as it can tell by itself.
var processStart = time.Now()

// labOptions are the flags of commands that run labs.
type labOptions struct {
	target    string
	processes bool
	netns     bool
	pcap      string
	json      bool
	verbose   bool
	title     string // printed once it is sure that the lab can be; not with --json
}

func (o *labOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.target, "target", lab.Softswitch, "run the pipelines on `TARGET`: softswitch, bmv2 (root, and simple_switch_grpc on PATH), or stratum (a softswitch with the ways of Stratum on Tofino)")
	f.BoolVar(&o.processes, "processes", false, "run etcd, each target and each agent as a process of its own")
	f.BoolVar(&o.netns, "netns", false, "make the hosts network namespaces, with the kernel's own TCP/IP, ping, curl and iperf3 (root)")
	f.StringVar(&o.pcap, "pcap", "", "write a capture of each cable and each underlay link to `DIR`")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what runs in this process, to standard error")
}

func (o *labOptions) jsonFlag(f *pflag.FlagSet, usage string) {
	f.BoolVar(&o.json, "json", false, usage)
}

// config is the lab of a scenario. Its error says what the machine lacks.
func (o *labOptions) config(s *scenario.Scenario, stderr io.Writer) (lab.Config, error) {
	if !slices.Contains(lab.Targets(), o.target) {
		return lab.Config{}, usage(fmt.Errorf("--target %q: is no target of labs; use %s", o.target, strings.Join(lab.Targets(), ", ")))
	}
	c := lab.Config{Scenario: s, Target: o.target, Processes: o.processes, Pcap: o.pcap, Trace: traceLines}
	if o.netns {
		if err := netns.Missing(); err != nil {
			return c, err
		}
		c.PowerOn = netns.New
	}
	if o.verbose {
		c.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	}
	return c, nil
}

func newLab() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Try networks in a lab on this machine",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLabRun())
	return cmd
}

func newLabRun() *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use:   "run FILE.txtar...",
		Short: "Run scenarios: a network, hosts, and what is to happen",
		Long: `Run scenarios, one after the other. Each is a file: a network, the edges and hosts
of a lab, and steps such as ping, transfers, moves, and looks at flows and
counters. docs/scenarios.md is the format.

A lab is a whole installation on this machine: etcd, an agent and a P4 target for
each edge, a routed underlay between them, and hosts with TCP/IP stacks of their
own. It needs no privileges and leaves nothing behind.

For every leg of a scenario it prints how many packets the hosts sent, and what
became of them: the share that entries of the P4 tables forwarded alone, read
from the targets' counters; those that an agent decided (upcalls); and drops. A
leg holds only if that adds up. The exit status is 0 if all legs of all
scenarios held.`,
		Example: `  weft lab run examples/demo.txtar

  # On bmv2, every part in a process of its own, with captures to look at
  weft lab run examples/demo.txtar --target bmv2 --processes --pcap /tmp/pcap`,
		Args: someArgs("FILE.txtar, such as examples/demo.txtar"),
		RunE: func(cmd *cobra.Command, files []string) error {
			var all []*scenario.Scenario
			var wrong []error
			for _, file := range files {
				s, err := scenario.ParseFile(file)
				all, wrong = append(all, s), append(wrong, err)
			}
			if err := errors.Join(wrong...); err != nil {
				return err
			}
			failed := false
			for i, s := range all {
				begin := processStart
				if i > 0 {
					begin = time.Now()
				}
				if len(all) > 1 {
					o.title = s.Name
				}
				switch err := o.run(cmd, s, begin); {
				case errors.Is(err, errReported):
					failed = true
				case err != nil:
					return err
				}
			}
			if failed {
				return errReported
			}
			return nil
		},
	}
	o.flags(cmd.Flags())
	o.jsonFlag(cmd.Flags(), "print one JSON object a scenario, in a line, and nothing else")
	return cmd
}

// run runs a scenario, for which all began at begin, in a lab of its own and prints how it went. An error that is not errReported kept it from running.
func (o *labOptions) run(cmd *cobra.Command, s *scenario.Scenario, begin time.Time) error {
	cfg, err := o.config(s, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	l, err := lab.New(cfg)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if o.title != "" && !o.json {
		fmt.Fprintln(out, o.title)
	}
	printer := legs.NewPrinter(out, s, styleOf(out))
	var observer scenario.Observer = whole{cmd.Context(), printer}
	if o.json {
		observer = nil
	}
	var result scenario.Report
	ran := false
	err = l.While(cmd.Context(), func(ctx context.Context) (err error) {
		result, err = scenario.Run(ctx, s, l, observer)
		ran = true
		result.Target = o.target
		if first := l.FirstPing(); !first.IsZero() {
			result.Figures["demo_ready"] = first.Sub(begin).Seconds()
		}
		if n, ok := l.ResidentBytes(); ok {
			result.Figures["agent_rss"] = float64(n) / 1e6
		}
		return err
	})
	if interrupted := cmd.Context().Err(); interrupted != nil {
		switch {
		case o.json && ran:
			result.OK, result.Error = false, "interrupted"
			return errors.Join(interrupted, legs.JSON(out, result))
		case !o.json && styleOf(out).Live:
			fmt.Fprint(out, "\r\x1b[K") // the line of the leg under way
		}
		return interrupted
	}
	if !ran {
		return err
	}
	if err != nil && result.OK { // the lab failed, or was interrupted
		result.OK, result.Error = false, err.Error()
	}
	if o.json {
		if err := legs.JSON(out, result); err != nil {
			return err
		}
	} else {
		printer.Finish(result)
	}
	if !result.OK {
		return errReported
	}
	return nil
}

// whole tells an observer what happened before the context ended: what fails because of that has not failed.
type whole struct {
	ctx context.Context
	to  scenario.Observer
}

// LegBegins implements scenario.Observer, as StepEnds and LegEnds do.
func (w whole) LegBegins(name, text string, number, total int) {
	if w.ctx.Err() == nil {
		w.to.LegBegins(name, text, number, total)
	}
}

// StepEnds passes on steps that ended by themselves.
func (w whole) StepEnds(r scenario.Result) {
	if w.ctx.Err() == nil {
		w.to.StepEnds(r)
	}
}

// LegEnds passes on legs that ended by themselves.
func (w whole) LegEnds(r scenario.LegResult) {
	if w.ctx.Err() == nil {
		w.to.LegEnds(r)
	}
}

// styleOf is what a writer can show.
func styleOf(w io.Writer) legs.Style {
	if f, ok := w.(*os.File); ok {
		return legs.StyleOf(f)
	}
	return legs.Style{}
}

// traceLines is what `weft trace` prints for flags, of a network as it is now.
func traceLines(snap *topology.Snapshot, flags []string) ([]string, error) {
	var p packetOptions
	f := pflag.NewFlagSet("trace", pflag.ContinueOnError)
	p.flags(f)
	if err := f.Parse(flags); err != nil {
		return nil, err
	}
	given, err := p.packet()
	if err != nil {
		return nil, err
	}
	t, err := trace.Follow(snap, given)
	if err != nil {
		return nil, asPacketFlags(err)
	}
	return strings.Split(strings.TrimSuffix(traceText(t, false), "\n"), "\n"), nil
}
