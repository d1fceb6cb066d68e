package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/bgp"
)

func newBGPSummary() *cobra.Command {
	var q bgpQuery
	var out output
	cmd := &cobra.Command{
		Use:   "summary [--edge EDGE]... [--agent ADDRESS]",
		Short: "Show how BGP sessions are, one a line",
		Long: `Show how BGP sessions are, one a line.

  STATE   up, or how far it is: Idle, Connect, OpenSent, OpenConfirm; problem:
          no agent carries it out. Why is below the table
  SINCE   for how long it is so
  RCVD    prefixes that the neighbour tells
  ROUTES  of these, in the router's table: those that import rules and checks
          pass. Of a neighbour that restarts, those that it told before
  SENT    prefixes that it is told
  FLAPS   how often the session was lost since the edge's agent carries it out
  BFD     whether BFD has the way to the neighbour up; - where it is not to watch`,
		Example: `  weft bgp summary
  weft bgp summary --edge border1 -o wide

  # Which are not up?
  weft bgp summary -o json | jq '.sessions[] | select(.state != "Established")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := q.collect(cmd, nil)
			if err != nil {
				return err
			}
			if err := printSummary(cmd.OutOrStdout(), list, out.form, time.Now()); err != nil {
				return err
			}
			return unanswered(cmd, list.Errors)
		},
	}
	out.flags(cmd, "table", "wide", "json")
	q.flags(cmd)
	return cmd
}

func printSummary(w io.Writer, list agent.BGPList, form string, now time.Time) error {
	if form == "json" {
		return printJSON(w, list)
	}
	head := []string{"EDGE", "SESSION", "PEER", "AS", "STATE", "SINCE", "RCVD", "ROUTES", "SENT", "FLAPS", "BFD"}
	if form == "wide" {
		head = []string{"EDGE", "SESSION", "VPORT", "LOCAL", "LOCAL-AS", "PEER", "AS", "FAMILIES", "STATE", "SINCE", "RCVD", "ROUTES", "PENDING", "SENT", "FLAPS", "BFD", "HOLD", "STACK"}
	}
	var rows [][]string
	var reasons []string
	for i := range list.Sessions {
		s := &list.Sessions[i]
		rows = append(rows, summaryRow(s, form == "wide", now))
		if why := problemText(s); why != "" {
			reasons = append(reasons, s.Session+": "+why)
		}
	}
	if err := table(w, head, rows); err != nil || len(reasons) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(reasons, "\n"))
	return err
}

func summaryRow(s *agent.BGPSession, wide bool, now time.Time) []string {
	peer, as, state, since := s.Peer.String(), fmt.Sprint(s.PeerAS), stateText(s), "-"
	if !s.Since.IsZero() && s.Problem == "" {
		since = age(now.Sub(s.Since))
	}
	received, routes, sent, flaps := fmt.Sprint(s.Received), fmt.Sprint(s.Routes), fmt.Sprint(s.Advertised), fmt.Sprint(s.Flaps)
	if s.Problem != "" {
		received, routes, sent, flaps = "-", "-", "-", "-"
	}
	if !wide {
		return []string{or(s.Edge), s.Session, peer, as, state, since, received, routes, sent, flaps, bfdText(s)}
	}
	local := "-"
	if s.Local.IsValid() {
		local = s.Local.String()
	}
	return []string{
		or(s.Edge), s.Session, s.VPort, local, fmt.Sprint(s.LocalAS), peer, as, strings.Join(s.Families, ","), state, since, received, routes, fmt.Sprint(s.Pending), sent, flaps, bfdText(s),
		fmt.Sprintf("%d s", s.Hold), or(s.Stack),
	}
}

// stateText is a session's state in a table.
func stateText(s *agent.BGPSession) string {
	switch {
	case s.Problem != "":
		return "problem"
	case s.State == bgp.Established:
		return "up"
	}
	return string(s.State)
}

// bfdText is the state of BFD in a table.
func bfdText(s *agent.BGPSession) string {
	if s.BFD == nil || s.Problem != "" {
		return "-"
	}
	return strings.ToLower(s.BFD.State)
}

// problemText says why a session is not up, or what is wrong with it; empty: nothing, or that is not known.
func problemText(s *agent.BGPSession) string {
	switch {
	case s.Problem != "":
		return s.Problem
	case s.State == bgp.Established:
		return s.Warning
	}
	return s.Why
}

// age is a duration with its two greatest units.
func age(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.String()
}
