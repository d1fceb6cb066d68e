package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/survey"
)

// newEdge is the parent of commands about one edge's own hardware.
func newEdge() *cobra.Command {
	cmd := &cobra.Command{Use: "edge", Short: "Look at the target of an edge: a switch or NIC", Example: "  weft edge check 127.0.0.1:9559"}
	cmd.AddCommand(newEdgeCheck())
	return cmd
}

// checkTimeout bounds the first answer of a target.
const checkTimeout = 10 * time.Second

// targetCheck is what `weft edge check` is asked for.
type targetCheck struct {
	target    agent.Target
	try, push bool
	out       output
}

func newEdgeCheck() *cobra.Command {
	var c targetCheck
	cmd := &cobra.Command{
		Use:   "check ADDRESS",
		Short: "Find out what a P4Runtime target can and can't do",
		Long: `Connect to a P4Runtime target and tell what it can do, and where it deviates from
the specification. ADDRESS is HOST:PORT or unix:/PATH.

Without --try nothing is changed: version, pipeline and entries are looked at.
With --try, entries that no packet meets are written, read and removed again,
groups, clone sessions, meters, idle timeouts and packet-outs are tried, and the
target.profile that fits is named. That takes the place of the primary controller:
while an agent has the target, nothing is tried.

  ok       as the specification has it
  differs  an agent copes, with the profile that is named
  LACKS    no agent can run it, or a part of networks does not work

The exit status is 1 if anything is LACKS.`,
		Example: `  weft edge check 127.0.0.1:9559
  weft edge check 127.0.0.1:9559 --try --push
  weft edge check switch1:9339 --device 1 --tls-ca ca.crt -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.target.Address = args[0]
			return c.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&c.target.DeviceID, "device", 1, "P4Runtime `id` of the device")
	f.StringVar(&c.target.ElectionID, "election-id", "1", "to be the primary controller by: `LOW`, or HIGH.LOW")
	f.BoolVar(&c.try, "try", false, "try out what it does, by entries that no packet meets")
	f.BoolVar(&c.push, "push", false, "with --try: have it run weft's pipeline; what it holds is gone then")
	f.StringVar(&c.target.TLS.CA, "tls-ca", "", "PEM `file` of the authority of its certificate; default: no TLS")
	f.StringVar(&c.target.TLS.Cert, "tls-cert", "", "PEM `file` of a certificate to show to it")
	f.StringVar(&c.target.TLS.Key, "tls-key", "", "PEM `file` of its key")
	f.StringVar(&c.target.TLS.ServerName, "tls-server-name", "", "`name` in its certificate; default: the host of ADDRESS")
	f.StringVar(&c.target.Pipeline.P4Info, "p4info", "", "`file` with the p4info of weft's pipeline as the target's own compiler made it; default: of bmv2 and the softswitch")
	f.StringVar(&c.target.Pipeline.DeviceConfig, "device-config", "", "`file` that the target takes with that p4info")
	c.out.flags(cmd, "table", "json")
	return cmd
}

// pipeline is the one that the target is to run.
func (c *targetCheck) pipeline() (p4src.Pipeline, error) {
	p := &c.target.Pipeline
	if (p.P4Info == "") != (p.DeviceConfig == "") {
		return p4src.Pipeline{}, errors.New("--p4info, --device-config: go together")
	}
	return p.Load()
}

func (c *targetCheck) run(ctx context.Context, w io.Writer) error {
	election, err := c.target.Election()
	switch {
	case err != nil:
		return fmt.Errorf("--election-id: %w", err)
	case c.push && !c.try:
		return errors.New("--push: goes with --try")
	}
	pipe, err := c.pipeline()
	if err != nil {
		return err
	}
	dial, err := c.target.Dialer()
	if err != nil {
		return err
	}
	conn, err := dial(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", c.target.Address, err)
	}
	defer conn.Close()
	s := survey.New(conn, c.target.DeviceID, pipe)
	first, cancel := context.WithTimeout(ctx, checkTimeout)
	report, err := s.Look(first)
	cancel()
	if err != nil {
		return fmt.Errorf("%s: %w", c.target.Address, err)
	}
	if c.try && report.Runs() {
		report, err = s.Try(ctx, survey.Config{Election: election, Push: c.push})
		if errors.Is(err, survey.ErrOtherPrimary) {
			err = nil // a finding says so
		}
	}
	if printErr := printReport(w, &report, c.out.form); printErr != nil || err != nil {
		return errors.Join(printErr, err)
	}
	if !report.Runs() {
		return errors.New("the target lacks what weft needs")
	}
	return nil
}

func printReport(w io.Writer, r *survey.Report, form string) error {
	if form == "json" {
		return printJSON(w, r)
	}
	var cells [][]string
	var advice []string
	for _, f := range r.Findings {
		cells = append(cells, []string{f.Topic, f.Verdict.String(), f.Seen})
		if f.Advice != "" {
			advice = append(advice, f.Topic+": "+f.Advice)
		}
	}
	if err := table(w, []string{"CHECK", "VERDICT", "SEEN"}, cells); err != nil {
		return err
	}
	if len(advice) > 0 {
		if _, err := fmt.Fprintf(w, "\n%s\n", strings.Join(advice, "\n")); err != nil {
			return err
		}
	}
	switch r.Profile {
	case "":
		return nil
	case p4rt.DPDK().Name:
		_, err := fmt.Fprintln(w, "\nIt is like infrap4d on the software switch of DPDK, which no agent can run.")
		return err
	}
	_, err := fmt.Fprintf(w, "\nIn the agent's configuration: target.profile: %s\n", r.Profile)
	return err
}
